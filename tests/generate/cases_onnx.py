"""ONNX cases: tensors in every type and every place that a model keeps them."""

import copy

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import truth

# ONNX type: safetensors' spelling, and NumPy's type for its values.
TYPES = {
    TensorProto.FLOAT: ("F32", np.float32),
    TensorProto.DOUBLE: ("F64", np.float64),
    TensorProto.FLOAT16: ("F16", np.float16),
    TensorProto.BFLOAT16: ("BF16", ml_dtypes.bfloat16),
    TensorProto.FLOAT8E4M3FN: ("F8_E4M3", ml_dtypes.float8_e4m3fn),
    TensorProto.FLOAT8E5M2: ("F8_E5M2", ml_dtypes.float8_e5m2),
    TensorProto.FLOAT8E4M3FNUZ: ("F8_E4M3FNUZ", ml_dtypes.float8_e4m3fnuz),
    TensorProto.FLOAT8E5M2FNUZ: ("F8_E5M2FNUZ", ml_dtypes.float8_e5m2fnuz),
    TensorProto.FLOAT8E8M0: ("F8_E8M0", ml_dtypes.float8_e8m0fnu),
    TensorProto.FLOAT4E2M1: ("F4", ml_dtypes.float4_e2m1fn),
    TensorProto.INT64: ("I64", np.int64),
    TensorProto.INT32: ("I32", np.int32),
    TensorProto.INT16: ("I16", np.int16),
    TensorProto.INT8: ("I8", np.int8),
    TensorProto.INT4: ("I4", ml_dtypes.int4),
    TensorProto.INT2: ("I2", ml_dtypes.int2),
    TensorProto.UINT64: ("U64", np.uint64),
    TensorProto.UINT32: ("U32", np.uint32),
    TensorProto.UINT16: ("U16", np.uint16),
    TensorProto.UINT8: ("U8", np.uint8),
    TensorProto.UINT4: ("U4", ml_dtypes.uint4),
    TensorProto.UINT2: ("U2", ml_dtypes.uint2),
    TensorProto.BOOL: ("BOOL", np.bool_),
    TensorProto.COMPLEX64: ("C64", np.complex64),
    TensorProto.COMPLEX128: ("C128", np.complex128),
}
BITS = {"F4": 4, "I4": 4, "U4": 4, "I2": 2, "U2": 2}


def write(folder, seed):
    """Writes every case into `folder`; another seed gives other values and shapes."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in CASES.items():
        model, entries = make(rng)
        onnx.checker.check_model(model)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        truth.write(folder / f"{name}.onnx", entries, format="onnx")
    external(folder, rng)


def describe(tensor, name=None):
    """The truth of a TensorProto, from what onnx itself reads in it."""
    name = tensor.name if name is None else name
    shape = list(tensor.dims)
    if tensor.data_type == TensorProto.STRING:
        return truth.entry(name, "STRING", shape, None, None)
    dtype, kind = TYPES[tensor.data_type]
    array = np.ascontiguousarray(numpy_helper.to_array(tensor))
    raw = array.tobytes()
    if dtype in BITS:
        # NumPy may keep the sign beyond the code.
        raw = bytes(b & (2 ** BITS[dtype] - 1) for b in raw)
        array = array.astype(np.float32 if dtype == "F4" else np.int8)
    elif dtype.startswith("C"):
        array = None
    elif array.dtype.kind == "V" or dtype.startswith(("F8", "BF")):
        array = array.astype(np.float32)
    return truth.entry(name, dtype, shape, raw, array)


def tensor(name, array, kind=None, raw=True):
    """A TensorProto of an array, in raw bytes or in the type's own field."""
    kind = kind or next(k for k, (_, t) in TYPES.items() if array.dtype == t)
    if not raw:
        return helper.make_tensor(name, kind, array.shape, array.reshape(-1).tolist())
    bits = BITS.get(TYPES[kind][0])
    data = array.tobytes()
    if bits:
        codes = np.frombuffer(data, np.uint8) & (2**bits - 1)
        each = 8 // bits
        codes = np.pad(codes, (0, -len(codes) % each)).reshape(-1, each)
        data = (codes << (np.arange(each, dtype=np.uint8) * bits)).sum(1).astype(np.uint8).tobytes()
    return helper.make_tensor(name, kind, array.shape, data, raw=True)


