"""Runs `weigh ls` and `weigh stats` over every file that has a NAME.truth.json beside it, and compares exactly."""

import argparse
import fnmatch
import hashlib
import json
import math
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import weigh

CORPUS = weigh.ROOT / "tests" / "corpus"
FAMILIES = (
    "pytorch", "safetensors", "onnx", "caffe", "tflite", "numpy", "keras", "wts", "gguf", "tensorflow", "tensorrt",
)  # fmt: skip
# Files that are no models.
ELSEWHERE = ("hostile",)

# (file, tensor, figure): why weigh differs there. Patterns; one that nothing needs is a failure of its own.
EXCEPTIONS: dict[tuple[str, str, str], str] = {}

# Truth from elsewhere spells types as its framework does.
DTYPES = {
    "float64": "F64", "double": "F64", "float32": "F32", "float": "F32", "float16": "F16", "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3", "float8e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0", "float8e8m0": "F8_E8M0", "float4e2m1": "F4",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "int4": "I4", "int2": "I2",
    "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "uint4": "U4", "uint2": "U2",
    "qint8": "I8", "quint8": "U8", "qint32": "I32", "bool": "BOOL", "string": "STRING",
    "complex32": "C32", "complex64": "C64", "complex128": "C128",
}  # fmt: skip
FIGURES = {"nans": "nan", "infs": "inf", "zeros": "zero"}
PLAIN = (*DTYPES.values(),)
EXACT = ("nan", "inf", "zero", "min", "max", "abs_min", "abs_min_nonzero", "abs_max")


def normal(entry):
    """An entry with its figures beside its name, under the names of weigh's JSON."""
    figures = entry.get("stats", {})
    flat = {k: v for k, v in entry.items() if k != "stats"} | {FIGURES.get(k, k): v for k, v in figures.items()}
    flat["dtype"] = DTYPES.get(flat["dtype"].lower(), flat["dtype"])
    # NumPy counts the bits of its text: str64, bytes40.
    if flat["dtype"].rstrip("0123456789") in ("str", "bytes"):
        flat["dtype"] = "STRING"
    flat["count"] = math.prod(flat["shape"])
    return flat


def by_name(tensors):
    """Tensors by name, in file order where a name comes twice."""
    found = defaultdict(list)
    for tensor in tensors:
        found[tensor["name"]].append(tensor)
    return found


def pairs(truth, found, command):
    """Yields (truth, what weigh found) for tensors of one name, and a message where there is no partner."""
    ours, theirs = by_name(found), by_name(truth)
    for name in theirs.keys() | ours.keys():
        want, have = theirs.get(name, []), ours.get(name, [])
        if len(want) != len(have):
            yield name, None, f"{command}: {len(have)} tensors of this name, not {len(want)}"
        else:
            yield from ((t, o, None) for t, o in zip(want, have, strict=True))


def by_layer(tensors, metadata):
    """Caffe knows blobs by layer and order: those of its layers, renamed so."""
    layers = [*metadata.get("layers", []), *metadata.get("unused", [])]
    blobs = [(blob["tensor"], f"{la['name']}/{i}") for la in layers for i, blob in enumerate(la.get("blobs", []))]
    return [{**tensor, "name": dict(blobs).get(tensor["name"], tensor["name"])} for tensor in tensors]


def layers_differ(truth, layers):
    """Yields (layer, figure, message) for layers whose name, type or number of blobs is another."""
    want = [(layer["name"], layer["type"], layer["blobs"]) for layer in truth]
    have = [(layer["name"], layer["type"], len(layer.get("blobs", []))) for layer in layers]
    for i, layer in enumerate(want):
        if layer not in have[i : i + 1]:
            yield layer[0], "layers", f"layer {i} is {have[i : i + 1]}, not {layer}"
    if len(have) != len(want):
        yield "", "layers", f"{len(have)} layers, not {len(want)}"


def compare(truth, listed, measured):
    """Yields (tensor, figure, message) for all that differs."""
    for t, ours, problem in pairs(truth, listed, "ls"):
        if problem:
            yield t, "names", problem
            continue
        for key in ("dtype", "shape", "sha256"):
            if t.get(key) is not None and t[key] != ours.get(key):
                yield t["name"], key, f"{key} is {ours.get(key)}, not {t[key]}"
    for t, ours, problem in pairs(truth, measured, "stats"):
        if problem:
            yield t, "names", problem
            continue
        for key, message in figures(t, ours):
            yield t["name"], key, message


def figures(t, ours):
    if t["count"] != ours.get("count"):
        yield "count", f"count is {ours.get('count')}, not {t['count']}"
    for key in EXACT:
        if key in t and t[key] != ours.get(key):
            yield key, f"{key} is {ours.get(key)!r}, not {t[key]!r}"
    if t.get("mean") is not None:
        largest = t.get("abs_max", max(abs(t["min"]), abs(t["max"])))
        for key, scale in (("mean", t.get("abs_mean", largest)), ("std", max(t["std"], largest))):
            # Not `>`: a missing or NaN figure must fail too.
            have = ours.get(key)
            if have is None or not abs(have - t[key]) <= 1e-12 * scale:
                yield key, f"{key} is {have!r}, not {t[key]!r}"
    elif ours.get("mean") is not None and t["count"] == t.get("nan", 0) + t.get("inf", 0):
        yield "mean", f"mean is {ours['mean']!r} of nothing finite"
    if t.get("hist_torch") is not None:
        counts = (ours.get("histogram") or {}).get("counts")
        if counts != t["hist_torch"]:
            moved = [i for i, (a, b) in enumerate(zip(counts or [], t["hist_torch"])) if a != b]
            yield "histogram", f"histogram differs from torch.histc in bins {moved[:10] if counts else 'all'}"


