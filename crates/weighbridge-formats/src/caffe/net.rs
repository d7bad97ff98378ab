//! A net, whatever it was read from: its layers with their settings and blobs, and the model that they make.

use weighbridge_model::{
    Dim, Error, Finding, Limits, Model, Place, Result, Role, Severity, Tensor, TensorId, Value,
};

use super::blob::Blob;
use super::graph;
use super::names::{blob_name, full};
use crate::name_bytes::NameBytes;

/// Most layers in a file of `len` bytes. Real ones take hundreds of bytes each; a file of nothing but empty ones would
/// be listed in a thousand times its size.
pub(super) fn most_layers(len: u64) -> u64 {
    4096 + len / 64
}

/// Most blobs in a file of `len` bytes.
pub(super) fn most_blobs(len: u64) -> u64 {
    4096 + len / 1024
}

/// How layers are written: three generations, which Caffe upgrades when it loads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// `layers { layer { … } }`, 2013.
    V0,
    /// `layers { … }` with an enumeration of types, 2014.
    V1,
    /// `layer { … }` with types by name.
    Current,
}

impl Version {
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::V0 => "V0 (layers.layer)",
            Version::V1 => "V1 (layers)",
            Version::Current => "V2 (layer)",
        }
    }
}

/// A layer.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) name: String,
    /// Its type, as the file spells it.
    pub(super) kind: String,
    pub(super) bottoms: Vec<String>,
    pub(super) tops: Vec<String>,
    /// Everything else but the blobs.
    pub(super) settings: Vec<(String, Value)>,
    pub(super) blobs: Vec<TensorId>,
}

impl Layer {
    /// Its name, type and blobs, for metadata.
    pub(super) fn about(&self) -> Value {
        let mut about = vec![
            ("name".to_owned(), Value::Str(self.name.clone())),
            ("type".to_owned(), Value::Str(self.kind.clone())),
        ];
        if !self.blobs.is_empty() {
            let blobs = self.blobs.iter().copied().map(Value::Tensor).collect();
            about.push(("blobs".to_owned(), Value::List(blobs)));
        }
        Value::Map(about)
    }

    /// A setting by its message and name.
    pub(super) fn setting(&self, message: &str, name: &str) -> Option<&Value> {
        let of = |key: &str| self.settings.iter().find(|(k, _)| k == key).map(|(_, v)| v);
        of(message).and_then(|m| m.get(name)).or_else(|| of(name))
    }
}

/// A net.
#[derive(Debug, Default)]
pub(super) struct Net {
    pub(super) name: String,
    pub(super) version: Option<Version>,
    /// Blobs that are fed from outside, with their shapes.
    pub(super) inputs: Vec<(String, Option<Vec<i64>>)>,
    /// What stands beside the layers.
    pub(super) other: Vec<(String, Value)>,
    pub(super) layers: Vec<Layer>,
}

impl Net {
    /// Notes how a layer is written; the oldest way names the file.
    pub(super) fn seen(&mut self, version: Version) {
        self.version = Some(self.version.map_or(version, |v| v.min(version)));
    }

    /// Gives the inputs their shapes: `input_shape`, otherwise four of `input_dim` each.
    pub(super) fn shape_inputs(&mut self, shapes: Vec<Vec<i64>>, dims: &[i64]) {
        let fours = dims.chunks_exact(4).map(<[i64]>::to_vec);
        let shapes = if shapes.is_empty() { fours.collect() } else { shapes };
        for ((_, shape), given) in self.inputs.iter_mut().zip(shapes) {
            *shape = Some(given);
        }
    }

