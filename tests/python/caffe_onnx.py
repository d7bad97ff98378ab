"""Nets of Caffe's converted to ONNX and run by ONNX Runtime: every blob is held against the one that Caffe gave."""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import weigh

CORPUS = weigh.ROOT / "tests" / "oracles" / "caffe"
# A blob that Caffe itself adds where one is read by several layers: BLOB_LAYER_TOP_split_READER.
SPLIT = re.compile(r"_\d+_split_\d+$")
BOUND = 1e-5


def convert(binary, case, output, *flags):
    """What weigh tells of the conversion."""
    command = [str(binary), "convert", f"{case}.prototxt", f"{case}.caffemodel", "-o", str(output), "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise weigh.Failed(f"{case.name}: exit {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def run(path, inputs, optimized=False):
    """Every value of the model by its name."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    known = {value.name for value in model.graph.output}
    produced = [name for node in model.graph.node for name in node.output if name and name not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in produced)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {i.name: inputs[i.name] for i in session.get_inputs() if i.name in inputs}
    names = [value.name for value in model.graph.output]
    values = dict(zip(names, session.run(names, given), strict=True)) | given
    held = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return held | values


def distance(ours, theirs):
    """The largest difference as a part of the largest magnitude; infinite for another shape."""
    if ours.shape != theirs.shape:
        return float("inf")
    if theirs.size == 0:
        return 0.0
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        far = np.where(same, 0, np.abs(ours.astype(np.float64) - theirs.astype(np.float64)))
    largest = np.abs(theirs[np.isfinite(theirs)]).max(initial=0)
    return float(np.nan_to_num(far.max(), nan=np.inf) / max(largest, 1e-30))


def blobs(oracle):
    """The blobs that Caffe gave, by name: all of them, or the outputs alone."""
    folder = oracle / "out_caffe" / "all"
    folder = folder if folder.is_dir() else folder.parent
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def names(oracle):
    """File names hide what a path cannot hold: the names of blobs as they are."""
    told = json.loads((oracle / "out_caffe" / "blobs.json").read_text())
    return [blob["name"] for blob in told["blobs"]]


def compare(case, values, oracle):
    """What differs."""
    theirs, wrong, worst = blobs(oracle), [], 0.0
    spelled = {re.sub(r"[^0-9A-Za-z_.@-]", "_", name): name for name in names(oracle)}
    for stem, blob in theirs.items():
        name = spelled.get(stem, stem)
        if SPLIT.search(name):
            continue
        if name not in values:
            wrong.append(f"{case.name}: no value '{name}'")
            continue
        far = distance(values[name], blob)
        worst = max(worst, far)
        if not far <= BOUND:
            wrong.append(f"{case.name}: {name} {values[name].shape} {blob.shape} differs by {far:.2e}")
    return wrong, worst, len(theirs)


def cases(folders):
    found = {}
    for folder in folders:
        for oracle in sorted(folder.glob("*.oracle")):
            if (oracle / "out_caffe").is_dir():
                found[oracle.name] = oracle.with_suffix("")
    return list(found.values())


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of more cases")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    found = cases([CORPUS, *args.folders])
    if not found:
        raise SystemExit("no cases")
    wrong, count = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for case in found:
            output = Path(folder) / f"{case.name}.onnx"
            oracle = Path(f"{case}.oracle")
            inputs = {path.stem: np.load(path) for path in (oracle / "in").glob("*.npy")}
            try:
                account = convert(binary, case, output)
                differ, worst, number = compare(case, run(output, inputs), oracle)
            except Exception as error:  # noqa: BLE001 - whatever a library raises is a failure of the case
                wrong.append(f"{case.name}: {type(error).__name__} {str(error)[:600]}")
                continue
            wrong += differ
            count += number
            if args.verbose:
                print(f"{case.name}: {number} blobs, worst {worst:.1e}, {len(account.get('choices', []))} choices")
            output.unlink()
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(found)} nets of Caffe's, {count} blobs: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
