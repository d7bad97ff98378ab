//! What folds.

use weighbridge_model::{DType, Value};

use crate::net::{Net, ints};

#[test]
fn a_norm_goes_into_the_convolution_before_it() {
    let mut net = Net::new(&[("x", &[1, 2, 5, 5])]);
    net.weight("w", &[3, 2, 3, 3], 1.0);
    net.weight("b", &[3], 10.0);
    net.node("Conv", "conv", &["x", "w", "b"], &["y"], vec![("pads", ints(&[1, 1, 1, 1]))]);
    net.norm("bn", "y", "z", 3);
    net.node("Relu", "relu", &["z"], &["out"], vec![]);
    let done = net.run(&["out"], "fold-bn");
    assert_eq!(done.ops(), ["Conv", "Relu"]);
    let weight: Vec<f64> = (0..54).map(|i| 2.0 * f64::from(i + 1)).collect();
    assert_eq!(done.constant(0, 1), weight);
    assert_eq!(done.constant(0, 2), [21.0, 23.0, 25.0]);
    // Names stay.
    assert_eq!(done.read(), ["w", "b"]);
}

#[test]
fn a_bias_is_made_where_there_was_none() {
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.weight("conv.weight", &[2, 1, 3, 3], 1.0);
    net.node("Conv", "conv", &["x", "conv.weight"], &["y"], vec![]);
    net.norm("bn", "y", "out", 2);
    let done = net.run(&["out"], "fold-bn");
    assert_eq!(done.ops(), ["Conv"]);
    assert_eq!(done.constant(0, 2), [1.0, 1.0]);
    assert_eq!(done.read(), ["conv.weight", "conv.bias"]);
    // The output keeps its name.
    let graph = done.graph();
    assert_eq!(graph.value(graph.outputs[0]).name, "out");
}

#[test]
fn chains_of_constants_go_in_at_once() {
    let mut net = Net::new(&[("x", &[4, 3])]);
    net.weight("w", &[3, 2], 1.0);
    net.weight("b", &[2], 1.0);
    net.tensor("m", DType::F32, &[], &[3.0]);
    net.tensor("a", DType::F32, &[1, 2], &[5.0, 6.0]);
    net.tensor("d", DType::F32, &[2], &[2.0, 4.0]);
    net.tensor("s", DType::F32, &[], &[1.0]);
    let gains = vec![("alpha", Value::Float(2.0)), ("beta", Value::Float(10.0))];
    net.node("Gemm", "fc", &["x", "w", "b"], &["y1"], gains);
    net.node("Mul", "mul", &["m", "y1"], &["y2"], vec![]);
    net.node("Add", "add", &["y2", "a"], &["y3"], vec![]);
    net.node("Div", "div", &["y3", "d"], &["y4"], vec![]);
    net.node("Sub", "sub", &["s", "y4"], &["out"], vec![]);
    let done = net.run(&["out"], "fold-affine");
    assert_eq!(done.ops(), ["Gemm"]);
    assert!(done.graph().nodes[0].attributes.is_empty());
    // 1 - (3 (2 w x + 10 b) + a) / d
    assert_eq!(done.constant(0, 1), [-3.0, -3.0, -9.0, -6.0, -15.0, -9.0]);
    assert_eq!(done.constant(0, 2), [1.0 - 35.0 / 2.0, 1.0 - 66.0 / 4.0]);
}

#[test]
fn a_matmul_takes_the_scale_and_leaves_one_addition() {
    let mut net = Net::new(&[("x", &[4, 7, 3])]);
    net.weight("w", &[3, 2], 1.0);
    net.tensor("b", DType::F32, &[2], &[5.0, 6.0]);
    net.tensor("m", DType::F32, &[1], &[2.0]);
    net.node("MatMul", "fc", &["x", "w"], &["y1"], vec![]);
    net.node("Add", "add", &["b", "y1"], &["y2"], vec![]);
    net.node("Mul", "mul", &["y2", "m"], &["out"], vec![]);
    let done = net.run(&["out"], "fold-affine");
    assert_eq!(done.ops(), ["MatMul", "Add"]);
    assert_eq!(done.constant(0, 1), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    assert_eq!(done.constant(1, 1), [10.0, 12.0]);
}

#[test]
fn transposed_convolutions_are_scaled_by_group_and_output() {
    let mut net = Net::new(&[("x", &[1, 4, 5, 5])]);
    net.weight("w", &[4, 1, 1, 1], 1.0);
    net.tensor("m", DType::F32, &[2, 1, 1], &[10.0, 100.0]);
    net.node("ConvTranspose", "up", &["x", "w"], &["y"], vec![("group", Value::Int(2))]);
    net.node("Mul", "mul", &["y", "m"], &["out"], vec![]);
    let done = net.run(&["out"], "fold-affine");
    assert_eq!(done.ops(), ["ConvTranspose"]);
    assert_eq!(done.constant(0, 1), [10.0, 20.0, 300.0, 400.0]);
}

#[test]
fn a_norm_before_an_unpadded_convolution_goes_in() {
    let mut net = Net::new(&[("x", &[1, 2, 5, 5])]);
    net.norm("bn", "x", "y", 2);
    net.weight("w", &[1, 2, 1, 1], 1.0);
    net.tensor("b", DType::F32, &[1], &[7.0]);
    net.node("Conv", "conv", &["y", "w", "b"], &["out"], vec![]);
    let done = net.run(&["out"], "fold-bn");
    assert_eq!(done.ops(), ["Conv"]);
    assert_eq!(done.constant(0, 1), [2.0, 4.0]);
    assert_eq!(done.constant(0, 2), [10.0]);
}

#[test]
fn a_scale_goes_into_a_padded_convolution_after_it() {
    let mut net = Net::new(&[("x", &[1, 2, 5, 5])]);
    net.tensor("m", DType::F32, &[1, 2, 1, 1], &[3.0, 5.0]);
    net.node("Mul", "mul", &["x", "m"], &["y"], vec![]);
    net.weight("w", &[1, 2, 1, 1], 1.0);
    net.node("Conv", "conv", &["y", "w"], &["out"], vec![("pads", ints(&[1, 1, 1, 1]))]);
    let done = net.run(&["out"], "fold-affine");
    assert_eq!(done.ops(), ["Conv"]);
    assert_eq!(done.constant(0, 1), [3.0, 10.0]);
    assert_eq!(done.graph().nodes[0].inputs.len(), 2);
}
