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

TEMPORARY = ".weighbridge-tmp"
# A conversion of this size takes 50 ms and more.
MEGABYTES = 16
TENSORS = 8
# So often a run goes to its end, over what the killed ones left.
WHOLE_EVERY = 10
# Formats that do not take any tensors of any name get flags of their own here.
FLAGS = {}


def make(path, seed, megabytes):
    """Layers of two tensors each, as every format has them."""
    rng = np.random.default_rng(seed)
    rows = int(megabytes * 2**20) // 4 // TENSORS // 1024
    tensors = {}
    for i in range(TENSORS):
        tensors[f"layer{i}.0"] = rng.standard_normal((rows, 1024), np.float32)
        tensors[f"layer{i}.1"] = rng.standard_normal(rows, np.float32)
    save_file(tensors, path)
    return path


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def contents(folder):
    return {path.name: digest(path) for path in folder.iterdir() if path.is_file()}


class Case:
    """One format, over nothing or over an older output."""

    def __init__(self, binary, name, target, flags, over):
        self.binary, self.name, self.target, self.flags, self.over = binary, name, target, flags, over

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
        old_source, new_source = sources
        with tempfile.TemporaryDirectory(dir=scratch) as at, tempfile.TemporaryDirectory(dir=scratch) as reference:
            folder, reference = Path(at), Path(reference)
            seconds, new = self.whole(new_source, reference)
            old = self.whole(old_source, folder)[1] if self.over else {}
            if self.over and set(old) != set(new):
                yield f"other files than before: {sorted(set(old) ^ set(new))}"
            met = 0
            for i in range(kills):
                run = self.start(new_source, folder)
                moment = random.random() * seconds
                time.sleep(moment)
                done = run.poll() is not None
                run.kill()
                run.communicate()
                there = contents(folder)
                temporaries = [name for name in there if name.endswith(TEMPORARY)]
                met += bool(temporaries)
                # The machine may have been slower, or faster, than it is now.
                seconds *= 0.8 if done else 1 if temporaries else 1.1
                when = f"killed after {moment * 1000:.0f} ms of {seconds * 1000:.0f}"
                # One at a time is written; what an earlier kill left belongs to the same output or to another.
                if any(name.removesuffix(TEMPORARY) not in new for name in temporaries):
                    yield f"{when}: temporaries of nothing that is written: {temporaries}"
                for name in set(there) - set(temporaries):
                    if there[name] not in (old.get(name), new.get(name)):
                        yield f"{when}: {name} is neither the old file nor the new one"
                if set(old) - set(there):
                    yield f"{when}: gone are {sorted(set(old) - set(there))}"
                if i % WHOLE_EVERY == WHOLE_EVERY - 1:
                    after = self.whole(new_source, folder)[1]
                    if after != new:
                        yield f"a run after kills leaves {sorted(set(after.items()) ^ set(new.items()))[:4]}"
                    # As before the first: the old files, or nothing.
                    for path in folder.iterdir():
                        path.unlink()
                    if self.over:
                        self.whole(old_source, folder)
            if met * 10 < kills:
                yield f"only {met} of {kills} kills met a file that was being written: this proves little"
            self.met = met


def cases(binary):
    """Every writable format; and shards."""
    for row in weigh.run(binary, "formats", "--json")["formats"]:
        if row["write"]:
            flags = ["--to", row["id"], *FLAGS.get(row["id"], ())]
            target = f"net.{row['extensions'][-1] if row['id'] == 'numpy' else row['extensions'][0]}"
            for over in (False, True):
                yield Case(binary, row["id"] + (" over old" if over else ""), target, flags, over)
    for over in (False, True):
        shards = ["--shard", f"{MEGABYTES * 2**20 // 4 + 2**20}"]
        yield Case(binary, "shards" + (" over old" if over else ""), "net.safetensors", shards, over)


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
        sources = [make(scratch / f"source{i}.safetensors", i, MEGABYTES) for i in range(2)]
        for case in cases(binary):
            total += args.kills // 2
            for problem in case.check(sources, scratch, args.kills // 2):
                failures += 1
                print(f"FAIL {case.name}: {problem}", flush=True)
            met += case.met
    seconds = time.monotonic() - begin
    print(f"{total} kills (seed {seed}), {met} while a file was written, {failures} failures, {seconds:.0f} s")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
