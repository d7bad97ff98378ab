"""PyTorch modules that `weigh convert -o net.py` writes: they compute what ONNX's own tests expect, and every value of
real networks as ONNX Runtime does."""

import argparse
import collections
import itertools
import json
import py_compile
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import black
import caffe_onnx
import emitted
import numpy as np
import onnx
import torch
import torchvision
import weigh
from onnx import numpy_helper

sys.path.insert(0, str(weigh.ROOT / "tests" / "generate"))
import exports  # noqa: E402

# Cases that are expressed and differ, each with its reason.
EXCEPTIONS = {
    "test_reduce_max_empty_set": "torch has no largest of no values",
    "test_reduce_max_empty_set_bool": "torch has no largest of no values",
    "test_reduce_min_empty_set": "torch has no smallest of no values",
}
# Transformers of two layers or so, of the code that the large ones are of.
SMALL = {
    "vit": lambda: torchvision.models.VisionTransformer(32, 8, 2, 4, 64, 128, num_classes=10),
    "swin": lambda: torchvision.models.SwinTransformer([4, 4], 24, [2, 2], [2, 4], [4, 4], num_classes=10),
}
# Networks whose every value is compared, with the side of their images.
NETS = {
    "resnet18": 64,
    "mobilenet_v2": 64,
    "squeezenet1_1": 64,
    "googlenet": 64,
    "shufflenet_v2_x1_0": 64,
    "efficientnet_b0": 64,
    "vit": 32,
    "swin": 32,
}
# Of these the layout is looked at too, which takes black a while.
FORMATTED = ("resnet18", "googlenet")
# Relative to the largest magnitude of a value; sums of products are in another order than in ONNX Runtime.
CLOSE = 1e-4


def convert(binary, model, folder, *flags):
    """The module of an ONNX model; `None` and the reasons where it is refused."""
    source, target = folder / "net.onnx", folder / "net.py"
    source.write_bytes(model.SerializeToString())
    command = [str(binary), "convert", str(source), "-o", str(target), "--force", "--json", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return None, f"exit {done.returncode}: {done.stderr.strip()}"
    return target, json.loads(done.stdout)


def apart(expected, got, scale=None):
    """How far two arrays are apart, relative to the largest magnitude; infinite where it is more than numbers."""
    expected, got = np.asarray(expected), np.asarray(got)
    if expected.shape != got.shape or expected.dtype != got.dtype:
        return np.inf
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind in "biu":
        return 0.0 if np.array_equal(expected, got) else np.inf
    a, b = expected.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
        return np.inf
    if not finite.any():
        return 0.0
    return np.abs(a - b)[finite].max() / max(np.abs(a[finite]).max(), 1e-30)


def fixed(model, arrays):
    """The same model with all inputs but the first as initializers, and the arrays that are left."""
    other = onnx.ModelProto()
    other.CopyFrom(model)
    for value, array in list(zip(model.graph.input, arrays, strict=True))[1:]:
        other.graph.initializer.append(numpy_helper.from_array(array, value.name))
        other.graph.input.remove(next(i for i in other.graph.input if i.name == value.name))
    return other, arrays[:1]


def node_cases():
    """ONNX's tests of single operators, with arrays on both sides."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    for case in cases:
        if not case.name.endswith("_expanded") and "_expanded_" not in case.name:
            inputs, outputs = case.data_sets[0]
            numeric = all(isinstance(x, np.ndarray) and x.dtype.kind in "fiub" for x in [*inputs, *outputs])
            if numeric and len(inputs) == len(case.model.graph.input):
                yield case, inputs, outputs


def operators(binary, folder, only):
    """Yields what differs; counts what is refused, by operator."""
    refused, held = collections.Counter(), 0
    for case, inputs, outputs in node_cases():
        if only and only not in case.name:
            continue
        variants = [(case.model, inputs)] + ([fixed(case.model, inputs)] if len(inputs) > 1 else [])
        for at, (model, arrays) in enumerate(variants):
            name = case.name + (" (constants)" if at else "")
            path, told = convert(binary, model, folder)
            if path is None:
                refused[model.graph.node[0].op_type] += 1
                if not told.startswith("exit 2"):
                    yield f"{name}: {told}"
                continue
            try:
                got, _ = emitted.run(path, arrays)
            except Exception as error:  # noqa: BLE001: whatever torch says
                if case.name not in EXCEPTIONS:
                    yield f"{name}: {type(error).__name__}: {str(error).splitlines()[0]}"
                continue
            tolerance = max(case.rtol, 1e-3 if outputs[0].dtype == np.float16 else 1e-5)
            far = max((apart(e, g) for e, g in zip(outputs, got, strict=True)), default=0.0)
            held += 1
            if far > tolerance and case.name not in EXCEPTIONS:
                yield f"{name}: {far:.2g} apart"
    print(f"operators: {held} cases hold; refused: " + ", ".join(f"{op} {n}" for op, n in sorted(refused.items())))


def exported(name, size, folder):
    """A network of torchvision, its statistics those of noise and no head of zeros, as the exporter writes it."""
    if name in SMALL:
        torch.manual_seed(0)
        net = SMALL[name]()
        exports.settle(net, torch.randn(4, 3, size, size))
    else:
        net = exports.build(name)
    path = folder / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(),
            torch.randn(1, 3, size, size),
            str(path),
            dynamo=False,
            # As it is: otherwise the exporter folds BatchNorm itself.
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "batch"}},
        )
    return path, net


def inner(model, arrays):
    """Every value of a model by its name, as ONNX Runtime computes it."""
    import onnxruntime

    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    known = {output.name for output in whole.graph.output}
    for node in whole.graph.node:
        for name in node.output:
            if name and name not in known:
                known.add(name)
                whole.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    feeds = {given.name: array for given, array in zip(session.get_inputs(), arrays, strict=True)}
    return dict(zip(names, session.run(names, feeds), strict=True))


def compared(name, path, expected, tolerance):
    """Yields values that differ; the number of those compared is told with the last."""
    arrays, wanted = expected
    _, values = emitted.run(path, arrays)
    missing, worst = set(wanted) - set(values), 0.0
    for blob, value in values.items():
        if blob in wanted:
            far = apart(wanted[blob], value)
            worst = max(worst, far)
            if far > tolerance:
                yield f"{name}: {blob}: {far:.2g} apart"
    print(f"{name}: {len(values)} values, {worst:.1e} apart at most; {len(missing)} within others")


def same_keys(name, path, net):
    """A state dict under the names that the network gave it."""
    mine = {key: tuple(value.shape) for key, value in emitted.load(path)[0].state_dict().items()}
    theirs = {key: tuple(value.shape) for key, value in net.state_dict().items()}
    if mine != theirs:
        yield f"{name}: keys that are not the network's own: {sorted(set(mine) ^ set(theirs))[:6]}"


def networks(binary, folder, only):
    """Yields what differs in torchvision's networks."""
    for name, size in NETS.items():
        if only and only not in name:
            continue
        source, net = exported(name, size, folder)
        model = onnx.load(source)
        path, told = convert(binary, model, folder)
        if path is None:
            yield f"{name}: {told}"
            continue
        py_compile.compile(str(path), doraise=True)
        image = np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32)
        yield from compared(name, path, ([image], inner(model, [image])), CLOSE)
        yield from same_keys(name, path, net)
        if name in FORMATTED:
            yield from formatted(path)


