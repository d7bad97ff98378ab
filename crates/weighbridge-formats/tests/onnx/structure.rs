//! Graphs, names, roles, metadata and findings.

use weighbridge_model::{Attribute, DType, Dim, Role, Value};

use super::encode::*;
use super::{codes, elements, error, names, read, sniff};

#[test]
fn tensors_are_listed_wherever_they_stand() {
    let model = read(&specimen());
    assert_eq!(
        names(&model),
        ["w", "i", "sparse", "sparse.values", "sparse.indices", "c@value", "inner", "f@value"]
    );
    assert_eq!(elements(&model.tensors[7]), [1], "any nonzero number is true");
    assert_eq!(model.metadata("sparse shape of sparse"), Some(&Value::List(vec![Value::Int(9)])));
}

#[test]
fn metadata_and_origin_tell_who_wrote_it() {
    let model = read(&specimen());
    assert_eq!((model.format, model.origin.as_str()), ("onnx", "hand 1.0"));
    let text = |s: &str| Some(Value::Str(s.to_owned()));
    assert_eq!(model.metadata("producer").cloned(), text("hand"));
    assert_eq!(model.metadata("ir_version"), Some(&Value::Int(9)));
    assert_eq!(model.metadata("opset").unwrap().get("ai.onnx"), Some(&Value::Int(19)));
    assert_eq!(model.metadata("metadata_props").unwrap().get("key").cloned(), text("value"));
    assert_eq!(model.metadata("functions"), Some(&Value::List(vec![Value::Str("mine.twice".to_owned())])));
}

#[test]
fn the_graph_has_its_nodes_values_and_attributes() {
    let model = read(&specimen());
    let graph = model.graph.as_ref().unwrap();
    assert_eq!((graph.name.as_str(), graph.opsets.as_slice()), ("g", &[(String::new(), 19)][..]));
    let conv = &graph.nodes[0];
    assert_eq!((conv.op.as_str(), conv.name.as_str(), conv.inputs.len()), ("Conv", "conv", 3));
    assert_eq!(conv.inputs[2], None);
    let ints = |items: &[i64]| Value::List(items.iter().map(|&i| Value::Int(i)).collect());
    assert_eq!(conv.attribute("strides"), Some(&ints(&[2, 2])));
    assert_eq!(conv.attribute("pads"), Some(&ints(&[1, -1])));
    assert_eq!(conv.attribute("alpha"), Some(&Value::Float(0.5)));
    assert_eq!(conv.attribute("auto_pad"), Some(&Value::Str("SAME".to_owned())));
    assert!(matches!(graph.nodes[1].attributes[0].1, Attribute::Tensor(id) if id.0 == 5));
    let Attribute::Graph(branch) = &graph.nodes[2].attributes[0].1 else { panic!("a subgraph") };
    assert_eq!((branch.nodes.len(), branch.initializers.len()), (1, 1));
    let x = &graph.values[graph.inputs[0].0 as usize];
    assert_eq!((x.name.as_str(), x.dtype), ("x", Some(DType::F32)));
    assert_eq!(x.shape, Some(vec![Dim::Known(2), Dim::Symbol("N".to_owned())]));
    assert_eq!(graph.initializers.len(), 3, "the dense tensor is what a sparse initializer gives");
    let sparse = &model.tensors[2];
    assert_eq!((sparse.shape.as_slice(), model.tensors[3].in_state_dict), (&[9][..], false));
    let two = 2f32.to_le_bytes();
    assert_eq!(elements(sparse), [[0; 20].as_slice(), &two, &[0; 12]].concat());
}

#[test]
fn attributes_without_a_kind_are_told_by_their_content() {
    let node = node("A", &[], &["y"]).message(5, proto().bytes(1, "k").packed(8, &[3]));
    let model = read(&model(proto().message(1, node)));
    let kept = model.graph.unwrap().nodes[0].attribute("k").cloned();
    assert_eq!(kept, Some(Value::List(vec![Value::Int(3)])));
}

