"""`weigh diff` on what exporters, quantizers and converters make of networks: everything is explained, and what was
altered is found and named."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import caffe_net
import numpy as np
import onnx
import torch
import torchvision
import weigh
from onnx import numpy_helper
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

ROOT = Path(__file__).parents[2]


def diff(binary, *arguments, status=None):
    """What weigh diff says, and its exit status."""
    command = [str(binary), "diff", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1), done.stderr
    assert status is None or done.returncode == status, f"{command}: exit {done.returncode}: {done.stdout[:2000]}"
    return json.loads(done.stdout)


def several(names):
    return [names] if isinstance(names, str) else names


def by_relation(found, side="a"):
    tensors = {}
    for pair in found["pairs"]:
        tensors.setdefault(pair["relation"], []).extend(several(pair[side]))
    return tensors


def explained(found, names, *relations):
    """That every one of these tensors of A has a counterpart that is no change, by one of these relations."""
    assert not found["only_a"] and not found["only_b"], (found["only_a"], found["only_b"])
    tensors = by_relation(found)
    assert set(tensors) <= set(relations), {r: t[:5] for r, t in tensors.items() if r not in relations}
    listed = sorted(name for names in tensors.values() for name in names)
    assert listed == sorted(names), set(listed) ^ set(names)
    assert found["ok"]


def alive(name):
    """A network of torchvision whose statistics are of data, and whose head depends on its inputs."""
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).train()
    with torch.no_grad():
        net(torch.randn(4, 3, 64, 64) * 2 + 0.3)
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            elif isinstance(module, torch.nn.Linear):
                module.weight.normal_(0, 0.05)
                module.bias.normal_(0, 0.05)
    return net.eval()


def weights_of(net):
    return {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}


def export(net, path, dynamo):
    torch.onnx.export(net, (torch.randn(1, 3, 64, 64),), str(path), dynamo=dynamo, verbose=False)
    return path


def check_exports(binary, scratch):
    for name, count in [("resnet18", 102), ("mobilenet_v2", 262)]:
        net = alive(name)
        weights = weights_of(net)
        assert len(weights) == count
        torch.save(net.state_dict(), scratch / f"{name}.pth")
        files = [export(net, scratch / f"{name}{dynamo}.onnx", dynamo) for dynamo in (False, True)]
        for file in files:
            found = diff(binary, scratch / f"{name}.pth", file, status=0)
            explained(found, weights, "same", "folded")
            assert len(by_relation(found)["same"]) == 2
            back = diff(binary, file, scratch / f"{name}.pth", status=0)
            assert not back["only_a"] and not back["only_b"]
            assert len(back["pairs"]) == len(found["pairs"])
        # Both exports hold the same, under names that one of them made up.
        both = diff(binary, *files)
        assert not both["only_a"] and not both["only_b"], both
        altered(binary, scratch, name, net, files)


def altered(binary, scratch, name, net, files):
    """One element moved by a thousandth, two tensors exchanged: found and named, through the fold as well."""
    state = net.state_dict()
    convolutions = [n for n, t in state.items() if t.dim() == 4 and t.shape[2] == 3]
    moved = convolutions[len(convolutions) // 2]
    other = {n: t.clone() for n, t in state.items()}
    other[moved].flatten()[100] += 1e-3
    torch.save(other, scratch / "moved.pth")
    for file in [scratch / f"{name}.pth", *files]:
        found = diff(binary, scratch / "moved.pth", file, status=1)
        [changed] = [p for p in found["pairs"] if p["relation"] == "changed"]
        assert moved in several(changed["a"]), changed
        assert changed["off"] == 1, changed
        at = np.ravel_multi_index(changed["first"]["index"], state[moved].shape)
        assert at == 100, changed
        assert not found["only_a"] and not found["only_b"]
    # A statistic, which shows in the bias alone.
    mean = next(n for n in state if n.endswith("running_mean"))
    other = {n: t.clone() for n, t in state.items()}
    other[mean][3] += 1e-3
    torch.save(other, scratch / "moved.pth")
    found = diff(binary, scratch / "moved.pth", files[0], status=1)
    [changed] = [p for p in found["pairs"] if p["relation"] == "changed"]
    assert mean in changed["a"] and changed["first"]["index"] == [3], changed
    # Two of a shape.
    shapes = {}
    for n in convolutions:
        shapes.setdefault(state[n].shape, []).append(n)
    one, two = max(shapes.values(), key=len)[:2]
    other = {n: t.clone() for n, t in state.items()}
    other[one], other[two] = other[two].clone(), other[one].clone()
    torch.save(other, scratch / "swapped.pth")
    for file in [scratch / f"{name}.pth", files[1]]:
        found = diff(binary, scratch / "swapped.pth", file, status=1)
        changed = by_relation(found)["changed"]
        assert one in changed and two in changed, changed
    found = diff(binary, scratch / "swapped.pth", scratch / f"{name}.pth")
    why = [p["why"] for p in found["pairs"] if p["relation"] == "changed"]
    assert len(why) == 2 and all("exchanged" in w for w in why), why
    # A tolerance lets small changes pass, and no others.
    other = {n: t.clone() for n, t in state.items()}
    other[moved] += 1e-6
    torch.save(other, scratch / "moved.pth")
    diff(binary, scratch / "moved.pth", scratch / f"{name}.pth", status=1)
    diff(binary, scratch / "moved.pth", scratch / f"{name}.pth", "--tolerance", 1e-3, status=0)


def check_names(binary, scratch):
    """Prefixes, other names, other types."""
    net = alive("resnet18")
    state = net.state_dict()
    torch.save(state, scratch / "a.pth")
    torch.save({f"module.{n}": t for n, t in state.items()}, scratch / "ddp.pth")
    found = diff(binary, scratch / "ddp.pth", scratch / "a.pth", status=0)
    explained(found, [f"module.{n}" for n in state], "renamed", "same")
    assert found["prefixes"][0] == {"a": "module.", "b": "", "names": len(state)}, found["prefixes"]
    # Names that say nothing, in an order that says nothing.
    shuffled = sorted(state, key=lambda n: hash(n) % 1009)
    save_file({f"t{i}": state[n].contiguous() for i, n in enumerate(shuffled)}, scratch / "renamed.safetensors")
    found = diff(binary, scratch / "a.pth", scratch / "renamed.safetensors", status=0)
    pairs = {several(p["a"])[0]: several(p["b"])[0] for p in found["pairs"]}
    for i, n in enumerate(shuffled):
        if n in pairs and state[n].unique().numel() > 1:
            assert pairs[n] == f"t{i}", (n, pairs[n])
    # Rounded as it should be, and not.
    half = {n: t.to(torch.bfloat16) if t.is_floating_point() else t for n, t in state.items()}
    torch.save(half, scratch / "half.pth")
    found = diff(binary, scratch / "a.pth", scratch / "half.pth", status=0)
    explained(found, state, "cast", "same")
    cut = {n: t.view(torch.int32).bitwise_and(-65536).view(torch.float32).bfloat16() if t.dtype == torch.float32 else t
           for n, t in state.items()}  # fmt: skip
    torch.save(cut, scratch / "cut.pth")
    found = diff(binary, scratch / "a.pth", scratch / "cut.pth", status=1)
    assert "conv1.weight" in by_relation(found)["changed"]


def check_tflite(binary, scratch):
    """A SavedModel with normalizations against what TensorFlow's converter makes of it, floats and int8."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    net = tf.keras.Sequential([
        layers.Input((16, 16, 3)),
        layers.Conv2D(8, 3, padding="same", use_bias=False, name="first"),
        layers.BatchNormalization(name="bn1"),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, padding="same", name="deep"),
        layers.BatchNormalization(name="bn2"),
        layers.ReLU(),
        layers.Conv2D(12, 1, name="point"),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(10, name="head"),
    ])  # fmt: skip
    random = np.random.default_rng(3)
    for layer in net.layers:
        if isinstance(layer, layers.BatchNormalization):
            shapes = [w.shape for w in layer.get_weights()]
            values = [random.uniform(0.5, 1.5, s) for s in shapes[:1]] + [random.normal(0, 0.3, s) for s in shapes[1:3]]
            layer.set_weights([*values, random.uniform(0.2, 2, shapes[3])])
        elif layer.get_weights():
            layer.set_weights([random.normal(0, 0.2, w.shape) for w in layer.get_weights()])
    net.export(str(scratch / "saved"), verbose=False)
    names = None
    for kind in ("float", "int8"):
        converter = tf.lite.TFLiteConverter.from_saved_model(str(scratch / "saved"))
        if kind == "int8":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            data = [random.normal(0, 1, (1, 16, 16, 3)).astype(np.float32) for _ in range(8)]
            converter.representative_dataset = lambda: ([x] for x in data)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        (scratch / f"{kind}.tflite").write_bytes(converter.convert())
        found = diff(binary, scratch / "saved", scratch / f"{kind}.tflite", status=0)
        tensors = by_relation(found)
        assert "changed" not in tensors and not found["only_a"] and not found["only_b"], found
        listed = sorted(n for names in tensors.values() for n in names)
        names = names or listed
        # 4 weights, 3 biases, and 2 normalizations of 4 tensors.
        assert listed == names and len(names) == 15, names
        if kind == "int8":
            quantized = [p for p in found["pairs"] if p["relation"] == "quantized"]
            assert quantized and all(p["steps"] <= 0.52 and p["sqnr_db"] > 30 for p in quantized), quantized


