"""Files of TensorFlow that claim what is not so."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import tables
from tables import varint


def cases():
    """name: (content, what is expected, whether it must be refused)."""
    return damaged() | indexes() | graphs()


def damaged():
    """A graph and an index, cut short and with bytes changed."""
    import cases_hostile
    import cases_tensorflow

    rng, found = np.random.default_rng(2), {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        cases_tensorflow.names(folder, rng)
        cases_tensorflow.frozen(folder, rng)
        for name in ("names.index", "frozen.pb"):
            whole = (folder / name).read_bytes()
            family = f"tensorflow_{name.split('.')[1]}"
            for share in (20, 500, 999):
                cut = whole[: len(whole) * share // 1000]
                # Protobuf has no end: a cut at a field's border is a smaller graph.
                found[f"trunc_{family}_{share:03}"] = cut, cases_hostile.CUT, name.endswith("index")
            for k in range(4):
                changed = cases_hostile.flipped(rng, whole, 4096 if k < 2 else len(whole))
                found[f"flip_{family}_{k}"] = changed, cases_hostile.FLIPPED, False
    return found


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def number(number, value):
    return varint(number << 3) + varint(value % 2**64)


def shape(*dims):
    return b"".join(field(2, number(1, d)) for d in dims)


def entry(dims, offset=0, size=4, dtype=1, shard=0, slices=()):
    each = b"".join(field(7, b"".join(field(1, number(1, s) + number(2, n)) for s, n in extents)) for extents in slices)
    return number(1, dtype) + field(2, shape(*dims)) + number(3, shard) + number(4, offset) + number(5, size) + each


def index(*entries, header=number(1, 1)):
    return tables.table([(b"", header), *entries])


def footer(offset, size):
    return (varint(0) + varint(8) + varint(offset) + varint(size)).ljust(40, b"\0") + struct.pack("<Q", tables.MAGIC)


def indexes():
    one = index((b"w", entry([1])))
    bad = bytearray(one)
    bad[3] ^= 1
    # Keys of which each shares all but a byte with the one before: a few bytes stand for a long key.
    entries, key = [], b"k" * 30_000
    for i in range(20_000):
        entries.append((key + struct.pack(">H", i), b""))
    long_keys = tables.table([(b"", number(1, 1)), *entries], per_block=30_000)
    bomb = varint(2**31) + b"\0a" + b"\xfe\x01\x00" * 100
    content, handle = tables.put(b"", bomb, 1)
    snappy = content + footer(handle[0], len(bomb))
    data, handle = tables.put(b"", tables.block([(b"", number(1, 1)), (b"w", entry([1]))]))
    data, where = tables.put(data, tables.block([(b"%05d" % i, handle) for i in range(20_000)]))
    again = data + (b"\0\x08" + where).ljust(40, b"\0") + struct.pack("<Q", tables.MAGIC)
    # Restarts and no entry: it may stand between any keys.
    data, handle = tables.put(b"", tables.block([(b"", number(1, 1)), (b"w", entry([1]))]))
    data, empty = tables.put(data, bytes(1 << 16) + struct.pack("<I", 1 << 14))
    handles = [(b"0", handle), *((b"%05d" % i, empty) for i in range(20_000))]
    data, where = tables.put(data, tables.block(handles))
    empties = data + (b"\0\x08" + where).ljust(40, b"\0") + struct.pack("<Q", tables.MAGIC)
    gap = index((b"w", entry([4], slices=[[(0, 1)], [(2, 2)]])))
    outside = index((b"w", entry([4], slices=[[(0, 2**62)]])))
    many = index((b"w", entry([2**20], slices=[[(i, 1)] for i in range(20_000)])))
    return {
        "tensorflow_checksum.index": (bytes(bad), "a block whose checksum does not match", True),
        "tensorflow_footer_only.index": (footer(0, 8), "a footer without blocks", True),
        "tensorflow_handle_huge.index": (footer(2**62, 2**63), "an index block past the end", True),
        "tensorflow_long_keys.index": (long_keys, "20,000 keys of 30,000 bytes that share almost all", True),
        "tensorflow_snappy_bomb.index": (snappy, "300 bytes of snappy that promise 2 GB", True),
        "tensorflow_block_again.index": (again, "one block named 20,000 times", True),
        "tensorflow_block_empty.index": (empties, "an empty block of 64 KB named 20,000 times", True),
        "tensorflow_no_header.index": (tables.table([(b"w", entry([1]))]), "a table without a header", True),
        "tensorflow_shards_huge.index": (
            index((b"w", entry([1])), header=number(1, 2**31 - 1)), "2,147,483,647 shards", True
        ),
        "tensorflow_shard_beyond.index": (index((b"w", entry([1], shard=7))), "shard 7 of 1", True),
        "tensorflow_offset_negative.index": (index((b"w", entry([1], offset=-4))), "an offset of -4", True),
        "tensorflow_dims_overflow.index": (index((b"w", entry([2**40] * 3))), "dims whose product overflows", True),
        "tensorflow_dims_negative.index": (index((b"w", entry([-5]))), "a dimension of -5", True),
        "tensorflow_size_lies.index": (index((b"w", entry([2], size=4))), "4 bytes for two floats", True),
        "tensorflow_type_unknown.index": (index((b"w", entry([1], dtype=77))), "an unknown type", True),
        "tensorflow_slices_missing.index": (gap, "slices that are not in the index", True),
        "tensorflow_slice_outside.index": (outside, "a slice beyond its tensor", True),
        "tensorflow_slices_many.index": (many, "20,000 slices of which none is there", True),
    }  # fmt: skip


def node(name, op, *inputs, **attributes):
    content = field(1, name.encode()) + field(2, op.encode()) + b"".join(field(3, i.encode()) for i in inputs)
    for key, value in attributes.items():
        content += field(5, field(1, key.encode()) + field(2, value))
    return field(1, content)


def constant(name, dims, dtype=1, rest=b""):
    return node(name, "Const", value=field(8, number(1, dtype) + field(2, shape(*dims)) + rest))


def calls(target, times):
    """Nodes of a function that all call `target`."""
    f = field(10, field(1, target.encode()))
    return b"".join(b"\x1a" + node(f"c{i}", "PartitionedCall", "a", f=f)[1:] for i in range(times))


def graphs():
    signature = lambda name: field(1, field(1, name.encode()) + field(2, field(1, b"a")))  # noqa: E731
    # Each of 30 functions calls the next one ten times; the last calls the first.
    library = b"".join(field(1, signature(f"f{i}") + calls(f"f{(i + 1) % 30}", 10)) for i in range(30))
    call = node("go", "PartitionedCall", "w", f=field(10, field(1, b"f0")))
    scalar = field(5, struct.pack("<f", 1.5))
    deep = b""
    for _ in range(5_000):
        deep = field(1, field(9, field(2, field(1, b"x") + field(2, deep))))
    chain = b"".join(node(f"n{i}", "Identity", f"n{i + 1}") for i in range(20_000))
    return {
        "tensorflow_calls.pb": (constant("w", [1], rest=scalar) + call + field(2, library), "10^30 calls", False),
        "tensorflow_repeat.pb": (constant("w", [2**50], rest=scalar + scalar), "two values for 2^50 elements", True),
        "tensorflow_fill.pb": (constant("w", [2**40, 2**20], rest=scalar), "one value for 2^60 elements", False),
        "tensorflow_const_overflow.pb": (constant("w", [2**40] * 3), "dims whose product overflows", True),
        "tensorflow_const_unknown.pb": (constant("w", [-1], rest=scalar), "a constant of unknown size", True),
        "tensorflow_content_short.pb": (constant("w", [4], rest=field(4, bytes(15))), "15 bytes for four floats", True),
        "tensorflow_deep.pb": (node("w", "X", a=deep), "5,000 attributes within each other", False),
        "tensorflow_chain.pb": (chain, "20,000 nodes that hand on, in reverse", False),
        "tensorflow_circle.pb": (node("a", "Identity", "b") + node("b", "Identity", "a"), "nodes in a circle", False),
        "tensorflow_dims_many.pb": (constant("w", [1] * 10_000), "10,000 dimensions", True),
    }  # fmt: skip
