"""ONNX graphs that are wrong, absurd or huge, each by name: what must be refused, and what must come out in some way.

`build(name)` gives the bytes of one; they are made when asked for, since some are tens of megabytes.
"""

import onnx
from onnx import TensorProto, helper, numpy_helper

import numpy as np

MANY = 100_000
HUGE = 1 << 62


def value(name, shape=(2, 3), dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs=None, outputs=None, initializers=(), functions=(), opset=17, info=()):
    inputs = [value("x")] if inputs is None else inputs
    outputs = [value("y", None)] if outputs is None else outputs
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers), value_info=list(info))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    made = helper.make_model(graph, opset_imports=opsets, functions=list(functions))
    made.ir_version = 8
    return made.SerializeToString()


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs, outputs, name=f"n_{outputs[0]}" if outputs else "", **attributes)


def ints(name, *numbers):
    return numpy_helper.from_array(np.array(numbers, np.int64), name)


def floats(name, *shape):
    return numpy_helper.from_array(np.ones(shape, np.float32), name)


def chain(op, count=MANY, **attributes):
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    return [node(op, [a], [b], **attributes) for a, b in zip(names, names[1:])]


def pairs(ops, count=MANY):
    names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
    return [node(ops[i % len(ops)], [names[i]], [names[i + 1]]) for i in range(count)]


def nested(depth):
    """If in If in If: put together from the inside as bytes, since protobuf's own code would not go so deep."""
    import hostile_bytes as raw

    return raw.nested_ifs(depth)


def branch(name, nodes, output):
    return helper.make_graph(nodes, name, [], [value(output, None)])


def loop(count, condition, body_nodes, carried="c"):
    body = helper.make_graph(
        body_nodes,
        "body",
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value(carried, None)],
        [value("go_out", [], TensorProto.BOOL), value("c_out", None)],
    )
    inits = [numpy_helper.from_array(np.array(True), "t")]
    if count is not None:
        inits.append(numpy_helper.from_array(np.array(count, np.int64), "m"))
    nodes = [node("Loop", ["" if count is None else "m", condition, "x"], ["y"], body=body)]
    return model(nodes, initializers=inits)


def odd_attribute(op, inputs, name, wrong, initializers=()):
    made = node(op, inputs, ["y"])
    made.attribute.append(helper.make_attribute(name, wrong))
    return model([made], [value("x", (1, 3, 8, 8))], initializers=initializers)


def recursive(calls):
    body = [node("Relu", ["a"], ["a0"])]
    for i in range(calls):
        body.append(helper.make_node("F", [f"a{i}"], [f"a{i + 1}"], domain="own"))
    body.append(node("Relu", [f"a{calls}"], ["b"]))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    function = helper.make_function("own", "F", ["a"], ["b"], body, opsets)
    return model([helper.make_node("F", ["x"], ["y"], domain="own")], functions=[function])


