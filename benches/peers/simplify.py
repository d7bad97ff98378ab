"""weigh simplify beside onnxsim and OnnxSlim on torchvision's vit_b_16 (346 MB), and on 5 GB of external data that is
sparse: CPU time, peak of all resident and of private memory.

Each writes its result. Without proofs: `weigh simplify --no-verify`, and the others' own default, which is none.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from peers import ROOT, Job, table, watch

SCRIPTS = {
    "onnxsim": "import sys, onnx, onnxsim; onnx.save(onnxsim.simplify(onnx.load(sys.argv[1]))[0], sys.argv[2])",
    "OnnxSlim": "import sys, onnx, onnxslim; onnx.save(onnxslim.slim(onnx.load(sys.argv[1])), sys.argv[2])",
}


def make_vit(path):
    """As the older exporter leaves it; the fields of a network without training are as good as any here."""
    import torch
    import torchvision

    net = torchvision.models.vit_b_16(weights=None).eval()
    torch.onnx.export(net, (torch.randn(1, 3, 224, 224),), path, input_names=["x"], output_names=["y"], dynamo=False,
                      do_constant_folding=False, opset_version=17)


def make_large(path, gigabytes):
    """Linear layers with a scale to fold, and shapes to untangle between them."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    width, data = 8192, path.with_suffix(".data")
    size = 4 * width * width
    layers = int(gigabytes * 1e9 / size) + 1
    with data.open("wb") as file:
        for i in range(layers):
            # Weights that are all the same would become one.
            file.seek(i * size)
            file.write(np.float32([i + 1]).tobytes())
        file.truncate(layers * size)
    held, nodes, at = [], [], "x"
    scale = numpy_helper.from_array(np.linspace(0.5, 1.5, width, dtype=np.float32), "scale")
    for i in range(layers):
        weight = TensorProto(name=f"w{i}", dims=[width, width], data_type=TensorProto.FLOAT, data_location=1)
        for key, value in (("location", data.name), ("offset", i * size), ("length", size)):
            weight.external_data.add(key=key, value=str(value))
        held.append(weight)
        nodes += [
            helper.make_node("MatMul", [at, f"w{i}"], [f"m{i}"], f"m{i}"),
            helper.make_node("Mul", [f"m{i}", "scale"], [f"s{i}"], f"s{i}"),
            helper.make_node("Shape", [f"s{i}"], [f"z{i}"], f"z{i}"),
            helper.make_node("Reshape", [f"s{i}", f"z{i}"], [f"r{i}"], f"r{i}"),
        ]
        at = f"r{i}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, width])
    y = helper.make_tensor_value_info(at, TensorProto.FLOAT, [4, width])
    graph = helper.make_graph(nodes, "g", [x], [y], [*held, scale])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def apart(make, *arguments):
    """Runs it in a process of its own: what a framework holds would count as its children's memory."""
    child = os.fork()
    if child == 0:
        make(*arguments)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{make.__name__} failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--weigh", type=Path, default=ROOT / "target/release/weigh")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weigh-simplify-") as folder:
        vit, out = Path(folder) / "vit.onnx", str(Path(folder) / "out.onnx")
        apart(make_vit, vit)
        ours = [str(args.weigh), "simplify", "--no-verify", "--force", "--json"]
        jobs = [Job("weigh simplify", [*ours, str(vit), "-o", out])]
        jobs += [Job(name, [sys.executable, "-W", "ignore", "-c", text, str(vit), out]) for name, text in SCRIPTS.items()]
        for _ in range(args.runs):
            for job in jobs:
                watch(job, quiet=True)
        print(f"vit_b_16, {vit.stat().st_size / 1e6:.0f} MB; medians of {args.runs}\n")
        print("\n".join(table(jobs, [jobs[1]])))
        vit.unlink()
        large = Path(folder) / "large.onnx"
        apart(make_large, large, args.gigabytes)
        size = large.with_suffix(".data").stat().st_size
        job = Job("weigh simplify", [*ours, str(large), "-o", out, "--external", "1KB"])
        watch(job, quiet=True)
        print(f"\n{size / 1e9:.1f} GB of external data, one run\n")
        print("\n".join(table([job], [])))


if __name__ == "__main__":
    main()
