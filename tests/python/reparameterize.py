"""`weigh simplify --reparameterize` on networks of parallel branches: merged, equal under ONNX Runtime, and as many
convolutions as the deployed form has."""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import weigh

sys.path.insert(0, str(Path(__file__).parents[1] / "generate"))
import branches
import exports

# Of the largest magnitude.
TOLERANCE = 1e-5
# Which exporters; the newer one folds normalizations itself.
HOW = {"repvgg_a0": ["script13", "dynamo"]}
USUAL = ["script13"]


def session(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def distance(a, b):
    return float(np.abs(a - b).max() / np.abs(a).max())


def insensitive(net, x):
    """Names of weights that may be zeroed without an output moving by 100 times the tolerance."""
    still = []
    with torch.no_grad():
        whole = net(x).numpy()
        for name, tensor in net.state_dict().items():
            if not tensor.is_floating_point():
                continue
            kept = tensor.clone()
            tensor.zero_()
            # Without a bound, a normalization divides by the root of its epsilon: that moves outputs, or overflows.
            moved = distance(whole, net(x).numpy())
            tensor.copy_(kept)
            if not moved > 100 * TOLERANCE:
                still.append(name)
    return still


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    # Many small forward passes: threads would wait for each other.
    torch.set_num_threads(1)
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, make in branches.NETS.items():
            torch.manual_seed(1)
            net = make()
            exports.settle(net, branches.noise(8))
            x = branches.noise(2)
            still = insensitive(net, x)
            if still:
                faults.append(f"{name}: these weights hardly matter, which proves nothing: {still}")
            for how in HOW.get(name, USUAL):
                before, after = folder / f"{name}.{how}.onnx", folder / f"{name}.{how}.merged.onnx"
                exports.to_onnx(net, x, before, how)
                weigh.run(binary, "simplify", before, "-o", after, "--reparameterize", "--no-verify", silent=True)
                onnx.checker.check_model(str(after), full_check=True)
                merged = onnx.load(after)
                convolutions = sum(node.op_type == "Conv" for node in merged.graph.node)
                if convolutions != net.deployed:
                    faults.append(f"{name} {how}: {convolutions} convolutions instead of {net.deployed}")
                norms = sum(node.op_type == "BatchNormalization" for node in merged.graph.node)
                if norms:
                    faults.append(f"{name} {how}: {norms} normalizations are left")
                a, b = (session(path).run(None, {"x": x.numpy()})[0] for path in (before, after))
                off = distance(a, b)
                if not off < TOLERANCE:
                    faults.append(f"{name} {how}: differs by {off:.1e} of the largest magnitude")
                print(f"{name} {how}: {convolutions} convolutions, {off:.1e}", flush=True)
    if faults:
        raise SystemExit("\n".join(faults))
    print(f"{len(branches.NETS)} networks of branches are merged, and equal")


if __name__ == "__main__":
    main()
