//! A test a rule, and one a trap: what looks decided and is not.

use std::sync::Arc;

use super::*;
use crate::Transfer;
use weighbridge_model::{
    Attribute, DType, Dim, Graph, GraphValue, Memory, Module, Node, Place, Storage, Tensor, Value, ValueId,
};

/// Elements 0, 1, 2… from `from` on.
fn storage(count: u64, from: u64) -> Arc<dyn Storage> {
    let bytes: Vec<u8> = (from..from + count).flat_map(|i| (i as f32).to_le_bytes()).collect();
    Arc::new(Memory::new(bytes))
}

fn tensor(name: &str, shape: &[u64]) -> Tensor {
    let count = shape.iter().product();
    Tensor::contiguous(name, DType::F32, shape.to_vec(), storage(count, 0), &Place::default()).unwrap()
}

fn model(format: &'static str, tensors: &[(&str, &[u64])]) -> Model {
    let mut model = Model { format, ..Model::default() };
    for (name, shape) in tensors {
        model.push(tensor(name, shape));
    }
    weighbridge_model::roles::assign(&mut model);
    model
}

fn torch(tensors: &[(&str, &[u64])]) -> Model {
    model("pytorch", tensors)
}

/// Nodes `(name, operator, inputs, output, attributes)` over values by name; the model's tensors are initializers.
fn graph(model: &mut Model, nodes: &[(&str, &str, &[&str], &str, &[(&str, Value)])]) {
    let mut graph = Graph::default();
    let value = |graph: &mut Graph, name: &str| {
        let known = graph.values.iter().position(|v| v.name == name);
        ValueId(known.unwrap_or_else(|| {
            graph.values.push(GraphValue { name: name.into(), dtype: None, shape: Some(vec![Dim::Unknown]) });
            graph.values.len() - 1
        }) as u32)
    };
    for tensor in &model.tensors {
        let id = value(&mut graph, &tensor.name);
        graph.initializers.push((id, tensor.id));
    }
    let domain = if model.format == "caffe" { "caffe" } else { "" };
    for (name, op, inputs, output, attributes) in nodes {
        let inputs = inputs.iter().map(|i| Some(value(&mut graph, i))).collect();
        let outputs = vec![Some(value(&mut graph, output))];
        let attributes = attributes.iter().map(|(k, v)| ((*k).into(), Attribute::Value(v.clone()))).collect();
        let (name, op, domain) = ((*name).into(), (*op).into(), domain.into());
        graph.nodes.push(Node { name, domain, op, inputs, outputs, attributes });
    }
    model.graph = Some(graph);
}

/// `target <- source by rule`, and faults.
fn matched(source: &Model, target: &Model, options: &Options) -> (Vec<String>, Vec<String>) {
    let found = Match::of(source, target, options);
    let name = |m: &Model, id: TensorId| m.tensor(id).name.clone();
    let pair = |p: &Pair| {
        let steps: String = p
            .steps
            .iter()
            .map(|s| match s {
                Step::Permute(axes) => format!(" {axes:?}"),
                Step::Reshape(shape) => format!(" as {shape:?}"),
            })
            .collect();
        format!("{} <- {} by {}{steps}", name(target, p.target), name(source, p.source), p.rule.id())
    };
    let pairs = found.pairs.iter().map(pair).collect();
    (pairs, found.faults.iter().map(|f| format!("{}: {}", f.name, f.why)).collect())
}

fn pairs(source: &Model, target: &Model) -> Vec<String> {
    let (pairs, faults) = matched(source, target, &Options::default());
    assert!(faults.is_empty(), "{faults:?}");
    pairs
}

