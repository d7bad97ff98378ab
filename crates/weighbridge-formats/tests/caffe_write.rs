//! `.caffemodel` as it is written: a net that is read keeps its layers and settings; a text net takes tensors by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weighbridge_formats::{Carry, Plan, ReadOptions, Source, WriteOptions, by_id, open, read};
use weighbridge_model::{Attribute, DType, Error, Graph, Memory, Model, Place, Result, Tensor};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/caffe")
}

fn plan(model: &Model, path: &Path) -> Result<Plan> {
    by_id("caffe").unwrap().write.unwrap()(model, path, &WriteOptions::default())
}

/// The model as it is read back.
fn written(model: &Model) -> (Plan, Model) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.caffemodel");
    let plan = plan(model, &path).unwrap();
    plan.write(&[], Carry::default(), &|_| {}).unwrap();
    let back = open(&[&path], None, &ReadOptions::default()).unwrap();
    (plan, back)
}

/// What a graph is, in words that can be compared.
fn told(graph: &Graph) -> Vec<String> {
    let name = |v: &Option<weighbridge_model::ValueId>| v.map(|v| graph.values[v.0 as usize].name.clone());
    let each = |vs: &[Option<weighbridge_model::ValueId>]| vs.iter().map(name).collect::<Vec<_>>();
    let mut told: Vec<String> = graph
        .nodes
        .iter()
        .map(|n| format!("{} {:?} {:?}", n.name, each(&n.inputs), each(&n.outputs)))
        .collect();
    told.extend(graph.inputs.iter().map(|v| format!("{:?}", graph.values[v.0 as usize])));
    told
}

fn settings(graph: &Graph) -> Vec<String> {
    let plain = |(name, attribute): &(String, Attribute)| match attribute {
        // A message of a fork's is read as a count of bytes; V1's three lists become one.
        Attribute::Value(value)
            if !name.starts_with("field_")
                && !["param", "blobs_lr", "weight_decay"].contains(&name.as_str()) =>
        {
            Some(format!("{name}: {value:?}"))
        }
        _ => None,
    };
    graph
        .nodes
        .iter()
        .map(|n| format!("{:?}", n.attributes.iter().filter_map(plain).collect::<Vec<_>>()))
        .collect()
}

#[test]
fn nets_come_back_as_they_were() {
    let mut seen = 0;
    for entry in corpus().read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "caffemodel") {
            continue;
        }
        let model = open(&[&path], None, &ReadOptions::default()).unwrap();
        let (plan, back) = written(&model);
        assert_eq!(plan.kept.len(), model.tensors.len(), "{}", path.display());
        let (before, after) = (model.graph.as_ref().unwrap(), back.graph.as_ref().unwrap());
        assert_eq!(told(before), told(after), "{}", path.display());
        // Settings of V0 stand in no message.
        if !model.origin.contains("V0") {
            assert_eq!(settings(before), settings(after), "{}", path.display());
        }
        seen += 1;
    }
    assert!(seen > 20);
}

