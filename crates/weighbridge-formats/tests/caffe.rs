//! The Caffe reader against nets built by hand, and against the corpus.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use weighbridge_formats::format::Confidence;
use weighbridge_formats::{Access, ReadOptions, Source, by_id, open, read};
use weighbridge_model::{
    Attribute, DType, Graph, Layout, Limits, Model, Node, Result, Role, Tensor, Value, ValueId, layers,
};

/// A message that is being written.
#[derive(Clone, Default)]
struct Proto(Vec<u8>);

impl Proto {
    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value as u8 & 0x7f | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn int(mut self, number: u64, value: u64) -> Self {
        self.varint(number << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, number: u64, content: impl AsRef<[u8]>) -> Self {
        self.varint(number << 3 | 2);
        self.varint(content.as_ref().len() as u64);
        self.0.extend(content.as_ref());
        self
    }

    fn float(mut self, number: u64, value: f32) -> Self {
        self.varint(number << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }
}

impl AsRef<[u8]> for Proto {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn packed(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn shaped(dims: &[u64]) -> Proto {
    Proto::default().bytes(7, dims.iter().fold(Proto::default(), |p, &d| p.int(1, d)))
}

fn blob(dims: &[u64]) -> Proto {
    let count = dims.iter().product::<u64>() as usize;
    shaped(dims).bytes(5, packed(&vec![0.5; count]))
}

/// A current layer.
fn layer(name: &str, kind: &str, blobs: &[Proto]) -> Proto {
    let head = Proto::default().bytes(1, name).bytes(2, kind).bytes(3, "x").bytes(4, "x");
    blobs.iter().fold(head, |p, b| p.bytes(7, b))
}

fn net(layers: &[Proto]) -> Proto {
    layers.iter().fold(Proto::default().bytes(1, "net"), |p, l| p.bytes(100, l))
}

fn source(name: &str, bytes: impl AsRef<[u8]>) -> Source {
    Source::memory(name, bytes.as_ref())
}

fn read_bytes(bytes: impl AsRef<[u8]>) -> Result<Model> {
    read(&source("net.caffemodel", bytes), None, &ReadOptions::default())
}

fn sniff(bytes: impl AsRef<[u8]>) -> Option<Confidence> {
    (by_id("caffe").unwrap().sniff)(&source("m", bytes)).unwrap()
}

fn pair(text: &str, binary: &Proto) -> Result<Model> {
    let sources = [source("net.prototxt", text), source("net.caffemodel", binary)];
    (by_id("caffe").unwrap().join.unwrap())(&sources, &ReadOptions::default())
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let mut out = Vec::new();
    let mut push = |_, values: &[f64]| {
        out.extend_from_slice(values);
        Ok(())
    };
    tensor.visit_values(0..tensor.count(), &mut push).unwrap();
    out
}

fn names(model: &Model) -> Vec<&str> {
    model.tensors.iter().map(|t| t.name.as_str()).collect()
}

fn messages(model: &Model) -> Vec<String> {
    model.findings.iter().map(|f| format!("{}: {}", f.code, f.message)).collect()
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/caffe")
}

fn value_names(graph: &Graph, values: &[Option<ValueId>]) -> Vec<String> {
    values.iter().map(|v| graph.values[v.unwrap().0 as usize].name.clone()).collect()
}

/// Binary fields come in the order of their numbers, text as somebody wrote it.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(entries)
        }
        Value::List(items) => Value::List(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn node<'a>(graph: &'a Graph, name: &str) -> &'a Node {
    graph.nodes.iter().find(|n| n.name == name).unwrap()
}

#[test]
fn what_writes_over_its_bottom_makes_a_value_of_its_own() {
    let text = "name: 'n' input: 'data' input_dim: 1 input_dim: 3 input_dim: -1 input_dim: 8
        layer { name: 'conv' type: 'Convolution' bottom: 'data' top: 'c' }
        layer { name: 'relu' type: 'ReLU' bottom: 'c' top: 'c' }
        layer { name: 'drop' type: 'Dropout' bottom: 'c' top: 'c' }
        layer { name: 'side' type: 'Split' bottom: 'c' top: 'a' top: 'b' }
        layer { name: 'sum' type: 'Eltwise' bottom: 'a' bottom: 'elsewhere' top: 'sum' }";
    let model = read_bytes(text).unwrap();
    let graph = model.graph.unwrap();
    let inputs = |name: &str| value_names(&graph, &node(&graph, name).inputs);
    let outputs = |name: &str| value_names(&graph, &node(&graph, name).outputs);
    assert_eq!((inputs("conv"), outputs("conv")), (vec!["data".to_owned()], vec!["c@conv".to_owned()]));
    assert_eq!((inputs("relu"), outputs("relu")), (vec!["c@conv".to_owned()], vec!["c@relu".to_owned()]));
    assert_eq!((inputs("drop"), outputs("drop")), (vec!["c@relu".to_owned()], vec!["c".to_owned()]));
    assert_eq!(inputs("side"), ["c"]);
    let named = |ids: &[ValueId]| value_names(&graph, &ids.iter().copied().map(Some).collect::<Vec<_>>());
    assert_eq!(named(&graph.inputs), ["data", "elsewhere"]);
    assert_eq!(named(&graph.outputs), ["b", "sum"]);
    let shape = format!("{:?}", graph.values[0].shape.as_ref().unwrap());
    assert_eq!(shape, "[Known(1), Known(3), Unknown, Known(8)]");
    assert!(graph.nodes.iter().all(|n| n.domain == "caffe"));
}

#[test]
fn layers_read_what_exists_in_their_phase() {
    let text = "layer { name: 'test' type: 'Data' top: 'data' include { phase: TEST } }
        layer { name: 'train' type: 'Data' top: 'data' exclude { phase: TEST } }
        layer { name: 'both' type: 'ReLU' bottom: 'data' top: 'r' }
        layer { name: 'aug' type: 'ReLU' bottom: 'data' top: 's' include { phase: TRAIN } }";
    let graph = read_bytes(text).unwrap().graph.unwrap();
    let made = |name: &str| node(&graph, name).outputs[0];
    assert_eq!(node(&graph, "both").inputs, [made("test")]);
    assert_eq!(node(&graph, "aug").inputs, [made("train")]);
    let include = node(&graph, "aug").attribute("include").unwrap();
    assert_eq!(include.get("phase").and_then(Value::as_str), Some("TRAIN"));
}

#[test]
fn a_net_says_the_same_in_binary_and_as_text() {
    let mut compared = 0;
    for name in
        ["every_type", "packed", "v0", "v1", "gen_op_deconv", "gen_op_silence", "gen_op_conv_repeated_hw"]
    {
        let path = |end: &str| corpus().join(format!("{name}.{end}"));
        let graph = |end| open(&[&path(end)], None, &ReadOptions::default()).unwrap().graph.unwrap();
        let (binary, text) = (graph("caffemodel"), graph("prototxt"));
        for node in &text.nodes {
            let other = binary.nodes.iter().find(|n| n.name == node.name).unwrap();
            assert_eq!(other.op, node.op);
            for (key, attribute) in &node.attributes {
                let Attribute::Value(value) = attribute else { panic!("{attribute:?}") };
                // What a fork added has a name in text only.
                if key != "fork_param" {
                    let found = other.attribute(key).map(sorted);
                    assert_eq!(found, Some(sorted(value)), "{name}: {} {key}", node.name);
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 15, "{compared}");
}

#[test]
fn settings_of_forks_are_kept() {
    let fork = Proto::default().bytes(1, "fast").int(2, 7).float(3, 0.1);
    let net = net(&[layer("l", "Mine", &[]).bytes(8000, &fork).bytes(8001, "plain").float(8002, 0.1)]);
    let graph = read_bytes(net).unwrap().graph.unwrap();
    assert_eq!(graph.nodes[0].attribute("field_8000"), Some(&Value::Bytes(fork.0.len() as u64)));
    assert_eq!(graph.nodes[0].attribute("field_8001"), Some(&Value::Str("plain".to_owned())));
    assert_eq!(graph.nodes[0].attribute("field_8002"), Some(&Value::Float(0.1)));
    let text = "layer { name: 'l' type: 'Mine' mine_param { a: [1, 2] how: FAST [ext.x]: 3 } } anything { at: 'all' }";
    let model = read_bytes(text).unwrap();
    let mine = model.graph.as_ref().unwrap().nodes[0].attribute("mine_param").unwrap();
    assert_eq!(mine.get("how").and_then(Value::as_str), Some("FAST"));
    assert_eq!(mine.get("[ext.x]").and_then(Value::as_int), Some(3));
    assert!(model.metadata("anything").is_some());
}

#[test]
fn numbers_one_by_one_are_reached_from_anywhere() {
    let expected: Vec<f32> = (0..40_000).map(|i| i as f32 * 0.25 - 100.0).collect();
    let loose = |values: &[f32], p: Proto| values.iter().fold(p, |p, &v| p.float(5, v));
    let whole = loose(&expected, shaped(&[40_000]));
    let mixed = loose(&expected[..7], shaped(&[40_000])).bytes(5, packed(&expected[7..20_000]));
    let mixed = loose(&expected[20_000..39_000], mixed.bytes(5, [])).bytes(5, packed(&expected[39_000..]));
    for blob in [whole, mixed] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.caffemodel");
        fs::write(&path, net(&[layer("l", "InnerProduct", &[blob])])).unwrap();
        for no_mmap in [false, true] {
            let options = ReadOptions { access: Access { no_mmap }, ..ReadOptions::default() };
            let model = open(&[&path], None, &options).unwrap();
            let tensor = &model.tensors[0];
            let bytes = packed(&expected);
            assert_eq!(values(tensor), expected.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
            assert!(tensor.storage.can_seek() && tensor.storage.file_offset().is_none());
            for at in (0..bytes.len() - 1000).step_by(7919) {
                for len in [1, 3, 4, 1000] {
                    let mut buffer = vec![0; len];
                    tensor.storage.read_at(at as u64, &mut buffer).unwrap();
                    assert_eq!(buffer, bytes[at..at + len], "{at} {len}");
                }
            }
            assert!(tensor.storage.read_at(bytes.len() as u64 - 1, &mut [0; 2]).is_err());
        }
    }
}

#[test]
fn five_gigabytes_are_opened_without_being_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.caffemodel");
    let (rows, columns) = (1u64 << 20, 1280u64);
    let data = rows * columns * 4;
    // The data is a hole in the file, behind the headers around it.
    let mut inner = shaped(&[rows, columns]);
    inner.varint(5 << 3 | 2);
    inner.varint(data);
    let mut outer = layer("ip", "InnerProduct", &[]);
    outer.varint(7 << 3 | 2);
    outer.varint(inner.0.len() as u64 + data);
    let mut whole = Proto::default().bytes(1, "big");
    whole.varint(100 << 3 | 2);
    whole.varint((outer.0.len() + inner.0.len()) as u64 + data);
    let head = [whole.0, outer.0, inner.0].concat();
    let mut file = File::create(&path).unwrap();
    file.write_all(&head).unwrap();
    file.seek(SeekFrom::Current(data as i64)).unwrap();
    file.write_all(&[4 << 3, 1]).unwrap();
    drop(file);
    let begin = std::time::Instant::now();
    let model = open(&[&path], None, &ReadOptions::default()).unwrap();
    assert!(begin.elapsed().as_secs() < 5);
    let tensor = &model.tensors[0];
    assert_eq!((tensor.name.as_str(), tensor.shape.as_slice()), ("ip.weight", &[rows, columns][..]));
    assert_eq!(tensor.storage.file_offset(), Some(head.len() as u64));
    assert_eq!(tensor.storage.as_slice().unwrap().len() as u64, data);
}

#[test]
fn shapes_and_encodings_follow_caffes_precedence() {
    let one = |blob: Proto| read_bytes(net(&[layer("l", "Mine", &[blob])])).map(|mut m| m.tensors.remove(0));
    let four = packed(&[1.0, 2.0, 3.0, 4.0]);
    // An old size wins, and those that are left out are 0.
    let old = |p: Proto| p.int(1, 1).int(2, 1).int(3, 2).int(4, 2);
    assert_eq!(one(old(shaped(&[4])).bytes(5, &four)).unwrap().shape, [1, 1, 2, 2]);
    let error = one(Proto::default().int(4, 4).bytes(5, &four)).unwrap_err().to_string();
    assert!(error.ends_with("shape [0, 0, 0, 4] asks for 0 values, and the blob has 4"), "{error}");
    assert!(error.contains("tensor 'l.blob0', node 'l'"), "{error}");
    // A shape without sizes is a scalar's; no shape at all says nothing.
    assert!(one(shaped(&[]).bytes(5, packed(&[2.0]))).unwrap().shape.is_empty());
    assert_eq!(one(Proto::default().bytes(5, &four)).unwrap().shape, [4]);
    // Double precision wins over single.
    let doubles: Vec<u8> = [0.1f64, 0.2].iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensor = one(shaped(&[2]).bytes(5, &four).bytes(8, doubles)).unwrap();
    assert_eq!((tensor.dtype, values(&tensor)), (DType::F64, vec![0.1, 0.2]));
    // Half-precision codes as varints: 1, -2, the largest.
    let codes = [0x3c00, 0xc000, 0x7bff].iter().fold(Proto::default(), |mut p, &c| {
        p.varint(c);
        p
    });
    let tensor = one(shaped(&[3]).bytes(10, codes)).unwrap();
    assert_eq!((tensor.dtype, values(&tensor)), (DType::F16, vec![1.0, -2.0, 65504.0]));
    let error = one(shaped(&[4]).int(10, 9).bytes(12, &four)).unwrap_err().to_string();
    assert!(error.contains("raw_data of type 9"), "{error}");
}

#[test]
fn blobs_without_values_are_listed() {
    let model = read_bytes(net(&[layer("l", "PReLU", &[shaped(&[3])])])).unwrap();
    assert_eq!((model.tensors[0].shape.as_slice(), &model.tensors[0].layout), (&[3][..], &Layout::Opaque));
    assert_eq!(messages(&model), ["C102: a blob has a shape and no values"]);
}

#[test]
fn gradients_are_mentioned() {
    let with = blob(&[2]).bytes(6, packed(&[1.0, 2.0]));
    let model = read_bytes(net(&[layer("l", "PReLU", &[with])])).unwrap();
    assert_eq!(messages(&model), ["C101: 8 bytes of gradients (diff) stand beside the weights"]);
    assert_eq!(values(&model.tensors[0]), [0.5, 0.5]);
}

const TEXT: &str = "layer { name: 'conv' type: 'Convolution' bottom: 'x' top: 'c'
        convolution_param { num_output: 4 kernel_size: 3 } }
    layer { name: 'ip' type: 'InnerProduct' bottom: 'c' top: 'i' inner_product_param { num_output: 5 } }
    layer { name: 'prob' type: 'Softmax' bottom: 'i' top: 'prob' }";

#[test]
fn a_pair_takes_its_graph_from_the_text_and_its_weights_by_name() {
    let old = Proto::default().int(1, 1).int(2, 1).int(3, 5).int(4, 6).bytes(5, packed(&[1.0; 30]));
    let bias = Proto::default().int(1, 1).int(2, 1).int(3, 1).int(4, 5).bytes(5, packed(&[1.0; 5]));
    let weights = net(&[
        layer("head", "InnerProduct", &[blob(&[2, 2])]),
        layer("ip", "InnerProduct", &[old, bias]),
        layer("conv", "Convolution", &[blob(&[4, 2, 3, 3]), blob(&[4])]),
    ]);
    let model = pair(TEXT, &weights).unwrap();
    assert_eq!(names(&model), ["head.weight", "ip.weight", "ip.bias", "conv.weight", "conv.bias"]);
    assert_eq!(
        messages(&model),
        ["C106: net.prototxt has no layer for the weights of 'head' in net.caffemodel"]
    );
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(value_names(graph, &node(graph, "conv").inputs), ["x", "conv.weight", "conv.bias"]);
    let kinds: Vec<String> = layers::layers(&model).into_iter().map(|l| l.kind).collect();
    assert_eq!(kinds, ["Linear 2->2", "InnerProduct 6->5", "Convolution 2->4 k3"]);
    // The other way round it is the same pair.
    let sources = [source("net.caffemodel", &weights), source("net.prototxt", TEXT)];
    let again = (by_id("caffe").unwrap().join.unwrap())(&sources, &ReadOptions::default()).unwrap();
    assert_eq!(names(&again), names(&model));
}

#[test]
fn a_pair_that_does_not_fit_is_told_apart_precisely() {
    let weights = net(&[
        layer("ip", "InnerProduct", &[blob(&[5, 6])]),
        layer("conv", "Convolution", &[blob(&[4, 2, 5, 5]), blob(&[3])]),
    ]);
    assert_eq!(
        messages(&pair(TEXT, &weights).unwrap()),
        [
            "C104: blob 0 of layer 'conv' is [4, ?, 3, 3] by net.prototxt, and [4, 2, 5, 5] in net.caffemodel",
            "C104: blob 1 of layer 'conv' is [4] by net.prototxt, and [3] in net.caffemodel",
            "C103: layer 'ip' has 2 blobs in net.prototxt, and 1 in net.caffemodel",
        ]
    );
    let less = net(&[layer("ip", "InnerProduct", &[blob(&[5, 6]), blob(&[5])])]);
    assert_eq!(
        messages(&pair(TEXT, &less).unwrap()),
        ["C105: net.caffemodel has no layer 'conv', whose weights net.prototxt asks for"]
    );
    let sources = [source("a", TEXT), source("b", TEXT)];
    let error = (by_id("caffe").unwrap().join.unwrap())(&sources, &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().ends_with("a is a net as text, b is a net as text"), "{error}");
}

#[test]
fn every_pair_of_the_corpus_fits() {
    let mut pairs = 0;
    for entry in fs::read_dir(corpus()).unwrap() {
        let weights = entry.unwrap().path();
        let text = weights.with_extension("prototxt");
        if weights.extension().is_none_or(|e| e != "caffemodel") || !text.exists() {
            continue;
        }
        let model = open(&[&text, &weights], None, &ReadOptions::default()).unwrap();
        let alone = open(&[&weights], None, &ReadOptions::default()).unwrap();
        let bad: Vec<_> =
            messages(&model).into_iter().filter(|m| m.starts_with("C103") || m.starts_with("C104")).collect();
        assert!(bad.is_empty(), "{}: {bad:?}", weights.display());
        assert_eq!(names(&model), names(&alone));
        // Layers in the metadata are the graph's nodes.
        for model in [&model, &alone] {
            let layers = model.metadata("layers").unwrap().as_list().unwrap();
            let nodes = &model.graph.as_ref().unwrap().nodes;
            assert_eq!(layers.len(), nodes.len());
            for (layer, node) in layers.iter().zip(nodes) {
                let text = |key| layer.get(key).and_then(Value::as_str).unwrap();
                assert_eq!((text("name"), text("type")), (node.name.as_str(), node.op.as_str()));
            }
        }
        pairs += 1;
    }
    assert!(pairs > 15, "{pairs}");
}

#[test]
fn roles_are_told_where_the_type_tells_them() {
    let stats = [blob(&[4]), blob(&[4]), blob(&[1])];
    let model =
        read_bytes(net(&[layer("bn", "BatchNorm", &stats), layer("own", "Own", &[blob(&[2])])])).unwrap();
    let roles: Vec<_> = model.tensors.iter().map(|t| (t.name.as_str(), t.role, t.role_guessed)).collect();
    assert_eq!(
        roles,
        [
            ("bn.running_mean", Role::Buffer, false),
            ("bn.running_var", Role::Buffer, false),
            ("bn.factor", Role::Buffer, false),
            ("own.blob0", Role::Parameter, true),
        ]
    );
}

#[test]
fn caffes_files_are_told_from_others() {
    let likely = Some(Confidence::Likely);
    assert_eq!(sniff(net(&[layer("l", "ReLU", &[])])), likely);
    assert_eq!(sniff("layer { name: 'x' type: 'ReLU' }"), likely);
    assert_eq!(sniff("# c\nname: 'x'\nlayers: < layer { type: 'relu' } >"), likely);
    assert_eq!(sniff("name: 'x' input: 'data' input_shape { dim: 1 }"), Some(Confidence::Plausible));
    assert_eq!(
        sniff("net: 'train_val.prototxt'\nbase_lr: 0.01\nlr_policy: 'step'"),
        Some(Confidence::Plausible)
    );
    // One blob, and a solver's state.
    let mean = Proto::default().int(1, 1).int(2, 1).int(3, 1).int(4, 2).bytes(5, packed(&[1.0, 2.0]));
    assert_eq!(sniff(&mean), likely);
    assert_eq!(sniff(Proto::default().int(1, 7).bytes(2, "x.caffemodel").bytes(3, blob(&[2]))), likely);
    // TensorFlow's GraphDef: nodes with name and operator, then versions; its SavedModel; an ONNX model.
    let node = Proto::default().bytes(1, "x").bytes(2, "Placeholder");
    let versions = Proto::default().int(1, 21);
    assert_eq!(sniff(Proto::default().bytes(1, &node).bytes(1, &node).bytes(4, &versions)), None);
    assert_eq!(sniff(Proto::default().bytes(1, &node).bytes(4, &versions)), None);
    let meta = Proto::default().bytes(1, Proto::default().bytes(5, "1.15"));
    assert_eq!(sniff(Proto::default().int(1, 1).bytes(2, meta)), None);
    let graph = Proto::default().bytes(1, Proto::default().bytes(4, "Relu")).bytes(2, "g");
    let opset = Proto::default().bytes(1, "").int(2, 17);
    assert_eq!(sniff(Proto::default().int(1, 8).bytes(2, "pytorch").bytes(7, graph).bytes(8, opset)), None);
    for other in [
        "item { name: 'none' label: 0 }",
        "node { name: 'x' op: 'Add' }",
        "{\"layer\": 1}",
        "12\nlayer 5",
        "layer { 1 }",
        "",
    ] {
        assert_eq!(sniff(other), None, "{other}");
    }
}

#[test]
fn a_solvers_settings_are_metadata() {
    let model = read_bytes("net: 'train_val.prototxt'\nbase_lr: 0.01\nstepvalue: 10\nstepvalue: 20").unwrap();
    assert_eq!(model.metadata("base_lr"), Some(&Value::Float(0.01)));
    assert_eq!(model.metadata("stepvalue"), Some(&Value::List(vec![Value::Int(10), Value::Int(20)])));
}

#[test]
fn limits_hold() {
    let deep = ReadOptions { limits: Limits { dims: 3, ..Limits::default() }, ..ReadOptions::default() };
    let bytes = net(&[layer("l", "Mine", &[blob(&[1, 1, 1, 1])])]);
    let error = read(&source("m", bytes), None, &deep).unwrap_err().to_string();
    assert!(error.contains("dimensions of a blob: 4 asked, 3 allowed"), "{error}");
}

#[test]
fn a_net_may_have_a_hundred_thousand_layers() {
    let layer = |i: usize| {
        format!(
            "layer {{ name: 'l{i}' type: 'Power' bottom: 'b{i}' top: 'b{}' power_param {{ scale: 2 }} }}\n",
            i + 1
        )
    };
    let text: String = (0..100_000).map(layer).collect();
    let model = read_bytes(&text).unwrap();
    assert_eq!(model.graph.unwrap().nodes.len(), 100_000);
    // What is denser than any net has an end.
    let dense = format!("layer {{ name: 'l' type: 'Mine' {} }}", "m{a:1}".repeat(200_000));
    let error = read_bytes(&dense).err().unwrap().to_string();
    assert!(error.contains("settings of a net: "), "{error}");
}

#[test]
fn a_folder_is_its_weights_with_nets_for_company() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("net.caffemodel"), net(&[layer("l", "PReLU", &[blob(&[2])])])).unwrap();
    for name in ["deploy.prototxt", "solver.prototxt", "net.solverstate"] {
        fs::write(folder.path().join(name), TEXT).unwrap();
    }
    let model = open(&[folder.path()], None, &ReadOptions::default()).unwrap();
    assert_eq!((names(&model), model.format), (vec!["l.weight"], "caffe"));
    assert_eq!(model.metadata("company").and_then(Value::as_list).map(<[Value]>::len), Some(3));
}
