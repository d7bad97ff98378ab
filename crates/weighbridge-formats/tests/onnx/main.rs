//! The ONNX reader against models built by hand.

mod damage;
mod encode;
mod external;
mod structure;
mod types;
mod write;

use encode::Proto;
use weighbridge_formats::format::Confidence;
use weighbridge_formats::{ReadOptions, Source, by_id};
use weighbridge_model::{Model, Result, Tensor};

fn read_bytes(bytes: &[u8]) -> Result<Model> {
    let source = Source::memory("model.onnx", bytes);
    (by_id("onnx").unwrap().read)(&source, &ReadOptions::default())
}

fn read(model: &Proto) -> Model {
    read_bytes(&model.0).unwrap()
}

fn error(model: &Proto) -> String {
    read_bytes(&model.0).unwrap_err().to_string()
}

fn sniff(bytes: &[u8]) -> Option<Confidence> {
    (by_id("onnx").unwrap().sniff)(&Source::memory("m", bytes)).unwrap()
}

/// The elements, as the chunk visitor hands them on.
fn elements(tensor: &Tensor) -> Vec<u8> {
    let mut out = Vec::new();
    tensor
        .visit(0..tensor.count(), &mut |chunk| {
            assert_eq!(chunk.first as usize * tensor.dtype.chunk_bytes(), out.len());
            out.extend_from_slice(chunk.bytes);
            Ok(())
        })
        .unwrap();
    out
}

fn names(model: &Model) -> Vec<&str> {
    model.tensors.iter().map(|t| t.name.as_str()).collect()
}

fn codes(model: &Model) -> Vec<&str> {
    model.findings.iter().map(|f| f.code).collect()
}
