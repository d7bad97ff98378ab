"""One layer at a time: nets of Caffe's converted to ONNX and run, against plain loops of what Caffe defines."""

import argparse
import itertools
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import weigh
from caffe_net import Net
from caffe_onnx import distance, run

random = np.random.default_rng(11)
BOUND = 1e-5
CASES = []


def rand(*shape):
    return random.standard_normal(shape).astype(np.float32)


def case(name, body, inputs, expected, blobs=None, flags=()):
    """A net: its layers' text, inputs by name, expected tops by name, blobs by layer."""
    CASES.append((name, body, inputs, expected, blobs or {}, flags))


def layer(kind, settings="", bottoms=("x",), tops=("y",), name="l"):
    ends = "".join(f' bottom: "{b}"' for b in bottoms) + "".join(f' top: "{t}"' for t in tops)
    return f'layer {{ name: "{name}" type: "{kind}"{ends} {settings} }}\n'


def one(name, kind, settings, x, y, blobs=()):
    case(name, layer(kind, settings), {"x": x}, {"y": y}, {"l": blobs} if blobs else {})


def conv(x, w, b, stride, pad, dilation, group):
    """Any number of spatial axes."""
    n, spatial = len(x.shape) - 2, x.shape[2:]
    padded = np.pad(x.astype(np.float64), [(0, 0), (0, 0), *((p, p) for p in pad)])
    sizes = [(s + 2 * p - (d * (k - 1) + 1)) // t + 1 for s, p, d, k, t in zip(spatial, pad, dilation, w.shape[2:], stride, strict=True)]
    out = np.zeros((x.shape[0], w.shape[0], *sizes))
    per_in, per_out = w.shape[1], w.shape[0] // group
    for at in itertools.product(*map(range, w.shape[2:])):
        place = tuple(slice(a * d, a * d + (size - 1) * s + 1, s) for a, d, size, s in zip(at, dilation, sizes, stride, strict=True))
        part = padded[(slice(None), slice(None), *place)]
        for g in range(group):
            rows = part[:, g * per_in : (g + 1) * per_in]
            weights = w[(slice(g * per_out, (g + 1) * per_out), slice(None), *at)].astype(np.float64)
            out[:, g * per_out : (g + 1) * per_out] += np.einsum("ni...,oi->no...", rows, weights)
    return out + (0 if b is None else b.reshape(1, -1, *[1] * n))


def deconv(x, w, b, stride, pad, dilation, group):
    sizes = [t * (s - 1) + d * (k - 1) + 1 for s, t, d, k in zip(x.shape[2:], stride, dilation, w.shape[2:], strict=True)]
    per_in, per_out = x.shape[1] // group, w.shape[1]
    out = np.zeros((x.shape[0], per_out * group, *sizes))
    for at in itertools.product(*map(range, w.shape[2:])):
        place = tuple(slice(a * d, a * d + (n - 1) * s + 1, s) for a, d, n, s in zip(at, dilation, x.shape[2:], stride, strict=True))
        for g in range(group):
            rows = x[:, g * per_in : (g + 1) * per_in].astype(np.float64)
            weights = w[(slice(g * per_in, (g + 1) * per_in), slice(None), *at)]
            out[(slice(None), slice(g * per_out, (g + 1) * per_out), *place)] += np.einsum("ni...,io->no...", rows, weights)
    crop = tuple(slice(p, n - p) for p, n in zip(pad, sizes, strict=True))
    out = out[(slice(None), slice(None), *crop)]
    return out + (0 if b is None else b.reshape(1, -1, *[1] * (x.ndim - 2)))


def convolutions():
    x = rand(2, 4, 9, 8)
    for group, stride, pad, dilation in [(1, (1, 1), (1, 1), (1, 1)), (2, (2, 1), (0, 2), (1, 2)), (4, (2, 2), (1, 1), (1, 1))]:
        w, b = rand(8, 4 // group, 3, 2), rand(8)
        settings = (
            f"convolution_param {{ num_output: 8 kernel_h: 3 kernel_w: 2 stride_h: {stride[0]} stride_w: {stride[1]} "
            f"pad_h: {pad[0]} pad_w: {pad[1]} dilation: {dilation[0]} dilation: {dilation[1]} group: {group} }}"
        )
        one(f"conv group {group}", "Convolution", settings, x, conv(x, w, b, stride, pad, dilation, group), [w, b])
        w, b = rand(4, 8 // group, 3, 2), rand(8)
        one(f"deconv group {group}", "Deconvolution", settings, x, deconv(x, w, b, stride, pad, dilation, group), [w, b])
    w = rand(6, 4, 1, 1)
    one("conv no bias", "Convolution", "convolution_param { num_output: 6 kernel_size: 1 bias_term: false }", x, conv(x, w, None, (1, 1), (0, 0), (1, 1), 1), [w])
    cube, w, b = rand(1, 2, 5, 6, 4), rand(3, 2, 2, 3, 2), rand(3)
    settings = "convolution_param { num_output: 3 kernel_size: 2 kernel_size: 3 kernel_size: 2 stride: 2 pad: 1 }"
    one("conv in 3-d", "Convolution", settings, cube, conv(cube, w, b, (2, 2, 2), (1, 1, 1), (1, 1, 1), 1), [w, b])
    line, w, b = rand(2, 3, 10), rand(4, 3, 3), rand(4)
    one("conv in 1-d", "Convolution", "convolution_param { num_output: 4 kernel_size: 3 }", line, conv(line, w, b, (1,), (0,), (1,), 1), [w, b])
    deep, w, b = rand(2, 3, 4, 6, 5), rand(3, 4, 3, 3), rand(3)
    y = conv(deep.reshape(6, 4, 6, 5), w, b, (1, 1), (0, 0), (1, 1), 1).reshape(2, 3, 3, 4, 3)
    one("conv from axis 2", "Convolution", "convolution_param { num_output: 3 kernel_size: 3 axis: 2 }", deep, y, [w, b])
    two, w, b = rand(2, 4, 9, 8), rand(3, 4, 3, 3), rand(3)
    of = lambda v: conv(v, w, b, (1, 1), (0, 0), (1, 1), 1)
    case("conv of two bottoms", layer("Convolution", "convolution_param { num_output: 3 kernel_size: 3 }", ("x", "z"), ("y", "v")), {"x": x, "z": two}, {"y": of(x), "v": of(two)}, {"l": [w, b]})
    w = rand(4, 1, 3, 3)
    one("depthwise", "ConvolutionDepthwise", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 bias_term: false }", x, conv(x, w, None, (1, 1), (1, 1), (1, 1), 4), [w])
    f, k = 2, np.arange(4)
    c = (2 * f - 1 - f % 2) / (2 * f)
    rows = 1 - np.abs(k / f - c)
    w = np.broadcast_to(np.outer(rows, rows), (4, 1, 4, 4)).astype(np.float32)
    settings = 'convolution_param { num_output: 4 group: 4 kernel_size: 4 stride: 2 pad: 1 bias_term: false weight_filler { type: "bilinear" } }'
    case("bilinear, filled", layer("Deconvolution", settings) + layer("Power", "", ("y",), ("z",), "p"), {"x": x}, {"y": deconv(x, w, None, (2, 2), (1, 1), (1, 1), 4)}, {"other": [rand(1)]})
    kh, kw = 3, 2
    columns = np.zeros((2, 4 * kh * kw, 5, 5), np.float32)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    for ch, i, j in itertools.product(range(4), range(kh), range(kw)):
        columns[:, (ch * kh + i) * kw + j] = padded[:, ch, i : i + 9 : 2, j : j + 9 : 2][:, :5, :5]
    one("im2col", "Im2col", "convolution_param { kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 }", x, columns)


def pool(x, kernel, stride, pad, how, ceil=True):
    """Values, and where maxima stand."""
    sizes = []
    for n, k, s, p in zip(x.shape[2:], kernel, stride, pad, strict=True):
        room = (n + 2 * p - k) / s
        sizes.append((math.ceil(room) if ceil else math.floor(room)) + 1)
    if any(pad):
        sizes = [c - 1 if (c - 1) * s >= n + p else c for c, n, s, p in zip(sizes, x.shape[2:], stride, pad, strict=True)]
    out, mask = np.zeros((*x.shape[:2], *sizes)), np.full((*x.shape[:2], *sizes), -1.0)
    height, width = x.shape[2:]
    for n, c, i, j in itertools.product(*map(range, out.shape)):
        top, left = i * stride[0] - pad[0], j * stride[1] - pad[1]
        if how == "AVE":
            bottom, right = min(top + kernel[0], height + pad[0]), min(left + kernel[1], width + pad[1])
            area = (bottom - top) * (right - left)
        bottom, right = min(top + kernel[0], height), min(left + kernel[1], width)
        top, left = max(top, 0), max(left, 0)
        window = x[n, c, top:bottom, left:right].astype(np.float64)
        if how == "MAX":
            best = np.float64(np.finfo(np.float32).min)
            for h, w in itertools.product(range(top, bottom), range(left, right)):
                if x[n, c, h, w] > best:
                    best, mask[n, c, i, j] = x[n, c, h, w], h * width + w
            out[n, c, i, j] = best
        elif how == "AVE":
            with np.errstate(all="ignore"):
                out[n, c, i, j] = np.float64(window.sum()) / area
        else:
            out[n, c, i, j] = (window**2).sum() / (np.finfo(np.float32).tiny + window.sum())
    return out, mask


def poolings():
    shapes = [(7, 7), (8, 6), (6, 9), (5, 5)]
    windows = [((3, 3), (2, 2), (0, 0)), ((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((2, 3), (3, 2), (1, 0)), ((3, 2), (1, 2), (1, 1)), ((1, 1), (2, 2), (0, 0)), ((2, 2), (4, 4), (0, 0)), ((4, 4), (3, 3), (2, 2)), ((5, 5), (1, 1), (2, 2))]
    for (height, width), (kernel, stride, pad) in itertools.product(shapes, windows):
        x = rand(2, 3, height, width)
        if height + 2 * pad[0] < kernel[0] or width + 2 * pad[1] < kernel[1]:
            continue
        sizes = f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]} pad_h: {pad[0]} pad_w: {pad[1]}"
        told = f"{height}x{width} {kernel} {stride} {pad}"
        values, mask = pool(x, kernel, stride, pad, "MAX")
        case(f"max {told}", layer("Pooling", f"pooling_param {{ {sizes} }}", tops=("y", "m")), {"x": x}, {"y": values, "m": mask})
        one(f"max alone {told}", "Pooling", f"pooling_param {{ {sizes} }}", x, values)
        one(f"ave {told}", "Pooling", f"pooling_param {{ pool: AVE {sizes} }}", x, pool(x, kernel, stride, pad, "AVE")[0])
        one(f"ave floor {told}", "Pooling", f"pooling_param {{ pool: AVE round_mode: FLOOR {sizes} }}", x, pool(x, kernel, stride, pad, "AVE", False)[0])
    x = np.abs(rand(2, 3, 7, 6))
    one("stochastic", "Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 }", x, pool(x, (3, 3), (2, 2), (0, 0), "STOCHASTIC")[0])
    one("global max", "Pooling", "pooling_param { pool: MAX global_pooling: true }", x, x.max((2, 3), keepdims=True))
    levels = []
    for level in range(3):
        bins = 2**level
        k = [math.ceil(n / bins) for n in (7, 6)]
        p = [(a * bins - n + 1) // 2 for a, n in zip(k, (7, 6), strict=True)]
        levels.append(pool(x, k, k, p, "AVE")[0].reshape(2, -1))
    one("spp", "SPP", "spp_param { pyramid_height: 3 pool: AVE }", x, np.concatenate(levels, 1))


def softplus(x):
    return np.logaddexp(0, x.astype(np.float64))


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def elements():
    x = rand(2, 5, 3, 4) * 3
    p = np.abs(x) + np.float32(0.1)
    for name, kind, settings, given, y in [
        ("relu", "ReLU", "", x, np.maximum(x, 0)),
        ("leaky", "ReLU", "relu_param { negative_slope: -0.3 }", x, np.where(x > 0, x, x * -0.3)),
        ("relu6", "ReLU6", "", x, x.clip(0, 6)),
        ("relu6 leaky", "ReLU6", "relu6_param { negative_slope: 0.1 threshold: 2 }", x, np.minimum(np.where(x > 0, x, 0.1 * x), 2)),
        ("elu", "ELU", "elu_param { alpha: 0.7 }", x, np.where(x > 0, x, 0.7 * np.expm1(x))),
        ("sigmoid", "Sigmoid", "", x, sigmoid(x)),
        ("tanh", "TanH", "", x, np.tanh(x)),
        ("abs", "AbsVal", "", x, np.abs(x)),
        ("bnll", "BNLL", "", x * 30, softplus(x * 30)),
        ("threshold", "Threshold", "threshold_param { threshold: -0.5 }", x, (x > -0.5) * 1.0),
        ("clip", "Clip", "clip_param { min: -1 max: 0.5 }", x, x.clip(-1, 0.5)),
        ("swish", "Swish", "swish_param { beta: 1.5 }", x, x * sigmoid(1.5 * x)),
        ("mish", "Mish", "", x, x * np.tanh(softplus(x))),
        ("hard swish", "HardSwish", "", x, x * (x / 6 + 0.5).clip(0, 1)),
        ("hard sigmoid", "HardSigmoid", "hardsigmoid_param { alpha: 0.3 }", x, (x * 0.3 + 0.5).clip(0, 1)),
        ("power", "Power", "power_param { power: 3 scale: -2 shift: 1 }", x, (1 - 2 * x.astype(np.float64)) ** 3),
        ("power of nothing", "Power", "power_param { power: 0 }", x, np.ones_like(x)),
        ("power of a shift", "Power", "power_param { power: 2 scale: 0 shift: 3 }", x, np.full_like(x, 9)),
        ("exp", "Exp", "", x, np.exp(x)),
        ("exp base 3", "Exp", "exp_param { base: 3 scale: -0.5 shift: 2 }", x, 3 ** (2 - 0.5 * x.astype(np.float64))),
        ("exp shift", "Exp", "exp_param { shift: 0.5 }", x, np.exp(0.5 + x)),
        ("log", "Log", "", p, np.log(p)),
        ("log base 2", "Log", "log_param { base: 2 scale: 3 shift: 1 }", p, np.log2(1 + 3 * p)),
        ("softmax", "Softmax", "", x, np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        ("softmax -1", "Softmax", "softmax_param { axis: -1 }", x, np.exp(x) / np.exp(x).sum(3, keepdims=True)),
        ("dropout", "Dropout", "dropout_param { dropout_ratio: 0.3 }", x, x),
    ]:
        one(name, kind, settings, given, y)
    for shape in [(5,), ()]:
        w = rand(*shape) if shape else np.float32([0.3]).reshape(())
        settings = "" if shape else "prelu_param { channel_shared: true }"
        one(f"prelu {shape}", "PReLU", settings, x, np.where(x > 0, x, x * w.reshape(-1, 1, 1)), [w])
    flat, w = rand(3, 5), rand(5)
    one("prelu of a matrix", "PReLU", "", flat, np.where(flat > 0, flat, flat * w), [w])


def joins():
    x, y, z = rand(2, 3, 4, 5), rand(2, 3, 4, 5), rand(2, 3, 4, 5)
    three = {"x": x, "u": y, "v": z}
    names = ("x", "u", "v")
    for operation, expected in [("PROD", x * y * z), ("SUM", x + y + z), ("MAX", np.maximum(np.maximum(x, y), z))]:
        case(f"eltwise {operation}", layer("Eltwise", f"eltwise_param {{ operation: {operation} }}", names), three, {"y": expected})
    case("coefficients", layer("Eltwise", "eltwise_param { coeff: 1 coeff: -1 coeff: 0.25 }", names), three, {"y": x - y + 0.25 * z})
    case("concat old", layer("Concat", "concat_param { concat_dim: 2 }", names), three, {"y": np.concatenate([x, y, z], 2)})
    case("concat of one", layer("Concat"), {"x": x}, {"y": x})
    a, b, c = x[:, :, :1], x[:, :, 1:3], x[:, :, 3:]
    case("slice points", layer("Slice", "slice_param { axis: -2 slice_point: 1 slice_point: 3 }", tops=("a", "b", "c")), {"x": x}, {"a": a, "b": b, "c": c})
    case("slice equally", layer("Slice", "slice_param { slice_dim: 1 }", tops=("a", "b", "c")), {"x": x}, {"a": x[:, :1], "b": x[:, 1:2], "c": x[:, 2:]})
    case("split", layer("Split", tops=("a", "b")), {"x": x}, {"a": x, "b": x})
    s = rand(2, 3, 1, 1)
    case("axpy", layer("Axpy", "", ("s", "x", "u")), {"s": s, "x": x, "u": y}, {"y": s * x + y})
    w, b = rand(3), rand(3)
    case("scale", layer("Scale", "scale_param { bias_term: true }"), {"x": x}, {"y": x * w[:, None, None] + b[:, None, None]}, {"l": [w, b]})
    w = rand(3, 4)
    case("scale of two axes", layer("Scale", "scale_param { num_axes: 2 }"), {"x": x}, {"y": x * w[:, :, None]}, {"l": [w]})
    w = rand(4, 5)
    case("scale to the end", layer("Scale", "scale_param { axis: 2 num_axes: -1 }"), {"x": x}, {"y": x * w}, {"l": [w]})
    w, b = rand(2, 3), rand(2, 3)
    case("scale by a bottom", layer("Scale", "scale_param { axis: 0 bias_term: true }", ("x", "w")), {"x": x, "w": w}, {"y": x * w[:, :, None, None] + b[:, :, None, None]}, {"l": [b]})
    case("bias by a bottom", layer("Bias", "bias_param { axis: 2 }", ("x", "w")), {"x": x, "w": rand(4)}, None)
    CASES[-1] = (*CASES[-1][:3], {"y": x + CASES[-1][2]["w"][:, None]}, {}, ())
    b = rand(5)
    case("bias", layer("Bias", "bias_param { axis: -1 }"), {"x": x}, {"y": x + b}, {"l": [b]})
    small = rand(2, 3, 2, 2)
    case("crop", layer("Crop", "crop_param { axis: 2 offset: 1 offset: 3 }", ("x", "s")), {"x": x, "s": small}, {"y": x[:, :, 1:3, 3:5]})
    case("crop by one offset", layer("Crop", "crop_param { offset: 1 }", ("x", "s")), {"x": x, "s": small}, {"y": x[:, :, 1:3, 1:3]})
    one("tile", "Tile", "tile_param { axis: 2 tiles: 3 }", x, np.concatenate([x, x, x], 2))
    index = np.float32([2, 0, 0])
    items = rand(3, 2, 2)
    case("batch reindex", layer("BatchReindex", "", ("x", "i")), {"x": items, "i": index}, {"y": items[[2, 0, 0]]})
    chosen = np.float32([0, 1, 1])
    case("filter", layer("Filter", "", ("x", "i")), {"x": items, "i": chosen}, {"y": items[1:]})


def arranged():
    x = rand(2, 8, 4, 6)
    one("flatten", "Flatten", "flatten_param { axis: -3 end_axis: 2 }", x, x.reshape(2, 32, 6))
    one("reshape in the middle", "Reshape", "reshape_param { shape { dim: 4 dim: -1 } axis: 1 num_axes: 2 }", x, x.reshape(2, 4, 8, 6))
    one("reshape by insertion", "Reshape", "reshape_param { shape { dim: 1 } axis: 1 num_axes: 0 }", x, x.reshape(2, 1, 8, 4, 6))
    one("permute", "Permute", "permute_param { order: 2 order: 0 }", x, x.transpose(2, 0, 1, 3))
    out = np.zeros((2, 32, 2, 3), np.float32).reshape(-1)
    flat, s, (c, h, w) = x.reshape(-1), 2, x.shape[1:]
    for b, k, j, i in itertools.product(range(2), range(c), range(h), range(w)):
        c2, offset = k % (c // s**2), k // (c // s**2)
        there = (i * s + offset % s) + w * s * ((j * s + offset // s) + h * s * (c2 + (c // s**2) * b))
        out[i + w * (j + h * (k + c * b))] = flat[there]
    one("reorg", "Reorg", "reorg_param { stride: 2 }", x, out.reshape(2, 32, 2, 3))
    back = x.reshape(2, 2, 2, 2, 4, 6).transpose(0, 3, 4, 1, 5, 2).reshape(2, 2, 8, 12)
    one("reorg back", "Reorg", "reorg_param { stride: 2 reverse: true }", x, back)
    one("shuffle", "ShuffleChannel", "shuffle_channel_param { group: 4 }", x, x[:, [g * 2 + i for i in range(2) for g in range(4)]])
    y = x.reshape(2, 2, 2, 2, 4, 6).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 8, 12)
    one("pixel shuffle", "PixelShuffle", "pixelshuffle_param { upscale_factor: 2 }", x, y)
    one("upsample", "Upsample", "upsample_param { scale: 3 }", x, x.repeat(3, 2).repeat(3, 3))
    p = rand(2, 3, 6, 8)
    values, mask = pool(p, (2, 2), (2, 2), (0, 0), "MAX")
    y = np.zeros((2, 3, 48))
    np.put_along_axis(y, mask.astype(int).reshape(2, 3, -1), values.reshape(2, 3, -1), 2)
    case("unpooled", layer("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", ("x",), ("a", "m"), "p") + layer("Upsample", "upsample_param { scale: 2 }", ("a", "m")), {"x": p}, {"y": y.reshape(p.shape)})

    def bilinear(x, rows, columns):
        out = np.zeros((*x.shape[:2], rows, columns))
        for i, j in itertools.product(range(rows), range(columns)):
            h = i * (x.shape[2] - 1) / (rows - 1) if rows > 1 else 0.0
            w = j * (x.shape[3] - 1) / (columns - 1) if columns > 1 else 0.0
            a, b = int(h), int(w)
            u, v = h - a, w - b
            a1, b1 = min(a + 1, x.shape[2] - 1), min(b + 1, x.shape[3] - 1)
            out[:, :, i, j] = (1 - u) * ((1 - v) * x[:, :, a, b] + v * x[:, :, a, b1]) + u * ((1 - v) * x[:, :, a1, b] + v * x[:, :, a1, b1])
        return out

    one("interp", "Interp", "interp_param { height: 7 width: 9 }", x, bilinear(x, 7, 9))
    one("interp zoom", "Interp", "interp_param { zoom_factor: 3 }", x, bilinear(x, 10, 16))
    one("interp shrink", "Interp", "interp_param { shrink_factor: 2 pad_end: -1 }", x, bilinear(x[:, :, :-1, :-1], 2, 3))


def normalized():
    x = rand(3, 4, 5, 6)
    mean, var, factor = rand(4), np.abs(rand(4)) * np.float32(5.9e7), np.float32([3.5])
    y = (x - (mean / 3.5)[:, None, None]) / np.sqrt(var.astype(np.float64) / 3.5 + 1e-3)[:, None, None]
    one("batchnorm", "BatchNorm", "batch_norm_param { eps: 0.001 }", x, y, [mean, var, factor])
    one("batchnorm, factor 0", "BatchNorm", "", x, x / np.sqrt(1e-5), [mean, var, np.float32([0])])
    centered = x - x.mean((0, 2, 3), keepdims=True)
    y = centered / np.sqrt((centered**2).mean((0, 2, 3), keepdims=True) + 1e-5)
    one("batchnorm by the batch", "BatchNorm", "batch_norm_param { use_global_stats: false }", x, y, [mean, var, factor])
    flat = rand(3, 4)
    one("batchnorm of a matrix", "BatchNorm", "", flat, (flat - mean / 3.5) / np.sqrt(var / 3.5 + 1e-5), [mean, var, factor])
    for size, alpha, beta, k in [(5, 1.0, 0.75, 1.0), (3, 0.4, 0.5, 2.0), (1, 2.0, 1.0, 1.5)]:
        sums = np.zeros_like(x, dtype=np.float64)
        for c in range(4):
            sums[:, c] = (x[:, max(0, c - size // 2) : c + size // 2 + 1].astype(np.float64) ** 2).sum(1)
        settings = f"lrn_param {{ local_size: {size} alpha: {alpha} beta: {beta} k: {k} }}"
        one(f"lrn {size}", "LRN", settings, x, x * (k + alpha / size * sums) ** -beta)
        mean_square = pool(x**2, (size, size), (1, 1), (size // 2, size // 2), "AVE")[0]
        settings = f"lrn_param {{ local_size: {size} alpha: {alpha} beta: {beta} k: {k} norm_region: WITHIN_CHANNEL }}"
        one(f"lrn within {size}", "LRN", settings, x, x * (1 + alpha * mean_square) ** -beta)
    for across, variance in itertools.product([False, True], repeat=2):
        axes = (1, 2, 3) if across else (2, 3)
        y = x - x.mean(axes, keepdims=True)
        if variance:
            y = y / (np.sqrt((y.astype(np.float64) ** 2).mean(axes, keepdims=True)) + 0.5)
        settings = f"mvn_param {{ across_channels: {str(across).lower()} normalize_variance: {str(variance).lower()} eps: 0.5 }}"
        one(f"mvn {across} {variance}", "MVN", settings, x, y)
    for across, shared in itertools.product([False, True], repeat=2):
        w = np.float32([1.7]).reshape(()) if shared else rand(4)
        length = np.sqrt((x.astype(np.float64) ** 2).sum((1, 2, 3) if across else 1, keepdims=True) + 0.25)
        settings = f"norm_param {{ across_spatial: {str(across).lower()} channel_shared: {str(shared).lower()} eps: 0.25 }}"
        one(f"normalize {across} {shared}", "Normalize", settings, x, x / length * w.reshape(-1, 1, 1), [w])


def dense():
    x = rand(3, 4, 2, 5)
    w, b = rand(6, 40), rand(6)
    one("inner product", "InnerProduct", "inner_product_param { num_output: 6 }", x, x.reshape(3, -1) @ w.T + b, [w, b])
    one("inner product, old", "InnerProduct", "inner_product_param { num_output: 6 }", x, x.reshape(3, -1) @ w.T + b, [w.reshape(1, 1, 6, 40), b.reshape(1, 1, 1, 6)])
    one("transposed", "InnerProduct", "inner_product_param { num_output: 6 transpose: true bias_term: false }", x, x.reshape(3, -1) @ w.T, [np.ascontiguousarray(w.T)])
    w = rand(6, 10)
    one("from axis 2", "InnerProduct", "inner_product_param { num_output: 6 axis: -2 }", x, x.reshape(3, 4, 10) @ w.T + b, [w, b])
    table, b = rand(9, 4), rand(4)
    index = np.float32([[0, 8, 3], [5, 5, 1]])
    one("embed", "Embed", "embed_param { input_dim: 9 num_output: 4 }", index, table[index.astype(int)] + b, [table, b])
    for operation, f in [("SUM", np.sum), ("ASUM", lambda v, a: np.abs(v).sum(a)), ("SUMSQ", lambda v, a: (v**2).sum(a)), ("MEAN", np.mean)]:
        for axis in (0, 1, -1):
            axes = tuple(range(axis % 4, 4))
            settings = f"reduction_param {{ operation: {operation} axis: {axis} coeff: -0.5 }}"
            one(f"reduction {operation} {axis}", "Reduction", settings, x, np.asarray(-0.5 * f(x.astype(np.float64), axes)))
    for k, axis, values in itertools.product([1, 3], [None, 1, -1], [False, True]):
        ties = np.round(rand(3, 4, 2, 5) * 2).astype(np.float32)
        flat = ties.reshape(3, -1) if axis is None else np.moveaxis(ties, axis, -1)
        order = np.array([sorted(range(len(row)), key=lambda i: (row[i], i), reverse=True)[:k] for row in flat.reshape(-1, flat.shape[-1])])
        best = np.take_along_axis(flat.reshape(-1, flat.shape[-1]), order, 1)
        if axis is None:
            y = np.stack([order, best], 1)[..., None] if values else order[:, None, :, None]
        else:
            y = np.moveaxis((best if values else order).reshape(*flat.shape[:-1], k), -1, axis)
        settings = f"argmax_param {{ top_k: {k} out_max_val: {str(values).lower()} {'' if axis is None else f'axis: {axis}'} }}"
        one(f"argmax {k} {axis} {values}", "ArgMax", settings, ties, y)


def detections():
    features, image = rand(1, 2, 3, 4), rand(1, 3, 30, 50)
    least, most, ratios = [10, 17], [20, 31], [1.0, 2.0, 0.5, 1 / 3]
    boxes = []
    for h, w in itertools.product(range(3), range(4)):
        cx, cy = (w + 0.5) * 50 / 4, (h + 0.5) * 30 / 3
        for a, b in zip(least, most, strict=True):
            for bw, bh in [(a, a), (math.sqrt(a * b),) * 2, *((a * math.sqrt(r), a / math.sqrt(r)) for r in (2.0, 0.5, 1 / 3, 3.0))]:
                boxes.append([(cx - bw / 2) / 50, (cy - bh / 2) / 30, (cx + bw / 2) / 50, (cy + bh / 2) / 30])
    told = " ".join([f"min_size: {s}" for s in least] + [f"max_size: {s}" for s in most] + [f"aspect_ratio: {r}" for r in ratios])
    boxes = np.clip(np.array(boxes), 0, 1)
    expected = np.stack([boxes.reshape(-1), np.tile([0.1, 0.1, 0.2, 0.2], len(boxes))])[None]
    settings = f"prior_box_param {{ {told} flip: true clip: true variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }}"
    case("prior boxes", layer("PriorBox", settings, ("x", "i")), {"x": features, "i": image}, {"y": expected})
    for share, code, batch, keep, encoded in itertools.product([True, False], ["CORNER", "CENTER_SIZE", "CORNER_SIZE"], [1, 2], [-1, 7], [False, True]):
        found(share, code, batch, keep, encoded)
    found(True, "CENTER_SIZE", 2, -1, False, confidence=0.99999)


def found(share, code, batch, keep, encoded, confidence=0.2):
    priors, classes, background, top_k = 40, 4, 1, 12
    low = random.random((priors, 2)) * 0.7
    prior = np.concatenate([low, low + 0.1 + 0.2 * random.random((priors, 2))], 1)
    variance = np.tile([0.1, 0.1, 0.2, 0.2], (priors, 1))
    given = np.stack([prior.reshape(-1), variance.reshape(-1)])[None].astype(np.float32)
    sets = 1 if share else classes
    loc = (rand(batch, priors, sets, 4) * (0.05 if encoded else 0.3)).astype(np.float32)
    conf = random.dirichlet([0.5] * classes, (batch, priors)).astype(np.float32)
    p, v = prior[:, None], (1 if encoded else variance[:, None])
    size = np.concatenate([p[..., 2:] - p[..., :2]] * 2, -1)
    rows = []
    for i in range(batch):
        l = loc[i] * v
        if code == "CORNER":
            decoded = p + l
        elif code == "CORNER_SIZE":
            decoded = p + l * size
        else:
            center = l[..., :2] * size[..., :2] + (p[..., :2] + p[..., 2:]) / 2
            half = np.exp(l[..., 2:]) * size[..., :2] / 2
            decoded = np.concatenate([center - half, center + half], -1)
        kept = []
        for c in range(classes):
            if c == background:
                continue
            b = decoded[:, 0 if share else c]
            order = [j for j in np.argsort(-conf[i, :, c], kind="stable") if conf[i, j, c] > confidence][:top_k]
            mine = []
            for j in order:
                if all(overlap(b[j], b[m]) <= 0.45 for m in mine):
                    mine.append(j)
            kept += [(conf[i, j, c], c, j, b[j]) for j in mine]
        if -1 < keep < len(kept):
            best = sorted(kept, key=lambda row: -row[0])[:keep]
            kept = [row for c in range(classes) for row in best if row[1] == c]
        rows += [[i, c, s, *b] for s, c, _, b in kept]
    rows = rows or [[i, *[-1] * 6] for i in range(batch)]
    settings = (
        f"detection_output_param {{ num_classes: {classes} share_location: {str(share).lower()} background_label_id: {background} "
        f"nms_param {{ nms_threshold: 0.45 top_k: {top_k} }} code_type: {code} keep_top_k: {keep} confidence_threshold: {confidence} "
        f"variance_encoded_in_target: {str(encoded).lower()} }}"
    )
    inputs = {"l": loc.reshape(batch, -1), "c": conf.reshape(batch, -1), "p": given}
    case(f"detections {share} {code} {batch} {keep} {encoded} {confidence}", layer("DetectionOutput", settings, ("l", "c", "p"), name="d"), inputs, {"y": np.array(rows, np.float64)[None, None]})


def overlap(a, b):
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    if (sides <= 0).any():
        return 0.0
    area = lambda c: (c[2] - c[0]) * (c[3] - c[1])
    return sides.prod() / (area(a) + area(b) - sides.prod())


def sources():
    x = rand(2, 3)
    text = 'layer { name: "d" type: "DummyData" top: "c" dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 1.5 } } }\n'
    case("dummy data", text + layer("Eltwise", "", ("x", "c")), {"x": x}, {"y": x + 1.5})
    w = rand(2, 3)
    text = 'layer { name: "p" type: "Parameter" top: "c" parameter_param { shape { dim: 2 dim: 3 } } }\n'
    case("parameter", text + layer("Eltwise", "", ("x", "c")), {"x": x}, {"y": x + w, "c": w}, {"p": [w]})
    text = layer("ReLU", "", ("x",), ("a b/ü.c",), "ä/1 .") + layer("Power", "power_param { scale: 2 }", ("a b/ü.c",), ("a b/ü.c",), "zwei") + layer("AbsVal", "", ("a b/ü.c",))
    relu = np.maximum(x, 0)
    case("names, in place", text, {"x": x}, {"a b/ü.c@ä/1 .": relu, "a b/ü.c": 2 * relu, "y": 2 * relu})
    text = (
        layer("Power", "power_param { scale: 3 } include { phase: TRAIN }", name="a")
        + layer("Power", 'power_param { scale: 4 } include { phase: TEST stage: "deep" }', name="b")
        + layer("Power", 'power_param { scale: 5 } exclude { stage: "deep" } ', name="c")
        + layer("Power", "power_param { scale: 6 } include { min_level: 1 }", tops=("z",), name="e")
    )
    case("stages: none", text, {"x": x}, {"y": 5 * x})
    case("stages: deep", text, {"x": x}, {"y": 4 * x, "z": 6 * x}, {}, ("--stage", "deep", "--level", "1"))
    image = rand(1, 3, 4, 5) * 50
    mean = np.float32([104, 117, 123])[:, None, None]
    case("preprocessed", layer("Power"), {"x": image}, {"y": (image[:, ::-1] - mean) * 0.017}, {}, ("--preprocess", "mean=104,117,123", "--preprocess", "scale=0.017", "--preprocess", "rgb"))


def write(folder, body, inputs, blobs):
    text = "".join(f'input: "{n}" input_shape {{ {" ".join(f"dim: {d}" for d in a.shape)} }}\n' for n, a in inputs.items())
    (folder / "net.prototxt").write_text(text + body)
    net = Net(name="one")
    for name, arrays in blobs.items():
        stored = net.layer.add(name=name, type="")
        for array in arrays:
            blob = stored.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(np.ravel(array).tolist())
    if not blobs:
        net.layer.add(name="nothing", type="Silence")
    (folder / "net.caffemodel").write_bytes(net.SerializeToString())


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("--only")
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    for cases in (convolutions, poolings, elements, joins, arranged, normalized, dense, detections, sources):
        cases()
    failed = count = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, body, inputs, expected, blobs, flags in CASES:
            if args.only and args.only not in title:
                continue
            count += 1
            write(folder, body, inputs, blobs)
            command = [str(binary), "convert", "net.prototxt", "net.caffemodel", "-o", "net.onnx", "--force", "--json", *flags]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
            if done.returncode:
                failed += 1
                print(f"{title}: {done.stderr.strip()}", file=sys.stderr)
                continue
            json.loads(done.stdout)
            try:
                values = run(folder / "net.onnx", inputs)
            except Exception as error:
                failed += 1
                print(f"{title}: {type(error).__name__}: {str(error)[:500]}", file=sys.stderr)
                continue
            wrong = [
                f"{top} {'missing' if top not in values else f'{values[top].shape} {y.shape} by {distance(values[top], y):.1e}'}"
                for top, y in expected.items()
                if top not in values or not distance(values[top], y) <= BOUND
            ]
            if wrong:
                failed += 1
                print(f"{title}: {'; '.join(wrong)}", file=sys.stderr)
    print(f"{count} layers of Caffe's: {failed} wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
