"""Shapes and types that weighbridge infers, against the backend tests of the onnx package, against onnx's own inference,
and against what ONNX Runtime gives."""

import argparse
import collections
import json
import re
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


def inner_nodes(node):
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from nodes(graph)


def nodes(graph):
    for node in graph.node:
        yield node
        yield from inner_nodes(node)


def may_be_open(model):
    """Whether some size depends on elements of an input; everything that hangs on such a value counts as one."""
    initializers = {t.name for t in model.graph.initializer}
    running = {value.name for value in model.graph.input} - initializers
    functions = {f.name for f in model.functions}
    for node in nodes(model.graph):
        slots = BY_VALUE.get(node.op_type, [])
        if any(i < len(node.input) and node.input[i] in running for i in slots):
            return True
        # What a branch or a body reads from around it counts too.
        read = {*node.input, *(name for inner in inner_nodes(node) for name in inner.input)}
        if (node.op_type in functions or node.op_type in SEQUENCES) and read & running:
            return True
        if read & running and node.op_type not in ("Shape", "Size"):
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
        beside_checker(case.name, model, found, report)
        for value, array in zip(model.graph.output, expected_outputs(case)):
            where, fact = f"{case.name} {value.name}", found["values"].get(value.name)
            if isinstance(array, TensorProto):
                dtype = TYPES[TensorProto.DataType.Name(array.data_type)]
                report.tensor(where, fact, dtype, list(array.dims), may_be_open(model), ops)
                continue
            if not isinstance(array, (np.ndarray, np.generic, int, float, bool, str)):
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


def declared_of(value):
    """Type and shape of a value that onnx inferred; sizes that it leaves open are `None`."""
    tensor = value.type.tensor_type
    if value.type.WhichOneof("value") != "tensor_type" or not tensor.elem_type:
        return None, None
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    return TYPES[TensorProto.DataType.Name(tensor.elem_type)], dims if tensor.HasField("shape") else None


