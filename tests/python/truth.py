"""What must be read from a tensor, computed by NumPy and torch: the entries of NAME.truth.json."""

import hashlib
import json
import math
from fractions import Fraction

import numpy as np
import torch

BINS = 100

# safetensors' spelling; other containers' types follow its style.
TORCH_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.float8_e8m0fnu: "F8_E8M0",
    torch.float4_e2m1fn_x2: "F4",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex32: "C32",
    torch.complex64: "C64",
    torch.complex128: "C128",
    torch.qint8: "I8",
    torch.quint8: "U8",
    torch.qint32: "I32",
}

F4_VALUES = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


def of_torch(name, tensor, **extra):
    """The entry of a torch tensor, quantized ones by their integer codes."""
    dtype = TORCH_DTYPES[tensor.dtype]
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    shape = list(tensor.shape)
    raw = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    if dtype == "F4":
        # Two a byte, the low half first; hashed one a byte.
        shape[-1] *= 2
        raw = np.stack([raw & 15, raw >> 4], -1).reshape(-1)
        values = np.where(raw & 8, -1, 1) * F4_VALUES[raw & 7]
    elif tensor.is_complex():
        values = None
    elif tensor.is_floating_point():
        values = (tensor if tensor.dtype == torch.float64 else tensor.float()).numpy()
    else:
        values = tensor.numpy()
    return entry(name, dtype, shape, raw.tobytes(), values, **extra)


def of_numpy(name, array, **extra):
    """The entry of a NumPy array of a native type, in any byte order."""
    kind = {"f": "F", "i": "I", "u": "U", "c": "C"}.get(array.dtype.kind)
    dtype = "BOOL" if kind is None else f"{kind}{array.dtype.itemsize * 8}"
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).reshape(array.shape)
    values = None if kind == "C" else array
    return entry(name, dtype, list(array.shape), array.tobytes(), values, **extra)


def entry(name, dtype, shape, raw, values, **extra):
    """An entry from contiguous little-endian bytes and, where they are real numbers, their values."""
    found = {"name": name, "dtype": dtype, "shape": shape, "sha256": None, "count": math.prod(shape)}
    if raw is not None:
        found["sha256"] = hashlib.sha256(raw).hexdigest()
    if values is not None:
        found.update(figures(values))
    return found | extra


def figures(values):
    """Figures of real values. Means and deviations are exact sums, rounded once."""
    values = np.asarray(values).reshape(-1)
    whole = values.dtype.kind in "iub"
    finite = values if whole else values[np.isfinite(values)]
    nan = 0 if whole else int(np.isnan(values).sum())
    counts = {"nan": nan, "inf": len(values) - len(finite) - nan, "zero": int((values == 0).sum())}
    if len(finite) == 0:
        return counts
    exact = [int(v) for v in finite] if whole else [float(v) for v in finite]
    size = [abs(v) for v in exact]
    found = {
        "min": min(exact),
        "max": max(exact),
        "abs_min": min(size),
        "abs_min_nonzero": min((v for v in size if v), default=None),
        "abs_max": max(size),
        "mean": mean(exact),
        "abs_mean": mean(size),
        "std": deviation(exact),
    }
    histogram = histc(finite)
    return counts | found | ({"hist_torch": histogram} if histogram else {})


def mean(values):
    if isinstance(values[0], int):
        return float(Fraction(sum(values), len(values)))
    return math.fsum(values) / len(values)


def deviation(values):
    """The population's."""
    if isinstance(values[0], int):
        n = len(values)
        return math.sqrt(Fraction(n * sum(v * v for v in values) - sum(values) ** 2, n * n))
    middle = mean(values)
    return math.sqrt(math.fsum((v - middle) ** 2 for v in values) / len(values))


def histc(finite):
    """torch.histc of the magnitudes as f32 (f64 stays), as counts; None where torch refuses the range."""
    if finite.dtype != np.float64:
        finite = finite.astype(np.float32)
    size = torch.from_numpy(np.abs(finite))
    span = size.max() - size.min()
    if size.dtype == torch.float32 and torch.isinf(span * BINS):
        # In f32 the rule overflows, and torch would count such values into bin 0.
        size = size.double()
    try:
        return [int(n) for n in torch.histc(size, BINS)]
    except RuntimeError:
        return None


def write(path, tensors, **about):
    """Writes `path`.truth.json, one line a tensor."""
    head = {"file": path.name, **about, "n_tensors": len(tensors)}
    lines = [json.dumps(t, separators=(",", ":"), allow_nan=False) for t in tensors]
    text = json.dumps(head, separators=(",", ":"))[:-1] + ',"tensors":[\n' + ",\n".join(lines) + "\n]}\n"
    path.with_name(path.name + ".truth.json").write_text(text)
