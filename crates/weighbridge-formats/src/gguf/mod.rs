//! GGUF: metadata and tensors in one file, as llama.cpp and GGML keep models.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `GGUF`, in either byte order |
//! | 4 | version, u32: 1, 2 or 3; its bytes tell the byte order of all that follows |
//! | c | number of tensors |
//! | c | number of metadata entries |
//! | | entries: key (string), type u32, value |
//! | | tensors: name (string), number of dimensions u32, dimensions (c each), type u32, offset u64 |
//! | | zeros up to a multiple of `general.alignment`, or 32 |
//! | rest | data of the tensors, each at its offset from here |
//!
//! `c` is u32 in version 1 and u64 later. A string is its length (c) and its bytes. Dimensions begin with the one whose
//! elements are side by side, so a shape is their reverse. Types of values: u8 0, i8 1, u16 2, i16 3, u32 4, i32 5,
//! f32 6, bool 7, string 8, array 9 (type u32, count c, items), u64 10, i64 11, f64 12. Types of tensors are in
//! [`types`]; what their blocks hold is in the model crate.
//!
//! What the reader notices:
//!
//! | code | severity | |
//! |---|---|---|
//! | G101 | warning | one file of a model that is split into several |
//! | G102 | warning | data that is not laid out as llama.cpp demands |
//! | G103 | warning | a tensor of a type that is not known, listed by its bytes |
//! | G104 | info | blocks of a big-endian file in little-endian order |
//!
//! Source of the facts: the specification in GGML's repository, and what its reference and `gguf-py` write and read.

mod cursor;
mod entries;
mod join;
mod order;
mod origin;
mod split;
mod tensors;
mod types;
mod values;
mod write;

use weighbridge_model::{Error, Model, Result, Value};

use crate::format::{Confidence, ReadOptions};
use crate::source::Source;
use cursor::{Cursor, Version};

pub use join::join;
pub use write::write;

const MAGIC: &[u8] = b"GGUF";
/// What data is aligned to, where nothing says otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;

/// Looks for the magic number.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    Ok(source.prefix(0, 4)?.starts_with(MAGIC).then_some(Confidence::Certain))
}

/// Reads one file.
///
/// # Errors
/// A version that is not known, and where the bytes contradict themselves or the file's length.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let mut model = read_alone(source, options)?;
    model.findings.extend(split::only_one(&model));
    Ok(model)
}

/// As [`read`], for a file whose others are read too.
fn read_alone(source: &Source, options: &ReadOptions) -> Result<Model> {
    if !source.prefix(0, 4)?.starts_with(MAGIC) {
        return Err(Error::malformed(source.place(0), "no GGUF file: it does not begin with 'GGUF'"));
    }
    let version = Version::of(source)?;
    let mut cursor = Cursor::new(source, version, 8);
    let tensors = cursor.count("tensors", &options.limits)?;
    let entries = cursor.count("metadata entries", &options.limits)?;
    let metadata = values::read(&mut cursor, entries, &options.limits)?;
    let headers = vec![source.storage(0, cursor.at())?];
    let mut model = Model { metadata, headers, ..Model::default() };
    let alignment = alignment(&model, source)?;
    let infos = tensors::infos(&mut cursor, tensors, &options.limits)?;
    tensors::place(&mut model, infos, &cursor, alignment)?;
    model.origin = origin::told(&model, version);
    Ok(model)
}

/// What data is aligned to.
fn alignment(model: &Model, source: &Source) -> Result<u64> {
    let Some(value) = model.metadata("general.alignment") else { return Ok(DEFAULT_ALIGNMENT) };
    let number = if let Value::Int(i) = value { u64::try_from(*i).ok() } else { None };
    number.filter(|n| n.is_power_of_two() && u32::try_from(*n).is_ok()).ok_or_else(|| {
        Error::malformed(
            source.place(0),
            format!("general.alignment is {value:?}, and must be a power of two"),
        )
    })
}
