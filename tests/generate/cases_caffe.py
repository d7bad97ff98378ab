"""Caffe cases: every encoding of a net, written by protobuf's own runtime from fields that are listed here.

Nothing that pip installs writes Caffe's files. The runtime, which comes with onnx, is what Caffe writes them with; the
fields' numbers are facts of the format."""

import h5py
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

import truth

F = descriptor_pb2.FieldDescriptorProto
KINDS = {"int": F.TYPE_INT32, "long": F.TYPE_INT64, "uint": F.TYPE_UINT32, "float": F.TYPE_FLOAT,
         "double": F.TYPE_DOUBLE, "bool": F.TYPE_BOOL, "text": F.TYPE_STRING, "bytes": F.TYPE_BYTES}  # fmt: skip

# Message: (number, name, kind); `*` repeats, `+` repeats packed, a capital is a message.
FIELDS = {
    "Shape": [(1, "dim", "long+")],
    "Blob": [
        (1, "num", "int"), (2, "channels", "int"), (3, "height", "int"), (4, "width", "int"), (5, "data", "float+"),
        (6, "diff", "float+"), (7, "shape", "Shape"), (8, "double_data", "double+"), (9, "double_diff", "double+"),
    ],
    "Loose": [(5, "data", "float*"), (7, "shape", "LooseShape"), (8, "double_data", "double*")],
    "LooseShape": [(1, "dim", "long*")],
    "Raw": [(7, "shape", "Shape"), (10, "raw_data_type", "int"), (12, "raw_data", "bytes")],
    "Half": [(7, "shape", "Shape"), (10, "half_data", "uint+"), (11, "half_diff", "uint+")],
    "Rule": [(1, "phase", "int"), (4, "stage", "text*")],
    "Param": [(1, "name", "text"), (3, "lr_mult", "float"), (4, "decay_mult", "float")],
    "Convolution": [
        (1, "num_output", "uint"), (2, "bias_term", "bool"), (3, "pad", "uint*"), (4, "kernel_size", "uint*"),
        (5, "group", "uint"), (6, "stride", "uint*"), (18, "dilation", "uint*"),
    ],
    "InnerProduct": [(1, "num_output", "uint"), (2, "bias_term", "bool"), (6, "transpose", "bool")],
    "Scale": [(4, "bias_term", "bool")],
    "Input": [(1, "shape", "Shape*")],
    "Fork": [(1, "strength", "float"), (2, "mode", "text")],
    "Layer": [
        (1, "name", "text"), (2, "type", "text"), (3, "bottom", "text*"), (4, "top", "text*"), (6, "param", "Param*"),
        (7, "blobs", "Blob*"), (8, "include", "Rule*"), (10, "phase", "int"), (106, "convolution_param", "Convolution"),
        (117, "inner_product_param", "InnerProduct"), (142, "scale_param", "Scale"), (143, "input_param", "Input"),
        (8000, "fork_param", "Fork"),
    ],
    "V0": [
        (1, "name", "text"), (2, "type", "text"), (3, "num_output", "uint"), (4, "biasterm", "bool"),
        (8, "kernelsize", "uint"), (10, "stride", "uint"), (50, "blobs", "Blob*"), (51, "blobs_lr", "float*"),
    ],
    "V1": [
        (1, "layer", "V0"), (2, "bottom", "text*"), (3, "top", "text*"), (4, "name", "text"), (5, "type", "int"),
        (6, "blobs", "Blob*"), (7, "blobs_lr", "float*"), (10, "convolution_param", "Convolution"),
        (17, "inner_product_param", "InnerProduct"),
    ],
    "Net": [
        (1, "name", "text"), (2, "layers", "V1*"), (3, "input", "text*"), (4, "input_dim", "int*"),
        (5, "force_backward", "bool"), (8, "input_shape", "Shape*"), (100, "layer", "Layer*"),
    ],
    "State": [(1, "iter", "int"), (2, "learned_net", "text"), (3, "history", "Blob*"), (4, "current_step", "int")],
}  # fmt: skip

