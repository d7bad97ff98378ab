"""TensorRT .wts cases: as the usual Python script writes them, and in the other forms that are met."""

import struct

import numpy as np

import truth


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    size = int(rng.integers(2, 9))
    tensors = {
        "conv1.weight": rng.standard_normal((size, 3, 3, 3)).astype(np.float32),
        "bn1.weight": np.ones(size, np.float32),
        "bn1.running_var": rng.random(size).astype(np.float32),
        "bn1.num_batches_tracked": np.array(rng.integers(1, 1000), np.float32),
        "odd": np.array([0, -0.0, 1e-45, np.inf, -np.inf, np.nan, 3.4e38], np.float32),
        "none": np.empty(0, np.float32),
    }
    flat = {name: array.reshape(-1) for name, array in tensors.items()}
    forms = {
        "usual": lambda name, a: f"{name} {len(a)} " + "".join(f" {word(x)}" for x in a),
        "single_space": lambda name, a: f"{name} {len(a)}" + "".join(f" {word(x)}" for x in a),
        "unpadded": lambda name, a: f"{name} {len(a)} " + " ".join(word(x).lstrip("0") or "0" for x in a),
        "upper": lambda name, a: f"{name}\t{len(a)}   " + "  ".join(word(x).upper() for x in a) + " ",
        "nvidia": lambda name, a: f"{name} 0 {len(a)} " + "".join(f"{int(word(x), 16):x} " for x in a),
    }
    for name, line in forms.items():
        lines = [str(len(flat)), *(line(key, array) for key, array in flat.items())]
        path = folder / f"{name}.wts"
        path.write_bytes((("\r\n" if name == "upper" else "\n").join(lines) + "\n").encode())
        truth.write(path, [truth.of_numpy(key, array) for key, array in flat.items()], format="wts")
    half = {name: rng.standard_normal(size + 2).astype(np.float16) for name in ("a", "b")}
    path = folder / "halves.wts"
    text = "".join(f"{n} 1 {len(a)} " + "".join(f"{int(x):x} " for x in a.view(np.uint16)) + "\n" for n, a in half.items())
    path.write_text(f"{len(half)}\n{text}")
    truth.write(path, [truth.of_numpy(name, array) for name, array in half.items()], format="wts")
    path = folder / "raw.wts"
    shaped = {name: array for name, array in tensors.items() if array.ndim}
    lines = (f"{name} 0 {tuple(a.shape)} ".encode() + a.tobytes() + b"\n" for name, a in shaped.items())
    path.write_bytes(f"{len(shaped)}\n".encode() + b"".join(lines))
    truth.write(path, [truth.of_numpy(name, array) for name, array in shaped.items()], format="wts")


def word(x):
    return struct.pack(">f", x).hex()