NET = """
name: "small"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 6 kernel_size: 3 bias_term: false } }
layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "fc" type: "InnerProduct" bottom: "conv1" top: "fc" inner_product_param { num_output: 10 } }
"""
FOLDED = """
name: "folded"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 6 kernel_size: 3 } }
layer { name: "fc" type: "InnerProduct" bottom: "conv1" top: "fc" inner_product_param { num_output: 10 } }
"""


def check_caffe(binary, scratch):
    """A caffemodel, which keeps sums of statistics, against the .pth of the same network and against a folded one."""
    (scratch / "net.prototxt").write_text(NET)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, bias=False), torch.nn.BatchNorm2d(6), torch.nn.Linear(6 * 36, 10))
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.2, 1.5)
    names = {"0": "conv1", "1": "bn1", "2": "fc"}
    state = {f"{names[k[0]]}{k[1:]}": v for k, v in net.state_dict().items()}
    torch.save(state, scratch / "net.pth")
    made = scratch / "net.caffemodel"
    weigh.run(binary, "convert", scratch / "net.pth", "--into", scratch / "net.prototxt", "-o", made, "--json")
    both = f"{scratch / 'net.prototxt'},{made}"
    expected = [n for n in state if not n.endswith("num_batches_tracked")]
    for b in (made, both):
        found = diff(binary, scratch / "net.pth", b, status=0)
        explained(found, expected, "same", "renamed")
    # As Caffe leaves it after training: sums, and what to divide them by.
    parsed = caffe_net.parse(made.read_bytes())
    for layer in parsed.layer:
        if layer.type == "BatchNorm":
            for blob in layer.blobs:
                values = caffe_net.array(blob).astype("<f4") * np.float32(999.98236)
                blob.ClearField("raw_data"), blob.ClearField("double_data")
                blob.data[:] = values.flatten().tolist()
    made.write_bytes(parsed.SerializeToString())
    for b in (made, both):
        found = diff(binary, b, scratch / "net.pth", status=0)
        assert by_relation(found)["folded"] == ["bn1.running_mean", "bn1.running_var"], found
        assert not found["only_a"] and not found["only_b"]
    # Folded, by hand.
    with torch.no_grad():
        scale = state["bn1.weight"] / (state["bn1.running_var"] + 1e-5).sqrt()
        folded = {"conv1.weight": state["conv1.weight"] * scale[:, None, None, None]}
        folded["conv1.bias"] = state["bn1.bias"] - state["bn1.running_mean"] * scale
        folded |= {n: t for n, t in state.items() if n.startswith("fc")}
    torch.save(folded, scratch / "folded.pth")
    for b in (made, both):
        found = diff(binary, b, scratch / "folded.pth", status=0)
        assert len(by_relation(found)["folded"]) >= 5, found


