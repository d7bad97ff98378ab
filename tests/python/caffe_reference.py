"""The interpreter of Caffe nets against what the real Caffe computed: every blob of every case that has its outputs.

A blob agrees where it is within 1e-5 of its largest magnitude. Cases stand in
NAME.prototxt, NAME.caffemodel and NAME.oracle/in and out_caffe, in tests/oracles/caffe and in folders that are named.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import weigh

# Of a blob's largest magnitude: what single precision costs the real Caffe.
TOLERANCE = 1e-5
# A copy that Caffe makes where several layers read a blob.
SPLIT = re.compile(r"_\d+_split_\d+$")
EXAMPLE = weigh.ROOT / "target" / "debug" / "examples" / "caffe_blobs"


def build():
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "-p", "weighbridge-run", "--example", "caffe_blobs"],
        cwd=weigh.ROOT,
        check=True,
    )


def arrays(folder):
    return {path.stem: np.load(path) for path in sorted(folder.glob("*.npy"))}


def oracle(folder):
    """Blobs by name. Caffe copies those that several layers read, under names of its own."""
    found = {**arrays(folder), **arrays(folder / "all")}
    return {name: blob for name, blob in found.items() if not SPLIT.search(name)}


def computed(files, inputs, folder):
    given, got = folder / "in.npz", folder / "out.npz"
    np.savez(given, **inputs)
    done = subprocess.run([EXAMPLE, *files, given, got], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return dict(np.load(got))


def distance(ours, theirs):
    if ours.shape != theirs.shape:
        return f"shape {list(ours.shape)}, not {list(theirs.shape)}"
    if ours.size == 0 or np.array_equal(ours, theirs, equal_nan=True):
        return 0.0
    finite = np.abs(theirs[np.isfinite(theirs)])
    return float(np.nanmax(np.abs(ours - theirs)) / max(finite.max(initial=0.0), 1e-30))


def case(prototxt, folder):
    """Yields (blob, distance or what is wrong) for every blob that Caffe gave and that is no input."""
    inputs = arrays(prototxt.with_suffix(".oracle") / "in")
    files = [path for path in (prototxt, prototxt.with_suffix(".caffemodel")) if path.exists()]
    ours = computed(files, inputs, folder)
    for name, theirs in oracle(prototxt.with_suffix(".oracle") / "out_caffe").items():
        # A blob that is fed and written over has the layer's name beside its own.
        written = [ours[key] for key in ours if key.split("@")[0] == name]
        if name in inputs and not written:
            continue
        if not written:
            yield name, "is not computed"
        else:
            yield name, distance(written[-1] if name in inputs else ours[name], theirs)


def main():
    parser = argparse.ArgumentParser()
    weigh.add_argument(parser)
    parser.add_argument("folders", nargs="*", type=Path, help="folders of more cases")
    args = parser.parse_args()
    build()
    folders = [weigh.ROOT / "tests" / "oracles" / "caffe", *args.folders]
    failed, cases, blobs, worst = [], 0, 0, (0.0, "")
    for prototxt in (path for folder in folders for path in sorted(folder.glob("*.prototxt"))):
        if not prototxt.with_suffix(".oracle").is_dir():
            continue
        cases += 1
        with tempfile.TemporaryDirectory() as folder:
            try:
                for name, found in case(prototxt, Path(folder)):
                    blobs += 1
                    if isinstance(found, str) or found > TOLERANCE:
                        failed.append(f"{prototxt.stem}: '{name}' {found}")
                    elif found > worst[0]:
                        worst = (found, f"{prototxt.stem} '{name}'")
            except RuntimeError as error:
                failed.append(f"{prototxt.stem}: {error}")
    print("\n".join(failed))
    print(f"caffe_reference: {blobs} blobs of {cases} cases, {len(failed)} failures, at most {worst[0]:.1e} ({worst[1]})")
    if not cases:
        print("no case has outputs of Caffe", file=sys.stderr)
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
