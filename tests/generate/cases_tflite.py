"""TensorFlow Lite cases: models that TensorFlow converts in its ways, and ones put together with its schema.

What must be read comes from the schema's own Python classes; sparse tensors are expanded here, entry by entry.
"""

import hashlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import flatbuffers
import ml_dtypes
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

import truth

Type = schema.TensorType
DTYPES = {
    Type.FLOAT32: "F32", Type.FLOAT16: "F16", Type.FLOAT64: "F64", Type.BFLOAT16: "BF16", Type.COMPLEX64: "C64",
    Type.COMPLEX128: "C128", Type.INT8: "I8", Type.INT16: "I16", Type.INT32: "I32", Type.INT64: "I64",
    Type.UINT8: "U8", Type.UINT16: "U16", Type.UINT32: "U32", Type.UINT64: "U64", Type.BOOL: "BOOL",
    Type.INT4: "I4", Type.UINT4: "U4", Type.INT2: "I2", Type.STRING: "STRING",
}  # fmt: skip
BITS = {"I4": 4, "U4": 4, "I2": 2}


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    tf.keras.utils.set_random_seed(int(seed) % 2**32)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (BUILT | CONVERTED).items():
        path = folder / f"{name}.tflite"
        path.write_bytes(make(rng))
        describe(path)


# What TensorFlow converts.


def network(rng, mode):
    width = int(rng.integers(2, 7))
    layers = tf.keras.layers
    model = tf.keras.Sequential([
        layers.Input((12, 12, 3)),
        layers.Conv2D(width, 3, strides=2, activation="relu6"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same"),
        layers.BatchNormalization(),
        layers.Conv2DTranspose(width, 2, strides=2),
        # What is quantized to 16 bits may have no PReLU.
        layers.ReLU() if mode == "int16x8" else layers.PReLU(shared_axes=[1, 2]),
        layers.GlobalAveragePooling2D(),
        layers.Dense(int(rng.integers(2, 7))),
    ])  # fmt: skip
    for variable in model.weights:
        low = 0.5 if "variance" in variable.name else -1.0
        variable.assign(rng.uniform(low, 1.0, variable.shape))
    return model


def converted(rng, mode):
    converter = tf.lite.TFLiteConverter.from_keras_model(network(rng, mode))
    if mode != "f32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "f16":
        converter.target_spec.supported_types = [tf.float16]
    if mode in ("int8", "int16x8"):
        samples = rng.uniform(-1, 1, (8, 1, 12, 12, 3)).astype(np.float32)
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        both = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        ops = tf.lite.OpsSet.TFLITE_BUILTINS_INT8 if mode == "int8" else both
        converter.target_spec.supported_ops = [ops]
    if mode == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def control_flow(rng):
    """A loop, and a choice within it, each with weights of its own."""
    size = int(rng.integers(3, 8))
    first, second, third = (tf.constant(rng.standard_normal((size, size)), tf.float32) for _ in range(3))

    class Loop(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, size), tf.float32)])
        def run(self, x):
            def body(i, x):
                small = tf.reduce_sum(x) < 1
                x = tf.cond(small, lambda: tf.matmul(x, first), lambda: tf.tanh(tf.matmul(x, second)))
                return i + 1, x

            return tf.matmul(tf.while_loop(lambda i, x: i < 3, body, (tf.constant(0), x))[1], third)

    module = Loop()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([module.run.get_concrete_function()], module)
    return converter.convert()


def recurrent(rng):
    units = int(rng.integers(2, 6))
    model = tf.keras.Sequential([
        tf.keras.layers.Input((6,), dtype="int32", batch_size=1),
        tf.keras.layers.Embedding(11, 4),
        tf.keras.layers.LSTM(units, unroll=False),
        tf.keras.layers.Dense(3),
    ])  # fmt: skip
    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


CONVERTED = {mode: lambda rng, mode=mode: converted(rng, mode) for mode in ("f32", "dynamic", "f16", "int8", "int16x8")}
CONVERTED |= {"control_flow": control_flow, "recurrent": recurrent}


# What is put together by hand, with the schema's classes.


