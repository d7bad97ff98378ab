"""TensorRT engines: headers laid out as real ones are, over bytes that stand for what TensorRT alone can read.

No engine is built here. The newest layout is that of engines which TensorRT-RTX 1.7 built; see docs/formats/tensorrt.md
for where the others are from.
"""

import json
import struct

import numpy as np

import truth

TEXT = b"""header {
  inputs={ "x.1" }
  outputs={ "y.1" "z.1" }
  accelerators={sm80 sm89 }
} layers="[ONNX Layer: conv1] [ONNX Layer: fc]" [ONNX Layer: conv1]
"""


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other sizes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    inner = rng.bytes(int(rng.integers(50, 200)))
    rtx = sectioned(b"vtrt", (1, 7, 1, 116), {"ENGN": b"ptrt" + TEXT + inner, "WGHT": rng.bytes(64)})
    said = {"description": "a detector", "task": "detect", "stride": 32, "names": {"0": "person"}}
    document = json.dumps(said).encode()
    plain = struct.pack("<4sIQQ4B", b"ftrt", 0, 1, 28 + len(inner), 10, 3, 0, 26) + inner
    engines = {
        "rtx.engine": (rtx, {"version": "TensorRT-RTX 1.7.1.116", "weights": {"bytes": 64}, "targets": ["sm80", "sm89"],
                             "inputs": ["x.1"], "outputs": ["y.1", "z.1"], "onnx layers": ["conv1", "fc"]}),
        "sections.plan": (sectioned(b"ftrt", (8, 6, 1, 6), {"ENGN": inner}), {"version": "TensorRT 8.6.1.6"}),
        "ten.plan": (plain, {"version": "TensorRT 10.3.0.26", "engine": {"bytes": len(plain)}}),
        "described.engine": (struct.pack("<I", len(document)) + document + plain, said),
        "eight_five.trt": (struct.pack("<4sIQQ", b"ftrt", 0, 232, 24 + len(inner)) + inner,
                           {"version": "TensorRT 8.5", "serialization": 232}),
        "seven.trt": (struct.pack("<4sIQI", b"ptrt", 0x61, len(inner), 0) + inner, {"magic": "ptrt", "serialization": 97}),
    }  # fmt: skip
    for name, (content, metadata) in engines.items():
        path = folder / name
        path.write_bytes(content)
        truth.write(path, [], format="tensorrt", metadata=metadata)


def sectioned(magic, version, sections):
    """An engine of sections by name, as TensorRT-RTX lays it out."""
    at = 64 + 24 * len(sections)
    total = at + sum(map(len, sections.values()))
    weights = len(sections.get("WGHT", b""))
    head = struct.pack("<4sIQQ4B4s", magic, 0, len(sections), total, *version, magic)
    table = b""
    for name, content in sections.items():
        table += struct.pack("<4sIQQ", name[::-1].encode(), 0, at, len(content))
        at += len(content)
    return head + struct.pack("<QQQQ", 8, 0, 0, weights) + table + b"".join(sections.values())
