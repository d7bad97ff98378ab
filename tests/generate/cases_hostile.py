"""Hostile files: cut short, with bytes changed, and with claims that are not so."""

import io
import json
import struct
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from onnx import TensorProto
from safetensors.torch import save

# First: the LLVM of torch's exporter refuses to come after that of TensorFlow.
import cases_pytorch
import cases_caffe
import cases_gguf
import hostile_lite
import hostile_tensorflow
import nets
import pytorch_forms
import values
from cases_onnx import every_dtype, model_of
from cases_pytorch import rezip

CUT = "truncated: a clear error"
FLIPPED = "random bytes changed (0 and 1: within the first 4 KiB): no crash, hang or huge allocation"


def write(folder, seed):
    """Writes the files and adds them to EXPECT.json, beside what it tells of files from elsewhere."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "EXPECT.json"
    expect = json.loads(path.read_text()) if path.exists() else {}
    for name, (content, meaning, refused) in cases(rng).items():
        (folder / name).write_bytes(content)
        expect[name] = {"expect": meaning} | ({"exit": 2} if refused else {})
    path.write_text(json.dumps(dict(sorted(expect.items())), indent=1) + "\n")


def cases(rng):
    """name: (content, what is expected, whether it must be refused)."""
    model, _ = every_dtype(rng)
    wholes = {
        "onnx": model.SerializeToString(deterministic=True),
        "caffe": cases_caffe.current(cases_caffe.lenet(rng), cases_caffe.loose),
        "safetensors": save({name: values.weights(rng, *size) for name, size in nets.llama()}),
        "pytorch": pth({name: values.weights(rng, *size) for name, size in nets.llama()}),
    }
    found = {}
    for family, whole in wholes.items():
        for share in (0, 20, 500, 900, 999):
            # Protobuf has no end: a cut at a field's border is a smaller model.
            found[f"trunc_{family}_{share:03}"] = whole[: len(whole) * share // 1000], CUT, family not in ("onnx", "caffe")
        for k in range(4):
            found[f"flip_{family}_{k}"] = flipped(rng, whole, 4096 if k < 2 else len(whole)), FLIPPED, False
    return (
        found
        | hostile_safetensors()
        | hostile_onnx()
        | hostile_caffe()
        | hostile_pytorch(rng)
        | older_pytorch()
        | hostile_gguf()
        | hostile_tensorflow.cases()
        | hostile_lite.cases()
    )


def older_pytorch():
    """PyTorch's other files, cut short and with bytes changed."""
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        torch.manual_seed(1)
        pytorch_forms.write(folder, rng, cases_pytorch.state_dict(rng))
        names = {"legacy": "legacy_protocol2.pth", "tar": "tar.pth", "torchscript": "script.pt"}
        names |= {"pt2": "exported.pt2", "pickle": "bare_protocol4.pkl"}
        wholes = {family: (folder / name).read_bytes() for family, name in names.items()}
    found = {}
    for family, whole in wholes.items():
        for share in (0, 20, 500, 900):
            # The two blocks that end a tar are nothing that is missed.
            found[f"trunc_{family}_{share:03}"] = whole[: len(whole) * share // 1000], CUT, family != "tar"
        for k in range(3):
            found[f"flip_{family}_{k}"] = flipped(rng, whole, 4096 if k < 2 else len(whole)), FLIPPED, False
    legacy = wholes["legacy"]
    count = struct.pack("<q", 24)
    assert legacy.count(count) == 1
    found["legacy_count_huge.pth"] = legacy.replace(count, struct.pack("<q", 2**62)), "a count past the end", True
    found["legacy_count_negative.pth"] = legacy.replace(count, struct.pack("<q", -1)), "a negative count", True
    return found | hostile_sparse()


def hostile_sparse():
    def sparse(indices, shape, coalesced=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tensor = torch.sparse_coo_tensor(torch.tensor(indices), torch.ones(len(indices[0])), shape, check_invariants=False)
            return pth({"s": tensor._coalesced_(coalesced)})

    return {
        "sparse_huge.pth": (sparse([[1], [1]], (2**31, 2**31)), "a sparse tensor that is 2^62 elements when dense", False),
        "sparse_out_of_order.pth": (sparse([[3, 1]], (5,)), "entries told to be in order, and not so", False),
    }


def flipped(rng, whole, within):
    data = np.frombuffer(whole, np.uint8).copy()
    at = rng.integers(0, min(within, len(data)), 12)
    data[at] = rng.integers(0, 256, len(at), dtype=np.uint8)
    return data.tobytes()


def hostile_gguf():
    """Whole files cut short and changed, and small ones that claim what is not so."""
    rng = np.random.default_rng(2)
    tensors, about = cases_gguf.llama(rng)
    whole = cases_gguf.pack(tensors, **about)
    found = {}
    for share in (20, 200, 500, 999):
        found[f"trunc_gguf_{share:03}"] = whole[: len(whole) * share // 1000], CUT, True
    for k in (1, 3):
        found[f"flip_gguf_{k}"] = flipped(rng, whole, 4096 if k < 2 else len(whole)), FLIPPED, False

    def file(entries=b"", tensors=b"", n_entries=None, n_tensors=None, version=3):
        counts = (int(bool(tensors)) if n_tensors is None else n_tensors), (1 if n_entries is None else n_entries)
        return b"GGUF" + struct.pack("<IQQ", version, *counts) + entries + tensors

    def text(s):
        return struct.pack("<Q", len(s)) + s

    def tensor(*dims, kind=0, offset=0, name=b"t"):
        return text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)

    def array(kind, count, content=b""):
        return text(b"a") + struct.pack("<IIQ", 9, kind, count) + content

    padded = tensor(32) + bytes(200)
    nested = b"".join(struct.pack("<IQ", 9, 1) for _ in range(50_000))
    more = {
        "gguf_entries_huge.gguf": (file(n_entries=2**63), "2^63 metadata entries", True),
        "gguf_strings_huge.gguf": (file(array(8, 2**40, bytes(800))), "an array of 2^40 strings", True),
        "gguf_nested_arrays.gguf": (file(array(9, 1, nested)), "50,000 arrays within each other", True),
        "gguf_arrays_of_arrays.gguf": (
            file(array(9, 1000, struct.pack("<IQ", 9, 2**60) * 1000)), "counts that lie within arrays", True
        ),
        "gguf_many_empty_arrays.gguf": (
            file(array(9, 100_000, struct.pack("<IQ", 0, 0) * 100_000)), "100,000 empty arrays in an array", False
        ),
        "gguf_key_twice.gguf": (
            file((text(b"k") + struct.pack("<II", 4, 1)) * 2, n_entries=2), "a key that comes twice", True
        ),
        "gguf_value_unknown.gguf": (file(text(b"k") + struct.pack("<II", 99, 1)), "an unknown type of value", True),
        "gguf_tensor_twice.gguf": (
            file(tensors=tensor(8) + padded, n_entries=0, n_tensors=2), "two tensors of one name", True
        ),
        "gguf_dims_many.gguf": (
            file(tensors=text(b"t") + struct.pack("<I", 2**31) + bytes(500), n_entries=0), "2^31 dimensions", True
        ),
        "gguf_rows_not_whole.gguf": (
            file(tensors=tensor(16, 2, kind=2) + bytes(200), n_entries=0), "rows of half a block", True
        ),
        "gguf_offset_overflow.gguf": (
            file(tensors=tensor(8, offset=2**64 - 8) + bytes(200), n_entries=0), "an offset that overflows", True
        ),
        "gguf_unknown_past_end.gguf": (
            file(tensors=tensor(8, kind=77, offset=2**63) + bytes(200), n_entries=0), "an unknown type past the end", False
        ),
        "gguf_zero_overflow.gguf": (
            file(tensors=tensor(2**62, 0, 2**62, kind=12) + bytes(200), n_entries=0),
            "sizes that overflow, one of them 0",
            False,
        ),
        "gguf_version_9.gguf": (file(n_entries=0, version=9), "a version that does not exist", True),
        "gguf_align_odd.gguf": (
            file(text(b"general.alignment") + struct.pack("<II", 4, 24), padded), "an alignment of 24", True
        ),
        "gguf_name_huge.gguf": (
            file(tensors=text(b"x" * 70_000) + bytes(100), n_entries=0), "a name of 70,000 bytes", True
        ),
        "gguf_split_lies.gguf": (
            file(
                text(b"split.count") + struct.pack("<Iq", 11, -5) + text(b"split.no") + struct.pack("<Iq", 11, 2**62),
                padded,
                n_entries=2,
            ),
            "split files of a negative count",
            False,
        ),
    }  # fmt: skip
    return found | more


def hostile_safetensors():
    def file(header, data=b"", length=None):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text) if length is None else length) + text + data

    def one(dtype="F32", shape=(1,), offsets=(0, 4)):
        return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}

    four = bytes(4)
    return {
        "st_header_huge.safetensors": (file(b"{}", length=2**63), "a header of 2^63 bytes", True),
        "st_header_100mb.safetensors": (file(b"{}", length=10**8), "a header past the file's end", True),
        "st_deep_json.safetensors": (file(b"[" * 100_000), "a header of 100,000 nested lists", True),
        "st_not_utf8.safetensors": (file(b'{"\xff":{}}'), "a header that is no UTF-8", True),
        "st_offsets_out.safetensors": (file(one(offsets=(0, 2**62)), four), "data past the end", True),
        "st_offsets_backwards.safetensors": (file(one(offsets=(4, 0)), four), "an end before its begin", True),
        "st_offsets_negative.safetensors": (file(one(offsets=(-4, 0)), four), "a negative offset", True),
        "st_shape_overflow.safetensors": (file(one(shape=[2**33] * 3), four), "a shape whose count overflows", True),
        "st_shape_zero_overflow.safetensors": (
            file(one(shape=[2**40, 2**40, 0], offsets=(0, 0))), "sizes that overflow, one of them 0", False
        ),
        "st_dtype_unknown.safetensors": (file(one(dtype="F33"), four), "an unknown dtype", True),
        "st_trailing.safetensors": (file(one(), four + b"junk"), "bytes after the last tensor", False),
    }  # fmt: skip


