"""`weigh convert --fold-bn` and `--normalize-bn`: state dicts, pickled modules and Caffe nets, held against the real ones."""

import argparse
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
import weigh
from safetensors.torch import load_file
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "generate"))
import exports

# Of the largest magnitude.
TOLERANCE = 1e-5
# Networks, and how many of their normalizations follow a convolution.
NETS = {"resnet18": 20, "mobilenet_v2": 52, "densenet121": 59, "efficientnet_b0": 49}


class Own(nn.Module):
    """What names alone do not tell: epsilon, groups of a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8, eps=0.1)
        self.up = nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4)
        self.bn_up = nn.BatchNorm2d(8, eps=0.01, affine=False)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(8 * 64, 6, bias=False), nn.BatchNorm1d(6))

    def forward(self, x):
        return self.body(torch.relu(self.bn_up(self.up(torch.relu(self.bn(self.conv(x)))))))


def fold(binary, folder, saved, *more):
    out = folder / "folded.safetensors"
    weigh.run(binary, "convert", saved, "-o", out, "--fold-bn", "--force", *more, silent=True)
    return load_file(out)


def without_norms(net, folded):
    """`net` with what was folded; its normalizations that are gone hand on what they get."""
    gone = 0
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and f"{name}.running_mean" not in folded:
            parent, _, leaf = name.rpartition(".")
            setattr(net.get_submodule(parent), leaf, nn.Identity())
            gone += 1
    for name, module in net.named_modules():
        if f"{name}.bias" in folded and getattr(module, "bias", 0) is None:
            module.bias = nn.Parameter(torch.zeros_like(folded[f"{name}.bias"]))
    net.load_state_dict(folded)
    return gone


def distance(a, b):
    return float((a - b).abs().max() / a.abs().max())


def of_torch(binary, folder, faults):
    for name, count in NETS.items():
        net, x = exports.build(name), torch.randn(2, 3, exports.NETS[name], exports.NETS[name])
        saved = folder / "net.pth"
        torch.save(net.state_dict(), saved)
        with torch.no_grad():
            before = net(x)
            gone = without_norms(net, fold(binary, folder, saved))
            off = distance(before, net(x))
        if gone != count or not off < TOLERANCE:
            faults.append(f"{name}: {gone} of {count} normalizations folded, and outputs differ by {off:.1e}")
    torch.manual_seed(3)
    net, x = Own(), torch.randn(4, 3, 4, 4)
    exports.settle(net, torch.randn(16, 3, 4, 4))
    saved = folder / "whole.pth"
    torch.save(net, saved)
    with torch.no_grad():
        before = net(x)
        gone = without_norms(net, fold(binary, folder, saved))
        off = distance(before, net(x))
    if gone != 3 or not off < TOLERANCE:
        faults.append(f"a pickled module: {gone} of 3 normalizations folded, and outputs differ by {off:.1e}")


NET = """
name: "bn"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 6 kernel_size: 3 bias_term: false group: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { eps: 0.01 } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "up" type: "Deconvolution" bottom: "conv" top: "up" convolution_param { num_output: 4 kernel_size: 2 } }
layer { name: "bn_up" type: "BatchNorm" bottom: "up" top: "bn_up" }
"""


def of_caffe(binary, folder, faults):
    random = np.random.default_rng(5)
    draw = lambda *shape: random.standard_normal(shape).astype(np.float32)
    blobs = {
        "conv.weight": draw(6, 1, 3, 3),
        # Sums of 4 steps.
        "bn.running_mean": draw(6),
        "bn.running_var": random.random(6).astype(np.float32) * 4 + 1,
        "bn.factor": np.array([4], np.float32),
        "scale.weight": draw(6),
        "scale.bias": draw(6),
        "up.weight": draw(6, 4, 2, 2),
        "up.bias": draw(4),
        "bn_up.running_mean": draw(4),
        "bn_up.running_var": random.random(4).astype(np.float32) + 0.5,
        "bn_up.factor": np.array([2], np.float32),
    }
    text, weights = folder / "net.prototxt", folder / "net.caffemodel"
    text.write_text(NET)
    np.savez(folder / "blobs.npz", **blobs)
    weigh.run(binary, "convert", folder / "blobs.npz", "-o", weights, "--into", text, silent=True)
    x = draw(1, 3, 8, 8)

    def run(model):
        net = cv2.dnn.readNetFromCaffe(str(text), str(model))
        net.setInput(x)
        return net.forward("bn_up").copy()

    whole = run(weights)
    folded = fold(binary, folder, weights)
    if set(folded) != {"conv.weight", "conv.bias", "up.weight", "up.bias"}:
        faults.append(f"Caffe: {sorted(folded)} are left")
        return
    y = torch.relu(nn.functional.conv2d(torch.from_numpy(x), folded["conv.weight"], folded["conv.bias"], groups=3))
    y = nn.functional.conv_transpose2d(y, folded["up.weight"], folded["up.bias"])
    off = distance(torch.from_numpy(whole), y)
    if not off < TOLERANCE:
        faults.append(f"Caffe, folded: differs by {off:.1e}")

    plain = folder / "plain.caffemodel"
    weigh.run(binary, "convert", text, weights, "-o", plain, "--normalize-bn", silent=True)
    off = distance(torch.from_numpy(whole), torch.from_numpy(run(plain)))
    if not off < TOLERANCE:
        faults.append(f"Caffe, normalized: differs by {off:.1e}")
    out = folder / "plain.safetensors"
    weigh.run(binary, "convert", plain, "-o", out, silent=True)
    plain = load_file(out)
    mean = torch.from_numpy(blobs["bn.running_mean"] / np.float32(4))
    if plain["bn.factor"].item() != 1 or not torch.equal(plain["bn.running_mean"], mean):
        faults.append("Caffe, normalized: the factor or the means are not what they should be")


def refusals(binary, folder, faults):
    def words(*arguments):
        done = subprocess.run([binary, "convert", *arguments], capture_output=True, text=True)
        return done.returncode, done.stderr

    # An activation may stand where the number is missing.
    saved = folder / "gap.pth"
    torch.save(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).state_dict(), saved)
    status, text = words(saved, "-o", folder / "gap.safetensors", "--fold-bn")
    if status != 2 or "may be an activation" not in text:
        faults.append(f"a gap in a Sequential: exit {status}: {text}")
    status, text = words(folder / "net.caffemodel", "-o", folder / "no.caffemodel", "--fold-bn")
    if status != 2 or (folder / "no.caffemodel").exists():
        faults.append(f"a folded net in its own graph: exit {status}: {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    faults = []
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        of_torch(binary, Path(folder), faults)
        of_caffe(binary, Path(folder), faults)
        refusals(binary, Path(folder), faults)
    if faults:
        raise SystemExit("\n".join(faults))
    print(f"normalizations of {len(NETS) + 2} networks are folded, and outputs stay")


if __name__ == "__main__":
    main()