def check_wts(binary, scratch):
    net = alive("resnet18")
    torch.save(net.state_dict(), scratch / "w.pth")
    weigh.run(binary, "convert", scratch / "w.pth", "-o", scratch / "w.wts", "--json")
    found = diff(binary, scratch / "w.pth", scratch / "w.wts", status=0)
    tensors = by_relation(found)
    assert set(tensors) <= {"same", "cast"} and not found["only_b"], {r: t[:5] for r, t in tensors.items()}
    assert set(weights_of(net)) <= set(tensors["same"])


def check_gguf(binary, scratch):
    import gguf

    random = np.random.default_rng(5)
    shapes = {"token_embd.weight": (96, 256), "output_norm.weight": (256,)}
    for i in range(2):
        shapes |= {f"blk.{i}.attn_q.weight": (256, 256), f"blk.{i}.attn_k.weight": (256, 256),
                   f"blk.{i}.ffn_up.weight": (512, 256), f"blk.{i}.ffn_down.weight": (256, 512)}  # fmt: skip
    held = {n: random.standard_normal(s).astype(np.float32) * 0.05 for n, s in shapes.items()}
    save_file({n: torch.from_numpy(x) for n, x in held.items()}, scratch / "g.safetensors")
    for kind in ("Q8_0", "Q4_0", "Q5_1"):
        writer = gguf.GGUFWriter(str(scratch / f"{kind}.gguf"), "llama")
        for name, values in held.items():
            dtype = gguf.GGMLQuantizationType[kind] if values.ndim == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quants.quantize(values, dtype), raw_dtype=dtype)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        found = diff(binary, scratch / f"{kind}.gguf", scratch / "g.safetensors", status=0)
        explained(found, held, "quantized", "same")
        assert all(p["sqnr_db"] > 18 for p in found["pairs"] if p["relation"] == "quantized")
    # Under names that say nothing.
    save_file({f"x.{i}": torch.from_numpy(x) for i, x in enumerate(held.values())}, scratch / "h.safetensors")
    found = diff(binary, scratch / "Q8_0.gguf", scratch / "h.safetensors", status=0)
    explained(found, held, "quantized", "renamed")
    for pair in found["pairs"]:
        assert pair["b"] == f"x.{list(held).index(pair['a'])}", pair


