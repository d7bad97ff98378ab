"""Hostile files of TensorFlow Lite, HDF5 and TensorRT: levels that lie, graphs in circles, chunks that share, bombs."""

import io
import struct

import flatbuffers
import h5py
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

import cases_tensorrt
from cases_tflite import Builder, Type, numbers


def cases():
    """name: (content, what is expected, whether it must be refused)."""
    return hostile_tflite() | hostile_hdf5() | hostile_engines()


# TensorFlow Lite.


def sparse(shape=(2, 3), order=(0, 1), blocks=(), starts=(0, 1, 2), listed=(2, 0), sizes=(2,), values=2, which=0):
    """A model of one sparse tensor, dense levels but for the second."""
    b = Builder()
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder, sparsity.blockMap, sparsity.dimMetadata = list(order), list(blocks), []
    for level in range(len(order)):
        entry = schema.DimensionMetadataT()
        if level == 1:
            entry.format = schema.DimensionType.SPARSE_CSR
            entry.arraySegmentsType, entry.arraySegments = numbers(which, starts)
            entry.arrayIndicesType, entry.arrayIndices = numbers(which, listed)
        else:
            entry.denseSize = sizes[min(level, len(sizes) - 1)]
        sparsity.dimMetadata.append(entry)
    b.tensor("w", Type.FLOAT32, shape, np.ones(values, np.float32).tobytes(), sparsity=sparsity)
    return b.pack()


def many_sparse(count):
    """Tensors that share one sparsity, one buffer and one name, each of millions of zeros."""
    builder = flatbuffers.Builder(1024)
    sparsity = schema.SparsityParametersT()
    entries = [schema.DimensionMetadataT(), schema.DimensionMetadataT()]
    entries[0].denseSize = 1
    entries[1].format = schema.DimensionType.SPARSE_CSR
    entries[1].arraySegmentsType, entries[1].arraySegments = numbers(0, [0, 1])
    entries[1].arrayIndicesType, entries[1].arrayIndices = numbers(0, [0])
    sparsity.traversalOrder, sparsity.blockMap, sparsity.dimMetadata = [0, 1], [], entries
    shared = sparsity.Pack(builder)
    name = builder.CreateString("w")
    shape = builder.CreateNumpyVector(np.array([1, 4_000_000], np.int32))
    tensors = []
    for _ in range(count):
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddBuffer(builder, 1)
        schema.TensorAddName(builder, name)
        schema.TensorAddSparsity(builder, shared)
        tensors.append(schema.TensorEnd(builder))
    tensors = vector(builder, tensors)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graphs = vector(builder, [schema.SubGraphEnd(builder)])
    data = builder.CreateNumpyVector(np.frombuffer(np.float32(1).tobytes(), np.uint8))
    schema.BufferStart(builder)
    empty = schema.BufferEnd(builder)
    schema.BufferStart(builder)
    schema.BufferAddData(builder, data)
    buffers = vector(builder, [empty, schema.BufferEnd(builder)])
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, graphs)
    schema.ModelAddBuffers(builder, buffers)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def choices(edges, count):
    """Subgraphs of IF operators: `edges` has the branches of each."""
    b = Builder()
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.IF
    b.model.operatorCodes = [code]
    b.model.subgraphs = []
    for i in range(count):
        graph = schema.SubGraphT()
        graph.tensors, graph.inputs, graph.outputs, graph.operators = [], [], [], []
        for then, otherwise in edges(i):
            operator = schema.OperatorT()
            operator.inputs, operator.outputs = [], []
            operator.builtinOptionsType = schema.BuiltinOptions.IfOptions
            operator.builtinOptions = schema.IfOptionsT()
            operator.builtinOptions.thenSubgraphIndex = then
            operator.builtinOptions.elseSubgraphIndex = otherwise
            graph.operators.append(operator)
        b.model.subgraphs.append(graph)
    return b.pack()


def one(kind=Type.FLOAT32, shape=(2,), raw=b"\0" * 8, change=None, **about):
    b = Builder()
    b.tensor("w", kind, shape, raw, **about)
    if change:
        change(b)
    return b.pack()


