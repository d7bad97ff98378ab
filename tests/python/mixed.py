"""`weigh convert --precision`: files that onnx checks with full inference, that ONNX Runtime loads, and that keep what pure
FP16 loses."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import weigh
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(weigh.ROOT / "tests" / "generate"))
import exports  # noqa: E402

LIBRARY = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.*"))
random = np.random.default_rng(11)


def weights(name, *shape, scale=1.0):
    return numpy_helper.from_array((random.standard_normal(shape) * scale).astype(np.float32), name)


def constant(name, values, kind=np.float32):
    return numpy_helper.from_array(np.array(values, kind), name)


def model(nodes, inputs, outputs, held, opset=17, functions=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, held)
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(f.domain, 1) for f in functions[:1]]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))


def info(name, *shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, list(shape))


def undone():
    """A channel scaled by a million, and undone by the next layer: beyond FP16 in between."""
    first, second = random.standard_normal((8, 4, 1, 1)), random.standard_normal((3, 8, 1, 1))
    first[2] *= 1e6
    second[:, 2] *= 1e-6
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["c"], "first"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "w2"], ["d"], "second"),
        helper.make_node("Conv", ["d", "w3"], ["y"], "third"),
    ]
    held = [constant("w1", first), constant("w2", second), weights("w3", 5, 3, 1, 1)]
    return model(nodes, [info("x", 2, 4, 6, 6)], [info("y", 2, 5, 6, 6)], held)


def squares():
    """A norm by hand over inputs of 0 to 400: the squares are beyond FP16, inputs and outputs are not."""
    nodes = [
        helper.make_node("Pow", ["x", "two"], ["p"], "square"),
        helper.make_node("ReduceMean", ["p"], ["m"], "mean", axes=[-1], keepdims=1),
        helper.make_node("Add", ["m", "eps"], ["e"], "eps"),
        helper.make_node("Sqrt", ["e"], ["s"], "root"),
        helper.make_node("Div", ["x", "s"], ["n"], "norm"),
        helper.make_node("MatMul", ["n", "w"], ["y"], "head"),
    ]
    held = [constant("two", 2.0), constant("eps", 1e-12), weights("w", 16, 4)]
    return model(nodes, [info("x", 3, 16)], [info("y", 3, 4)], held)


def masked():
    """Attention with a mask of the least F32: a limit, not a weight."""
    nodes = [
        helper.make_node("MatMul", ["x", "k"], ["s"], "scores"),
        helper.make_node("Where", ["keep", "s", "least"], ["m"], "mask"),
        helper.make_node("Softmax", ["m"], ["y"], "softmax", axis=-1),
    ]
    held = [weights("k", 8, 8), constant("least", np.finfo(np.float32).min)]
    inputs = [info("x", 2, 8), info("keep", 2, 8, kind=TensorProto.BOOL)]
    return model(nodes, inputs, [info("y", 2, 8)], held)


def branches():
    """Subgraphs keep F32, and what they capture; a function of the model's own too."""
    then = helper.make_graph([helper.make_node("Mul", ["r", "scale"], ["a"])], "then", [], [info("a", 2, 4)])
    other = helper.make_graph([helper.make_node("Neg", ["r"], ["b"])], "else", [], [info("b", 2, 4)])
    twice = helper.make_function("own", "Twice", ["v"], ["w"], [helper.make_node("Add", ["v", "v"], ["w"])],
                                 [helper.make_opsetid("", 17)])
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], "in"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("If", ["c"], ["i"], "if", then_branch=then, else_branch=other),
        helper.make_node("Twice", ["i"], ["t"], "twice", domain="own"),
        helper.make_node("Add", ["t", "r"], ["u"], "add"),
        helper.make_node("MatMul", ["u", "w"], ["y"], "out"),
    ]
    held = [weights("w", 4, 4), weights("scale", 4)]
    inputs = [info("x", 2, 4), info("c", kind=TensorProto.BOOL)]
    return model(nodes, inputs, [info("y", 2, 4), info("r", 2, 4)], held, functions=[twice])


