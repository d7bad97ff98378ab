"""Conversions onto a disk that is full: told before the first byte where it is known then, and without debris where the
space is gone in the middle."""

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kills
import weigh

# Megabytes; text takes more than twice what the model does.
DISK = 48
MODEL = 16


@contextlib.contextmanager
def disk(folder, megabytes):
    """A file system of so many megabytes, or None where that cannot be had."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "weigh", folder], capture_output=True)
    try:
        yield folder if mounted.returncode == 0 else None
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)


def judge(name, run, words, folder, before, *expected):
    """Yields what is wrong with a failed run."""
    if run.returncode != 2:
        yield f"{name}: exit {run.returncode}, not 2: {words[:200]!r}"
    if "panicked" in words or not all(any(one in words for one in each.split("|")) for each in expected):
        yield f"{name}: a bad message: {words[:300]!r}"
    if kills.contents(folder) != before:
        yield f"{name}: left {sorted(kills.contents(folder))}, where {sorted(before)} was"


def too_large(case, source, folder):
    """The size is known beforehand, and more than there is."""
    filler = folder / "filler"
    filler.write_bytes(bytes(DISK - MODEL // 2 << 20))
    (folder / case.target).write_bytes(b"old")
    before = kills.contents(folder)
    run = case.start(source, folder)
    words = run.communicate()[1].decode()
    # A variant may not know its size before it is written.
    expected = "are free|No space left" if ":" in case.name else "are free"
    yield from judge(case.name, run, words, folder, before, expected)
    filler.unlink()


def in_the_middle(case, source, folder):
    """Something else takes the space while the file is written."""
    (folder / case.target).write_bytes(b"old")
    before = kills.contents(folder)
    for _ in range(20):
        run = case.start(source, folder)
        while run.poll() is None and not any(path.name.endswith(kills.TEMPORARY) for path in folder.iterdir()):
            time.sleep(0.0005)
        run.send_signal(signal.SIGSTOP)
        filler = folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(1 << 16)):
                pass
        run.send_signal(signal.SIGCONT)
        words = run.communicate()[1].decode()
        filler.unlink(missing_ok=True)
        if run.returncode != 0:
            yield from judge(f"{case.name} in the middle", run, words, folder, before, "No space left", "net")
            return
        # It was done before it was stopped.
        for path in folder.iterdir():
            path.unlink()
        (folder / case.target).write_bytes(b"old")
    yield f"{case.name}: never stopped in the middle"


def limited(case, source, folder):
    """The system allows files of a part of the size: for this no other file system is needed."""
    (folder / case.target).write_bytes(b"old")
    before = kills.contents(folder)

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MODEL << 19, MODEL << 19))

    command = [case.binary, "convert", source, "-o", folder / case.target, "--force", *case.flags]
    run = subprocess.run([str(word) for word in command], capture_output=True, preexec_fn=limit)
    yield from judge(f"{case.name} limited", run, run.stderr.decode(), folder, before, "too large", "net")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    runs, failures = 0, 0
    with tempfile.TemporaryDirectory(prefix="weigh-full-") as scratch, disk(Path(scratch) / "disk", DISK) as small:
        sources = kills.Sources(Path(scratch), MODEL)
        trials = [limited]
        if small:
            trials += [too_large, in_the_middle]
        else:
            print(f"skipped: a full disk ({'no' if os.geteuid() else 'root, and no'} leave to mount one)")
        for case in kills.cases(binary):
            if case.over or " in " in case.name:
                continue
            for trial in trials:
                runs += 1
                with tempfile.TemporaryDirectory(dir=scratch if trial is limited else small) as folder:
                    for problem in trial(case, sources.of(case.format, 0), Path(folder)):
                        failures += 1
                        print(f"FAIL {problem}", flush=True)
    print(f"{runs} runs onto a full disk, {failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
