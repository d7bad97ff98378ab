//! A folder as one model: its weight files, with the configuration and the tokenizer that keep them company.

use std::path::Path;

use weighbridge_model::{Error, Model, Place, Result, Value};

use crate::format::{FORMATS, Format, ReadOptions};
use crate::open::{join, read as read_one};
use crate::source::Source;
use crate::tensorflow;

/// Formats of weight files, from the one that loaders prefer: a folder may hold the same model in several.
const PREFERRED: &[&str] = &["safetensors", "pytorch"];

/// Files with a weight file's extension that trainers put beside the weights.
const TRAINING: &[&str] =
    &["training_args", "optimizer", "scheduler", "rng_state", "scaler", "random_states"];

/// What Caffe keeps beside a `.caffemodel`: nets as text, states, means.
const BESIDE_CAFFEMODEL: &[&str] = &[".prototxt", ".solverstate", ".binaryproto"];

/// Configurations of more bytes than this are not read.
const MAX_CONFIG: u64 = 16 << 20;

/// Opens a folder as one model: by its index, as the one file in it, or as numbered shards. The other files are
/// listed in the metadata, with the content of `config.json`.
///
/// # Errors
/// Nothing that can be read, or more than one thing that could be meant: then all are named.
pub fn read(folder: &Path, format: Option<&Format>, options: &ReadOptions) -> Result<Model> {
    let names = files_in(folder)?;
    let formats: Vec<&Format> = match format {
        Some(format) => vec![format],
        None => in_order(),
    };
    let of = |f: &Format| match tensorflow::chosen(folder, &names) {
        Some(file) if f.id == "tensorflow" => vec![file],
        _ => weights_of(f, &names),
    };
    let sets = formats.into_iter().map(of).find(|files| !files.is_empty());
    let place = || Place::source(folder.display().to_string());
    let Some(files) = sets else { return Err(nothing(place(), &names)) };
    let files = chosen(files).map_err(|several| Error::NotAModel {
        place: place(),
        what: format!("a folder with several models: {}", several.join(", ")),
        help: Some("name the one that is meant".into()),
    })?;
    let open = |name: &String| Source::open(&folder.join(name), options.access);
    let mut model = match files.as_slice() {
        [file] => {
            let mut model = read_one(&open(file)?, format, options)?;
            if !file.ends_with(".index.json") {
                model.origin = format!("{}, {file}", model.origin);
            }
            model
        }
        shards => {
            let sources = shards.iter().map(open).collect::<Result<Vec<_>>>()?;
            let mut model = join(&sources, format, options)?;
            model.origin.push_str(", without an index");
            model
        }
    };
    add_company(&mut model, folder, &names, &files, options);
    Ok(model)
}

fn files_in(folder: &Path) -> Result<Vec<String>> {
    let io = |e| Error::io(folder.display().to_string(), e);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if !entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

fn in_order() -> Vec<&'static Format> {
    let mut formats: Vec<&Format> = FORMATS.iter().collect();
    formats.sort_by_key(|f| PREFERRED.iter().position(|&id| id == f.id).unwrap_or(PREFERRED.len()));
    formats
}

/// Files that hold weights in this format, by their names; only the index where there is one.
fn weights_of(format: &Format, names: &[String]) -> Vec<String> {
    let has = |name: &str, end: &str| format.extensions.iter().any(|e| name.ends_with(&format!(".{e}{end}")));
    let ending = |end: &str| {
        let caffe = names.iter().any(|n| n.ends_with(".caffemodel"));
        let beside = |n: &str| caffe && BESIDE_CAFFEMODEL.iter().any(|e| n.ends_with(e));
        let wanted = |n: &&String| has(n, end) && !beside(n) && !TRAINING.iter().any(|t| n.starts_with(t));
        names.iter().filter(wanted).cloned().collect::<Vec<_>>()
    };
    match ending(".index.json") {
        indexes if indexes.is_empty() => ending(""),
        indexes => indexes,
    }
}

/// The files that make one model: one, or numbered ones; otherwise all that could be meant.
fn chosen(files: Vec<String>) -> Result<Vec<String>, Vec<String>> {
    if files.len() == 1 || are_numbered(&files) { Ok(files) } else { Err(files) }
}

/// Whether these are all of `NAME-0000I-of-0000N.EXTENSION`.
fn are_numbered(files: &[String]) -> bool {
    let parts = |name: &str| -> Option<(String, usize, usize)> {
        let (rest, total) = name.rsplit_once('.')?.0.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        Some((stem.to_owned(), number.parse().ok()?, total.parse().ok()?))
    };
    let Some((stem, _, total)) = parts(&files[0]) else { return false };
    total == files.len()
        && files.iter().enumerate().all(|(i, f)| parts(f) == Some((stem.clone(), i + 1, total)))
}

/// The files beside the weights, and what `config.json` says.
fn add_company(
    model: &mut Model,
    folder: &Path,
    names: &[String],
    weights: &[String],
    options: &ReadOptions,
) {
    let config = Source::open(&folder.join("config.json"), options.access).ok();
    let config = config.and_then(|source| {
        let text = source.window(0, source.len().min(MAX_CONFIG)).ok()?;
        serde_json::from_slice(&text).ok()
    });
    if let Some(config) = config {
        model.files.push(folder.join("config.json"));
        model.metadata.push(("config".into(), crate::json::value(config)));
    }
    let beside = names.iter().filter(|n| !weights.contains(n)).cloned().map(Value::Str).collect::<Vec<_>>();
    if !beside.is_empty() {
        model.metadata.push(("company".into(), Value::List(beside)));
    }
}

fn nothing(place: Place, names: &[String]) -> Error {
    let what = "a folder without weight files".into();
    let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    let help = match names.len() {
        0 => "it is empty".to_owned(),
        n if n > shown.len() => format!("it holds {}, and {} more", shown.join(", "), n - shown.len()),
        _ => format!("it holds {}", shown.join(", ")),
    };
    Error::NotAModel { place, what, help: Some(help) }
}
