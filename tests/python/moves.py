"""Every corpus model through every writer: read back by weigh with equal hashes, and by the real framework."""

import argparse
import hashlib
import io
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import caffe_net
import gguf
import numpy as np
import torch
import weigh
from safetensors import safe_open

CORPUS = weigh.ROOT / "tests" / "corpus"
ELSEWHERE = ("hostile",)
# What is written: the file's extension, and the variant that `--to` asks for.
TARGETS = (
    ("safetensors", None),
    ("pth", None),
    ("pth", "pytorch:legacy"),
    ("npz", None),
    ("wts", None),
    ("wts", "wts:nvidia"),
    ("gguf", None),
    ("caffemodel", None),
)
# What may be said of a model that a format cannot carry.
REFUSALS = ("cannot carry these tensors", "no tensor is left to write", "this model has none of")


def load(path):
    """The file by its own framework: name -> shape, and the sha256 of values where the framework gives them."""
    match path.suffix:
        case ".safetensors":
            with safe_open(path, "np") as file:
                return {key: (tuple(file.get_slice(key).get_shape()), None) for key in file.keys()}
        case ".npz":
            with np.load(path) as arrays:
                return {key: (arrays[key].shape, digest(arrays[key])) for key in arrays.files}
        case ".gguf":
            return {t.name: (shape_of_gguf(t), digest(t.data)) for t in gguf.GGUFReader(path).tensors}
        case ".caffemodel":
            blobs = caffe_net.blobs(caffe_net.parse(path.read_bytes()))
            return {name: (array.shape, digest(array)) for name, array in blobs}
        case ".wts":
            return {name: (None, digest(array)) for name, array in nvidia(path)}
    return {name: of_torch(tensor) for name, tensor in torch.load(path, weights_only=True).items()}


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def shape_of_gguf(tensor):
    """Dimensions the other way round. What gguf-py says of a tensor without any is one."""
    return tuple(int(n) for n in reversed(tensor.shape))


def of_torch(tensor):
    # A pair of F4 is one element to torch.
    if tensor.dtype == torch.float4_e2m1fn_x2:
        return (*tensor.shape[:-1], tensor.shape[-1] * 2), None
    codes = tensor.int_repr() if tensor.is_quantized else tensor
    raw = codes.contiguous().reshape(-1).view(torch.uint8).numpy() if codes.numel() else np.empty(0)
    return tuple(tensor.shape), digest(raw)


def nvidia(path):
    """The form of NVIDIA's samples, read as their loader does."""
    lines = path.read_text().split("\n")
    for line in lines[1 : int(lines[0]) + 1]:
        name, kind, count, *words = line.split()
        assert int(count) == len(words), line[:80]
        yield name, np.array([int(word, 16) for word in words], "<u2" if kind == "1" else "<u4")


def convert(binary, source, target, *flags):
    command = [str(binary), "convert", str(source), "-o", str(target), "--json", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def by_name(binary, path):
    return {t["name"]: t for t in weigh.run(binary, "ls", path, "--json", "--hash", "--all")["tensors"]}


def check(binary, source, before, target, variant):
    """Yields what is wrong with a move; a refusal is fine where it names tensors."""
    run = convert(binary, source, target, "--all", *(("--to", variant) if variant else ()))
    if run.returncode == 2:
        errors = [line for line in run.stderr.splitlines() if line.startswith("error:")]
        if target.exists() or not any(reason in error for error in errors for reason in REFUSALS):
            yield f"a bad refusal: {run.stderr[:200]!r}"
        return
    if run.returncode != 0:
        yield f"exit {run.returncode}: {run.stderr[:200]!r}"
        return
    account = json.loads(run.stdout)
    after = by_name(binary, target)
    for name in account["kept"]:
        same_shape = before[name]["shape"] == after[name]["shape"] or target.suffix == ".wts"
        if before[name].get("sha256") != after[name].get("sha256") or not same_shape:
            yield f"'{name}' was told to be kept and is not equal"
    told = set(account["kept"]) | {c["tensor"] for c in account["changed"]}
    if variant == "wts:nvidia":
        told = {name.replace("/", "_") for name in told}
    made = {c["tensor"] for c in account["added"]}
    if not told <= set(after) <= told | made:
        yield f"the account and the file differ in {sorted(told ^ set(after))[:5]}"
    if target.suffix == ".wts" and not variant:
        # It has no framework of its own: `usual()` is what people's script writes.
        if not same_text(target.read_bytes(), usual(binary, source)):
            yield "the usual script writes other bytes"
        return
    loaded = load(target)
    if target.suffix != ".wts" and {n: s for n, (s, _) in loaded.items()} != {
        n: tuple(t["shape"]) for n, t in after.items()
    }:
        yield "the framework reads other names or shapes"
    for name, (_, values) in loaded.items():
        if values and values != after[name]["sha256"]:
            yield f"the framework reads other values of '{name}'"


def usual(binary, source):
    """What the usual script writes of the same tensors, which come from weigh as .npz."""
    with tempfile.TemporaryDirectory(prefix="weigh-moves-") as scratch:
        arrays = Path(scratch) / "all.npz"
        run = convert(binary, source, arrays, "--all")
        if run.returncode:
            return None
        out = io.BytesIO()
        with np.load(arrays) as loaded:
            out.write(f"{len(loaded.files)}\n".encode())
            for name in loaded.files:
                flat = loaded[name].reshape(-1)
                out.write(f"{name} {len(flat)} ".encode())
                for value in flat:
                    out.write(b" " + struct.pack(">f", float(value)).hex().encode())
                out.write(b"\n")
        return out.getvalue()


def same_text(ours, usual):
    """Whether two texts are equal but for bits of NaN, which Python's own floats do not keep."""
    if ours == usual or usual is None:
        return ours == usual
    is_nan = lambda word: len(word) == 8 and int(word, 16) & 0x7FFFFFFF > 0x7F800000
    pairs = zip(ours.split(), usual.split(), strict=True)
    return len(ours) == len(usual) and all(a == b or is_nan(a) and is_nan(b) for a, b in pairs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    sources = sorted(
        f.with_name(f.name.removesuffix(".truth.json"))
        for f in CORPUS.rglob("*.truth.json")
        if f.relative_to(CORPUS).parts[0] not in ELSEWHERE
    )
    failures, written = 0, dict.fromkeys(TARGETS, 0)
    with tempfile.TemporaryDirectory(prefix="weigh-moves-") as scratch:
        for source in sources:
            before = by_name(binary, source)
            for extension, variant in TARGETS:
                target = Path(scratch) / f"moved.{extension}"
                for left in Path(scratch).iterdir():
                    left.unlink()
                for problem in check(binary, source, before, target, variant):
                    failures += 1
                    print(f"FAIL {source.relative_to(CORPUS)} -> {variant or extension}: {problem}")
                written[extension, variant] += target.exists()
    for (extension, variant), count in written.items():
        print(f"{variant or extension}: {count} written, {len(sources) - count} refused")
    print(f"{len(sources) * len(TARGETS)} moves, {failures} failures")
    sys.exit(failures > 0 or 0 in written.values())


if __name__ == "__main__":
    main()
