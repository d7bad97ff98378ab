//! safetensors: a JSON header and the tensors' bytes; one file, or shards with an index.
//!
//! Source of the facts: the format's own README (header length as u64, little-endian; offsets from the end
//! of the header; no holes, no overlaps, no repeated keys).

mod header;
mod shards;

use weighbridge_model::{Error, Model, Result, Tensor, Value};

use crate::format::{Confidence, ReadOptions};
use crate::source::Source;

pub use shards::read_folder;

/// Longest header that the reference implementation takes.
const MAX_HEADER: u64 = 100_000_000;

/// Looks for a header length followed by the brace that opens the header, or for an index of shards.
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
    if head.trim_ascii_start().starts_with(b"{") && shards::is_index(source)? {
        return Ok(Some(Confidence::Certain));
    }
    Ok(None)
}

/// Reads one file, or the shards that an index names.
///
/// # Errors
/// A header that contradicts itself or the file; for an index, what its shards lack.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    if shards::is_index(source)? {
        return shards::read_index(source, options);
    }
    let mut model = Model { origin: "safetensors".into(), ..Model::default() };
    let (tensors, metadata) = read_file(source, options)?;
    for tensor in tensors {
        model.push(tensor);
    }
    model.metadata = metadata;
    Ok(model)
}

fn header_len(head: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(head.get(..8)?.try_into().ok()?))
}

/// The tensors of one file, in the header's order, and its metadata.
type Contents = (Vec<Tensor>, Vec<(String, Value)>);

fn read_file(source: &Source, options: &ReadOptions) -> Result<Contents> {
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
    let tensors = header.entries.into_iter().map(|entry| {
        let place = source.place(data + entry.begin);
        let storage = source.storage(data + entry.begin, entry.end - entry.begin)?;
        Tensor::contiguous(entry.name, entry.dtype, entry.shape, storage, &place)
    });
    Ok((tensors.collect::<Result<_>>()?, header.metadata))
}