fn faults(source: &Model, target: &Model) -> Vec<String> {
    matched(source, target, &Options::default()).1
}

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
fn two_prefixes_that_both_fit_decide_nothing() {
    let source = torch(&[("model.conv.weight", &[8, 3, 3, 3]), ("ema.conv.weight", &[8, 3, 3, 3])]);
    let target = torch(&[("conv.weight", &[8, 3, 3, 3])]);
    let faults = faults(&source, &target);
    assert!(faults[0].contains("'model.conv.weight', 'ema.conv.weight' could all be it"), "{faults:?}");
    assert!(Match::of(&source, &target, &Options::default()).check(true).is_err(), "nor does --keep-missing");
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
fn square_matrices_are_turned_by_graphs_and_conventions_only() {
    let source = torch(&[("fc.weight", &[4, 4])]);
    let gemm = |transposed: i64| {
        let mut target = model("onnx", &[("fc.weight", &[4, 4])]);
        let b = [("transB", Value::Int(transposed))];
        graph(&mut target, &[("/fc/Gemm", "Gemm", &["x", "fc.weight"], "y", &b)]);
        target
    };
    assert_eq!(pairs(&source, &gemm(1)), ["fc.weight <- fc.weight by name"]);
    let faults = faults(&source, &gemm(0));
    assert!(faults[0].contains("--transpose 'fc.weight'") && faults[0].contains("=0,1"), "{faults:?}");
    let options = Options { arranged: [TensorId(0)].into(), ..Options::default() };
    assert_eq!(matched(&source, &gemm(0), &options).0, ["fc.weight <- fc.weight by name"]);
    // A Transpose before the MatMul turns it back.
    let mut target = model("onnx", &[("fc.weight", &[4, 4])]);
    let nodes: [(&str, &str, &[&str], &str, &[(&str, Value)]); 2] =
        [("/t", "Transpose", &["fc.weight"], "t", &[]), ("/fc/MatMul", "MatMul", &["x", "t"], "y", &[])];
    graph(&mut target, &nodes);
    assert_eq!(pairs(&source, &target), ["fc.weight <- fc.weight by name"]);
    // GPT-2's own way round is not told by its name.
    let conv1d = torch(&[("h.0.c_proj.weight", &[4, 4])]);
    let keras = model("numpy", &[("h/0/c_proj/kernel", &[4, 4])]);
    assert!(self::faults(&conv1d, &keras)[0].contains("square"));
    let wrapped = torch(&[("transformer.h.0.c_proj.weight", &[4, 4])]);
    assert_eq!(pairs(&conv1d, &wrapped).len(), 1, "torch to torch stays as it is");
}

fn keras(tensors: &[(&str, &[u64])], layers: &[(&str, &str, &str)]) -> Model {
    let mut model = model("keras", tensors);
    for (path, class, name) in layers {
        let attributes = vec![("name".to_owned(), Value::Str((*name).into()))];
        model.modules.push(Module { path: (*path).into(), class: (*class).into(), attributes });
    }
    model
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
fn a_new_name_says_where_and_not_what() {
    let source = keras(&[("layers/dense/vars/0", &[4, 4])], &[("layers/dense", "Dense", "fc")]);
    let target = torch(&[("head.weight", &[4, 4])]);
    for name in ["head.weight", "head/vars/0", "head/kernel"] {
        let options = Options { renamed: [(TensorId(0), name.to_owned())].into(), ..Options::default() };
        let (pairs, faults) = matched(&source, &target, &options);
        assert!(faults.is_empty() && pairs[0].ends_with("[1, 0]"), "{name}: {pairs:?} {faults:?}");
    }
}

#[test]
fn a_dense_behind_a_flatten_has_its_inputs_put_in_order() {
    let mut source = keras(&[("layers/dense/vars/0", &[6, 2])], &[("layers/dense", "Dense", "fc")]);
    let layer = |class: &str, settings: Vec<(&str, Value)>| {
        let settings = settings.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        Value::Map(vec![
            ("class_name".into(), Value::Str(class.into())),
            ("config".into(), Value::Map(settings)),
        ])
    };
    let config = |class: &str, filters: i64| {
        let layers = Value::List(vec![
            layer("Conv2D", vec![("filters", Value::Int(filters))]),
            layer("ReLU", vec![]),
            layer("Flatten", vec![]),
            layer("Dense", vec![("name", Value::Str("fc".into()))]),
        ]);
        Value::Map(vec![
            ("class_name".into(), Value::Str(class.into())),
            ("config".into(), Value::Map(vec![("layers".into(), layers)])),
        ])
    };
    let target = torch(&[("fc.weight", &[2, 6])]);
    source.metadata = vec![("config".into(), config("Sequential", 2))];
    // Keras: ((point * 2) + channel) * 2 + out.
    let expected = (0..2)
        .flat_map(|o| (0..2).flat_map(move |c| (0..3).map(move |p| f64::from((p * 2 + c) * 2 + o))))
        .collect::<Vec<_>>();
    let arrived = carried(&source, &target).model_into(&target);
    assert_eq!(values(&arrived.tensors[0]), expected);
    let back = carried(&arrived, &source).model_into(&source);
    assert_eq!(values(&back.tensors[0]), values(&source.tensors[0]));
    // Where the channels are not certain, nothing is.
    source.metadata = vec![("config".into(), config("Functional", 2))];
    assert!(faults(&source, &target)[0].contains("flattened"));
    source.metadata = vec![("config".into(), config("Sequential", 4))];
    assert!(faults(&source, &target)[0].contains("flattened"));
    source.metadata = vec![("config".into(), config("Sequential", 6))];
    assert_eq!(pairs(&source, &target), ["fc.weight <- layers/dense/vars/0 by spelling [1, 0]"], "one point");
    // Without a configuration, a width that no layer makes.
    let bare: &[(&str, &[u64])] =
        &[("layers/conv2d/vars/0", &[3, 3, 3, 2]), ("layers/dense/vars/0", &[18, 5])];
    let target = torch(&[("conv2d.weight", &[2, 3, 3, 3]), ("dense.weight", &[5, 18])]);
    assert!(faults(&keras(bare, &[]), &target)[0].contains("flattened"));
}

#[test]
fn query_key_and_value_are_not_told_by_their_shape() {
    let source = torch(&[("a.wq.weight", &[8, 6]), ("a.wk.weight", &[8, 6]), ("a.wv.weight", &[8, 6])]);
    let target =
        torch(&[("a.q_proj.weight", &[8, 6]), ("a.k_proj.weight", &[8, 6]), ("a.v_proj.weight", &[8, 6])]);
    assert_eq!(faults(&source, &target).len(), 3);
    // The last one of its shape that is left is not alone with it.
    let source = torch(&[("a.q_proj.weight", &[8, 6]), ("a.k_proj.weight", &[8, 6]), ("b.weight", &[8, 6])]);
    let faults = faults(&source, &target);
    assert!(faults.len() == 1 && faults[0].contains("'b.weight' [8, 6]"), "{faults:?}");
}

#[test]
fn fused_projections_are_named() {
    let fused = torch(&[("a.in_proj_weight", &[12, 4])]);
    let apart =
        torch(&[("a.q_proj.weight", &[4, 4]), ("a.k_proj.weight", &[4, 4]), ("a.v_proj.weight", &[4, 4])]);
    assert!(faults(&fused, &apart)[0].contains("split it first"));
    assert!(faults(&apart, &fused)[0].contains("join them first"));
}

#[test]
fn gates_are_never_rearranged() {
    let source = torch(&[("rnn.weight_ih_l0", &[16, 4])]);
    assert_eq!(pairs(&source, &source).len(), 1);
    let mut target = model("onnx", &[("rnn.weight_ih_l0", &[1, 16, 4])]);
    graph(&mut target, &[("/rnn/LSTM", "LSTM", &["x", "rnn.weight_ih_l0"], "y", &[])]);
    assert!(faults(&source, &target)[0].contains("gates"));
}

#[test]
fn shapes_decide_only_where_they_are_alone() {
    let source = torch(&[
        ("a.weight", &[8, 3, 3, 3]),
        ("a.bias", &[8]),
        ("b.weight", &[8, 8, 3, 3]),
        ("b.bias", &[8]),
    ]);
    let target = torch(&[
        ("x.weight", &[8, 3, 3, 3]),
        ("x.bias", &[8]),
        ("y.weight", &[8, 8, 3, 3]),
        ("y.bias", &[8]),
    ]);
    assert_eq!(
        pairs(&source, &target),
        [
            "x.weight <- a.weight by shape",
            "x.bias <- a.bias by layer",
            "y.weight <- b.weight by shape",
            "y.bias <- b.bias by layer",
        ]
    );
    let source = torch(&[("a.weight", &[8, 8, 3, 3]), ("b.weight", &[8, 8, 3, 3])]);
    let target = torch(&[("x.weight", &[8, 8, 3, 3]), ("y.weight", &[8, 8, 3, 3])]);
    assert_eq!(faults(&source, &target).len(), 2);
    let options = Options { by_order: true, ..Options::default() };
    let (by_order, _) = matched(&source, &target, &options);
    assert_eq!(by_order, ["x.weight <- a.weight by order", "y.weight <- b.weight by order"]);
    let square = (torch(&[("a.weight", &[5, 5])]), torch(&[("x.weight", &[5, 5])]));
    assert_eq!(faults(&square.0, &square.1).len(), 1, "square matrices are not");
}

#[test]
fn what_does_not_fit_is_told_with_both_shapes() {
    let faults = faults(&torch(&[("fc.weight", &[10, 6])]), &torch(&[("fc.weight", &[5, 6])]));
    assert!(faults[0].contains("[10, 6]") && faults[0].contains("[5, 6]"), "{faults:?}");
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
fn tied_targets_have_one_source() {
    let mut target = torch(&[("embed.weight", &[6, 4]), ("head.weight", &[6, 4])]);
    target.tensors[1].storage = target.tensors[0].storage.clone();
    let two = torch(&[("embed.weight", &[6, 4]), ("head.weight", &[6, 4])]);
    assert!(faults(&two, &target)[0].contains("shares its storage with 'embed.weight'"));
    let one = torch(&[("embed.weight", &[6, 4])]);
    assert_eq!(pairs(&one, &target)[1], "head.weight <- embed.weight by tie");
    let mut tied = two;
    tied.tensors[1].storage = tied.tensors[0].storage.clone();
    assert_eq!(pairs(&tied, &target).len(), 2);
}

#[test]
fn a_tensor_that_an_exporter_kept_once_takes_one_source() {
    let mut target = model("onnx", &[("bn1.weight", &[4])]);
    let norm = |name, weight| (name, "BatchNormalization", weight, "y", &[][..]);
    graph(
        &mut target,
        &[
            ("id", "Identity", &["bn1.weight"], "bn2.weight", &[]),
            norm("/bn1/BatchNormalization", &["x", "bn1.weight"][..]),
            norm("/bn2/BatchNormalization", &["x", "bn2.weight"][..]),
        ],
    );
    let source = torch(&[("bn1.weight", &[4]), ("bn2.weight", &[4])]);
    assert!(faults(&source, &target)[0].contains("'bn2.weight'"));
}

#[test]
fn running_statistics_are_not_lost_in_silence() {
    let source = torch(&[("c.weight", &[4, 3, 1, 1]), ("bn.running_mean", &[4]), ("bn.running_var", &[4])]);
    let found = Match::of(&source, &torch(&[("c.weight", &[4, 3, 1, 1])]), &Options::default());
    assert!(found.faults.is_empty());
    assert!(found.check(true).unwrap_err().to_string().contains("bn.running_mean, bn.running_var"));
}

#[test]
fn counts_of_batches_need_no_source() {
    let source = torch(&[("bn.running_mean", &[4])]);
    let target = torch(&[("bn.running_mean", &[4]), ("bn.num_batches_tracked", &[])]);
    let found = Match::of(&source, &target, &Options::default());
    assert!(found.faults.is_empty() && found.own.len() == 1);
    assert!(found.check(false).is_ok());
}

/// All values of a tensor.
fn values(tensor: &Tensor) -> Vec<f64> {
    let mut all = Vec::new();
    let read = tensor.visit_values(0..tensor.count(), &mut |_, values| {
        all.extend_from_slice(values);
        Ok(())
    });
    read.unwrap();
    all
}

fn carried(source: &Model, target: &Model) -> Transfer {
    let found = Match::of(source, target, &Options::default());
    found.check(false).unwrap();
    Transfer::of(source).in_place_of(source, target, &[], &found).unwrap()
}

#[test]
fn what_arrives_has_the_sources_values_in_the_targets_order() {
    let source = keras(&[("layers/conv2d/vars/0", &[1, 2, 3, 2])], &[("layers/conv2d", "Conv2D", "c")]);
    let target = torch(&[("c.weight", &[2, 3, 1, 2])]);
    let arrived = carried(&source, &target).model_into(&target);
    // Keras: ((h*2 + w)*3 + in)*2 + out.
    let expected =
        (0..2).flat_map(|o| (0..3).flat_map(move |i| (0..2).map(move |w| f64::from((w * 3 + i) * 2 + o))));
    assert_eq!(values(&arrived.tensors[0]), expected.collect::<Vec<_>>());
    assert_eq!((arrived.tensors[0].name.as_str(), arrived.format), ("c.weight", "pytorch"));
}

#[test]
fn depthwise_filters_lie_one_after_another() {
    let source = keras(
        &[("layers/depthwise_conv2d/vars/0", &[1, 2, 3, 2])],
        &[("layers/depthwise_conv2d", "DepthwiseConv2D", "d")],
    );
    let target = torch(&[("d.weight", &[6, 1, 1, 2])]);
    let arrived = carried(&source, &target).model_into(&target);
    let expected = (0..6).flat_map(|c| (0..2).map(move |w| f64::from(w * 6 + c)));
    assert_eq!(values(&arrived.tensors[0]), expected.collect::<Vec<_>>());
}

#[test]
fn caffes_sums_become_means_and_back() {
    let mut caffe =
        model("caffe", &[("bn.running_mean", &[2]), ("bn.running_var", &[2]), ("bn.factor", &[1])]);
    caffe.tensors[2].storage = storage(1, 4);
    graph(
        &mut caffe,
        &[("bn", "BatchNorm", &["x", "bn.running_mean", "bn.running_var", "bn.factor"], "y", &[])],
    );
    let target = torch(&[("bn.running_mean", &[2]), ("bn.running_var", &[2])]);
    let arrived = carried(&caffe, &target).model_into(&target);
    assert_eq!(values(&arrived.tensors[1]), [0.0, 0.25]);
    let back = carried(&target, &caffe).model_into(&caffe);
    assert_eq!((values(&back.tensors[1]), values(&back.tensors[2])), (vec![0.0, 1.0], vec![1.0]));
}

#[test]
fn a_scale_behind_a_batch_norm_is_its_affine_part() {
    let mut caffe = model("caffe", &[("bn.running_mean", &[2]), ("sc.weight", &[2]), ("sc.bias", &[2])]);
    let nodes: [(&str, &str, &[&str], &str, &[(&str, Value)]); 2] = [
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

#[test]
fn a_net_without_weights_asks_for_them() {
    let mut net = model("caffe", &[]);
    let nodes: [(&str, &str, &[&str], &str, &[(&str, Value)]); 1] = [("c", "Convolution", &["x"], "y", &[])];
    graph(&mut net, &nodes);
    let asked = |name: &str, shape: Option<Vec<Option<u64>>>| Asked { name: name.into(), shape, role: None };
    let options = Options {
        asked: vec![
            asked("c.weight", Some(vec![Some(4), None, Some(3), Some(3)])),
            asked("c.bias", Some(vec![Some(4)])),
        ],
        ..Options::default()
    };
    let source = torch(&[("c.weight", &[4, 2, 3, 3]), ("c.bias", &[4])]);
    let found = Match::of(&source, &net, &options);
    assert!(found.check(false).is_ok(), "{:?}", found.faults);
    let arrived =
        Transfer::of(&source).in_place_of(&source, &net, &options.asked, &found).unwrap().model_into(&net);
    assert_eq!(arrived.tensors.len(), 2);
    assert_eq!(arrived.graph.unwrap().nodes[0].inputs.len(), 3);
    let wrong = torch(&[("c.weight", &[5, 2, 3, 3]), ("c.bias", &[5])]);
    assert_eq!(Match::of(&wrong, &net, &options).faults.len(), 2);
}

#[test]
fn a_graph_demands_its_types() {
    let mut target = model("onnx", &[("c.weight", &[2, 1, 1, 1])]);
    graph(&mut target, &[("/c/Conv", "Conv", &["x", "c.weight"], "y", &[])]);
    let half = |dtype| {
        let storage = Arc::new(Memory::new(vec![0u8; 8 * 2]));
        let tensor =
            Tensor::contiguous("c.weight", dtype, vec![2, 1, 1, 1], storage, &Place::default()).unwrap();
        let mut source = Model { format: "pytorch", ..Model::default() };
        source.push(tensor);
        source
    };
    let arrived = carried(&half(DType::F16), &target);
    assert_eq!(arrived.moved[0].target.dtype, DType::F32, "exact, and so told and done");
    let source = half(DType::F64);
    let found = Match::of(&source, &target, &Options::default());
    let error = Transfer::of(&source).in_place_of(&source, &target, &[], &found).unwrap_err().to_string();
    assert!(error.contains("--dtype"), "{error}");
}
