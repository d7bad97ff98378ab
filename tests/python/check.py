"""`weigh check`: damaged networks that it has to name, sound ones that it has to leave alone, SARIF and exit statuses."""

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
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema as Schema

random = np.random.default_rng(3)
LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))


def net(first=1.0, undone=True, exponent=False, epsilon=1e-5, variance=1.0, mean=0.01):
    """Convolution, BatchNorm, convolution; one channel of the first scaled, undone by the second or not."""
    w1 = random.standard_normal((8, 3, 3, 3)).astype(np.float32) * 0.2
    w2 = random.standard_normal((4, 8, 3, 3)).astype(np.float32) * 0.2
    w1[5] *= first
    if undone:
        w2[:, 5] /= first
    held = {"w1": w1, "w2": w2, "gamma": np.ones(8), "beta": np.full(8, 0.0), "mean": np.full(8, mean),
            "variance": np.full(8, variance)}
    norm = ["gamma", "beta", "mean", "variance"]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c1"], "conv1", pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1]),
        helper.make_node("BatchNormalization", ["c1", *norm], ["n1"], "norm1", epsilon=epsilon),
        helper.make_node("Exp" if exponent else "Relu", ["n1"], ["r1"], "act1"),
        helper.make_node("Conv", ["r1", "w2"], ["y"], "conv2", pads=[1, 1, 1, 1], strides=[1, 1], dilations=[1, 1]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])
    held = [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in held.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Cases:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.failed, self.count = binary, folder, 0, 0

    def check(self, model, *flags):
        path = self.folder / "net.onnx"
        onnx.save(model, path)
        command = [str(self.binary), "check", str(path), *map(str, flags)]
        return subprocess.run(command, capture_output=True, text=True)

    def expect(self, what, done, code, holds=lambda document: True):
        self.count += 1
        document = json.loads(done.stdout) if done.stdout.startswith("{") else {}
        if done.returncode != code or not holds(document):
            self.failed += 1
            said = [(f["code"], f.get("tensor"), f.get("node")) for f in document.get("findings", [])]
            print(f"{what}: exit {done.returncode}, {said} {done.stderr[:300]}", file=sys.stderr)
        return document


def has(code, **keys):
    return lambda document: any(f["code"] == code and all(f.get(k) == v for k, v in keys.items()) for f in document["findings"])


def sound(document):
    return all(f["severity"] == "info" for f in document["findings"])


def weights(cases):
    cases.expect("a sound network", cases.check(net(), "--json", "--fail-on", "warning"), 0, sound)
    over = cases.expect("a channel of 1e6", cases.check(net(1e6), "--json"), 1, has("P106", tensor="w1", node="conv1"))
    rows = [r for r in over["precision"] if r["granularity"] == "channel" and r["tensor"] == "w1"]
    if [r["channel"] for r in rows if r["overflow"]] != [5]:
        cases.failed += 1
        print(f"channels: {rows}", file=sys.stderr)
    cases.expect("a channel of 1e-7", cases.check(net(1e-7, undone=False, mean=0.0), "--json"), 0, has("P104", tensor="w1"))
    cases.expect("the same, asked for", cases.check(net(1e-7, undone=False, mean=0.0), "--json", "--fail-on", "warning"), 1)
    small = cases.check(net(variance=1e-12, epsilon=1e-12), "--json")
    cases.expect("variances that make large weights", small, 1, has("P101", tensor="w1"))
    cases.expect("a type that is none", cases.check(net(), "--for", "f17"), 2)
    cases.expect("bf16", cases.check(net(1e6), "--for", "bf16", "--json"), 0)


def activations(cases):
    on = ("--input", "x=1,3,8,8", "--ort", LIBRARY, "--json")
    cases.expect("activations of a sound one", cases.check(net(), *on), 0, sound)
    steep = net(exponent=True, variance=0.01)
    cases.expect("exponentials", cases.check(steep, *on), 1, has("A103", node="act1", tensor="r1"))
    pixels = cases.folder / "pixels.npz"
    np.savez(pixels, x=random.integers(0, 256, (1, 3, 8, 8)).astype(np.float32))
    cases.expect("pixels", cases.check(net(), "--inputs", pixels, "--ort", LIBRARY, "--json"), 0, has("A102", tensor="x"))


def sarif(cases):
    log = json.loads(cases.check(net(1e6), "--sarif").stdout)
    Schema.model_validate(log)
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    right = log["version"] == "2.1.0" and rules == sorted(set(rules)) and run["results"]
    for result in run["results"]:
        (place,) = result["locations"]
        right = right and rules[result["ruleIndex"]] == result["ruleId"] and result["message"]["text"]
        right = right and result["level"] in ("error", "warning", "note")
        right = right and place["physicalLocation"]["artifactLocation"]["uri"] == str(cases.folder / "net.onnx")
    cases.count += 1
    if not right:
        cases.failed += 1
        print(f"SARIF: {json.dumps(log)[:1000]}", file=sys.stderr)


def channels(cases):
    """A channel of 1e-7 that the next layer scales up again: its activations are named, not the others."""
    on = ("--input", "x=1,3,8,8", "--ort", LIBRARY, "--json")
    found = cases.expect("a channel of activations", cases.check(net(1e-7, mean=0.0), *on), 1, has("A107", tensor="r1"))
    named = [f["figures"]["channels"] for f in found["findings"] if f["code"] == "A107"]
    cases.count += 1
    if not named or any(some != [5] for some in named):
        cases.failed += 1
        print(f"channels of activations: {named}", file=sys.stderr)


def pages(cases):
    """No line is wider than the terminal, but for the file's name; constants that are put somewhere are no weights."""
    for width in (60, 80):
        environment = os.environ | {"COLUMNS": str(width)}
        command = [str(cases.binary), "check", str(cases.folder / "net.onnx")]
        cases.check(net(1e6, exponent=True, variance=1e-12, epsilon=1e-12))
        page = subprocess.run(command, capture_output=True, text=True, env=environment).stdout
        cases.count += 1
        if wide := [line for line in page.splitlines()[1:] if len(line) > width]:
            cases.failed += 1
            print(f"wider than {width}: {wide}", file=sys.stderr)
    empty = cases.folder / "empty.safetensors"
    empty.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    done = subprocess.run([str(cases.binary), "check", str(empty)], capture_output=True, text=True)
    cases.expect("a model of nothing", done, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases(binary, Path(folder))
        weights(cases)
        activations(cases)
        channels(cases)
        pages(cases)
        sarif(cases)
    print(f"{cases.count} checks, {cases.failed} failed")
    return 1 if cases.failed else 0


if __name__ == "__main__":
    sys.exit(main())
