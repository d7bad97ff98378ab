"""Shapes and types that weighbridge infers, against the backend tests of the onnx package, against onnx's own inference,
and against what ONNX Runtime gives."""

import argparse
import collections
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import weigh
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnx.backend.test.loader import load_model_tests

BUILT = [weigh.ROOT / "target" / profile / "examples" / "infer" for profile in ("release", "debug")]
KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")

# ONNX's element types in weighbridge's spelling.
TYPES = {
    "FLOAT": "F32", "DOUBLE": "F64", "FLOAT16": "F16", "BFLOAT16": "BF16", "STRING": "STRING", "BOOL": "BOOL",
    "INT2": "I2", "INT4": "I4", "INT8": "I8", "INT16": "I16", "INT32": "I32", "INT64": "I64",
    "UINT2": "U2", "UINT4": "U4", "UINT8": "U8", "UINT16": "U16", "UINT32": "U32", "UINT64": "U64",
    "FLOAT4E2M1": "F4", "FLOAT8E4M3FN": "F8_E4M3", "FLOAT8E5M2": "F8_E5M2", "FLOAT8E4M3FNUZ": "F8_E4M3FNUZ",
    "FLOAT8E5M2FNUZ": "F8_E5M2FNUZ", "FLOAT8E8M0": "F8_E8M0", "COMPLEX64": "C64", "COMPLEX128": "C128",
}  # fmt: skip

