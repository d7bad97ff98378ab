//! What must not fold, and says why.

use weighbridge_model::{DType, Value};

use crate::net::{Done, Net, ints};

/// A convolution and a normalization, with whatever `more` does to them.
fn conv_and_norm(more: impl FnOnce(&mut Net), outputs: &[&str]) -> Done {
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.weight("w", &[2, 1, 1, 1], 1.0);
    net.node("Conv", "conv", &["x", "w"], &["y"], vec![]);
    net.norm("bn", "y", "z", 2);
    more(&mut net);
    net.run(outputs, "fold-bn")
}

fn stays(done: &Done, why: &str) {
    assert!(done.ops().contains(&"BatchNormalization"), "{:?}", done.ops());
    assert!(done.reasons().contains(why), "{}", done.reasons());
}

#[test]
fn a_norm_before_a_padded_convolution() {
    let mut net = Net::new(&[("x", &[1, 2, 5, 5])]);
    net.norm("bn", "x", "y", 2);
    net.weight("w", &[1, 2, 3, 3], 1.0);
    net.node("Conv", "conv", &["y", "w"], &["out"], vec![("pads", ints(&[1, 1, 1, 1]))]);
    stays(&net.run(&["out"], "fold-bn"), "bn: no linear operator");
    let mut net = Net::new(&[("x", &[1, 2, 5, 5])]);
    net.norm("bn", "x", "y", 2);
    net.weight("w", &[1, 2, 3, 3], 1.0);
    let same = Value::Str("SAME_UPPER".into());
    net.node("Conv", "conv", &["y", "w"], &["out"], vec![("auto_pad", same)]);
    stays(&net.run(&["out"], "fold-bn"), "bn: no linear operator");
}

#[test]
fn weights_that_two_convolutions_share() {
    let done = conv_and_norm(
        |net| {
            net.node("Conv", "other", &["x", "w"], &["y2"], vec![]);
            net.norm("bn2", "y2", "z2", 2);
        },
        &["z", "z2"],
    );
    stays(&done, "conv: its weight 'w' is also read by 'other'");
    assert_eq!(done.ops().len(), 4);
}

#[test]
fn a_convolution_with_several_readers() {
    let done = conv_and_norm(
        |net| {
            net.node("Relu", "relu", &["y"], &["r"], vec![]);
        },
        &["z", "r"],
    );
    stays(&done, "bn: 'y', which it follows, has other readers too");
}

#[test]
fn a_convolution_that_is_an_output() {
    stays(&conv_and_norm(|_| {}, &["z", "y"]), "bn: 'y', which it follows, is an output of the graph");
}

#[test]
fn initializers_that_are_inputs() {
    stays(&conv_and_norm(|net| net.input("w"), &["z"]), "is also an input of the graph");
    stays(&conv_and_norm(|net| net.input("bn.var"), &["z"]), "'bn.var' is no constant");
}

#[test]
fn a_norm_in_training_mode() {
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.weight("w", &[2, 1, 1, 1], 1.0);
    net.node("Conv", "conv", &["x", "w"], &["y"], vec![]);
    for leaf in ["gamma", "beta", "mean", "var"] {
        net.weight(leaf, &[2], 1.0);
    }
    let inputs = ["y", "gamma", "beta", "mean", "var"];
    net.node("BatchNormalization", "bn", &inputs, &["z"], vec![("training_mode", Value::Int(1))]);
    stays(&net.run(&["z"], "fold-bn"), "bn: it is in training mode");
}

#[test]
fn half_precision_that_would_overflow() {
    let run = |factor: f64| {
        let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
        net.tensor("w", DType::F16, &[2, 1, 1, 1], &[1000.0, 2.0]);
        net.tensor("m", DType::F16, &[2, 1, 1], &[factor, factor]);
        net.node("Conv", "conv", &["x", "w"], &["y"], vec![]);
        net.node("Mul", "mul", &["y", "m"], &["z"], vec![]);
        net.run(&["z"], "fold-affine")
    };
    let done = run(66.0);
    assert_eq!(done.ops(), ["Conv", "Mul"]);
    assert!(done.reasons().contains("1 values of the folded weight leave F16's range"), "{}", done.reasons());
    assert_eq!(run(65.0).ops(), ["Conv"]);
}

#[test]
fn weights_that_come_out_of_dequantize_linear() {
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.tensor("q", DType::I8, &[2, 1, 1, 1], &[1.0, 2.0]);
    net.tensor("scale", DType::F32, &[], &[0.5]);
    net.node("DequantizeLinear", "dq", &["q", "scale"], &["w"], vec![]);
    net.node("Conv", "conv", &["x", "w"], &["y"], vec![]);
    net.norm("bn", "y", "z", 2);
    assert!(net.run(&["z"], "fold-bn").ops().contains(&"BatchNormalization"));
}

