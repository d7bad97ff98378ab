"""Conversions that are killed at random moments, for every format that is written.

Whatever the moment, each output is absent, the old one or the new one, whole; beside it stands at most the one temporary
file, which the next run takes away.
"""

import argparse
import hashlib
import random
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import weigh
from safetensors.numpy import save_file

sys.path.insert(0, str(weigh.ROOT / "tests" / "generate"))

TEMPORARY = ".weighbridge-tmp"
# A conversion of this size takes 50 ms and more.
MEGABYTES = 16
TENSORS = 8
# So often a run goes to its end, over what the killed ones left.
WHOLE_EVERY = 10


def layers(seed, megabytes):
    """Layers of two tensors each, as every format has them."""
    rng = np.random.default_rng(seed)
    rows = int(megabytes * 2**20) // 4 // TENSORS // 1024
    for _ in range(TENSORS):
        yield rng.standard_normal((rows, 1024), np.float32), rng.standard_normal(rows, np.float32)


def make(path, seed, megabytes):
    """A model that every format takes, but those in `MAKERS`."""
    pairs = enumerate(layers(seed, megabytes))
    save_file({f"layer{i}.{j}": tensor for i, pair in pairs for j, tensor in enumerate(pair)}, path)
    return path


def make_caffe(path, seed, megabytes):
    """The same as a net: a .caffemodel is written of nothing else."""
    import cases_caffe

    net = cases_caffe.messages()["Net"](name="net")
    for i, pair in enumerate(layers(seed, megabytes)):
        layer = net.layer.add(name=f"layer{i}", type="InnerProduct", bottom=["x"], top=["x"])
        for tensor in pair:
            blob = layer.blobs.add()
            blob.shape.dim.extend(tensor.shape)
            blob.data.extend(tensor.ravel())
    path.write_bytes(net.SerializeToString())
    return path


