"""What only the frameworks can say of written files: GGUF's metadata and split files, Caffe nets in OpenCV, torch's
quantized tensors and ties in its old and new files."""

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import caffe_net
import cv2
import gguf
import numpy as np
import torch
import weigh

CORPUS = weigh.ROOT / "tests" / "corpus"
FORMS = (None, "pytorch:legacy")


def convert(binary, sources, target, *flags):
    """The account, or what was said instead."""
    command = [binary, "convert", *sources, "-o", target, "--json", *flags]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return (json.loads(run.stdout), None) if run.returncode == 0 else (None, run.stderr)


def hashes(binary, *paths):
    listed = weigh.run(binary, "ls", *paths, "--json", "--hash", "--all")
    return {t["name"]: (t["dtype"], t["shape"], t.get("sha256")) for t in listed["tensors"]}


# GGUF.


def fields(reader):
    """Metadata: key, types and value, in order."""
    told = [k for k in reader.fields if not k.startswith(("GGUF.", "split."))]
    return [(k, reader.fields[k].types, reader.fields[k].contents()) for k in told]


def gguf_metadata(binary, scratch):
    for source in sorted((CORPUS / "gguf").glob("*.gguf")):
        # gguf-py reads neither version 1 nor a file without tensors.
        if source.stem in ("version_1", "nothing"):
            continue
        target = scratch / "m.gguf"
        account, said = convert(binary, [source], target, "--force")
        assert account, said
        before, after = gguf.GGUFReader(source), gguf.GGUFReader(target)
        assert repr(fields(before)) == repr(fields(after)), source.name
        assert before.alignment == after.alignment, source.name
        yield
        if before.byte_order == "I" and int(before.fields["GGUF.version"].parts[-1][0]) == 3 and "gaps" not in source.stem:
            assert source.read_bytes() == target.read_bytes(), f"{source.name}: other bytes"


def gguf_split(binary, scratch):
    for source in ("every_block", "aligned", "gguf_py", "big_endian"):
        source = CORPUS / "gguf" / f"{source}.gguf"
        account, said = convert(binary, [source], scratch / "part.gguf", "--shard", "100", "--manifest", scratch / "m")
        assert account, said
        files = sorted(Path(f) for f in account["files"])
        assert account["files"][-1] == str(files[0]), "the first file comes last"
        readers, whole = [gguf.GGUFReader(f) for f in files], gguf.GGUFReader(source)
        told = [tuple(r.fields[f"split.{k}"].contents() for k in ("no", "count", "tensors.count")) for r in readers]
        assert told == [(i, len(files), len(whole.tensors)) for i in range(len(files))], told
        assert [t.name for r in readers for t in r.tensors] == [t.name for t in whole.tensors]
        assert repr(fields(readers[0])) == repr(fields(whole)) and {r.alignment for r in readers} == {whole.alignment}
        assert hashes(binary, *files) == hashes(binary, source), source.name
        manifest = json.loads((scratch / "m").read_text())["tensors"]
        assert all(t["source"]["sha256"] == t["target"]["sha256"] for t in manifest)
        yield
        for file in [*files, scratch / "m"]:
            file.unlink()


def gguf_limits(binary, scratch):
    """Names and shapes at the limits; what is beyond is refused by name."""
    from safetensors.numpy import save_file

    fine = {"a" * 63: np.ones((2, 3, 4, 5), np.float32), "scalar": np.array(3, np.float16)}
    save_file(fine, scratch / "fine.safetensors")
    account, said = convert(binary, [scratch / "fine.safetensors"], scratch / "fine.gguf")
    assert account and sorted(account["kept"]) == sorted(fine), said
    assert [t.name for t in gguf.GGUFReader(scratch / "fine.gguf").tensors]
    yield
    beyond = {
        "b" * 64: np.ones(3, np.float32), "five": np.ones((1, 2, 1, 2, 1), np.float32), "u8": np.ones(3, np.uint8)
    }  # fmt: skip
    save_file(beyond, scratch / "beyond.safetensors")
    account, said = convert(binary, [scratch / "beyond.safetensors"], scratch / "beyond.gguf")
    assert account is None and all(f"{name}:" in said for name in beyond) and "--rename" in said, said
    assert not (scratch / "beyond.gguf").exists()
    yield


# Caffe.


def nets():
    for weights in sorted((CORPUS / "caffe").glob("*.caffemodel")):
        net = weights.with_suffix(".prototxt")
        if net.exists():
            yield weights, net


def opencv(text, weights):
    """The net as OpenCV loads it; None where it does not."""
    if "input" not in text:
        text = 'input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }\n' + text
    try:
        return cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8), np.frombuffer(weights, np.uint8))
    except cv2.error:
        return None


def params(net):
    """The weights in every layer of a net."""
    found = {}
    for name in net.getLayerNames():
        layer = net.getLayer(net.getLayerId(name))
        found.update({(name, i): np.array(blob) for i, blob in enumerate(layer.blobs)})
    return found


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


def caffe_in_opencv(binary, scratch):
    loaded = 0
    for weights, text in nets():
        for sources in ([weights], [text, weights]):
            target = scratch / "n.caffemodel"
            account, said = convert(binary, sources, target, "--force")
            if account is None and "no layer of the net takes it" in said:
                assert weights.stem == "layer_more", said
                continue
            assert account, said
            before = opencv(text.read_text(), weights.read_bytes())
            after = opencv(text.read_text(), target.read_bytes())
            if before is None:
                continue
            loaded += 1
            if params(before):
                assert after is not None and same(params(before), params(after)), weights.name
            else:
                # Of V0's layers OpenCV takes no weights; of those of today that they become, it does.
                assert weights.stem == "v0" and len(params(after)) == 5, weights.name
            yield
    assert loaded > 20, f"OpenCV loads {loaded} nets"