def beside_onnx(name, model, found, report):
    """Whatever onnx infers of a value is inferred here too, and nothing against it."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    theirs = shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    better = values = 0
    for value in (*theirs.graph.value_info, *theirs.graph.output):
        dtype, dims = declared_of(value)
        fact = found["values"].get(value.name)
        if dims is None or fact is None:
            continue
        ours = fact["shape"]
        values += 1
        if fact["dtype"] != dtype or ours is None or len(ours) != len(dims):
            report.fault(f"{name} {value.name}", f"{fact['dtype']} {ours} inferred, onnx has {dtype} {dims}")
            continue
        for a, b in zip(ours, dims):
            better += isinstance(a, int) and b is None
            if b is not None and a != b:
                report.fault(f"{name} {value.name}", f"{ours} inferred, onnx has {dims}")
                break
    return values, better


def beside_checker(name, model, found, report):
    """The same for a backend test, where onnx can infer anything and does not go by what subgraphs declare."""
    if any(list(inner_nodes(node)) for node in model.graph.node):
        return
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    for output in bare.graph.output:
        if output.type.WhichOneof("value") == "tensor_type":
            output.type.tensor_type.ClearField("shape")
    try:
        beside_onnx(name, bare, found, report)
    except shape_inference.InferenceError:
        report.counts["not inferred by onnx"] += 1


def nets():
    """Torchvision's networks with small images, as the TorchScript exporter leaves them without folding, sizes of the
    batch open."""
    import torch
    import torchvision

    torch.manual_seed(0)
    # The fused attention of inference has no ONNX form.
    torch.backends.mha.set_fastpath_enabled(False)
    models = torchvision.models
    yield "resnet18", models.resnet18(), 64
    yield "mobilenet_v2", models.mobilenet_v2(), 64
    yield "shufflenet", models.shufflenet_v2_x0_5(), 64
    yield "swin_t", models.swin_t(), 64
    yield "vit_b_16", models.VisionTransformer(64, 16, 2, 2, 64, 128), 64


def exported(net, size, path):
    import torch

    options = {"input_names": ["x"], "output_names": ["y"], "opset_version": 17, "dynamo": False}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), torch.rand(2, 3, size, size), path, do_constant_folding=False,
            dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}, **options,
        )  # fmt: skip
    return onnx.load(path)


def at_batch(text, batch):
    """A size that is an expression in the batch, for one batch."""
    names = {"batch": batch, "floor": lambda x: int(np.floor(x)), "trunc": int, "max": max, "min": min}
    names["broadcast"] = lambda *of: next((n for n in of if n != 1), 1)
    return eval(text.replace("^", "**"), {"__builtins__": {}}, names)  # noqa: S307: what the example printed


def ran(name, model, found, size, report):
    """The shapes of all inner tensors as ONNX Runtime gives them, against what is inferred of them."""
    import onnxruntime

    every = [output for node in model.graph.node for output in node.output if output]
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    known = {output.name for output in whole.graph.output}
    whole.graph.output.extend(onnx.ValueInfoProto(name=value) for value in every if value not in known)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options)
    held = collections.Counter()
    for batch in (1, 3):
        outputs = session.run(None, {"x": np.random.default_rng(0).random((batch, 3, size, size), np.float32)})
        for output, array in zip(session.get_outputs(), outputs):
            fact = found["values"][output.name]
            if fact["shape"] is None or len(fact["shape"]) != array.ndim:
                report.fault(f"{name} {output.name}", f"{fact['shape']} inferred, {list(array.shape)} ran")
                continue
            for a, b in zip(fact["shape"], array.shape):
                if isinstance(a, str) and "?" in a:
                    held["open"] += 1
                    report.fault(f"{name} {output.name}", f"{fact['shape']} inferred, {list(array.shape)} ran")
                    continue
                held["symbolic" if isinstance(a, str) else "known"] += 1
                if (at_batch(a, batch) if isinstance(a, str) else a) != b:
                    what = f"{fact['shape']} inferred, {list(array.shape)} ran with batch {batch}"
                    report.fault(f"{name} {output.name}", what)
            elements = fact["elements"]
            if elements is not None and array.dtype.kind in "iub":
                held["elements"] += 1
                expected = [at_batch(e, batch) if isinstance(e, str) else e for e in elements]
                if expected != array.ravel().astype(np.int64).tolist():
                    report.fault(f"{name} {output.name}", f"elements {elements}, {array.ravel().tolist()} ran")
    return held


def torchvision_nets(binary, report, folder):
    for name, net, size in nets():
        path = folder / f"{name}.onnx"
        model = exported(net, size, str(path))
        (found,) = infer(binary, [path], "--ignore-declared")
        (pinned,) = infer(binary, [path], "--ignore-declared", "--pin", f"x=2,3,{size},{size}")
        for fault in (*found["faults"], *pinned["faults"]):
            report.fault(name, fault)
        known = lambda fact: fact["shape"] is not None and all(isinstance(n, int) for n in fact["shape"])  # noqa: E731
        is_open = [value for value, fact in pinned["values"].items() if not known(fact)]
        if is_open:
            report.fault(name, f"{len(is_open)} shapes are open with all inputs pinned, '{is_open[0]}' first")
        values, better = beside_onnx(name, model, found, report)
        held = ran(name, model, found, size, report)
        print(
            f"{name}: {values} values as onnx has them, {better} sizes that it leaves open; ran: "
            + ", ".join(f"{n} {kind}" for kind, n in sorted(held.items()))
            + f"; {found['seconds'] * 1000:.1f} ms"
        )


def every_operator(report):
    """Each operator that this onnx knows has its row in the table."""
    table = (weigh.ROOT / "crates/weighbridge-graph/src/infer/table.rs").read_text()
    rows = set(re.findall(r'\("(\w+)", \w+::\w+\)', table))
    missing = {schema.name for schema in onnx.defs.get_all_schemas()} - rows
    if missing:
        report.fault("table.rs", f"no row for {', '.join(sorted(missing))}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--infer", type=Path, help="the example's binary; otherwise the newest one built")
    parser.add_argument("--show", type=int, default=40)
    arguments = parser.parse_args()
    binary = find(arguments.infer)
    report = Report()
    every_operator(report)
    with tempfile.TemporaryDirectory() as folder:
        count = backend(binary, report, Path(folder))
        print(f"{count} backend tests: " + ", ".join(f"{n} {kind}" for kind, n in sorted(report.counts.items())))
        print("  open: " + ", ".join(f"{op} {n}" for op, n in sorted(report.unknown.items())))
        torchvision_nets(binary, report, Path(folder))
    for fault in report.faults[: arguments.show]:
        print(fault, file=sys.stderr)
    if report.faults:
        raise SystemExit(f"{len(report.faults)} faults")


if __name__ == "__main__":
    main()
