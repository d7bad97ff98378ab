//! safetensors: a JSON header and the tensors' bytes.
//!
//! Source of the facts: the format's own README (header length as u64, little-endian; offsets from the end
//! of the header; no holes, no overlaps, no repeated keys).

mod header;
mod write;

use weighbridge_model::{Error, Model, Result, Tensor};

use crate::format::{Confidence, ReadOptions};
use crate::source::Source;

pub use write::write;

/// Longest header that the reference implementation takes.
const MAX_HEADER: u64 = 100_000_000;

/// Looks for a header length followed by the brace that opens the header.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    let head = source.prefix(0, 16)?;
    let Some(len) = header_len(&head) else { return Ok(None) };
    if head.get(8) == Some(&b'{') && len <= MAX_HEADER {
        let whole = len <= source.len() - 8;
        return Ok(Some(if whole { Confidence::Certain } else { Confidence::Likely }));
    }
    Ok(None)
}

fn header_len(head: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(head.get(..8)?.try_into().ok()?))
}

/// Reads one file: tensors in the header's order.
///
/// # Errors
/// A header that contradicts itself or the file.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let len = header_len(&source.prefix(0, 8)?)
        .ok_or_else(|| Error::malformed(source.place(0), "too short for a safetensors header"))?;
    let allowed = MAX_HEADER.min(options.limits.header_bytes);
    if len > allowed {
        return Err(Error::Limit { place: source.place(0), what: "bytes of header", asked: len, allowed });
    }
    let text = source.window(8, len)?;
    let header = header::parse(&text, source, &options.limits)?;
    let data = 8 + len;
    header::check_offsets(&header.entries, source, data)?;
    let mut model = Model { origin: "safetensors".into(), metadata: header.metadata, ..Model::default() };
    for entry in header.entries {
        let place = source.place(data + entry.begin);
        let storage = source.storage(data + entry.begin, entry.end - entry.begin)?;
        model.push(Tensor::contiguous(entry.name, entry.dtype, entry.shape, storage, &place)?);
    }
    Ok(model)
}
