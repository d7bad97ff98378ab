"""Fresh random files of every kind, written by the real frameworks, read back through weigh and compared."""

import argparse
import secrets
import sys
import tempfile
import warnings
from pathlib import Path

import weigh
from cases import run

sys.path.insert(0, str(weigh.ROOT / "tests" / "generate"))

# First: the LLVM of torch's exporter refuses to come after that of TensorFlow.
import cases_pytorch  # noqa: E402, I001
import cases_caffe  # noqa: E402
import cases_keras  # noqa: E402
import cases_numpy  # noqa: E402
import cases_gguf  # noqa: E402
import cases_onnx  # noqa: E402
import cases_safetensors  # noqa: E402
import cases_tensorflow  # noqa: E402
import cases_tensorrt  # noqa: E402
import cases_tflite  # noqa: E402
import cases_wts  # noqa: E402

FAMILIES = {
    "pytorch": cases_pytorch,
    "safetensors": cases_safetensors,
    "onnx": cases_onnx,
    "caffe": cases_caffe,
    "numpy": cases_numpy,
    "wts": cases_wts,
    "gguf": cases_gguf,
    "tensorflow": cases_tensorflow,
    "tensorrt": cases_tensorrt,
    "tflite": cases_tflite,
    "keras": cases_keras,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=3, help="how many files of every kind (3)")
    parser.add_argument("--seed", type=int, help="the first round's seed; random otherwise")
    parser.add_argument("--keep", type=Path, help="write there, and leave the files")
    weigh.add_argument(parser)
    args = parser.parse_args()
    # Quantized and sparse tensors are announced to change; they are written all the same.
    warnings.simplefilter("ignore")
    binary = weigh.find(args.weigh)
    first = secrets.randbelow(2**31) if args.seed is None else args.seed
    cases, failures = 0, 0
    for seed in range(first, first + args.rounds):
        print(f"seed {seed}", flush=True)
        with tempfile.TemporaryDirectory(prefix="weigh-fresh-") as scratch:
            folder = args.keep / str(seed) if args.keep else Path(scratch)
            for family, module in FAMILIES.items():
                module.write(folder / family, seed)
            files, failed = run(binary, folder)
            cases, failures = cases + len(files), failures + failed
        if failed:
            print(f"again: fresh.py --rounds 1 --seed {seed} --keep FOLDER")
    print(f"{cases} fresh files, {failures} failures")
    sys.exit(failures > 0 or cases == 0)


if __name__ == "__main__":
    main()