def inputs(path, document):
    """What weigh is given for a case: the file; a folder's index too; Caffe's weights also with their net."""
    if path.is_dir():
        return [[path], *([index] for index in sorted(path.glob("*.index.json")))]
    net = path.with_name(document["prototxt"]) if "prototxt" in document else None
    return [[path]] if net is None else [[path], [path, net], [net, path]]


def check(binary, truth_file):
    """Yields (tensor, figure, message) for a case."""
    document = json.loads(truth_file.read_text())
    path = truth_file.with_name(truth_file.name.removesuffix(".truth.json"))
    everything = [normal(entry) for entry in document["tensors"]]
    state = [entry for entry in everything if entry.get("in_state_dict", True)]
    rounds = [(state, [])] + ([(everything, ["--all"])] if len(state) < len(everything) else [])
    for files in inputs(path, document):
        for truth, flags in rounds:
            try:
                listed = weigh.run(binary, "ls", *files, "--json", "--hash", *flags)
                measured = weigh.run(binary, "stats", *files, "--json", "--hist", *flags)
            except weigh.Failed as failed:
                yield "", "run", str(failed)
                continue
            if listed.get("schema") != 1 or measured.get("schema") != 1:
                yield "", "schema", "the JSON's schema is not 1"
            for key, value in document.get("metadata", {}).items():
                if listed["metadata"].get(key) != value:
                    yield "", "metadata", f"metadata {key!r} is {listed['metadata'].get(key)!r}, not {value!r}"
            if "layers" in document.get("graph", {}) and len(files) == 1:
                yield from layers_differ(document["graph"]["layers"], listed["metadata"]["layers"])
            if document.get("format") == "caffemodel":
                for found in (listed, measured):
                    found["tensors"] = by_layer(found["tensors"], listed["metadata"])
            yield from compare(truth, listed["tensors"], measured["tensors"])
        yield from blocks_differ(binary, files, everything)


def blocks_differ(binary, files, truth):
    """Yields (tensor, figure, message) for blocks whose values are not, to the bit, what the framework makes of them."""
    wanted = [t for t in truth if t.get("dequant_sha256") and t["dtype"] not in PLAIN]
    if not wanted:
        return
    with tempfile.TemporaryDirectory(prefix="weigh-cases-") as scratch:
        for t in wanted:
            path = Path(scratch) / "values.npy"
            try:
                weigh.run(binary, "show", *files, "-t", t["name"], "-o", path, "--force", silent=True)
            except weigh.Failed as failed:
                yield t["name"], "run", str(failed)
                continue
            # The header of version 1 has its length at byte 8.
            content = path.read_bytes()
            values = content[10 + int.from_bytes(content[8:10], "little") :]
            if hashlib.sha256(values).hexdigest() != t["dequant_sha256"]:
                yield t["name"], "values", "the dequantized values are others"


def excepted(case, tensor, figure):
    """The exception that allows a difference."""
    wanted = (case, tensor, figure)
    return next((e for e in EXCEPTIONS if all(map(fnmatch.fnmatchcase, wanted, e))), None)


def run(binary, folder, used=None):
    """Prints what fails below a folder; returns the number of cases and of failures."""
    used = set() if used is None else used
    files = sorted(f for f in folder.rglob("*.truth.json") if f.relative_to(folder).parts[0] not in ELSEWHERE)
    failures = 0
    with ThreadPoolExecutor(2) as pool:
        for file, found in zip(files, pool.map(lambda f: list(check(binary, f)), files)):
            case = str(file.relative_to(folder)).removesuffix(".truth.json")
            for tensor, figure, message in found:
                exception = excepted(case, tensor, figure)
                if exception:
                    used.add(exception)
                else:
                    failures += 1
                    print(f"FAIL {case}: {tensor + ': ' if tensor else ''}{message}")
    return files, failures


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="further folders of cases")
    parser.add_argument("--only", action="store_true", help="only these folders, not tests/corpus")
    weigh.add_argument(parser)
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    cases, failures, used = 0, 0, set()
    for folder in [*([] if args.only else [CORPUS]), *args.folders]:
        files, failed = run(binary, folder, used)
        cases, failures = cases + len(files), failures + failed
        if not files:
            failures += 1
            print(f"FAIL {folder}: no case in it")
        if folder == CORPUS:
            for family in FAMILIES:
                if not any(file.is_relative_to(CORPUS / family) for file in files):
                    failures += 1
                    print(f"FAIL no case of {family}")
    if not args.only:
        for exception in EXCEPTIONS.keys() - used:
            failures += 1
            print(f"FAIL the exception {exception} is no longer needed")
    for exception in used:
        print(f"excepted {exception}: {EXCEPTIONS[exception]}")
    print(f"{cases} cases, {failures} failures, {len(used)} exceptions")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
