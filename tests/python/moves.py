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

import numpy as np
import torch
import weigh
from safetensors import safe_open

CORPUS = weigh.ROOT / "tests" / "corpus"
ELSEWHERE = ("hostile",)
TARGETS = ("safetensors", "pth", "npz", "wts")


def load(path):
    """The file by its own framework: name -> shape."""
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {key: arrays[key].shape for key in arrays.files}
    state = torch.load(path, weights_only=True, mmap=True)
    # A pair of F4 is one element to torch.
    double = torch.float4_e2m1fn_x2
    return {k: (*t.shape[:-1], t.shape[-1] * 2) if t.dtype == double else tuple(t.shape) for k, t in state.items()}


def convert(binary, source, target, *flags):
    command = [str(binary), "convert", str(source), "-o", str(target), "--json", *flags]
    return subprocess.run(command, capture_output=True, text=True)


def by_name(binary, path):
    return {t["name"]: t for t in weigh.run(binary, "ls", path, "--json", "--hash", "--all")["tensors"]}


def check(binary, source, target):
    """Yields what is wrong with a move; a refusal is fine where it names tensors."""
    run = convert(binary, source, target, "--all")
    if run.returncode == 2:
        lines = run.stderr.splitlines()
        if "panicked" in run.stderr or not any(line.startswith("error:") for line in lines) or target.exists():
            yield f"a bad refusal: {run.stderr[:200]!r}"
        return
    if run.returncode != 0:
        yield f"exit {run.returncode}: {run.stderr[:200]!r}"
        return
    account = json.loads(run.stdout)
    before, after = by_name(binary, source), by_name(binary, target)
    for name in account["kept"]:
        same_shape = before[name]["shape"] == after[name]["shape"] or target.suffix == ".wts"
        if before[name].get("sha256") != after[name].get("sha256") or not same_shape:
            yield f"'{name}' was told to be kept and is not equal"
    told = set(account["kept"]) | {c["tensor"] for c in account["changed"]}
    if told != set(after):
        yield f"the account and the file differ in {sorted(told ^ set(after))[:5]}"
    if target.suffix == ".wts":
        # It has no framework of its own: `usual()` is what people's script writes.
        if target.read_bytes() != usual(binary, source):
            yield "the usual script writes other bytes"
        return
    shapes = load(target)
    if shapes != {name: tuple(t["shape"]) for name, t in after.items()}:
        yield "the framework reads other names or shapes"
    if target.suffix == ".pth":
        values = torch.load(target, weights_only=True)
        for name in account["kept"]:
            tensor = values[name]
            if tensor.dtype in (torch.float32, torch.float16, torch.int64) and tensor.numel():
                if hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest() != after[name]["sha256"]:
                    yield f"torch reads other values of '{name}'"


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
    moves, failures, refusals = 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="weigh-moves-") as scratch:
        for source in sources:
            for extension in TARGETS:
                target = Path(scratch) / f"moved.{extension}"
                target.unlink(missing_ok=True)
                moves += 1
                for problem in check(binary, source, target):
                    failures += 1
                    print(f"FAIL {source.relative_to(CORPUS)} -> {extension}: {problem}")
                refusals += not target.exists()
    print(f"{moves} moves, {refusals} of them refused, {failures} failures")
    sys.exit(failures > 0 or moves == refusals)


if __name__ == "__main__":
    main()
