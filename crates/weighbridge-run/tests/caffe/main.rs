//! Each type of layer against what its definition comes to by hand, and texts that ask for what cannot be.

mod hostile;
mod layers;
mod nets;

use weighbridge_formats::{ReadOptions, open};
use weighbridge_model::{DType, Model, Result};
use weighbridge_run::{Array, CaffeReference, Engine, Interface};

/// The model of a net's text.
fn net(text: &str) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.prototxt");
    std::fs::write(&path, text).unwrap();
    let read = weighbridge_formats::Access { no_mmap: true };
    open(&[&path], None, &ReadOptions { access: read, ..ReadOptions::default() }).unwrap()
}

fn array(shape: &[u64], values: &[f64]) -> Array {
    let bytes = values.iter().flat_map(|&x| (x as f32).to_le_bytes()).collect();
    Array { dtype: DType::F32, shape: shape.to_vec(), bytes }
}

/// What a value of a net is for these inputs.
fn value(text: &str, inputs: &[(&str, Array)], name: &str) -> Result<(Vec<u64>, Vec<f64>)> {
    let model = net(text);
    let inputs: Vec<(String, Array)> = inputs.iter().map(|(n, a)| ((*n).to_owned(), a.clone())).collect();
    let wanted = [name.to_owned()];
    let mut found = CaffeReference.open(&model, &wanted)?.run(&inputs, &wanted)?;
    let found = found.remove(0).expect("a value");
    Ok((found.shape.clone(), found.values().collect()))
}

/// The error of a net that cannot be computed.
fn fault(text: &str, inputs: &[(&str, Array)]) -> String {
    let model = net(text);
    let face = match Interface::of(&model) {
        Ok(face) => face,
        Err(error) => return error.to_string(),
    };
    let lacks = CaffeReference.lacks(&model);
    if !lacks.is_empty() {
        return format!("{lacks:?}");
    }
    let inputs: Vec<(String, Array)> = inputs.iter().map(|(n, a)| ((*n).to_owned(), a.clone())).collect();
    let session = CaffeReference.open(&model, &face.outputs);
    match session.and_then(|mut session| session.run(&inputs, &face.outputs)) {
        Ok(_) => panic!("it was computed: {text}"),
        Err(error) => error.to_string(),
    }
}