def model_of(initializers, nodes=(), inputs=("x",), opset=24):
    """A valid model around initializers: what it computes is beside the point."""
    nodes = [*nodes, helper.make_node("Identity", ["x"], ["y"], name="through")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in inputs]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    graph = helper.make_graph(nodes, "graph", values, [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="weighbridge")
    model.ir_version = 12
    return model


def random(rng, kind, shape):
    dtype, numpy_type = TYPES[kind]
    if dtype == "BOOL":
        return rng.random(shape) < 0.5
    if dtype in BITS or dtype == "F8_E8M0":
        # onnx 1.22 writes E8M0's code 0 (2^-127, a subnormal float) as 1 into the field; 255 is NaN.
        low, top = (1, 255) if dtype == "F8_E8M0" else (0, 2 ** BITS[dtype])
        codes = rng.integers(low, top, shape, dtype=np.uint8)
        if dtype.startswith("I"):
            half = top // 2
            return (((codes.astype(np.int8) + half) % top) - half).astype(numpy_type)
        return codes.astype(numpy_type) if dtype.startswith("U") else codes.view(numpy_type)
    if dtype.startswith(("I", "U")):
        info = np.iinfo(numpy_type)
        return rng.integers(info.min, info.max, shape, dtype=numpy_type, endpoint=True)
    if dtype.startswith("C"):
        return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(numpy_type)
    return rng.normal(0, 2, shape).astype(numpy_type)


def every_dtype(rng):
    shape = tuple(int(n) for n in rng.integers(2, 8, 2))
    found = []
    for kind, (dtype, _) in TYPES.items():
        array = random(rng, kind, shape)
        for raw in (True, False):
            made = tensor(f"{dtype}_{'raw' if raw else 'field'}", array, kind, raw)
            back = numpy_helper.to_array(made)
            assert (back.view(np.uint8) == array.view(np.uint8)).all() or dtype in BITS, made.name
            assert (back == array).all() or dtype.startswith("F"), made.name
            found.append(made)
    return model_of(found), [describe(t) for t in found]


def limits(rng):
    """NaN, infinities and the ends of ranges, in both forms."""
    odd = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 6e-8, 65504, 65520, 1e30])
    with np.errstate(over="ignore"):
        arrays = [odd.astype(t) for t in (np.float32, np.float16, ml_dtypes.bfloat16, np.float64)]
    arrays += [np.array([np.iinfo(t).min, np.iinfo(t).max], t) for t in (np.int64, np.uint64, np.int8, np.uint32)]
    found = [tensor(f"{a.dtype}_raw", a) for a in arrays]
    found += [tensor(f"{a.dtype}_field", a, raw=False) for a in arrays]
    return model_of(found), [describe(t) for t in found]


def shapes(rng):
    found = [
        tensor("scalar", np.array(2.5, np.float32)),
        tensor("scalar_field", np.array(7, np.int64), raw=False),
        tensor("nothing", np.empty((0, 3), np.float32)),
        tensor("nothing_field", np.empty(0, np.int64), raw=False),
        tensor("long", rng.normal(size=int(rng.integers(66_000, 70_000))).astype(np.float32)),
        tensor("with/slash.and:colon", rng.normal(size=(2, 1, 3, 1)).astype(np.float32)),
        tensor("ünïcode ☃", rng.normal(size=2).astype(np.float32)),
    ]
    return model_of(found), [describe(t) for t in found]


