"""The interpreter of Caffe nets against OpenCV's, on nets of the kinds that people deploy."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import caffe_reference
import cv2
import numpy as np
import weigh

sys.path.insert(0, str(weigh.ROOT / "tests" / "generate"))
import caffe_nets  # noqa: E402

# OpenCV computes in single precision, and its faster convolutions are less exact than plain ones.
TOLERANCE = 1e-3


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("--size", type=int, default=64, help="height and width of the pictures")
    args = parser.parse_args()
    caffe_reference.build()
    wrong = 0
    for make in caffe_nets.NETS:
        net = make(args.size)
        with tempfile.TemporaryDirectory() as name:
            text, weights = Path(name) / "net.prototxt", Path(name) / "net.caffemodel"
            text.write_text("\n".join(net.text))
            weights.write_bytes(net.weights)
            picture = net.random.standard_normal(net.input).astype(np.float32)
            begun = time.monotonic()
            ours = caffe_reference.computed([text, weights], {"data": picture}, Path(name))
            took = time.monotonic() - begun
            theirs = cv2.dnn.readNetFromCaffe(str(text), str(weights))
            theirs.setInput(picture, "data")
            found = theirs.forward(net.last)
            far = caffe_reference.distance(ours[net.last].reshape(found.shape), found)
            wrong += far > TOLERANCE
            megabytes = len(net.weights) / 1e6
            print(f"{make.__name__}: {megabytes:.0f} MB, {len(ours)} blobs in {took:.1f} s, '{net.last}' {far:.1e} from OpenCV's")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
