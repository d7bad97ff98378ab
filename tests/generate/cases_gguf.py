"""GGUF cases: files of gguf-py, and ones of versions, byte orders and types that it does not write."""

import hashlib
import struct

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type

import truth
import values

PLAIN = {
    Type.F32: np.float32, Type.F16: np.float16, Type.F64: np.float64,
    Type.I8: np.int8, Type.I16: np.int16, Type.I32: np.int32, Type.I64: np.int64,
}  # fmt: skip
BLOCKS = [t for t in Type if t not in PLAIN and t != Type.BF16]
# What quantize() makes; random bytes stand in the others.
QUANTIZED = [
    Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.TQ1_0, Type.TQ2_0, Type.MXFP4
]  # fmt: skip
# Where blocks have their scales in half precision, so that random ones can be kept small.
HALVES = {
    Type.Q1_0: [0], Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
    Type.IQ2_XXS: [0], Type.IQ2_XS: [0], Type.IQ2_S: [0], Type.IQ3_XXS: [0], Type.IQ3_S: [0], Type.IQ1_S: [0],
    Type.IQ4_NL: [0], Type.IQ4_XS: [0], Type.TQ1_0: [52], Type.TQ2_0: [64],
}  # fmt: skip
SINGLES = {Type.Q8_1: [0, 4], Type.Q8_K: [0]}
# Numbers of 16 bits beside the scales, and of 32, that a big-endian machine has in its own order.
SHORTS = {
    Type.IQ2_XXS: range(2, 66, 2), Type.IQ2_XS: range(2, 66, 2), Type.IQ1_S: range(34, 50, 2),
    Type.IQ1_M: range(48, 56, 2), Type.IQ4_XS: [2], Type.Q8_K: range(260, 292, 2),
}  # fmt: skip
WORDS = {Type.Q5_0: [2], Type.Q5_1: [4], Type.IQ3_XXS: range(66, 98, 4)}


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in CASES.items():
        tensors, about = make(rng)
        path = folder / f"{name}.gguf"
        path.write_bytes(pack(tensors, **about))
        if about.get("version", 3) > 1:
            agrees(path, tensors)
        describe(path, tensors, about.get("entries"))
    of_gguf_py(folder, rng)
    split(folder / "split", rng)


# Tensors: (name, type, shape, bytes in little-endian order).


def tensor(rng, name, kind, *shape):
    if kind in PLAIN:
        return name, kind, shape, plain(rng, kind, shape).tobytes()
    if kind == Type.BF16 or kind in QUANTIZED and rng.random() < 0.5:
        return name, kind, shape, gguf.quantize(values.weights(rng, *shape).numpy(), kind).tobytes()
    return name, kind, shape, random_blocks(rng, kind, shape)


def plain(rng, kind, shape):
    if kind in (Type.F32, Type.F16):
        return np.clip(values.weights(rng, *shape).numpy(), -60000, 60000).astype(PLAIN[kind])
    name = np.dtype(PLAIN[kind]).name
    return values.of_dtype(rng, getattr(torch, name), *shape).numpy()


