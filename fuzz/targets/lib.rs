//! What the targets share: a file read as one format, and looked at as a user would.

use weighbridge_formats::{ReadOptions, Source, by_id, read};
use weighbridge_model::layers;

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