def kinds():
    """Operands that are not of the node's type: scales of Resize, ratios, statistics, shapes; constants of all forms."""
    nodes = [
        helper.make_node("Constant", [], ["half"], "half", value_float=0.5),
        helper.make_node("Constant", [], ["scales"], "scales", value_floats=[1.0, 1.0, 2.0, 2.0]),
        helper.make_node("Mul", ["x", "half"], ["h"], "mul"),
        helper.make_node("Resize", ["h", "", "scales"], ["b"], "resize", mode="nearest"),
        helper.make_node("Shape", ["b"], ["shape"], "shape"),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"], "zeros"),
        helper.make_node("Dropout", ["b", "ratio"], ["d"], "drop"),
        helper.make_node("Add", ["d", "zeros"], ["z"], "add"),
        helper.make_node("LayerNormalization", ["z", "g"], ["l", "mean"], "layer", axis=-1),
        helper.make_node("Cast", ["flag"], ["f"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["l", "f"], ["y"], "gate"),
    ]
    held = [constant("ratio", 0.5), weights("g", 8)]
    inputs = [info("x", 1, 2, 4, 4), info("flag", 1, kind=TensorProto.BOOL)]
    return model(nodes, inputs, [info("y", 1, 2, 8, 8), info("mean", 1, 2, 8, 1)], held)


def feed(net, low=None, high=None):
    fed = {}
    for given in net.graph.input:
        shape = [d.dim_value for d in given.type.tensor_type.shape.dim]
        if given.type.tensor_type.elem_type == TensorProto.BOOL:
            fed[given.name] = random.random(shape) < 0.7
        elif low is None:
            fed[given.name] = random.standard_normal(shape).astype(np.float32)
        else:
            fed[given.name] = random.uniform(low, high, shape).astype(np.float32)
    return {name: np.asarray(value) for name, value in fed.items()}


def run(path, fed):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(str(path), options).run(None, fed)


def apart(a, b):
    """The largest difference, relative to the largest magnitude; infinite where something is no number."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        if not np.isfinite(y).all():
            return float("inf")
        worst = max(worst, float(np.abs(x.astype(np.float64) - y).max() / max(np.abs(x).max(), 1e-30)))
    return worst


def types(path):
    """Value types by onnx's own strict inference; fails where two types meet."""
    net = onnx.load(path)
    onnx.checker.check_model(net, full_check=True)
    return net


class Checks:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.done, self.wrong = binary, Path(folder), 0, []

    def convert(self, source, name, *options):
        made = self.folder / f"{name}.onnx"
        made.unlink(missing_ok=True)
        command = [self.binary, "convert", source, "-o", made, "--precision", "f16", "--ort", LIBRARY, *options]
        if "--keep-unsafe" not in options:
            command = [part for part in command if part not in ("--ort", LIBRARY)]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
        return made, done

    def note(self, what, right, more=""):
        self.done += 1
        if not right:
            self.wrong.append(f"{what}: {more}")

    def far(self, source, made):
        """The largest difference relative to the largest magnitude, where each F16 node rounds what it gives."""
        command = [self.binary, "verify", source, made, "--ort", LIBRARY, "--inputs", self.folder / "fed.npz", "--json"]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
        if done.returncode == 2:
            raise SystemExit(done.stderr)
        figures = [output["max_rel"] for output in json.loads(done.stdout)["outputs"]]
        return max(float("inf") if figure is None else figure for figure in figures)

    def small(self, name, net, fed, tolerance, needs=False):
        """In mixed precision outputs stay within `tolerance`; where it `needs` them, only with --keep-unsafe."""
        source = self.folder / f"{name}.source.onnx"
        onnx.save(net, source)
        before = run(source, fed)
        np.savez(self.folder / "fed.npz", **fed)
        made, done = self.convert(source, name, "--keep-unsafe", "--inputs", self.folder / "fed.npz")
        self.note(name, done.returncode == 0, done.stderr)
        if done.returncode:
            return
        net = types(made)
        kept = max(apart(before, run(made, fed)), self.far(source, made))
        self.note(f"{name} keeps", kept <= tolerance, f"{kept} apart")
        self.note(f"{name} interface", [o.type.tensor_type.elem_type for o in net.graph.output] == [1] * len(net.graph.output), "types of outputs")
        pure, done = self.convert(source, f"{name}.pure", "--allow-overflow")
        self.note(f"{name} pure", done.returncode == 0, done.stderr)
        if done.returncode == 0:
            types(pure)
            lost = self.far(source, pure)
            self.note(f"{name} needs it", (lost > 10 * tolerance) == needs, f"pure FP16 is {lost} apart")
        made, done = self.convert(source, f"{name}.io", "--io", "--allow-overflow")
        self.note(f"{name} io", done.returncode == 0, done.stderr)
        if done.returncode == 0:
            types(made)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    with tempfile.TemporaryDirectory() as folder:
        checks = Checks(binary, folder)
        for name, net, limits, needs in [
            ("undone", undone(), (), True),
            ("squares", squares(), (300, 400), True),
            ("masked", masked(), (), False),
            ("branches", branches(), (), False),
            ("kinds", kinds(), (), False),
        ]:
            checks.small(name, net, feed(net, *limits), 4e-3, needs)

        refused = checks.folder / "undone.source.onnx"
        made, done = checks.convert(refused, "refused")
        said = done.stderr
        checks.note("a weight beyond the range is refused by name", done.returncode == 2 and "w1" in said and "--keep-unsafe" in said and not made.exists(), said)

        # Exporters' files: two casts, at both ends; every value's type as onnx infers it.
        for name, how in [("resnet18", "dynamo"), ("mobilenet_v2", "script17"), ("shufflenet_v2_x1_0", "script13-dynamic")]:
            source = exports.export(name, how)
            made, done = checks.convert(source, name)
            checks.note(name, done.returncode == 0, done.stderr)
            if done.returncode:
                continue
            net = types(made)
            count = lambda graph: sum(node.op_type == "Cast" for node in graph.node)  # noqa: E731
            casts = count(net.graph) - count(onnx.load(source).graph)
            checks.note(f"{name} casts", casts == 2 and not any(t.data_type == 1 for t in net.graph.initializer), f"{casts} casts")
            fed = {"x": random.standard_normal([2, 3, exports.NETS[name], exports.NETS[name]]).astype(np.float32)}
            far = apart(run(source, fed), run(made, fed))
            checks.note(f"{name} outputs", far < 0.05, f"{far} apart")
            command = [binary, "verify", source, made, "--ort", LIBRARY, "--tolerance", "0.05", "--input", f"x=2,3,{exports.NETS[name]},{exports.NETS[name]}", "--json"]
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
            checks.note(f"{name} verify", done.returncode == 0, done.stderr or done.stdout[:300])
    for line in checks.wrong:
        print("wrong:", line)
    print(f"mixed precision: {checks.done} checks, {len(checks.wrong)} wrong")
    sys.exit(bool(checks.wrong))


if __name__ == "__main__":
    main()