def ladder(depth):
    """Functions that each call the next one twice: 2^depth calls in all."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for i in range(depth):
        op = f"F{i + 1}" if i + 1 < depth else "Relu"
        domain = "own" if i + 1 < depth else ""
        body = [
            helper.make_node(op, ["a"], ["m"], domain=domain),
            helper.make_node(op, ["m"], ["b"], domain=domain),
        ]
        functions.append(helper.make_function("own", f"F{i}", ["a"], ["b"], body, opsets))
    return model([helper.make_node("F0", ["x"], ["y"], domain="own")], functions=functions)


def doubling(times):
    names = ["w", *(f"d{i}" for i in range(times))]
    nodes = [node("Concat", [a, a], [b], axis=0) for a, b in zip(names, names[1:])]
    return model([*nodes, node("Add", ["x", names[-1]], ["y"])], initializers=[floats("w", 2)])


def squaring(times):
    """A Constant that is multiplied by itself, by way of shapes: sizes grow beyond all numbers."""
    names = ["k", *(f"d{i}" for i in range(times))]
    nodes = [node("Mul", [a, a], [b]) for a, b in zip(names, names[1:])]
    nodes.append(node("Expand", ["x", names[-1]], ["y"]))
    return model(nodes, initializers=[ints("k", 2, 3)])


def range_to(limit):
    inits = [numpy_helper.from_array(np.array(n, np.int64), k) for k, n in zip("abd", (0, limit, 1))]
    nodes = [node("Range", ["a", "b", "d"], ["r"]), node("Cast", ["r"], ["f"], to=1), node("ReduceMax", ["f"], ["m"])]
    return model([*nodes, node("Add", ["x", "m"], ["y"])], initializers=inits)


def negative_dims():
    made = onnx.load_from_string(model([node("Add", ["x", "w"], ["y"])], initializers=[floats("w", 3)]))
    made.graph.initializer[0].dims[:] = [-3]
    return made.SerializeToString()


def many_readers():
    nodes = [node("Add", ["x", "w"], [f"v{i}"]) for i in range(MANY)]
    return model([*nodes, node("Max", [f"v{i}" for i in range(MANY)], ["y"])], initializers=[floats("w", 3)])


# By name: how it is made, and whether it must be refused.
GRAPHS = {
    "cycle": (lambda: model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]), True),
    "cycle_of_itself": (lambda: model([node("Add", ["x", "y"], ["y"])]), True),
    "cycle_through_a_subgraph": (lambda: model([
        node("If", ["c"], ["y"], then_branch=branch("t", [node("Relu", ["z"], ["q"])], "q"),
             else_branch=branch("e", [node("Relu", ["x"], ["r"])], "r")),
        node("Relu", ["y"], ["z"])], [value("x"), value("c", [], TensorProto.BOOL)]), True),
    "cycle_of_many": (lambda: model([node("Add", ["x", f"v{(i - 1) % MANY}"], [f"v{i}"]) for i in range(MANY)], outputs=[value("v0")]), True),
    "missing_input": (lambda: model([node("Add", ["x", "nowhere"], ["y"])]), True),
    "missing_inputs_of_many": (lambda: model([node("Add", ["x", f"no{i}"], [f"v{i}"]) for i in range(MANY)], outputs=[value("v0")]), True),
    "missing_in_a_subgraph": (lambda: model([
        node("If", ["c"], ["y"], then_branch=branch("t", [node("Relu", ["nowhere"], ["q"])], "q"),
             else_branch=branch("e", [node("Relu", ["x"], ["r"])], "r"))], [value("x"), value("c", [], TensorProto.BOOL)]), True),
    "missing_output": (lambda: model([node("Relu", ["x"], ["z"])]), True),
    "made_twice": (lambda: model([node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])]), None),
    "no_inputs_given": (lambda: model([node("Add", [], ["y"])]), None),
    "no_outputs_given": (lambda: model([node("Relu", ["x"], []), node("Relu", ["x"], ["y"])]), None),
    "perm_of_text": (lambda: odd_attribute("Transpose", ["x"], "perm", "abc"), True),
    "perm_of_floats": (lambda: odd_attribute("Transpose", ["x"], "perm", [0.5, 1.5]), True),
    "axis_of_text": (lambda: odd_attribute("Softmax", ["x"], "axis", "last"), True),
    "strides_of_one_number": (lambda: odd_attribute("Conv", ["x", "w"], "strides", 2, [floats("w", 4, 3, 3, 3)]), True),
    "to_of_a_list": (lambda: odd_attribute("Cast", ["x"], "to", [1, 2]), None),
    "epsilon_of_text": (lambda: odd_attribute("BatchNormalization", ["x", "b", "b", "b", "b"], "epsilon", "small", [floats("b", 3)]), True),
    "body_of_a_number": (lambda: odd_attribute("Loop", ["", "", "x"], "body", 3), True),
    "perm_too_long": (lambda: odd_attribute("Transpose", ["x"], "perm", list(range(100))), None),
    "perm_absurd": (lambda: odd_attribute("Transpose", ["x"], "perm", [HUGE, -HUGE, 0, 0]), None),
    "axes_absurd": (lambda: odd_attribute("Unsqueeze", ["x", "a"], "axes", [HUGE], [ints("a", HUGE, -HUGE)]), None),
    "conv_absurd": (lambda: model([node("Conv", ["x", "w"], ["y"], pads=[HUGE] * 4, strides=[HUGE, -1], dilations=[HUGE, 0])],
                                  [value("x", (1, 3, 8, 8))], initializers=[floats("w", 4, 3, 3, 3)]), None),
    "conv_group_0": (lambda: model([node("Conv", ["x", "w"], ["y"], group=0)], [value("x", (1, 3, 8, 8))], initializers=[floats("w", 4, 3, 3, 3)]), None),
    "pool_stride_0": (lambda: model([node("MaxPool", ["x"], ["y"], kernel_shape=[0, 0], strides=[0, 0])], [value("x", (1, 3, 8, 8))]), None),
    "split_absurd": (lambda: model([node("Split", ["x", "s"], ["a", "y"], axis=0)], initializers=[ints("s", HUGE, HUGE)]), None),
    "dims_huge": (lambda: model([node("Transpose", ["x"], ["a"], perm=[1, 0, 2]), node("Flatten", ["a"], ["y"])], [value("x", (HUGE, HUGE, HUGE))]), None),
    "dims_negative": (lambda: model([node("Relu", ["x"], ["y"])], [value("x", (-1, -HUGE))]), None),
    "dims_of_an_initializer_negative": (negative_dims, True),
    "reshape_absurd": (lambda: model([node("Reshape", ["x", "s"], ["y"])], initializers=[ints("s", HUGE, HUGE, -1, -1, -7)]), None),
    "shapes_that_contradict": (lambda: model([node("MatMul", ["x", "w"], ["a"]), node("Relu", ["a"], ["y"])], initializers=[floats("w", 5, 6)]), None),
    "declared_wrongly": (lambda: model([node("Relu", ["x"], ["a"]), node("Shape", ["a"], ["s"]), node("Reshape", ["a", "s"], ["y"])], info=[value("a", (7, 7, 7))]), None),
    "concat_of_scalars": (lambda: model([node("Concat", ["k", "k"], ["y"], axis=5)], initializers=[numpy_helper.from_array(np.array(1.0, np.float32), "k")]), None),
    "slice_absurd": (lambda: model([node("Slice", ["w", "a", "b", "c", "d"], ["z"]), node("Add", ["x", "z"], ["y"])],
                                   initializers=[floats("w", 3), ints("a", HUGE), ints("b", -HUGE), ints("c", 0), ints("d", 0)]), None),
    "slice_step_0": (lambda: model([node("Slice", ["w", "a", "b", "c", "d"], ["z"]), node("Add", ["x", "z"], ["y"])],
                                   initializers=[floats("w", 3), ints("a", 0), ints("b", 3), ints("c", 0), ints("d", 0)]), None),
    "gather_outside": (lambda: model([node("Gather", ["w", "i"], ["z"]), node("Add", ["x", "z"], ["y"])], initializers=[floats("w", 3), ints("i", HUGE, -HUGE)]), None),
    "divide_by_0": (lambda: model([node("Div", ["k", "z"], ["q"]), node("Mod", ["k", "z"], ["r"]), node("Add", ["q", "r"], ["s"]), node("Expand", ["x", "s"], ["y"])],
                                  initializers=[ints("k", 4, -(1 << 63)), ints("z", 0, -1)]), None),
    "chain": (lambda: model(chain("Relu")), None),
    "chain_of_identities": (lambda: model(chain("Identity")), None),
    "chain_of_transposes": (lambda: model(chain("Transpose", perm=[1, 0])), None),
    "chain_of_negations": (lambda: model(pairs(["Neg", "Identity", "Abs"])), None),
    "chain_of_shapes": (lambda: model([n for i in range(MANY // 2) for n in (
        node("Shape", ["x" if i == 0 else f"v{i - 1}"], [f"s{i}"]),
        node("Reshape", ["x" if i == 0 else f"v{i - 1}", f"s{i}"], [f"v{i}"]))], outputs=[value(f"v{MANY // 2 - 1}", None)]), None),
    "chain_of_symbols": (lambda: model([node("Concat", ["x" if i == 0 else f"v{i - 1}", "x"], [f"v{i}"], axis=0) for i in range(20_000)],
                                       [value("x", ("N", 3))], outputs=[value("v19999", None)]), None),
    "backwards": (lambda: model(chain("Relu")[::-1]), None),
    "nested": (lambda: nested(10_000), True),
    "nested_a_little": (lambda: nested(60), None),
    "initializers": (lambda: model([node("Relu", ["x"], ["y"])], initializers=[floats(f"w{i}", 1) for i in range(MANY)]), None),
    "initializers_added": (lambda: model([node("Sum", ["x", *(f"w{i}" for i in range(MANY))], ["y"])], initializers=[floats(f"w{i}", 1) for i in range(MANY)]), None),
    "initializers_as_inputs": (lambda: model([node("Sum", ["x", *(f"w{i}" for i in range(MANY))], ["y"])], [value("x"), *(value(f"w{i}", (1,)) for i in range(MANY))],
                                             initializers=[floats(f"w{i}", 1) for i in range(MANY)]), None),
    "outputs_of_one_node": (lambda: model([node("Split", ["x"], [f"v{i}" for i in range(MANY)], axis=0), node("Sum", [f"v{i}" for i in range(MANY)], ["y"])], [value("x", (MANY, 3))], opset=11), None),
    "readers_of_one_value": (many_readers, None),
    "outputs": (lambda: model([node("Identity", ["x"], [f"v{i}"]) for i in range(MANY)], outputs=[value(f"v{i}") for i in range(MANY)]), None),
    "names_alike": (lambda: model([n for i in range(20_000) for n in (node("Transpose", ["x"], [f"t{i}"], perm=[1, 0]), node("Shape", [f"t{i}"], [f"s{i}"]))]
                                  + [node("Sum", [f"s{i}" for i in range(20_000)], ["y"])]), None),
    "function_of_itself": (lambda: recursive(1), True),
    "function_of_itself_twice": (lambda: recursive(2), True),
    "functions_doubling": (lambda: ladder(60), None),
    "loop_without_end": (lambda: loop(None, "t", [node("Identity", ["go"], ["go_out"]), node("Abs", ["c"], ["c_out"])]), None),
    "loop_of_2_to_62": (lambda: loop(HUGE, "t", [node("Identity", ["go"], ["go_out"]), node("Abs", ["c"], ["c_out"])]), None),
    "loop_that_grows": (lambda: loop(HUGE, "t", [node("Identity", ["go"], ["go_out"]), node("Concat", ["c", "c"], ["c_out"], axis=0)]), None),
    "range_to_1e12": (lambda: range_to(10**12), None),
    "range_to_2_62": (lambda: range_to(HUGE), None),
    "expand_huge": (lambda: model([node("Expand", ["w", "s"], ["e"]), node("Add", ["x", "e"], ["y"])], initializers=[floats("w", 1), ints("s", 1 << 40, 3)]), None),
    "constant_of_shape_huge": (lambda: model([node("ConstantOfShape", ["s"], ["e"]), node("ReduceMax", ["e"], ["m"]), node("Add", ["x", "m"], ["y"])], initializers=[ints("s", 1 << 40, 3)]), None),
    "tile_huge": (lambda: model([node("Tile", ["w", "s"], ["e"]), node("Add", ["x", "e"], ["y"])], initializers=[floats("w", 3), ints("s", 1 << 60)]), None),
    "pad_huge": (lambda: model([node("Pad", ["w", "s"], ["e"]), node("Add", ["x", "e"], ["y"])], initializers=[floats("w", 3), ints("s", 1 << 61, 1 << 61)]), None),
    "pad_negative": (lambda: model([node("Pad", ["x", "s"], ["y"])], initializers=[ints("s", -HUGE, -HUGE, -HUGE, -HUGE)]), None),
    "resize_huge": (lambda: model([node("Resize", ["w", "", "s"], ["e"]), node("Add", ["x", "e"], ["y"])],
                                  initializers=[floats("w", 3), numpy_helper.from_array(np.array([1e30], np.float32), "s")]), None),
    "resize_nan": (lambda: model([node("Resize", ["x", "", "s"], ["y"])], initializers=[numpy_helper.from_array(np.array([np.nan, -np.inf], np.float32), "s")]), None),
    "one_hot_huge": (lambda: model([node("OneHot", ["i", "d", "v"], ["e"]), node("ReduceMax", ["e"], ["m"]), node("Add", ["x", "m"], ["y"])],
                                   initializers=[ints("i", 1), numpy_helper.from_array(np.array(1 << 50, np.int64), "d"), numpy_helper.from_array(np.array([0, 1], np.float32), "v")]), None),
    "concat_doubling": (lambda: doubling(60), None),
    "squaring": (lambda: squaring(70), None),
    "einsum_absurd": (lambda: model([node("Einsum", ["x", "x"], ["y"], equation="i" * 5000 + "," + "...->" * 3)]), None),
}


def build(name):
    return GRAPHS[name][0]()