def formatted(path):
    """A source that the formatter would change."""
    source = path.read_text()
    if black.format_str(source, mode=black.Mode()) != source:
        yield f"{path.name}: black formats it otherwise"


def caffe(binary, folder, only):
    """Yields the blobs of Caffe's nets that differ from what Caffe itself gave."""
    count = 0
    cases = [case for case in caffe_onnx.cases([caffe_onnx.CORPUS]) if not only or only in case.name]
    for case in cases:
        path, oracle = folder / f"{case.name}.py", Path(f"{case}.oracle")
        inputs = {file.stem: np.load(file) for file in (oracle / "in").glob("*.npy")}
        try:
            caffe_onnx.convert(binary, case, path)
            _, names, arguments = emitted.load(path)
            _, values = emitted.run(path, [inputs[name] for name in arguments])
            differ, _, number = caffe_onnx.compare(case, values | inputs, oracle)
        except Exception as error:  # noqa: BLE001: whatever a library raises is a failure of the case
            yield f"{case.name}: {type(error).__name__}: {str(error)[:300]}"
            continue
        yield from differ
        yield from formatted(path)
        count += number
    print(f"Caffe: {len(cases)} nets, {count} blobs")


HOSTILE = [
    'a"""\nimport pathlib; pathlib.Path("MARKER").touch()\n"""',
    "x\nimport pathlib; pathlib.Path('MARKER').touch()",
    "y\u2028import pathlib; pathlib.Path('MARKER').touch()#\x85\r",
    "\\",
    "\x00\x01\x02",
    "class",
    "torch",
    "forward",
    "",
    "-> z, w",
    "\u5377\u79ef/1.weight",
    "__class__",
]