#[test]
fn lists_of_tensors_and_of_graphs_and_long_lists_are_kept() {
    let t = || tensor("own", 3, &[1]).bytes(9, [1]);
    let inner = graph(&[tensor("deep", 3, &[1]).bytes(9, [1])]);
    let n = node("A", &[], &["y"])
        .message(5, attribute("many", 9, proto().message(10, t()).message(10, t())))
        .message(5, attribute("graphs", 10, proto().message(11, inner)))
        .message(5, attribute("trees", 7, proto().packed(8, &[1; 70_000])));
    let model = read(&model(proto().message(1, n)));
    assert_eq!(names(&model), ["y@many.0", "y@many.1", "deep"]);
    let attributes = &model.graph.as_ref().unwrap().nodes[0].attributes;
    assert!(matches!(&attributes[2].1, Attribute::Opaque { what, .. } if what == "list of 70000"));
}

#[test]
fn roles_are_told_by_use() {
    let f = |name: &str, n: i64| tensor(name, 1, &[n]).bytes(9, vec![0; 4 * n as usize]);
    let i = |name: &str| tensor(name, 7, &[1]).bytes(9, [0; 8]);
    let kernel = proto().message(5, tensor("", 1, &[1, 1, 1, 1]).bytes(9, [0; 4]));
    let inner = proto().message(1, node("Conv", &["x", "outer"], &["b"])).message(12, proto().bytes(1, "b"));
    let initializers = [
        f("w", 4),
        f("gamma", 1),
        f("mean", 1),
        i("shape"),
        f("scalar", 1),
        f("bias", 4),
        f("scale", 1),
        tensor("codes", 3, &[1]).bytes(9, [0]),
        f("outer", 4),
        f("spare", 4),
    ];
    let g = [
        node("Constant", &[], &["kernel"]).message(5, attribute("value", 4, kernel)),
        node("Conv", &["x", "w"], &["a1"]),
        node("Conv", &["a1", "kernel"], &["a2"]),
        node("BatchNormalization", &["a2", "gamma", "gamma", "mean", "mean"], &["a3"]),
        node("Reshape", &["a3", "shape"], &["a4"]),
        node("Mul", &["a4", "scalar"], &["a5"]),
        node("Add", &["a5", "bias"], &["a6"]),
        node("DequantizeLinear", &["codes", "scale"], &["a7"]),
        node("If", &["a7"], &["a8"]).message(5, attribute("then_branch", 5, proto().message(6, inner))),
    ]
    .into_iter()
    .fold(graph(&initializers), |g, n| g.message(1, n));
    let model = read(&model(g.message(11, proto().bytes(1, "x"))));
    let roles: Vec<(&str, Role, bool)> =
        model.tensors.iter().map(|t| (t.name.as_str(), t.role, t.role_guessed)).collect();
    assert_eq!(
        roles,
        [
            ("w", Role::Parameter, false),
            ("gamma", Role::Parameter, false),
            ("mean", Role::Buffer, false),
            ("shape", Role::Constant, false),
            ("scalar", Role::Constant, false),
            ("bias", Role::Parameter, false),
            ("scale", Role::Constant, false),
            ("codes", Role::Packed, false),
            ("outer", Role::Parameter, false),
            ("spare", Role::Parameter, true),
            ("kernel@value", Role::Parameter, false),
        ]
    );
    assert_eq!(codes(&model), ["O105"]);
}

#[test]
fn graphs_that_do_not_hold_together_are_noticed() {
    let of = |nodes: &[Proto]| read(&model(nodes.iter().fold(proto(), |g, n| g.message(1, n.clone()))));
    let w = || tensor("w", 3, &[1]).bytes(9, [1]);
    let twice = read(&model(graph(&[w(), w()]).message(12, proto().bytes(1, "w"))));
    assert_eq!((codes(&twice), twice.tensors.len()), (vec!["O101"], 2));
    let cycle = of(&[node("A", &["b"], &["a"]), node("B", &["a"], &["b"])]);
    assert_eq!(codes(&cycle), ["O102"]);
    assert!(cycle.findings[0].message.contains(" -> "), "{}", cycle.findings[0].message);
    assert_eq!(codes(&of(&[node("A", &["b"], &["a"]), node("B", &[], &["b"])])), ["O103"]);
    assert_eq!(codes(&of(&[node("A", &["nowhere"], &["a"])])), ["O104"]);
    assert_eq!(codes(&of(&[node("A", &[], &["a"]), node("B", &[], &["a"])])), ["O106"]);
    assert_eq!(codes(&read(&specimen())), ["O104", "O105"], "`cond` is missing; `i` and `sparse` are unused");
    // A cycle that leads through a subgraph.
    let inner = proto().message(1, node("A", &["late"], &["b"])).message(12, proto().bytes(1, "b"));
    let outer = node("If", &[], &["late"]).message(5, attribute("else_branch", 5, proto().message(6, inner)));
    assert_eq!(codes(&of(&[outer])), ["O102"]);
}

