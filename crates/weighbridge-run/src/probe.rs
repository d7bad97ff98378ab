//! A model written for an engine, with inner values as outputs.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use weighbridge_formats::plan::WriteOptions;
use weighbridge_formats::{Carry, by_id};
use weighbridge_model::{Error, Model, Result, ValueId};

/// An ONNX file in a folder of its own, which goes away with it.
pub struct Probe {
    folder: tempfile::TempDir,
}

impl Probe {
    /// Writes `model` with the values `inner` as outputs beside its own. Its type is left for the engine to infer.
    ///
    /// # Errors
    /// A model without an ONNX graph; a failed write.
    pub fn new(model: &Model, inner: &[String]) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|e| Error::io("a temporary folder", e))?;
        let mut probed = model.clone();
        let mut options = WriteOptions::default();
        if let Some(graph) = &mut probed.graph {
            let mut named: HashMap<&str, ValueId> = HashMap::new();
            for (value, id) in graph.values.iter().zip((0..).map(ValueId)) {
                named.entry(&value.name).or_insert(id);
            }
            let ids: Vec<ValueId> =
                inner.iter().filter_map(|name| named.get(name.as_str()).copied()).collect();
            let probed: HashSet<ValueId> = ids.iter().copied().collect();
            graph.declared.retain(|id| !probed.contains(id));
            graph.outputs.extend(ids);
        }
        // What is in files beside the model stays out of its message.
        options.external =
            model.tensors.iter().map(|t| t.bytes()).max().filter(|&b| b > 1 << 26).map(|_| 1024);
        let probe = Probe { folder };
        let plan = by_id("onnx")?.write.expect("ONNX is written")(&probed, &probe.path(), &options)?;
        plan.write(&[], Carry::default(), &|_| {})?;
        Ok(probe)
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        Path::new(self.folder.path()).join("model.onnx")
    }
}
