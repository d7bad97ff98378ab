"""Copies tests/corpus to where libFuzzer looks for seeds; the pickles of .pth files go to the pickle target."""

import shutil
import zipfile
from pathlib import Path

FUZZ = Path(__file__).parent
CORPUS = FUZZ.parent / "tests/corpus"
LARGEST = 1 << 16
# How names of hostile files begin.
HOSTILE = {"tfl": "tflite", "h5": "keras", "trt": "tensorrt"}


def put(target, name, content):
    folder = FUZZ / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    if len(content) <= LARGEST:
        (folder / name).write_bytes(content)


for path in sorted(p for p in CORPUS.rglob("*") if p.is_file() and p.suffix != ".json"):
    content = path.read_bytes()
    name = "-".join(path.relative_to(CORPUS).parts)
    if content[:4] == b"PK\x03\x04" or zipfile.is_zipfile(path):
        put("zip", name, content)
        put(next((format for format in ("numpy", "keras") if name.startswith(format)), "pytorch"), name, content)
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    if member.endswith("data.pkl"):
                        put("pickle", name, archive.read(member))
        except Exception as fault:  # hostile files are seeds too
            print(f"{name}: {fault}")
    elif name.startswith("pytorch-") or any(kind in name for kind in ("legacy", "tar", "pickle")):
        put("pytorch", name, content)
    elif format := next((format for format in ("numpy", "tflite", "tensorrt", "keras", "wts", "gguf", "tensorflow") if name.startswith(format)), None):
        put(format, name, content)
    elif format := next((format for kind, format in HOSTILE.items() if name.startswith(f"hostile-{kind}_")), None):
        put(format, name, content)
    elif "onnx" in name:
        put("onnx", name, content)
    elif "caffe" in name:
        put("caffe", name, content)
    elif "tensorflow" in name:
        put("tensorflow", name, content)
    elif "gguf" in name:
        put("gguf", name, content)
    elif "safetensors" in name:
        put("safetensors", name, content)

# Graphs are seeds of what is done to them, nets of what they become.
for path in sorted((FUZZ / "corpus" / "onnx").glob("*")):
    put("graph", path.name, path.read_bytes())
for path in sorted((FUZZ.parent / "tests/oracles/caffe").glob("*.prototxt")):
    put("lower", path.name, path.read_bytes())
