"""Messages of ONNX put together byte by byte, where its own classes would not go along."""


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, payload):
    """A field of bytes."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def number(field_number, n):
    return varint(field_number << 3) + varint(n)


def named(name):
    """ValueInfoProto of a name alone."""
    return field(1, name)


def nested_ifs(depth):
    """If whose one branch is an If whose one branch is…, `depth` of them; the inputs are `x` and `c`."""
    leaf = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Identity")) + field(2, b"g") + field(12, named(b"y"))
    graph, attribute_type = leaf, number(20, 5)
    # Lengths of outer messages come first, so that parts are kept and joined once at the end.
    head, tail, size = [], [], len(graph)
    other = field(5, field(1, b"else_branch") + field(6, leaf) + attribute_type)
    start = field(1, b"c") + field(2, b"y") + field(4, b"If") + other
    for _ in range(depth):
        name = field(1, b"then_branch")
        in_attribute = varint(6 << 3 | 2) + varint(size)
        attribute = len(name) + len(in_attribute) + size + len(attribute_type)
        in_node = varint(5 << 3 | 2) + varint(attribute)
        node = len(start) + len(in_node) + attribute
        in_graph = varint(1 << 3 | 2) + varint(node)
        end = field(2, b"g") + field(12, named(b"y"))
        before = in_graph + start + in_node + name + in_attribute
        head.append(before)
        tail.append(attribute_type + end)
        size = len(before) + size + len(attribute_type) + len(end)
    inputs = b"".join(field(11, named(n)) for n in (b"x", b"c"))
    graph = b"".join(reversed(head)) + leaf + b"".join(tail) + inputs
    return number(1, 8) + field(7, graph) + field(8, number(2, 17))
