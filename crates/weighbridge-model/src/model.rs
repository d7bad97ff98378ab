//! A whole model: tensors in file order, with whatever graph and metadata its file holds.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Error, Finding, Graph, Result, Storage, Tensor, TensorId, Value};

/// A module of a pickled network, or a node group of a graph: where true kinds of layers come from.
#[derive(Debug, Clone)]
pub struct Module {
    /// Dotted path as `named_modules()` gives it, below the part's prefix; empty for the root.
    pub path: String,
    /// Fully qualified class name (`torch.nn.modules.conv.Conv2d`).
    pub class: String,
    /// Plain attributes: `stride`, `padding`, `eps`, `training`…
    pub attributes: Vec<(String, Value)>,
}

/// A named part of a checkpoint, which `FILE#KEY` selects.
#[derive(Debug, Clone)]
pub struct Part {
    /// The key (`state_dict`, `ema`, `optimizer`…).
    pub key: String,
    /// Tensors below it.
    pub tensors: Vec<TensorId>,
}

/// What a file holds.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Name of the container format (`pytorch`, `safetensors`, `onnx`).
    pub format: &'static str,
    /// One line on the container: who wrote it, which variant.
    pub origin: String,
    /// Tensors in file order. [`TensorId`] indexes this.
    pub tensors: Vec<Tensor>,
    /// Modules of a pickled network, in the order of `named_modules()`; empty elsewhere.
    pub modules: Vec<Module>,
    /// The computation graph, where the container has one.
    pub graph: Option<Graph>,
    /// Top-level keys that hold tensors, in file order; empty where the tensors are the whole content.
    pub parts: Vec<Part>,
    /// Everything that is not a tensor.
    pub metadata: Vec<(String, Value)>,
    /// The headers of the files as they stand, where a writer of the same format finds in them what `metadata` does not
    /// keep (types, long arrays); empty elsewhere.
    pub headers: Vec<Arc<dyn Storage>>,
    /// What the reader noticed.
    pub findings: Vec<Finding>,
    /// Every file that it was read from, shards, external data and configurations included: none of them may be written
    /// over while it is in use.
    pub files: Vec<PathBuf>,
}

/// Keys under which trainers keep the weights, in the order in which they are looked for.
const WEIGHT_KEYS: &[&str] = &[
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "module",
    "net",
    "network",
    "params",
    "params_ema",
    "weights",
    "generator",
    "g",
    "G",
    "ema",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "teacher",
    "student",
];

impl Model {
    /// Adds a tensor, and gives it its id.
    pub fn push(&mut self, mut tensor: Tensor) -> TensorId {
        let id = TensorId(u32::try_from(self.tensors.len()).expect("readers bound the number of tensors"));
        tensor.id = id;
        self.tensors.push(tensor);
        id
    }

    /// The tensor of this id.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0 as usize]
    }

    /// The metadata entry of this key.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v)
    }

    /// The part that holds the weights, where the model has parts: the first of the usual keys, otherwise the
    /// largest part that is no optimizer's.
    pub fn weights_part(&self) -> Option<&Part> {
        let usual = WEIGHT_KEYS.iter().find_map(|key| self.parts.iter().find(|p| p.key == *key));
        usual.or_else(|| {
            let bytes =
                |p: &Part| p.tensors.iter().map(|&t| self.tensor(t).bytes()).fold(0, u64::saturating_add);
            self.parts.iter().filter(|p| !is_optimizer_key(&p.key)).max_by_key(|p| bytes(p))
        })
    }

    /// The model below a key: tensors whose name starts with `key` and a dot, their names without it.
    ///
    /// # Errors
    /// [`Error::NotFound`] with the nearest keys where nothing lies below.
    pub fn select(&self, key: &str) -> Result<Model> {
        let prefix = format!("{key}.");
        let below = |name: &str| name.strip_prefix(&prefix).map(str::to_owned);
        let mut picked = Model {
            format: self.format,
            origin: self.origin.clone(),
            graph: self.graph.clone(),
            findings: self.findings.clone(),
            files: self.files.clone(),
            ..Model::default()
        };
        for tensor in &self.tensors {
            let name = if tensor.name == key { Some(String::new()) } else { below(&tensor.name) };
            if let Some(name) = name {
                picked.push(Tensor { name, ..tensor.clone() });
            }
        }
        if picked.tensors.is_empty() {
            let near = nearest(key, self.parts.iter().map(|p| p.key.as_str()));
            return Err(Error::NotFound { kind: "part", name: key.to_owned(), near });
        }
        picked.modules = self
            .modules
            .iter()
            .filter_map(|m| {
                let path = if m.path == key { Some(String::new()) } else { below(&m.path) };
                path.map(|path| Module { path, ..m.clone() })
            })
            .collect();
        picked.metadata = match self.metadata(key) {
            Some(Value::Map(entries)) => entries.clone(),
            _ => self.metadata.iter().filter(|(k, _)| k != key).cloned().collect(),
        };
        Ok(picked)
    }
}

/// Whether a top-level key is one under which trainers keep weights.
pub fn is_weight_key(key: &str) -> bool {
    WEIGHT_KEYS.contains(&key)
}

/// Whether a top-level key is where a trainer keeps its optimizer.
pub fn is_optimizer_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key.starts_with("optim") || key == "opt"
}

/// As [`nearest`] for a closed set: all of it where nothing is near.
pub fn nearest_or_all<'a>(name: &str, names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    let near = nearest(name, names.clone());
    if near.is_empty() { names.map(str::to_owned).collect() } else { near }
}

/// Longest names, in bytes, that are held against each other: it takes the square of that.
const LONGEST: usize = 512;

/// Up to three names nearest to `name`, best first; none that is not near at all, or that is very long.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    let mut scored: Vec<(f64, &str)> = names
        .filter(|n| n.len() <= LONGEST)
        .map(|n| (strsim::jaro_winkler(&name.to_lowercase(), &n.to_lowercase()), n))
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(3).map(|(_, n)| n.to_owned()).collect()
}