def hostile_onnx():
    def model(dims, data_type=TensorProto.FLOAT, raw=None, **place):
        tensor = TensorProto(name="w", data_type=data_type, dims=dims)
        if raw is not None:
            tensor.raw_data = raw
        for key, value in place.items():
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key=key, value=value)
        return model_of([tensor]).SerializeToString(deterministic=True)

    away = "an external path that leaves the model's folder"
    # ModelProto.graph = 7, GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6.
    nested = b""
    for _ in range(10_000):
        nested = field(1, field(5, field(6, nested)))
    # NodeProto.input = 1.
    captures = field(1, b"".join(field(1, b"n%d" % i) for i in range(3_000)))
    for _ in range(160):
        captures = field(1, field(5, field(6, captures)))
    # AttributeProto.tensors = 10: each is named after the node's output.
    tensor = b"\x10\x01" + field(9, bytes(4))
    tensors = field(5, field(1, b"value") + b"".join(field(10, tensor) for _ in range(2_000)) + b"\xa0\x01\x09")
    long_names = field(1, field(2, b"n" * 20_000) + field(4, b"Constant") + tensors)
    return {
        "onnx_dims_overflow.onnx": (model([2**40] * 3, raw=bytes(4)), "dims whose product overflows", True),
        "onnx_dims_negative.onnx": (model([-1], raw=bytes(4)), "a negative dim", True),
        "onnx_external_parent.onnx": (model([1], location="../EXPECT.json"), away, True),
        "onnx_external_absolute.onnx": (model([1], location="/etc/passwd"), away, True),
        "onnx_external_missing.onnx": (model([1], location="no-such-file.bin"), "no such external file", True),
        "onnx_external_offset.onnx": (
            model([1], location="EXPECT.json", offset="9223372036854775807"), "an external offset past the end", True
        ),
        "onnx_external_offset_negative.onnx": (
            model([1], location="EXPECT.json", offset="-4"), "a negative external offset", True
        ),
        "onnx_captures.onnx": (field(7, captures), "3,000 names that 160 subgraphs take from around them", True),
        "onnx_long_names.onnx": (field(7, long_names), "2,000 tensors named after a node of 20,000 bytes", True),
        "onnx_nested_if.onnx": (field(7, nested), "10,000 subgraphs inside each other", False),
    }  # fmt: skip


