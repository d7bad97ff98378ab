"""TensorFlow cases: checkpoints, SavedModels and frozen graphs, written by TensorFlow itself where it can."""

import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# Torch's exporter loads an LLVM that refuses to come after TensorFlow's; the other way round both run.
import cases_pytorch  # noqa: E402, F401
import keras  # noqa: E402
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
import tables  # noqa: E402
import tensorflow as tf  # noqa: E402
import truth  # noqa: E402
from tensorflow.core.framework import graph_pb2, tensor_pb2  # noqa: E402
from tensorflow.core.protobuf import tensor_bundle_pb2  # noqa: E402
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2  # noqa: E402

v1 = tf.compat.v1

# TensorFlow's type: safetensors' spelling.
TYPES = {
    tf.float32: "F32",
    tf.float64: "F64",
    tf.float16: "F16",
    tf.bfloat16: "BF16",
    tf.dtypes.experimental.float8_e5m2: "F8_E5M2",
    tf.dtypes.experimental.float8_e4m3fn: "F8_E4M3",
    tf.int64: "I64",
    tf.int32: "I32",
    tf.int16: "I16",
    tf.int8: "I8",
    tf.uint64: "U64",
    tf.uint32: "U32",
    tf.uint16: "U16",
    tf.uint8: "U8",
    tf.bool: "BOOL",
    tf.complex64: "C64",
    tf.complex128: "C128",
    tf.dtypes.experimental.int4: "I4",
    tf.dtypes.experimental.uint4: "U4",
}
BY_NAME = {np.dtype(t.as_numpy_dtype).name: name for t, name in TYPES.items()}


def entry(name, array, **extra):
    """The truth of an array of any type."""
    array = np.asarray(array)
    if array.dtype.kind in "OSU":
        return truth.entry(name, "STRING", list(array.shape), None, None, **extra)
    dtype = BY_NAME[array.dtype.name]
    shape, array = list(array.shape), np.ascontiguousarray(array)
    raw = array.tobytes()
    if dtype in ("I4", "U4"):
        raw, array = bytes(b & 15 for b in raw), array.astype(np.int8)
    elif dtype.startswith("C"):
        array = None
    elif dtype.startswith(("F8", "BF")):
        array = array.astype(np.float32)
    return truth.entry(name, dtype, shape, raw, None if array is None else array.reshape(shape), **extra)


def random(rng, kind, shape):
    name, numpy_type = TYPES[kind], kind.as_numpy_dtype
    if name == "BOOL":
        return rng.random(shape) < 0.5
    if name in ("I4", "U4"):
        return rng.integers(*((-8, 8) if name == "I4" else (0, 16)), shape).astype(np.int8).astype(numpy_type)
    if name.startswith(("I", "U")):
        info = np.iinfo(numpy_type)
        return rng.integers(info.min, info.max, shape, dtype=numpy_type, endpoint=True)
    if name.startswith("C"):
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(numpy_type)
    return rng.normal(0, 2, shape).astype(numpy_type)


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed % 2**31)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names(folder, rng)
    partitioned(folder, rng)
    sharded(folder, rng)
    by_hand(folder, rng)
    objects(folder, rng)
    module(folder, rng)
    exported(folder, rng)
    saved_v1(folder, rng)
    fields(folder, rng)
    frozen(folder, rng)


def save(prefix, tensors, slices=None):
    """A checkpoint of tensors by name, as a Saver of TensorFlow 1 writes it."""
    slices = slices or [""] * len(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=[n for n, _ in tensors], shape_and_slices=slices, tensors=[t for _, t in tensors]
    )


