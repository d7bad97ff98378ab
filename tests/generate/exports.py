"""Networks of torchvision that can tell, and their ONNX files.

An untrained network in eval mode hardly depends on its weights: BatchNorm's statistics are those of noise that went
through it here, and what torchvision leaves at zero is drawn at random. Exported files are kept in target/exports and
made again when torch or this file changes.

    python tests/generate/exports.py --list
    python tests/generate/exports.py resnet18 mobilenet_v2 --how script13 dynamo
"""

import argparse
import hashlib
import warnings
from pathlib import Path

import torch
import torchvision
from torch import nn

FOLDER = Path(__file__).parents[2] / "target" / "exports"

# Names, and the sizes of their inputs.
NETS = {
    "resnet18": 64,
    "resnet50": 64,
    "mobilenet_v2": 64,
    "shufflenet_v2_x1_0": 64,
    "googlenet": 64,
    "densenet121": 64,
    "efficientnet_b0": 64,
    "squeezenet1_1": 64,
    "deeplabv3_mobilenet_v3_large": 64,
    "swin_t": 64,
    "vit_b_16": 224,
}

# How a file is made: torch's older exporter without constant folding, its older and newer ones as they are.
HOW = ["script11", "script13", "script17", "script-default", "dynamo"]
HOW += [f"{how}-dynamic" for how in HOW]

# The attention that torch computes in one step is in no opset before 14.
ALL = [(name, how) for name in NETS for how in HOW if name != "vit_b_16" or not how.startswith(("script11", "script13"))]


class First(nn.Module):
    """The one output that is looked at, of networks that give a dictionary."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["out"]


def build(name, seed=0):
    """The network in eval mode, with statistics of noise and no tensor of zeros."""
    torch.manual_seed(seed)
    maker = getattr(torchvision.models, name, None) or getattr(torchvision.models.segmentation, name)
    more = {"weights_backbone": None, "aux_loss": False} if "deeplab" in name else {}
    if name == "googlenet":
        more = {"aux_logits": False, "init_weights": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = maker(weights=None, **more)
    settle(net, torch.randn(8, 3, NETS[name], NETS[name]))
    return First(net).eval() if "deeplab" in name else net


def settle(net, noise):
    """Draws what is zero or one throughout, and lets `noise` through in train mode for BatchNorm's statistics."""
    for key, tensor in net.named_parameters():
        if tensor.min() == tensor.max():
            with torch.no_grad():
                tensor.copy_(torch.randn_like(tensor) * 0.1 + (1.0 if tensor.flatten()[0] == 1 else 0.0))
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
        if isinstance(module, (nn.Dropout, torchvision.ops.StochasticDepth)):
            module.p = 0.0
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(noise)
    return net.eval()


def export(name, how, net=None):
    """The path of the exported file."""
    stamp = hashlib.sha256(Path(__file__).read_bytes() + torch.__version__.encode()).hexdigest()[:12]
    path = FOLDER / stamp / f"{name}.{how}.onnx"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    net = net or build(name)
    made = path.with_suffix(".part.onnx")
    to_onnx(net, torch.randn(2, 3, NETS[name], NETS[name]), made, how)
    made.rename(path)
    return path


def to_onnx(net, x, path, how):
    """Exports `net`, whose input is `x` and whose output is `y`, in one file."""
    dynamic = how.endswith("-dynamic")
    kind = how.removesuffix("-dynamic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind.startswith("script"):
            opset = kind.removeprefix("script")
            more = {} if opset == "-default" else {"opset_version": int(opset), "do_constant_folding": False}
            axes = {"x": {0: "N"}, "y": {0: "N"}} if dynamic else None
            torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamic_axes=axes, dynamo=False, **more)
        else:
            shapes = ({0: torch.export.Dim("N")},) if dynamic else None
            torch.onnx.export(net, (x,), path, input_names=["x"], output_names=["y"], dynamic_shapes=shapes, dynamo=True,
                              external_data=False, verbose=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks; all of them unless told")
    parser.add_argument("--how", nargs="*", default=HOW)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(NETS))
        return
    for name in options.names or NETS:
        net = build(name)
        for how in [how for how in options.how if (name, how) in ALL]:
            print(export(name, how, net), flush=True)


if __name__ == "__main__":
    main()
