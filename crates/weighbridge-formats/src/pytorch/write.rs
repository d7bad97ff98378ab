//! Writes a state dict as torch.save does: a zip with one pickle and the storages, which `torch.load` takes with
//! `weights_only=True` and with `mmap=True`. Tensors that share a storage go on sharing it.

use std::collections::HashMap;
use std::path::Path;

use weighbridge_model::storage::identity;
use weighbridge_model::{DType, Error, Layout, Model, Place, Result, Tensor, View};

use super::names::{dtype_name, storage_class};
use crate::pickle::write::Pickler;
use crate::plan::{Change, FilePlan, Plan, WriteOptions};
use crate::zip::write::{Archive, archive_len};

/// Plans the file for `model` at `path`.
///
/// # Errors
/// [`Error::Refused`] with every tensor that PyTorch has no type for, or whose name comes twice.
pub fn write(model: &Model, path: &Path, _: &WriteOptions) -> Result<Plan> {
    let mut refused = Vec::new();
    let mut seen = HashMap::new();
    for tensor in &model.tensors {
        if seen.insert(tensor.name.as_str(), ()).is_some() {
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
    let (storages, views) = storages(&model.tensors)?;
    let pickle = pickle(&model.tensors, &storages, &views);
    let folder = path.file_stem().map_or("archive".into(), |stem| stem.to_string_lossy().into_owned());
    let mut entries: Vec<(String, Entry)> = vec![
        (format!("{folder}/data.pkl"), Entry::Bytes(pickle)),
        (format!("{folder}/.format_version"), Entry::Bytes(b"1".to_vec())),
        (format!("{folder}/.storage_alignment"), Entry::Bytes(b"64".to_vec())),
        (format!("{folder}/byteorder"), Entry::Bytes(b"little".to_vec())),
    ];
    let data = storages.into_iter().enumerate();
    entries.extend(data.map(|(key, storage)| (format!("{folder}/data/{key}"), Entry::Elements(storage))));
    entries.push((format!("{folder}/version"), Entry::Bytes(b"3\n".to_vec())));
    let len = archive_len(entries.iter().map(|(name, entry)| (name.as_str(), entry.len())));
    let content = move |output: &mut crate::output::Output<'_>| {
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
    Ok(Plan {
        kept: model.tensors.iter().map(|t| t.name.clone()).collect(),
        dropped: model
            .metadata
            .iter()
            .map(|(key, _)| Change::new(key, "metadata: a state dict has none"))
            .collect(),
        files: vec![FilePlan { path: path.to_owned(), len: Some(len), content: Box::new(content) }],
        ..Plan::default()
    })
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
    match tensor.layout {
        Layout::Strided(_) => {}
        Layout::Quantized { .. } => return Err("quantized codes, whose scales are not written yet".into()),
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

/// Storages to write, as vectors; and for each tensor its storage and the view of it.
type Storages = (Vec<Tensor>, Vec<(usize, View)>);

/// Tensors over one storage share it again, where that takes no more bytes than they do on their own.
fn storages(tensors: &[Tensor]) -> Result<Storages> {
    let mut groups: HashMap<usize, Vec<&Tensor>> = HashMap::new();
    for tensor in tensors.iter().filter(|t| t.count() > 0) {
        groups.entry(identity(&tensor.storage)).or_default().push(tensor);
    }
    let shared = |group: &Vec<&Tensor>| {
        let first = group[0];
        let own: u64 = group.iter().map(|t| t.bytes()).fold(0, u64::saturating_add);
        group.len() > 1
            && !first.dtype.is_sub_byte()
            && group
                .iter()
                .all(|t| t.dtype == first.dtype && std::sync::Arc::ptr_eq(&t.storage, &first.storage))
            && first.storage.len() <= own
            && group.iter().all(|t| t.layout.view().is_some_and(|v| v.strides.iter().all(|&s| s >= 0)))
    };
    let mut keys: HashMap<usize, usize> = HashMap::new();
    let (mut storages, mut views) = (Vec::new(), Vec::new());
    for tensor in tensors {
        let id = identity(&tensor.storage);
        let whole = groups.get(&id).is_some_and(&shared) && tensor.count() > 0;
        let key = match keys.get(&id).filter(|_| whole) {
            Some(&key) => key,
            None => {
                let key = storages.len();
                storages.push(match whole {
                    true => {
                        let count = tensor.storage.len() / tensor.dtype.chunk_bytes() as u64;
                        let storage = tensor.storage.clone();
                        Tensor::contiguous("", tensor.dtype, vec![count], storage, &Place::default())?
                    }
                    false => tensor.clone(),
                });
                keys.insert(id, key);
                key
            }
        };
        let view = match (&tensor.layout, whole) {
            (Layout::Strided(view), true) => view.clone(),
            _ => View::contiguous(&tensor.shape, 0),
        };
        views.push((key, view));
    }
    Ok((storages, views))
}

/// An ordered dict of tensors.
fn pickle(tensors: &[Tensor], storages: &[Tensor], views: &[(usize, View)]) -> Vec<u8> {
    let mut out = Pickler::new();
    let ordered_dict = |out: &mut Pickler| out.call(|o| o.global("collections", "OrderedDict"), |_| {});
    ordered_dict(&mut out);
    out.set_items(|out| {
        for (tensor, (key, view)) in tensors.iter().zip(views) {
            out.text(&tensor.name);
            let class = storage_class(tensor.dtype);
            let rebuild = if class.is_some() { "_rebuild_tensor_v2" } else { "_rebuild_tensor_v3" };
            let (shape, view) = paired(tensor, view);
            out.call(
                |o| o.global("torch._utils", rebuild),
                |o| {
                    o.tuple(|o| {
                        o.text("storage");
                        match class {
                            Some(class) => o.global("torch", class),
                            None => o.global("torch.storage", "UntypedStorage"),
                        }
                        o.text(&key.to_string());
                        o.text("cpu");
                        let storage = &storages[*key];
                        let numel = if class.is_some() { storage.count() } else { storage.bytes() };
                        o.int(numel as i64);
                    });
                    o.persistent();
                    o.int(view.offset as i64);
                    o.tuple(|o| shape.iter().for_each(|&n| o.int(n as i64)));
                    o.tuple(|o| view.strides.iter().for_each(|&s| o.int(s)));
                    o.no();
                    ordered_dict(o);
                    if class.is_none() {
                        o.global("torch", dtype_name(tensor.dtype).unwrap_or_default());
                    }
                },
            );
        }
    });
    out.finish()
}

/// Shape and view as torch counts them: float4_e2m1fn_x2 has pairs along the last dimension.
fn paired(tensor: &Tensor, view: &View) -> (Vec<u64>, View) {
    if tensor.dtype != DType::F4E2M1 {
        return (tensor.shape.clone(), view.clone());
    }
    let mut shape = tensor.shape.clone();
    if let Some(last) = shape.last_mut() {
        *last /= 2;
    }
    let view = View::contiguous(&shape, 0);
    (shape, view)
}