def caffe_halves(binary, scratch):
    """Half precision as NVCaffe has it, which OpenCV reads too."""
    weights, text = CORPUS / "caffe" / "v1.caffemodel", CORPUS / "caffe" / "v1.prototxt"
    target = scratch / "h.caffemodel"
    account, said = convert(binary, [weights], target, "--dtype", "f16", "--allow-overflow")
    assert account, said
    net, whole = opencv(text.read_text(), target.read_bytes()), opencv(text.read_text(), weights.read_bytes())
    with np.errstate(over="ignore"):
        halves = {k: v.astype(np.float16).astype(np.float32) for k, v in params(whole).items()}
    assert same(params(net), halves)
    yield


def caffe_order(binary, scratch):
    """Blobs are known by order: one before others cannot be left out, and the last can."""
    weights = CORPUS / "caffe" / "packed.caffemodel"
    account, said = convert(binary, [weights], scratch / "o.caffemodel", "--drop", "conv1.weight")
    assert account is None and "conv1.weight:" in said and "order" in said, said
    account, said = convert(binary, [weights], scratch / "o.caffemodel", "--drop", "conv1.bias")
    assert account, said
    names = [name for name, _ in caffe_net.blobs(caffe_net.parse((scratch / "o.caffemodel").read_bytes()))]
    assert names == ["conv1.weight", "ip1.weight", "ip1.bias", "ip2.weight"], names
    yield
    account, said = convert(binary, [CORPUS / "pytorch" / "zip_plain.pth"], scratch / "p.caffemodel")
    assert account is None, "a .caffemodel without a net"
    yield


# PyTorch.


def quantized(binary, scratch):
    made = torch.randn(6, 4, 3)
    zeros = torch.tensor([3, -1, 0, 7, 2, 1])
    scales = torch.rand(6, dtype=torch.float64) + 0.01
    source = {
        "tensor.qint8": torch.quantize_per_tensor(made, 0.0371, 5, torch.qint8),
        "tensor.quint8": torch.quantize_per_tensor(made, 0.02, 128, torch.quint8),
        "tensor.qint32": torch.quantize_per_tensor(made, 1e-6, -2, torch.qint32),
        "channel.0": torch.quantize_per_channel(made, scales, zeros, 0, torch.qint8),
        "channel.1": torch.quantize_per_channel(made, scales[:4], zeros[:4], 1, torch.qint8),
        "turned": torch.quantize_per_tensor(made, 0.5, 0, torch.qint8).transpose(0, 2),
        "plain": made,
    }
    source["tied"] = source["tensor.qint8"]
    torch.save(source, scratch / "q.pth")
    for form in FORMS:
        target = scratch / "w.pth"
        account, said = convert(binary, [scratch / "q.pth"], target, "--force", *(("--to", form) if form else ()))
        assert account and sorted(account["kept"]) == sorted(source), said
        loaded = torch.load(target, weights_only=True)
        for name, tensor in source.items():
            got = loaded[name]
            assert got.dtype == tensor.dtype and got.shape == tensor.shape, name
            if not tensor.is_quantized:
                continue
            assert torch.equal(got.int_repr(), tensor.int_repr()) and got.qscheme() == tensor.qscheme(), name
            if got.qscheme() == torch.per_tensor_affine:
                assert (got.q_scale(), got.q_zero_point()) == (tensor.q_scale(), tensor.q_zero_point()), name
            else:
                assert got.q_per_channel_axis() == tensor.q_per_channel_axis(), name
                assert torch.equal(got.q_per_channel_scales(), tensor.q_per_channel_scales()), name
                assert torch.equal(got.q_per_channel_zero_points(), tensor.q_per_channel_zero_points()), name
            assert torch.equal(got.dequantize(), tensor.dequantize()), name
        yield


def ties(binary, scratch):
    whole = torch.arange(24.0)
    source = {"whole": whole, "again": whole, "rows": whole.view(4, 6)[1:3], "turned": whole.view(4, 6).t()}
    torch.save(source, scratch / "t.pth")
    for form in FORMS:
        target = scratch / "w.pth"
        account, said = convert(binary, [scratch / "t.pth"], target, "--force", *(("--to", form) if form else ()))
        assert account and len(account["kept"]) == 4, said
        loaded = torch.load(target, weights_only=True)
        assert len({t.untyped_storage().data_ptr() for t in loaded.values()}) == 1
        assert all(torch.equal(loaded[k], v) and loaded[k].stride() == v.stride() for k, v in source.items())
        yield
    account, _ = convert(binary, [scratch / "t.pth"], scratch / "t.gguf")
    assert len(account["changed"]) == 3 and all("tie is lost" in c["why"] for c in account["changed"])
    yield


CASES = (
    gguf_metadata, gguf_split, gguf_limits, caffe_in_opencv, caffe_halves, caffe_order, quantized, ties,
)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    weigh.add_argument(parser)
    binary = weigh.find(parser.parse_args().weigh)
    warnings.simplefilter("ignore")
    checks, failures = 0, 0
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="weigh-writers-") as scratch:
            try:
                checks += sum(1 for _ in case(binary, Path(scratch)))
            except AssertionError as error:
                failures += 1
                print(f"FAIL {case.__name__}, line {error.__traceback__.tb_next.tb_next.tb_lineno}: {str(error)[:500]}")
    print(f"{checks} checks of written files, {failures} failures")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