def beyond(offset, size):
    def change(b):
        b.model.buffers[1].data, b.model.buffers[1].offset, b.model.buffers[1].size = None, offset, size

    return one(change=change)


def hostile_tflite():
    last = lambda n: lambda i: [(i + 1, i + 1)] if i + 1 < n else []
    listing = {
        "tfl_sparse_zeros.tflite": (sparse((2, 1 << 30)), "two values among billions of zeros"),
        "tfl_sparse_shared.tflite": (many_sparse(500), "500 tensors of millions of zeros that share everything"),
        "tfl_if_itself.tflite": (choices(lambda i: [(0, 0)], 1), "a choice of the graph that it stands in"),
        "tfl_if_each_other.tflite": (choices(lambda i: [(1 - i, 1 - i)] * 50, 2), "graphs that choose each other"),
        "tfl_if_deep.tflite": (choices(last(1000), 1000), "1,000 graphs within each other"),
        "tfl_if_wide.tflite": (choices(lambda i: [(j, j) for j in range(i + 1, 50)], 50), "every graph in every one before"),
        "tfl_scales_odd.tflite": (one(Type.INT8, (2, 4), scales=[1, 2, 3], zeros=[0]), "three scales of two rows"),
        "tfl_scales_nan.tflite": (one(Type.INT8, (8,), scales=[float("nan")], zeros=[2**62]), "a scale that is no number"),
        "tfl_axis_far.tflite": (one(Type.INT8, (2, 4), scales=[1, 2], zeros=[0, 0], axis=2**31 - 1), "scales along no dimension"),
        "tfl_text_lies.tflite": (one(Type.STRING, (9,), struct.pack("<iii", -1, 2**31 - 1, 0)), "strings of negative count"),
        "tfl_beyond_itself.tflite": (beyond(4, 8), "a buffer in the flatbuffer's own header"),
    }
    refused = {
        "tfl_sparse_order.tflite": (sparse(order=(0, 0)), "a dimension twice"),
        "tfl_sparse_order_far.tflite": (sparse(order=(0, 2**31 - 1)), "a dimension that is not there"),
        "tfl_sparse_block_zero.tflite": (sparse((4, 3), (0, 1, 2), (0,), sizes=(2, 0, 0)), "blocks of nothing"),
        "tfl_sparse_block_far.tflite": (sparse((4, 3), (0, 1, 2), (9,), sizes=(2, 0, 2)), "blocks of a tenth dimension"),
        "tfl_sparse_block_odd.tflite": (sparse((4, 3), (0, 1, 2), (0,), sizes=(1, 0, 3)), "blocks of three among four"),
        "tfl_sparse_block_negative.tflite": (sparse((4, 3), (0, 1, 2), (0,), sizes=(2, 0, -2)), "blocks of minus two"),
        "tfl_sparse_starts_fall.tflite": (sparse(starts=(0, 2, 1)), "starts that fall"),
        "tfl_sparse_starts_far.tflite": (sparse(starts=(0, 1, 2**31 - 1)), "a start past the end"),
        "tfl_sparse_starts_few.tflite": (sparse(starts=(0,)), "one start of two rows"),
        "tfl_sparse_starts_none.tflite": (sparse(starts=(), listed=()), "no starts"),
        "tfl_sparse_index_far.tflite": (sparse(listed=(3, 0)), "an index beyond its dimension"),
        "tfl_sparse_index_negative.tflite": (sparse(listed=(-1, 0)), "a negative index"),
        "tfl_sparse_index_twice.tflite": (sparse(starts=(0, 2, 2), listed=(1, 1)), "one index twice"),
        "tfl_sparse_values_few.tflite": (sparse(values=1), "fewer values than indices"),
        "tfl_if_far.tflite": (choices(lambda i: [(10**6, 0)], 1), "a branch that is not there"),
        "tfl_dim_negative.tflite": (one(shape=(-2,)), "a dimension of -2"),
        "tfl_dims_huge.tflite": (one(shape=(2**31 - 1,) * 4), "2^124 elements"),
        "tfl_dims_many.tflite": (one(shape=(1,) * 10000), "10,000 dimensions"),
        "tfl_beyond_far.tflite": (beyond(2**64 - 4, 8), "a buffer at the end of the numbers"),
        "tfl_beyond_long.tflite": (beyond(64, 2**63), "a buffer longer than any file"),
    }
    return {name: (*case, False) for name, case in listing.items()} | {name: (*case, True) for name, case in refused.items()}


