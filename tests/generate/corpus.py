"""Writes tests/corpus: small files made by the real frameworks, each with what must be read from it."""

import argparse
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "python"))

# First: the LLVM of torch's exporter refuses to come after that of TensorFlow.
import cases_pytorch  # noqa: E402, I001
import cases_caffe  # noqa: E402
import cases_gguf  # noqa: E402
import cases_hostile  # noqa: E402
import cases_keras  # noqa: E402
import cases_numpy  # noqa: E402
import cases_onnx  # noqa: E402
import cases_safetensors  # noqa: E402
import cases_tensorflow  # noqa: E402
import cases_tensorrt  # noqa: E402
import cases_tflite  # noqa: E402
import cases_wts  # noqa: E402

FAMILIES = {
    "pytorch": cases_pytorch.write,
    "safetensors": cases_safetensors.write,
    "onnx": cases_onnx.write,
    "caffe": cases_caffe.write,
    "numpy": cases_numpy.write,
    "wts": cases_wts.write,
    "gguf": cases_gguf.write,
    "tensorflow": cases_tensorflow.write,
    "tensorrt": cases_tensorrt.write,
    "tflite": cases_tflite.write,
    "keras": cases_keras.write,
    "hostile": cases_hostile.write,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=TESTS / "corpus", help="where to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for family, write in FAMILIES.items():
        write(args.folder / family, args.seed)


if __name__ == "__main__":
    main()
