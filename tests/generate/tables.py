"""LevelDB's tables by hand: what TensorFlow's writer never makes (snappy, the other byte order) and what nobody should."""

import struct

MAGIC = 0xDB4775248B80FB57


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def snappy(data):
    """Data in snappy's format, all of it literal."""
    chunks = [data[i : i + 60] for i in range(0, len(data), 60)]
    return varint(len(data)) + b"".join(bytes([len(c) - 1 << 2]) + c for c in chunks)


def block(entries):
    """Entries in order; keys share what they can."""
    out, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(key, last)) if a != b), min(len(key), len(last)))
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return out + struct.pack("<II", 0, 1)


def put(out, content, kind=0):
    """Appends a block with what follows it; returns its handle."""
    handle = varint(len(out)) + varint(len(content))
    content += bytes([kind])
    return out + content + struct.pack("<I", masked(content)), handle


def table(entries, compress=False, per_block=4):
    """A whole file."""
    out, index = b"", []
    pack = (lambda content: (snappy(content), 1)) if compress else (lambda content: (content, 0))
    for i in range(0, len(entries), per_block):
        out, handle = put(out, *pack(block(entries[i : i + per_block])))
        index.append((entries[i : i + per_block][-1][0] + b"\0", handle))
    out, meta = put(out, block([]))
    out, handle = put(out, *pack(block(index)))
    return out + (meta + handle).ljust(40, b"\0") + struct.pack("<Q", MAGIC)
