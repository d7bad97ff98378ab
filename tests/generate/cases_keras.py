"""Keras and HDF5 cases: models as Keras 3 and Keras 2 save them, and files of h5py in the forms that HDF5 has."""

import hashlib
import os
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import h5py
import keras
import numpy as np

import truth

VERSIONS = {"earliest": "earliest", "latest": "latest", "v110": ("v110", "v110")}


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(int(seed) % 2**32)
    folder.mkdir(parents=True, exist_ok=True)
    models(folder, rng)
    for name, libver in VERSIONS.items():
        path = folder / f"h5py_{name}.h5"
        with h5py.File(path, "w", libver=libver) as file:
            fill(file, rng)
        describe(path)
    older(folder, rng)


def models(folder, rng):
    """One network, trained a little so that the optimizer has a memory, in the four ways of keeping it."""
    model = network(keras, rng)
    model.compile("adam", "mse")
    model.fit(rng.standard_normal((4, 8, 8, 3)), rng.standard_normal((4, 3)), verbose=0)
    for name in ("whole.keras", "whole.h5", "alone.weights.h5"):
        path = folder / name
        (model.save_weights if "weights" in name else model.save)(path)
        describe(path)
    # As some archivers leave it: deflated.
    path = folder / "deflated.keras"
    with zipfile.ZipFile(folder / "whole.keras") as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
    describe(path)


def network(of, rng):
    layers, width = of.layers, int(rng.integers(2, 7))
    inner = of.Sequential([layers.Dense(width, activation="relu"), layers.BatchNormalization()], name="inner")
    x = inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(width, 3, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.DepthwiseConv2D(3)(x)
    x = layers.Reshape((-1, width))(x)
    x = layers.LSTM(4)(x)
    x = inner(x)
    model = of.Model(inputs, layers.Dense(3)(x))
    for variable in model.weights:
        low = 0.5 if "variance" in getattr(variable, "path", variable.name) else -1.0
        if "float" in str(variable.dtype):
            variable.assign(rng.uniform(low, 1.0, variable.shape))
    return model


def older(folder, rng):
    """Keras 2: whole models and weights, with the names of variables and attributes that it writes."""
    import tf_keras

    model = network(tf_keras, rng)
    model.compile("adam", "mse")
    model.fit(rng.standard_normal((4, 8, 8, 3)), rng.standard_normal((4, 3)), verbose=0)
    for name, save in (("keras2.h5", model.save), ("keras2_weights.h5", model.save_weights)):
        path = folder / name
        save(str(path), save_format="h5")
        describe(path)


def fill(file, rng):
    """Datasets of every type, layout, index of chunks and filter that are read."""
    rows, columns = (int(n) for n in rng.integers(5, 40, 2))
    plain = rng.standard_normal((rows, columns)).astype("f4")
    for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        for order in "<>":
            file[f"types/{order}{kind}"] = (rng.standard_normal(7) * 50).astype("i8" if kind[0] in "iu" else "f8").astype(order + kind)
    file["types/bool"] = rng.random(9) < 0.5
    file["types/text"] = np.array([b"abc", b"d"])
    file["scalar"] = np.float32(rng.standard_normal())
    file["nothing"] = np.zeros((0, columns), "f4")
    file.create_dataset("empty", dtype="f4")
    chunks = {"chunks": (int(rng.integers(3, rows)), int(rng.integers(3, columns)))}
    filters = {
        "plain": {},
        "gzip": {"compression": "gzip"},
        "shuffle": {"compression": "gzip", "shuffle": True},
        "all": {"compression": "gzip", "compression_opts": 9, "shuffle": True, "fletcher32": True},
        "checked": {"fletcher32": True},
    }
    for name, given in filters.items():
        file.create_dataset(f"chunks/{name}", data=plain, **chunks, **given)
        file.create_dataset(f"grows/{name}", data=plain, maxshape=(None, columns), **chunks, **given)
        file.create_dataset(f"grows_both/{name}", data=plain, maxshape=(None, None), **chunks, **given)
        file.create_dataset(f"one/{name}", data=plain, chunks=plain.shape, **given)
    sparse = file.create_dataset("mostly_unwritten", (rows, columns), "f4", fillvalue=2.5, **chunks)
    sparse[: rows // 2, 0] = rng.standard_normal(rows // 2)
    file.create_dataset("unwritten", (3, 4), "f8", fillvalue=-1.0)
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((5,))
    dataset = h5py.h5d.create(file.id, b"compact", h5py.h5t.IEEE_F32LE, space, dcpl=compact)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, rng.standard_normal(5).astype("f4"))
    many = file.create_group("many")
    for i in range(40):
        many[f"member {i}"] = rng.standard_normal(2)
    ordered = file.create_group("ordered", track_order=True)
    for name in ("z", "a", "m"):
        ordered[name] = rng.integers(0, 9, 3)
    file["deep/er/and/deeper/still"] = rng.standard_normal(3)
    file["link"] = h5py.SoftLink("/scalar")
    file["twice"] = file["scalar"]
    for i in range(20):
        file.attrs[f"attribute {i}"] = i
    file.attrs["numbers"] = rng.integers(0, 9, 100)


# What must be read.


def describe(path):
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as weights:
            entries = of_file(h5py.File(weights, "r"))
    else:
        with h5py.File(path, "r") as file:
            entries = of_file(file)
    truth.write(path, entries, format="keras")


def of_file(file):
    """Every dataset once, under the first of its names."""
    found = {}

    def walk(group, prefix):
        for name in sorted(group):
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item, path = group[name], f"{prefix}{name}"
            if isinstance(item, h5py.Dataset):
                found.setdefault(h5py.h5o.get_info(item.id).addr, (path, item))
            else:
                walk(item, f"{path}/")

    walk(file, "")
    return [entry(path, dataset) for path, dataset in found.values()]


def entry(name, dataset):
    if dataset.dtype.kind in "SO":
        shape = list(dataset.shape)
        raw = np.empty(dataset.shape, dataset.dtype)
        if dataset.dtype.kind == "O":
            return {"name": name, "dtype": "STRING", "shape": shape, "count": int(np.prod(shape))}
        dataset.read_direct(raw)
        digest = hashlib.sha256(raw.tobytes()).hexdigest()
        return {"name": name, "dtype": "STRING", "shape": shape, "sha256": digest, "count": int(np.prod(shape))}
    array = np.zeros((0,), dataset.dtype) if dataset.shape is None else np.asarray(dataset[()])
    return truth.of_numpy(name, array)
