"""Nets of the kinds that people deploy: the interpreter of Caffe nets against OpenCV's, and what `weigh convert` makes of
them against the interpreter: ONNX by `weigh verify`, the PyTorch module blob by blob.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import caffe_reference
import cv2
import emitted
import numpy as np
import onnxruntime
import torch
import weigh

sys.path.insert(0, str(weigh.ROOT / "tests" / "generate"))
import caffe_nets  # noqa: E402

# OpenCV computes in single precision, and its faster convolutions are less exact than plain ones.
TOLERANCE = 1e-3
# What single precision costs dozens of layers in a row.
CLOSE = 1e-5
LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))


def opencv(net, text, weights, picture, ours):
    """How far OpenCV's last blob is from the interpreter's."""
    theirs = cv2.dnn.readNetFromCaffe(str(text), str(weights))
    theirs.setInput(picture, "data")
    found = theirs.forward(net.last)
    if found.size != ours[net.last].size:
        return f"shape {found.shape}, not {ours[net.last].shape}"
    ours = ours[net.last].reshape(found.shape)
    if "detection" in net.last:
        ours, found = by_class(ours), by_class(found)
    return caffe_reference.distance(ours, found)


def by_class(rows):
    """Detections by class and score: OpenCV orders them by score alone."""
    rows = rows.reshape(-1, 7)
    return rows[np.lexsort((rows[:, 2], rows[:, 1]))]


def verified(binary, pair, folder, picture):
    """The worst of all values in the ONNX file; or what `weigh verify` says of them."""
    output = folder / "net.onnx"
    weigh.run(binary, "convert", *pair, "-o", output, "--json")
    np.savez(folder / "given.npz", data=picture)
    command = [binary, "verify", *pair, output, "--json", "--ort", LIBRARY, "--tolerance", CLOSE, "--inputs", folder / "given.npz"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    if not done.stdout:
        return done.stderr.strip()
    told = json.loads(done.stdout)
    each = told["outputs"] + told["inner"]
    wrong = [c["name"] for c in each if not c["ok"]]
    return f"{wrong[:5]} differ" if wrong else max(c["max_rel"] for c in each)


def torched(binary, pair, folder, picture, ours):
    """The worst of all values in the PyTorch module."""
    output = folder / "module.py"
    weigh.run(binary, "convert", *pair, "-o", output, "--weights", "safetensors", "--json")
    _, values = emitted.run(output, [picture])
    both = [name for name in ours if name in values]
    far = {name: caffe_reference.distance(values[name], ours[name]) for name in both}
    wrong = [name for name in both if isinstance(far[name], str) or far[name] > CLOSE]
    if wrong or len(both) < len(ours) / 2:
        return f"{len(both)} of {len(ours)} blobs are there, {[(name, far[name]) for name in wrong[:5]]} differ"
    return max(far.values())


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("--size", type=int, default=64, help="height and width of the pictures")
    parser.add_argument("--only", help="nets whose name has this in it")
    args = parser.parse_args()
    binary, wrong = weigh.find(args.weigh), 0
    torch.set_num_threads(1)
    caffe_reference.build()
    for make in caffe_nets.NETS:
        if args.only and args.only not in make.__name__:
            continue
        net = make(args.size)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pair = text, weights = folder / "net.prototxt", folder / "net.caffemodel"
            text.write_text("\n".join(net.text))
            weights.write_bytes(net.weights)
            picture = net.random.standard_normal(net.input).astype(np.float32)
            begun = time.monotonic()
            ours = caffe_reference.computed(pair, {"data": picture}, folder)
            told = [f"{len(net.weights) / 1e6:.0f} MB, {len(ours)} blobs in {time.monotonic() - begun:.1f} s"]
            found = {"OpenCV": opencv(net, *pair, picture, ours)} if net.known else {}
            found["ONNX Runtime"] = verified(binary, pair, folder, picture)
            found["PyTorch"] = torched(binary, pair, folder, picture, ours)
            for peer, far in found.items():
                wrong += isinstance(far, str) or far > (TOLERANCE if peer == "OpenCV" else CLOSE)
                told.append(f"{peer} {far}" if isinstance(far, str) else f"{peer} {far:.1e}")
            print(f"{make.__name__}: " + "; ".join(told), flush=True)
    print(f"caffe_peers: {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
