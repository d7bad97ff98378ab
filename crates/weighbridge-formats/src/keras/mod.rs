//! Keras models and weights, and any other HDF5 file.
//!
//! | file | what is in it |
//! |---|---|
//! | `.keras` | a zip archive: `config.json`, `metadata.json`, `model.weights.h5` |
//! | `.weights.h5` | HDF5: `layers/<layer>/vars/<number>`, `optimizer/vars/<number>` |
//! | `.h5` of Keras 2 and before | HDF5: `model_weights/<layer>/…/kernel:0`; the attribute `model_config` of the root |
//!
//! A dataset is a tensor, named by its path, in the order of names. The configuration tells the kinds of layers.

mod config;

use std::sync::Arc;

use weighbridge_model::{DType, Error, Layout, Model, PerUnit, Result, Role, Tensor, Value};

use crate::format::{Confidence, ReadOptions};
use crate::hdf5::{self, Dataset, Kind};
use crate::source::Source;
use crate::zip::{Archive, Entry};

/// Entry of a `.keras` archive that holds the weights.
const WEIGHTS: &str = "model.weights.h5";

/// Looks for HDF5's signature, or for an archive with Keras' entries.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    if hdf5::signature_at(source, 0)?.is_some() {
        return Ok(Some(Confidence::Certain));
    }
    if source.prefix(0, 4)?[..] != b"PK\x03\x04"[..] {
        return Ok(None);
    }
    let archive = Archive::open(source, &weighbridge_model::Limits::default()).ok();
    Ok(archive.filter(|a| a.entry(WEIGHTS).is_some()).map(|_| Confidence::Certain))
}

/// Reads the datasets of a file or of an archive's weights.
///
/// # Errors
/// Archives and HDF5 structures that contradict themselves.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    if hdf5::signature_at(source, 0)?.is_some() {
        let mut model = Model { origin: "HDF5".into(), ..Model::default() };
        fill(&mut model, source, 0, None, options)?;
        return Ok(model);
    }
    let archive = Archive::open(source, &options.limits)?;
    let entry = archive.entry(WEIGHTS).ok_or_else(|| {
        Error::malformed(source.place(0), format!("an archive without {WEIGHTS} is no Keras model"))
    })?;
    let mut model = Model { origin: "Keras archive".into(), ..Model::default() };
    let json = |entry: &Entry| -> Result<Value> {
        let text = archive.read(entry)?;
        let parsed = serde_json::from_slice(&text);
        let parsed =
            parsed.map_err(|e| Error::malformed(archive.place(entry, 0), format!("no JSON: {e}")))?;
        Ok(crate::json::value(parsed))
    };
    let config = archive.entry("config.json").map(json).transpose()?;
    if let Some(Value::Map(entries)) = archive.entry("metadata.json").map(json).transpose()? {
        if let Some(version) =
            entries.iter().find(|(k, _)| k == "keras_version").and_then(|(_, v)| v.as_str())
        {
            model.origin = format!("Keras {version}");
        }
        model.metadata.extend(entries);
    }
    match archive.stored_at(entry)? {
        Some(at) => fill(&mut model, source, at, config, options)?,
        None => {
            let name = format!("{}: {WEIGHTS}", source.name());
            let bytes = archive.read(entry)?.into_owned();
            fill(&mut model, &Source::memory(name, bytes), 0, config, options)?;
        }
    }
    Ok(model)
}

/// Puts the datasets of an HDF5 file into the model.
fn fill(
    model: &mut Model,
    source: &Source,
    start: u64,
    config: Option<Value>,
    options: &ReadOptions,
) -> Result<()> {
    let tree = hdf5::read(source, start, &options.limits)?;
    let mut config = config;
    let mut kept = Vec::new();
    let mut aside = Vec::new();
    let mut paths = Vec::new();
    for object in tree.objects {
        let (path, attributes) = (object.path, object.attributes);
        match object.dataset {
            Some(dataset) => {
                if let Some(how) = &dataset.kept {
                    kept.push((path.clone(), Value::Str(how.clone())));
                }
                match dataset.datatype.kind {
                    Kind::Other(what) => {
                        aside
                            .push((path, Value::Object { class: what.into(), state: Box::new(Value::Null) }));
                    }
                    _ => {
                        model.push(tensor(&path, dataset, source)?);
                    }
                }
            }
            None => paths.push(path.clone()),
        }
        if paths.last().is_some_and(String::is_empty) && paths.len() == 1 && !attributes.is_empty() {
            root(model, attributes, &mut config);
        }
    }
    for (key, entries) in [("storage of datasets", kept), ("other datasets", aside)] {
        if !entries.is_empty() {
            model.metadata.push((key.into(), Value::Map(entries)));
        }
    }
    if !tree.elsewhere.is_empty() {
        let links = tree.elsewhere.into_iter().map(Value::Str).collect();
        model.metadata.push(("links not followed".into(), Value::List(links)));
    }
    if let Some(config) = config {
        config::apply(&config, &paths, model, options.limits.depth);
        model.metadata.push(("config".into(), config));
    }
    config::roles(model);
    Ok(())
}

/// The root's attributes: Keras 2 keeps the model's configuration there, as JSON.
fn root(model: &mut Model, attributes: Vec<(String, Value)>, config: &mut Option<Value>) {
    for (key, value) in attributes {
        let text = value.as_str().unwrap_or_default();
        if key == "keras_version" {
            model.origin = format!("Keras {text}, HDF5");
        }
        match serde_json::from_str(text) {
            Ok(json) if key == "model_config" && config.is_none() => *config = Some(crate::json::value(json)),
            Ok(json @ serde_json::Value::Object(_)) => model.metadata.push((key, crate::json::value(json))),
            _ => model.metadata.push((key, value)),
        }
    }
}

/// A dataset as a tensor of this name.
pub(crate) fn tensor(path: &str, dataset: Dataset, source: &Source) -> Result<Tensor> {
    let place = source.place(0).tensor(path);
    let (dtype, storage) = match dataset.datatype.kind {
        Kind::Number { dtype, swapped: true } => {
            let swapped = PerUnit::swapped(dataset.storage, dtype.swap_width());
            (dtype, Arc::new(swapped) as Arc<dyn weighbridge_model::Storage>)
        }
        Kind::Number { dtype, swapped: false } => (dtype, dataset.storage),
        _ => (DType::Str, dataset.storage),
    };
    let mut tensor = Tensor::contiguous(path, dtype, dataset.shape, storage, &place)?;
    if dtype == DType::Str {
        tensor.layout = Layout::Opaque;
        tensor = tensor.with_role(Role::Other, false);
    }
    Ok(tensor)
}