# HDF5.


def h5(make, libver="earliest"):
    file = io.BytesIO()
    with h5py.File(file, "w", libver=libver) as opened:
        make(opened)
    return file.getvalue()


def patched(content, old, new, count=1):
    assert content.count(old) >= 1, old
    return content.replace(old, new, count)


def hostile_hdf5():
    def circle(file):
        file.create_group("a/b")["root"] = file["/"]
        file["a/again"] = file["a"]
        file["w"] = np.ones(2, "f4")

    def deep(file):
        group = file
        for _ in range(600):
            group = group.create_group("g")
        group["w"] = np.ones(2, "f4")

    def bomb(file):
        file.create_dataset("w", data=np.zeros((40, 1 << 18), "f4"), chunks=(1, 1 << 18), compression="gzip", compression_opts=9)

    def twice_deflated(file):
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_chunk((1 << 22,))
        for _ in range(3):
            layout.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
        space = h5py.h5s.create_simple((1 << 22,))
        dataset = h5py.h5d.create(file.id, b"w", h5py.h5t.IEEE_F32LE, space, dcpl=layout)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(1 << 22, "f4"))

    def unwritten(file):
        for i in range(100):
            file.create_dataset(f"w{i}", (12 << 20,), "f4")

    def unwritten_chunks(file):
        for i in range(4):
            dataset = file.create_dataset(f"w{i}", (4 << 20,), "f4", chunks=(1024,))
            dataset[:1] = 1

    def endless(file):
        file.create_dataset("w", (1 << 60,), "f4", chunks=(1024,))
        file.create_dataset("v", (1 << 30, 1 << 30), "f4", chunks=(1 << 14, 1 << 14))

    def many_links(file):
        file["w"] = np.ones(2, "f4")
        for i in range(300):
            file[f"link {i}"] = h5py.SoftLink("/w") if i % 2 else h5py.ExternalLink("/etc/passwd", "/x")

    def plain(file):
        file["w"] = np.arange(16, dtype="f4")

    def chunked(file):
        file.create_dataset("w", data=np.arange(64, dtype="f4").reshape(8, 8), chunks=(2, 8))

    whole, pieces = h5(plain), h5(chunked)
    root = struct.unpack_from("<Q", whole, 64)[0]
    tree = pieces.index(b"TREE", pieces.index(b"TREE") + 4)
    # The chunks' tree: a header of 24 bytes, then keys of 32 bytes and addresses in turn.
    chunk = lambda i: tree + 24 + i * 40 + 32
    shared = bytearray(pieces)
    for i in range(4):
        struct.pack_into("<Q", shared, chunk(i), struct.unpack_from("<Q", pieces, chunk(0))[0])
    leaf_as_root = bytearray(pieces)
    leaf_as_root[tree + 5] = 1
    struct.pack_into("<Q", leaf_as_root, chunk(0), tree)
    outside = bytearray(pieces)
    struct.pack_into("<Q", outside, chunk(1), 1 << 60)
    long = bytearray(pieces)
    struct.pack_into("<I", long, tree + 24, 2**32 - 1)
    same_root = bytearray(whole)
    struct.pack_into("<Q", same_root, 64, 0)
    size = bytearray(whole)
    struct.pack_into("<I", size, root + 8, 2**32 - 1)
    count = bytearray(whole)
    struct.pack_into("<H", count, root + 2, 65535)
    elements = struct.pack("<QQ", 16, 16)
    big = struct.pack("<QQ", 1 << 40, 1 << 40)
    listing = {
        "h5_circle.h5": (h5(circle), "groups that hold the root"),
        "h5_bomb.h5": (h5(bomb), "40 MB in 40 kB"),
        "h5_deflated_thrice.h5": (h5(twice_deflated), "deflated three times over"),
        "h5_unwritten.h5": (h5(unwritten, "latest"), "gigabytes that were never written"),
        "h5_unwritten_chunks.h5": (h5(unwritten_chunks, "latest"), "one chunk written of thousands"),
        "h5_endless.h5": (h5(endless, "latest"), "2^60 elements that were never written"),
        "h5_links.h5": (h5(many_links), "links to links and to other files, which are not followed"),
        "h5_chunks_shared.h5": (bytes(shared), "chunks that are one and the same"),
        "h5_count_huge.h5": (bytes(count), "65,535 messages, of which few are there"),
    }
    refused = {
        "h5_deep.h5": (h5(deep, "latest"), "600 groups within each other"),
        "h5_tree_itself.h5": (bytes(leaf_as_root), "a tree of chunks that holds itself"),
        "h5_chunk_outside.h5": (bytes(outside), "a chunk past the end"),
        "h5_chunk_long.h5": (bytes(long), "a chunk of 4 GB"),
        "h5_root_at_zero.h5": (bytes(same_root), "the superblock as its own root"),
        "h5_header_long.h5": (bytes(size), "a header of 4 GB"),
        "h5_dims_huge.h5": (patched(whole, elements, big), "2^40 elements in 64 bytes"),
        "h5_superblock.h5": (whole[:8] + b"\x09" + whole[9:], "a superblock of version 9"),
        "h5_widths.h5": (whole[:13] + b"\xff\xff" + whole[15:], "addresses of 255 bytes"),
    }
    return {name: (*case, False) for name, case in listing.items()} | {name: (*case, True) for name, case in refused.items()}


