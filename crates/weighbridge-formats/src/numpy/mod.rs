//! NumPy's arrays: `.npy`, one array a file, and `.npz`, a zip archive of such files.
//!
//! | bytes | what |
//! |---|---|
//! | 6 | `\x93NUMPY` |
//! | 2 | version, major and minor: 1.0, 2.0, 3.0 |
//! | 2 (version 1), 4 | little-endian length of the header |
//! | n | a Python dict literal with the keys `descr`, `fortran_order` and `shape`: Latin-1, UTF-8 from version 3 on |
//! | rest | the elements, row-major or column-major |
//!
//! An array in an archive is named as its entry is, without `.npy`. Stored entries stay where they are, deflated ones
//! are inflated in passing. `numpy.save` to an open file appends: then one array follows another.
//!
//! Source of the facts: `numpy.lib.format`'s own documentation, and what NumPy 2 writes.

mod array;
mod header;
mod literal;
mod write;

use weighbridge_model::{Error, Finding, Limits, Model, Result, Severity, Value};

use crate::format::{Confidence, ReadOptions};
use crate::source::Source;
use crate::zip::Archive;
use array::Bytes;

pub use write::{write, write_array};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Looks for the magic of `.npy`, or for an archive whose entries are named so.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    let head = source.prefix(0, 512)?;
    if head.starts_with(MAGIC) {
        return Ok(Some(Confidence::Certain));
    }
    if !head.starts_with(b"PK\x03\x04") {
        return Ok(None);
    }
    if let Ok(archive) = Archive::open(source, &Limits::default()) {
        let mut entries = archive.entries().iter();
        return Ok(entries.any(|e| e.name.ends_with(".npy")).then_some(Confidence::Likely));
    }
    // A cut-off archive still begins with the header of its first entry.
    let name =
        head.get(26..28).and_then(|n| head.get(30..30 + usize::from(u16::from_le_bytes([n[0], n[1]]))));
    Ok(name.is_some_and(|n| n.ends_with(b".npy")).then_some(Confidence::Likely))
}

/// Reads the array of a `.npy`, or those of a `.npz` in the archive's order.
///
/// # Errors
/// Headers that contradict themselves or the file; of a `.npy`, a type that is no number.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    if source.prefix(0, MAGIC.len() as u64)?.starts_with(b"PK") {
        archive(source, options)
    } else {
        file(source, options)
    }
}

fn file(source: &Source, options: &ReadOptions) -> Result<Model> {
    let mut model = Model::default();
    let stem = stem(source);
    let mut at = 0;
    loop {
        let name = if at == 0 { stem.clone() } else { format!("{stem}.{}", model.tensors.len()) };
        let array = array::read(&name, &Bytes::file(source, at), &options.limits)?;
        at += array.len;
        model.origin = format!("NumPy .npy {}", array.version);
        model.push(array.tensor);
        if source.prefix(at, MAGIC.len() as u64)? != MAGIC {
            break;
        }
        if model.tensors.len() as u64 >= options.limits.items {
            let (asked, allowed) = (options.limits.items + 1, options.limits.items);
            return Err(Error::Limit { place: source.place(at), what: "arrays in one file", asked, allowed });
        }
    }
    if at < source.len() {
        let message = format!("{} bytes after the array belong to none", source.len() - at);
        let help = "NumPy does not read them either; if they matter, ask who wrote the file";
        model.findings.push(Finding::new("F120", Severity::Warning, message, help));
    }
    Ok(model)
}

fn archive(source: &Source, options: &ReadOptions) -> Result<Model> {
    let archive = Archive::open(source, &options.limits)?;
    let mut model = Model::default();
    let (mut refused, mut deflated) = (None, false);
    for entry in archive.entries() {
        let Some(name) = entry.name.strip_suffix(".npy") else {
            model.metadata.push((entry.name.clone(), Value::Bytes(entry.size)));
            continue;
        };
        deflated |= archive.stored_at(entry)?.is_none();
        match array::read(name, &Bytes::entry(&archive, entry)?, &options.limits) {
            Ok(array) => {
                model.push(array.tensor);
            }
            // One array of objects does not keep the others from being read.
            Err(Error::Unsupported { place, what, help }) => {
                let advice = help.clone().unwrap_or_default();
                let message = format!("'{name}' is left out: {what}");
                model
                    .findings
                    .push(Finding::new("F121", Severity::Warning, message, advice).with_tensor(name));
                model.metadata.push((name.to_owned(), Value::Bytes(entry.size)));
                refused.get_or_insert(Error::Unsupported { place, what, help });
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(error) = refused.filter(|_| model.tensors.is_empty()) {
        return Err(error);
    }
    model.origin = format!("NumPy .npz{}", if deflated { ", deflated" } else { "" });
    Ok(model)
}

/// The file's name without folders and extension: a `.npy` names its array nowhere else.
fn stem(source: &Source) -> String {
    let name = source.name().rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = name.strip_suffix(".npy").unwrap_or(name);
    if stem.is_empty() { "array".to_owned() } else { stem.to_owned() }
}

#[cfg(test)]
mod tests;
