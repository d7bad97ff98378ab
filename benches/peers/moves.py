"""weigh convert beside cp of the same bytes: wall time of pairs that follow one another, private memory."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from peers import ROOT, Job, watch

# What is copied by cp, and what weigh does in its place; each writes OUT.
SAFETENSORS, PTH = "peers-{:g}.safetensors", "peers-{:g}.pth"


def moves(weigh, folder, gigabytes):
    plain, pickled = (folder / name.format(gigabytes) for name in (SAFETENSORS, PTH))

    def convert(source, extension):
        return [weigh, "convert", source, "-o", folder / f"out{extension}", "--force"]

    return {
        ".pth -> .safetensors": (pickled, convert(pickled, ".safetensors"), ".safetensors"),
        ".safetensors -> .pth": (plain, convert(plain, ".pth"), ".pth"),
        ".safetensors -> .safetensors": (plain, convert(plain, ".safetensors"), ".safetensors"),
        ".safetensors -> .npz": (plain, convert(plain, ".npz"), ".npz"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the files are made and kept; otherwise a temporary one")
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--weigh", type=Path, default=ROOT / "target/release/weigh")
    args = parser.parse_args()
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        return compare(args, args.folder)
    (ROOT / "target/tmp").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="weigh-moves-", dir=ROOT / "target/tmp") as folder:
        compare(args, Path(folder))


def warm(path):
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass


def compare(args, folder):
    # In a process of its own: what this one holds would count as its children's memory.
    make = f"import peers, pathlib; peers.make_files(pathlib.Path({str(folder.resolve())!r}), {args.gigabytes})"
    subprocess.run([sys.executable, "-c", make], cwd=Path(__file__).parent, check=True)
    print(f"{args.gigabytes:g} GB of F32, {os.cpu_count()} CPUs; medians of {args.runs} pairs, nothing synced\n")
    print("| what | wall | cp of its input | ratio | of each pair | CPU | cp's | private |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, (source, command, extension) in moves(args.weigh, folder, args.gigabytes).items():
        out = folder / f"out{extension}"
        copy = Job("cp", ["/usr/bin/cp", "--reflink=never", str(source), str(out)])
        move = Job(name, [str(word) for word in command])
        for run in range(args.runs):
            # In turns, and each first in half of the pairs: what one leaves to be written back slows the next.
            for job in (copy, move) if run % 2 else (move, copy):
                out.unlink(missing_ok=True)
                os.sync()
                warm(source)
                watch(job, quiet=True)
        out.unlink(missing_ok=True)
        ratios = [a / b for a, b in zip(move.wall, copy.wall)]
        wall, copied = statistics.median(move.wall), statistics.median(copy.wall)
        pairs = f"{min(ratios):.2f} to {max(ratios):.2f}"
        cpu, copied_cpu = statistics.median(move.cpu), statistics.median(copy.cpu)
        print(f"| {name} | {wall:.2f} s | {copied:.2f} s | {statistics.median(ratios):.2f} | {pairs} | "
              f"{cpu:.2f} s | {copied_cpu:.2f} s | {move.anonymous:.1f} MB |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