def hostile_caffe():
    def net(*blobs):
        return cases_caffe.field(100, b"\x0a\x01c\x12\x0bConvolution" + b"".join(field(7, blob) for blob in blobs))

    def blob(dims, data):
        return field(7, field(1, b"".join(map(cases_caffe.varint, dims)))) + field(5, data)

    # A tag may be written in more bytes than it needs; no two distances between numbers are the same then.
    scattered = b"".join((b"\x2d" if i % 2 else b"\xad\x00") + bytes(4) for i in range(50_000))
    empty = cases_caffe.field(100, b"\x0a\x00")
    names = b"".join(b"x%d:1 " % i for i in range(50_000))
    return {
        "caffe_dims_negative.caffemodel": (net(blob([2**64 - 1], bytes(4))), "a dimension of -1", True),
        "caffe_dims_overflow.caffemodel": (net(blob([2**40] * 3, bytes(4))), "dims whose product overflows", True),
        "caffe_dims_many.caffemodel": (net(blob([1] * 10_000, bytes(4))), "10,000 dimensions", True),
        "caffe_data_odd.caffemodel": (net(blob([1], bytes(5))), "5 bytes of floats", True),
        "caffe_empty_blobs.caffemodel": (net(*[b""] * 100_000), "100,000 blobs of nothing", True),
        "caffe_empty_layers.caffemodel": (net() + empty * 8_000, "8,000 layers without anything", False),
        "caffe_many_layers.caffemodel": (net() + empty * 70_000, "more layers than anything has", True),
        "caffe_scattered.caffemodel": (net(scattered), "every number at another distance", False),
        "caffe_deep.prototxt": (b"layer { name: 'a' " + b"x { " * 100_000, "100,000 nested messages", True),
        "caffe_deep_lists.prototxt": (b"layer { name: 'a' x: " + b"[" * 100_000, "100,000 nested lists", True),
        "caffe_open_string.prototxt": (b"layer { name: 'a", "a string without an end", True),
        "caffe_values.prototxt": (b"layer { name: 'a' x: [" + b"1," * 400_000 + b"1] }", "400,000 settings", False),
        "caffe_names.prototxt": (b"layer { name: 'a' " + names + b"}", "50,000 kinds of settings", False),
    }  # fmt: skip


