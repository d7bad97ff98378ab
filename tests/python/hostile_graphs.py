"""Graphs that are wrong, absurd or huge: a clear error or a result, in time and memory in proportion to the file.

Those of `tests/generate/hostile_graphs.py`, and the hostile ONNX files of the corpus and of `--also FOLDER`.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import weigh
from hostile import spawn

sys.path.insert(0, str(weigh.ROOT / "tests" / "generate"))
import hostile_graphs as graphs  # noqa: E402

CORPUS = weigh.ROOT / "tests" / "corpus" / "hostile"
# Of a dev build, however small the file, and for each megabyte of it.
SECONDS, SECONDS_PER_MEGABYTE = 3.0, 1.5
MEGABYTES, MEGABYTES_PER_MEGABYTE = 150, 150
# Of running the model and its simplification, which a loop may make as long as it likes.
RUN_SECONDS, RUN_MEGABYTES = 2.0, 150
BOUNDS = ["--timeout", RUN_SECONDS, "--memory-limit", f"{RUN_MEGABYTES}MB"]
# Without being told, running takes no more than this of a model that has no weights.
USUAL_SECONDS, USUAL_MEGABYTES = 10, 2150
ENDLESS = ("loop_without_end", "loop_that_grows", "range_to_1e12", "one_hot_huge", "concat_doubling")


def commands(path, folder):
    """Command lines that take an ONNX file, with what a small file goes through besides."""
    out = folder / "out.onnx"
    yield "simplify", ["simplify", path, "-o", out, "--force", *BOUNDS]
    if path.stat().st_size < 1 << 20:
        yield "convert to F16", ["convert", path, "-o", folder / "half.onnx", "--precision", "f16", "--force"]
        yield "convert to Python", ["convert", path, "-o", folder / "net.py", "--force"]
        yield "check", ["check", path]
        yield "diff", ["diff", path, path]


def problems(binary, path, folder, must_refuse):
    megabytes = path.stat().st_size / (1 << 20)
    for name, command in commands(path, folder):
        code, _, err, seconds, peak = spawn([str(binary), *map(str, command)])
        last = (err.strip().splitlines() or [""])[-1][:200]
        if "panicked" in err or code not in (0, 1, 2):
            yield f"{name}: exit {code}: {err.strip()[:300]}"
        elif code == 1 and name == "simplify":
            yield f"{name}: {last}"
        elif code == 2 and "error" not in err:
            yield f"{name}: exit 2 without an error"
        elif name == "simplify" and must_refuse is not None and must_refuse != (code == 2):
            yield f"{name}: exit {code}: {last}"
        run = name == "simplify"
        if seconds > SECONDS + run * RUN_SECONDS + SECONDS_PER_MEGABYTE * megabytes:
            yield f"{name}: {seconds:.1f} s for {megabytes:.1f} MB"
        if peak > MEGABYTES + run * RUN_MEGABYTES + MEGABYTES_PER_MEGABYTE * megabytes:
            yield f"{name}: {peak:.0f} MB for {megabytes:.1f} MB"


def usual(binary, path, folder):
    """What simplify takes without being told how much it may."""
    out = folder / "out.onnx"
    code, _, err, seconds, peak = spawn([str(binary), "simplify", str(path), "-o", str(out), "--force"])
    if code != 0 or seconds > SECONDS + USUAL_SECONDS or peak > MEGABYTES + USUAL_MEGABYTES:
        yield f"simplify, unbounded: exit {code}, {seconds:.1f} s, {peak:.0f} MB: {err.strip()[-200:]}"


def write(name, path):
    path.write_bytes(graphs.build(name))


def files(also):
    for folder in [CORPUS, *also]:
        found = sorted(p for p in folder.iterdir() if "onnx" in p.name)
        assert found, f"no ONNX file in {folder}"
        yield from found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weigh", required=True, type=Path)
    parser.add_argument("--also", type=Path, action="append", default=[])
    parser.add_argument("--only", default="", help="graphs whose names contain it")
    parser.add_argument("-v", action="store_true", help="tell what became of each")
    args = parser.parse_args()
    failed, count = [], 0
    # Another process makes them: the peak memory of a child counts what its parent had when it was forked.
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, context.Pool(1) as maker:
        folder = Path(folder)
        for name, (_, must_refuse) in graphs.GRAPHS.items():
            if args.only not in name:
                continue
            path = folder / f"{name}.onnx"
            maker.apply(write, (name, path))
            begin = time.monotonic()
            failed += [f"{name}: {problem}" for problem in problems(args.weigh, path, folder, must_refuse)]
            if name in ENDLESS:
                failed += [f"{name}: {problem}" for problem in usual(args.weigh, path, folder)]
            if args.v:
                print(f"{time.monotonic() - begin:6.1f} s {path.stat().st_size:>9} {name}", flush=True)
            path.unlink()
            count += 1
        for path in () if args.only else files(args.also):
            failed += [f"{path.name}: {problem}" for problem in problems(args.weigh, path, folder, None)]
            count += 1
    print(f"{count} hostile graphs")
    print("\n".join(failed))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
