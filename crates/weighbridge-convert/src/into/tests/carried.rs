//! What arrives, value by value.

use super::*;

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
fn a_net_without_weights_asks_for_them() {
    let mut net = model("caffe", &[]);
    let nodes: [NodeOf<'_>; 1] = [("c", "Convolution", &["x"], "y", &[])];
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

/// A Sequential model of Keras: a convolution of two channels, a Flatten and a Dense called `fc`.
fn flattening() -> Value {
    let layer = |class: &str, setting: (&str, Value)| {
        Value::Map(vec![
            ("class_name".into(), Value::Str(class.into())),
            ("config".into(), Value::Map(vec![(setting.0.into(), setting.1)])),
        ])
    };
    let layers = Value::List(vec![
        layer("Conv2D", ("filters", Value::Int(2))),
        layer("Flatten", ("name", Value::Str("flatten".into()))),
        layer("Dense", ("name", Value::Str("fc".into()))),
    ]);
    Value::Map(vec![
        ("class_name".into(), Value::Str("Sequential".into())),
        ("config".into(), Value::Map(vec![("layers".into(), layers)])),
    ])
}

#[test]
fn variables_below_their_layers_group_are_that_layers() {
    let name = "model_weights/fc/sequential/fc/kernel";
    let mut source = keras(&[(name, &[6, 2])], &[("model_weights/fc", "Dense", "fc")]);
    source.metadata = vec![("config".into(), flattening())];
    let target = torch(&[("fc.weight", &[2, 6])]);
    assert_eq!(pairs(&source, &target).len(), 1);
    let expected = (0..2)
        .flat_map(|o| (0..2).flat_map(move |c| (0..3).map(move |p| f64::from((p * 2 + c) * 2 + o))))
        .collect::<Vec<_>>();
    assert_eq!(values(&carried(&source, &target).model_into(&target).tensors[0]), expected);
}

#[test]
fn tensorflows_variables_are_turned_and_put_in_order_like_keras() {
    let tensors: &[(&str, &[u64])] = &[
        ("sequential/c/kernel", &[1, 1, 3, 2]),
        ("sequential/d/kernel", &[6, 5]),
        ("adam/x/kernel", &[6, 5]),
    ];
    let target = torch(&[("c.weight", &[2, 3, 1, 1]), ("d.weight", &[5, 6])]);
    // A checkpoint tells no layers: a width that no layer makes may be a picture's.
    let mut source = model("tensorflow", &tensors[..2]);
    let found = faults(&source, &target);
    assert!(matches!(found.as_slice(), [fault] if fault.contains("flattened")), "{found:?}");
    let square = model("tensorflow", &[tensors[0], ("sequential/d/kernel", &[6, 6])]);
    let fault = &faults(&square, &torch(&[("c.weight", &[2, 3, 1, 1]), ("d.weight", &[6, 6])]))[0];
    assert!(fault.contains("flattened"), "its own outputs are no other layer's: {fault}");
    // A graph does.
    let nodes: [NodeOf<'_>; 4] = [
        ("c", "Conv2D", &["x", "sequential/c/kernel"], "h", &[]),
        ("r", "Relu", &["h"], "i", &[]),
        ("f", "Reshape", &["i"], "j", &[]),
        ("d", "MatMul", &["j", "sequential/d/kernel"], "y", &[]),
    ];
    graph(&mut source, &nodes);
    let arrived = carried(&source, &target).model_into(&target);
    // (in * 2) + out; ((point * 2) + channel) * 5 + out.
    assert_eq!(values(&arrived.tensors[0]), [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    assert_eq!(values(&arrived.tensors[1])[..6], [0.0, 10.0, 20.0, 5.0, 15.0, 25.0]);
    let mut turned = model("tensorflow", &[("d/kernel", &[6, 5])]);
    graph(&mut turned, &[("d", "MatMul", &["x", "d/kernel"], "y", &[("transpose_b", Value::Bool(true))])]);
    assert_eq!(pairs(&turned, &torch(&[("d.weight", &[6, 5])])), ["d.weight <- d/kernel by spelling"]);
    // What is no weight is not proposed.
    let lonely = model("tensorflow", &tensors[2..]);
    assert!(faults(&lonely, &torch(&[("e.weight", &[5, 6, 7])]))[0].contains("nothing is left"));
}
