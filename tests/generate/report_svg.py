"""docs/images/report.svg: what `weigh examples/digits/digits.pth` prints on a terminal of 100 columns."""

import argparse
import os
import re
import subprocess
from html import escape
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "report.svg"
FILE = "examples/digits/digits.pth"
COLUMNS = 100

SIZE = 14  # font size; the other lengths follow
WIDTH, HEIGHT, MARGIN = SIZE * 0.6, SIZE * 1.3, SIZE * 1.2
BACKGROUND, FOREGROUND = "#0d1117", "#e6edf3"
COLOURS = {31: "#ff7b72", 32: "#56d364", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea"}
BARS = "▁▂▃▄▅▆▇█"
ESCAPE = re.compile(r"\x1b\[([\d;]*)m")


def after(style, codes):
    """The style that holds after an escape sequence of these codes."""
    style = dict(style)
    for code in (int(c or 0) for c in codes.split(";")):
        if code == 0:
            style = {}
        elif code == 1:
            style["font-weight"] = "bold"
        elif code == 2:
            style["fill-opacity"] = "0.6"
        elif code in COLOURS or code - 60 in COLOURS:
            style["fill"] = COLOURS[code if code in COLOURS else code - 60]
        else:
            raise ValueError(f"escape code {code} is not drawn yet")
    return style


def rows(text):
    """Rows of (character, style), broken where a terminal of this width breaks them."""
    style = {}
    for line in text.splitlines():
        row = []
        for i, part in enumerate(ESCAPE.split(line)):
            if i % 2:
                style = after(style, part)
            else:
                row += [(c, style) for c in part]
        for at in range(0, max(len(row), 1), COLUMNS):
            yield row[at : at + COLUMNS]


def pieces(row):
    """Pieces of a row as (column, text, style): runs of one bar's height, and what stands between wide blanks."""
    column = 0
    for style, cells in groupby(row, lambda cell: cell[1]):
        part = "".join(c for c, _ in cells)
        for piece in re.finditer(r"([▁-█])\1*|[^\s▁-█]+(?: [^\s▁-█]+)*", part):
            yield column + piece.start(), piece.group(), style
        column += len(part)


def svg(text):
    out = []
    for at, row in enumerate(rows(text)):
        bottom = MARGIN + (at + 1) * HEIGHT
        # Bars on rows of their own stand on each other; between words they keep a distance.
        highest = HEIGHT if all(c in " " + BARS for c, _ in row) else 0.85 * HEIGHT
        for column, piece, style in pieces(row):
            x, width = f"{MARGIN + column * WIDTH:.1f}", f"{len(piece) * WIDTH:.1f}"
            look = "".join(f' {key}="{value}"' for key, value in style.items())
            if eighths := BARS.find(piece[0]) + 1:
                high = eighths / 8 * highest
                out.append(f'<rect x="{x}" y="{bottom - high:.1f}" width="{width}" height="{high:.1f}"{look}/>')
                continue
            # A length for each piece keeps columns in line whatever the font's own width.
            place = f'x="{x}" y="{bottom - 0.2 * HEIGHT:.1f}" textLength="{width}" lengthAdjust="spacingAndGlyphs"'
            out.append(f"<text {place}{look}>{escape(piece)}</text>")
    width, height = COLUMNS * WIDTH + 2 * MARGIN, (at + 1) * HEIGHT + 2 * MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{SIZE}" fill="{FOREGROUND}" '
        'shape-rendering="crispEdges">\n'
        f"<title>{escape(ESCAPE.sub('', text.splitlines()[0]))}</title>\n"
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>'
    )
    return "\n".join([head, *out, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weigh", default="target/release/weigh")
    command = [parser.parse_args().weigh, FILE, "--color", "always"]
    environment = {**os.environ, "COLUMNS": str(COLUMNS)}
    run = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    prompt = f"\x1b[2m$\x1b[0m weigh {FILE}\n\n"
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(svg(prompt + run.stdout), encoding="utf-8")


if __name__ == "__main__":
    main()