const NET: &str = r#"
    name: "n"
    input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
            convolution_param { num_output: 2 kernel_size: 3 bias_term: false engine: CUDNN } }
    layer { name: "bn1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { eps: 0.001 } }
    layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
    layer { name: "fc" type: "InnerProduct" bottom: "conv1" top: "fc" inner_product_param { num_output: 4 } }
"#;

/// The net with tensors of these names and shapes, which it does not know.
fn with(tensors: &[(&str, DType, &[u64])]) -> Model {
    let source = Source::memory("deploy.prototxt", NET.as_bytes().to_vec());
    let mut model = read(&source, None, &ReadOptions::default()).unwrap();
    for (name, dtype, shape) in tensors {
        let bytes = dtype.packed_bytes(shape.iter().product()).unwrap();
        let storage = Arc::new(Memory::new((0..bytes).map(|i| i as u8 & 0x3f).collect::<Vec<_>>()));
        model.push(Tensor::contiguous(*name, *dtype, shape.to_vec(), storage, &Place::default()).unwrap());
    }
    model
}

const WEIGHTS: &[(&str, DType, &[u64])] = &[
    ("fc.bias", DType::F32, &[4]),
    ("fc.weight", DType::F64, &[4, 72]),
    ("conv1.weight", DType::F16, &[2, 3, 3, 3]),
    ("bn1.running_var", DType::F32, &[2]),
    ("bn1.running_mean", DType::F32, &[2]),
    ("scale1.weight", DType::BF16, &[2]),
    ("scale1.bias", DType::F32, &[2]),
];

#[test]
fn a_text_net_takes_tensors_by_name() {
    let model = with(WEIGHTS);
    let (plan, back) = written(&model);
    assert_eq!(plan.kept.len(), 6);
    assert_eq!(plan.changed.len(), 1, "{:?}", plan.changed);
    assert!(plan.changed[0].why.contains("BF16 -> F32, exactly"));
    assert_eq!(plan.added[0].tensor, "bn1.factor");
    let list: Vec<_> = back.tensors.iter().map(|t| (t.name.as_str(), t.dtype, t.shape.clone())).collect();
    assert_eq!(
        list,
        [
            ("conv1.weight", DType::F16, vec![2, 3, 3, 3]),
            ("bn1.running_mean", DType::F32, vec![2]),
            ("bn1.running_var", DType::F32, vec![2]),
            ("bn1.factor", DType::F32, vec![1]),
            ("scale1.weight", DType::F32, vec![2]),
            ("scale1.bias", DType::F32, vec![2]),
            ("fc.weight", DType::F64, vec![4, 72]),
            ("fc.bias", DType::F32, vec![4]),
        ]
    );
    let graph = back.graph.unwrap();
    assert_eq!(graph.nodes[3].op, "InnerProduct");
    assert!(settings(&graph)[0].contains("CUDNN"), "{:?}", settings(&graph));
    // In-place layers go on writing over what they read.
    assert!(told(&graph)[1].contains("conv1@bn1"), "{:?}", told(&graph));
}

fn reasons(model: &Model) -> Vec<(String, String)> {
    match plan(model, Path::new("net.caffemodel")) {
        Err(Error::Refused { reasons, .. }) => reasons,
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let all: Vec<_> = WEIGHTS.to_vec();
    let but = |name: &str, shape: &'static [u64]| -> Vec<_> {
        all.iter().map(|&(n, d, s)| if n == name { (n, d, shape) } else { (n, d, s) }).collect()
    };
    let reason = |tensors: &[(&str, DType, &[u64])], tensor: &str, part: &str| {
        let reasons = reasons(&with(tensors));
        assert!(reasons.iter().any(|(n, why)| n == tensor && why.contains(part)), "{reasons:?}");
    };
    reason(&but("fc.weight", &[5, 72]), "fc.weight", "asks for [4, ?]");
    reason(&but("conv1.weight", &[2, 3, 5, 5]), "conv1.weight", "asks for [2, ?, 3, 3]");
    let mut more = all.clone();
    more.push(("bn1.num_batches_tracked", DType::I64, &[]));
    reason(&more, "bn1.num_batches_tracked", "no layer of the net takes it");
    more.pop();
    more.push(("conv1.bias", DType::F32, &[2]));
    reason(&more, "conv1.bias", "has 1 blobs, and 2 are here");
    let long: Vec<_> = all.iter().map(|&(n, _, s)| (n, DType::I64, s)).collect();
    reason(&long, "fc.bias", "it has no type I64");
}

#[test]
fn a_model_without_a_net_is_told_what_helps() {
    let mut model = with(WEIGHTS);
    model.graph = None;
    let error = plan(&model, Path::new("net.caffemodel")).err().unwrap().to_string();
    assert!(error.contains("--into deploy.prototxt"), "{error}");
    let error = plan(&with(WEIGHTS), Path::new("net.prototxt")).err().unwrap().to_string();
    assert!(error.contains("not written"), "{error}");
}