def names(folder, rng):
    """Every type, by names; odd names and shapes."""
    arrays = {f"types/{name}": random(rng, kind, tuple(int(n) for n in rng.integers(2, 7, 2))) for kind, name in TYPES.items()}
    arrays |= {
        "scalar": np.float32(2.5),
        "nothing": np.empty((0, 3), np.float32),
        "ünïcode ☃.and:colon": rng.normal(size=(2, 1, 3)).astype(np.float32),
        "net/w": rng.normal(size=(3, 4)).astype(np.float32),
        "net/w/Adam": rng.normal(size=(3, 4)).astype(np.float32),
        "text": np.array([b"a", b"", b"longer text"], object),
        # Enough keys for more than one restart.
        **{f"many/layer_{i:03}/kernel": rng.normal(size=2).astype(np.float32) for i in range(60)},
    }
    save(folder / "names", [(name, tf.constant(a) if name == "text" else tf.convert_to_tensor(a)) for name, a in arrays.items()])
    truth.write(folder / "names.index", [entry(n, a) for n, a in arrays.items()], format="tensorflow")


def partitioned(folder, rng):
    """Variables in slices: along each axis, as a grid, of more than 64 rows (whose numbers take two bytes)."""
    whole = {
        "rows": rng.normal(size=(150, 3)).astype(np.float32),
        "columns": rng.normal(size=(4, 10)).astype(np.float16),
        "grid": rng.integers(-99, 99, (6, 5, 4)).astype(np.int64),
        "codes": random(rng, tf.dtypes.experimental.int4, (5, 6)),
    }
    cuts = {
        "rows": [(slice(0, 70), slice(None)), (slice(70, 140), slice(None)), (slice(140, 150), slice(None))],
        "columns": [(slice(None), slice(0, 3)), (slice(None), slice(3, 4)), (slice(None), slice(4, 10))],
        "grid": [(slice(a, a + 3), slice(None), slice(b, b + 2)) for a in (0, 3) for b in (0, 2)],
        "codes": [(slice(0, 2), slice(0, 3)), (slice(0, 2), slice(3, 6)), (slice(2, 5), slice(None))],
    }
    tensors, places = [], []
    for name, array in whole.items():
        for cut in cuts[name]:
            tensors.append((name, tf.convert_to_tensor(np.ascontiguousarray(array[cut]))))
            extents = ["-" if s.start is None else f"{s.start},{s.stop - s.start}" for s in cut]
            places.append(" ".join(map(str, array.shape)) + " " + ":".join(extents))
    save(folder / "partitioned", tensors, places)
    truth.write(folder / "partitioned.index", [entry(n, a) for n, a in whole.items()], format="tensorflow")


def sharded(folder, rng):
    """Two shards; the case is one of them."""
    arrays = {f"part{i}/{n}": rng.normal(size=(2, i + 2)).astype(np.float32) for i in range(2) for n in "ab"}
    parts = [folder / f"part{i}" for i in range(2)]
    for i, part in enumerate(parts):
        save(part, [(n, tf.constant(a)) for n, a in arrays.items() if n.startswith(f"part{i}")])
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[str(p) for p in parts], destination_prefix=str(folder / "sharded"), delete_old_dirs=False
    )
    for leftover in folder.glob("part[01].*"):
        leftover.unlink()
    shard = folder / "sharded.data-00001-of-00002"
    truth.write(shard, [entry(n, a) for n, a in arrays.items()], format="tensorflow")


def bundle(path, arrays, big=False, compress=False):
    """A checkpoint written here, in either byte order."""
    header = tensor_bundle_pb2.BundleHeaderProto(num_shards=1, endianness=int(big))
    header.version.producer = 1
    entries, data = [(b"", header.SerializeToString())], b""
    for name, array in sorted(arrays.items()):
        raw = array.astype(array.dtype.newbyteorder(">" if big else "<")).tobytes()
        record = tensor_bundle_pb2.BundleEntryProto(
            dtype=tf.as_dtype(array.dtype).as_datatype_enum, offset=len(data), size=len(raw), crc32c=tables.masked(raw)
        )
        record.shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
        entries.append((name.encode(), record.SerializeToString()))
        data += raw
    path.with_name(f"{path.name}.index").write_bytes(tables.table(entries, compress))
    path.with_name(f"{path.name}.data-00000-of-00001").write_bytes(data)
    truth.write(path.with_name(f"{path.name}.index"), [entry(n, a) for n, a in arrays.items()], format="tensorflow")


