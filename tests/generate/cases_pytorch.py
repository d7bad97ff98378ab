"""PyTorch cases: files that torch.save writes, and the same re-zipped as other tools would."""

import argparse
import collections
import contextlib
import copy
import datetime
import enum
import io
import pathlib
import pickle
import sys
import types
import zipfile

import numpy as np
import torch
from torch import nn

import nets
import pytorch_forms
import truth
import values
from flatten import entries


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in CASES.items():
        value = make(rng)
        with posing(make):
            save(folder / name, value)
    plain = state_dict(rng)
    for protocol in (2, 3, 4, 5):
        save(folder / f"protocol{protocol}.pth", {"weights": plain, "array": arrays(rng)}, pickle_protocol=protocol)
    save(folder / "big_endian.pth", big_endian(rng), rewrite=swapped)
    save(folder / "deflated.pth", plain, rewrite=lambda data: rezip(data, zipfile.ZIP_DEFLATED))
    save(folder / "zip64.pth", plain, rewrite=lambda data: rezip(data, force_zip64=True))
    save(folder / "zip64_directory.pth", plain, rewrite=zip64_directory)
    pytorch_forms.write(folder, rng, plain)
    # A pickle keeps a repeated string once: a few nodes that are met thousands of times are no attack.
    save(folder / "repeated.pth", {"state_dict": plain, "labels": ["O"] * 5000, "pairs": [(1, 2)] * 5000})


def save(path, value, rewrite=None, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    data = rewrite(buffer.getvalue()) if rewrite else buffer.getvalue()
    path.write_bytes(data)
    truth.write(path, entries(value), format="pytorch")
    if rewrite:
        for ours, theirs in zip(entries(value), entries(torch.load(path, weights_only=False)), strict=True):
            assert ours["sha256"] == theirs["sha256"], f"{path.name}: torch reads another {ours['name']}"


# Plain containers of tensors.


def state_dict(rng):
    width = int(rng.integers(2, 9))
    model = nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 4, 5))
    for tensor in model.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim > 1:
            tensor.copy_(values.weights(rng, *tensor.shape))
    return model.state_dict()


def wrapped(rng):
    return collections.OrderedDict((f"module.{k}", v) for k, v in state_dict(rng).items())


def compiled(rng):
    return collections.OrderedDict((f"_orig_mod.{k}", v) for k, v in state_dict(rng).items())


def names(rng):
    """Keys that are no identifiers; two tensors of one display name; keys that are no strings."""
    t = lambda: values.weights(rng, 2)  # noqa: E731
    odd = {key: t() for key in ("with space", "ünïcode ☃", "slash/and:colon", "line\nbreak", "long" * 80, "#")}
    return odd | {"a": {"b.c": t()}, "a.b": {"c": t()}, 7: t(), (1, "x"): 3, "": t(), "quote\"'": t()}


def parameters(rng):
    tagged = nn.Parameter(values.weights(rng, 3))
    tagged.tag = "an attribute"
    noted = values.weights(rng, 2)
    noted.note = {"why": "an attribute"}
    return {
        "weight": nn.Parameter(values.weights(rng, 3, 4)),
        "frozen": nn.Parameter(values.weights(rng, 2), requires_grad=False),
        "buffer": nn.Buffer(values.weights(rng, 5)),
        "tagged": tagged,
        "noted": noted,
        "grad": values.weights(rng, 2).requires_grad_(),
        "dict": nn.ParameterDict({"p": nn.Parameter(values.weights(rng, 2, 2))}),
    }


def views(rng):
    """One storage, many ways through it."""
    base = values.weights(rng, 120)
    kernel = values.weights(rng, 4, 3, 2, 5)
    return {
        "whole": base,
        "transposed": base[:60].view(6, 10).t(),
        "expanded": base[:5].expand(3, 5),
        "offset": base[7:19],
        "overlapping": base.as_strided((4, 5), (2, 1), 3),
        "windows": base.unfold(0, 8, 3),
        "strided": base[1::3],
        "permuted": base.view(4, 5, 6).permute(2, 0, 1),
        "inner": base.view(10, 12)[2:9:2, 1:11:3],
        "diagonal": base[:36].view(6, 6).diagonal(),
        "channels_last": kernel.to(memory_format=torch.channels_last),
        "scalar": base[17],
        "expanded_scalar": base[3].expand(2, 3),
        "nothing": base[5:5],
        "no_rows": torch.empty(0, 3),
    }