V1_TYPES = {"Convolution": 4, "InnerProduct": 14, "Pooling": 17, "ReLU": 18, "Softmax": 20, "Deconvolution": 39}
V1_NAMES = {4: "CONVOLUTION", 14: "INNER_PRODUCT", 17: "POOLING", 18: "RELU", 20: "SOFTMAX", 39: "DECONVOLUTION"}
V0_TYPES = {"Convolution": "conv", "InnerProduct": "innerproduct", "ReLU": "relu", "Softmax": "softmax"}


NET_OF_HDF5 = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "block/conv" type: "Convolution" bottom: "x" top: "c"
        convolution_param { num_output: %d kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "c" top: "c" }
"""


def in_hdf5(folder, rng):
    """Weights as Caffe's snapshots in HDF5 have them: by layer and number, with gradients."""
    width = int(rng.integers(2, 7))
    blobs = {
        "block/conv": [rng.standard_normal((width, 3, 3, 3)), rng.standard_normal(width)],
        "bn": [rng.standard_normal(width), rng.random(width), rng.random(1)],
    }
    path = folder / "weights.caffemodel.h5"
    entries = []
    with h5py.File(path, "w") as file:
        for layer, arrays in blobs.items():
            for i, array in enumerate(arrays):
                array = array.astype("f4")
                file[f"data/{layer}/{i}"] = array
                file[f"diff/{layer}/{i}"] = np.zeros_like(array)
                entries.append(truth.of_numpy(f"{layer}/{i}", array))
    net = folder / "weights_in_hdf5.prototxt"
    net.write_text(NET_OF_HDF5 % width)
    truth.write(path, entries, format="caffemodel", prototxt=net.name)


def messages():
    file = descriptor_pb2.FileDescriptorProto(name="cases.proto", package="cases", syntax="proto2")
    for message, fields in FIELDS.items():
        described = file.message_type.add(name=message)
        for number, name, kind in fields:
            base = kind.rstrip("*+")
            field = described.field.add(name=name, number=number, label=F.LABEL_OPTIONAL)
            field.label = F.LABEL_OPTIONAL if base == kind else F.LABEL_REPEATED
            if base in KINDS:
                field.type = KINDS[base]
                field.options.packed = kind.endswith("+")
                if not kind.endswith("+"):
                    field.ClearField("options")
            else:
                field.type, field.type_name = F.TYPE_MESSAGE, f".cases.{base}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"cases.{name}")) for name in FIELDS}


M = messages()


def numbers(rng, *shape, dtype=np.float32):
    """Values of some scale, now and then with what is not finite or too small among them."""
    found = rng.normal(0, 10.0 ** rng.uniform(-4, 2), shape).astype(dtype)
    if rng.random() < 0.3 and found.size > 4:
        found.reshape(-1)[rng.integers(0, found.size, 3)] = [np.inf, np.nan, 1e-41]
    return found


def lenet(rng):
    """A small net: (name, type, bottoms, tops, settings, arrays)."""
    k, c, m, n = int(rng.integers(1, 4)), int(rng.integers(2, 6)), int(rng.integers(2, 9)), int(rng.integers(2, 7))
    return [
        ("conv1", "Convolution", ["data"], ["conv1"], {"convolution_param": {"num_output": c, "kernel_size": [k]}},
         [numbers(rng, c, 3, k, k), numbers(rng, c)]),
        ("relu1", "ReLU", ["conv1"], ["conv1"], {}, []),
        ("ip1", "InnerProduct", ["conv1"], ["ip1"], {"inner_product_param": {"num_output": m}},
         [numbers(rng, m, 4 * c), numbers(rng, m)]),
        ("ip2", "InnerProduct", ["ip1"], ["ip2"], {"inner_product_param": {"num_output": n, "bias_term": False}},
         [numbers(rng, n, m)]),
        ("prob", "Softmax", ["ip2"], ["prob"], {}, []),
    ]  # fmt: skip


LEAVES = {"BatchNorm": ["running_mean", "running_var", "factor"], "LSTM": ["W_xc", "b_c", "W_hc"]}
KNOWN = ("Convolution", "Deconvolution", "InnerProduct", "Scale", "PReLU", "Embed")


def leaf(kind, index):
    names = LEAVES.get(kind, ["weight", "bias"] if kind in KNOWN else [])
    return names[index] if index < len(names) else f"blob{index}"


