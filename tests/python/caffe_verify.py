"""`weigh verify deploy.prototxt net.caffemodel net.onnx`: converted nets are what they were, and one that was tampered with
is not, from the layer on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import weigh

CASES = weigh.ROOT / "tests" / "oracles" / "caffe"
LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))


def verify(binary, *arguments):
    """Exit status and JSON."""
    command = [str(binary), "verify", *map(str, arguments), "--json", "--ort", str(LIBRARY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr.strip()


def tampered(model):
    """The model with a Conv's weight a tenth larger, and the name of that node."""
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[1])
    values = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array((values * np.float32(1.1)).astype(values.dtype), weight.name))
    return node.name


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of more cases")
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    wrong, compared, cases, moved = [], 0, 0, 0
    for prototxt in sorted(path for folder in [CASES, *args.folders] for path in folder.glob("*.prototxt")):
        with tempfile.TemporaryDirectory() as folder:
            pair, output = (prototxt, prototxt.with_suffix(".caffemodel")), Path(folder) / "net.onnx"
            try:
                weigh.run(binary, "convert", *pair, "-o", output, "--json")
            except weigh.Failed as error:
                wrong.append(str(error))
                continue
            cases += 1
            status, told = verify(binary, *pair, output, "--tolerance", "1e-5")
            if status != 0 or not isinstance(told, dict):
                wrong.append(f"{prototxt.stem}: exit {status}: {str(told)[:500]}")
                continue
            compared += len(told["outputs"]) + len(told["inner"])
            wrong += [f"{prototxt.stem}: '{c['name']}' {c['max_rel']} {c.get('why', '')}" for c in told["inner"] if not c["ok"]]
            if len(told["engines"]) != 2:
                wrong.append(f"{prototxt.stem}: engines {told['engines']}")
            model = onnx.load(output)
            if not any(node.op_type == "Conv" for node in model.graph.node) or told["insensitive"]:
                continue
            name = tampered(model)
            onnx.save(model, output)
            status, told = verify(binary, *pair, output)
            first = told.get("first_divergence", {}).get("node") if isinstance(told, dict) else told
            moved += 1
            # Silence swallows what its layer gives.
            if first != name and not (prototxt.stem == "gen_op_silence" and status == 0):
                wrong.append(f"{prototxt.stem}: first to differ is {first}, not {name}")
    print("\n".join(wrong))
    print(f"caffe_verify: {cases} nets, {compared} blobs, {moved} tampered with, {len(wrong)} failures")
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
