//! Every value of a Caffe net, as the interpreter computes them: `caffe_blobs NET… INPUTS.npz OUTPUTS.npz`.

use std::path::Path;
use std::sync::Arc;

use weighbridge_formats::plan::WriteOptions;
use weighbridge_formats::{Carry, ReadOptions, by_id, open};
use weighbridge_model::{DType, Memory, Model, Place, Result, Tensor};
use weighbridge_run::{CaffeReference, Engine, Interface, from_file};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [nets @ .., inputs, outputs] = arguments.as_slice() else {
        eprintln!("caffe_blobs NET… INPUTS.npz OUTPUTS.npz");
        std::process::exit(2);
    };
    if let Err(error) = run(nets, Path::new(inputs), Path::new(outputs)) {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

fn run(nets: &[String], inputs: &Path, outputs: &Path) -> Result<()> {
    let paths: Vec<&Path> = nets.iter().map(Path::new).collect();
    let model = open(&paths, None, &ReadOptions::default())?;
    let face = Interface::of(&model)?;
    let lacks = CaffeReference.lacks(&model);
    assert!(lacks.is_empty(), "{lacks:?}");
    let names: Vec<String> = face.steps.iter().flat_map(|step| step.values.clone()).collect();
    let values = CaffeReference.open(&model, &names)?.run(&from_file(&model, inputs)?, &names)?;
    let mut blobs = Model::default();
    for (name, value) in names.iter().zip(values) {
        let value = value.expect("every value is computed");
        let storage = Arc::new(Memory::new(value.bytes));
        blobs.push(Tensor::contiguous(name, DType::F64, value.shape, storage, &Place::default())?);
    }
    let write = by_id("numpy")?.write.expect("NumPy's files are written");
    write(&blobs, outputs, &WriteOptions::default())?.write(&[], Carry::default(), &|_| {})?;
    Ok(())
}
