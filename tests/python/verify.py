"""`weigh verify` against ONNX Runtime: models that are the same, and one whose weight was moved."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import weigh
from onnx import TensorProto, helper, numpy_helper

random = np.random.default_rng(7)
LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))


def weights(name, *shape):
    return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)


def net():
    """Convolutions with a branch, over an input of open size."""
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], "conv2", pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1]),
        helper.make_node("Add", ["c2", "r1"], ["s"], "add"),
        helper.make_node("GlobalAveragePool", ["s"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "w3"], ["y"], "head"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 10])
    held = [weights("w1", 8, 3, 3, 3), weights("w2", 8, 8, 3, 3), weights("w3", 8, 10)]
    return model(nodes, [x], [y], held)


def embedding():
    """Indices that a table of 20 rows takes."""
    nodes = [
        helper.make_node("Cast", ["ids"], ["i"], "cast", to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "i"], ["e"], "gather"),
        helper.make_node("MatMul", ["e", "w"], ["y"], "project"),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, [1, 50])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 50, 4])
    return model(nodes, [ids], [y], [weights("table", 20, 8), weights("w", 8, 4)])


def half():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "product")]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT16, [2, 4]) for n in "xy")
    held = [numpy_helper.from_array(random.standard_normal((4, 4)).astype(np.float16), "w")]
    return model(nodes, [x], [y], held)


def peculiar():
    """Takes a picture of 97 points squared, without saying so."""
    shape = numpy_helper.from_array(np.int64([97, 97]), "shape")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return model([helper.make_node("Reshape", ["x", "shape"], ["y"], "reshape")], [x], [y], [shape])


def deaf():
    """Outputs that inputs hardly change."""
    nodes = [helper.make_node("Mul", ["x", "tiny"], ["t"], "mul"), helper.make_node("Add", ["t", "b"], ["y"], "add")]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy")
    tiny = numpy_helper.from_array(np.float32([1e-9]), "tiny")
    return model(nodes, [x], [y], [tiny, weights("b", 4)])


def huge():
    """Terabytes that a handful of bytes ask for."""
    sizes = numpy_helper.from_array(np.int64([1 << 20, 1 << 21]), "sizes")
    nodes = [
        helper.make_node("ConstantOfShape", ["sizes"], ["c"], "fill"),
        helper.make_node("ReduceSum", ["c"], ["r"], "sum", keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"], "add"),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy")
    return model(nodes, [x], [y], [sizes])


def endless():
    """A loop whose condition stays true."""
    value = lambda name, kind, shape: helper.make_tensor_value_info(name, kind, shape)
    nodes = [
        helper.make_node("Identity", ["c"], ["c_out"], "condition"),
        helper.make_node("Add", ["v", "v"], ["v_out"], "double"),
    ]
    given = [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v", TensorProto.FLOAT, [4])]
    gives = [value("c_out", TensorProto.BOOL, []), value("v_out", TensorProto.FLOAT, [4])]
    body = helper.make_graph(nodes, "body", given, gives)
    nodes = [helper.make_node("Loop", ["", "true", "x"], ["y"], "loop", body=body)]
    x, y = (value(n, TensorProto.FLOAT, [4]) for n in "xy")
    return model(nodes, [x], [y], [numpy_helper.from_array(np.array(True), "true")])


def model(nodes, inputs, outputs, held):
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def moved(original, name, by=0.05):
    """The model with one element of a weight moved."""
    copy = onnx.ModelProto.FromString(original.SerializeToString())
    held = next(t for t in copy.graph.initializer if t.name == name)
    values = numpy_helper.to_array(held).copy()
    values.flat[0] += by
    held.CopyFrom(numpy_helper.from_array(values, name))
    return copy


class Cases:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.failed, self.count = binary, folder, 0, 0

    def run(self, a, b, *flags):
        paths = [self.folder / name for name in ("a.onnx", "b.onnx")]
        for path, content in zip(paths, (a, b), strict=True):
            onnx.save(content, path)
        # Without an environment of Python, what is chosen is told by the flags alone.
        bare = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "CONDA_PREFIX")} | {"PATH": "/nowhere"}
        command = [str(self.binary), "verify", *map(str, paths), "--json", *flags]
        return subprocess.run(command, capture_output=True, text=True, env=bare)

    def expect(self, what, run, code, **keys):
        self.count += 1
        found = json.loads(run.stdout) if run.stdout else {}
        wrong = {key: found.get(key) for key, value in keys.items() if found.get(key) != value}
        if run.returncode != code or wrong:
            self.failed += 1
            print(f"{what}: exit {run.returncode}, {wrong or ''} {run.stderr[:300]}", file=sys.stderr)
        return found


def same_as_the_runtime(cases, original, other):
    """The figures are those of outputs that ONNX Runtime's own Python gives."""
    x = random.standard_normal((1, 3, 9, 9)).astype(np.float32)
    np.savez(cases.folder / "x.npz", x=x)
    run = cases.run(original, other, "--ort", str(LIBRARY), "--inputs", str(cases.folder / "x.npz"))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    a, b = (
        onnxruntime.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )[0]
        for m in (original, other)
    )
    found = cases.expect("the runtime's own figures", run, 1, ok=False)
    expected = np.abs(a - b).max()
    if not np.isclose(found["outputs"][0]["max_abs"], expected, rtol=1e-3):
        cases.failed += 1
        print(f"max_abs {found['outputs'][0]['max_abs']}, and {expected} in Python", file=sys.stderr)


