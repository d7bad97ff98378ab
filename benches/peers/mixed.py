"""Mixed precision beside its peers: how far outputs move, and what it takes.

`weigh convert --precision f16`, pure and with --keep-unsafe; onnxconverter-common's float16 conversion; ModelOpt's AutoCast
where the Python that $AUTOCAST_PYTHON names has it. Each result is run by `weigh verify` on ONNX Runtime, every F16 node
rounding what it gives.

    python benches/peers/mixed.py --weigh target/release/weigh
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnxconverter_common import float16

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "python"), str(ROOT / "tests" / "generate")]
import exports  # noqa: E402
import mixed  # noqa: E402
import weigh  # noqa: E402


def nets():
    """Name, file, inputs."""
    folder = Path(tempfile.mkdtemp())
    for name, net, limits in [
        ("a channel times 1e6, undone", mixed.undone(), ()),
        ("a norm by hand, squares beyond 65504", mixed.squares(), (300, 400)),
        ("a mask of -3.4e38", mixed.masked(), ()),
        ("branches and a function", mixed.branches(), ()),
    ]:
        path = folder / f"{name.split()[1]}.onnx"
        onnx.save(net, path)
        yield name, path, mixed.feed(net, *limits)
    for name, how in [("resnet18", "script17"), ("efficientnet_b0", "dynamo"), ("swin_t", "script13")]:
        size = exports.NETS[name]
        x = np.random.default_rng(1).standard_normal([2, 3, size, size]).astype(np.float32)
        yield f"{name} ({how})", exports.export(name, how), {"x": x}


def ways(binary, source, fed, folder):
    ours = [binary, "convert", source, "--precision", "f16", "--force"]
    yield "weigh, pure", [*ours, "--allow-overflow"]
    yield "weigh --keep-unsafe", [*ours, "--keep-unsafe", "--inputs", fed, "--ort", mixed.LIBRARY]
    yield "onnxconverter-common", None
    if os.environ.get("AUTOCAST_PYTHON"):
        yield "ModelOpt AutoCast", [os.environ["AUTOCAST_PYTHON"], "-m", "modelopt.onnx.autocast", "--onnx_path", source,
                                    "--low_precision_type", "fp16", "--calibration_data", fed, "--keep_io_types"]


def make(command, source, out):
    if command is None:
        onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=True), out)
        return
    flag = "--output_path" if "modelopt.onnx.autocast" in command else "-o"
    done = subprocess.run([*map(str, command), flag, str(out)], capture_output=True, text=True, timeout=600)
    if done.returncode or not out.exists():
        raise RuntimeError((done.stderr.strip().splitlines() or ["failed"])[-1][:60])


def moved(binary, source, out, fed):
    command = [binary, "verify", source, out, "--ort", mixed.LIBRARY, "--inputs", fed, "--json", "--outputs-only"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)
    if done.returncode == 2:
        raise RuntimeError(done.stderr.strip().splitlines()[-1][:60])
    figures = [output["max_rel"] for output in json.loads(done.stdout)["outputs"]]
    return max(float("inf") if figure is None else figure for figure in figures)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    print("| network | by | outputs move by | casts added | s |\n|---|---|---|---|---|")
    casts = lambda path: sum(node.op_type == "Cast" for node in onnx.load(path).graph.node)  # noqa: E731
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for name, source, arrays in nets():
            fed = folder / "fed.npz"
            np.savez(fed, **arrays)
            for by, command in ways(binary, source, fed, folder):
                out = folder / "mixed.onnx"
                out.unlink(missing_ok=True)
                started = time.perf_counter()
                try:
                    make(command, source, out)
                    seconds = time.perf_counter() - started
                    far = moved(binary, source, out, fed)
                    print(f"| {name} | {by} | {far:.2g} | {casts(out) - casts(source)} | {seconds:.1f} |", flush=True)
                except Exception as error:  # noqa: BLE001
                    print(f"| {name} | {by} | {str(error).splitlines()[0][:80]} | | |", flush=True)


if __name__ == "__main__":
    main()
