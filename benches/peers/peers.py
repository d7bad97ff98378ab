"""The same figures by weigh, torch, safetensors and a bare sum, side by side: CPU time, private memory, ratios."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BINS = 100
TENSORS = 16


# Files.


def make_files(folder, gigabytes):
    """(.safetensors, .pth) of so many gigabytes of F32, streamed: no more than a block is held."""
    import numpy as np
    import torch
    from safetensors import safe_open

    plain, pickled = folder / f"peers-{gigabytes:g}.safetensors", folder / f"peers-{gigabytes:g}.pth"
    rows = int(gigabytes * 2**30) // 4 // TENSORS // 4096
    size = rows * 4096 * 4
    if not plain.exists():
        header = {
            f"layer{i}.weight": {"dtype": "F32", "shape": [rows, 4096], "data_offsets": [i * size, (i + 1) * size]}
            for i in range(TENSORS)
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 64 + 56)
        rng = np.random.default_rng(0)
        partial = plain.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for i in range(TENSORS):
                left = rows * 4096
                while left:
                    n = min(left, 1 << 22)
                    file.write((rng.standard_normal(n, np.float32) * (0.02 + 0.01 * i)).tobytes())
                    left -= n
        partial.rename(plain)
    if not pickled.exists():
        partial = pickled.with_suffix(".partial")
        with safe_open(plain, "pt") as file:
            torch.save({key: file.get_tensor(key) for key in file.keys()}, partial)
        partial.rename(pickled)
    return plain, pickled


# What Python people write. Each runs in a process of its own.


def torch_figures(t):
    import torch

    size = t.abs()
    return [
        t.min(), t.max(), size.min(), size.max(), t.mean(), t.std(correction=0), (t == 0).sum(), t.isnan().sum(),
        t.isinf().sum(), torch.histc(size, BINS),
    ]  # fmt: skip


def job_torch(path):
    import torch

    torch.set_num_threads(1)
    for tensor in torch.load(path, mmap=True).values():
        torch_figures(tensor)


def job_safetensors(path):
    import torch
    from safetensors import safe_open

    torch.set_num_threads(1)
    with safe_open(path, "pt") as file:
        for key in file.keys():
            torch_figures(file.get_tensor(key))


def job_sum(path):
    import numpy as np

    with open(path, "rb") as file:
        begin = 8 + int.from_bytes(file.read(8), "little")
    data = np.memmap(path, np.float32, "r", begin)
    step = 1 << 24
    sum(float(data[i : i + step].sum()) for i in range(0, len(data), step))


def job_import_torch(_):
    import torch  # noqa: F401


def job_import_numpy(_):
    import numpy  # noqa: F401


# Measuring.


@dataclass
class Job:
    name: str
    command: list
    cpu: list = field(default_factory=list)
    wall: list = field(default_factory=list)
    anonymous: float = 0
    resident: float = 0


def warm(job):
    """Brings the job's file into the page cache: a system may have put it out while other jobs had their turns."""
    for path in (word for word in job.command if word.endswith((".safetensors", ".pth"))):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def watch(job, quiet=False):
    """Runs it once: CPU and wall seconds, peaks of private (RssAnon) and of all resident memory in MB.

    Not by ru_maxrss, which begins at what this process holds.
    """
    env = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    begin = time.monotonic()
    said = subprocess.DEVNULL if quiet else None
    child = subprocess.Popen(job.command, stdout=subprocess.DEVNULL, stderr=said, env=env)
    while True:
        done, status, usage = os.wait4(child.pid, os.WNOHANG)
        if done:
            break
        try:
            # Until it runs its own program, the child's memory is this process's.
            started = os.path.samefile(f"/proc/{child.pid}/exe", job.command[0])
            for line in Path(f"/proc/{child.pid}/status").read_text().splitlines() if started else ():
                if line.startswith("RssAnon:"):
                    job.anonymous = max(job.anonymous, int(line.split()[1]) / 1024)
                elif line.startswith("VmHWM:"):
                    job.resident = max(job.resident, int(line.split()[1]) / 1024)
        except OSError:
            # Gone between the two looks.
            pass
        # A run of milliseconds is looked at without a pause.
        time.sleep(0 if time.monotonic() - begin < 0.1 else 0.005)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{job.name}: exit {child.returncode}")
    job.wall.append(time.monotonic() - begin)
    job.cpu.append(usage.ru_utime + usage.ru_stime)