# Operators whose output shapes depend on the elements of a tensor: which inputs those are. A case in which one of them is
# an input of the model may come out as a symbol; any other case must come out exact.
BY_VALUE = {
    "AffineGrid": [1], "BlackmanWindow": [0], "CenterCropPad": [1], "Col2Im": [1, 2], "Compress": [1],
    "ConstantOfShape": [0], "DFT": [1, 2], "Expand": [1], "HammingWindow": [0], "HannWindow": [0], "If": [0],
    "ImageDecoder": [0], "Loop": [0, 1], "MaxUnpool": [2], "MelWeightMatrix": [0, 1], "NonMaxSuppression": [0, 1, 2, 3, 4],
    "NonZero": [0], "OneHot": [1], "OptionalGetElement": [0], "Pad": [1, 3], "Range": [0, 1, 2], "Reshape": [1],
    "Resize": [2, 3], "SequenceAt": [0, 1], "SequenceErase": [0, 1], "SequenceInsert": [0, 2], "Slice": [1, 2, 3, 4],
    "Split": [1], "SplitToSequence": [1], "Squeeze": [1], "STFT": [1, 3], "StringNormalizer": [0], "StringSplit": [0],
    "Tile": [1, 2], "TopK": [1], "Unique": [0], "Unsqueeze": [1], "Upsample": [1],
    **{f"Reduce{name}": [1] for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")},
}  # fmt: skip
# Operators that give sequences, of which the expected files tell more than any declaration could.
SEQUENCES = {"ConcatFromSequence", "SequenceAt", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap"}


def find(given):
    if given:
        return given.resolve()
    built = [path for path in BUILT if path.exists()]
    if not built:
        raise SystemExit("no example: cargo build -p weighbridge-graph --example infer")
    return max(built, key=lambda path: path.stat().st_mtime)


def infer(binary, paths, *flags):
    lines = []
    for i in range(0, len(paths), 500):
        command = [binary, *flags, *map(str, paths[i : i + 500])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-500:]
        lines += [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(paths)
    return lines


def nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs] if attribute.HasField("g") or attribute.graphs else []:
                yield from nodes(inner)


def may_be_open(model):
    """Whether some size depends on elements of an input; everything that hangs on such a value counts as one."""
    initializers = {t.name for t in model.graph.initializer}
    running = {value.name for value in model.graph.input} - initializers
    functions = {f.name for f in model.functions}
    for node in nodes(model.graph):
        slots = BY_VALUE.get(node.op_type, [])
        if any(i < len(node.input) and node.input[i] in running for i in slots):
            return True
        if node.op_type in functions or node.op_type in SEQUENCES:
            return any(name in running for name in node.input)
        if any(name in running for name in node.input) and node.op_type not in ("Shape", "Size"):
            running.update(node.output)
    return False


def type_of(array):
    if array.dtype.kind in "OUS":
        return "STRING"
    return TYPES[TensorProto.DataType.Name(helper.np_dtype_to_tensor_dtype(array.dtype))]


class Report:
    def __init__(self):
        self.faults = []
        self.counts = collections.Counter()
        self.unknown = collections.Counter()

    def fault(self, where, what):
        self.faults.append(f"{where}: {what}")

    def tensor(self, where, fact, dtype, shape, open_allowed, ops):
        """Holds a fact against a type and a shape."""
        if fact is None or fact.get("kind") != "tensor":
            self.counts["unknown"] += 1
            self.unknown[ops] += 1
            if fact is not None:
                self.fault(where, f"{fact['kind']}, which is a tensor")
            elif not open_allowed:
                self.fault(where, "nothing is known")
            return
        if fact["dtype"] is not None and fact["dtype"] != dtype:
            self.fault(where, f"{fact['dtype']} inferred, {dtype} expected")
        if fact["dtype"] is None:
            self.fault(where, f"no type inferred, {dtype} expected")
        got = fact["shape"]
        if got is None:
            self.counts["unknown"] += 1
            self.unknown[ops] += 1
            if not open_allowed:
                self.fault(where, f"no shape inferred, {shape} expected")
            return
        if len(got) != len(shape) or any(isinstance(a, int) and a != b for a, b in zip(got, shape)):
            self.fault(where, f"{got} inferred, {shape} expected")
        is_exact = all(isinstance(a, int) for a in got)
        self.counts["exact" if is_exact else "symbolic"] += 1
        if not is_exact:
            self.unknown[ops] += 1
            if not open_allowed:
                self.fault(where, f"{got} inferred, {shape} expected exactly")


def expected_outputs(case):
    """Output arrays by name, of the first data set."""
    if case.data_sets:
        return case.data_sets[0][1]
    folder = Path(case.model_dir) / "test_data_set_0"
    outputs = []
    for path in sorted(folder.glob("output_*.pb"), key=lambda p: int(p.stem.split("_")[1])):
        tensor = TensorProto()
        try:
            tensor.ParseFromString(path.read_bytes())
            outputs.append(numpy_helper.to_array(tensor))
        except Exception:  # noqa: BLE001: a sequence or an optional value, which is another message
            outputs.append(None)
    return outputs


def backend(binary, report, folder):
    cases, models, paths = [], [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in KINDS:
            cases += load_model_tests(kind=kind)
    for i, case in enumerate(cases):
        model = case.model or onnx.load(str(Path(case.model_dir) / "model.onnx"))
        models.append(model)
        bare = onnx.ModelProto()
        bare.CopyFrom(model)
        del bare.graph.value_info[:]
        paths.append(folder / f"{i}.onnx")
        paths[-1].write_bytes(bare.SerializeToString())
    met = collections.Counter()
    for case, model, found in zip(cases, models, infer(binary, paths, "--ignore-declared")):
        met[case.kind] += 1
        if "error" in found:
            report.fault(case.name, found["error"])
            continue
        for fault in found["faults"]:
            report.fault(case.name, fault)
        ops = model.graph.node[-1].op_type if model.graph.node else "none"
        for value, array in zip(model.graph.output, expected_outputs(case)):
            where, fact = f"{case.name} {value.name}", found["values"].get(value.name)
            if not isinstance(array, np.ndarray) and not np.isscalar(array):
                kind = value.type.WhichOneof("value").removesuffix("_type")
                if fact is not None and fact["kind"] not in (kind, "optional"):
                    if not (kind == "optional" and fact["kind"] in ("tensor", "sequence")):
                        report.fault(where, f"{fact['kind']} inferred, {kind} expected")
                report.counts[kind] += 1
                continue
            declared = value.type.tensor_type.elem_type or value.type.optional_type.elem_type.tensor_type.elem_type
            dtype = TYPES[TensorProto.DataType.Name(declared)] if declared else type_of(np.asarray(array))
            report.tensor(where, fact, dtype, list(np.shape(array)), may_be_open(model), ops)
    for kind in KINDS:
        assert met[kind] > 0, f"no {kind} tests in this onnx"
    return sum(met.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--infer", type=Path, help="the example's binary; otherwise the newest one built")
    parser.add_argument("--models", action="store_true", help="torchvision's exports too")
    parser.add_argument("--show", type=int, default=40)
    arguments = parser.parse_args()
    binary = find(arguments.infer)
    report = Report()
    with tempfile.TemporaryDirectory() as folder:
        count = backend(binary, report, Path(folder))
        print(f"{count} backend tests: " + ", ".join(f"{n} {kind}" for kind, n in sorted(report.counts.items())))
        print("  open: " + ", ".join(f"{op} {n}" for op, n in sorted(report.unknown.items())))
    for fault in report.faults[: arguments.show]:
        print(fault, file=sys.stderr)
    if report.faults:
        raise SystemExit(f"{len(report.faults)} faults")


if __name__ == "__main__":
    main()
