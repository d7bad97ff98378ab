//! Shards as one model: an `*.index.json` that tells which tensor is in which file, or a folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use weighbridge_model::{Error, Finding, Model, Place, Result, Severity, Tensor, Value};

use super::read_file;
use crate::format::ReadOptions;
use crate::source::Source;

/// Shards of more than this many files are nobody's model.
const MAX_SHARDS: usize = 100_000;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Whether a file is an index: JSON with a `weight_map`.
///
/// # Errors
/// A failed read.
pub fn is_index(source: &Source) -> Result<bool> {
    let head = source.prefix(0, 1 << 16)?;
    let is_map = |bytes: &[u8]| bytes.windows(12).any(|w| w == b"\"weight_map\"");
    Ok(head.trim_ascii_start().starts_with(b"{") && is_map(&head))
}

/// Reads the shards that an index names.
///
/// # Errors
/// Shards of another format, shard names that leave the folder, tensors that are not where they should be.
pub fn read_index(source: &Source, options: &ReadOptions) -> Result<Model> {
    let len = source.len();
    if len > options.limits.header_bytes {
        let allowed = options.limits.header_bytes;
        return Err(Error::Limit { place: source.place(0), what: "bytes of index", asked: len, allowed });
    }
    let index: Index = serde_json::from_slice(&source.window(0, len)?)
        .map_err(|e| Error::malformed(source.place(0), format!("the index of shards: {e}")))?;
    let Some(folder) = source.folder() else {
        return Err(Error::unsupported(source.place(0), "an index of shards without a folder"));
    };
    let mut shards: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for (tensor, shard) in &index.weight_map {
        shards.entry(shard).or_default().insert(tensor);
    }
    for shard in shards.keys() {
        check_name(shard, source)?;
    }
    let files: Vec<String> = shards.keys().map(|&s| s.to_owned()).collect();
    let mut model = join(&folder, &files, options)?;
    let mut unlisted = Vec::new();
    let found: HashMap<&str, &str> =
        model.1.iter().flat_map(|(file, names)| names.iter().map(|n| (n.as_str(), file.as_str()))).collect();
    for (tensor, shard) in &index.weight_map {
        if found.get(tensor.as_str()) != Some(&shard.as_str()) {
            let place = Place::source(source.name()).tensor(tensor);
            let what = match found.get(tensor.as_str()) {
                Some(other) => format!("the index has it in '{shard}', and it is in '{other}'"),
                None => format!("the index has it in '{shard}', and it is not there"),
            };
            return Err(Error::malformed(place, what));
        }
    }
    for name in found.keys() {
        if !index.weight_map.contains_key(*name) {
            unlisted.push((*name).to_owned());
        }
    }
    unlisted.sort();
    if let Some(first) = unlisted.first() {
        model.0.findings.push(
            Finding::new(
                "F104",
                Severity::Warning,
                format!("{} tensors are in the shards and not in the index", unlisted.len()),
                "loaders that follow the index do not see them",
            )
            .with_tensor(first),
        );
    }
    Ok(model.0)
}

/// Opens a folder as one model: by its index, as the one file in it, or as numbered shards.
///
/// # Errors
/// Nothing that can be read, or more than one thing that could be meant: then all are named.
pub fn read_folder(folder: &Path, options: &ReadOptions) -> Result<Model> {
    let place = Place::source(folder.display().to_string());
    let io = |e| Error::io(folder.display().to_string(), e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        names.extend(entry.map_err(io)?.file_name().into_string());
    }
    names.sort();
    let ending = |end: &str| names.iter().filter(|n| n.ends_with(end)).cloned().collect::<Vec<_>>();
    let (indexes, files) = (ending(".safetensors.index.json"), ending(".safetensors"));
    let open = |name: &str| Source::open(&folder.join(name), options.access);
    match (indexes.as_slice(), files.as_slice()) {
        ([index], _) => read_index(&open(index)?, options),
        ([], [file]) => {
            let mut model = super::read(&open(file)?, options)?;
            model.origin = format!("safetensors, {file}");
            Ok(model)
        }
        ([], files) if !files.is_empty() && are_numbered(files) => {
            let mut model = join(folder, files, options)?.0;
            model.origin.push_str(", without an index");
            Ok(model)
        }
        ([], []) => Err(nothing(place, &names)),
        _ => Err(Error::NotAModel {
            place,
            what: format!("a folder with several models: {}", [indexes, files].concat().join(", ")),
            help: Some("name the one that is meant".into()),
        }),
    }
}

