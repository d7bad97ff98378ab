"""`weigh simplify` on exported networks: as few nodes as the better of two other simplifiers leaves, the same outputs
under ONNX Runtime, and never a larger file.

Counts of the others are in tests/oracles/simplify.json, which tests/generate/simplify_peers.py writes: they take
longer than all of this. `--all` goes through every export, in 30 minutes or so where none is made yet; without it a set
that has each exporter and opset.
"""

import argparse
import functools
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
import weigh
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1] / "generate"))
import exports
import tangles

# Of an output's largest magnitude.
TOLERANCE = 1e-5

SET = [
    ("resnet18", "script11"),
    ("squeezenet1_1", "script-default"),
    ("mobilenet_v2", "script13-dynamic"),
    ("shufflenet_v2_x1_0", "script13"),
    ("shufflenet_v2_x1_0", "dynamo-dynamic"),
    ("googlenet", "script17"),
    ("densenet121", "dynamo"),
    ("efficientnet_b0", "dynamo-dynamic"),
    ("deeplabv3_mobilenet_v3_large", "script13"),
    ("swin_t", "script17"),
]

# Whose exports are shown to tell, weight by weight, in PyTorch.
TELLING = ["resnet18", "squeezenet1_1"]

# Passes that only move elements and compute sizes. Constants are folded in F64, and an engine's pow may be less exact.
SHAPES = [
    "dead", "constant-nodes", "shape-values", "inline-if", "duplicate-initializers", "common-subexpressions", "identity",
    "casts", "same-shape", "reshape-sizes", "reshapes", "transposes", "slices", "concats",
]


def outputs(model, feeds):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def distance(a, b):
    """The largest difference of each output beside its largest magnitude; infinite where shapes differ."""
    if any(x.shape != y.shape or x.dtype != y.dtype for x, y in zip(a, b, strict=True)):
        return float("inf")
    pairs = [(x.astype(np.float64), y.astype(np.float64)) for x, y in zip(a, b, strict=True) if x.size]
    return max(float(np.abs(x - y).max() / max(np.abs(x).max(), 1e-30)) for x, y in pairs)


def apart(truth, found):
    return float(np.abs(found[0] - truth).max() / np.abs(truth).max())


def in_double(name, x):
    """What the network gives in F64."""
    with torch.no_grad():
        return exports.build(name).double()(torch.from_numpy(x).double()).numpy()


def deaf_in_torch(net, x):
    """Tensors of a network that may be zeros without any output telling."""
    deaf = []
    with torch.no_grad():
        before = net(x)
        for name, tensor in list(net.named_parameters()) + list(net.named_buffers()):
            if not tensor.is_floating_point():
                continue
            held = tensor.clone()
            tensor.zero_()
            if not float((net(x) - before).abs().max() / before.abs().max()) > 100 * TOLERANCE:
                deaf.append(name)
            tensor.copy_(held)
    return deaf


def deaf(path, feeds):
    """The same of a file's initializers of floating point."""
    model, found = onnx.load(path), []
    before = outputs(str(path), feeds)
    for held in model.graph.initializer:
        array = numpy_helper.to_array(held)
        if array.dtype.kind != "f" or array.size < 2:
            continue
        kept = onnx.TensorProto.FromString(held.SerializeToString())
        held.CopyFrom(numpy_helper.from_array(np.zeros_like(array), held.name))
        if not distance(before, outputs(model.SerializeToString(), feeds)) > 100 * TOLERANCE:
            found.append(held.name)
        held.CopyFrom(kept)
    return found


def nodes_of(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from nodes_of(inner)


class Cases:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.faults = binary, folder, []
        self.peers = json.loads(oracle().read_text())

    def fault(self, text):
        self.faults.append(text)
        print(text, file=sys.stderr)

    def simplify(self, path, out, *flags):
        return weigh.run(self.binary, "simplify", path, "-o", out, "--no-verify", "--json", "--force", *flags)

    def as_exact(self, before, after, exact):
        """Whether F32 alone explains it: the original is as far from F64 as what was made of it."""
        truth = exact() if exact else None
        return truth is not None and apart(truth, after) < max(TOLERANCE, 1.25 * apart(truth, before))

    def case(self, path, feeds, static, exact=None):
        name = path.name.removesuffix(".onnx")
        out = self.folder / "out.onnx"
        report = self.simplify(path, out)
        onnx.checker.check_model(onnx.load(out))
        ours = report["nodes"]["after"]
        theirs = [n for n in self.peers.get(name, {}).values() if isinstance(n, int)]
        # What they count is the outermost graph.
        outermost = len(onnx.load(out, load_external_data=False).graph.node)
        if not theirs or outermost > min(theirs):
            self.fault(f"{name}: {outermost} nodes, where others leave {self.peers.get(name)}")
        if out.stat().st_size > path.stat().st_size:
            self.fault(f"{name}: {path.stat().st_size} bytes became {out.stat().st_size}")
        left = sorted({n.op_type for n in nodes_of(onnx.load(out).graph)} & {"Shape", "Size"})
        if static and left:
            self.fault(f"{name}: shapes are static, and {', '.join(left)} is left")
        before = outputs(str(path), feeds)
        off = distance(before, outputs(str(out), feeds))
        if not off < TOLERANCE and not self.as_exact(before, outputs(str(out), feeds), exact):
            self.fault(f"{name}: outputs differ by {off:.1e}")
        self.simplify(path, out, *(f"--only={one}" for one in SHAPES))
        if any(a.tobytes() != b.tobytes() for a, b in zip(before, outputs(str(out), feeds), strict=True)):
            self.fault(f"{name}: only shapes were folded, and outputs are not the same to the bit")
        print(f"{name}: {report['nodes']['before']} -> {ours} nodes (others {theirs}), {off:.1e}")
        return before


def oracle():
    return Path(__file__).parents[1] / "oracles" / "simplify.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    weigh.add_argument(parser)
    parser.add_argument("--all", action="store_true", help="every export of exports.py")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    asked = exports.ALL if options.all else SET
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(weigh.find(options.weigh), Path(folder))
        for name, path in tangles.write_all().items():
            feeds = tangles.feeds(name)
            if silent := deaf(path, feeds):
                cases.fault(f"{name}: no output tells of {', '.join(silent)}")
            before = cases.case(path, feeds, "dynamic" not in name)
            if "yolo" in name and len(before[-1]) == 0:
                cases.fault(f"{name}: no box comes out")
        for name, how in asked:
            size = exports.NETS[name]
            x = np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32)
            if name in TELLING and (silent := deaf_in_torch(exports.build(name), torch.from_numpy(x))):
                cases.fault(f"{name}: no output tells of {', '.join(silent)}")
            exact = functools.partial(in_double, name, x)
            cases.case(exports.export(name, how), {"x": x}, "dynamic" not in how, exact)
    if cases.faults:
        raise SystemExit(f"{len(cases.faults)} faults")


if __name__ == "__main__":
    main()