def field(number, content):
    """A length-delimited protobuf field."""
    size, varint = len(content), b""
    while size > 127:
        varint += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + varint + bytes([size]) + content


def pth(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def hostile_pytorch(rng):
    plain = pth({"w": values.weights(rng, 3, 4), "v": values.weights(rng, 2)})

    def changed(**contents):
        """The archive with other contents for entries that end so."""

        def change(name, content):
            return next((new(content) for end, new in contents.items() if name.endswith(end)), content)

        return rezip(plain, change=change)

    shape = b"K\x03K\x04\x86"
    huge_shape = b"\x8a\x08" + struct.pack("<q", 2**40) + b"\x8a\x08" + struct.pack("<q", 2**40) + b"\x86"
    return {
        "zip_bomb_pickle.pth": (
            rezip(plain, zipfile.ZIP_DEFLATED, change=lambda n, c: bytes(10**8) if n.endswith("data.pkl") else c),
            "100 MB of zeros as the pickle, deflated",
            True,
        ),
        "zip_bomb_storage.pth": (
            rezip(plain, zipfile.ZIP_DEFLATED, change=lambda n, c: bytes(10**8) if n.endswith("data/0") else c),
            "100 MB of zeros as a storage of 48 bytes, deflated",
            False,
        ),
        "zip_no_storage.pth": (
            rezip(plain, change=lambda n, c: c).replace(b"/data/0", b"/dato/0"), "a storage that is not there", True
        ),
        "ten_storage_short.pth": (changed(**{"data/0": lambda c: c[:-1]}), "a storage shorter than its tensor", True),
        "ten_shape_huge.pth": (
            changed(**{"data.pkl": lambda c: c.replace(shape, huge_shape, 1)}), "a shape whose count overflows", True
        ),
        "zip_end_only.pth": (b"PK\x05\x06" + bytes(18), "an archive of nothing", True),
        "zip_counts_lie.pth": (
            rezip(plain)[:-14] + struct.pack("<HHIIH", 0xFFFE, 0xFFFE, 0x7FFFFFFF, 0x7FFFFFFF, 0),
            "a directory of 2 GB",
            True,
        ),
        "pkl_memo_huge.pth": (
            changed(**{"data.pkl": lambda _: b"\x80\x02}r\xff\xff\xff\xff."}), "a memo index of 2^32 - 1", False
        ),
        "pkl_string_huge.pth": (
            changed(**{"data.pkl": lambda _: b"\x80\x04\x8d" + struct.pack("<Q", 2**62) + b"."}),
            "a string of 2^62 bytes",
            True,
        ),
        "pkl_no_stop.pth": (changed(**{"data.pkl": lambda c: c[:-1]}), "no STOP", True),
        "pkl_doubling.pth": (
            changed(**{"data.pkl": lambda _: b"\x80\x02]q\x00" + b"]q\x01(h\x00h\x00eh\x01q\x00" * 40 + b"."}),
            "a list of lists that doubles 40 times when written out",
            False,
        ),
    }  # fmt: skip
