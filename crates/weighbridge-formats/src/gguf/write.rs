//! Writes GGUF: version 3, little-endian, tensors in file order, each padded to the alignment.
//!
//! What the files have to satisfy is what llama.cpp's loader asks for: names of at most 63 bytes, four dimensions, data
//! in the tensors' order without gaps, padding behind the last tensor too.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use weighbridge_model::{BlockType, DType, Error, Layout, Model, Result, Tensor};

use super::entries::{Entries, text};
use super::types;
use crate::plan::{Change, FilePlan, Plan, WriteOptions};
use crate::ties::lost_ties;

/// Longest name, in bytes: GGML keeps 64 with the zero that ends it.
const LONGEST: usize = 63;
/// Most dimensions.
const DIMS: usize = 4;

/// Plans the file for `model` at `path`, or its split files `NAME-00001-of-0000N.gguf`. Blocks are written as they are
/// stored; metadata of a GGUF file in their types and order.
///
/// # Errors
/// [`Error::Refused`] with every tensor that GGUF cannot carry, or whose name comes twice; a failed read.
pub fn write(model: &Model, path: &Path, options: &WriteOptions) -> Result<Plan> {
    let mut plan = Plan::default();
    let entries = Entries::of(model, &mut plan)?;
    let (mut refused, mut seen) = (Vec::new(), HashSet::new());
    let ties = lost_ties(&model.tensors);
    for (tensor, tie) in model.tensors.iter().zip(ties) {
        let name = &tensor.name;
        if !seen.insert(name.as_str()) {
            refused.push((name.clone(), "the name comes twice".to_owned()));
        } else if let Err(why) = carries(tensor, entries.alignment) {
            refused.push((name.clone(), why));
        } else if let Some(other) = tie.map(|other| &model.tensors[other].name) {
            let why = format!("shares its storage with '{other}': written on its own, the tie is lost");
            plan.changed.push(Change::new(name, why));
        } else {
            plan.kept.push(name.clone());
        }
    }
    if !refused.is_empty() {
        return Err(Error::Refused {
            what: "GGUF cannot carry these tensors".into(),
            reasons: refused,
            help: Some("--dtype casts floats and dequantizes, --rename shortens, --drop leaves out".into()),
        });
    }
    let parts = parts(&model.tensors, options.shard_bytes);
    let count = parts.len();
    if let [all] = parts.as_slice() {
        plan.files.push(file(path.to_owned(), entries.bytes(None), &entries, all));
        return Ok(plan);
    }
    if u16::try_from(count).is_err() {
        let what = format!("{count} files, and split.count goes up to {}: a larger --shard", u16::MAX);
        return Err(Error::Usage { what });
    }
    for (i, part) in parts.iter().enumerate() {
        let head = entries.bytes(Some((i as u16, count as u16, model.tensors.len())));
        plan.files.push(file(part_path(path, i + 1, count), head, &entries, part));
    }
    // The first has the metadata of all.
    plan.files.rotate_left(1);
    Ok(plan)
}

/// Why GGUF cannot carry a tensor.
fn carries(tensor: &Tensor, alignment: u64) -> Result<(), String> {
    if tensor.name.len() > LONGEST {
        let len = tensor.name.len();
        return Err(format!("a name of {len} bytes, and llama.cpp takes {LONGEST}"));
    }
    if tensor.shape.len() > DIMS {
        return Err(format!("{} dimensions, and GGUF has {DIMS}", tensor.shape.len()));
    }
    match tensor.layout {
        Layout::Quantized { .. } => return Err("quantized codes, whose scales it has no place for".into()),
        Layout::Strided(_) | Layout::Blocks { .. } => {}
        _ => return Err(format!("{} elements that are no plain numbers", tensor.dtype)),
    }
    if types::number(tensor.dtype).is_none() {
        return Err(format!("it has no type {}", tensor.dtype));
    }
    // One number stands for two layouts, which readers tell apart by the room that data takes.
    let padded = |dtype: DType| {
        let bytes = dtype.packed_bytes(tensor.count());
        bytes.and_then(|n| n.checked_next_multiple_of(alignment))
    };
    let (narrow, wide) = (DType::Block(BlockType::Q8_1), DType::Block(BlockType::Q8_1Wide));
    if tensor.dtype == narrow && padded(narrow) == padded(wide) {
        return Err(
            "so few Q8_1 blocks with scales of half precision are taken for ones with wider scales".into()
        );
    }
    Ok(())
}

/// Runs of tensors of at most so many bytes; a larger tensor is alone.
fn parts(tensors: &[Tensor], most: Option<u64>) -> Vec<Vec<Tensor>> {
    let mut parts = vec![Vec::new()];
    let mut bytes = 0u64;
    for tensor in tensors {
        if bytes > 0 && most.is_some_and(|most| bytes.saturating_add(tensor.bytes()) > most) {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes = bytes.saturating_add(tensor.bytes());
        parts.last_mut().expect("there is one").push(tensor.clone());
    }
    parts
}

fn part_path(path: &Path, number: usize, total: usize) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-{number:05}-of-{total:05}.gguf"))
}

/// A file with metadata that are encoded already.
fn file(path: PathBuf, (count, metadata): (u64, Vec<u8>), entries: &Entries, tensors: &[Tensor]) -> FilePlan {
    let alignment = entries.alignment;
    let mut head = b"GGUF".to_vec();
    head.extend(3u32.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend(count.to_le_bytes());
    head.extend(metadata);
    let mut at = 0u64;
    for tensor in tensors {
        text(&mut head, tensor.name.as_bytes());
        head.extend((tensor.shape.len() as u32).to_le_bytes());
        head.extend(tensor.shape.iter().rev().flat_map(|n| n.to_le_bytes()));
        head.extend(types::number(tensor.dtype).expect("carried").to_le_bytes());
        head.extend(at.to_le_bytes());
        at = at.saturating_add(tensor.bytes()).saturating_add(padding(tensor.bytes(), alignment));
    }
    // An alignment may be as large as its number goes.
    let behind = padding(head.len() as u64, alignment);
    let len = (head.len() as u64).saturating_add(behind).saturating_add(at);
    let tensors = tensors.to_vec();
    FilePlan {
        path,
        len: Some(len),
        content: Box::new(move |output| {
            output.bytes(&head)?;
            output.zeros(behind)?;
            for tensor in &tensors {
                output.elements(tensor, &mut |_| {})?;
                output.zeros(padding(tensor.bytes(), alignment))?;
            }
            Ok(())
        }),
    }
}

/// Bytes between the end of data of `len` bytes and the next multiple of the alignment.
fn padding(len: u64, alignment: u64) -> u64 {
    len.wrapping_neg() & (alignment - 1)
}
