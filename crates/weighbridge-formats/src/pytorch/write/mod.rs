//! Writes a state dict as torch.save does: a zip with one pickle and the storages, which `torch.load` takes with
//! `weights_only=True` and with `mmap=True`; or, as `legacy`, the stream of before 1.6. Tensors that share a storage go
//! on sharing it.

mod legacy;
mod pickle;
mod storages;

use std::collections::HashSet;
use std::path::Path;

use weighbridge_model::{DType, Error, Layout, Model, Result, Tensor};

use super::names::{code_class, dtype_name, storage_class};
use crate::output::Output;
use crate::plan::{Change, Content, FilePlan, Plan, WriteOptions};
use crate::ties::lost_ties;
use crate::zip::write::{Archive, archive_len};
use storages::{Placed, Stored, storages};

/// Plans the file for `model` at `path`.
///
/// # Errors
/// [`Error::Refused`] with every tensor that PyTorch has no type for, or whose name comes twice.
pub fn write(model: &Model, path: &Path, options: &WriteOptions) -> Result<Plan> {
    let mut refused = Vec::new();
    let mut seen = HashSet::new();
    for tensor in &model.tensors {
        if !seen.insert(tensor.name.as_str()) {
            refused.push((tensor.name.clone(), "the name comes twice".into()));
        } else if let Err(why) = carries(tensor) {
            refused.push((tensor.name.clone(), why));
        }
    }
    if !refused.is_empty() {
        return Err(Error::Refused {
            what: "PyTorch cannot carry these tensors".into(),
            reasons: refused,
            help: Some("--drop leaves tensors out, --rename renames, --dtype f32 dequantizes".into()),
        });
    }
    let (storages, places) = storages(&model.tensors)?;
    let legacy = options.variant == Some("legacy");
    let pickle = pickle::state_dict(&model.tensors, &storages, &places, legacy);
    let (len, content) = if legacy { stream(&pickle, storages) } else { archive(path, pickle, storages) };
    let (kept, changed) = kept(&model.tensors, &places);
    Ok(Plan {
        kept,
        changed,
        dropped: model
            .metadata
            .iter()
            .map(|(key, _)| Change::new(key, "metadata: a state dict has none"))
            .collect(),
        files: vec![FilePlan { path: path.to_owned(), len: Some(len), content }],
        ..Plan::default()
    })
}

/// Names of tensors that arrive as they are, and those whose tie with another is lost.
fn kept(tensors: &[Tensor], places: &[Placed]) -> (Vec<String>, Vec<Change>) {
    let (mut kept, mut changed) = (Vec::new(), Vec::new());
    for (i, other) in lost_ties(tensors).into_iter().enumerate() {
        let name = &tensors[i].name;
        match other.filter(|&other| places[other].key != places[i].key) {
            Some(other) => changed.push(Change::new(
                name,
                format!("shares bytes with '{}': written on its own, the tie is lost", tensors[other].name),
            )),
            None => kept.push(name.clone()),
        }
    }
    (kept, changed)
}

/// The pickles and the storages in a row.
fn stream(pickle: &[u8], storages: Vec<Stored>) -> (u64, Content) {
    let head = legacy::head(pickle, &storages);
    let len = legacy::data_len(&storages).saturating_add(head.len() as u64);
    let content = move |output: &mut Output<'_>| {
        output.bytes(&head)?;
        legacy::data(&storages, output)
    };
    (len, Box::new(content))
}

/// A zip in a folder of the file's name.
fn archive(path: &Path, pickle: Vec<u8>, storages: Vec<Stored>) -> (u64, Content) {
    let folder = path.file_stem().map_or("archive".into(), |stem| stem.to_string_lossy().into_owned());
    let mut entries: Vec<(String, Entry)> = vec![
        (format!("{folder}/data.pkl"), Entry::Bytes(pickle)),
        (format!("{folder}/.format_version"), Entry::Bytes(b"1".to_vec())),
        (format!("{folder}/.storage_alignment"), Entry::Bytes(b"64".to_vec())),
        (format!("{folder}/byteorder"), Entry::Bytes(b"little".to_vec())),
    ];
    let data = storages.into_iter().enumerate();
    entries.extend(data.map(|(key, s)| (format!("{folder}/data/{key}"), Entry::Elements(s.tensor))));
    entries.push((format!("{folder}/version"), Entry::Bytes(b"3\n".to_vec())));
    let len = archive_len(entries.iter().map(|(name, entry)| (name.as_str(), entry.len())));
    let content = move |output: &mut Output<'_>| {
        let mut archive = Archive::default();
        for (name, entry) in &entries {
            match entry {
                Entry::Bytes(bytes) => archive.bytes(output, name, bytes)?,
                Entry::Elements(tensor) => archive
                    .entry(output, name, tensor.bytes(), |output, each| output.elements(tensor, each))?,
            }
        }
        archive.finish(output)
    };
    (len, Box::new(content))
}

enum Entry {
    Bytes(Vec<u8>),
    Elements(Tensor),
}

impl Entry {
    fn len(&self) -> u64 {
        match self {
            Entry::Bytes(bytes) => bytes.len() as u64,
            Entry::Elements(tensor) => tensor.bytes(),
        }
    }
}

/// Why PyTorch cannot carry a tensor.
fn carries(tensor: &Tensor) -> Result<(), String> {
    match &tensor.layout {
        Layout::Strided(_) => {}
        Layout::Quantized { scales, zero_points, axis, .. } => {
            return carries_codes(tensor, scales.len().min(zero_points.len()), *axis);
        }
        Layout::Blocks { scheme } => {
            return Err(format!("{scheme} blocks, which it has no place for"));
        }
        _ => return Err(format!("{} elements that are no plain numbers", tensor.dtype)),
    }
    match tensor.dtype {
        DType::F4E2M1 if tensor.shape.last().is_none_or(|n| n % 2 == 1) => {
            Err("F4 elements that do not pair along the last dimension".into())
        }
        d if storage_class(d).is_none() && dtype_name(d).is_none() => Err(format!("it has no type {d}")),
        _ => Ok(()),
    }
}

/// As [`carries`], for codes with so many scales and zero points.
fn carries_codes(tensor: &Tensor, scales: usize, axis: Option<usize>) -> Result<(), String> {
    let wanted = axis.map_or(Some(1), |axis| tensor.shape.get(axis).copied());
    match code_class(tensor.dtype) {
        None => Err(format!("quantized {} codes, and it has types for I8, U8 and I32", tensor.dtype)),
        Some(_) if scales == 0 || wanted != Some(scales as u64) => {
            Err(format!("quantized codes with {scales} scales, which do not fit its shape"))
        }
        Some(_) => Ok(()),
    }
}