def random_blocks(rng, kind, shape, finite=True):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (int(np.prod(shape)) // elements, size), dtype=np.uint8)
    if finite:
        for dtype, offsets in ((np.float16, HALVES.get(kind, [])), (np.float32, SINGLES.get(kind, []))):
            for at in offsets:
                scale = rng.normal(0, 0.02, len(blocks)).astype(dtype).view(np.uint8)
                blocks[:, at : at + dtype().itemsize] = scale.reshape(len(blocks), -1)
        if kind == Type.IQ1_M:
            # The half-precision scale is spread over the highest four bits of four numbers.
            scale = np.abs(rng.normal(0, 0.02, len(blocks))).astype(np.float16).view(np.uint16)
            for i in range(4):
                quarter = (scale >> (4 * i) & 15).astype(np.uint8) << 4
                blocks[:, 49 + 2 * i] = blocks[:, 49 + 2 * i] & 15 | quarter
        if kind == Type.MXFP4:
            blocks[:, 0] = rng.integers(110, 130, len(blocks))
    return blocks.tobytes()


def expected(name, kind, shape, raw):
    """The entry of a tensor, from gguf-py's own dequantize()."""
    sizes = list(shape)
    if kind in PLAIN:
        return truth.of_numpy(name, np.frombuffer(raw, PLAIN[kind]).reshape(sizes))
    found = {"name": name, "dtype": kind.name, "shape": sizes, "sha256": hashlib.sha256(raw).hexdigest()}
    values_ = dequantized(kind, shape, raw)
    return truth.entry(name, kind.name, sizes, raw, values_, **extra(kind, values_)) if values_ is not None else found


def extra(kind, values_):
    if kind == Type.BF16:
        return {}
    return {"dequant_sha256": hashlib.sha256(values_.astype("<f4").tobytes()).hexdigest(), "figures_of": "dequantized"}


def dequantized(kind, shape, raw):
    """Types that gguf-py cannot dequantize are so simple that they are written out here."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, size)
    if kind == Type.Q8_K:
        found = blocks[:, :4].copy().view("<f4") * blocks[:, 4:260].view(np.int8).astype(np.float32)
    elif kind == Type.Q8_1:
        found = blocks[:, :4].copy().view("<f4") * blocks[:, 8:].view(np.int8).astype(np.float32)
    elif kind == Type.Q1_0:
        # A product makes signalling NaN quiet, as reading does.
        d = blocks[:, :2].copy().view("<f2").astype(np.float32) * np.float32(1)
        found = np.where(np.unpackbits(blocks[:, 2:], axis=1, bitorder="little") == 1, d, -d)
    else:
        with np.errstate(all="ignore"):
            found = gguf.dequantize(blocks.reshape(1, -1), kind)
    return found.reshape(shape)


def describe(path, tensors, entries=None):
    about = {"metadata": dict(shown(entries))} if entries else {}
    truth.write(path, [expected(*t) for t in tensors], format="gguf", **about)


# Bytes, written here: gguf-py has one version and one way to lay data out.

KINDS = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
    "f32": (6, "f"), "bool": (7, "?"), "string": (8, None), "array": (9, None), "u64": (10, "Q"), "i64": (11, "q"),
    "f64": (12, "d"),
}  # fmt: skip


def pack(tensors, version=3, order="<", alignment=None, entries=(), native=True, gap=0):
    """A file; `native` blocks have the file's own byte order within. `gap` leaves room between data."""
    count = (lambda n: struct.pack(order + "I", n)) if version == 1 else (lambda n: struct.pack(order + "Q", n))

    def text(s):
        return count(len(s.encode())) + s.encode()

    def value(kind, content):
        if kind == "string":
            return text(content)
        if kind == "array":
            of, items = content
            return struct.pack(order + "I", KINDS[of][0]) + count(len(items)) + b"".join(value(of, i) for i in items)
        return struct.pack(order + KINDS[kind][1], content)

    entries = [("general.architecture", "string", "llama"), *entries]
    if alignment:
        entries.append(("general.alignment", "u32", alignment))
    step = alignment or 32
    head = b"GGUF" + struct.pack(order + "I", version) + count(len(tensors)) + count(len(entries))
    for key, kind, content in entries:
        head += text(key) + struct.pack(order + "I", KINDS[kind][0]) + value(kind, content)
    data = b""
    for name, kind, shape, raw in tensors:
        head += text(name) + struct.pack(order + "I", len(shape)) + b"".join(count(n) for n in reversed(shape))
        head += struct.pack(order + "IQ", kind, len(data))
        data += swapped(kind, raw, native) if order == ">" else raw
        data += bytes(-len(data) % step + gap)
    return head + bytes(-len(head) % step) + data


def swapped(kind, raw, native):
    """The same numbers in big-endian order."""
    if kind in PLAIN:
        return np.frombuffer(raw, PLAIN[kind]).byteswap().tobytes()
    if not native:
        return raw
    if kind == Type.BF16:
        return np.frombuffer(raw, np.uint16).byteswap().tobytes()
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, gguf.GGML_QUANT_SIZES[kind][1]).copy()
    twos = [*HALVES.get(kind, []), *SHORTS.get(kind, [])]
    fours = [*SINGLES.get(kind, []), *WORDS.get(kind, [])]
    for width, offsets in ((2, twos), (4, fours)):
        for at in offsets:
            blocks[:, at : at + width] = blocks[:, at : at + width][:, ::-1].copy()
    return blocks.tobytes()