def conjugated(rng):
    """Conjugation and negation are bits beside the tensor: the storage holds other values."""
    complex_ = values.of_dtype(rng, torch.complex64, 3, 4)
    return {"plain": complex_, "conj": complex_.conj(), "neg": torch._neg_view(values.weights(rng, 3, 4))}


def tied(rng):
    weight = values.weights(rng, 6, 4)
    return {"embed.weight": weight, "head.weight": weight, "part.weight": weight[2:4]}


# Element types.


def dtypes(rng):
    found = {}
    for dtype in truth.TORCH_DTYPES:
        if "q" not in str(dtype) and dtype != torch.float4_e2m1fn_x2:
            found[str(dtype).removeprefix("torch.")] = values.of_dtype(rng, dtype, 5, 7)
    return found


def limits(rng):
    """The ends of every integer type, and floats that kernels get wrong."""
    found = {}
    for dtype in values.INTEGERS:
        info = torch.iinfo(dtype)
        found[str(dtype).removeprefix("torch.")] = torch.tensor([info.min, 0, 1, info.max], dtype=dtype)
    for dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.float8_e4m3fn):
        found[str(dtype).removeprefix("torch.")] = values.special(dtype)
    found["all_nan"] = torch.full((3,), float("nan"))
    found["no_finite"] = torch.tensor([float("inf"), float("-inf"), float("nan")])
    found["zeros"] = torch.zeros(4, 4)
    found["constant"] = torch.full((9,), 0.1)
    found["subnormal"] = torch.tensor([1e-45, 3e-45, 1e-40])
    return found


def bits(rng):
    """Bit patterns at random; for types of one or two bytes, all of them."""
    found = {"float32": values.any_bits(rng, torch.float32, 2000)}
    for dtype in values.FLOATS:
        if dtype.itemsize <= 2 and dtype != torch.float4_e2m1fn_x2:
            found[str(dtype).removeprefix("torch.")] = values.all_bits(dtype)
    return found


def float4(rng):
    return {"weight": values.of_dtype(rng, torch.float4_e2m1fn_x2, 6, 8)}


def quantized(rng):
    weight = values.weights(rng, 4, 6)
    step = max(float(weight.abs().max()) / 100, 1e-6)
    scales = torch.full((4,), step, dtype=torch.float64) * torch.arange(1, 5)
    zeros = torch.tensor([0, 3, -5, 0])
    return {
        "tensor_i8": torch.quantize_per_tensor(weight, step, 3, torch.qint8),
        "tensor_u8": torch.quantize_per_tensor(weight, step, 128, torch.quint8),
        "tensor_i32": torch.quantize_per_tensor(weight, step, 0, torch.qint32),
        "rows": torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8),
        "columns": torch.quantize_per_channel(weight.t().contiguous(), scales, zeros, 1, torch.qint8),
        "transposed": torch.quantize_per_tensor(weight, step, 0, torch.qint8).t(),
    }


def sparse(rng):
    dense = values.weights(rng, 6, 8)
    dense[torch.from_numpy(rng.random((6, 8)) < 0.6)] = 0
    dense[0, 0] = 1
    # Of their own, so that the cases after this one stay as they were.
    more = copy.deepcopy(rng)
    return {
        "coo": dense.to_sparse(),
        "hybrid": dense.to_sparse(1),
        "csr": dense.to_sparse_csr(),
        "csc": dense.to_sparse_csc(),
        "bsr": dense.to_sparse_bsr((2, 2)),
        "bsc": dense.to_sparse_bsc((2, 4)),
        "twice": uncoalesced(more),
        "wide": torch.sparse_coo_tensor(torch.tensor([[3, 299_999]]), values.weights(more, 2), (300_000,)).coalesce(),
        "nothing": torch.sparse_coo_tensor(torch.empty(2, 0, dtype=torch.int64), torch.empty(0), (3, 2)),
    }


def uncoalesced(rng):
    """Entries out of order, several in one place."""
    places = torch.from_numpy(rng.integers(0, [[4], [3]], (2, 20)))
    return torch.sparse_coo_tensor(places, values.weights(rng, 20), (4, 3))


# What trainers write.


def checkpoint(rng):
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, amsgrad=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
        scheduler.step()
    return {
        "epoch": 12,
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "best": np.float64(0.75),
        "loss": [0.5, 0.25],
        "args": argparse.Namespace(lr=1e-3, data="images", sizes=(224, 224)),
        "when": datetime.datetime(2024, 2, 29, 12, 0),
        "rng_state": torch.get_rng_state()[:64].clone(),
    }