def truths(layers, reshape=lambda array: array):
    """Entries named as weigh names blobs."""
    named = [(f"{name}.{leaf(kind, i)}", array) for name, kind, *_, arrays in layers for i, array in enumerate(arrays)]
    return [truth.of_numpy(name, reshape(array)) for name, array in named]


def graph(layers, generation, types=lambda kind: kind):
    found = [{"name": name, "type": types(kind), "blobs": len(arrays)} for name, kind, *_, arrays in layers]
    return {"graph": {"layer_field": generation, "layers": found}}


def packed(array):
    data = {"double_data": array.reshape(-1)} if array.dtype == np.float64 else {"data": array.reshape(-1)}
    return M["Blob"](shape={"dim": array.shape}, **data).SerializeToString()


def old(array):
    """The four sizes, ones in front."""
    sizes = dict(zip(("num", "channels", "height", "width"), old_shape(array)))
    return M["Blob"](data=array.reshape(-1), **sizes).SerializeToString()


def old_shape(array):
    return (1,) * (4 - array.ndim) + array.shape


def loose(array):
    """Every number behind a tag of its own."""
    data = {"double_data": array.reshape(-1)} if array.dtype == np.float64 else {"data": array.reshape(-1)}
    return M["Loose"](shape={"dim": array.shape}, **data).SerializeToString()


def chunked(array):
    """Numbers in packed pieces of random size, some of them one by one, as joined messages have them."""
    parts = np.array_split(array.reshape(-1), 5)
    pieces = [M["Loose" if i % 3 == 1 else "Blob"](data=part).SerializeToString() for i, part in enumerate(parts)]
    shape = M["Blob"](shape={"dim": array.shape}).SerializeToString()
    return b"".join([*pieces[:2], shape, *pieces[2:]])


def gradients(array):
    blob = M["Blob"](shape={"dim": array.shape}, data=array.reshape(-1), diff=np.zeros(array.size))
    return blob.SerializeToString()


def both_precisions(array):
    """Data in single precision too, which Caffe ignores then."""
    blob = M["Blob"](shape={"dim": array.shape}, double_data=array.reshape(-1), data=[1.0, 2.0])
    return blob.SerializeToString()


def both_shapes(array):
    """An old size wins over the shape beside it."""
    return old(array) + M["Blob"](shape={"dim": [array.size]}).SerializeToString()


def raw(array):
    kind = {"float64": 0, "float32": 1, "float16": 2, "int32": 3, "uint32": 4}[array.dtype.name]
    return M["Raw"](shape={"dim": array.shape}, raw_data_type=kind, raw_data=array.tobytes()).SerializeToString()


def half(array):
    codes = array.reshape(-1).view(np.uint16)
    return M["Half"](shape={"dim": array.shape}, half_data=codes, half_diff=[0] * len(codes)).SerializeToString()


def with_blobs(message, number, blobs):
    """A serialised layer with blobs behind it: their message's fields are another's here."""
    return message.SerializeToString() + b"".join(field(number, blob) for blob in blobs)


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def current(layers, encode, name="net"):
    head = M["Net"](name=name).SerializeToString()
    return head + b"".join(
        field(100, with_blobs(M["Layer"](name=n, type=t, bottom=b, top=o, **s), 7, [encode(a) for a in arrays]))
        for n, t, b, o, s, arrays in layers
    )


def v1(layers, encode):
    net = M["Net"](name="net", input=["data"], input_dim=[1, 3, 8, 8])
    body = b"".join(
        field(2, with_blobs(M["V1"](name=n, type=V1_TYPES[t], bottom=b, top=o, **s), 6, [encode(a) for a in arrays]))
        for n, t, b, o, s, arrays in layers
    )
    return net.SerializeToString() + body


def v0_settings(settings):
    """Settings as they were before every kind of layer had a message of its own."""
    names = {"num_output": "num_output", "bias_term": "biasterm", "kernel_size": "kernelsize"}
    found = {names[k]: v for s in settings.values() for k, v in s.items() if k in names}
    return {k: v[0] if isinstance(v, list) else v for k, v in found.items()}


def v0(layers, encode):
    body = b""
    for n, t, bottoms, tops, settings, arrays in layers:
        inner = with_blobs(M["V0"](name=n, type=V0_TYPES[t], **v0_settings(settings)), 50, [encode(a) for a in arrays])
        body += field(2, field(1, inner) + M["V1"](bottom=bottoms, top=tops).SerializeToString())
    return M["Net"](name="net").SerializeToString() + body