def make_onnx(path, seed, megabytes):
    """The same as a graph: an .onnx file is written of nothing else."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, given = [], []
    for i, pair in enumerate(layers(seed, megabytes)):
        given += [numpy_helper.from_array(tensor, f"layer{i}.{j}") for j, tensor in enumerate(pair)]
        nodes.append(helper.make_node("Gemm", ["x", f"layer{i}.0", f"layer{i}.1"], [f"y{i}"], transB=1))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", nodes[-1].output[0])]
    path.write_bytes(helper.make_model(helper.make_graph(nodes, "net", ends[:1], ends[1:], given)).SerializeToString())
    return path


MAKERS = {"caffe": make_caffe, "onnx": make_onnx}


def touched(folder):
    """The files, each with when it was written to."""
    return {(path.name, path.stat().st_mtime_ns) for path in folder.iterdir()}


class Sources:
    """What is converted, made when it is first asked for."""

    def __init__(self, folder, megabytes):
        self.folder, self.megabytes, self.made = folder, megabytes, {}

    def of(self, format, seed):
        key = (format if format in MAKERS else "any", seed)
        if key not in self.made:
            make_it = MAKERS.get(format, make)
            self.made[key] = make_it(self.folder / f"source-{key[0]}-{seed}", seed, self.megabytes)
        return self.made[key]


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def contents(folder):
    return {path.name: digest(path) for path in folder.iterdir() if path.is_file()}


class Case:
    """One format, over nothing or over an older output."""

    def __init__(self, binary, format, way, target, flags, over):
        self.binary, self.format, self.target, self.flags, self.over = binary, format, target, flags, over
        self.name = way + (" over old" if over else "")

    def start(self, source, folder):
        command = [self.binary, "convert", source, "-o", folder / self.target, "--force", *self.flags]
        return subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def whole(self, source, folder):
        """A run to the end: how long it took, and what is there then."""
        begin = time.monotonic()
        run = self.start(source, folder)
        words = run.communicate()[1].decode()
        if run.returncode:
            raise SystemExit(f"{self.name}: exit {run.returncode}: {words[:500]}")
        return time.monotonic() - begin, contents(folder)

    def check(self, sources, scratch, kills):
        """Yields what is wrong; at last how many of the kills met a file that was being written."""
        old_source, new_source = (sources.of(self.format, seed) for seed in range(2))
        with tempfile.TemporaryDirectory(dir=scratch) as at, tempfile.TemporaryDirectory(dir=scratch) as reference:
            folder, reference = Path(at), Path(reference)
            seconds, new = self.whole(new_source, reference)
            old = self.whole(old_source, folder)[1] if self.over else {}
            if self.over and set(old) != set(new):
                yield f"other files than before: {sorted(set(old) ^ set(new))}"
            self.kills = self.met = 0
            # More than were asked for only where these met too little.
            while self.kills < kills or (self.met * 5 < kills and self.kills < 4 * kills):
                self.kills += 1
                before = touched(folder)
                run = self.start(new_source, folder)
                moment = random.random() * seconds
                time.sleep(moment)
                done = run.poll() is not None
                run.kill()
                run.communicate()
                there = contents(folder)
                temporaries = [name for name in there if name.endswith(TEMPORARY)]
                met = any(path.endswith(TEMPORARY) for path, _ in touched(folder) - before)
                self.met += met
                # The machine may have been slower, or faster, than it is now.
                seconds *= 0.6 if done else 1 if met else 1.2
                when = f"killed after {moment * 1000:.0f} ms of {seconds * 1000:.0f}"
                # One at a time is written; what an earlier kill left belongs to the same output or to another.
                if any(name.removesuffix(TEMPORARY) not in new for name in temporaries):
                    yield f"{when}: temporaries of nothing that is written: {temporaries}"
                for name in set(there) - set(temporaries):
                    if there[name] not in (old.get(name), new.get(name)):
                        yield f"{when}: {name} is neither the old file nor the new one"
                if set(old) - set(there):
                    yield f"{when}: gone are {sorted(set(old) - set(there))}"
                if self.kills % WHOLE_EVERY == 0:
                    after = self.whole(new_source, folder)[1]
                    if after != new:
                        yield f"a run after kills leaves {sorted(set(after.items()) ^ set(new.items()))[:4]}"
                    # As before the first: the old files, or nothing.
                    for path in folder.iterdir():
                        path.unlink()
                    if self.over:
                        self.whole(old_source, folder)
            if self.met * 5 < kills:
                yield f"only {self.met} of {self.kills} kills met a file that was being written: this proves little"


def cases(binary):
    """Every writable format, each way of writing it; and those of several files."""
    ways = []
    for row in weigh.run(binary, "formats", "--json")["formats"]:
        if row["write"]:
            id = row["id"]
            # Of NumPy's two it is .npz that holds several tensors.
            target = "net.npz" if id == "numpy" else f"net.{row['extensions'][0]}"
            variants = [f"{id}:{variant['id']}" for variant in row.get("variants", ())]
            ways += [(id, way, target, ["--to", way]) for way in (id, *variants)]
    shard = MEGABYTES * 2**20 // 4 + 2**20
    ways.append(("safetensors", "safetensors in shards", "net.safetensors", ["--shard", f"{shard}"]))
    ways.append(("onnx", "onnx in two files", "net.onnx", ["--external", "1"]))
    for way in ways:
        for over in (False, True):
            yield Case(binary, *way, over)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each format: half over nothing, half over a file (50)")
    parser.add_argument("--seed", type=int, help="of the moments; random otherwise")
    weigh.add_argument(parser)
    args = parser.parse_args()
    seed = secrets.randbelow(2**31) if args.seed is None else args.seed
    random.seed(seed)
    binary = weigh.find(args.weigh)
    begin, total, met, failures = time.monotonic(), 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="weigh-kills-") as scratch:
        scratch = Path(scratch)
        sources = Sources(scratch, MEGABYTES)
        for case in cases(binary):
            for problem in case.check(sources, scratch, args.kills // 2):
                failures += 1
                print(f"FAIL {case.name}: {problem}", flush=True)
            total, met = total + case.kills, met + case.met
    seconds = time.monotonic() - begin
    print(f"{total} kills (seed {seed}), {met} while a file was written, {failures} failures, {seconds:.0f} s")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