#[test]
fn errors_name_the_node() {
    let bad = attribute("value", 4, proto().message(5, tensor("", 1, &[2]).bytes(9, [0; 4])));
    let e = error(&model(proto().message(1, node("Constant", &[], &["c"]).bytes(3, "here").message(5, bad))));
    assert!(e.contains("tensor 'c@value', node 'here': F32 [2] takes 8 bytes"), "{e}");
    let e = error(&model(proto().message(1, proto().bytes(2, "y"))));
    assert!(e.ends_with("node 'y': a node without an operator"), "{e}");
    let e = error(&proto().int(1, 9));
    assert!(e.ends_with("a model without a graph, which is its one required part"), "{e}");
}

#[test]
fn models_are_told_from_their_look_alikes() {
    use weighbridge_formats::format::Confidence;
    assert_eq!(sniff(&specimen().0), Some(Confidence::Certain));
    let caffe = proto().bytes(1, "LeNet").message(100, proto().bytes(1, "conv1"));
    let saved_model = proto().int(1, 1).message(2, proto().message(1, proto().bytes(4, "serve")));
    let core_ml = proto().int(1, 4).message(2, proto().message(1, proto())).message(500, proto());
    let tensor_proto = tensor("t", 1, &[2]).bytes(9, [0; 8]);
    for other in [caffe, saved_model, core_ml, tensor_proto] {
        assert_eq!(sniff(&other.0), None);
    }
    let safetensors = [&8u64.to_le_bytes()[..], b"{\"a\": 1}"].concat();
    for other in [&safetensors[..], b"\x80\x02}q\x00.", b"PK\x03\x04", b"", b"\x08\x07", &[0xff; 64]] {
        assert_eq!(sniff(other), None);
    }
}

#[test]
fn annotations_training_and_defaults_of_functions_are_kept() {
    let pair = |key: &str, value: &str| proto().bytes(1, key).bytes(2, value);
    let annotation = proto().bytes(1, "x").message(2, pair("SCALE_TENSOR", "s"));
    let default = attribute("w", 4, proto().message(5, tensor("", 1, &[1]).bytes(9, [0, 0, 128, 63])));
    let function = proto().bytes(1, "twice").bytes(10, "mine").bytes(13, "v2").message(11, default);
    let step = graph(&[tensor("rate", 1, &[1]).bytes(9, [0; 4])]);
    let training = proto().message(2, step).message(4, pair("s", "new_s"));
    let scale = tensor("s", 1, &[1]).bytes(9, [0; 4]);
    let whole = model(graph(&[scale]).message(14, annotation)).message(20, training).message(25, function);
    let model = read(&whole);
    assert_eq!(names(&model), ["s", "rate", "twice:v2@w"]);
    assert_eq!(model.tensors[1].role, Role::Other);
    let text = |s: &str| Some(Value::Str(s.to_owned()));
    let annotations = model.metadata("quantization_annotation").unwrap();
    assert_eq!(annotations.get("x").unwrap().get("SCALE_TENSOR").cloned(), text("s"));
    let steps = model.metadata("training_info").unwrap().as_list().unwrap();
    assert_eq!(steps[0].get("update").unwrap().get("s").cloned(), text("new_s"));
}

#[test]
fn a_constant_nodes_plain_numbers_are_tensors() {
    let floats = proto().float(7, 0.5).float(7, -1.0);
    let node = node("Constant", &[], &["k"]).message(5, attribute("value_floats", 6, floats));
    let model = read(&model(proto().message(1, node)));
    assert_eq!((names(&model), model.tensors[0].shape.as_slice()), (vec!["k@value_floats"], &[2][..]));
    assert_eq!(elements(&model.tensors[0]), [0, 0, 0, 63, 0, 0, 128, 191]);
}
