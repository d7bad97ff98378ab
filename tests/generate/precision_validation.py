"""Whether `weigh check` says of a layer what happens when that layer alone runs in FP16.

Small networks are trained on the digits of scikit-learn, some of them damaged on purpose, and exported to ONNX. For each
node that computes, ONNX Runtime runs the network with that node's operands, weights and results rounded to FP16, and all
else in FP32: outputs that move by more than 1 % of their largest, NaN, or lost accuracy are what a verdict has to foresee.
A node is foretold where `weigh check --inputs` has an error or a lost channel on it, on its weights, or on a value that it
takes or gives.

    target/venv/bin/python tests/generate/precision_validation.py --weigh target/debug/weigh
"""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "python"))
import weigh

LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))
MOVED = 0.01
"""Outputs that move by more than this share of their largest have changed."""
FORETELL = {"P101", "P102", "P104", "P106", "P107", "A103", "A105", "A107"}
COMPUTES = {"Conv", "Gemm", "MatMul", "BatchNormalization", "Exp", "Pow", "Mul", "Div", "Add", "Sub", "ReduceMean", "ReduceSum", "Sqrt",
            "Softmax", "LayerNormalization", "Relu", "GlobalAveragePool", "MaxPool", "Log"}


class Plain(nn.Sequential):
    """Convolutions without normalization."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, stride=2), nn.ReLU(),
                         nn.Flatten(), nn.Linear(256, 10))


class Normed(nn.Sequential):
    """As digits: convolutions, each with BatchNorm, which exporting folds."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                         nn.Conv2d(16, 16, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
                         nn.Flatten(), nn.Linear(256, 10))


class First(nn.Sequential):
    """BatchNorm on what comes in, which folds into nothing before it."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.BatchNorm1d(64, eps=1e-12), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


class Exponential(nn.Module):
    """Exponentials of sums, as of attention that is not shifted by its maximum."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        e = torch.exp(self.first(x.flatten(1)))
        return self.last(e / e.sum(1, keepdim=True))


class Energy(nn.Module):
    """Divides by the energy of what comes in, as local contrast normalization does."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = x.flatten(1)
        x = 8 * x / torch.sqrt(torch.sum(x * x, 1, keepdim=True) + 1e-5)
        return self.last(torch.relu(self.first(x)))


class Attention(nn.Module):
    """Rows as tokens: one head, LayerNorm and softmax."""

    def __init__(self):
        super().__init__()
        self.embed, self.norm, self.qkv = nn.Linear(8, 24), nn.LayerNorm(24), nn.Linear(24, 72)
        self.last = nn.Linear(24, 10)

    def forward(self, x):
        x = self.embed(x.squeeze(1))
        q, k, v = self.qkv(self.norm(x)).chunk(3, -1)
        x = x + torch.softmax(q @ k.transpose(1, 2) / 24**0.5, -1) @ v
        return self.last(x.mean(1))


def train(net, images, labels, epochs=25):
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(labels)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[batch]), labels[batch]).backward()
            optimizer.step()
    return net.eval()


@torch.no_grad()
def rescaled(net, by):
    """One channel of the first convolution scaled, and undone by the second: FP32 hardly notices."""
    net[0].weight[3] *= by
    net[0].bias[3] *= by
    net[2].weight[:, 3] /= by
    return net


@torch.no_grad()
def tiny_variances(net):
    """The first convolution's outputs and their variances made small: BatchNorm scales them up again."""
    by = (1e-9 / net[1].running_var.mean()).sqrt()
    net[0].weight *= by
    net[1].running_mean *= by
    net[1].running_var *= by * by
    net[1].eps = 1e-14
    return net


@torch.no_grad()
def steep(net, by):
    net.first.weight *= by
    net.first.bias *= by
    return net


def networks():
    digits = load_digits()
    images = torch.tensor(digits.images / 16.0, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    seen, kept = slice(0, 1400), slice(1400, None)
    x, y = images[seen], labels[seen]

    def of(net, scale=1.0):
        torch.manual_seed(0)
        return train(net(), x * scale, y)

    yield "plain convolutions", of(Plain), images[kept], labels[kept]
    yield "digits: convolutions and BatchNorm", of(Normed), images[kept], labels[kept]
    yield "attention and LayerNorm", of(Attention), images[kept], labels[kept]
    yield "a channel times 1e6, undone", rescaled(of(Plain), 1e6), images[kept], labels[kept]
    yield "a channel times 1e-7, undone", rescaled(of(Plain), 1e-7), images[kept], labels[kept]
    yield "variances near 1e-9, folded", tiny_variances(of(Normed)), images[kept], labels[kept]
    yield "variances near 1e-9, not foldable", of(First, 3e-5), images[kept] * 3e-5, labels[kept]
    yield "exponentials", steep(of(Exponential), 4.0), images[kept], labels[kept]
    yield "energy, inputs of 0 to 1", of(Energy), images[kept], labels[kept]
    yield "energy, inputs of 0 to 255", of(Energy), images[kept] * 255.0, labels[kept]


def export(net, images, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (images[:2],), path, input_names=["x"], output_names=["y"], dynamo=False, opset_version=17,
                          dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})
    return onnx.load(path)


