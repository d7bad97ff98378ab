"""safetensors cases: files of the safetensors library, and ones as other writers lay them out."""

import json

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load, save

import nets
import truth
import values


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in CASES.items():
        path = folder / f"{name}.safetensors"
        tensors, metadata = make(rng)
        path.write_bytes(in_order(save(tensors, metadata)))
        describe(path, tensors, metadata)
    tensors = small(rng)
    for name, data in {"unaligned": unaligned(tensors), "reversed": backwards(tensors)}.items():
        path = folder / f"{name}.safetensors"
        path.write_bytes(data)
        assert all(torch.equal(value, tensors[key]) for key, value in load(data).items())
        describe(path, tensors)
    sharded(folder / "llama_sharded", rng)
    alone(folder / "one_file_folder", rng)


def in_order(data):
    """The library writes metadata in the order of a hash table; sorted, every run gives the same bytes."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    if "__metadata__" not in header:
        return data
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode().ljust(end - 8)
    assert len(text) == end - 8
    return data[:8] + text + data[end:]


def describe(path, tensors, metadata=None):
    about = {"metadata": metadata} if metadata else {}
    truth.write(path, [truth.of_torch(k, v) for k, v in tensors.items()], format="safetensors", **about)


def short(dtype):
    return str(dtype).removeprefix("torch.")


def every_dtype(rng):
    left_out = (torch.complex32, torch.complex128)
    wanted = [d for d in truth.TORCH_DTYPES if d not in left_out and not short(d).startswith("q")]
    return {short(d): values.of_dtype(rng, d, 3, 6) for d in wanted}, {"format": "pt"}


def limits(rng):
    found = {short(d): torch.tensor([torch.iinfo(d).min, torch.iinfo(d).max], dtype=d) for d in values.INTEGERS}
    kinds = (torch.float32, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.float8_e4m3fn)
    return found | {short(d): values.special(d) for d in kinds}, None


def bits(rng):
    kinds = [d for d in values.FLOATS if d.itemsize == 1 and d != torch.float4_e2m1fn_x2]
    return {short(d): values.all_bits(d) for d in kinds} | {"float32": values.any_bits(rng, torch.float32, 1500)}, None


def shapes(rng):
    return {
        "scalar": torch.tensor(2.5),
        "one": values.weights(rng, 1),
        "eight_dimensions": values.weights(rng, 2, 1, 3, 1, 2, 1, 1, 2),
        "no_rows": torch.empty(0, 3),
        "no_columns": torch.empty(3, 0, dtype=torch.int8),
        "random": values.weights(rng, *values.shape(rng)),
        "wide": values.weights(rng, 1, int(rng.integers(500, 2000))),
        # More than one block of the kernels, so that figures are merged.
        "long": values.weights(rng, int(rng.integers(66_000, 70_000))),
    }, None


def metadata(rng):
    kept = {"format": "pt", "title": "ünïcode ☃", "json": '{"a":[1,2]}', "empty": "", "line": "a\nb", "long": "x" * 500}
    return {"weight": values.weights(rng, 2, 2)}, kept


def names(rng):
    keys = ["with space", "ünïcode ☃", "slash/and:colon", "line\nbreak", "quote\"'", "", "#", "long" * 80]
    return {key: values.weights(rng, 2) for key in keys}, None


def nothing(rng):
    return {}, None


def llama(rng):
    return {name: values.weights(rng, *size).bfloat16() for name, size in nets.llama()}, {"format": "pt"}


def awq(rng):
    prefix = "model.layers.0.mlp.up_proj"
    return {
        f"{prefix}.qweight": values.of_dtype(rng, torch.int32, 32, 4),
        f"{prefix}.qzeros": values.of_dtype(rng, torch.int32, 2, 4),
        f"{prefix}.scales": values.weights(rng, 2, 32).abs().half(),
        "model.layers.1.mlp.up_proj.weight": values.of_dtype(rng, torch.float8_e4m3fn, 8, 16),
        "model.layers.1.mlp.up_proj.weight_scale_inv": values.weights(rng, 1, 1).abs(),
    }, None


CASES = {
    "every_dtype": every_dtype,
    "limits": limits,
    "bits": bits,
    "shapes": shapes,
    "metadata": metadata,
    "names": names,
    "nothing": nothing,
    "llama": llama,
    "awq": awq,
}


# Layouts that the library reads and does not write.


def small(rng):
    return {"a": values.weights(rng, 3), "b": values.of_dtype(rng, torch.float64, 2, 2), "c": torch.arange(5)}


def pack(tensors, order, pad):
    header, data = {}, b""
    for key in order:
        raw = tensors[key].numpy().tobytes()
        header[key] = {
            "dtype": truth.TORCH_DTYPES[tensors[key].dtype],
            "shape": list(tensors[key].shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps({key: header[key] for key in tensors}).encode()
    text += b" " * (pad - len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def unaligned(tensors):
    """Data that begins at no multiple of anything, as writers without padding leave it."""
    return pack(tensors, tensors, 9)


def backwards(tensors):
    """A header in another order than the data."""
    return pack(tensors, reversed(tensors), 8)


# Folders.


def sharded(folder, rng):
    tensors, _ = llama(rng)
    folder.mkdir(exist_ok=True)
    names_ = list(tensors)
    shards = [names_[i::3] for i in range(3)]
    weight_map = {}
    for i, shard in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):05}.safetensors"
        (folder / file).write_bytes(save({name: tensors[name] for name in shard}, {"format": "pt"}))
        weight_map |= dict.fromkeys(shard, file)
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": {name: weight_map[name] for name in sorted(names_)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    (folder / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": 4}\n')
    describe(folder, tensors)


def alone(folder, rng):
    tensors, _ = awq(rng)
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
    (folder / "config.json").write_text("{}\n")
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(tensors)
    describe(folder, tensors)
