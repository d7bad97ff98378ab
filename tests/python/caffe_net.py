"""A .caffemodel by protobuf's own runtime, from nothing but the numbers of its fields."""

import math

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

F = descriptor_pb2.FieldDescriptorProto
# Message: name -> (number, type); `*` repeats, a capital is a message.
FIELDS = {
    "Net": {"name": (1, "string"), "layer": (100, "Layer*")},
    "Layer": {
        "name": (1, "string"), "type": (2, "string"), "bottom": (3, "string*"), "top": (4, "string*"),
        "blobs": (7, "Blob*"), "convolution_param": (106, "Convolution"),
    },
    "Convolution": {"num_output": (1, "uint32"), "kernel_size": (4, "uint32*"), "stride": (6, "uint32*")},
    "Blob": {
        "num": (1, "int32"), "channels": (2, "int32"), "height": (3, "int32"), "width": (4, "int32"),
        "data": (5, "float*"), "shape": (7, "Shape"), "double_data": (8, "double*"), "raw_data_type": (10, "int32"),
        "raw_data": (12, "bytes"),
    },
    "Shape": {"dim": (1, "int64*")},
}  # fmt: skip
RAW = ["<f8", "<f4", "<f2", "<i4", "<u4"]
# What weigh calls the blobs of these types; of others they are weight and bias, or blob0 and on.
NAMES = {
    "BatchNorm": ["running_mean", "running_var", "factor"],
    "LSTM": ["W_xc", "b_c", "W_hc"],
    "Bias": ["bias"],
}
PLAIN = ("Convolution", "Deconvolution", "InnerProduct", "Embed", "Scale", "PReLU", "Normalize", "Parameter")


def _net():
    file = descriptor_pb2.FileDescriptorProto(name="net.proto", package="net", syntax="proto2")
    for message, fields in FIELDS.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            base = kind.rstrip("*")
            field = described.field.add(name=name, number=number)
            field.label = F.LABEL_OPTIONAL if base == kind else F.LABEL_REPEATED
            if base[0].isupper():
                field.type, field.type_name = F.TYPE_MESSAGE, f".net.{base}"
            else:
                field.type = getattr(F, f"TYPE_{base.upper()}")
                # Parsers take both forms, whatever is declared.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("net.Net"))


Net = _net()


def parse(data):
    return Net.FromString(data)


def array(blob):
    if blob.HasField("raw_data"):
        flat = np.frombuffer(blob.raw_data, RAW[blob.raw_data_type])
    elif len(blob.double_data):
        flat = np.array(blob.double_data, "<f8")
    else:
        flat = np.array(blob.data, "<f4")
    if blob.HasField("num"):
        return flat.reshape(blob.num, blob.channels, blob.height, blob.width)
    shape = tuple(blob.shape.dim)
    assert math.prod(shape) == len(flat), (shape, len(flat))
    return flat.reshape(shape)


def leaf(layer, index):
    names = NAMES.get(layer.type, [])
    if any(layer.type.endswith(plain) or layer.type.startswith(plain) for plain in PLAIN):
        names = ["weight", "bias"]
    if layer.type == "Scale" and len(layer.bottom) > 1:
        names = ["bias"]
    return names[index] if index < len(names) else f"blob{index}"


def blobs(net):
    """Names and arrays in order."""
    return [
        (f"{layer.name}.{leaf(layer, i)}" if layer.name else leaf(layer, i), array(blob))
        for layer in net.layer
        for i, blob in enumerate(layer.blobs)
    ]
