"""Every pass over each of ONNX's own node tests: what ONNX Runtime computes stays what the test expects.

The graphs are simplified twice, as they are and with their first input as a constant, by one process for all of them.
"""

import argparse
import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

# What random operators give differs from run to run, with or without passes.
RANDOM = ("bernoulli", "training_dropout", "dropout_default_mask", "randomnormal", "randomuniform", "multinomial")


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def same(a, b):
    """Equal to 1e-5 of the largest magnitude; to two steps of F16 where that is the type."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind in "fc":
        near = 2**-9 if a.dtype == np.float16 else 1e-5
        if a.dtype == np.float16:
            a, b = a.astype(np.float64), b.astype(np.float64)
        scale = np.nanmax(np.abs(a[np.isfinite(a)]), initial=0) or 1
        return np.allclose(a / scale, b / scale, rtol=0, atol=near, equal_nan=True)
    return bool((a == b).all())


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_cases = load_model_tests(kind="node")
    for case in all_cases:
        if case.model is not None and not any(word in case.name for word in RANDOM):
            inputs = case.data_sets[0][0]
            names = [value.name for value in case.model.graph.input]
            yield case.name, case.model, {k: v for k, v in zip(names, inputs) if isinstance(v, np.ndarray)}


def fixed(model, arrays):
    """The model with its first input as an initializer."""
    name = model.graph.input[0].name
    if name not in arrays:
        return None
    model.graph.initializer.append(numpy_helper.from_array(arrays[name], name))
    del model.graph.input[0]
    model.ir_version = max(model.ir_version, 4)
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--simplify", required=True, help="the example `simplify` of weighbridge-graph")
    args = parser.parse_args()
    lacking, failed, passed = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        folder, work = pathlib.Path(folder), []
        for name, model, arrays in cases():
            try:
                variants = [("", model)]
                if model.graph.input:
                    variants.append((" fixed", fixed(copy.deepcopy(model), arrays)))
                for suffix, variant in variants:
                    if variant is None:
                        continue
                    original = folder / f"{len(work)}.onnx"
                    onnx.save(variant, original)
                    run = session(original)
                    feed = {i.name: arrays[i.name] for i in run.get_inputs()}
                    work.append((name + suffix, original, feed, run.run(None, feed)))
            except Exception as error:
                lacking.append(f"{name}: {str(error).splitlines()[0][:100]}")
        pairs = [str(p) for _, path, _, _ in work for p in (path, path.with_suffix(".out.onnx"))]
        lines = []
        for start in range(0, len(pairs), 400):
            done = subprocess.run([args.simplify, *pairs[start : start + 400]], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            lines += [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == len(work), f"{len(lines)} answers for {len(work)} models"
        for (name, path, feed, wanted), line in zip(work, lines):
            try:
                assert "error" not in line, line.get("error")
                run = session(path.with_suffix(".out.onnx"))
                known = {i.name for i in run.get_inputs()}
                got = run.run(None, {k: v for k, v in feed.items() if k in known})
                assert all(same(a, b) for a, b in zip(wanted, got)), "other numbers"
                passed += 1
            except Exception as error:
                failed.append(f"{name}: {str(error).splitlines()[0][:200]}")
    print(f"{passed} models compute the same; ONNX Runtime lacks what {len(lacking)} need")
    print("\n".join(failed))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
