"""TensorRT `.wts` that weigh writes: the bytes of the usual Python script, read by a C++ loader of the usual shape."""

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import weigh
from safetensors.torch import load_file, save_file

DIGITS = weigh.ROOT / "examples" / "digits" / "digits.pth"

# As in the programs that build an engine from weights, then what was read as it is: name, count, words.
LOADER = r"""
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

struct Weights { const void* values; int64_t count; };

static std::map<std::string, Weights> load(const std::string& path) {
    std::map<std::string, Weights> all;
    std::ifstream input(path);
    int32_t count;
    input >> count;
    while (count--) {
        Weights blob{nullptr, 0};
        uint32_t size;
        std::string name;
        input >> name >> std::dec >> size;
        uint32_t* words = static_cast<uint32_t*>(malloc(sizeof(uint32_t) * size));
        for (uint32_t i = 0; i < size; ++i) input >> std::hex >> words[i];
        blob.values = words;
        blob.count = size;
        all[name] = blob;
    }
    if (!input) { std::cerr << "the stream failed" << std::endl; exit(1); }
    std::string more;
    if (input >> more) { std::cerr << "text is left: " << more << std::endl; exit(1); }
    return all;
}

int main(int, char** argv) {
    std::ofstream out(argv[2], std::ios::binary);
    for (const auto& entry : load(argv[1])) {
        out << entry.first << '\n' << entry.second.count << '\n';
        out.write(static_cast<const char*>(entry.second.values), 4 * entry.second.count);
    }
}
"""


def script(state, path):
    """What people write."""
    with path.open("w") as file:
        file.write(f"{len(state)}\n")
        for key, tensor in state.items():
            flat = tensor.reshape(-1).cpu().numpy()
            file.write("{} {} ".format(key, len(flat)))
            for value in flat:
                file.write(" ")
                file.write(struct.pack(">f", float(value)).hex())
            file.write("\n")


def words(tensor):
    """The bits that a network built from the text gets. Copied as integers where they are F32: no NaN is touched."""
    flat = tensor.reshape(-1)
    return (flat if flat.dtype == torch.float32 else flat.to(torch.float32)).numpy().view("<u4")


def loaded(loader, path):
    out = path.with_suffix(".read")
    subprocess.run([loader, path, out], check=True)
    data, at, all = out.read_bytes(), 0, {}
    while at < len(data):
        name, count, rest = data[at:].split(b"\n", 2)
        at = len(data) - len(rest) + 4 * int(count)
        all[name.decode()] = np.frombuffer(rest, "<u4", int(count))
    return all


def convert(binary, source, target, *flags):
    command = [binary, "convert", source, "-o", target, *flags]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True)


def odd():
    """What the text can hold, and scripts get wrong."""
    bits = [0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC00001, 1, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x3DCCCCCD]
    return {
        "float.edges": torch.tensor(np.array(bits, "<u4").view("<f4")),
        "float.scalar": torch.tensor(-0.15625),
        "float.none": torch.zeros(0, 3),
        "float.last": torch.arange(6.0).reshape(2, 3),
        "half.weight": torch.tensor([1.5, -6.1e-5, 65504.0, 6e-8], dtype=torch.float16),
        "wide.weight": torch.tensor([0.1, 1e-300, float("inf"), -3.0], dtype=torch.float64),
        "bn.num_batches_tracked": torch.tensor(2**24 + 1),
        "steps": torch.tensor([0, -1, 2**24, 2**40, 2**62 + 1]),
        "mask": torch.tensor([True, False]),
        "bytes": torch.arange(-3, 3, dtype=torch.int8),
    }


def check_same(binary, loader, folder, name, source, state):
    """Yields what is wrong with a file that is written from `source`, which holds `state`."""
    target, expected = folder / f"{name}.wts", folder / f"{name}.py.wts"
    run = convert(binary, source, target)
    if run.returncode:
        yield f"exit {run.returncode}: {run.stderr}"
        return
    script(state, expected)
    if target.read_bytes() != expected.read_bytes():
        yield "the usual script writes other bytes"
    if loader:
        read = loaded(loader, target)
        if set(read) != set(state):
            yield f"the loader reads other names: {sorted(set(read) ^ set(state))[:5]}"
        for key in set(read) & set(state):
            if not np.array_equal(read[key], words(state[key])):
                yield f"the loader reads other values of {key}"