class Builder:
    def __init__(self):
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.description = "put together"
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.name = "main"
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs = [self.graph]

    def buffer(self, raw):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(raw, np.uint8)
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def tensor(self, name, kind, shape, raw=None, buffer=0, scales=None, zeros=None, axis=0, sparsity=None, variable=False):
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape = name, kind, list(shape)
        tensor.buffer = buffer if raw is None else self.buffer(raw)
        tensor.isVariable, tensor.sparsity = variable, sparsity
        if scales is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale, quantization.zeroPoint = list(scales), list(zeros)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, builtin, inputs, outputs):
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
        self.model.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes) - 1
        operator.inputs, operator.outputs = inputs, outputs
        self.graph.operators.append(operator)

    def pack(self):
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def types(rng):
    b = Builder()
    count = int(rng.integers(3, 12))
    for kind, dtype in DTYPES.items():
        if dtype in BITS:
            raw = rng.bytes((count * BITS[dtype] + 7) // 8)
        elif dtype == "STRING":
            words = [b"a", "ü".encode(), b""] * count
            words = words[:count]
            ends = np.cumsum([4 * (count + 2), *map(len, words)]).astype("<i4")
            raw = np.int32(count).tobytes() + ends.tobytes() + b"".join(words)
        elif dtype == "BOOL":
            raw = rng.integers(0, 2, count, np.uint8).tobytes()
        elif dtype[0] in "FBC":
            values = rng.standard_normal(2 * count)
            values = values[:count] + 1j * values[count:] if dtype[0] == "C" else values[:count]
            raw = values.astype(numpy_type(dtype)).tobytes()
        else:
            raw = rng.bytes(count * int(dtype[1:]) // 8)
        b.tensor(f"of {dtype}", kind, (count,), raw)
    return b.pack()


def details(rng):
    """Buffers that are shared, variables, codes with scales along each dimension, metadata."""
    b = Builder()
    out, width = (int(n) for n in rng.integers(2, 6, 2))
    raw = rng.standard_normal((out, width)).astype(np.float32).tobytes()
    shared = b.buffer(raw)
    b.tensor("tied", Type.FLOAT32, (out, width), buffer=shared)
    b.tensor("tied again", Type.FLOAT32, (width, out), buffer=shared)
    b.tensor("state", Type.FLOAT32, (width,), rng.standard_normal(width).astype(np.float32).tobytes(), variable=True)
    b.tensor("state without values", Type.FLOAT32, (width,), variable=True)
    scales = lambda n: rng.uniform(0.001, 1, n)
    codes = lambda *shape: rng.integers(-128, 128, shape).astype(np.int8).tobytes()
    weight = b.tensor("by row", Type.INT8, (out, width), codes(out, width), scales=scales(out), zeros=[0] * out)
    b.tensor("by column", Type.INT8, (1, 3, out, width), codes(3, out, width), scales=scales(width), zeros=[0] * width, axis=3)
    b.tensor("whole", Type.UINT8, (out,), rng.bytes(out), scales=scales(1), zeros=[int(rng.integers(1, 255))])
    b.tensor("fours", Type.INT4, (3, 3), rng.bytes(5), scales=scales(3), zeros=[0] * 3)
    x, y = b.tensor("x", Type.INT8, (1, width)), b.tensor("y", Type.INT8, (1, out))
    b.operator(schema.BuiltinOperator.FULLY_CONNECTED, [x, weight, -1], [y])
    b.graph.inputs, b.graph.outputs = [x], [y]
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = "min_runtime_version", b.buffer(b"1.14.0".ljust(16, b"\0"))
    b.model.metadata = [metadata]
    return b.pack()


def beyond(rng):
    """Buffers behind the flatbuffer, as models of more than 2 GB have them."""
    b = Builder()
    arrays = [rng.standard_normal(int(rng.integers(2, 30))).astype(np.float32) for _ in range(3)]
    for i, array in enumerate(arrays):
        b.tensor(f"w{i}", Type.FLOAT32, array.shape, buffer=len(b.model.buffers))
        buffer = schema.BufferT()
        # Lengths do not change when the true offsets are known.
        buffer.offset, buffer.size = 1 << 40, array.nbytes
        b.model.buffers.append(buffer)
    start = -(-len(b.pack()) // 16) * 16
    at, tail = start, b""
    for buffer, array in zip(b.model.buffers[1:], arrays):
        buffer.offset = at
        tail += array.tobytes().ljust(-(-array.nbytes // 16) * 16, b"\0")
        at = start + len(tail)
    return b.pack().ljust(start, b"\0") + tail


def numbers(which, values):
    """A vector of indices of one of the three widths, and the union's code for it."""
    kind = [schema.Int32VectorT, schema.Uint16VectorT, schema.Uint8VectorT][which]()
    kind.values = np.array(values, [np.int32, np.uint16, np.uint8][which])
    return which + 1, kind


def sparse(rng):
    """Tensors of the layouts that the converter makes, and others that the schema allows."""
    b = Builder()
    rows, columns = (4 * int(n) for n in rng.integers(1, 6, 2))
    for name, dtype, order, blocks, compressed in [
        ("rows", "F32", [0, 1], {}, [1]),
        ("columns", "F32", [1, 0], {}, [1]),
        ("both", "F16", [0, 1], {}, [0, 1]),
        ("dense", "I8", [0, 1], {}, []),
        ("block 1x4", "I8", [0, 1, 2], {1: 4}, [1]),
        ("block 4x1", "F32", [0, 1, 2], {0: 4}, [1]),
        ("block 2x4", "F16", [0, 1, 2, 3], {0: 2, 1: 4}, [1]),
        ("turned block", "F32", [1, 0, 3, 2], {0: 4, 1: 2}, [1]),
    ]:
        add_sparse(b, rng, name, dtype, (rows, columns), order, blocks, compressed)
    add_sparse(b, rng, "filter", "F32", (4, 3, 3, 8), [0, 1, 2, 3, 4], {3: 4}, [3])
    add_sparse(b, rng, "vector", "F32", (columns,), [0], {}, [0])
    return b.pack()


def add_sparse(b, rng, name, dtype, shape, order, blocks, compressed):
    """Encodes random values with many zeros: a tree of `order`, whose levels `compressed` list their indices."""
    kind = {v: k for k, v in DTYPES.items()}[dtype]
    values = rng.integers(-9, 10, shape)
    cut = list(blocks)
    grid = [blocks.get(d, 1) for d in range(len(shape))]
    where = np.array(shape) // grid
    there = rng.random(where) < 0.4
    values = values * np.kron(there, np.ones(grid, int)).reshape(shape)
    size = lambda level: where[level] if level < len(shape) else blocks[cut[level - len(shape)]]
    metadata = []
    prefixes = [()]
    for depth, level in enumerate(order):
        entry = schema.DimensionMetadataT()
        if depth in compressed:
            starts, indices, following = [0], [], []
            for prefix in prefixes:
                for i in range(size(level)):
                    if any_nonzero(values, shape, grid, cut, order, (*prefix, i)):
                        indices.append(i)
                        following.append((*prefix, i))
                starts.append(len(indices))
            entry.format = schema.DimensionType.SPARSE_CSR
            width = int(rng.integers(0, 3)) if max(starts) < 256 else 0
            entry.arraySegmentsType, entry.arraySegments = numbers(width, starts)
            entry.arrayIndicesType, entry.arrayIndices = numbers(int(rng.integers(0, 3)), indices)
            prefixes = following
        else:
            entry.denseSize = int(size(level))
            prefixes = [(*prefix, i) for prefix in prefixes for i in range(size(level))]
        metadata.append(entry)
    stored = np.array([values[position(shape, grid, cut, order, p)] for p in prefixes])
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder, sparsity.blockMap, sparsity.dimMetadata = order, cut, metadata
    b.tensor(name, kind, shape, stored.astype(numpy_type(dtype)).tobytes(), sparsity=sparsity)


def position(shape, grid, cut, order, indices):
    """The dense index that indices along all levels stand for."""
    at = [0] * len(shape)
    for level, i in zip(order, indices):
        if level < len(shape):
            at[level] += i * grid[level]
        else:
            at[cut[level - len(shape)]] += i
    return tuple(at)


def any_nonzero(values, shape, grid, cut, order, indices):
    """Whether anything but zeros lies below indices along the first levels."""
    window = [slice(None)] * len(shape)
    outer = dict(zip(order, indices))
    for d in range(len(shape)):
        within = next((outer[len(shape) + k] for k, dim in enumerate(cut) if dim == d and len(shape) + k in outer), None)
        if d in outer:
            window[d] = slice(outer[d] * grid[d], (outer[d] + 1) * grid[d])
        if within is not None:
            start = (outer[d] * grid[d] if d in outer else 0) + within
            window[d] = slice(start, start + 1 if d in outer else shape[d], 1 if d in outer else grid[d])
    return bool(np.any(values[tuple(window)]))


BUILT = {"types": types, "details": details, "beyond": beyond, "sparse": sparse}


# What must be read.


def numpy_type(dtype):
    names = {"BF16": ml_dtypes.bfloat16, "BOOL": np.bool_}
    kinds = {"F": "f", "I": "i", "U": "u", "C": "c"}
    return names.get(dtype) or np.dtype(f"<{kinds[dtype[0]]}{int(dtype[1:]) // 8}")


def describe(path):
    content = path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    entries = []
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            raw = bytes_of(model.buffers[tensor.buffer], content)
            if raw:
                entries.append(entry(tensor, raw))
    truth.write(path, entries, format="tflite")


def bytes_of(buffer, content):
    if buffer.data is not None and len(buffer.data):
        return bytes(bytearray(buffer.data))
    return content[buffer.offset : buffer.offset + buffer.size] if buffer.offset > 1 else b""


def entry(tensor, raw):
    name, dtype = tensor.name.decode(), DTYPES[tensor.type]
    shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    if dtype == "STRING":
        return {"name": name, "dtype": dtype, "shape": shape, "sha256": hashlib.sha256(raw).hexdigest(), "count": len_of(shape)}
    if dtype in BITS:
        codes, values = (a[: len_of(shape)] for a in unpacked(raw, dtype))
        return truth.entry(name, dtype, shape, codes.tobytes(), values)
    array = np.frombuffer(raw, numpy_type(dtype))
    if tensor.sparsity is not None:
        array = expanded(tensor.sparsity, shape, array)
    array = array[: len_of(shape)].reshape(shape)
    if dtype == "BF16":
        return truth.entry(name, dtype, shape, array.tobytes(), array.astype(np.float32))
    return truth.of_numpy(name, array)


def len_of(shape):
    return int(np.prod(shape, dtype=np.int64))


def unpacked(raw, dtype):
    """Several elements a byte, the lowest bits first: the codes one a byte, and their values."""
    bits = BITS[dtype]
    codes = np.frombuffer(raw, np.uint8)
    codes = np.stack([codes >> shift & (1 << bits) - 1 for shift in range(0, 8, bits)], -1).reshape(-1)
    values = codes.astype(np.int8)
    return codes, values if dtype[0] == "U" else values - (values >> bits - 1 << bits)


def expanded(sparsity, shape, stored):
    """The dense elements, one level after another as the schema describes them."""
    order = [int(n) for n in sparsity.traversalOrder]
    cut = [] if sparsity.blockMap is None else [int(n) for n in sparsity.blockMap]
    grid = [1] * len(shape)
    for block, dim in enumerate(cut):
        grid[dim] = sparsity.dimMetadata[order.index(len(shape) + block)].denseSize
    dense = np.zeros(shape, stored.dtype)
    left = iter(stored)

    def fill(level, above, indices):
        if level == len(order):
            dense[position(shape, grid, cut, order, indices)] = next(left)
            return
        metadata = sparsity.dimMetadata[level]
        if metadata.format == schema.DimensionType.DENSE:
            for i in range(metadata.denseSize):
                fill(level + 1, above * metadata.denseSize + i, (*indices, i))
        else:
            starts, listed = metadata.arraySegments.values, metadata.arrayIndices.values
            for entry in range(starts[above], starts[above + 1]):
                fill(level + 1, entry, (*indices, int(listed[entry])))

    fill(0, 0, ())
    assert next(left, None) is None
    return dense.reshape(-1)