    /// Puts the net into a model that has its tensors: metadata and graph.
    pub(super) fn describe(&self, model: &mut Model, what: &str) {
        model.format = "caffe";
        model.origin = match self.version {
            Some(version) => {
                let count = self.layers.len();
                let s = if count == 1 { "" } else { "s" };
                format!("Caffe {what}, {count} layer{s} as {}", version.name())
            }
            None => format!("Caffe {what}"),
        };
        let mut metadata = Vec::new();
        if !self.name.is_empty() {
            metadata.push(("name".to_owned(), Value::Str(self.name.clone())));
        }
        if let Some(version) = self.version {
            metadata.push(("generation".to_owned(), Value::Str(version.name().to_owned())));
        }
        if !self.inputs.is_empty() {
            let shape = |dims: &Vec<i64>| Value::List(dims.iter().copied().map(Value::Int).collect());
            let inputs = self.inputs.iter().map(|(n, s)| (n.clone(), s.as_ref().map_or(Value::Null, shape)));
            metadata.push(("inputs".to_owned(), Value::Map(inputs.collect())));
        }
        metadata.extend(self.other.iter().cloned());
        metadata.push(("layers".to_owned(), Value::List(self.layers.iter().map(Layer::about).collect())));
        model.metadata.splice(0..0, metadata);
        model.graph = Some(graph::build(self, model));
    }
}

/// Collects tensors, and what is odd about them.
pub(super) struct Blobs {
    pub(super) model: Model,
    pub(super) limits: Limits,
    /// Most of them.
    pub(super) most: u64,
    names: NameBytes,
    gradients: u64,
    bare: u64,
    first_bare: Option<String>,
}

impl Blobs {
    /// None yet, of a file of `len` bytes.
    pub(super) fn new(len: u64, limits: &Limits) -> Self {
        let most = most_blobs(len).min(limits.items);
        let (model, names, limits) = (Model::default(), NameBytes::default(), *limits);
        Blobs { model, limits, most, names, gradients: 0, bare: 0, first_bare: None }
    }

    /// Takes a blob into the model.
    pub(super) fn push(&mut self, blob: Blob, name: String, role: Option<Role>) -> Result<TensorId> {
        self.gradients = self.gradients.saturating_add(blob.gradients);
        if blob.is_bare() {
            self.bare += 1;
            self.first_bare.get_or_insert_with(|| name.clone());
        }
        let tensor = blob.tensor(name, role)?;
        self.take(tensor)
    }

    fn take(&mut self, tensor: Tensor) -> Result<TensorId> {
        let asked = self.model.tensors.len() as u64 + 1;
        let allowed = self.most;
        if asked > allowed {
            return Err(Error::Limit {
                place: Place::default().tensor(tensor.name),
                what: "blobs",
                asked,
                allowed,
            });
        }
        self.names.take(tensor.name.len(), Place::default)?;
        Ok(self.model.push(tensor))
    }

    /// Reads the blobs of a layer, named by its type.
    pub(super) fn of_layer<T>(
        &mut self,
        layer: &mut Layer,
        blobs: &[T],
        read: impl Fn(&T, &str, &Limits) -> Result<Blob>,
    ) -> Result<()> {
        for (i, blob) in blobs.iter().enumerate() {
            let (leaf, role) = blob_name(&layer.kind, layer.bottoms.len(), blobs.len(), i);
            let name = full(&layer.name, &leaf);
            let blob = read(blob, &name, &self.limits)?;
            layer.blobs.push(self.push(blob, name, role)?);
        }
        Ok(())
    }

    /// The model, with what was noticed.
    pub(super) fn finish(mut self) -> Model {
        if self.gradients > 0 {
            let message = format!("{} bytes of gradients (diff) stand beside the weights", self.gradients);
            let finding = Finding::new(
                "C101",
                Severity::Info,
                message,
                "training left them; inference does not need them, and they are not listed",
            );
            self.model.findings.push(finding.with_figure("bytes", Value::Int(self.gradients as i64)));
        }
        if let Some(first) = self.first_bare {
            let message = match self.bare {
                1 => "a blob has a shape and no values".to_owned(),
                n => format!("{n} blobs have a shape and no values"),
            };
            let help = "the values were left out, or are in a fork's field that is not known here";
            let finding = Finding::new("C102", Severity::Warning, message, help).with_tensor(first);
            self.model.findings.push(finding.with_figure("blobs", Value::Int(self.bare as i64)));
        }
        self.model
    }
}

/// A declared shape as dimensions; what is not positive is not known.
pub(super) fn dims(shape: &[i64]) -> Vec<Dim> {
    shape.iter().map(|&d| u64::try_from(d).map_or(Dim::Unknown, Dim::Known)).collect()
}