def by_hand(folder, rng):
    """What TensorFlow on this machine does not write."""
    arrays = {
        "layer/kernel": rng.normal(size=(3, 5)).astype(np.float32),
        "layer/bias": rng.normal(size=5).astype(np.float16),
        "step": np.array(7, np.int64),
        "waves": (rng.normal(size=3) + 1j * rng.normal(size=3)).astype(np.complex64),
        "codes": rng.integers(0, 255, 9).astype(np.uint8),
    }
    bundle(folder / "big_endian", arrays, big=True)
    bundle(folder / "snappy", arrays, compress=True)


def network(rng):
    layers = [
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(4, 3, name="conv"),
        keras.layers.BatchNormalization(name="bn"),
        keras.layers.DepthwiseConv2D(3, name="depthwise"),
        keras.layers.Flatten(),
        keras.layers.Dense(int(rng.integers(2, 9)), name="head"),
    ]
    model = keras.Sequential(layers, name="net")
    model.compile("adam", "mse")
    inputs = rng.normal(size=(4, 8, 8, 3)).astype(np.float32)
    model.fit(inputs, rng.normal(size=(4, *model.output_shape[1:])).astype(np.float32), verbose=0)
    return model


def objects(folder, rng):
    """A checkpoint of Python objects: a Keras model with its optimizer, which variables are named after."""
    model = network(rng)
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(str(folder / "objects"))
    found = [entry(v.path, v.numpy()) for v in model.variables]
    # The optimizer's own name for the step is `iteration`.
    found += [entry(v.path, v.numpy()) for v in model.optimizer.variables]
    truth.write(folder / "objects.index", found, format="tensorflow")


def module(folder, rng):
    """Variables whose names come twice or were not given go by their paths; one that is held twice is kept once."""
    class Block(tf.Module):
        def __init__(self):
            super().__init__()
            self.kernel = tf.Variable(rng.normal(size=(3, 2)).astype(np.float32), name="kernel")
            self.scale = tf.Variable(rng.normal(size=2).astype(ml_dtypes.bfloat16), name="scale")
            self.counts = [tf.Variable(rng.integers(0, 9, 3)), tf.Variable(["a", "b"])]

    a, b = Block(), Block()
    b.scale = a.scale
    tf.train.Checkpoint(a=a, b=b).write(str(folder / "module"))
    arrays = {f"{n}/kernel": m.kernel for n, m in (("a", a), ("b", b))} | {"scale": a.scale}
    arrays |= {f"{n}/counts/{i}": m.counts[i] for n, m in (("a", a), ("b", b)) for i in range(2)}
    truth.write(folder / "module.index", [entry(n, v.numpy()) for n, v in arrays.items()], format="tensorflow")


def exported(folder, rng):
    """Keras' own export: a SavedModel that holds each variable twice; what is served is the state."""
    model = network(rng)
    path = folder / "exported"
    model.export(str(path), verbose=False)
    (path / "fingerprint.pb").unlink(missing_ok=True)
    arrays = {v.path: v.numpy() for v in model.variables}
    truth.write(path, [entry(n, a) for n, a in arrays.items()], format="tensorflow")


def saved_v1(folder, rng):
    """A SavedModel of TensorFlow 1: variables in the graph's own nodes, one of them partitioned."""
    path = folder / "saved_v1"
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 12], name="x")
        with v1.variable_scope("net"):
            values = rng.normal(size=(12, 8)).astype(np.float32)
            kernel = v1.get_variable(
                "kernel", [12, 8], partitioner=v1.fixed_size_partitioner(3), use_resource=False,
                initializer=lambda shape, dtype, partition_info: values[partition_info.var_offset[0] :][: shape[0]],
            )  # fmt: skip
            bias = v1.get_variable("bias", initializer=rng.normal(size=8).astype(np.float32))
            y = tf.matmul(x, tf.convert_to_tensor(kernel)) + bias
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(path), {"x": x}, {"y": y})
        arrays = {"net/kernel": values, "net/bias": session.run(bias)}
    truth.write(path, [entry(n, a) for n, a in arrays.items()], format="tensorflow")