def constants(rng):
    """Tensors in attributes: named by the node's output and the attribute."""
    weight = tensor("", rng.normal(size=(2, 3)).astype(np.float32))
    shape = tensor("inner_name", np.array([2, 3], np.int64), raw=False)
    fill = tensor("", np.array([0.25], np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], name="c0", value=weight),
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["filled"], value=fill),
        helper.make_node("Add", ["w", "filled"], ["sum"]),
    ]
    bias = tensor("bias", rng.normal(size=3).astype(np.float32))
    entries = [describe(bias), describe(weight, "w@value"), describe(shape, "shape@value")]
    return model_of([bias], nodes), [*entries, describe(fill, "filled@value")]


def constant_forms(rng):
    """Numbers that Constant nodes hold without a TensorProto; a function with a constant; an annotation."""
    # Of its own, so that the cases after this one stay as they were.
    rng = copy.deepcopy(rng)
    floats = rng.normal(size=5).astype(np.float32)
    ints = rng.integers(-9, 9, 4)
    forms = {"value_float": float(np.float32(0.1)), "value_floats": floats.tolist(), "value_int": 7, "value_ints": ints.tolist()}
    nodes = [helper.make_node("Constant", [], [form], **{form: value}) for form, value in forms.items()]
    nodes += [helper.make_node("Constant", [], ["text"], value_strings=["a", "b"])]
    arrays = {"value_float": np.float32(0.1), "value_floats": floats, "value_int": np.int64(7), "value_ints": ints}
    entries = [truth.of_numpy(f"{form}@{form}", np.asarray(array)) for form, array in arrays.items()]
    entries.append(truth.entry("text@value_strings", "STRING", [2], None, None))
    inner = tensor("", rng.normal(size=(2, 2)).astype(np.float32))
    body = [helper.make_node("Constant", [], ["k"], value=inner), helper.make_node("Add", ["a", "k"], ["b"])]
    function = helper.make_function("local", "addk", ["a"], ["b"], body, [helper.make_opsetid("", 24)])
    nodes.append(helper.make_node("addk", ["x"], ["called"], domain="local"))
    scale = tensor("scale", np.array(0.5, np.float32))
    dense = np.where(rng.random((4, 5)) < 0.3, rng.normal(size=(4, 5)), 0).astype(np.float32)
    places = {"linear": np.flatnonzero(dense), "coordinates": np.argwhere(dense)}
    sparse = {
        name: helper.make_sparse_tensor(tensor(name, dense[dense != 0]), tensor("", at.astype(np.int64)), [4, 5])
        for name, at in places.items()
    }
    nodes.append(helper.make_node("Constant", [], ["sparse"], sparse_value=sparse["linear"]))
    outside = lambda name, array: truth.of_numpy(name, array, in_state_dict=False)  # noqa: E731
    held = {"sparse@sparse_value": places["linear"], "coordinates": places["coordinates"]}
    for name, at in held.items():
        entries.append(truth.of_numpy(name, dense))
        entries += [outside(f"{name}.values", dense[dense != 0]), outside(f"{name}.indices", at.astype(np.int64))]
    model = model_of([scale], nodes)
    model.graph.sparse_initializer.append(sparse["coordinates"])
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.append(function)
    note = model.graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="scale")
    return model, [describe(scale), *entries, describe(inner, "k@value")]


def subgraph(rng):
    """If: initializers and constants of its branches, beside those of the graph."""
    top = tensor("top", rng.normal(size=3).astype(np.float32))
    condition = tensor("condition", np.array(True))
    then = tensor("then_weight", rng.normal(size=(2, 2)).astype(np.float32))
    other = tensor("", rng.normal(size=(3, 2)).astype(np.float16))
    branches = {
        "then_branch": helper.make_graph(
            [helper.make_node("Identity", ["then_weight"], ["then_out"])],
            "then",
            [],
            [helper.make_tensor_value_info("then_out", TensorProto.FLOAT, None)],
            [then],
        ),
        "else_branch": helper.make_graph(
            [
                helper.make_node("Constant", [], ["half"], value=other),
                helper.make_node("Cast", ["half"], ["else_out"], to=TensorProto.FLOAT),
            ],
            "else",
            [],
            [helper.make_tensor_value_info("else_out", TensorProto.FLOAT, None)],
        ),
    }
    node = helper.make_node("If", ["condition"], ["chosen"], name="choose", **branches)
    entries = [describe(top), describe(condition), describe(then), describe(other, "half@value")]
    return model_of([top, condition], [node]), entries