def agrees(path, tensors):
    """gguf-py must read what was written here as it was meant."""
    with np.errstate(all="ignore"):
        reader = gguf.GGUFReader(path)
    assert [(t.name, t.tensor_type) for t in reader.tensors] == [(t[0], t[1]) for t in tensors]
    for found, (_, kind, shape, raw) in zip(reader.tensors, tensors):
        assert tuple(found.shape) == tuple(reversed(shape))
        if kind in PLAIN:
            assert np.array_equal(found.data, np.frombuffer(raw, PLAIN[kind]).reshape(found.data.shape), equal_nan=True)


LONG = 256


def shown(entries):
    """What weigh tells of metadata."""

    def one(kind, content):
        if kind == "array":
            of, items = content
            if len(items) > LONG:
                return {"array_of": of, "count": len(items), "first": [one(of, i) for i in items[:8]]}
            return [one(of, i) for i in items]
        if kind == "f32":
            return float(np.float32(content))
        return str(content) if kind in ("u64", "i64") and content >= 2**63 else content

    yield "general.architecture", "llama"
    for key, kind, content in entries:
        yield key, one(kind, content)


# Cases.


def sizes(rng, elements):
    return int(rng.integers(1, 4)), elements * int(rng.integers(1, 3))


def of_types(rng, kinds):
    return [tensor(rng, f"blk.0.{k.name.lower()}.weight", k, *sizes(rng, gguf.GGML_QUANT_SIZES[k][0])) for k in kinds]


def every_block(rng):
    return of_types(rng, BLOCKS), {}


def any_bytes(rng):
    """Random bytes everywhere: scales of every size, NaN and infinities among them."""
    found = []
    for kind in BLOCKS:
        # MXFP4 with a large scale beside the least ones has figures that no sum of f64 agrees on to 12 digits.
        if kind not in (Type.Q8_1, Type.Q8_K, Type.MXFP4):
            shape = sizes(rng, gguf.GGML_QUANT_SIZES[kind][0])
            found.append((f"{kind.name}", kind, shape, random_blocks(rng, kind, shape, finite=False)))
    return found, {}


def every_plain(rng):
    kinds = [*PLAIN, Type.BF16]
    return [tensor(rng, f"{k.name.lower()}", k, *values.shape(rng)) for k in kinds], {}


def shapes(rng):
    return [
        tensor(rng, "one", Type.F32, 1),
        tensor(rng, "four", Type.F16, 2, 3, 4, 5),
        tensor(rng, "experts", Type.Q4_0, 3, 2, 64),
        tensor(rng, "vector", Type.Q8_0, 96),
        tensor(rng, "empty", Type.F32, 0, 3),
        # More than a chunk's elements, in rows that straddle its end.
        tensor(rng, "long", Type.Q4_0, 103, 640),
        tensor(rng, "ünïcode name", Type.F32, 2, 2),
    ], {}


def llama(rng):
    layers = [
        ("token_embd.weight", Type.Q4_0, 40, 64),
        ("blk.0.attn_norm.weight", Type.F32, 64),
        ("blk.0.attn_q.weight", Type.Q8_0, 64, 64),
        ("blk.0.ffn_down.weight", Type.Q5_0, 64, 96),
        ("output_norm.weight", Type.F32, 64),
        ("rope_freqs.weight", Type.F32, 16),
    ]
    entries = [
        ("general.name", "string", "a little one"),
        ("general.file_type", "u32", 2),
        ("general.size_label", "string", "8K"),
        ("llama.block_count", "u32", 1),
        ("tokenizer.ggml.tokens", "array", ("string", [f"▁t{i}" for i in range(300)])),
        ("tokenizer.ggml.scores", "array", ("f32", [-float(i) for i in range(300)])),
    ]
    return [tensor(rng, *layer) for layer in layers], {"entries": entries}


