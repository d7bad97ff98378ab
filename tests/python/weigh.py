"""Runs the built `weigh`."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT = [ROOT / "target" / profile / "weigh" for profile in ("release", "debug")]


def add_argument(parser):
    parser.add_argument("--weigh", type=Path, help="the binary; otherwise $WEIGH, otherwise the newest one built")


def find(given=None):
    """The binary that was named, or the newest one built."""
    if given or os.environ.get("WEIGH"):
        return Path(given or os.environ["WEIGH"]).resolve()
    built = [path for path in BUILT if path.exists()]
    if not built:
        raise SystemExit("no weigh in target/: build it, or name it with --weigh or $WEIGH")
    return max(built, key=lambda path: path.stat().st_mtime)


class Failed(Exception):
    """weigh did not do what it was asked for."""


def run(binary, *arguments, silent=False):
    """The JSON that weigh prints, where it is to print any; Failed with its last words otherwise."""
    command = [str(binary), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        raise Failed(f"{' '.join(command[1:])}: exit {done.returncode}: {words[-1] if words else 'silent'}")
    if silent:
        return None
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise Failed(f"{' '.join(command[1:])}: no JSON: {error}") from None
