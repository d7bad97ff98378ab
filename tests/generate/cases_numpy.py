"""NumPy cases: every type in every order, as numpy.save, savez and savez_compressed write them."""

import hashlib

import numpy as np

import truth

NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "c8", "c16", "?")


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    found = arrays(rng)
    for name, save in {"stored": np.savez, "deflated": np.savez_compressed}.items():
        path = folder / f"{name}.npz"
        save(path, **found)
        truth.write(path, [describe(key, array) for key, array in found.items()], format="numpy")
    for name in ("swapped", "columns", "scalar"):
        path = folder / f"{name}.npy"
        np.save(path, found[name])
        truth.write(path, [describe(name, found[name])], format="numpy")
    for version in ((2, 0), (3, 0)):
        path = folder / f"version{version[0]}.npy"
        with path.open("wb") as file:
            np.lib.format.write_array(file, found["columns"], version)
        truth.write(path, [describe(path.stem, found["columns"])], format="numpy")


def arrays(rng):
    rows, columns = (int(n) for n in rng.integers(2, 9, 2))
    found = {f"type_{t.replace('?', 'b1')}": (rng.standard_normal((rows, columns)) * 50).astype(
        "i8" if t[0] in "u?" else "f8").astype(t) for t in NUMBERS if t[0] != "c"}  # fmt: skip
    found |= {f"type_{t}": (rng.standard_normal(5) + 1j * rng.standard_normal(5)).astype(t) for t in ("c8", "c16")}
    return found | {
        "swapped": rng.standard_normal((columns, rows)).astype(">f4"),
        "swapped_ints": rng.integers(-1000, 1000, 7).astype(">i2"),
        "columns": np.asfortranarray(rng.standard_normal((rows, columns, 3))),
        "scalar": np.array(rng.standard_normal()),
        "nothing": np.zeros((0, columns), "f4"),
        "text": np.array(["ab", "ü", ""]),
        "bytes": np.array([b"abc", b"de"]),
        "a/path.weight": rng.standard_normal(rows).astype("f4"),
    }


def describe(name, array):
    if array.dtype.kind in "US":
        raw = np.ascontiguousarray(array).tobytes()
        found = {"name": name, "dtype": "STRING", "shape": list(array.shape)}
        return found | {"sha256": hashlib.sha256(raw).hexdigest()}
    return truth.of_numpy(name, array)