def hostile(binary, folder, _):
    """Yields what names of a file bring about that they should not."""
    marker = folder / "marker"
    bad = [name.replace("MARKER", str(marker)) for name in HOSTILE]
    nodes, weights, last = [], [], "in\nput"
    for i, name in enumerate(bad):
        out, kernel = f"{name}{i % 3}", f"{name}.{i}.weight"
        weights.append(numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), kernel))
        nodes.append(onnx.helper.make_node("Conv", [last, kernel], [out], name=name))
        last = out
    value = onnx.helper.make_tensor_value_info
    shape = [bad[0], 2, 3, 3]
    graph = onnx.helper.make_graph(
        nodes, bad[0], [value("in\nput", 1, shape)], [value(last, 1, shape)], weights, doc_string=bad[0]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    path, told = convert(binary, model, folder)
    if path is None:
        yield f"hostile names: {told}"
        return
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
    if done.returncode:
        yield f"hostile names: {done.stderr[-300:]}"
    got, values = emitted.run(path, [np.ones((1, 2, 3, 3), np.float32)])
    if marker.exists() or not np.all(got[0] == 2.0 ** len(bad)):
        yield "hostile names: they are executed, or change the result"
    if set(name for node in nodes for name in node.output) - set(values):
        yield "hostile names: not all values are told"


def refusals(binary, folder, _):
    """Yields what is not said of a model that cannot be expressed."""
    value = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["a"], name="fine"),
        onnx.helper.make_node("Strange", ["a"], ["b"], name="first", domain="own"),
        onnx.helper.make_node("GRU", ["b", "b", "b"], ["c"], name="second", hidden_size=2),
    ]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 1, [1])], [value("c", 1, None)])
    (folder / "net.py").unlink(missing_ok=True)
    path, told = convert(binary, onnx.helper.make_model(graph), folder)
    if path is not None or not told.startswith("exit 2") or (folder / "net.py").exists():
        yield f"an operator without a rule: {told}"
    elif "first" not in told or "second" not in told or "fine" in told:
        yield f"an operator without a rule: not all are named: {told}"


class Recurrent(torch.nn.Module):
    """A recurrent layer with states that are given, or start from zero."""

    def __init__(self, kind, **how):
        super().__init__()
        self.layer = kind(6, 5, **how)

    def forward(self, x, h, c):
        given = (h, c) if isinstance(self.layer, torch.nn.LSTM) else h
        y, last = self.layer(x, given)
        return (y, *last) if isinstance(last, tuple) else (y, last)


def recurrent(binary, folder, only):
    """Yields recurrent layers of torch that come back as others, or under other keys."""
    kinds = (torch.nn.LSTM, torch.nn.GRU, torch.nn.RNN)
    for kind, two, bias in itertools.product(kinds, (False, True), (False, True)):
        name = f"{kind.__name__}, bidirectional={two}, bias={bias}"
        if only and only not in name:
            continue
        torch.manual_seed(0)
        net = Recurrent(kind, bidirectional=two, bias=bias).eval()
        given = torch.randn(7, 3, 6), torch.randn(1 + two, 3, 5), torch.randn(1 + two, 3, 5)
        source = folder / "recurrent.onnx"
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            torch.onnx.export(net, given, str(source), dynamo=False, input_names=["x", "h", "c"])
            expected = [value.numpy() for value in net(*given)]
        model = onnx.load(source)
        path, told = convert(binary, model, folder)
        if path is None:
            yield f"{name}: {told}"
            continue
        left = {value.name for value in model.graph.input}
        arrays = [array.numpy() for array, key in zip(given, "xhc", strict=True) if key in left]
        got, _ = emitted.run(path, arrays)
        far = max(apart(e, g) for e, g in zip(expected, got, strict=True))
        if far > 1e-5:
            yield f"{name}: {far:.2g} apart"
        tensors = [value for key, value in emitted.load(path)[0].state_dict().items()]
        theirs = list(net.state_dict().values())
        if len(tensors) != len(theirs) or not all(any(torch.equal(a, b) for b in tensors) for a in theirs):
            yield f"{name}: its tensors are not those of the layer"


def chain(binary, folder, _):
    """Yields how a long chain takes too long."""
    count, times = 100_000, []
    for length in (count // 10, count):
        names = [f"v{i}" for i in range(length + 1)]
        nodes = [onnx.helper.make_node("Relu", [a], [b]) for a, b in itertools.pairwise(names)]
        value = onnx.helper.make_tensor_value_info
        graph = onnx.helper.make_graph(nodes, "g", [value("v0", 1, [1])], [value(names[-1], 1, [1])])
        started = time.perf_counter()
        path, told = convert(binary, onnx.helper.make_model(graph), folder)
        times.append(time.perf_counter() - started)
        if path is None:
            yield f"a chain: {told}"
            return
    if times[1] > 30 * times[0] + 1:
        yield f"a chain: {times[0]:.2f} s for a tenth of it, {times[1]:.2f} s for all"


def safetensors(binary, folder, only):
    """Yields how a module differs with its weights in the other format."""
    digits = onnx.load(weigh.ROOT / "examples" / "digits" / "digits.onnx")
    image = [np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)]
    for flags in ((), ("--weights", "safetensors")):
        within = folder / "-".join(("digits", *flags))
        within.mkdir()
        path, told = convert(binary, digits, within, *flags)
        if path is None:
            yield f"digits: {told}"
            continue
        done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True)
        if done.returncode:
            yield f"digits {flags}: {done.stderr[-300:]}"
        yield from compared("digits", path, (image, inner(digits, image)), CLOSE)


PARTS = [safetensors, hostile, refusals, chain, caffe, recurrent, operators, networks]


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("--only", help="cases whose name has this in it")
    args = parser.parse_args()
    binary, failed = weigh.find(args.weigh), 0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for part in PARTS:
            for difference in part(binary, folder, args.only):
                failed += 1
                print(difference)
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