# The field that holds elements of a type.
FIELDS = {
    "F32": "float_val", "F64": "double_val", "F16": "half_val", "BF16": "half_val", "I64": "int64_val", "BOOL": "bool_val",
    "U32": "uint32_val", "U64": "uint64_val", "C64": "scomplex_val", "C128": "dcomplex_val",
}  # fmt: skip


def in_field(array, kind, keep):
    """A TensorProto in the type's own field, of which the first `keep` elements are written."""
    proto = tensor_pb2.TensorProto(dtype=kind.as_datatype_enum, tensor_shape=tf.TensorShape(array.shape).as_proto())
    flat = array.reshape(-1)[:keep]
    name = TYPES[kind]
    if name.startswith("F8"):
        proto.float8_val = flat.tobytes()
    elif name in ("F16", "BF16"):
        proto.half_val.extend(flat.view(np.uint16).tolist())
    elif name.startswith("C"):
        getattr(proto, FIELDS[name]).extend(x for z in flat.tolist() for x in (z.real, z.imag))
    else:
        getattr(proto, FIELDS.get(name, "int_val")).extend(flat.astype(int if name in ("I4", "U4") else flat.dtype).tolist())
    return proto


def fields(folder, rng):
    """Constants in every type and form: content, field, a field whose last element repeats, one element, none."""
    graph, found = graph_pb2.GraphDef(), []

    def add(name, kind, proto, array):
        node = graph.node.add(name=name, op="Const")
        node.attr["dtype"].type = kind.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(proto)
        assert (tf.make_ndarray(proto) == array).all() or TYPES[kind].startswith(("F", "B")), name
        found.append(entry(name, array))

    for kind, name in TYPES.items():
        shape = tuple(int(n) for n in rng.integers(2, 6, 2))
        array = random(rng, kind, shape)
        content = tensor_pb2.TensorProto(dtype=kind.as_datatype_enum, tensor_shape=tf.TensorShape(shape).as_proto())
        content.tensor_content = array.tobytes()
        add(f"{name}/content", kind, content, array)
        add(f"{name}/field", kind, in_field(array, kind, array.size), array)
        repeated = array.copy().reshape(-1)
        repeated[3:] = repeated[2]
        add(f"{name}/repeated", kind, in_field(repeated.reshape(shape), kind, 3), repeated.reshape(shape))
        single = np.broadcast_to(array.reshape(-1)[0], shape).copy()
        add(f"{name}/single", kind, in_field(single, kind, 1), single)
    long = np.full(70_000, 0.5, np.float32)
    long[:5] = rng.normal(size=5)
    add("long", tf.float32, in_field(long, tf.float32, 6), long)
    add("zeros", tf.float32, in_field(np.zeros((3, 4), np.float32), tf.float32, 0), np.zeros((3, 4), np.float32))
    add("scalar", tf.int32, in_field(np.array(-7, np.int32), tf.int32, 1), np.array(-7, np.int32))
    add("nothing", tf.int32, in_field(np.empty((0, 2), np.int32), tf.int32, 0), np.empty((0, 2), np.int32))
    words = np.array([b"a", b"b"], object)
    node = graph.node.add(name="words", op="Const")
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(words))
    found.append(entry("words", words))
    (folder / "fields.pb").write_bytes(graph.SerializeToString(deterministic=True))
    truth.write(folder / "fields.pb", found, format="tensorflow")


def frozen(folder, rng):
    """A network whose variables were made constants."""
    model = network(rng)
    call = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec([1, 8, 8, 3]))
    graph = convert_variables_to_constants_v2(call).graph.as_graph_def()
    (folder / "frozen.pb").write_bytes(graph.SerializeToString(deterministic=True))
    constants = [(n.name, tf.make_ndarray(n.attr["value"].tensor)) for n in graph.node if n.op == "Const"]
    truth.write(folder / "frozen.pb", [entry(n, a) for n, a in constants], format="tensorflow")
