"""Small nets that exporters tangle, beyond torchvision's, and what goes in: kept in target/tangles.

    python -W ignore tests/generate/tangles.py
"""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from exports import settle
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parents[2] / "target" / "tangles"


def conv(cin, cout, k=3, s=1):
    return nn.Sequential(nn.Conv2d(cin, cout, k, s, k // 2, bias=False), nn.BatchNorm2d(cout), nn.SiLU())


class Detector(nn.Module):
    """YOLO's shape: two scales, a path down and up again, a grid and anchors in the decoding, boxes of all scales."""

    def __init__(self, classes=3):
        super().__init__()
        self.stem = nn.Sequential(conv(3, 8, s=2), conv(8, 16, s=2))
        self.deep = conv(16, 32, s=2)
        self.pool = nn.MaxPool2d(5, 1, 2)
        self.spp = conv(96, 16, 1)
        self.join = conv(32, 16)
        self.heads = nn.ModuleList([nn.Conv2d(16, 3 * (5 + classes), 1) for _ in range(2)])
        self.register_buffer("anchors", torch.tensor([[[8.0, 9], [12, 7], [14, 16]], [[20, 22], [24, 30], [33, 26]]]))
        self.classes = classes

    def forward(self, x):
        fine = self.stem(x)
        deep = self.deep(fine)
        once = self.pool(deep)
        deep = self.spp(torch.cat([deep, once, self.pool(once)], 1))
        up = F.interpolate(deep, size=fine.shape[2:], mode="nearest")
        boxes, scores = [], []
        for i, (head, y) in enumerate(zip(self.heads, (self.join(torch.cat([fine, up], 1)), deep), strict=True)):
            y = head(y)
            n, _, h, w = y.shape
            y = y.view(n, 3, 5 + self.classes, h, w).permute(0, 1, 3, 4, 2).contiguous()
            gy, gx = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
            grid = torch.stack((gx, gy), 2).view(1, 1, h, w, 2).float()
            y = y.sigmoid()
            stride = 4 * 2**i
            centre = (y[..., 0:2] * 2 - 0.5 + grid) * stride
            size = (y[..., 2:4] * 2) ** 2 * self.anchors[i].view(1, 3, 1, 1, 2)
            boxes.append(torch.cat([centre - size / 2, centre + size / 2], -1).view(n, -1, 4))
            scores.append((y[..., 4:5] * y[..., 5:]).view(n, -1, self.classes))
        return torch.cat(boxes, 1), torch.cat(scores, 1)


def with_nms(model):
    """Chosen boxes beside all of them."""
    boxes, scores = (value.name for value in model.graph.output)
    held = {"most": np.int64([20]), "overlap": np.float32([0.5]), "least": np.float32([0.2])}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in held.items())
    model.graph.node.extend(
        [
            helper.make_node("Transpose", [scores], ["by_class"], "by_class", perm=[0, 2, 1]),
            helper.make_node("NonMaxSuppression", [boxes, "by_class", *held], ["chosen"], "nms"),
            helper.make_node("Gather", ["chosen", "box_column"], ["which"], "which", axis=1),
            helper.make_node("Gather", ["all_boxes", "which"], ["kept"], "kept", axis=0),
            helper.make_node("Reshape", [boxes, "flat"], ["all_boxes"], "all_boxes"),
        ]
    )
    # Nodes stand in the order in which they run.
    model.graph.node.insert(len(model.graph.node) - 2, model.graph.node.pop())
    more = {"box_column": np.int64(2), "flat": np.int64([-1, 4])}
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in more.items())
    model.graph.output.append(helper.make_tensor_value_info("kept", TensorProto.FLOAT, ["K", 4]))
    return model


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        # Softmax does not see a bias of the keys.
        self.q, self.k, self.v, self.out = (nn.Linear(width, width, bias=i != 1) for i in range(4))

    def split(self, x):
        n, t, width = x.shape
        return x.view(n, t, self.heads, width // self.heads).permute(0, 2, 1, 3)

    def forward(self, x, mask):
        q, k, v = self.split(self.q(x)), self.split(self.k(x)), self.split(self.v(x))
        weights = torch.softmax(q @ k.transpose(-1, -2) / (q.size(-1) ** 0.5) + mask, -1)
        mixed = (weights @ v).permute(0, 2, 1, 3).contiguous()
        return self.out(mixed.view(mixed.size(0), mixed.size(1), -1))


class Encoder(nn.Module):
    """BERT's shape: embeddings by position up to the length that comes, a mask of the padding."""

    def __init__(self, width=32, heads=4, words=50):
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(64, width)
        self.norm = nn.LayerNorm(width)
        self.register_buffer("ids", torch.arange(64).expand(1, -1))
        self.layers = nn.ModuleList(
            nn.ModuleList([Attention(width, heads), nn.LayerNorm(width), nn.Linear(width, 64), nn.Linear(64, width),
                           nn.LayerNorm(width)])
            for _ in range(2)
        )

    def forward(self, ids, mask):
        x = self.norm(self.words(ids) + self.places(self.ids[:, : ids.size(1)]))
        wide = (1.0 - mask[:, None, None, :].to(x.dtype)) * -10000.0
        for attention, norm, up, down, last in self.layers:
            x = norm(x + attention(x, wide))
            x = last(x + down(F.gelu(up(x))))
        return x


class Decoder(nn.Module):
    """Rotary positions, RMS norms, a cache of keys and values that grows."""

    def __init__(self, width=32, heads=4, words=50):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.words = nn.Embedding(words, width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(width, 64, bias=False), nn.Linear(width, 64, bias=False)
        self.down, self.head = nn.Linear(64, width, bias=False), nn.Linear(width, words, bias=False)
        self.norms = nn.ParameterList([nn.Parameter(1 + 0.1 * torch.randn(width)) for _ in range(3)])
        self.register_buffer("inverse", 1.0 / (100.0 ** (torch.arange(0, self.size, 2).float() / self.size)))

    def normed(self, x, i):
        return self.norms[i] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    def turned(self, x, cos, sin):
        half = x.shape[-1] // 2
        turned = torch.cat((-x[..., half:], x[..., :half]), -1)
        return x * cos + turned * sin

    def forward(self, ids, keys, values):
        n, t = ids.shape
        past = keys.shape[2]
        x = self.words(ids)
        places = torch.arange(past, past + t, dtype=torch.float32)
        angles = torch.outer(places, self.inverse)
        angles = torch.cat((angles, angles), -1)[None, None]
        cos, sin = angles.cos(), angles.sin()
        y = self.normed(x, 0)
        q, k, v = (m(y).view(n, t, self.heads, self.size).transpose(1, 2) for m in (self.q, self.k, self.v))
        q, k = self.turned(q, cos, sin), self.turned(k, cos, sin)
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        all_places = torch.arange(past + t)
        later = all_places[None, :] > all_places[past:, None]
        scores = q @ keys.transpose(2, 3) / self.size**0.5
        scores = scores.masked_fill(later[None, None], -1e4)
        x = x + self.o((torch.softmax(scores, -1) @ values).transpose(1, 2).reshape(n, t, -1))
        y = self.normed(x, 1)
        x = x + self.down(F.silu(self.gate(y)) * self.up(y))
        return self.head(self.normed(x, 2)), keys, values


def scripted(net, inputs, names, outputs, axes=None, opset=17):
    path = FOLDER / "part.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net.eval(), inputs, path, input_names=names, output_names=outputs, dynamic_axes=axes, dynamo=False,
                          do_constant_folding=False, opset_version=opset)
    return onnx.load(path)


def noise(*shape, scale=1.0):
    return (scale * np.random.default_rng(sum(shape)).standard_normal(shape)).astype(np.float32)


def given(graph, held, nodes, inputs, outputs, opset=13):
    value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
    made = helper.make_graph(
        nodes, graph, [value(*i) for i in inputs], [value(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def channels_last():
    """What tf2onnx makes before it looks at it again: a Transpose on either side of each convolution, bias and
    normalization beside it."""
    held, nodes, at, width = {}, [], "x", 3
    for i, (out, stride) in enumerate([(8, 2), (8, 1), (16, 2)]):
        held |= {f"w{i}": noise(out, width, 3, 3, scale=0.2), f"b{i}": noise(out)}
        norm = {"s": 1 + noise(out, scale=0.1), "o": noise(out + 1)[:out], "m": noise(out + 2)[:out], "v": 1 + noise(out) ** 2}
        held |= {f"{key}{i}": value for key, value in norm.items()}
        nodes += [
            helper.make_node("Transpose", [at], [f"in{i}"], f"in{i}", perm=[0, 3, 1, 2]),
            helper.make_node("Conv", [f"in{i}", f"w{i}"], [f"c{i}"], f"c{i}", pads=[1] * 4, strides=[stride] * 2),
            helper.make_node("Transpose", [f"c{i}"], [f"out{i}"], f"out{i}", perm=[0, 2, 3, 1]),
            helper.make_node("Add", [f"out{i}", f"b{i}"], [f"a{i}"], f"a{i}"),
            helper.make_node("Transpose", [f"a{i}"], [f"n{i}"], f"n{i}", perm=[0, 3, 1, 2]),
            helper.make_node("BatchNormalization", [f"n{i}", *(f"{k}{i}" for k in "somv")], [f"bn{i}"], f"bn{i}"),
            helper.make_node("Transpose", [f"bn{i}"], [f"l{i}"], f"l{i}", perm=[0, 2, 3, 1]),
            helper.make_node("Relu", [f"l{i}"], [f"r{i}"], f"r{i}"),
        ]
        at, width = f"r{i}", out
    held |= {"axes": np.int64([1, 2]), "wy": noise(16, 5), "by": noise(5)}
    nodes += [
        helper.make_node("ReduceMean", [at], ["mean"], "mean", axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "wy"], ["product"], "product"),
        helper.make_node("Add", ["product", "by"], ["y"], "head"),
    ]
    del held["axes"]
    F32 = TensorProto.FLOAT
    return given("nhwc", held, nodes, [("x", F32, [1, 32, 32, 3])], [("y", F32, [1, 5])])


def quantized():
    """Q and DQ around what an engine is to run in eight bits, no-ops and shapes between them."""
    held = {"scale": np.float32(0.05), "zero": np.uint8(128), "zero_w": np.int8(0)}
    nodes, at, width = [], "x", 3
    for i, out in enumerate([8, 8]):
        steps = np.abs(noise(out, scale=0.01)) + 0.005
        codes = np.clip(np.round(noise(out, width, 3, 3) * 40), -127, 127).astype(np.int8)
        held |= {f"w{i}": codes, f"s{i}": steps, f"z{i}": np.zeros(out, np.int8), f"b{i}": noise(out, scale=0.3)}
        nodes += [
            helper.make_node("QuantizeLinear", [at, "scale", "zero"], [f"q{i}"], f"q{i}"),
            helper.make_node("DequantizeLinear", [f"q{i}", "scale", "zero"], [f"d{i}"], f"d{i}"),
            helper.make_node("DequantizeLinear", [f"w{i}", f"s{i}", f"z{i}"], [f"dw{i}"], f"dw{i}", axis=0),
            helper.make_node("Conv", [f"d{i}", f"dw{i}", f"b{i}"], [f"c{i}"], f"c{i}", pads=[1] * 4),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"], f"r{i}"),
            helper.make_node("Identity", [f"r{i}"], [f"i{i}"], f"i{i}"),
        ]
        at, width = f"i{i}", out
    del held["zero_w"]
    held |= {"first": np.int64(0), "axis": np.int64([0]), "rest": np.int64([-1])}
    nodes += [
        helper.make_node("GlobalAveragePool", [at], ["p"], "p"),
        helper.make_node("Shape", ["p"], ["sizes"], "sizes"),
        helper.make_node("Gather", ["sizes", "first"], ["n"], "n"),
        helper.make_node("Unsqueeze", ["n", "axis"], ["n1"], "n1"),
        helper.make_node("Concat", ["n1", "rest"], ["to"], "to", axis=0),
        helper.make_node("Reshape", ["p", "to"], ["y"], "flat"),
    ]
    F32 = TensorProto.FLOAT
    return given("qdq", held, nodes, [("x", F32, ["N", 3, 16, 16])], [("y", F32, ["N", 8])])


def looped():
    """A Loop over steps that reads a weight from around it and has tangles of its own inside."""
    value = helper.make_tensor_value_info
    F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
    inside = [
        helper.make_node("MatMul", ["state", "w"], ["moved"], "moved"),
        helper.make_node("Shape", ["moved"], ["sizes"], "sizes"),
        helper.make_node("Reshape", ["moved", "sizes"], ["again"], "again"),
        helper.make_node("Identity", ["again"], ["same"], "same"),
        helper.make_node("Add", ["same", "b"], ["sum"], "sum"),
        helper.make_node("Tanh", ["sum"], ["next"], "next"),
        helper.make_node("Identity", ["next"], ["seen"], "seen"),
        helper.make_node("Identity", ["go"], ["go_on"], "go_on"),
    ]
    body = helper.make_graph(
        inside, "body", [value("step", I64, []), value("go", BOOL, []), value("state", F32, [2, 4])],
        [value("go_on", BOOL, []), value("next", F32, [2, 4]), value("seen", F32, [2, 4])],
    )
    nodes = [
        helper.make_node("Identity", ["x"], ["first"], "first"),
        helper.make_node("Loop", ["steps", "yes", "first"], ["last", "all"], "loop", body=body),
        helper.make_node("Identity", ["last"], ["y"], "hand"),
    ]
    held = {"w": noise(4, 4), "b": noise(4), "steps": np.int64(3), "yes": np.array(True)}
    return given("loop", held, nodes, [("x", F32, [2, 4])], [("y", F32, [2, 4]), ("all", F32, [3, 2, 4])])


def branching():
    """An If that the input decides, and one that a constant does."""
    value = helper.make_tensor_value_info
    F32 = TensorProto.FLOAT

    def branch(name, nodes):
        return helper.make_graph(nodes, name, [], [value(name, F32, [2, 4])])

    def way(name, weight):
        return branch(name, [
            helper.make_node("MatMul", ["h", weight], [f"{name}_m"], f"{name}_m"),
            helper.make_node("Identity", [f"{name}_m"], [f"{name}_i"], f"{name}_i"),
            helper.make_node("Relu", [f"{name}_i"], [name], name),
        ])

    nodes = [
        helper.make_node("Add", ["x", "b"], ["h"], "shift"),
        helper.make_node("ReduceSum", ["h"], ["sum"], "sum", keepdims=0),
        helper.make_node("Greater", ["sum", "none"], ["positive"], "positive"),
        helper.make_node("If", ["positive"], ["one"], "by_input", then_branch=way("t1", "w1"), else_branch=way("e1", "w2")),
        helper.make_node("Not", ["yes"], ["no"], "no"),
        helper.make_node("If", ["no"], ["two"], "by_constant", then_branch=way("t2", "w1"), else_branch=way("e2", "w2")),
        helper.make_node("Add", ["one", "two"], ["y"], "add"),
    ]
    held = {"b": noise(4), "w1": noise(4, 4), "w2": noise(5, 4)[:4], "none": np.float32(0), "yes": np.array(True)}
    return given("if", held, nodes, [("x", F32, [2, 4])], [("y", F32, [2, 4])])


def detector(axes, opset):
    torch.manual_seed(1)
    net = Detector()
    settle(net, torch.randn(8, 3, 64, 64))
    made = scripted(net, (torch.randn(2, 3, 64, 64),), ["x"], ["boxes", "scores"], axes, opset)
    return with_nms(made)


def encoder():
    torch.manual_seed(2)
    net = Encoder()
    with torch.no_grad():
        for tensor in net.parameters():
            if tensor.min() == tensor.max():
                tensor.add_(0.1 * torch.randn_like(tensor))
    inputs = (torch.randint(0, 50, (2, 7)), torch.ones(2, 7, dtype=torch.int64))
    axes = {"ids": {0: "N", 1: "T"}, "mask": {0: "N", 1: "T"}, "y": {0: "N", 1: "T"}}
    return scripted(net, inputs, ["ids", "mask"], ["y"], axes)


def decoder():
    torch.manual_seed(3)
    inputs = (torch.randint(0, 50, (2, 3)), torch.randn(2, 4, 5, 8), torch.randn(2, 4, 5, 8))
    names = ["ids", "keys", "values"]
    axes = {"ids": {0: "N", 1: "T"}, "keys": {0: "N", 2: "P"}, "values": {0: "N", 2: "P"}}
    axes |= {"y": {0: "N", 1: "T"}, "all_keys": {0: "N", 2: "all"}, "all_values": {0: "N", 2: "all"}}
    return scripted(Decoder(), inputs, names, ["y", "all_keys", "all_values"], axes)


ALL_IMAGES = {"x": {0: "N", 2: "H", 3: "W"}, "boxes": {0: "N", 1: "B"}, "scores": {0: "N", 1: "B"}}

# Each net, and the shapes and ranges of what goes in.
NETS = {
    "yolo": (lambda: detector(None, 13), {"x": (2, 3, 64, 64)}),
    "yolo-dynamic": (lambda: detector(ALL_IMAGES, 17), {"x": (1, 3, 64, 96)}),
    "bert-dynamic": (encoder, {"ids": (3, 9), "mask": (3, 9)}),
    "decoder-dynamic": (decoder, {"ids": (2, 3), "keys": (2, 4, 6, 8), "values": (2, 4, 6, 8)}),
    "nhwc": (channels_last, {"x": (1, 32, 32, 3)}),
    "qdq": (quantized, {"x": (2, 3, 16, 16)}),
    "loop": (looped, {"x": (2, 4)}),
    "if": (branching, {"x": (2, 4)}),
}


def feeds(name, seed=0):
    """Random inputs of a net."""
    random = np.random.default_rng(seed)
    made = {}
    for key, shape in NETS[name][1].items():
        draw = {"ids": lambda s: random.integers(0, 50, s), "mask": lambda s: random.integers(0, 2, s)}
        made[key] = draw.get(key, lambda s: random.standard_normal(s).astype(np.float32))(shape)
    if "mask" in made:
        made["mask"][:, :2] = 1
    return made


def write_all():
    """The paths of all nets by name; they are made anew."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, (make, _) in NETS.items():
        paths[name] = FOLDER / f"{name}.onnx"
        model = make()
        onnx.checker.check_model(model)
        onnx.save(model, paths[name])
    return paths


if __name__ == "__main__":
    for name, path in write_all().items():
        print(name, len(onnx.load(path).graph.node))