def check_quantized_onnx(binary, scratch):
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    net = alive("resnet18")
    torch.save(net.state_dict(), scratch / "r.pth")
    file = export(net, scratch / "r.onnx", False)
    name = onnx.load(file).graph.input[0].name

    class Data(CalibrationDataReader):
        def __init__(self):
            self.left = [{name: np.random.default_rng(i).normal(size=(1, 3, 64, 64)).astype(np.float32)} for i in (0, 1)]

        def get_next(self):
            return self.left.pop() if self.left else None

    quantize_static(file, scratch / "q.onnx", Data(), QuantFormat.QDQ, per_channel=True, weight_type=QuantType.QInt8)
    found = diff(binary, scratch / "r.pth", scratch / "q.onnx", status=0)
    explained(found, weights_of(net), "quantized", "folded", "same")
    assert len(by_relation(found)["quantized"]) >= 100


def check_merged(binary, scratch):
    """Query, key and value in one tensor against three, one of them exported as matrices to multiply with."""
    random = np.random.default_rng(11)
    q, k, v = (random.standard_normal((32, 32)).astype(np.float32) for _ in range(3))
    rest = {"out.weight": torch.from_numpy(random.standard_normal((32, 32)).astype(np.float32))}
    save_file({"in_proj_weight": torch.from_numpy(np.concatenate([q, k, v])), **rest}, scratch / "one.safetensors")
    apart = {n: torch.from_numpy(x.copy()) for n, x in zip(["q.weight", "k.weight", "v.weight"], [q, k, v])}
    save_file({**apart, **rest}, scratch / "three.safetensors")
    for a, b in [("one", "three"), ("three", "one")]:
        found = diff(binary, scratch / f"{a}.safetensors", scratch / f"{b}.safetensors", status=0)
        [pair] = [p for p in found["pairs"] if p["relation"] == "merged"]
        assert sorted(map(len, [several(pair["a"]), several(pair["b"])])) == [1, 3], pair
    layer = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    torch.save(layer.state_dict(), scratch / "layer.pth")
    torch.onnx.export(layer, (torch.randn(1, 5, 32),), str(scratch / "layer.onnx"), dynamo=True, verbose=False)
    found = diff(binary, scratch / "layer.pth", scratch / "layer.onnx", status=0)
    explained(found, layer.state_dict(), "same", "renamed", "transposed", "merged")


