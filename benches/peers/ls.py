"""weigh ls of large files of every format, and weigh stats of a large .caffemodel: CPU time, private memory.

The files are sparse: their weights are zeros that take no disk. Only headers are read, but for the .caffemodel's.
"""

import argparse
import os
import statistics
import tempfile
import zipfile
from pathlib import Path

from peers import ROOT, Job, seconds, watch

TENSORS = 16


def shapes(size):
    """So many tensors of so many bytes of F32 in all."""
    return {f"layer{i}.weight": (size // TENSORS // 4096, 1024) for i in range(TENSORS)}


def count(shape):
    return shape[0] * shape[1]


# Files.


def make_safetensors(path, size):
    import json

    at, header = 0, {}
    for name, shape in shapes(size).items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * count(shape)]}
        at += 4 * count(shape)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + at)


def make_pth(path, size):
    import torch

    # The data are left out, and their place is kept.
    with torch.serialization.skip_data():
        torch.save({name: torch.empty(shape) for name, shape in shapes(size).items()}, path)


class Sparse:
    """A file in which zeros are not written but passed over."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        if data == bytes(len(data)):
            self.file.seek(len(data), os.SEEK_CUR)
        else:
            self.file.write(data)
        return len(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def make_npz(path, size):
    import numpy as np

    with path.open("wb") as file, zipfile.ZipFile(Sparse(file), "w") as archive:
        for name, shape in shapes(size).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                head = {"descr": "<f4", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(entry, head)
                for _ in range(shape[0]):
                    entry.write(bytes(4 * shape[1]))


def make_npy(path, size):
    import numpy as np

    np.lib.format.open_memmap(path, "w+", "<f4", (size // 4096, 1024))


def make_gguf(path, size):
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, "llama")
    for name, shape in shapes(size).items():
        writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * count(shape))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    os.truncate(path, path.stat().st_size + size + 4096)


def make_h5(path, size):
    import h5py

    with h5py.File(path, "w") as file:
        for name, shape in shapes(size).items():
            settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            settings.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            settings.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple(shape)
            h5py.h5d.create(file.id, name.encode(), h5py.h5t.IEEE_F32LE, space, settings)


def make_tflite(path, size):
    """Buffers stand behind the flatbuffer, as beyond 2 GB they must."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    def packed(first):
        model, graph = schema.ModelT(), schema.SubGraphT()
        empty = schema.BufferT()
        model.version, model.buffers, graph.tensors = 3, [empty], []
        for name, shape in shapes(size).items():
            tensor, buffer = schema.TensorT(), schema.BufferT()
            tensor.name, tensor.shape, tensor.type = name, shape, schema.TensorType.FLOAT32
            tensor.buffer = len(model.buffers)
            buffer.offset, buffer.size = first, 4 * count(shape)
            first += buffer.size
            model.buffers.append(buffer)
            graph.tensors.append(tensor)
        graph.inputs, graph.outputs, graph.operators = [], [], []
        model.subgraphs, model.operatorCodes = [graph], []
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output()), first

    # Offsets are of the same width, whatever they are.
    first = (len(packed(1 << 20)[0]) + 63) // 64 * 64
    head, end = packed(first)
    path.write_bytes(head)
    os.truncate(path, end)


def make_onnx_external(path, size):
    import onnx

    weights = path.with_suffix(".data")
    weights.touch()
    os.truncate(weights, size)
    initializers, at = [], 0
    for name, shape in shapes(size).items():
        tensor = onnx.TensorProto(name=name, dims=shape, data_type=onnx.TensorProto.FLOAT, data_location=1)
        for key, value in (("location", weights.name), ("offset", str(at)), ("length", str(4 * count(shape)))):
            tensor.external_data.add(key=key, value=value)
        at += 4 * count(shape)
        initializers.append(tensor)
    graph = onnx.helper.make_graph([], "g", [], [], initializers)
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, content):
    """A length-delimited field: bytes, or a list of fields and of numbers of zeros."""
    return [varint(number << 3 | 2), varint(length(content)), content]


def length(content):
    if isinstance(content, int):
        return content
    return len(content) if isinstance(content, bytes) else sum(map(length, content))


def put(file, content):
    if isinstance(content, int):
        file.seek(content, os.SEEK_CUR)
    elif isinstance(content, bytes):
        file.write(content)
    else:
        for part in content:
            put(file, part)


def make_protobuf(path, content):
    with path.open("wb") as file:
        put(file, content)
        file.truncate(file.tell())


def make_onnx_embedded(path, size):
    """TensorProto in GraphProto in ModelProto; a message of protobuf ends at 2 GB."""
    tensors = [
        field(5, [b"".join(b"\x08" + varint(n) for n in shape), b"\x10\x01", field(8, name.encode()),
                  field(9, 4 * count(shape))])
        for name, shape in shapes(min(size, 2000 << 20)).items()
    ]  # fmt: skip
    opset = field(8, [b"\x10\x15"])
    make_protobuf(path, [b"\x08\x08", opset, field(7, [field(2, b"g"), *tensors])])


def make_caffemodel(path, size):
    """BlobProto in LayerParameter in NetParameter."""
    layers = [
        field(100, [field(1, name.encode()), field(2, b"InnerProduct"),
                    field(7, [field(7, [field(1, b"".join(map(varint, shape)))]), field(5, 4 * count(shape))])])
        for name, shape in shapes(size).items()
    ]  # fmt: skip
    make_protobuf(path, [field(1, b"net"), *layers])


MAKERS = {
    "safetensors": make_safetensors,
    "pth": make_pth,
    "npz": make_npz,
    "npy": make_npy,
    "gguf": make_gguf,
    "h5": make_h5,
    "tflite": make_tflite,
    "external.onnx": make_onnx_external,
    "embedded.onnx": make_onnx_embedded,
    "caffemodel": make_caffemodel,
}


# Measuring.


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--weigh", type=Path, default=ROOT / "target/release/weigh")
    args = parser.parse_args()
    size = int(args.gigabytes * 2**30)
    with tempfile.TemporaryDirectory(prefix="weigh-ls-") as folder:
        jobs, sizes = [], {}
        for ending, make in MAKERS.items():
            path = Path(folder) / f"net.{ending}"
            # What a framework holds while it makes a file would count as its children's memory.
            child = os.fork()
            if child == 0:
                make(path, size)
                os._exit(0)
            if os.waitpid(child, 0)[1]:
                raise SystemExit(f"{ending} could not be made")
            commands = [["ls"]] if ending != "caffemodel" else [["ls"], ["stats", "--json"]]
            for command in commands:
                name = f"weigh {' '.join(command)} (.{ending})"
                jobs.append(Job(name, [str(args.weigh), *command, str(path)]))
                sizes[name] = sum(p.stat().st_size for p in (path, path.with_suffix(".data")) if p.exists())
        for _ in range(args.runs):
            for job in jobs:
                watch(job, quiet=True)
        print(f"{TENSORS} tensors of F32; CPU: median of {args.runs}; private: peak of RssAnon\n")
        print("| what | bytes | CPU | private |\n|---|---:|---:|---:|")
        for job in jobs:
            cells = f"{sizes[job.name] / 1e9:.1f} GB | {seconds(statistics.median(job.cpu))} | {job.anonymous:.1f} MB"
            print(f"| `{job.name}` | {cells} |")


if __name__ == "__main__":
    main()