def table(jobs, against):
    heads = ["what", "CPU", "wall", "private", "resident", *(f"CPU / {base.name}" for base in against)]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" + "|---:" * (len(heads) - 1) + "|"
    for job in jobs:
        cpu = statistics.median(job.cpu)
        cells = [job.name, seconds(cpu), seconds(statistics.median(job.wall))]
        # Too short a run may end before the first look.
        cells += [f"{size:.1f} MB" if size else "-" for size in (job.anonymous, job.resident)]
        cells += [f"{cpu / statistics.median(base.cpu):.2f}" for base in against]
        yield "| " + " | ".join(cells) + " |"


def seconds(value):
    return f"{value * 1000:.1f} ms" if value < 0.1 else f"{value:.2f} s"


def bare_sum():
    """The Rust sum of a file, where the measuring crate has such an example."""
    if not (ROOT / "crates/weighbridge-measure/examples/sum.rs").exists():
        return None
    cargo = ["cargo", "build", "--release", "--locked", "-q", "-p", "weighbridge-measure", "--example", "sum"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    return ROOT / "target/release/examples/sum"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the files are made and kept; otherwise a temporary one")
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--weigh", type=Path, default=ROOT / "target/release/weigh")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        return globals()[f"job_{args.job[0]}"](args.job[1])
    if args.folder:
        args.folder.mkdir(parents=True, exist_ok=True)
        return compare(args, args.folder)
    with tempfile.TemporaryDirectory(prefix="weigh-peers-") as folder:
        compare(args, Path(folder))


def compare(args, folder):
    # In a process of its own: what this one holds would count as its children's memory.
    make = f"import peers, pathlib; peers.make_files(pathlib.Path({str(folder.resolve())!r}), {args.gigabytes})"
    subprocess.run([sys.executable, "-c", make], cwd=Path(__file__).parent, check=True)
    plain, pickled = (folder / f"peers-{args.gigabytes:g}{end}" for end in (".safetensors", ".pth"))

    def python(name, job, path):
        return Job(name, [sys.executable, __file__, "--job", job, str(path)])

    weigh = str(args.weigh)
    hist = Job("weigh stats --json --hist (.safetensors)", [weigh, "stats", str(plain), "--json", "--hist"])
    total = python("bare sum (NumPy)", "sum", plain)
    jobs = [
        hist,
        Job("weigh stats --json --hist (.pth)", [weigh, "stats", str(pickled), "--json", "--hist"]),
        Job("weigh stats --json (.safetensors)", [weigh, "stats", str(plain), "--json"]),
        Job("weigh stats --json (.pth)", [weigh, "stats", str(pickled), "--json"]),
        Job("weigh ls (.pth)", [weigh, "ls", str(pickled)]),
        total,
        python("torch, mapped (.pth)", "torch", pickled),
        python("safetensors + torch", "safetensors", plain),
        python("import torch, no more", "import_torch", plain),
        python("import numpy, no more", "import_numpy", plain),
    ]
    rust = bare_sum()
    if rust:
        total = Job("bare sum (Rust)", [str(rust), str(plain)])
        jobs.insert(5, total)
    for run in range(args.runs):
        # In turns, so that a noisy minute spoils a run of each rather than all of one.
        for job in jobs:
            print(f"\rrun {run + 1} of {args.runs}: {job.name}".ljust(79), end="", file=sys.stderr, flush=True)
            warm(job)
            watch(job)
    print(file=sys.stderr)
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "?")
    print(f"{args.gigabytes:g} GB of F32, {cpu}, {os.cpu_count()} CPUs. CPU and wall: median of {args.runs}; torch and")
    print("NumPy with one thread. private: peak of RssAnon; resident: with the mapped file's pages.\n")
    print("\n".join(table(jobs, [hist, total])))


if __name__ == "__main__":
    main()