def check_signalling(binary, loader, folder):
    """A signalling NaN, which Python's floats make quiet, keeps its bits."""
    bits = np.array([0x7F800001, 0xFFA00000, 0x7FC00000], "<u4")
    save_file({"nan": torch.from_numpy(bits.view("<f4"))}, folder / "nan.safetensors")
    convert(binary, folder / "nan.safetensors", folder / "nan.wts")
    if (folder / "nan.wts").read_text() != "1\nnan 3  7f800001 ffa00000 7fc00000\n":
        yield "NaNs are written otherwise"
    if loader and not np.array_equal(loaded(loader, folder / "nan.wts")["nan"], bits):
        yield "the loader reads other NaNs"


def check_told(binary, folder):
    """What is rounded is told, tensor by tensor, and what does not arrive at all is refused."""
    source = folder / "odd.safetensors"
    run = convert(binary, source, folder / "told.wts", "--dry-run", "--json")
    told = weigh.json.loads(run.stdout)
    whys = {change["tensor"]: change["why"] for change in told["changed"]}
    expected = {
        "bn.num_batches_tracked": "1 of 1 values are rounded",
        "steps": "1 of 5 values are rounded",
        "wide.weight": "2 of 4 values are rounded",
        "half.weight": "exactly",
        "mask": "exactly",
        "bytes": "exactly",
    }
    for tensor, why in expected.items():
        if why not in whys.get(tensor, ""):
            yield f"{tensor}: told {whys.get(tensor)!r}, not {why!r}"
    if set(told["kept"]) != {name for name in odd() if name.startswith("float")}:
        yield f"kept are {told['kept']}"

    refusals = {
        "beyond": {"a": torch.tensor([1.0, 1e39], dtype=torch.float64), "b": torch.tensor([-1e300], dtype=torch.float64)},
        "names": {"a b": torch.ones(2), "b\tc": torch.ones(2)},
        "complex": {"a": torch.ones(2, dtype=torch.complex64)},
    }
    for name, state in refusals.items():
        source, target = folder / f"{name}.safetensors", folder / f"{name}.wts"
        save_file(state | {"fine": torch.ones(1)}, source)
        run = convert(binary, source, target)
        named = all(key.replace("\t", "\ufffd") in run.stderr for key in state)
        if run.returncode != 2 or not named or target.exists() or "fine" in run.stderr:
            yield f"{name}: exit {run.returncode}: {run.stderr!r}"
    run = convert(binary, folder / "names.safetensors", folder / "renamed.wts", "--rename", "a b=a", "--rename", "b*c=b")
    if run.returncode or not (folder / "renamed.wts").read_text().startswith("3\n"):
        yield f"names that are mapped: exit {run.returncode}: {run.stderr!r}"


def resnet18(path):
    """A network of today with random weights; its BatchNorms have seen something."""
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.resnet18()
    net(torch.randn(2, 3, 64, 64))
    torch.save(net.state_dict(), path)


def compiled(folder):
    compiler = shutil.which("g++") or shutil.which("c++")
    if not compiler:
        print("skipped: the C++ loader of .wts (no g++ or c++)")
        return None
    (folder / "loader.cpp").write_text(LOADER)
    subprocess.run([compiler, "-O2", "-o", folder / "loader", folder / "loader.cpp"], check=True)
    return folder / "loader"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    failures, checks = 0, 0
    with tempfile.TemporaryDirectory(prefix="weigh-loaders-") as scratch:
        folder = Path(scratch)
        loader = compiled(folder)
        resnet18(folder / "resnet18.pth")
        save_file(odd(), folder / "odd.safetensors")
        same = lambda name, source, load: check_same(binary, loader, folder, name, source, load(source))  # noqa: E731
        trials = {
            "digits": same("digits", DIGITS, torch.load),
            "resnet18": same("resnet18", folder / "resnet18.pth", torch.load),
            "odd tensors": same("odd", folder / "odd.safetensors", load_file),
            "signalling NaNs": check_signalling(binary, loader, folder),
            "what is told": check_told(binary, folder),
        }
        for name, problems in trials.items():
            checks += 1
            for problem in problems:
                failures += 1
                print(f"FAIL {name}: {problem}", flush=True)
    print(f"{checks} checks of .wts, {failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
