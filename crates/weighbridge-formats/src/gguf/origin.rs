//! One line on the file: version, architecture, size, and what most tensors are.

use weighbridge_model::{Model, Value};

use super::cursor::Version;
use super::types;

pub(super) fn told(model: &Model, version: Version) -> String {
    let text = |key: &str| model.metadata(key).and_then(Value::as_str).filter(|t| !t.is_empty());
    let mut told = format!("GGUF v{}", version.number);
    if version.big_endian {
        told += " big-endian";
    }
    if let Some(architecture) = text("general.architecture") {
        told += &format!(", {architecture}");
        if let Some(size) = text("general.size_label") {
            told += &format!(" {size}");
        }
    }
    let file_type = model.metadata("general.file_type").and_then(Value::as_int).and_then(types::of_file);
    if let Some(name) = file_type {
        told += &format!(", mostly {name}");
    }
    told
}