def lightning(rng):
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": collections.OrderedDict((f"model.{k}", v) for k, v in state_dict(rng).items()),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": values.weights(rng)}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": values.weights(rng, 3)}}, "param_groups": [{}]}],
        "lr_schedulers": [],
        "hyper_parameters": AttributeDict(lr=0.1, class_weights=values.weights(rng, 3)),
    }


def yolo(rng):
    model, ema = nets.DetectionModel().half(), nets.DetectionModel().half()
    return {
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": ema,
        "updates": 1234,
        "optimizer": None,
        "train_args": {"task": "detect", "imgsz": 640, "lr0": 0.01, "close_mosaic": 10},
        "train_metrics": {"metrics/mAP50(B)": np.float64(0.5)},
        "date": "2024-02-29T12:00:00",
        "version": "8.3.0",
    }


def whole_net(rng):
    return nets.Net(int(rng.integers(2, 5)) * 2, int(rng.integers(9, 15)))


def gptq(rng):
    codes = lambda *size: values.of_dtype(rng, torch.int32, *size)  # noqa: E731
    found = {}
    for i in range(2):
        prefix = f"model.layers.{i}.self_attn.q_proj"
        found |= {
            f"{prefix}.qweight": codes(4, 32),
            f"{prefix}.qzeros": codes(2, 4),
            f"{prefix}.scales": values.weights(rng, 2, 32).abs().half(),
            f"{prefix}.g_idx": torch.arange(32, dtype=torch.int32) // 16,
        }
        prefix = f"model.layers.{i}.mlp.up_proj"
        found |= {
            f"{prefix}.qweight": codes(32, 4),
            f"{prefix}.qzeros": codes(2, 4),
            f"{prefix}.scales": values.weights(rng, 2, 32).abs().half(),
        }
    return found


def fp8_blocks(rng):
    prefix = "model.layers.0.mlp.down_proj"
    return {
        f"{prefix}.weight": values.of_dtype(rng, torch.float8_e4m3fn, 130, 140),
        f"{prefix}.weight_scale_inv": values.weights(rng, 2, 2).abs(),
        "model.norm.weight": values.weights(rng, 140).bfloat16(),
    }


def llama(rng):
    return {name: values.weights(rng, *size).bfloat16() for name, size in nets.llama()}


# Objects.


class AttributeDict(dict):
    """A dict of a class that is absent at reading."""


class Settings:
    def __init__(self, **kept):
        self.__dict__.update(kept)


class Slotted:
    __slots__ = ("rate",)

    def __init__(self, rate):
        self.rate = rate


class Phase(enum.Enum):
    TRAIN = "train"


class Tagged(torch.Tensor):
    """A subclass that is absent at reading."""


Pair = collections.namedtuple("Pair", "first second")


def objects(rng):
    loop = [1]
    loop.append(loop)
    return {
        "weight": values.weights(rng, 3),
        "settings": Settings(lr=0.1, mean=values.weights(rng, 3), inner=Settings(std=values.weights(rng, 3))),
        "slotted": Slotted(0.5),
        "phase": Phase.TRAIN,
        "pair": Pair(values.weights(rng, 2), 1),
        "subclass": values.weights(rng, 2).as_subclass(Tagged),
        "default": collections.defaultdict(list, {"k": [values.weights(rng, 2)]}),
        "counter": collections.Counter("aab"),
        "kinds": [None, True, 2**70, -1, 1.5, 1j, "text", b"bytes", bytearray(b"x"), {1, 2}, frozenset("a"), ...],
        "torch": [torch.float16, torch.Size([1, 2]), torch.device("cpu"), torch.strided],
        "others": [pathlib.PurePosixPath("a/b"), datetime.date(2024, 2, 29), slice(1, 2), range(3), int, len],
        "loop": loop,
        "nan": float("nan"),
        "inf": float("-inf"),
    }


def arrays(rng):
    """NumPy arrays of several orders, and scalars."""
    plain = rng.normal(size=(3, 4)).astype(np.float32)
    return {
        "c": plain,
        "fortran": np.asfortranarray(plain.astype(np.float64)),
        "big_endian": plain.astype(">f4"),
        "big_endian_int": np.arange(-3, 3, dtype=">i2"),
        "transposed": plain.T,
        "bool": plain > 0,
        "half": plain.astype(np.float16),
        "complex": plain.astype(np.complex64),
        "zero_dim": np.array(2.5),
        "empty": np.empty((0, 2), np.int64),
        "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.float16(0.5)],
    }