def all_cases(cases):
    shape = ("--input", "x=2,3,8,8")
    original = net()
    for engine in (("--engine", "rten"), ("--ort", str(LIBRARY))):
        said = " ".join(engine)
        flags = (*engine, *shape)
        run = cases.run(original, original, *flags, "--time")
        same = cases.expect(f"equal, {said}", run, 0, ok=True, insensitive=False)
        if same.get("inner") and len(same["inner"]) != 6:
            cases.failed += 1
            print(f"{said}: {len(same['inner'])} inner values, of 6", file=sys.stderr)
        for name, node, tensor in (("w1", "conv1", "c1"), ("w2", "conv2", "c2"), ("w3", "head", "y")):
            run = cases.run(original, moved(original, name), *flags)
            op = "Gemm" if name == "w3" else "Conv"
            first = {"node": node, "op": op, "tensor": tensor}
            cases.expect(f"{name} moved, {said}", run, 1, ok=False, first_divergence=first)
        run = cases.run(original, moved(original, "w1", 1e-3), *flags, "--tolerance", "1")
        cases.expect(f"within the tolerance, {said}", run, 0, ok=True)
        table = embedding()
        cases.expect(f"indices, {said}", cases.run(table, table, *engine), 0, ok=True)
        quiet = deaf()
        run = cases.run(huge(), huge(), *engine, "--memory-limit", "1GB")
        cases.expect(f"too much memory, {said}", run, 2)
        run = cases.run(endless(), endless(), *engine, "--timeout", "2")
        cases.expect(f"without an end, {said}", run, 2)
        if "--timeout" not in run.stderr:
            cases.failed += 1
            print(f"without an end, {said}: {run.stderr}", file=sys.stderr)
        cases.expect(f"insensitive, {said}", cases.run(quiet, quiet, *engine), 0, ok=True, insensitive=True)
    low = half()
    cases.expect("half, on rten", cases.run(low, low, "--engine", "rten"), 2)
    cases.expect("half", cases.run(low, low, "--ort", str(LIBRARY)), 0, ok=True)
    found = [{"name": "x", "shape": [1, 3, 64, 64]}]
    cases.expect("sizes left open", cases.run(original, original), 0, ok=True, guessed_shapes=found)
    cases.expect("sizes that nobody guesses", cases.run(peculiar(), peculiar()), 2)
    cases.expect("no such library", cases.run(original, original, *shape, "--ort", "/no/lib.so"), 2)
    same_as_the_runtime(cases, original, moved(original, "w2"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weigh", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(args.weigh.resolve(), Path(folder))
        all_cases(cases)
    print(f"{cases.count} comparisons of models: {cases.failed} failed")
    return 1 if cases.failed else 0


if __name__ == "__main__":
    sys.exit(main())
