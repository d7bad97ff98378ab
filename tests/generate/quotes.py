"""Puts what commands really print below each `    $ weigh …` in README.md and docs/."""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QUOTE = re.compile(r"^    \$ (weigh .+)\n(?:    (?!\$ ).*\n)*", re.M)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weigh", default=ROOT / "target" / "release" / "weigh", type=Path)
    weigh = parser.parse_args().weigh.resolve()
    with tempfile.TemporaryDirectory() as folder:
        # Commands may write files; none of them lands in the project.
        for name in ("examples", "tests"):
            (Path(folder) / name).symlink_to(ROOT / name)
        environment = {**os.environ, "COLUMNS": "100", "PATH": f"{weigh.parent}:{os.environ['PATH']}"}

        def quoted(match):
            run = subprocess.run(
                match[1], shell=True, cwd=folder, env=environment, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            lines = [f"$ {match[1]}", *run.stdout.splitlines()]
            return "".join(f"    {line}".rstrip() + "\n" for line in lines)

        for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
            text = path.read_text(encoding="utf-8")
            path.write_text(QUOTE.sub(quoted, text), encoding="utf-8")


if __name__ == "__main__":
    main()