#[test]
fn quantization_between() {
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.weight("w", &[2, 1, 1, 1], 1.0);
    net.tensor("scale", DType::F32, &[], &[0.5]);
    net.node("Conv", "conv", &["x", "w"], &["y"], vec![]);
    net.node("QuantizeLinear", "q", &["y", "scale"], &["yq"], vec![]);
    net.node("DequantizeLinear", "dq", &["yq", "scale"], &["yd"], vec![]);
    net.norm("bn", "yd", "z", 2);
    stays(&net.run(&["z"], "fold-bn"), "bn: no linear operator");
}

#[test]
fn constants_that_change_the_shape_or_go_along_other_dimensions() {
    let cases: &[(&[u64], &str)] = &[
        // More dimensions than the convolution gives.
        (&[1, 1, 2, 1, 1], "rank"),
        // Along the last dimension, not the channels.
        (&[2], "width"),
        // One channel spread over many points.
        (&[1, 2, 3, 1], "height"),
    ];
    for (shape, what) in cases {
        let mut net = Net::new(&[("x", &[1, 1, 1, 2])]);
        net.weight("w", &[2, 1, 1, 1], 1.0);
        net.weight("m", shape, 1.0);
        net.node("Conv", "conv", &["x", "w"], &["y"], vec![]);
        net.node("Mul", "mul", &["y", "m"], &["z"], vec![]);
        assert_eq!(net.run(&["z"], "fold-affine").ops(), ["Conv", "Mul"], "{what}");
    }
    // One channel becomes two before the convolution that needs two.
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.tensor("m", DType::F32, &[1, 2, 1, 1], &[3.0, 5.0]);
    net.node("Mul", "mul", &["x", "m"], &["y"], vec![]);
    net.weight("w", &[1, 2, 1, 1], 1.0);
    net.node("Conv", "conv", &["y", "w"], &["out"], vec![]);
    assert_eq!(net.run(&["out"], "fold-affine").ops(), ["Mul", "Conv"]);
    // One output becomes three.
    let mut net = Net::new(&[("x", &[4, 3])]);
    net.weight("w", &[3, 1], 1.0);
    net.weight("m", &[3], 1.0);
    net.node("Gemm", "fc", &["x", "w"], &["y"], vec![]);
    net.node("Mul", "mul", &["y", "m"], &["z"], vec![]);
    assert_eq!(net.run(&["z"], "fold-affine").ops(), ["Gemm", "Mul"]);
    // A matrix whose rows have biases of their own.
    let mut net = Net::new(&[("x", &[2, 3])]);
    net.weight("w", &[3, 2], 1.0);
    net.weight("b", &[2, 1], 1.0);
    net.tensor("m", DType::F32, &[2], &[3.0, 5.0]);
    net.node("Gemm", "fc", &["x", "w", "b"], &["y"], vec![]);
    net.node("Mul", "mul", &["y", "m"], &["z"], vec![]);
    assert_eq!(net.run(&["z"], "fold-affine").ops(), ["Gemm", "Mul"]);
}

#[test]
fn a_norm_over_another_dimension_of_a_matmul() {
    let mut net = Net::new(&[("x", &[4, 2, 3])]);
    net.weight("w", &[3, 2], 1.0);
    net.node("MatMul", "fc", &["x", "w"], &["y"], vec![]);
    net.norm("bn", "y", "z", 2);
    stays(&net.run(&["z"], "fold-bn"), "bn: it is not known to normalize the channels");
}

#[test]
fn variances_below_zero() {
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.weight("w", &[2, 1, 1, 1], 1.0);
    net.node("Conv", "conv", &["x", "w"], &["y"], vec![]);
    net.weight("p", &[2], 1.0);
    net.weight("var", &[2], -1.0);
    net.node("BatchNormalization", "bn", &["y", "p", "p", "p", "var"], &["z"], vec![]);
    stays(&net.run(&["z"], "fold-bn"), "a variance is negative");
}

#[test]
fn a_chain_of_many_takes_time_in_proportion() {
    let mut net = Net::new(&[("x", &[1, 1, 5, 5])]);
    net.weight("w", &[1, 1, 1, 1], 1.0);
    net.node("Conv", "conv", &["x", "w"], &["v0"], vec![]);
    let n = 50_000;
    net.tensor("m", DType::F32, &[], &[1.0]);
    for i in 0..n {
        net.node("Add", "add", &[&format!("v{i}"), "m"], &[&format!("v{}", i + 1)], vec![]);
    }
    let done = net.run(&[&format!("v{n}")], "fold-affine");
    assert_eq!(done.ops(), ["Conv"]);
    assert_eq!(done.constant(0, 2), [f64::from(n)]);
}

#[test]
fn what_a_no_op_at_an_output_alone_reads_makes_the_output() {
    let mut net = Net::new(&[("x", &[2, 3])]);
    net.node("Relu", "relu", &["x"], &["s"], vec![]);
    net.node("Shape", "shape", &["s"], &["z"], vec![]);
    net.node("Reshape", "reshape", &["s", "z"], &["out"], vec![]);
    assert_eq!(net.run(&["out"], "same-shape").ops(), ["Relu"]);
}