def check_branches(binary, scratch):
    """Two convolutions and a normalization that sum, against the one kernel that they come to."""
    torch.manual_seed(4)

    class Branches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = torch.nn.Conv2d(8, 8, 3, padding=1)
            self.point = torch.nn.Conv2d(8, 8, 1)
            self.same = torch.nn.BatchNorm2d(8)
            self.last = torch.nn.Conv2d(8, 4, 3)

        def forward(self, x):
            return self.last(torch.relu(self.dense(x) + self.point(x) + self.same(x)))

    net = Branches()
    with torch.no_grad():
        net.same.running_var.uniform_(0.5, 2)
        net.same.running_mean.normal_()
        net.same.weight.uniform_(0.5, 1.5)
        scale = net.same.weight / (net.same.running_var + net.same.eps).sqrt()
        kernel = net.dense.weight.clone()
        kernel[:, :, 1, 1] += net.point.weight[:, :, 0, 0] + torch.diag(scale)
        bias = net.dense.bias + net.point.bias + net.same.bias - net.same.running_mean * scale
    torch.onnx.export(net.eval(), (torch.randn(1, 8, 9, 9),), str(scratch / "net.onnx"), dynamo=False)
    last = {n: t for n, t in net.state_dict().items() if n.startswith("last")}
    save_file({"block.weight": kernel, "block.bias": bias, **last}, scratch / "one.safetensors")
    found = diff(binary, scratch / "net.onnx", scratch / "one.safetensors", status=0)
    [merged] = [p for p in found["pairs"] if p["relation"] == "merged"]
    assert merged["b"] == ["block.weight", "block.bias"] and len(merged["a"]) == 8, merged
    kernel[3, 2, 0, 1] += 1e-3
    save_file({"block.weight": kernel, "block.bias": bias, **last}, scratch / "one.safetensors")
    found = diff(binary, scratch / "net.onnx", scratch / "one.safetensors", status=1)
    [changed] = [p for p in found["pairs"] if p["relation"] == "changed"]
    assert changed["first"]["index"] == [3, 2, 0, 1], changed


class Shifted(torch.nn.Module):
    """What stands before a convolution: a scale where it is padded, a scale and a shift where it is not."""

    def __init__(self):
        super().__init__()
        self.padded = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.bare = torch.nn.Conv2d(8, 8, 3)

    def forward(self, x):
        return self.bare(self.padded(x / 6).relu() * 0.25 + 0.5)


def check_before(binary, scratch):
    """What stands before a convolution is found where it was folded into it, with its weights as constants or not."""
    torch.manual_seed(3)
    net = Shifted().eval()
    torch.onnx.export(net, torch.randn(1, 3, 16, 16), scratch / "net.onnx", dynamo=False, do_constant_folding=False)
    model = onnx.load(scratch / "net.onnx")
    for weight in model.graph.initializer:
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [weight.name], value=weight))
    del model.graph.initializer[:]
    onnx.save(model, scratch / "constants.onnx")
    folded = ["simplify", str(scratch / "net.onnx"), "-o", str(scratch / "folded.onnx")]
    subprocess.run([binary, *folded], check=True, capture_output=True)
    for source in ("net.onnx", "constants.onnx"):
        found = diff(binary, scratch / source, scratch / "folded.onnx", status=0)
        folded = [name.removesuffix("@value") for name in by_relation(found)["folded"]]
        assert {"padded.weight", "bare.weight", "bare.bias"} <= set(folded), (source, by_relation(found))


