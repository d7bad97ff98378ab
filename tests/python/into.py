"""`weigh convert --into`: weights under another model's names, held against what the frameworks themselves compute."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
warnings.filterwarnings("ignore")

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
import weigh
from onnx import numpy_helper
from torch import nn

torch.manual_seed(7)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.downsample = nn.Sequential(*shortcut) if stride > 1 else None

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Net(nn.Module):
    """Small, and with all that makes matching hard: blocks of equal shapes, a square Linear, shortcuts."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8, 1), Block(8, 8, 1))
        self.layer2 = nn.Sequential(Block(8, 16, 2), Block(16, 16, 1))
        self.proj = nn.Linear(16, 16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(torch.relu(self.proj(x.mean((2, 3)))))


class Tokens(nn.Module):
    """Linear layers over three dimensions: the exporter turns their matrices round and renames them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(12, 12)
        self.second = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 5))

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def random(model):
    """The model with values of which no two tensors' are equal, statistics included."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.5 if name.endswith("var") else torch.randn_like(tensor) * 0.3)
    return model.eval()


def into(binary, source, target, out, *flags):
    command = [str(binary), "convert", str(source), "-o", str(out), "--into", str(target), "--json", "--force", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def account(binary, source, target, out, *flags):
    run = into(binary, source, target, out, *flags)
    assert run.returncode == 0, run.stderr[:2000]
    return json.loads(run.stdout)


def refused(binary, source, target, out, *words, flags=()):
    run = into(binary, source, target, out, *flags)
    assert run.returncode == 2 and "panicked" not in run.stderr, (run.returncode, run.stdout[:300])
    for word in words:
        assert word in run.stderr, f"'{word}' is not in {run.stderr[:2000]}"


def export(model, example, path, **options):
    torch.onnx.export(model, example, path, dynamo=False, **options)
    return path


def fed(graph, arrays):
    """The graph with other initializers, as a session."""
    model = onnx.load(graph)
    for initializer in model.graph.initializer:
        assert initializer.name in arrays, initializer.name
        initializer.CopyFrom(numpy_helper.from_array(arrays[initializer.name], initializer.name))
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def written(binary, source, graph, scratch, x, *flags):
    """What ONNX Runtime computes from the graph, written with the source's weights."""
    out = scratch / "written.onnx"
    account(binary, source, graph, out, *flags)
    onnx.checker.check_model(str(out), full_check=True)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


def close(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape and np.abs(a - b).max() <= 1e-5 * max(1.0, np.abs(b).max()), np.abs(a - b).max()


def check_export(binary, scratch):
    """A state dict into its own network's graph, which was exported with other values."""
    source = random(Net())
    torch.save(source.state_dict(), scratch / "net.pth")
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, scratch / "ddp.pth")
    x = torch.randn(2, 3, 16, 16)
    keep = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    graph = export(random(Net()), x, scratch / "net.onnx", **keep)
    names = [i.name for i in onnx.load(graph).graph.initializer]
    state = source.state_dict()
    for file, rule in (("net.pth", "name"), ("ddp.pth", "prefix")):
        told = account(binary, scratch / file, graph, scratch / "net.npz")
        assert {m["by"] for m in told["matched"]} == {rule}, told["matched"][:3]
        with np.load(scratch / "net.npz") as arrays:
            # What the graph's nodes hold themselves follows its initializers.
            assert [n for n in arrays.files if "@" not in n] == names, "names in the graph's order"
            assert all(np.array_equal(arrays[n], state[n].numpy()) for n in names)
            close(fed(graph, arrays).run(None, {fed_input(graph): x.numpy()})[0], source(x).detach())
        for flags in ((), ("--external", "1")):
            close(written(binary, scratch / file, graph, scratch, x, *flags), source(x).detach())
    # An untrained network's equal tensors are exported once, and cannot be told apart again.
    equal = export(Net().eval(), x, scratch / "equal.onnx", **keep)
    refused(binary, scratch / "net.pth", equal, scratch / "no.npz", "kept once")
    # Folded BatchNorms: the graph has no place for the statistics.
    folded = export(random(Net()), x, scratch / "folded.onnx")
    refused(binary, scratch / "net.pth", folded, scratch / "no.npz", "running statistics", "onnx::Conv")
    assert not (scratch / "no.npz").exists()


def fed_input(graph):
    return onnx.load(graph).graph.input[0].name


def check_renamed(binary, scratch):
    """Initializers that the exporter renamed and turned round: by use, square ones too."""
    source = random(Tokens())
    torch.save(source.state_dict(), scratch / "tokens.pth")
    x = torch.randn(2, 3, 12)
    graph = export(random(Tokens()), x, scratch / "tokens.onnx")
    names = [i.name for i in onnx.load(graph).graph.initializer]
    assert any(n.startswith("onnx::MatMul") for n in names), names
    told = account(binary, scratch / "tokens.pth", graph, scratch / "tokens.npz")
    assert {m["by"] for m in told["matched"]} == {"name", "use"}, told["matched"]
    with np.load(scratch / "tokens.npz") as arrays:
        close(fed(graph, arrays).run(None, {fed_input(graph): x.numpy()})[0], source(x).detach())
    close(written(binary, scratch / "tokens.pth", graph, scratch, x), source(x).detach())
    # And back: the graph's values into the state dict's names.
    told = account(binary, graph, scratch / "tokens.pth", scratch / "back.pth")
    other = Tokens()
    other.load_state_dict(torch.load(scratch / "back.pth"))
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    close(other(x).detach(), session.run(None, {fed_input(graph): x.numpy()})[0])


def check_dynamo(binary, scratch):
    """The newer exporter, as far as it is installed: matched by the names that it keeps, or refused."""
    source = random(Tokens())
    torch.save(source.state_dict(), scratch / "tokens.pth")
    x = torch.randn(2, 3, 12)
    try:
        program = torch.onnx.export(random(Tokens()), (x,), dynamo=True, verbose=False)
    except Exception as error:  # the exporter's own dependencies
        return f"skipped the dynamo exporter: {type(error).__name__}"
    program.save(str(scratch / "dynamo.onnx"))
    run = into(binary, scratch / "tokens.pth", scratch / "dynamo.onnx", scratch / "dynamo.npz")
    if run.returncode == 0:
        with np.load(scratch / "dynamo.npz") as arrays:
            session = fed(scratch / "dynamo.onnx", arrays)
            close(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0], source(x).detach())
        close(written(binary, scratch / "tokens.pth", scratch / "dynamo.onnx", scratch, x), source(x).detach())
    else:
        assert "panicked" not in run.stderr
        return f"the dynamo exporter's graph is refused: {run.stderr.splitlines()[1]}"
    return None


class Twin(nn.Module):
    """The torch network of the Keras one below."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.norm = nn.BatchNorm2d(6, eps=1e-3)
        self.depth = nn.Conv2d(6, 12, 3, groups=6)
        self.point = nn.Conv2d(12, 12, 1, bias=False)
        self.up = nn.ConvTranspose2d(12, 5, 2, 2)
        self.mix = nn.Linear(5, 5)
        self.head = nn.Linear(5, 4)

    def forward(self, x):
        x = self.depth(torch.relu(self.norm(self.stem(x))))
        x = torch.relu(self.up(self.point(x))).mean((2, 3))
        return self.head(torch.relu(self.mix(x)))


def check_keras(binary, scratch):
    """A Keras network into a torch module's state dict: both compute the same. And back."""
    import keras
    from keras import layers

    net = keras.Sequential(
        [
            keras.Input((10, 10, 3)),
            layers.Conv2D(6, 3, name="stem"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, depth_multiplier=2, name="depth"),
            layers.Conv2D(12, 1, use_bias=False, name="point"),
            layers.Conv2DTranspose(5, 2, 2, activation="relu", name="up"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation="relu", name="mix"),
            layers.Dense(4, name="head"),
        ]
    )
    rng = np.random.default_rng(3)
    net.set_weights([rng.uniform(0.2, 0.8, w.shape).astype(w.dtype) - (0.4 if w.ndim > 1 else 0) for w in net.get_weights()])
    net.save(scratch / "net.keras")
    torch.save(random(Twin()).state_dict(), scratch / "twin.pth")
    told = account(binary, scratch / "net.keras", scratch / "twin.pth", scratch / "from-keras.pth")
    assert any("counts batches" in c["why"] for c in told["changed"])
    twin = Twin()
    twin.load_state_dict(torch.load(scratch / "from-keras.pth"))
    x = rng.normal(size=(2, 10, 10, 3)).astype(np.float32)
    computed = twin.eval()(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach()
    close(computed, net(x, training=False).numpy())
    # Back under Keras' own names: the same values.
    told = account(binary, scratch / "from-keras.pth", scratch / "net.keras", scratch / "back.npz", "--drop", "*tracked")
    with np.load(scratch / "back.npz") as arrays:
        assert np.array_equal(arrays["layers/depthwise_conv2d/vars/0"], net.get_layer("depth").get_weights()[0])
        assert np.array_equal(arrays["layers/dense/vars/0"], net.get_layer("mix").get_weights()[0])
        assert np.array_equal(arrays["layers/conv2d/vars/0"], net.get_layer("stem").get_weights()[0])
    # Behind a Flatten, inputs are put in another order.
    flat = keras.Sequential(
        [
            keras.Input((6, 7, 3)),
            layers.Conv2D(4, 3, activation="relu", name="c"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(5, name="fc"),
        ]
    )
    functional = keras.Model(flat.inputs, flat.outputs)
    flat.save(scratch / "flat.keras")
    flat.save(scratch / "flat.h5")
    functional.save(scratch / "functional.keras")
    functional.save(scratch / "functional.h5")
    flat.export(str(scratch / "flat"), verbose=False)
    flat.save_weights(scratch / "flat.weights.h5")
    modules = {"c": nn.Conv2d(3, 4, 3), "relu": nn.ReLU(), "pool": nn.MaxPool2d(2), "flat": nn.Flatten(), "fc": nn.Linear(16, 5)}
    twin = nn.Sequential()
    for name, module in modules.items():
        twin.add_module(name, module)
    torch.save(twin.state_dict(), scratch / "flat.pth")
    x = rng.normal(size=(2, 6, 7, 3)).astype(np.float32)
    for source in ("flat.keras", "flat.h5", "functional.keras", "functional.h5", "flat"):
        account(binary, scratch / source, scratch / "flat.pth", scratch / "flat-out.pth")
        twin.load_state_dict(torch.load(scratch / "flat-out.pth"))
        close(twin(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach(), flat(x, training=False).numpy())
    # Weights without the configuration do not tell.
    flags = ("--rename", "layers/conv2d/*=c/*", "--rename", "layers/dense/*=fc/*")
    refused(binary, scratch / "flat.weights.h5", scratch / "flat.pth", scratch / "no.pth", "flattened", flags=flags)
    import tensorflow as tf

    tf.train.Checkpoint(model=flat).write(str(scratch / "checkpoint"))
    refused(binary, scratch / "checkpoint.index", scratch / "flat.pth", scratch / "no.pth", "flattened")


NET = """
name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 6 kernel_size: 3 bias_term: false } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "fc" type: "InnerProduct" bottom: "conv1" top: "fc" inner_product_param { num_output: 6 } }
"""


def check_caffe(binary, scratch):
    """A torch state dict into the names of a Caffe net that has no weights yet."""
    (scratch / "net.prototxt").write_text(NET)
    source = random(nn.ModuleDict({"conv1": nn.Conv2d(3, 6, 3, bias=False), "bn1": nn.BatchNorm2d(6), "fc": nn.Linear(6, 6)}))
    torch.save(source.state_dict(), scratch / "small.pth")
    told = account(binary, scratch / "small.pth", scratch / "net.prototxt", scratch / "caffe.npz")
    by = {m["tensor"]: (m["source"], m["by"]) for m in told["matched"]}
    assert by["scale1.weight"] == ("bn1.weight", "use"), by
    state = source.state_dict()
    with np.load(scratch / "caffe.npz") as arrays:
        expected = ["conv1.weight", "bn1.running_mean", "bn1.running_var", "bn1.factor", "scale1.weight", "scale1.bias"]
        assert arrays.files == [*expected, "fc.weight", "fc.bias"], arrays.files
        assert arrays["bn1.factor"].tolist() == [1.0]
        assert np.array_equal(arrays["scale1.bias"], state["bn1.bias"].numpy())
        assert np.array_equal(arrays["fc.weight"], state["fc.weight"].numpy())
    # As a .caffemodel, which OpenCV runs.
    wide = random(nn.Sequential(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Flatten(), nn.Linear(6 * 36, 6)))
    names = {"0": "conv1", "1": "bn1", "3": "fc"}
    torch.save({f"{names[k[0]]}{k[1:]}": v for k, v in wide.state_dict().items()}, scratch / "wide.pth")
    account(binary, scratch / "wide.pth", scratch / "net.prototxt", scratch / "net.caffemodel")
    net = cv2.dnn.readNetFromCaffe(str(scratch / "net.prototxt"), str(scratch / "net.caffemodel"))
    x = torch.randn(1, 3, 8, 8)
    net.setInput(x.numpy())
    close(net.forward(), wide(x).detach())
    state["conv1.weight"] = torch.randn(5, 3, 3, 3)
    torch.save(state, scratch / "wrong.pth")
    refused(binary, scratch / "wrong.pth", scratch / "net.prototxt", scratch / "no.npz", "[5, 3, 3, 3]", "[6, ?, 3, 3]")


def check_traps(binary, scratch):
    """What looks decided and is not."""
    out = scratch / "no.pth"

    def save(name, **shapes):
        state = {k.replace("__", "."): torch.randn(*shape) for k, shape in shapes.items()}
        torch.save(state, scratch / name)
        return scratch / name

    three = save("q.pth", a__wq__weight=(8, 6), a__wk__weight=(8, 6), a__wv__weight=(8, 6))
    target = save("p.pth", a__q_proj__weight=(8, 6), a__k_proj__weight=(8, 6), a__v_proj__weight=(8, 6))
    refused(binary, three, target, out, "a.q_proj.weight", "a.k_proj.weight", "a.v_proj.weight", "nearest left")
    told = account(binary, three, target, out, "--by-order")
    assert {m["by"] for m in told["matched"]} == {"order"}
    told = account(binary, three, target, out, *[f for s in "qkv" for f in ("--rename", f"*.w{s}.weight=*.{s}_proj.weight")])
    assert {m["by"] for m in told["matched"]} == {"name"}
    square = save("square.pth", b__weight=(7, 7))
    refused(binary, square, save("other.pth", c__weight=(7, 7)), out)
    fused = save("fused.pth", a__in_proj_weight=(12, 4))
    refused(binary, fused, save("apart.pth", a__q_proj__weight=(4, 4), a__k_proj__weight=(4, 4)), out, "split it first")
    kept = account(binary, square, save("more.pth", b__weight=(7, 7), d__weight=(3, 2)), out, "--keep-missing")
    assert any(c["tensor"] == "d.weight" and "stays" in c["why"] for c in kept["changed"]), kept
    assert torch.equal(torch.load(out)["d.weight"], torch.load(scratch / "more.pth")["d.weight"])
    # The target is read as well: it is never written over.
    refused(binary, square, scratch / "more.pth", scratch / "more.pth", "is what is read", flags=("--keep-missing",))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    checks = [check_export, check_renamed, check_dynamo, check_keras, check_caffe, check_traps]
    failed = 0
    for check in checks:
        with tempfile.TemporaryDirectory(prefix="weigh-into-") as scratch:
            try:
                note = check(binary, Path(scratch))
            except AssertionError as error:
                failed += 1
                line = traceback.extract_tb(error.__traceback__)[-1]
                print(f"FAILED {check.__name__}: {line.name}, line {line.lineno}: {error}")
                continue
            if note:
                print(note)
    print(f"into: {len(checks) - failed} of {len(checks)} checks passed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
