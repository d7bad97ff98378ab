//! A test for each rule.

use super::*;

#[test]
fn equal_names_come_first() {
    let same = torch(&[("a.weight", &[4, 4]), ("b.weight", &[4, 4])]);
    assert_eq!(pairs(&same, &same), ["a.weight <- a.weight by name", "b.weight <- b.weight by name"]);
}

#[test]
fn separators_and_slots_are_spelled_alike() {
    let source =
        model("numpy", &[("a/bn/gamma:0", &[3]), ("a/bn/moving_mean:0", &[3]), ("a/conv_bias", &[3])]);
    let target = torch(&[("a.bn.weight", &[3]), ("a.bn.running_mean", &[3]), ("a.conv.bias", &[3])]);
    assert!(pairs(&source, &target).iter().all(|p| p.contains("by spelling")));
    let wts = model("wts", &[("layer1_0_conv1.weight", &[8, 3, 3, 3])]);
    let target = torch(&[("layer1.0.conv1.weight", &[8, 3, 3, 3])]);
    assert_eq!(pairs(&wts, &target), ["layer1.0.conv1.weight <- layer1_0_conv1.weight by flat"]);
}

#[test]
fn prefixes_are_seen_through_on_either_side() {
    let bare = torch(&[("conv.weight", &[8, 3, 3, 3])]);
    let wrapped = torch(&[("module.model.conv.weight", &[8, 3, 3, 3])]);
    assert_eq!(pairs(&wrapped, &bare), ["conv.weight <- module.model.conv.weight by prefix"]);
    assert_eq!(pairs(&bare, &wrapped), ["module.model.conv.weight <- conv.weight by prefix"]);
    let compiled = torch(&[("_orig_mod.conv.weight", &[8, 3, 3, 3])]);
    assert_eq!(pairs(&compiled, &bare), ["conv.weight <- _orig_mod.conv.weight by spelling"]);
}

#[test]
fn a_graph_tells_where_renamed_initializers_belong() {
    let mut target = model(
        "onnx",
        &[("onnx::Conv_9", &[8, 8, 3, 3]), ("onnx::Conv_10", &[8, 8, 3, 3]), ("onnx::MatMul_3", &[8, 8])],
    );
    graph(
        &mut target,
        &[
            ("/layer1/layer1.1/conv/Conv", "Conv", &["x", "onnx::Conv_9"], "y", &[]),
            ("/layer1/layer1.0/conv/Conv", "Conv", &["y", "onnx::Conv_10"], "z", &[]),
            ("/fc/MatMul", "MatMul", &["z", "onnx::MatMul_3"], "out", &[]),
        ],
    );
    let source = torch(&[
        ("layer1.0.conv.weight", &[8, 8, 3, 3]),
        ("layer1.1.conv.weight", &[8, 8, 3, 3]),
        ("fc.weight", &[8, 8]),
    ]);
    assert_eq!(
        pairs(&source, &target),
        [
            "onnx::Conv_9 <- layer1.1.conv.weight by use",
            "onnx::Conv_10 <- layer1.0.conv.weight by use",
            "onnx::MatMul_3 <- fc.weight by use [1, 0]",
        ]
    );
}

#[test]
fn keras_kernels_take_torchs_order() {
    let source = keras(
        &[
            ("layers/conv2d/vars/0", &[3, 3, 3, 3]),
            ("layers/conv2d/vars/1", &[3]),
            ("layers/depthwise_conv2d/vars/0", &[3, 3, 4, 2]),
            ("layers/dense/vars/0", &[4, 4]),
        ],
        &[
            ("layers/conv2d", "Conv2D", "stem"),
            ("layers/depthwise_conv2d", "DepthwiseConv2D", "dw"),
            ("layers/dense", "Dense", "fc"),
        ],
    );
    let target = torch(&[
        ("stem.weight", &[3, 3, 3, 3]),
        ("stem.bias", &[3]),
        ("dw.weight", &[8, 1, 3, 3]),
        ("fc.weight", &[4, 4]),
    ]);
    assert_eq!(
        pairs(&source, &target),
        [
            "stem.weight <- layers/conv2d/vars/0 by spelling [3, 2, 0, 1]",
            "stem.bias <- layers/conv2d/vars/1 by spelling",
            "dw.weight <- layers/depthwise_conv2d/vars/0 by spelling [2, 3, 0, 1] as [8, 1, 3, 3]",
            "fc.weight <- layers/dense/vars/0 by spelling [1, 0]",
        ]
    );
    let back = pairs(&target, &source);
    assert!(back[2].ends_with("as [4, 2, 3, 3] [2, 3, 0, 1]"), "{back:?}");
}

#[test]
fn ones_come_and_go() {
    let mut source = model("caffe", &[("fc.weight", &[1, 1, 5, 6]), ("fc.bias", &[1, 1, 1, 5])]);
    graph(&mut source, &[("fc", "InnerProduct", &["x", "fc.weight", "fc.bias"], "y", &[])]);
    let target = torch(&[("fc.weight", &[5, 6]), ("fc.bias", &[5])]);
    assert_eq!(
        pairs(&source, &target),
        ["fc.weight <- fc.weight by name as [5, 6]", "fc.bias <- fc.bias by name as [5]"]
    );
    assert_eq!(pairs(&source, &source).len(), 2);
    assert!(pairs(&source, &source).iter().all(|p| p.ends_with("by name")), "and none for nothing");
    let squeezed = pairs(&torch(&[("act.alpha", &[1, 1, 7])]), &torch(&[("act.weight", &[7])]));
    assert_eq!(squeezed, ["act.weight <- act.alpha by spelling as [7]"]);
}

#[test]
fn a_scale_behind_a_batch_norm_is_its_affine_part() {
    let mut caffe = model("caffe", &[("bn.running_mean", &[2]), ("sc.weight", &[2]), ("sc.bias", &[2])]);
    let nodes: [NodeOf<'_>; 2] = [
        ("bn", "BatchNorm", &["x", "bn.running_mean"], "y", &[]),
        ("sc", "Scale", &["y", "sc.weight", "sc.bias"], "z", &[]),
    ];
    graph(&mut caffe, &nodes);
    let source = torch(&[("bn.weight", &[2]), ("bn.bias", &[2]), ("bn.running_mean", &[2])]);
    assert_eq!(
        pairs(&source, &caffe),
        [
            "bn.running_mean <- bn.running_mean by name",
            "sc.weight <- bn.weight by use",
            "sc.bias <- bn.bias by use"
        ]
    );
}
