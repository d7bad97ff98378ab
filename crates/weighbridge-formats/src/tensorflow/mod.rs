//! TensorFlow: checkpoints (`X.index` with its shards), SavedModels, meta graphs and frozen graphs.
//!
//! Source of the facts: the field numbers of the messages, what TensorFlow 2.21 writes and reads back, and LevelDB's
//! table format.
//!
//! | message | fields that are read |
//! |---|---|
//! | header of a bundle | 1 number of shards, 2 byte order (1 = big) |
//! | entry of a bundle | 1 type, 2 shape, 3 shard, 4 offset, 5 size, 7 slices |
//! | `SavedModel` | 2 meta graphs |
//! | `MetaGraphDef` | 1 info (4 tags, 5 version), 2 graph, 5 signatures, 6 assets, 7 objects |
//! | `GraphDef` | 1 nodes, 2 library (1 functions) |
//! | `NodeDef` | 1 name, 2 operator, 3 inputs, 5 attributes |
//! | `FunctionDef` | 1 signature (1 name, 2 inputs, 3 outputs), 3 nodes, 4 what it returns |
//! | `TensorProto` | 1 type, 2 shape, 4 content, 5–18 typed fields |
//!
//! What the reader notices:
//!
//! | code | severity | |
//! |---|---|---|
//! | T101 | error | shards of a checkpoint that are not beside its index |

mod attribute;
mod bundle;
mod crc;
mod graph;
mod objects;
mod pack;
mod saved;
mod settle;
mod shape;
mod slices;
mod sniff;
mod table;
mod tensor;
mod types;
mod usage;

use std::path::{Path, PathBuf};

use weighbridge_model::{Error, Model, Result};

use crate::format::ReadOptions;
use crate::source::Source;
use sniff::What;

pub use sniff::sniff;

/// Reads whichever of TensorFlow's files this is; its weights stay where they are.
///
/// # Errors
/// Where the bytes contradict themselves, with offset, tensor and node.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let Some(what) = sniff::what(source)? else {
        let what = "neither a checkpoint's index nor a SavedModel nor a graph of TensorFlow";
        return Err(Error::malformed(source.place(0), what));
    };
    match what {
        What::SavedModel => saved::saved_model(source, options),
        What::MetaGraph => saved::meta_graph(source, options),
        What::GraphDef => saved::graph_def(source, options),
        What::Text => Err(Error::Unsupported {
            place: source.place(0),
            what: "a graph of TensorFlow as text (.pbtxt), which is not read".into(),
            help: Some("write it in binary: tf.io.write_graph(graph, folder, name, as_text=False)".into()),
        }),
        What::Index | What::Cut => checkpoint(source, options),
        What::Shard => match source.path().and_then(bundle::index_of) {
            Some(index) => checkpoint(&Source::open(&index, options.access)?, options),
            None => Err(Error::malformed(source.place(0), "a checkpoint's shard without its index")),
        },
    }
}

fn checkpoint(source: &Source, options: &ReadOptions) -> Result<Model> {
    let mut model = Model { origin: "TensorFlow checkpoint".into(), ..Model::default() };
    bundle::read(source, options, &mut model)?;
    Ok(model)
}

/// The index of the checkpoint whose prefix a path is, as TensorFlow's own functions take it.
pub(crate) fn of_prefix(path: &Path) -> Option<PathBuf> {
    if path.exists() { None } else { bundle::index_of(path) }
}

/// Of a folder's files, the one that TensorFlow would load: the SavedModel, the checkpoint that the file `checkpoint`
/// says is the latest, or the only one, whose graph may stand beside it.
pub(crate) fn chosen(folder: &Path, names: &[String]) -> Option<String> {
    /// A longer file is none that a trainer wrote.
    const LONGEST: u64 = 1 << 20;
    let has = |name: &str| names.iter().any(|n| n == name);
    if has("saved_model.pb") {
        return Some("saved_model.pb".into());
    }
    if !has("checkpoint") {
        let graph_of =
            |name: &str| name.strip_suffix(".meta").is_some_and(|stem| has(&format!("{stem}.index")));
        let models = |n: &&String| [".index", ".pb", ".meta"].iter().any(|e| n.ends_with(e)) && !graph_of(n);
        let mut models = names.iter().filter(models);
        return models.next().filter(|_| models.next().is_none()).cloned();
    }
    let file = folder.join("checkpoint");
    if std::fs::metadata(&file).ok()?.len() > LONGEST {
        return None;
    }
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|l| l.trim().strip_prefix("model_checkpoint_path:"))?;
    let prefix = line.trim().trim_matches('"').rsplit(['/', '\\']).next()?;
    let index = format!("{prefix}.index");
    has(&index).then_some(index)
}

#[cfg(test)]
mod tests;