# TensorRT.


def hostile_engines():
    whole = cases_tensorrt.sectioned(b"vtrt", (1, 7, 1, 116), {"ENGN": b"ptrt" + b"\0" * 60, "WGHT": b"\0" * 64})
    put = lambda at, number: whole[:at] + struct.pack("<Q", number) + whole[at + 8 :]
    text = lambda words: cases_tensorrt.sectioned(b"vtrt", (1, 7, 1, 116), {"ENGN": words})
    said = lambda document, engine=whole: struct.pack("<I", len(document)) + document + engine
    listing = {
        "trt_sections_many.engine": (put(8, 64), "64 sections, of which two are there"),
        "trt_sections_huge.engine": (put(8, 2**63), "2^63 sections"),
        "trt_section_far.engine": (put(72, 2**64 - 1), "a section at the end of the numbers"),
        "trt_section_long.engine": (put(80, 2**64 - 1), "a section longer than any file"),
        "trt_list_open.engine": (text(b"accelerators={ " * 4_000), "60 kB of lists that do not end"),
        "trt_list_long.engine": (text(b"accelerators={" + b" ".join(b"a%d" % i for i in range(9_000)) + b"}"), "9,000 targets"),
        "trt_layers_open.engine": (text(b"[ONNX Layer: " * 4_000), "50 kB of layers that do not end"),
        "trt_old_long.engine": (struct.pack("<4sIQI", b"ptrt", 97, 2**64 - 1, 0) + b"\0" * 20, "an old header that lies"),
        "trt_trailing.engine": (whole + b"\0" * 100, "bytes after the engine"),
    }
    refused = {
        "trt_magic_alone.engine": (b"ftrt", "a magic alone"),
        "trt_cut.engine": (whole[:-1], "a byte less than stated"),
        "trt_long.engine": (put(16, 2**64 - 1), "an engine longer than any file"),
        "trt_json_not.engine": (said(b"{" * 20), "a document that is none"),
        "trt_json_deep.engine": (said(b'{"a":' * 10_000), "10,000 nested objects"),
        "trt_json_alone.engine": (struct.pack("<I", 2**24) + b'{"a": 1}', "a document and no engine"),
    }
    return {name: (*case, False) for name, case in listing.items()} | {name: (*case, True) for name, case in refused.items()}
