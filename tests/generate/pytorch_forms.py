"""PyTorch's other files: legacy, tar, TorchScript, .pt2, bare pickles, shards."""

import collections
import io
import json
import pickle
import struct
import tarfile
import warnings
import zipfile
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch._export.serde.serialize import serialize

import truth
import values
from flatten import entries


def write(folder, rng, plain):
    """Writes every case; `plain` is a state dict."""
    legacy(folder, rng, plain)
    tar(folder, rng)
    bare(folder, rng, plain)
    scripts(folder, rng)
    exported(folder, rng)
    shards(folder, rng)


def legacy(folder, rng, plain):
    base = values.weights(rng, 24)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.bool, torch.complex64)
    content = {
        "weights": plain,
        "kinds": {str(d).removeprefix("torch."): values.of_dtype(rng, d, 3, 5) for d in kinds},
        "base": base,
        "part": base[4:9],
        "transposed": base.view(4, 6).t(),
        "empty": torch.empty(0, 3),
        "array": np.arange(6.0).reshape(2, 3),
        "epoch": 7,
    }
    for protocol in (1, 2, 4, 5):
        save(folder / f"legacy_protocol{protocol}.pth", content, pickle_protocol=protocol)
    big = {f"{d}".removeprefix("torch."): values.of_dtype(rng, d, 4, 3) for d in (torch.float32, torch.int16, torch.uint8)}
    save(folder / "legacy_big_endian.pth", big, rewrite=lambda data: swapped(data, big))
    # torch puts the source code of modules into such files, where it finds it: torch's own has no place here.
    with mock.patch("inspect.getsourcelines", side_effect=OSError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(folder / "legacy_module.pth", nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))


def save(path, value, rewrite=lambda data: data, pickle_protocol=2):
    out = io.BytesIO()
    torch.save(value, out, pickle_protocol=pickle_protocol, _use_new_zipfile_serialization=False)
    path.write_bytes(rewrite(out.getvalue()))
    truth.write(path, entries(value), format="pytorch")


class Skimming(pickle.Unpickler):
    """Rebuilds nothing."""

    def persistent_load(self, pid):
        return None

    def find_class(self, module, name):
        return (lambda *_: None) if module == "torch._utils" else super().find_class(module, name)


def swapped(data, tensors):
    """As very old versions wrote on a big-endian machine: counts and elements in its own order."""
    widths = {str(t.untyped_storage()._cdata): t.dtype.itemsize for t in tensors.values()}
    file = io.BytesIO(data)
    *_, keys = [Skimming(file).load() for _ in range(5)]
    out = bytearray(data[: file.tell()])
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        raw = np.frombuffer(file.read(count * widths[key]), np.uint8).reshape(-1, widths[key])
        out += struct.pack(">q", count) + raw[:, ::-1].tobytes()
    assert not file.read()
    return bytes(out)


class Reference:
    def __init__(self, key):
        self.key = key


class Referring(pickle.Pickler):
    def persistent_id(self, value):
        return value.key if isinstance(value, Reference) else None


def tar(folder, rng):
    """A checkpoint as torch wrote it before 0.2, with a storage that is part of another."""
    tensors = {"conv.weight": values.weights(rng, 4, 3, 2, 2), "conv.bias": values.weights(rng, 4)}
    tensors["ids"] = values.of_dtype(rng, torch.int64, 5)
    dumps = lambda value: pickle.dumps(value, 2)  # noqa: E731
    name = {torch.float32: "Float", torch.int64: "Long"}
    stored, described = [dumps(len(tensors))], [dumps(len(tensors) + 2)]

    def describe(key, storage, class_, tensor, offset=0):
        n = tensor.dim()
        numbers = struct.pack(f"<i4x{2 * n + 1}q", n, *tensor.shape, *tensor.stride(), offset)
        described.append(dumps((key, storage, class_)) + numbers)

    for key, tensor in enumerate(tensors.values()):
        kind = name[tensor.dtype]
        raw = tensor.contiguous().numpy()
        stored.append(dumps((1000 + key, "cpu", getattr(torch, f"{kind}Storage"))))
        stored.append(struct.pack("<q", raw.size) + raw.tobytes())
        describe(key, 1000 + key, getattr(torch, f"{kind}Tensor"), tensor)
    weight = tensors["conv.weight"].reshape(-1)
    tensors["part"], tensors["transposed"] = weight[10:16], weight.view(12, 4).t()
    describe(3, 2000, torch.FloatTensor, tensors["part"])
    describe(4, 1000, torch.FloatTensor, tensors["transposed"])
    stored.append(dumps([(2000, 1000, 10, 6)]))
    out = io.BytesIO()
    Referring(out, 2).dump(collections.OrderedDict((n, Reference(str(k))) for k, n in enumerate(tensors)))
    path = folder / "tar.pth"
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        system = dumps({"protocol_version": 1000, "little_endian": True})
        parts = {"sys_info": system, "pickle": out.getvalue()}
        parts |= {"tensors": b"".join(described), "storages": b"".join(stored)}
        for member, content in parts.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    loaded = torch.load(path, weights_only=False)
    assert all(torch.equal(loaded[n], t) for n, t in tensors.items())
    truth.write(path, entries(tensors), format="pytorch")