def quantized(rng):
    """Weights as INT8 codes with one scale a channel, behind DequantizeLinear, as exporters write them."""
    codes = tensor("conv.weight_quantized", rng.integers(-127, 128, (4, 3, 3, 3), dtype=np.int8))
    scale = tensor("conv.weight_scale", rng.random(4).astype(np.float32))
    zero = tensor("conv.weight_zero_point", np.zeros(4, np.int8))
    input_scale = tensor("x_scale", np.array(0.02, np.float32))
    input_zero = tensor("x_zero_point", np.array(128, np.uint8))
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "x_scale", "x_zero_point"], ["image_q"]),
        helper.make_node("DequantizeLinear", ["image_q", "x_scale", "x_zero_point"], ["image_dq"]),
        helper.make_node("DequantizeLinear", [codes.name, scale.name, zero.name], ["w"], axis=0),
        helper.make_node("Conv", ["image_dq", "w"], ["features"], name="conv", kernel_shape=[3, 3]),
    ]
    found = [codes, scale, zero, input_scale, input_zero]
    return model_of(found, nodes, inputs=("x", "image"), opset=21), [describe(t) for t in found]


def strings(rng):
    text = helper.make_tensor("labels", TensorProto.STRING, [3], ["cat", "dög", ""])
    weight = tensor("weight", rng.normal(size=3).astype(np.float32))
    return model_of([text, weight]), [describe(text), describe(weight)]


def nothing(rng):
    return model_of([]), []


CASES = {
    "every_dtype": every_dtype,
    "limits": limits,
    "shapes": shapes,
    "constants": constants,
    "subgraph": subgraph,
    "quantized": quantized,
    "strings": strings,
    "nothing": nothing,
    "constant_forms": constant_forms,
}


def external(folder, rng):
    """Data beside the model: with offset and length, to the file's end, and in a folder below."""
    arrays = {
        "first": rng.normal(size=(8, 5)).astype(np.float32),
        "second": rng.normal(size=(3, 7)).astype(np.float16),
        "codes": rng.integers(-8, 8, (3, 5)).astype(ml_dtypes.int4),
        "below": rng.integers(-99, 99, 6, dtype=np.int64),
    }
    made = {name: tensor(name, array) for name, array in arrays.items()}
    entries = [describe(t) for t in made.values()]
    data, places = b"", {}
    for name in ("first", "second", "codes"):
        data += b"\0" * (-len(data) % 64)
        places[name] = {"location": "external.bin", "offset": len(data), "length": len(made[name].raw_data)}
        data += made[name].raw_data
    del places["first"]["offset"], places["codes"]["length"]
    (folder / "external.bin").write_bytes(data)
    (folder / "external").mkdir(exist_ok=True)
    (folder / "external" / "below.bin").write_bytes(made["below"].raw_data)
    places["below"] = {"location": "external/below.bin"}
    for name, place in places.items():
        made[name].ClearField("raw_data")
        made[name].data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            made[name].external_data.add(key=key, value=str(value))
    path = folder / "external.onnx"
    path.write_bytes(model_of(list(made.values())).SerializeToString(deterministic=True))
    onnx.checker.check_model(str(path))
    for again, entry in zip(onnx.load(path).graph.initializer, entries, strict=True):
        assert describe(again) == entry, entry["name"]
    truth.write(path, entries, format="onnx")