def every_type(rng):
    """Types whose blobs have names of their own, in place and with a fork's among them."""
    c, h = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    return [
        ("data", "Input", [], ["data"], {"input_param": {"shape": [{"dim": [1, c, 8, 8]}]}}, []),
        ("up/1x1", "Deconvolution", ["data"], ["up"],
         {"convolution_param": {"num_output": 3, "kernel_size": [2], "stride": [2]}},
         [numbers(rng, c, 3, 2, 2), numbers(rng, 3)]),
        ("bn.1", "BatchNorm", ["up"], ["up"], {},
         [numbers(rng, 3), abs(numbers(rng, 3)), np.array([rng.uniform(1, 900)], np.float32)]),
        ("sc", "Scale", ["up"], ["up"], {"scale_param": {"bias_term": True}}, [numbers(rng, 3), numbers(rng, 3)]),
        ("pr", "PReLU", ["up"], ["up"], {}, [numbers(rng, 3)]),
        ("dw", "Convolution", ["up"], ["dw"],
         {"convolution_param": {"num_output": 3, "kernel_size": [3, 1], "group": 3, "bias_term": False}},
         [numbers(rng, 3, 1, 3, 1)]),
        ("em", "Embed", ["ids"], ["em"], {}, [numbers(rng, 5, h), numbers(rng, h)]),
        ("rec", "LSTM", ["em", "cont"], ["rec"], {},
         [numbers(rng, 4 * h, h), numbers(rng, 4 * h), numbers(rng, 4 * h, h)]),
        ("own", "MyVeryOwn", ["rec"], ["own", "own2"], {"fork_param": {"strength": 0.25, "mode": "fast"}},
         [numbers(rng, 2, 2), numbers(rng, 7), numbers(rng, 1, 1, 4)]),
    ]  # fmt: skip


def spare(array):
    """A number without dimensions has no shape at all."""
    return M["Blob"](data=array.reshape(-1)).SerializeToString() if array.size == 1 else packed(array)


QUIRKS = """\ufeff# first a comment\r
name: 'n' "et" ;\r
layer < name: "data", type: "Input"; top: "data" input_param: {{ shape: [ {{ dim: [1, 3, 0x8, 010] }} ] }} >\r
layer: {{ name: "conv1" type: "\\x43onvol\\165tion" bottom: "data" top: "conv1" # behind a field\r
  convolution_param {{ num_output: {outputs} kernel_size: {kernel} unheard_of {{ a: -1.5e-3f b: [.5, inf] }} }} }}\r
layer {{ name: "relu1" type: 'ReLU' bottom: "conv1" top: "conv1" include {{ phase: TEST }} }};\r
layer {{ name: "ip1" type: "InnerProduct" bottom: ["conv1"] top: "ip1"\r
  inner_product_param {{ num_output: {units} }}, }}\r
layer {{ name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"\r
  inner_product_param {{ num_output: {classes} bias_term: false }} }}\r
layer {{ name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }}\r
"""


