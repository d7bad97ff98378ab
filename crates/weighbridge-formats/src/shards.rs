//! Shards as one model: files of one format side by side, and the `*.index.json` that tells which tensor is in which.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use weighbridge_model::{Error, Finding, Model, Place, Result, Severity, Tensor, Value};

use crate::format::{Format, ReadOptions, by_id};
use crate::open::{format_of, read};
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
    if !head.trim_ascii_start().starts_with(b"{") {
        return Ok(false);
    }
    let is_map = |bytes: &[u8]| bytes.windows(12).any(|w| w == b"\"weight_map\"");
    Ok(is_map(&head))
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
    if shards.len() > MAX_SHARDS {
        return Err(Error::Limit {
            place: source.place(0),
            what: "shards",
            asked: shards.len() as u64,
            allowed: MAX_SHARDS as u64,
        });
    }
    let open = |name: &&str| Source::open(&folder.join(name), options.access);
    let sources = shards.keys().map(open).collect::<Result<Vec<_>>>()?;
    let Some(first) = sources.first() else {
        return Err(Error::malformed(source.place(0), "an index of no shards"));
    };
    let format = format_of(first, None)?;
    let (mut model, names) = join(&sources, format, options)?;
    let found: HashMap<&str, &str> = shards
        .keys()
        .zip(&names)
        .flat_map(|(file, names)| names.iter().map(|n| (n.as_str(), *file)))
        .collect();
    let mut unlisted = Vec::new();
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
        model.findings.push(
            Finding::new(
                "F104",
                Severity::Warning,
                format!("{} tensors are in the shards and not in the index", unlisted.len()),
                "loaders that follow the index do not see them",
            )
            .with_tensor(first),
        );
    }
    Ok(model)
}

/// One model of several files of one format; also which names are in which.
///
/// # Errors
/// A file of another format, a name that comes twice; what a reader finds.
pub fn join(sources: &[Source], format: &Format, options: &ReadOptions) -> Result<(Model, Vec<Vec<String>>)> {
    let format = by_id(format.id)?;
    let origin = format!("{} in {} files", format.name, sources.len());
    let mut model = Model { format: format.id, origin, ..Model::default() };
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut contents = Vec::new();
    for (i, source) in sources.iter().enumerate() {
        let this = format_of(source, None)?;
        if this.id != format.id {
            let what = format!("a shard that holds {}, where others hold {}", this.name, format.name);
            return Err(Error::malformed(Place::source(source.name()), what));
        }
        let shard = read(source, Some(format), options)?;
        let mut names = Vec::with_capacity(shard.tensors.len());
        for tensor in shard.tensors {
            let Tensor { name, .. } = &tensor;
            if let Some(other) = seen.insert(name.clone(), i) {
                let what = format!("the tensor is also in '{}'", sources[other].name());
                return Err(Error::malformed(Place::source(source.name()).tensor(name), what));
            }
            names.push(name.clone());
            model.push(tensor);
        }
        merge(&mut model.metadata, shard.metadata);
        model.files.extend(shard.files);
        model.findings.extend(shard.findings);
        contents.push(names);
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