def bare(folder, rng, plain):
    content = {
        "weights": dict(plain),
        "array": rng.normal(size=(3, 4)),
        "big_endian": np.arange(4, dtype=">i4"),
        "fortran": np.asfortranarray(rng.normal(size=(2, 3)).astype(np.float32)),
        "tied": plain["0.weight"],
        "note": "text",
    }
    for protocol in (2, 3, 4, 5):
        path = folder / f"bare_protocol{protocol}.pkl"
        path.write_bytes(pickle.dumps(content, protocol))
        truth.write(path, entries(content), format="pytorch")


class Inner(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("table", values.weights(rng, 3))
        self.plain = values.weights(rng, 2)
        self.sizes = [1, 2]

    def forward(self, x):
        return self.linear(x) + self.table + self.plain.sum() * self.sizes[0]


class Outer(nn.Module):
    def __init__(self, rng, blocks):
        super().__init__()
        self.blocks = nn.ModuleList([Inner(rng) for _ in range(blocks)])
        self.frozen = nn.Parameter(values.weights(rng, 2, 3), requires_grad=False)
        self.low = nn.Parameter(values.weights(rng, 3).half())

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x @ self.frozen.t() + torch.tensor([0.5, 1.5])


def scripts(folder, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = Outer(rng, 2).eval()
        scripted = torch.jit.script(network)
        traced = torch.jit.trace(Outer(rng, 0).eval(), torch.zeros(1, 3))
    outside = lambda name, tensor: truth.of_torch(name, tensor, in_state_dict=False)  # noqa: E731
    plain = [outside(f"blocks.{i}.plain", block.plain) for i, block in enumerate(network.blocks)]
    constant = [outside("CONSTANTS.c0", torch.tensor([0.5, 1.5]))]
    for name, module, more in (("script.pt", scripted, plain), ("traced.pt", traced, constant)):
        out = io.BytesIO()
        torch.jit.save(module, out, _extra_files={"note.txt": "kept"})
        (folder / name).write_bytes(without_paths(out.getvalue()))
        loaded = torch.jit.load(folder / name)
        state = [truth.of_torch(n, t) for n, t in loaded.state_dict().items()]
        truth.write(folder / name, state + more, format="pytorch")


def without_paths(data):
    """The archive without the notes on where the code came from, which name the writer's folders."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            if not name.endswith(".debug_pkl"):
                new.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), old.read(name))
    return out.getvalue()


class Net(nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2, dtype=torch.bfloat16)
        self.tied = self.head
        self.register_buffer("scale", values.weights(rng, 4), persistent=False)

    def forward(self, x):
        x = self.norm(self.conv(x)).mean((2, 3)) * self.scale + torch.tensor([1.0, 2.0, 3.0, 4.0])
        return self.head(x.bfloat16())


def exported(folder, rng):
    program = torch.export.export(Net(rng).eval(), (torch.zeros(1, 3, 6, 6),))
    for node in program.graph.nodes:
        # It names the writer's folders.
        node.meta.pop("stack_trace", None)
    path = folder / "exported.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)
    state = [truth.of_torch(n, t) for n, t in program.state_dict.items()]
    constants = [truth.of_torch(n, t, in_state_dict=False) for n, t in program.constants.items()]
    truth.write(path, state + constants, format="pytorch")
    older_exported(folder, program, state + constants)


def older_exported(folder, program, tensors):
    """The archives that torch 2.7 and 2.8 made of what is written here in their way."""
    made = serialize(program)
    program, weights, constants = made.exported_program, made.state_dict, made.constants
    before = {
        "version": b"8.2",
        "serialized_exported_program.json": program,
        "serialized_state_dict.pt": weights,
        "serialized_constants.pt": constants,
    }
    between = {
        "archive/archive_format": b"pt2",
        "archive/models/model.json": program,
        "archive/data/weights/model.pt": weights,
        "archive/data/constants/model.pt": constants,
    }
    for name, entries_ in (("exported_2_7.pt2", before), ("exported_2_8.pt2", between)):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for entry, content in entries_.items():
                archive.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), content)
        truth.write(folder / name, tensors, format="pytorch")


def shards(folder, rng):
    """As transformers shards a checkpoint."""
    home = folder / "sharded"
    home.mkdir(exist_ok=True)
    parts = [
        {f"model.layers.{i}.{n}": values.weights(rng, 4, 3).bfloat16() for n in ("q_proj.weight", "o_proj.weight")}
        for i in range(2)
    ]
    where = {}
    for i, part in enumerate(parts):
        file = f"pytorch_model-{i + 1:05}-of-00002.bin"
        torch.save(part, home / file)
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 96}, "weight_map": where}
    (home / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=2) + "\n")
    truth.write(home, entries(parts[0] | parts[1]), format="pytorch")
