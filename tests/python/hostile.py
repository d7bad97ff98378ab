"""Hostile files: refused with a clear error or read, at once, in little memory, and never run."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import weigh

CORPUS = weigh.ROOT / "tests" / "corpus"
# Payloads in some files would make it.
MARKER = Path("/tmp/weigh-hostile-marker")
SECONDS = 1.0
MEGABYTES = 100
COMMANDS = (["ls", "--json", "--hash"], ["stats", "--json", "--hist"])


def spawn(command):
    """Exit status, stdout, stderr, seconds and peak resident megabytes."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        # Standard input is closed, so that nothing waits for it.
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        signal.signal(signal.SIGALRM, lambda *_: child.kill())
        signal.setitimer(signal.ITIMER_REAL, 20 * SECONDS)
        _, status, usage = os.wait4(child.pid, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        seconds = time.monotonic() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return child.returncode, *texts, seconds, usage.ru_maxrss / 1024


def problems(binary, path, must_refuse):
    """Yields what is wrong with how weigh takes a file."""
    for name, *flags in COMMANDS:
        code, out, err, seconds, megabytes = spawn([str(binary), name, str(path), *flags])
        if "panicked" in err:
            yield f"{name}: panicked: {err.strip().splitlines()[0]}"
        elif code == 2:
            if "error" not in err.lower() or path.name not in err:
                yield f"{name}: the error does not name the file: {err.strip()[:200]!r}"
        elif code == 0:
            if must_refuse:
                yield f"{name}: not refused"
            try:
                json.loads(out)
            except ValueError as error:
                yield f"{name}: exit 0 without JSON: {error}"
        else:
            yield f"{name}: exit {code}: {err.strip()[:200]!r}"
        if seconds > SECONDS:
            yield f"{name}: took {seconds:.2f} s"
        if megabytes > MEGABYTES:
            yield f"{name}: took {megabytes:.0f} MB"


def targets(folder):
    """(file, whether it must be refused); a folder without EXPECT.json is taken file by file."""
    expect = folder / "EXPECT.json"
    if not expect.exists():
        return [(f, False) for f in sorted(folder.iterdir()) if f.is_file() and f.suffix != ".json"]
    table = json.loads(expect.read_text())
    return [(folder / name, about.get("exit") == 2) for name, about in sorted(table.items())]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, help="further folders, each with an EXPECT.json")
    weigh.add_argument(parser)
    args = parser.parse_args()
    binary = weigh.find(args.weigh)
    MARKER.unlink(missing_ok=True)
    files, failures = 0, 0
    for folder in [CORPUS / "hostile", *args.folders]:
        for path, must_refuse in targets(folder):
            files += 1
            found = list(problems(binary, path, must_refuse))
            if MARKER.exists():
                MARKER.unlink()
                found.append("CODE WAS RUN")
            for problem in found:
                failures += 1
                print(f"FAIL {folder.name}/{path.name}: {problem}")
    print(f"{files} hostile files, {failures} failures")
    sys.exit(failures > 0 or files == 0)


if __name__ == "__main__":
    main()
