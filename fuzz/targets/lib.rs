//! What the targets share: a file read as one format, and looked at as a user would.

use weighbridge_formats::{ReadOptions, Source, by_id, read};
use weighbridge_graph::emit::pytorch;
use weighbridge_graph::infer::{self, infer};
use weighbridge_graph::lower::caffe;
use weighbridge_graph::passes::{Choice, simplify};
use weighbridge_graph::precision::{self, Keep, mixed};
use weighbridge_judge::check::check;
use weighbridge_model::dtype::F16;
use weighbridge_model::{DType, Model, ValueId, layers};

/// Elements of each tensor that are read.
const ELEMENTS: u64 = 256;

/// Reads `bytes` as the format of this id, groups its layers and reads the start of each tensor.
pub fn look_at(format: &str, bytes: &[u8]) {
    let format = by_id(format).expect("a format of the table");
    let Ok(model) = read(&Source::memory("fuzz", bytes), Some(format), &ReadOptions::default()) else { return };
    layers::collapse(&layers::layers(&model));
    for tensor in model.tensors.iter().take(64) {
        let _ = tensor.visit(0..tensor.count().min(ELEMENTS), &mut |_| Ok(()));
    }
}

/// What a net of Caffe's becomes: a graph of ONNX's operators, and that another one, and a module.
pub fn lower(bytes: &[u8]) {
    let format = by_id("caffe").expect("a format of the table");
    let Ok(model) = read(&Source::memory("fuzz", bytes), Some(format), &ReadOptions::default()) else { return };
    let options = caffe::Options { allow_unknown: true, ..caffe::Options::default() };
    if let Ok(lowered) = caffe::lower(&model, &options) {
        follow(lowered.model);
    }
}

/// What is done to a graph of ONNX's.
pub fn graph(bytes: &[u8]) {
    let format = by_id("onnx").expect("a format of the table");
    if let Ok(model) = read(&Source::memory("fuzz", bytes), Some(format), &ReadOptions::default()) {
        follow(model);
    }
}

fn follow(mut model: Model) {
    let Some(graph) = &model.graph else { return };
    let facts = infer(&model, graph, &infer::Options::default());
    let types: Vec<Option<DType>> =
        (0..).map(ValueId).take(graph.values.len()).map(|id| facts.of(id).dtype()).collect();
    let _ = mixed(&model, &types, &Keep::default(), &precision::Options { to: DType::F16, io: false });
    let _ = pytorch::emit(&model, &pytorch::Options::default());
    check(&model, &[F16], &|_| {});
    let also = vec!["reparameterize".to_owned()];
    let _ = simplify(&mut model, &Choice { also, ..Choice::default() });
}