def run(model, images):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": images})[0]


def real(model):
    """Names of the values that are of FP32."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    typed = [*graph.input, *graph.output, *graph.value_info]
    names = {value.name for value in typed if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {held.name for held in graph.initializer if held.data_type == TensorProto.FLOAT}


def in_half(model, at, names):
    """The model with node `at` between roundings to FP16."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    nodes = list(copy.graph.node)
    node, before, after = nodes[at], [], []

    def rounded(source, target, into):
        into.append(helper.make_node("Cast", [source], [f"{target}/half"], to=TensorProto.FLOAT16))
        into.append(helper.make_node("Cast", [f"{target}/half"], [target], to=TensorProto.FLOAT))

    for i, name in enumerate(node.input):
        if name in names:
            rounded(name, f"{name}/rounded{i}", before)
            node.input[i] = f"{name}/rounded{i}"
    for i, name in enumerate(node.output):
        node.output[i] = f"{name}/raw"
        rounded(f"{name}/raw", name, after)
    if node.op_type == "BatchNormalization":
        # Its epsilon is a number of FP16 too.
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = float(np.float16(attribute.f))
    del copy.graph.node[:]
    copy.graph.node.extend(nodes[:at] + before + [node] + after + nodes[at + 1:])
    return copy


def foretold(binary, model, path, images, folder):
    """The nodes that findings point at, and the document."""
    arrays = folder / "x.npz"
    np.savez(arrays, x=images)
    command = [binary, "check", path, "--inputs", arrays, "--json", "--fail-on", "never", "--ort", LIBRARY]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"weigh check: exit {done.returncode}: {done.stderr}")
    document = json.loads(done.stdout)
    named = set()
    for finding in document["findings"]:
        if finding["code"] in FORETELL:
            named |= {finding.get("tensor"), finding.get("node")}
    named.discard(None)
    touches = lambda node: {node.name, *node.input, *node.output} & named
    return {at for at, node in enumerate(model.graph.node) if touches(node)}, document


def validate(binary, name, net, images, labels, folder):
    path = folder / "net.onnx"
    model = export(net, images, path)
    images, labels = images.numpy(), labels.numpy()
    told, document = foretold(binary, model, path, images[:64], folder)
    right = run(model, images)
    accuracy = (right.argmax(1) == labels).mean()
    rows, names = [], real(model)
    for at, node in enumerate(model.graph.node):
        if node.op_type not in COMPUTES or node.output[0] not in names:
            continue
        got = run(in_half(model, at, names), images)
        moved = np.abs(got - right).max() / np.abs(right).max()
        lost = accuracy - (got.argmax(1) == labels).mean()
        changed = not np.isfinite(got).all() or moved > MOVED or lost > 0.01
        rows.append({"node": node.name, "op": node.op_type, "moved": float(moved), "lost": float(lost), "changed": bool(changed),
                     "foretold": at in told})
    return accuracy, rows, document


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    weigh.add_argument(parser)
    parser.add_argument("--verbose", action="store_true", help="also every node")
    args = parser.parse_args()
    torch.set_num_threads(1)
    binary = weigh.find(args.weigh)
    total = [0, 0, 0, 0]
    print("| network | accuracy | nodes | hits | misses | false alarms | what was said |\n|---|---|---|---|---|---|---|")
    for name, net, images, labels in networks():
        with tempfile.TemporaryDirectory() as folder:
            accuracy, rows, document = validate(binary, name, net, images, labels, Path(folder))
        count = lambda changed, foretold: sum(r["changed"] == changed and r["foretold"] == foretold for r in rows)
        figures = [len(rows), count(True, True), count(True, False), count(False, True)]
        total = [a + b for a, b in zip(total, figures, strict=True)]
        codes = sorted({f["code"] for f in document["findings"] if f["severity"] != "info"})
        print(f"| {name} | {accuracy:.3f} | {' | '.join(map(str, figures))} | {' '.join(codes) or 'nothing'} |", flush=True)
        for row in rows:
            if args.verbose or row["changed"] != row["foretold"]:
                print(row, file=sys.stderr)
    print(f"| all | | {' | '.join(map(str, total))} | |")


if __name__ == "__main__":
    main()