fn nothing(place: Place, names: &[String]) -> Error {
    let known: &[&str] = &[".pth", ".pt", ".ckpt", ".onnx", ".bin"];
    let models: Vec<&str> =
        names.iter().map(String::as_str).filter(|n| known.iter().any(|end| n.ends_with(end))).collect();
    if names.iter().any(|n| n.ends_with(".bin.index.json")) {
        return Error::Unsupported {
            place,
            what: "a folder of PyTorch shards (.bin), which are read one by one so far".into(),
            help: Some(format!("name a shard: {}", models.join(", "))),
        };
    }
    let what = "a folder without safetensors files".into();
    let help = (!models.is_empty()).then(|| format!("name a file in it: {}", models.join(", ")));
    Error::NotAModel { place, what, help }
}

/// Whether these are all of `NAME-0000I-of-0000N.safetensors`.
fn are_numbered(files: &[String]) -> bool {
    let parts = |name: &str| -> Option<(String, usize, usize)> {
        let (rest, total) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        Some((stem.to_owned(), number.parse().ok()?, total.parse().ok()?))
    };
    let Some((stem, _, total)) = parts(&files[0]) else { return false };
    total == files.len()
        && files.iter().enumerate().all(|(i, f)| parts(f) == Some((stem.clone(), i + 1, total)))
}

type Joined = (Model, Vec<(String, Vec<String>)>);

/// One model of several files; also which names are in which.
fn join(folder: &Path, files: &[String], options: &ReadOptions) -> Result<Joined> {
    if files.len() > MAX_SHARDS {
        return Err(Error::Limit {
            place: Place::source(folder.display().to_string()),
            what: "shards",
            asked: files.len() as u64,
            allowed: MAX_SHARDS as u64,
        });
    }
    let mut model = Model { origin: format!("safetensors in {} files", files.len()), ..Model::default() };
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut contents = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let path: PathBuf = folder.join(file);
        let source = Source::open(&path, options.access)?;
        if super::sniff(&source)?.is_none() {
            return Err(Error::Unsupported {
                place: Place::source(source.name()),
                what: "a shard that is no safetensors file".into(),
                help: Some("PyTorch shards (.bin) are read one by one so far".into()),
            });
        }
        let (tensors, metadata) = read_file(&source, options)?;
        let mut names = Vec::with_capacity(tensors.len());
        for tensor in tensors {
            let Tensor { name, .. } = &tensor;
            if let Some(other) = seen.insert(name.clone(), i) {
                let what = format!("the tensor is also in '{}'", files[other]);
                return Err(Error::malformed(Place::source(source.name()).tensor(name), what));
            }
            names.push(name.clone());
            model.push(tensor);
        }
        merge(&mut model.metadata, metadata);
        contents.push((file.clone(), names));
    }
    Ok((model, contents))
}

/// Metadata of a further shard: most repeat the first one's.
fn merge(all: &mut Vec<(String, Value)>, more: Vec<(String, Value)>) {
    for pair in more {
        if !all.contains(&pair) {
            all.push(pair);
        }
    }
}

/// Shards are named by the index, which came with them: none may lead out of the folder.
fn check_name(shard: &str, index: &Source) -> Result<()> {
    let outside = shard.is_empty()
        || shard.starts_with('/')
        || shard.contains(['\\', ':', '\0'])
        || shard.split('/').any(|segment| segment == "..");
    if outside {
        let what = format!("the shard '{}' is outside of the index's folder", shard.escape_debug());
        return Err(Error::malformed(index.place(0), what));
    }
    Ok(())
}