def check_over_time(binary, scratch):
    """A checkpoint of DistributedDataParallel with an average and an optimizer, at three times."""
    torch.manual_seed(2)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(8 * 36, 10)
    )
    average = {f"module.{n}": t.clone() for n, t in net.state_dict().items()}
    net[0].requires_grad_(False)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    files = []
    for epoch in range(3):
        for _ in range(5):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(torch.randn(16, 1, 8, 8)), torch.randint(10, (16,))).backward()
            optimizer.step()
            for n, t in net.state_dict().items():
                mean = average[f"module.{n}"]
                mean.copy_(t if not t.is_floating_point() else 0.9 * mean + 0.1 * t)
        state = {f"module.{n}": t.clone() for n, t in net.state_dict().items()}
        files.append(scratch / f"e{epoch}.pth")
        held = {"epoch": epoch, "model": state, "ema": {n: t.clone() for n, t in average.items()}}
        torch.save(held | {"optimizer": optimizer.state_dict()}, files[-1])
    states = [torch.load(f)["model"] for f in files]
    for names, loaded in [(files[:2], states[:2]), (files, states)]:
        found = diff(binary, *names, status=1)
        layers = [layer for layer in found["layers"] if not layer["buffers"]]
        changes = [layer["change"] for layer in found["layers"]]
        assert changes == sorted(changes, reverse=True)
        assert layers[-1]["tensors"] == ["module.0.weight", "module.0.bias"] and layers[-1]["change"] == 0
        for layer in layers:
            for step, (a, b) in zip(layer["steps"], zip(loaded, loaded[1:])):
                before = torch.cat([a[n].flatten() for n in layer["tensors"]]).double()
                after = torch.cat([b[n].flatten() for n in layer["tensors"]]).double()
                assert abs(step - float((after - before).norm() / before.norm())) < 1e-6 * step + 1e-12
    found = diff(binary, f"{files[2]}#model", f"{files[2]}#ema", "--sort", "change", status=1)
    relative = [p["relative_change"] for p in found["pairs"] if p["relation"] == "changed"]
    assert relative and relative == sorted(relative, reverse=True)
    assert found["layers"] and not found["only_a"] and not found["only_b"]
    # The distribution has moved as scipy would have it.
    from scipy.stats import wasserstein_distance

    [layer] = [layer for layer in found["layers"] if "module.4.weight" in layer["tensors"]]
    held = torch.load(files[2])
    a, b = (held[part]["module.4.weight"].double().flatten().numpy() for part in ("model", "ema"))
    expected = wasserstein_distance(a, b) / a.std()
    assert abs(layer["wasserstein"] - expected) < 0.02 * expected + 1e-3, (layer["wasserstein"], expected)


class Tagger(torch.nn.Module):
    """A recurrent layer and a head."""

    def __init__(self, kind, both):
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(12, 20, 2, bidirectional=both)
        self.head = torch.nn.Linear(40 if both else 20, 5)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def check_recurrent(binary, scratch):
    """Gates in torch's, ONNX's and Keras' order."""
    torch.manual_seed(3)
    for kind in ("LSTM", "GRU"):
        for both in (False, True):
            net = Tagger(kind, both).eval()
            state = net.state_dict()
            torch.save(state, scratch / "r.pth")
            moved = {n: t.clone() for n, t in state.items()}
            moved["rnn.weight_hh_l0"][7, 3] += 1e-3
            torch.save(moved, scratch / "moved.pth")
            torch.onnx.export(net, (torch.randn(7, 2, 12),), scratch / "r.onnx", dynamo=False, verbose=False)
            found = diff(binary, scratch / "r.pth", scratch / "r.onnx", status=0)
            explained(found, state, "same", "transposed", "merged")
            diff(binary, scratch / "r.onnx", scratch / "r.pth", status=0)
            found = diff(binary, scratch / "moved.pth", scratch / "r.onnx", status=1)
            [changed] = [p for p in found["pairs"] if p["relation"] == "changed"]
            assert "rnn.weight_hh_l0" in several(changed["a"]) and changed["off"] == 1, changed
            moved["rnn.weight_hh_l0"] = torch.cat([state["rnn.weight_hh_l0"][20:60], state["rnn.weight_hh_l0"][:20], state["rnn.weight_hh_l0"][60:]])
            torch.save(moved, scratch / "moved.pth")
            diff(binary, scratch / "moved.pth", scratch / "r.onnx", status=1)
    keras_gates(binary, scratch)


def keras_gates(binary, scratch):
    import keras

    for kind, order in (("LSTM", [0, 1, 2, 3]), ("GRU", [1, 0, 2])):
        rnn, head = getattr(torch.nn, kind)(12, 20), torch.nn.Linear(20, 5)
        state = {f"rnn.{n}": t.detach() for n, t in rnn.state_dict().items()}
        state |= {f"head.{n}": t.detach() for n, t in head.state_dict().items()}
        torch.save(state, scratch / "k.pth")
        layer = getattr(keras.layers, kind)(20)
        net = keras.Sequential([keras.layers.Input((7, 12)), layer, keras.layers.Dense(5)])
        gates = lambda name: np.concatenate([np.split(state[f"rnn.{name}_l0"].numpy(), len(order))[g] for g in order])  # noqa: E731
        biases = [gates("bias_ih"), gates("bias_hh")]
        biases = sum(biases) if kind == "LSTM" else np.stack(biases)
        layer.set_weights([gates("weight_ih").T, gates("weight_hh").T, biases])
        net.layers[-1].set_weights([state["head.weight"].numpy().T, state["head.bias"].numpy()])
        net.export(str(scratch / f"{kind}_saved"), verbose=False)
        for name in (f"{kind}.keras", f"{kind}.h5", f"{kind}_saved"):
            if "saved" not in name:
                net.save(scratch / name)
            found = diff(binary, scratch / "k.pth", scratch / name, status=0)
            explained(found, state, "renamed", "transposed", "merged", "folded")


