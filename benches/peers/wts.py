"""TensorRT .wts read and written by weigh, by the usual C++ loader and by the usual Python: CPU time, ratios."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What people's C++ does: a stream, a word at a time, four bytes of eight allocated.
LOADER = r"""
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <utility>

int main(int, char** argv) {
    std::ifstream file(argv[1]);
    std::map<std::string, std::pair<uint32_t*, uint64_t>> weights;
    int32_t count;
    file >> count;
    while (count-- > 0) {
        std::string name;
        uint64_t size;
        file >> name >> std::dec >> size;
        uint32_t* values = static_cast<uint32_t*>(malloc(sizeof(uint64_t) * size));
        for (uint64_t i = 0; i < size; ++i) file >> std::hex >> values[i];
        weights[name] = {values, size};
    }
    uint32_t all = 0;
    for (auto& entry : weights)
        for (uint64_t i = 0; i < entry.second.second; ++i) all ^= entry.second.first[i];
    std::cout << weights.size() << " " << all << std::endl;
}
"""


def job_write(source, target):
    """The usual script, over as much of the file as it does in a while."""
    import struct

    from safetensors import safe_open

    with safe_open(source, "pt") as file, open(target, "w") as out:
        keys = list(file.keys())
        out.write(f"{len(keys)}\n")
        for key in keys:
            flat = file.get_tensor(key).reshape(-1).cpu().numpy()
            out.write(f"{key} {len(flat)} ")
            for value in flat:
                out.write(" ")
                out.write(struct.pack(">f", float(value)).hex())
            out.write("\n")


def job_read(path):
    import struct

    with open(path) as file:
        for _ in range(int(file.readline())):
            name, count, *words = file.readline().split()
            [struct.unpack(">f", bytes.fromhex(word))[0] for word in words]


def make(path, megabytes):
    import torch
    from safetensors.torch import save_file

    count = int(megabytes * 1e6) // 36
    torch.manual_seed(0)
    save_file({f"layer{i}.weight": torch.randn(count) * 0.05 for i in range(4)}, path)


def cpu(command):
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{command}: exit {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=500, help="of text")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--weigh", type=Path, default=ROOT / "target/release/weigh")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        return globals()[f"job_{args.job[0]}"](*args.job[1:])
    with tempfile.TemporaryDirectory(prefix="weigh-peers-") as scratch:
        folder = Path(scratch)
        (folder / "loader.cpp").write_text(LOADER)
        subprocess.run(["c++", "-O2", "-o", folder / "loader", folder / "loader.cpp"], check=True)
        # Python is slow enough to be measured on a twentieth.
        sizes = {"all": args.megabytes, "part": args.megabytes / 20}
        for name, megabytes in sizes.items():
            make(folder / f"{name}.safetensors", megabytes)
            convert = [args.weigh, "convert", folder / f"{name}.safetensors", "-o", folder / f"{name}.wts"]
            subprocess.run(convert, check=True, stdout=subprocess.DEVNULL)
        text = (folder / "all.wts").stat().st_size / 1e9
        part = (folder / "part.wts").stat().st_size / 1e9
        weigh = str(args.weigh)
        python = [sys.executable, __file__, "--job"]
        whole, short = folder / "all.wts", folder / "part.wts"
        jobs = {
            "read: weigh stats --json": ([weigh, "stats", whole, "--json"], text),
            "read: weigh ls --json": ([weigh, "ls", whole, "--json"], text),
            "read: usual C++ loader": ([folder / "loader", whole], text),
            "read: Python": ([*python, "read", short], part),
            "write: weigh convert": (
                [weigh, "convert", folder / "all.safetensors", "-o", folder / "out.wts", "--force"], text,
            ),
            "write: usual Python script": ([*python, "write", folder / "part.safetensors", folder / "py.wts"], part),
        }  # fmt: skip
        times = {name: [] for name in jobs}
        for _ in range(args.runs):
            for name, (command, _) in jobs.items():
                times[name].append(cpu([str(word) for word in command]))
        assert (folder / "py.wts").read_bytes() == short.read_bytes(), "the files differ"
        print(f"{text:.2f} GB of text; CPU seconds, median of {args.runs}\n")
        print("| what | CPU | GB of text per CPU-second |\n|---|---:|---:|")
        for name, (_, size) in jobs.items():
            seconds = statistics.median(times[name])
            print(f"| {name} | {seconds:.3f} s for {size:.2f} GB | {size / seconds:.3f} |")


if __name__ == "__main__":
    main()
