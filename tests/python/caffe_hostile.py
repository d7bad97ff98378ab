"""Caffe nets that are wrong or that mean harm, on every way through weigh: an error that names the place, no panic, no hang."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import weigh
from caffe_net import Net

SECONDS = 20
INPUT = 'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }\n'


def layer(kind, settings="", bottom="data", top="y", name="one"):
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {settings} }}\n'


def conv(settings, **ends):
    return layer("Convolution", f"convolution_param {{ {settings} }}", **ends)


def pool(settings):
    return layer("Pooling", f"pooling_param {{ {settings} }}")


def chain(count):
    ends = ["data", *(f"b{i}" for i in range(count))]
    return INPUT + "".join(layer("ReLU", bottom=a, top=b, name=b) for a, b in zip(ends, ends[1:]))


# A net, and what its error must say; none where it is fine.
CASES = {
    "nested": (INPUT + "layer { " * 50_000, "messages within messages"),
    "nested settings": (INPUT + 'layer { name: "one" type: "ReLU" ' + "a { " * 50_000 + "} " * 50_001, "messages within messages"),
    "open brace": (INPUT + 'layer { name: "one" type: "ReLU" bottom: "data"', "line 2"),
    "open quote": (INPUT + 'layer { name: "one', "line 2"),
    "no bottom": (INPUT + layer("ReLU", bottom="nothing"), "nothing"),
    "cycle": (INPUT + layer("ReLU", bottom="b", top="a") + layer("ReLU", bottom="a", top="b", name="two"), "'b'"),
    "own tail": (INPUT + layer("ReLU", bottom="y", top="y"), "'y'"),
    "top twice": (INPUT + layer("ReLU") + layer("TanH", name="two"), "two"),
    "kernel 0": (INPUT + conv("num_output: 2 kernel_size: 0 weight_filler { }"), "one"),
    "kernel -3": (INPUT + conv("num_output: 2 kernel_size: -3 weight_filler { }"), ""),
    "stride 0": (INPUT + conv("num_output: 2 kernel_size: 3 stride: 0 weight_filler { }"), "one"),
    "group 0": (INPUT + conv("num_output: 2 kernel_size: 3 group: 0 weight_filler { }"), "one"),
    "group 2 of 3": (INPUT + conv("num_output: 2 kernel_size: 3 group: 2 weight_filler { }"), "one"),
    "dilation 0": (INPUT + conv("num_output: 2 kernel_size: 3 dilation: 0 weight_filler { }"), "one"),
    "no outputs": (INPUT + conv("num_output: 0 kernel_size: 3 weight_filler { }"), "one"),
    "kernel beyond the picture": (INPUT + conv("num_output: 2 kernel_size: 11 weight_filler { }"), "one"),
    "huge convolution": (INPUT + conv("num_output: 2147483647 kernel_size: 2147483647 pad: 2147483647 weight_filler { }"), "one"),
    "pool stride 0": (INPUT + pool("kernel_size: 2 stride: 0"), "one"),
    "pool of nothing": (INPUT + pool("kernel_size: 0"), "one"),
    "pool padded beyond": (INPUT + pool("kernel_size: 2 pad: 5"), "one"),
    "huge pool": (INPUT + pool("kernel_size: 2 stride: 1 pad: 1 pad_h: 4294967295"), ""),
    "huge input": ('input: "data" input_shape { dim: 9223372036854775807 dim: 9223372036854775807 }\n' + layer("ReLU"), ""),
    "huge tile": (INPUT + layer("Tile", "tile_param { axis: 1 tiles: 2147483647 }"), "one"),
    "huge interp": (INPUT + layer("Interp", "interp_param { height: 2147483647 width: 2147483647 }"), "one"),
    "huge prior": (INPUT + layer("PriorBox", "prior_box_param { min_size: 1 " + "aspect_ratio: 3 " * 9 + "step: 0.0000001 }"), ""),
    "huge dummy": ('layer { name: "one" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2147483647 dim: 2147483647 } } }\n' + layer("ReLU", name="two"), ""),
    "slices": (INPUT + layer("Slice", "slice_param { axis: 1 slice_point: 9 }", top='a" top: "b'), "one"),
    "axis 99": (INPUT + layer("Concat", "concat_param { axis: 99 }"), "one"),
    "reshape": (INPUT + layer("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }"), "one"),
    "reshape to nothing": (INPUT + layer("Reshape", "reshape_param { shape { dim: 7 dim: -1 } }"), "one"),
    "LRN of even size": (INPUT + layer("LRN", "lrn_param { local_size: 4 }"), "one"),
    "permute": (INPUT + layer("Permute", "permute_param { order: 0 order: 0 order: 9 }"), "one"),
    "many unknown": (INPUT + layer("Strange") + layer("Odd", bottom="y", top="z", name="second"), "second"),
    "all without weights": (INPUT + conv("num_output: 2 kernel_size: 3") + conv("num_output: 2 kernel_size: 3", bottom="y", top="z", name="second"), "second"),
    "wrong text": (INPUT + layer("Pooling", 'pooling_param { kernel_size: "three" }'), ""),
    "bytes": ("\x00\xff\x80" + INPUT, ""),
    "chain": (chain(20_000), None),
    "names": (INPUT + layer("ReLU", name='a\\"\\"\\"\\nimport os; os.abort()\\n\\"\\"\\"', top='b\\n\\"\\"\\"\\\\') + layer("TanH", bottom='b\\n\\"\\"\\"\\\\', top="'''; x"), None),
}


def ways(binary, files, folder):
    """Commands, and whether they take longer chains."""
    yield "onnx", [binary, "convert", *files, "-o", folder / "out.onnx", "--force"]
    yield "py", [binary, "convert", *files, "-o", folder / "out.py", "--force"]
    yield "verify", [binary, "verify", *files, "--with", *files]
    yield "check", [binary, "check", *files]


def judged(way, done, took, says):
    """What is wrong with how weigh took it."""
    err = done.stderr
    if "panicked" in err or done.returncode < 0 or done.returncode not in (0, 1, 2):
        return f"exit {done.returncode}: {err[:300]}"
    if took > SECONDS:
        return f"{took:.0f} s"
    if way == "check":
        return None
    if says is None:
        return None if done.returncode == 0 else f"exit {done.returncode}: {err[:300]}"
    if done.returncode != 2 or "error: " not in err:
        return f"exit {done.returncode}: {err[:300]}"
    return None if says in err else f"no {says!r} in: {err[:300]}"


def weights():
    """Weights that are not what a net asks for, cut short, or of absurd sizes: bytes, and what the error says."""
    def file(shape, numbers):
        net = Net()
        layer = net.layer.add(name="one", type="Convolution")
        made = layer.blobs.add(data=np.ones(numbers, np.float32))
        made.shape.dim.extend(shape)
        return net.SerializeToString()

    right = file([2, 3, 3, 3], 54)
    yield "of another shape", file([2, 3, 5, 5], 150), "one"
    yield "more sizes than numbers", file([2, 3, 3, 1 << 40], 54), ""
    yield "negative sizes", file([2, 3, 3, -3], 54), ""
    yield "no numbers", file([2, 3, 3, 3], 0), "one"
    yield "cut short", right[:-7], ""
    yield "bytes behind", right + b"\xa2\x06\xff\xff\xff\xff\x0f", ""
    yield "right", right, None


def nets():
    for case, (text, says) in CASES.items():
        yield case, text, None, says
    for case, data, says in weights():
        yield f"weights {case}", INPUT + conv("num_output: 2 kernel_size: 3 bias_term: false"), data, says


# Layers that ONNX has no equal of: of a type that is not known, and with a setting that cannot be expressed.
UNEQUAL = {
    "Python": layer("Python", 'python_param { module: "m" layer: "L" }'),
    "ReLU": layer("ReLU") + layer("Python", 'python_param { module: "m" }', bottom="y", top="z", name="two"),
    "DetectionOutput": (
        'layer { name: "p" type: "PriorBox" bottom: "data" bottom: "data" top: "p" prior_box_param { min_size: 4 } }\n'
        'layer { name: "l" type: "Flatten" bottom: "data" top: "l" }\n'
        'input: "loc" input_shape { dim: 1 dim: 256 } input: "conf" input_shape { dim: 1 dim: 128 }\n'
        'layer { name: "one" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "p" top: "y" '
        "detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.6 eta: 0.9 } keep_top_k: 4 } }\n"
    ),
}


def kept(binary, folder):
    """What is not kept, as a node of the domain `caffe`, where that is allowed, or not refused where it is not."""
    text, out = folder / "kept.prototxt", folder / "kept.onnx"
    for kind, layers in UNEQUAL.items():
        text.write_text(INPUT + layers)
        command = [str(binary), "convert", str(text), "-o", str(out), "--force"]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if refused.returncode != 2 or not ("one" in refused.stderr or "two" in refused.stderr):
            yield f"{kind}: exit {refused.returncode}: {refused.stderr[:300]}"
        allowed = subprocess.run([*command, "--allow-unknown"], capture_output=True, text=True, timeout=SECONDS)
        if allowed.returncode:
            yield f"{kind}, allowed: {allowed.stderr[:300]}"
            continue
        model = onnx.load(out)
        domains = {(node.op_type, node.domain) for node in model.graph.node}
        wanted = (kind, "caffe") if kind != "ReLU" else ("Relu", "")
        if wanted not in domains or "caffe" not in {opset.domain for opset in model.opset_import}:
            yield f"{kind}: {domains}"


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    args = parser.parse_args()
    binary, wrong, runs, cases = weigh.find(args.weigh), 0, 0, 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text, blobs = folder / "net.prototxt", folder / "net.caffemodel"
        for case, net, weighs, says in nets():
            text.write_bytes(net.encode("latin-1"))
            blobs.write_bytes(weighs or b"")
            files = [text, blobs] if weighs else [text]
            cases += 1
            for way, command in ways(binary, files, folder):
                begun = time.monotonic()
                try:
                    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=4 * SECONDS)
                except subprocess.TimeoutExpired:
                    fault = "hangs"
                else:
                    fault = judged(way, done, time.monotonic() - begun, says)
                runs += 1
                if fault:
                    wrong += 1
                    print(f"{case}, {way}: {fault}")
        for fault in kept(binary, folder):
            wrong += 1
            print(f"kept: {fault}")
    print(f"caffe_hostile: {cases} nets, {runs} runs, {wrong} wrong")
    return 1 if wrong or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
