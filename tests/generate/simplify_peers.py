"""How many nodes other simplifiers leave of the exports of `exports.py` and the nets of `tangles.py`.

What is committed in tests/oracles/simplify.json is what this printed:

    python -W ignore tests/generate/simplify_peers.py
"""

import json
import subprocess
import sys
import time
from pathlib import Path

ORACLES = Path(__file__).parents[1] / "oracles" / "simplify.json"

# Each in a process of its own: they crash, and one of them does not end.
RUN = {
    "onnxsim": "import onnx, onnxsim, sys; print(len(onnxsim.simplify(onnx.load(sys.argv[1]))[0].graph.node))",
    "onnxslim": "import onnx, onnxslim, sys; print(len(onnxslim.slim(onnx.load(sys.argv[1])).graph.node))",
}


def nodes(peer, path, limit=300):
    """How many nodes `peer` leaves, or what became of it."""
    try:
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", RUN[peer], path], capture_output=True, text=True,
                              timeout=limit)
        return int(done.stdout.split()[-1])
    except subprocess.TimeoutExpired:
        return f"not done in {limit} s"
    except (IndexError, ValueError):
        return (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1][:120]


def main():
    import exports
    import tangles

    paths = [exports.export(name, how) for name, how in exports.ALL] + list(tangles.write_all().values())
    known = json.loads(ORACLES.read_text()) if ORACLES.exists() else {}
    for path in paths:
        key = path.name.removesuffix(".onnx")
        if key not in known or "--again" in sys.argv:
            start = time.monotonic()
            known[key] = {peer: nodes(peer, path) for peer in RUN}
            print(key, known[key], f"{time.monotonic() - start:.0f} s", flush=True)
            ORACLES.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