def metadata(rng):
    entries = [
        ("u8", "u8", 255), ("i8", "i8", -128), ("u16", "u16", 65535), ("i16", "i16", -32768),
        ("u32", "u32", 2**32 - 1), ("i32", "i32", -(2**31)), ("u64", "u64", 2**64 - 1), ("i64", "i64", -(2**63)),
        ("f32", "f32", 0.1), ("f64", "f64", 1e-300), ("yes", "bool", True), ("no", "bool", False),
        ("text", "string", "ünïcode ☃"), ("nothing", "string", ""), ("", "string", "an empty key"),
        ("none", "array", ("i32", [])), ("some", "array", ("i16", [1, -2, 3])),
        ("words", "array", ("string", ["a", "", "b"])), ("flags", "array", ("bool", [True, False])),
        ("nested", "array", ("array", [("u8", [1, 2]), ("string", ["x"]), ("f64", [])])),
        ("kept", "array", ("u8", list(range(256)))), ("long", "array", ("u64", list(range(257)))),
        ("long_words", "array", ("string", [str(i) for i in range(1000)])),
        ("long_lists", "array", ("array", [("i8", [i % 100]) for i in range(300)])),
    ]  # fmt: skip
    return [tensor(rng, "w", Type.F32, 2, 2)], {"entries": entries}


def small(rng, *kinds):
    return [tensor(rng, "a", Type.F32, 3, 5), tensor(rng, "b", Type.I16, 7), *of_types(rng, kinds)]


def version_1(rng):
    return small(rng, Type.Q4_0), {"version": 1, "entries": [("words", "array", ("string", ["a", "b"]))]}


def version_2(rng):
    return small(rng, Type.Q4_1), {"version": 2, "entries": [("n", "u16", 5)]}


def aligned(rng):
    return small(rng, Type.Q8_0), {"alignment": 256}


def with_gaps(rng):
    return small(rng, Type.Q8_0), {"gap": 64}


def big_endian(rng):
    """As a big-endian machine has it: numbers within blocks swapped too."""
    kinds = [k for k in BLOCKS if k != Type.IQ1_M]
    tensors = [*small(rng, *kinds, Type.IQ1_M, Type.BF16), tensor(rng, "c", Type.F64, 3), tensor(rng, "d", Type.F16, 4)]
    return tensors, {"order": ">", "entries": [("n", "u16", 5), ("x", "f64", 0.5), ("list", "array", ("i32", [1, 2]))]}


CASES = {
    "every_block": every_block,
    "any_bytes": any_bytes,
    "every_plain": every_plain,
    "shapes": shapes,
    "llama": llama,
    "metadata": metadata,
    "version_1": version_1,
    "version_2": version_2,
    "aligned": aligned,
    "with_gaps": with_gaps,
    "big_endian": big_endian,
    "nothing": lambda rng: ([], {}),
}


# Files of gguf-py's own writer.


def of_gguf_py(folder, rng):
    tensors = small(rng, Type.Q8_0, Type.Q4_K, Type.IQ4_XS, Type.BF16)
    for name, endian in (("gguf_py", gguf.GGUFEndian.LITTLE), ("gguf_py_big_endian", gguf.GGUFEndian.BIG)):
        path = folder / f"{name}.gguf"
        save(path, tensors, endianess=endian)
        describe(path, tensors, [("llama.block_count", "u32", 1)])


def save(path, tensors, **options):
    writer = gguf.GGUFWriter(path, "llama", **options)
    writer.add_block_count(1)
    for name, kind, shape, raw in tensors:
        if kind in PLAIN:
            writer.add_tensor(name, np.frombuffer(raw, PLAIN[kind]).reshape(shape))
        else:
            rows = np.frombuffer(raw, np.uint8).reshape(*shape[:-1], -1)
            writer.add_tensor(name, rows, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def split(folder, rng):
    folder.mkdir(exist_ok=True)
    tensors = small(rng, Type.Q8_0, Type.Q4_K, Type.Q6_K)
    save(folder / "model.gguf", tensors, split_max_tensors=2)
    names = sorted(f.name for f in folder.glob("*.gguf"))
    assert names == [f"model-{i:05}-of-00003.gguf" for i in (1, 2, 3)], names
    describe(folder, tensors, [("llama.block_count", "u32", 1), ("split.tensors.count", "i32", len(tensors))])