def text(layers, generation):
    """A net without its weights."""
    if generation == "V2 (layer)":
        made = [M["Layer"](name=n, type=t, bottom=b, top=o, **s) for n, t, b, o, s, _ in layers]
        return text_format.MessageToString(M["Net"](name="net", layer=made))
    lines = ['name: "net"', 'input: "data"', "input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8"]
    for n, t, bottoms, tops, settings, _ in layers:
        ends = " ".join([f'bottom: "{b}"' for b in bottoms] + [f'top: "{o}"' for o in tops])
        if generation == "V0 (layers.layer)":
            inner = M["V0"](name=n, type=V0_TYPES[t], **v0_settings(settings))
            inner = text_format.MessageToString(inner, as_one_line=True)
            lines.append(f"layers {{ layer {{ {inner} }} {ends} }}")
        else:
            given = text_format.MessageToString(M["V1"](name=n, **settings), as_one_line=True)
            lines.append(f"layers {{ {given} type: {V1_NAMES[V1_TYPES[t]]} {ends} }}")
    return "\n".join(lines) + "\n"


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    in_hdf5(folder, np.random.default_rng([seed, 5]))

    def put(name, data, entries, net=None, **about):
        path = folder / f"{name}.caffemodel"
        path.write_bytes(data)
        if net is not None:
            path.with_suffix(".prototxt").write_bytes(net.encode())
            about["prototxt"] = f"{name}.prototxt"
        truth.write(path, entries, format="caffe", **about)

    now = "V2 (layer)"
    for encode in (packed, loose, chunked, gradients, raw):
        net = lenet(rng)
        put(encode.__name__, current(net, encode), truths(net), text(net, now), **graph(net, now))
    for encode in (packed, loose, both_precisions, raw):
        net = [(*rest, [a.astype(np.float64) * 1.1 for a in arrays]) for *rest, arrays in lenet(rng)]
        put(f"double_{encode.__name__}", current(net, encode), truths(net), **graph(net, now))
    for encode in (raw, half):
        net = [(*rest, [a.astype(np.float16) for a in arrays]) for *rest, arrays in lenet(rng)]
        put(f"half_{encode.__name__}", current(net, encode), truths(net), text(net, now), **graph(net, now))
    integers = [(*rest, [rng.integers(0, 99, a.shape).astype(np.int32) for a in ar]) for *rest, ar in lenet(rng)]
    put("raw_int32", current(integers, raw), truths(integers), **graph(integers, now))

    net = lenet(rng)
    for name, encode in (("old_shapes", old), ("both_shapes", both_shapes)):
        put(name, current(net, encode), truths(net, lambda a: a.reshape(old_shape(a))), text(net, now))
    for generation, make, types in (
        ("V1 (layers)", v1, lambda t: V1_NAMES[V1_TYPES[t]]),
        ("V0 (layers.layer)", v0, V0_TYPES.get),
    ):
        entries = truths(net, lambda a: a.reshape(old_shape(a)))
        name = generation[:2].lower()
        put(name, make(net, old), entries, text(net, generation), **graph(net, generation, types))
    put("v1_with_current_net", v1(net, packed), truths(net), text(net, now))
    put("current_with_v1_net", current(net, packed), truths(net), text(net, "V1 (layers)"))

    sizes = {"outputs": len(net[0][5][1]), "kernel": hex(net[0][5][0].shape[2])}
    quirks = QUIRKS.format(**sizes, units=oct(len(net[2][5][1])).replace("o", ""), classes=len(net[3][5][0]))
    put("quirks", current(net, packed), truths(net), quirks)
    # Layers that only one of the two files has: the head is left out, the other way round is only warned of.
    head = ("head", "InnerProduct", ["ip1"], ["head"], {}, [numbers(rng, 3, 2)])
    put("layer_more", current([*net, head], packed), truths([*net, head]), text(net, now))
    put("layer_less", current(net[:3], packed), truths(net[:3]), text(net, now))

    net = every_type(rng)
    put("every_type", current(net, spare), truths(net), text(net, now), **graph(net, now))

    history = [numbers(rng, *shape) for shape in ((3, 2, 2, 2), (3,))]
    state = M["State"](iter=int(rng.integers(1, 10**6)), learned_net="snapshot/net.caffemodel", current_step=2)
    path = folder / "snapshot.solverstate"
    path.write_bytes(state.SerializeToString() + b"".join(field(3, packed(a)) for a in history))
    metadata = {"iteration": state.iter, "learned_net": state.learned_net, "current_step": 2}
    truth.write(path, [truth.of_numpy(f"history.{i}", a) for i, a in enumerate(history)], metadata=metadata)

    mean = numbers(rng, 1, 3, 4, int(rng.integers(2, 7)))
    path = folder / "mean.binaryproto"
    path.write_bytes(old(mean))
    truth.write(path, [truth.of_numpy("mean", mean)])

    # A whole net as text, weights and all: what a dump of a caffemodel gives.
    net = [(*rest, [np.round(a[np.isfinite(a)][:1], 3) for a in arrays]) for *rest, arrays in lenet(rng)]
    layers = [
        M["Layer"](name=n, type=t, blobs=[M["Blob"](shape={"dim": a.shape}, data=a) for a in arrays])
        for n, t, _, _, _, arrays in net
    ]
    path = folder / "dump.prototxt"
    path.write_text(text_format.MessageToString(M["Net"](name="net", layer=layers)))
    truth.write(path, truths(net), **graph(net, now))