def a_list(rng):
    return [values.weights(rng, *values.shape(rng)) for _ in range(3)]


def a_tuple(rng):
    return (values.weights(rng, 2), [values.weights(rng, 3), {"k": values.weights(rng)}], "text")


def a_tensor(rng):
    return values.weights(rng, *values.shape(rng))


def nothing(rng):
    return {"epoch": 3, "state_dict": {}}


CASES = {
    "state_dict.pth": state_dict,
    "data_parallel.pth": wrapped,
    "compiled.pth": compiled,
    "names.pth": names,
    "parameters.pth": parameters,
    "views.pth": views,
    "conjugated.pth": conjugated,
    "tied.pth": tied,
    "dtypes.pth": dtypes,
    "limits.pth": limits,
    "bits.pth": bits,
    "float4.pth": float4,
    "quantized_kinds.pth": quantized,
    "sparse.pth": sparse,
    "checkpoint.pth": checkpoint,
    "lightning.ckpt": lightning,
    "yolo.pt": yolo,
    "whole_net.pth": whole_net,
    "gptq.pth": gptq,
    "fp8_blocks.pth": fp8_blocks,
    "llama.pth": llama,
    "unknown_classes.pth": objects,
    "arrays.pth": arrays,
    "list.pt": a_list,
    "tuple.pt": a_tuple,
    "tensor.pt": a_tensor,
    "no_tensors.pt": nothing,
}

# Modules that the classes claim to come from, as in the wild: a script, and packages that are not installed.
HOMES = {
    whole_net: {"__main__": [nets.Net, nets.Block, nets.Mixer]},
    yolo: {
        "ultralytics.nn.tasks": [nets.DetectionModel],
        "ultralytics.nn.modules.conv": [nets.Conv],
        "ultralytics.nn.modules.head": [nets.Detect],
    },
    lightning: {"lightning_fabric.utilities.data": [AttributeDict]},
    objects: {"acme.settings": [Settings, Slotted, Phase, Pair, Tagged]},
}


@contextlib.contextmanager
def posing(make):
    """Lets pickle find classes under the modules of HOMES, for as long as it writes."""
    added, moved = [], []
    for home, classes in HOMES.get(make, {}).items():
        steps = home.split(".")
        for n in range(1, len(steps) + 1):
            name = ".".join(steps[:n])
            if name not in sys.modules:
                sys.modules[name] = types.ModuleType(name)
                added.append(name)
        for class_ in classes:
            moved.append((class_, class_.__module__))
            class_.__module__ = home
            setattr(sys.modules[home], class_.__name__, class_)
    yield
    for class_, module in moved:
        class_.__module__ = module
    for name in added:
        del sys.modules[name]


# The same archive as other writers would make it.


def rezip(data, method=zipfile.ZIP_STORED, force_zip64=False, change=lambda name, content: content):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            with new.open(info, "w", force_zip64=force_zip64) as entry:
                entry.write(change(name, old.read(name)))
    return out.getvalue()


def zip64_directory(data):
    """Zip64 in the central directory and its end too, as in archives past 4 GB."""
    limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 1, 1
    try:
        return rezip(data, force_zip64=True)
    finally:
        zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits


def big_endian(rng):
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int16, torch.uint8]
    return {str(d).removeprefix("torch."): values.of_dtype(rng, d, 3, 5) for d in [*kinds, torch.bool, torch.complex64]}


class StorageTypes(pickle.Unpickler):
    """Notes each storage's element width; rebuilds nothing."""

    def __init__(self, file):
        super().__init__(file)
        self.widths = {}

    def find_class(self, module, name):
        return (lambda *_: None) if module == "torch._utils" else super().find_class(module, name)

    def persistent_load(self, pid):
        _, kind, key, *_ = pid
        complex_ = kind.dtype.is_complex
        self.widths[key] = kind.dtype.itemsize // (2 if complex_ else 1)


def swapped(data):
    """The file that a big-endian machine would have written."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        root = archive.namelist()[0].split("/")[0]
        types_ = StorageTypes(archive.open(f"{root}/data.pkl"))
        types_.load()

    def change(name, content):
        if name.endswith("/byteorder"):
            return b"big"
        key = name.removeprefix(f"{root}/data/")
        if key in types_.widths:
            width = types_.widths[key]
            return np.frombuffer(content, f"V{width}").view(np.uint8).reshape(-1, width)[:, ::-1].tobytes()
        return content

    return rezip(data, change=change)
