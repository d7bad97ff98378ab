"""ONNX models through `weigh convert`: what onnx reads afterwards is the same model, and runs the same."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import weigh
from onnx import numpy_helper

CORPUS = weigh.ROOT / "tests" / "corpus" / "onnx"
BACKEND = Path(onnx.__file__).parent / "backend" / "test" / "data"

TYPED = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "raw_data")
# Models of the backend's data that are run on both sides, as many as take a second or two.
RUN = 25
FLAGS = ((), ("--external", "1"))


def same_numbers(tensor):
    """A tensor's elements in `raw_data`, whichever field held them; strings stay."""
    if tensor.data_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        return
    elements = numpy_helper.to_array(tensor)
    raw = numpy_helper.from_array(elements).raw_data
    for field in (*TYPED, "external_data", "data_location"):
        tensor.ClearField(field)
    tensor.raw_data = raw


def plain(message):
    """A message without the differences that mean nothing: empty fields that are present, spellings of the default
    domain, the field that holds a tensor's elements."""
    if isinstance(message, onnx.TensorProto):
        same_numbers(message)
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                plain(inner)
        elif not field.is_repeated and not field.containing_oneof and value == field.default_value:
            message.ClearField(field.name)
    if getattr(message, "domain", "") == "ai.onnx":
        message.ClearField("domain")
    return message


def checks(path):
    try:
        onnx.checker.check_model(str(path))
    except Exception as error:  # noqa: BLE001: whatever it says against a model
        return str(error)
    return None


def run(path):
    """Outputs on fixed random inputs; `None` where the runtime does not take the model."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        random = np.random.default_rng(1)
        inputs = {}
        for given in session.get_inputs():
            if given.type != "tensor(float)":
                return None
            shape = [n if isinstance(n, int) else 2 for n in given.shape]
            inputs[given.name] = random.standard_normal(shape).astype(np.float32)
        return session.run(None, inputs)
    except Exception:  # noqa: BLE001: models of the backend's tests need not run everywhere
        return None


def differences(binary, source, folder, *flags):
    """Yields what is not the same after a conversion."""
    target = folder / "out.onnx"
    command = [str(binary), "convert", str(source), "-o", str(target), "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        yield f"exit {done.returncode}: {done.stderr[:300]}"
        return
    before, after = plain(onnx.load(source)), plain(onnx.load(target))
    if before != after:
        lines = [set(str(model).splitlines()) for model in (before, after)]
        yield f"another model: {sorted(lines[0] ^ lines[1])[:6]}"
    if checks(source) is None and (says := checks(target)):
        yield f"onnx's checker: {says[:200]}"


def models():
    yield from sorted(CORPUS.rglob("*.onnx"))
    yield from sorted(BACKEND.rglob("*.onnx"))


def wide(folder):
    """A model of one matrix of 3 GB that is a hole in a file, kept outside."""
    rows, columns = 3, 1 << 28
    with open(folder / "wide.bin", "wb") as file:
        file.truncate(rows * columns * 4)
        file.seek(4 * columns)
        file.write(np.float32(7).tobytes())
    weight = onnx.TensorProto(name="w", data_type=1, dims=[rows, columns], data_location=1)
    for key, value in {"location": "wide.bin", "offset": "0", "length": str(rows * columns * 4)}.items():
        weight.external_data.add(key=key, value=value)
    x = onnx.helper.make_tensor_value_info("x", 1, [1])
    y = onnx.helper.make_tensor_value_info("y", 1, [rows, columns])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["w", "x"], ["y"])], "g", [x], [y], [weight])
    path = folder / "wide.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    return path


def too_large_for_one_file(binary, folder):
    """A model beyond what a message holds goes into two files by itself, in little memory."""
    source, target = wide(folder), folder / "wide" / "out.onnx"
    target.parent.mkdir()
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [str(binary), "convert", str(source), "-o", str(target), "--json", "--no-mmap"]
    done = subprocess.run([sys.executable, "-c", measure, *command], capture_output=True, text=True)
    if done.returncode != 0:
        yield f"3 GB: {done.stderr[-300:]}"
        return
    peak = int(done.stdout.splitlines()[-1])
    if peak > 100_000:
        yield f"3 GB: {peak} KB of memory"
    written = onnx.load(target, load_external_data=False).graph.initializer[0]
    place = {entry.key: entry.value for entry in written.external_data}
    if place["location"] != "out.onnx.data" or int(place["length"]) != (source.parent / "wide.bin").stat().st_size:
        yield f"3 GB: external data at {place}"
    with open(target.parent / "out.onnx.data", "rb") as file:
        file.seek(int(place["offset"]) + 4 * (1 << 28))
        if np.frombuffer(file.read(4), np.float32)[0] != 7:
            yield "3 GB: other values"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weigh", type=Path, required=True)
    args = parser.parse_args()
    binary, failed, count, ran = args.weigh.resolve(), 0, 0, 0
    for source in models():
        for flags in FLAGS:
            with tempfile.TemporaryDirectory() as folder:
                folder = Path(folder)
                found = list(differences(binary, source, folder, *flags))
                if not found and ran < RUN and (expected := run(source)) is not None:
                    ran += not flags
                    got = run(folder / "out.onnx")
                    equal = got is not None and all(
                        np.array_equal(a, b, equal_nan=True) for a, b in zip(expected, got, strict=True)
                    )
                    if not equal:
                        found.append("the runtime gives other outputs")
            count += 1
            failed += bool(found)
            for what in found:
                print(f"{source.name} {' '.join(flags)}: {what}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        for what in too_large_for_one_file(binary, Path(folder)):
            failed += 1
            print(what, file=sys.stderr)
    print(f"{count} conversions of ONNX models, {ran} of the models run on both sides: {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
