//! Branches that sum.

use weighbridge_model::{DType, Value};

use crate::net::{Done, Net, ints};

fn pads(n: i64) -> Vec<(&'static str, Value)> {
    vec![("pads", ints(&[n; 4]))]
}

/// A 3×3 and a 1×1 with these attributes, each read by one addition, over so many rows and columns.
fn two(size: u64, first: Vec<(&str, Value)>, second: Vec<(&str, Value)>) -> Done {
    let mut net = Net::new(&[("x", &[1, 2, size, size])]);
    net.weight("b.dense.weight", &[2, 2, 3, 3], 1.0);
    net.weight("b.point.weight", &[2, 2, 1, 1], 100.0);
    net.node("Conv", "dense", &["x", "b.dense.weight"], &["y1"], first);
    net.node("Conv", "point", &["x", "b.point.weight"], &["y2"], second);
    net.node("Add", "add", &["y1", "y2"], &["out"], vec![]);
    net.run(&["out"], "reparameterize")
}

#[test]
fn a_block_of_repvgg_is_one_convolution() {
    let mut net = Net::new(&[("x", &[1, 2, 5, 5])]);
    net.weight("s.dense.weight", &[2, 2, 3, 3], 1.0);
    net.node("Conv", "dense", &["x", "s.dense.weight"], &["y1"], pads(1));
    net.norm("bn1", "y1", "z1", 2);
    net.weight("s.point.weight", &[2, 2, 1, 1], 100.0);
    net.node("Conv", "point", &["x", "s.point.weight"], &["y2"], vec![]);
    net.norm("bn2", "y2", "z2", 2);
    net.norm("bn3", "x", "z3", 2);
    net.node("Add", "a1", &["z1", "z2"], &["t"], vec![]);
    net.node("Add", "a2", &["t", "z3"], &["out"], vec![]);
    let done = net.run(&["out"], "reparameterize");
    assert_eq!(done.ops(), ["Conv"]);
    let mut weight: Vec<f64> = (0..36).map(|i| 2.0 * f64::from(i + 1)).collect();
    for (at, more) in [(4, 200.0 + 2.0), (13, 202.0), (22, 204.0), (31, 206.0 + 2.0)] {
        weight[at] += more;
    }
    assert_eq!(done.constant(0, 1), weight);
    assert_eq!(done.constant(0, 2), [3.0, 3.0]);
    assert_eq!(done.read(), ["s.merged.weight", "s.merged.bias"]);
}

#[test]
fn what_does_not_align_is_refused_with_the_reason() {
    assert_eq!(two(8, pads(1), vec![]).ops(), ["Conv"]);
    let uneven = |sides: [i64; 4]| vec![("pads", ints(&sides))];
    let cases = [
        (two(8, uneven([2, 2, 0, 0]), vec![]), "paddings differ"),
        (two(8, uneven([0, 2, 2, 0]), vec![]), "paddings differ"),
        (two(1, pads(1), vec![("strides", ints(&[2, 2]))]), "strides differ"),
        // What cannot be added is left alone, whatever else could be said of it.
        (two(8, pads(1), pads(1)), "cannot be broadcast"),
    ];
    for (done, why) in cases {
        assert_eq!(done.ops(), ["Conv", "Conv", "Add"]);
        assert!(done.reasons().contains(why), "{}", done.reasons());
    }
}

#[test]
fn strips_make_a_square() {
    let mut net = Net::new(&[("x", &[1, 1, 8, 8])]);
    net.tensor("h", DType::F32, &[1, 1, 1, 3], &[1.0, 2.0, 3.0]);
    net.tensor("v", DType::F32, &[1, 1, 3, 1], &[10.0, 20.0, 30.0]);
    net.node("Conv", "h", &["x", "h"], &["y1"], vec![("pads", ints(&[0, 1, 0, 1]))]);
    net.node("Conv", "v", &["x", "v"], &["y2"], vec![("pads", ints(&[1, 0, 1, 0]))]);
    net.node("Add", "add", &["y1", "y2"], &["out"], vec![]);
    let done = net.run(&["out"], "reparameterize");
    assert_eq!(done.ops(), ["Conv"]);
    assert_eq!(done.constant(0, 1), [0.0, 10.0, 0.0, 1.0, 22.0, 3.0, 0.0, 30.0, 0.0]);
}

#[test]
fn what_else_is_added_stays_added() {
    let mut net = Net::new(&[("x", &[1, 1, 8, 8]), ("other", &[1, 1, 8, 8])]);
    net.tensor("a", DType::F32, &[1, 1, 1, 1], &[2.0]);
    net.tensor("b", DType::F32, &[1, 1, 1, 1], &[3.0]);
    net.node("Conv", "a", &["x", "a"], &["y1"], vec![]);
    net.node("Relu", "relu", &["other"], &["r"], vec![]);
    net.node("Conv", "b", &["x", "b"], &["y2"], vec![]);
    net.node("Add", "a1", &["y1", "r"], &["t"], vec![]);
    net.node("Add", "a2", &["t", "y2"], &["out"], vec![]);
    let done = net.run(&["out"], "reparameterize");
    assert_eq!(done.ops(), ["Relu", "Conv", "Add"]);
    assert_eq!(done.constant(1, 1), [5.0]);
}