class Window(torch.nn.Module):
    """A table of biases that an index picks from, as in windowed attention, and a token for each of the batch."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.randn(9, 3))
        self.register_buffer("index", torch.randint(0, 9, (16,)))
        self.token = torch.nn.Parameter(torch.randn(1, 1, 4))

    def forward(self, x):
        bias = self.table[self.index].view(4, 4, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
        return x + bias + self.token.expand(2, -1, -1).unsqueeze(1)


def check_computed(binary, scratch):
    """Constants that exporters computed from what the state dict holds."""
    torch.manual_seed(4)
    net = Window().eval()
    torch.save(net.state_dict(), scratch / "w.pth")
    moved = {n: t.clone() for n, t in net.state_dict().items()}
    moved["table"][2, 1] += 1e-3
    torch.save(moved, scratch / "moved.pth")
    for dynamo in (False, True):
        file = scratch / f"w{dynamo}.onnx"
        torch.onnx.export(net, (torch.randn(2, 3, 4, 4),), str(file), dynamo=dynamo, verbose=False)
        found = diff(binary, scratch / "w.pth", file, status=0)
        explained(found, net.state_dict(), "same", "renamed", "folded")
        found = diff(binary, scratch / "moved.pth", file, status=1)
        [changed] = [p for p in found["pairs"] if p["relation"] == "changed"]
        assert "table" in several(changed["a"]), changed


def check_llama(binary, scratch):
    """Rows of queries and keys as llama.cpp puts them, rounded to blocks and not."""
    import gguf

    random = np.random.default_rng(6)
    heads = lambda w, n: w.reshape(n, 2, -1, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)  # noqa: E731
    kinds = {"q_proj": ("attn_q", 4), "k_proj": ("attn_k", 2), "v_proj": ("attn_v", 0), "o_proj": ("attn_output", 0)}
    held, turned = {}, {}
    for i in range(2):
        for name, (short, count) in kinds.items():
            w = random.standard_normal((128 if short in ("attn_k", "attn_v") else 256, 256)).astype(np.float32) * 0.05
            held[f"model.layers.{i}.self_attn.{name}.weight"] = torch.from_numpy(w)
            turned[f"blk.{i}.{short}.weight"] = heads(w, count) if count else w
    save_file(held, scratch / "llama.safetensors")
    for kind, relations in (("F32", ("renamed", "transposed")), ("F16", ("cast",)), ("Q8_0", ("quantized",)), ("Q4_0", ("quantized",))):
        writer = gguf.GGUFWriter(str(scratch / f"llama-{kind}.gguf"), "llama")
        dtype = gguf.GGMLQuantizationType[kind]
        for name, values in turned.items():
            writer.add_tensor(name, gguf.quants.quantize(values, dtype), raw_dtype=dtype)
        writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
        found = diff(binary, scratch / "llama.safetensors", scratch / f"llama-{kind}.gguf", status=0)
        explained(found, held, *relations)


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("checks", nargs="*", help="only these")
    arguments = parser.parse_args()
    binary = weigh.find(arguments.weigh)
    checks = {n.removeprefix("check_"): f for n, f in globals().items() if n.startswith("check_")}
    failed = []
    for name, check in checks.items():
        if arguments.checks and name not in arguments.checks:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            try:
                check(binary, Path(scratch))
            except Exception as error:  # every check has its say
                if arguments.checks:
                    raise
                failed.append(f"{name}: {type(error).__name__}: {str(error)[:3000]}")
    for failure in failed:
        print(failure, file=sys.stderr)
    print(f"diff: {len(checks) - len(failed)} of {len(checks)} checks passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
