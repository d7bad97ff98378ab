"""The digits: from .pth into Caffe's net and back, as ONNX and in OpenCV, which reads what was written."""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
import weigh
from sklearn.datasets import load_digits

DIGITS = weigh.ROOT / "examples" / "digits"
ACCURACY = 0.98


def wrong(binary, folder):
    """What is not as it should be."""
    pth, net = DIGITS / "digits.pth", DIGITS / "digits.prototxt"
    caffe, back, graph = (folder / name for name in ("digits.caffemodel", "back.pth", "digits.onnx"))
    account = weigh.run(binary, "convert", pth, "-o", caffe, "--into", net, "--json")
    dropped = {entry["tensor"] for entry in account["dropped"]}
    if dropped != {f"bn{i}.num_batches_tracked" for i in (1, 2, 3)}:
        yield f"dropped on the way to Caffe: {dropped}"
    if caffe.read_bytes() != (DIGITS / "digits.caffemodel").read_bytes():
        yield "examples/digits/digits.caffemodel is not what is written now"
    weigh.run(binary, "convert", net, caffe, "-o", back, "--into", pth, "--json")
    before, after = torch.load(pth), torch.load(back)
    if list(before) != list(after):
        yield f"other keys: {list(after)}"
    differ = [key for key in before if before[key].numpy().tobytes() != after[key].numpy().tobytes()]
    if differ:
        yield f"other bits in {differ}"
    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)[:, None]
    flags = ("--input", f"image={len(images)},1,8,8")
    weigh.run(binary, "convert", net, caffe, "-o", graph, "--json", *flags)
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    (ours,) = session.run(["logits"], {"image": images})
    right = (ours.argmax(1) == digits.target).mean()
    if right < ACCURACY:
        yield f"{right:.4f} of the digits are right"
    reader = cv2.dnn.readNetFromCaffe(str(net), str(caffe))
    reader.setInput(images)
    theirs = reader.forward("logits")
    if np.abs(ours - theirs).max() > 1e-5 * np.abs(theirs).max():
        yield f"OpenCV differs by {np.abs(ours - theirs).max()}"


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    with tempfile.TemporaryDirectory() as folder:
        found = list(wrong(binary, Path(folder)))
    for line in found:
        print(line, file=sys.stderr)
    print(f"digits through Caffe: {len(found)} wrong")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