#[test]
fn a_branch_that_something_else_reads_stays() {
    let mut net = Net::new(&[("x", &[1, 1, 8, 8])]);
    net.tensor("a", DType::F32, &[1, 1, 1, 1], &[2.0]);
    net.tensor("b", DType::F32, &[1, 1, 1, 1], &[3.0]);
    net.node("Conv", "a", &["x", "a"], &["y1"], vec![]);
    net.node("Conv", "b", &["x", "b"], &["y2"], vec![]);
    net.node("Add", "add", &["y1", "y2"], &["out"], vec![]);
    assert_eq!(net.run(&["out", "y1"], "reparameterize").ops(), ["Conv", "Conv", "Add"]);
}

#[test]
fn groups_that_would_make_it_larger_are_refused() {
    let mut net = Net::new(&[("x", &[1, 64, 8, 8])]);
    net.weight("large", &[64, 1, 7, 7], 1.0);
    net.weight("point", &[64, 64, 1, 1], 1.0);
    let by_channel = vec![("pads", ints(&[3; 4])), ("group", Value::Int(64))];
    net.node("Conv", "large", &["x", "large"], &["y1"], by_channel);
    net.node("Conv", "point", &["x", "point"], &["y2"], vec![]);
    net.node("Add", "add", &["y1", "y2"], &["out"], vec![]);
    let done = net.run(&["out"], "reparameterize");
    assert_eq!(done.ops(), ["Conv", "Conv", "Add"]);
    assert!(done.reasons().contains("groups differ, 64 and 1"), "{}", done.reasons());
}

#[test]
fn a_point_before_an_unpadded_kernel_goes_into_it() {
    let run = |padded: i64| {
        let mut net = Net::new(&[("x", &[1, 2, 8, 8])]);
        net.tensor("a", DType::F32, &[2, 2, 1, 1], &[1.0, 2.0, 3.0, 4.0]);
        net.tensor("ab", DType::F32, &[2], &[1.0, -1.0]);
        net.weight("b", &[1, 2, 3, 3], 0.0);
        net.node("Conv", "a", &["x", "a", "ab"], &["y"], vec![]);
        net.node("Conv", "b", &["y", "b"], &["out"], pads(padded));
        net.run(&["out"], "reparameterize")
    };
    let done = run(0);
    assert_eq!(done.ops(), ["Conv"]);
    let expected: Vec<f64> = (0..18)
        .map(|i| {
            let (input, tap) = (i / 9, f64::from(i % 9));
            if input == 0 { tap + 3.0 * (tap + 9.0) } else { 2.0 * tap + 4.0 * (tap + 9.0) }
        })
        .collect();
    assert_eq!(done.constant(0, 1), expected);
    assert_eq!(done.constant(0, 2), [36.0 - 117.0]);
    // What is padded between them would have the bias of the first.
    assert_eq!(run(1).ops(), ["Conv", "Conv"]);
}

#[test]
fn sequences_that_would_grow_stay() {
    // Narrow between two wide ones: a bottleneck.
    let mut net = Net::new(&[("x", &[1, 32, 8, 8])]);
    net.weight("a", &[4, 32, 1, 1], 1.0);
    net.weight("b", &[32, 4, 1, 1], 1.0);
    net.node("Conv", "a", &["x", "a"], &["y"], vec![]);
    net.node("Conv", "b", &["y", "b"], &["out"], vec![]);
    assert_eq!(net.run(&["out"], "reparameterize").ops(), ["Conv", "Conv"]);
}

#[test]
fn means_are_branches_where_they_count_what_is_padded() {
    let run = |count: i64| {
        let mut net = Net::new(&[("x", &[1, 1, 8, 8])]);
        net.tensor("a", DType::F32, &[1, 1, 3, 3], &[0.0; 9]);
        net.node("Conv", "a", &["x", "a"], &["y1"], pads(1));
        let mut attributes = pads(1);
        attributes.extend([("kernel_shape", ints(&[3, 3])), ("count_include_pad", Value::Int(count))]);
        net.node("AveragePool", "mean", &["x"], &["y2"], attributes);
        net.node("Add", "add", &["y1", "y2"], &["out"], vec![]);
        net.run(&["out"], "reparameterize")
    };
    let done = run(1);
    assert_eq!(done.ops(), ["Conv"]);
    assert!(done.constant(0, 1).iter().all(|w| (w - 1.0 / 9.0).abs() < 1e-8));
    let done = run(0);
    assert_eq!(done.ops(), ["Conv", "AveragePool", "Add"]);
    assert!(done.reasons().contains("fewer elements at the border"), "{}", done.reasons());
}

#[test]
fn depthwise_kernels_of_different_sizes_stay_depthwise() {
    let mut net = Net::new(&[("x", &[1, 3, 9, 9])]);
    net.weight("large", &[3, 1, 5, 5], 1.0);
    net.weight("small", &[3, 1, 3, 3], 1.0);
    let with = |pad: i64| vec![("pads", ints(&[pad; 4])), ("group", Value::Int(3))];
    net.node("Conv", "large", &["x", "large"], &["y1"], with(2));
    net.node("Conv", "small", &["x", "small"], &["y2"], with(1));
    net.node("Sum", "sum", &["y1", "y2", "x"], &["out"], vec![]);
    let done = net.run(&["out"], "reparameterize");
    assert_eq!(done.ops(), ["Conv"]);
    assert_eq!(done.constant(0, 1).len(), 75);
    assert_eq!(done.graph().nodes[0].attribute("group"), Some(&Value::Int(3)));
    // The middle of the first channel: 13 + 5 + 1.
    assert_eq!(done.constant(0, 1)[12], 19.0);
}
