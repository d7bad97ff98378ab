//! A tensor as matching sees it: where it stands in the network, what it is there, how its dimensions lie.

use std::collections::HashMap;

use weighbridge_model::storage::identity;
use weighbridge_model::{Layout, Model, Role, Tensor, TensorId};

use super::graph::{self, Use};
use super::kinds::{Kind, Order, Witness};
use super::names::{self, Slot};
use super::{Asked, keras, tensorflow};

#[derive(Debug)]
pub(super) struct Subject {
    pub(super) id: TensorId,
    pub(super) name: String,
    /// Its own name, where it was given another.
    pub(super) was: Option<String>,
    /// Sizes, as far as they are known.
    pub(super) shape: Option<Vec<Option<u64>>>,
    /// Whether its elements are of floating point, or codes for such; not known of what is asked for.
    pub(super) real: Option<bool>,
    pub(super) role: Role,
    /// Its layer, by its own name.
    pub(super) path: String,
    /// Its layer, by where it is used.
    pub(super) used_at: Option<String>,
    pub(super) slot: Slot,
    /// Other places that a graph has it at under other names.
    pub(super) aliases: Vec<(String, Slot)>,
    pub(super) kind: Kind,
    pub(super) order: Option<(Order, Witness)>,
    /// Where it comes in the network, or else in the file.
    pub(super) place: usize,
    /// What is equal for tensors of the same elements.
    pub(super) storage: Option<(usize, u64)>,
    /// Of a layer whose inputs are a picture that was flattened with its channels last: how many channels, where that
    /// is known.
    pub(super) flattened: Option<Option<u64>>,
    /// Whether its dimensions were put in order by hand.
    pub(super) arranged: bool,
}

impl Subject {
    /// Whether both are the same elements in the same shape.
    pub(super) fn shares(&self, other: &Subject) -> bool {
        self.storage.is_some() && self.storage == other.storage && self.shape == other.shape
    }

    /// Its sizes without ones, in ascending order: equal for what may be the same in another order. `None` where not all
    /// are known.
    pub(super) fn bulk(&self) -> Option<Vec<u64>> {
        let mut sizes: Vec<u64> = self.shape.as_ref()?.iter().copied().collect::<Option<_>>()?;
        sizes.retain(|&d| d != 1);
        sizes.sort_unstable();
        Some(sizes)
    }

    /// Its shape for people.
    pub(super) fn sizes(&self) -> String {
        let Some(shape) = &self.shape else { return "of a shape that is not told".to_owned() };
        let sizes = shape.iter().map(|d| d.map_or("?".to_owned(), |d| d.to_string()));
        format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
    }

    /// Puts it under another name. What it is stays as its own name told; its slot does where that is not named anew.
    pub(super) fn rename(&mut self, name: &str) {
        let (path, slot) = names::path_and_slot(name);
        let leaf = |name: &str| names::segments(name).pop();
        if leaf(name) != leaf(&self.name) {
            self.slot = slot;
        }
        // Keras numbers variables below `vars`.
        self.path = path.strip_suffix(".vars").unwrap_or(&path).to_owned();
        self.used_at = None;
        self.was = Some(std::mem::replace(&mut self.name, name.to_owned()));
    }

    /// Whether it is one of a recurrent layer's, whose gates have an order.
    pub(super) fn is_recurrent(&self) -> bool {
        let leaf = match &self.slot {
            Slot::Other(leaf) => leaf.as_str(),
            _ => "",
        };
        self.kind == Kind::Recurrent || names::is_recurrent(leaf)
    }
}

/// The tensors of a model.
pub(super) fn of(model: &Model) -> Vec<Subject> {
    let uses = graph::uses(model);
    let keras = if model.format == "keras" { keras::layers(model) } else { HashMap::new() };
    let modules: HashMap<&str, Kind> = model
        .modules
        .iter()
        .filter(|_| model.format == "pytorch")
        .map(|m| (m.path.as_str(), Kind::of_class(m.class.rsplit('.').next().unwrap_or_default())))
        .collect();
    let mut subjects: Vec<Subject> = Vec::with_capacity(model.tensors.len());
    for tensor in &model.tensors {
        let (path, slot) = names::path_and_slot(&tensor.name);
        let mut subject = Subject {
            id: tensor.id,
            name: tensor.name.clone(),
            was: None,
            shape: Some(tensor.shape.iter().map(|&d| Some(d)).collect()),
            real: Some(
                tensor.dtype.is_float()
                    || matches!(tensor.layout, Layout::Quantized { .. } | Layout::Blocks { .. }),
            ),
            role: tensor.role,
            path,
            used_at: None,
            slot,
            aliases: Vec::new(),
            kind: Kind::Unknown,
            order: None,
            place: tensor.id.0 as usize,
            storage: elements(tensor),
            flattened: None,
            arranged: false,
        };
        if let Some(layer) = keras.get(&tensor.id) {
            (subject.path, subject.slot) = (layer.path.clone(), layer.slot.clone());
            (subject.kind, subject.place) = (layer.kind, layer.place);
            subject.flattened = layer.flattened;
            subject.order = Some((Order::Keras, Witness::Told));
        } else if let Some(found) = uses.get(&tensor.id) {
            take(&mut subject, found);
        } else {
            by_convention(&mut subject, &modules, &tensor.name);
        }
        subjects.push(subject);
    }
    kinds_of_layers(&mut subjects);
    if model.format == "tensorflow" {
        tensorflow::suspect(&mut subjects);
    }
    subjects
}

/// What a net without tensors asks for.
pub(super) fn asked(target: &Model, asked: &[Asked]) -> Vec<Subject> {
    let layers = graph::caffe_layers(target);
    let mut subjects: Vec<Subject> = Vec::with_capacity(asked.len());
    for (i, asked) in asked.iter().enumerate() {
        let (path, slot) = names::path_and_slot(&asked.name);
        let layer = layers.get(roles_path(&asked.name));
        subjects.push(Subject {
            id: TensorId(i as u32),
            name: asked.name.clone(),
            was: None,
            shape: asked.shape.clone(),
            real: None,
            role: asked.role.unwrap_or(Role::Parameter),
            path,
            used_at: layer.and_then(|l| l.path.clone()),
            slot,
            aliases: Vec::new(),
            kind: layer.map_or(Kind::Unknown, |l| l.kind),
            order: layer.and_then(|l| l.order).map(|o| (o, Witness::Told)),
            place: i,
            storage: None,
            flattened: None,
            arranged: false,
        });
    }
    kinds_of_layers(&mut subjects);
    subjects
}

/// The layer's name as it stands in a Caffe tensor's.
fn roles_path(name: &str) -> &str {
    weighbridge_model::roles::split(name).0
}

fn take(subject: &mut Subject, found: &Use) {
    subject.used_at = found.path.clone();
    if let Some(slot) = &found.slot {
        // A name of its own tells nothing that the operator does not.
        subject.slot = slot.clone();
    }
    subject.kind = found.kind;
    subject.order = found.order.map(|o| (o, Witness::Told));
    subject.place = found.place;
    subject.flattened = found.flattened;
    subject.aliases = found.aliases.iter().map(|name| names::path_and_slot(name)).collect();
}

fn by_convention(subject: &mut Subject, modules: &HashMap<&str, Kind>, name: &str) {
    let (parent, leaf) = weighbridge_model::roles::split(name);
    let rank = subject.shape.as_ref().map_or(0, Vec::len);
    if let Some(&kind) = modules.get(parent) {
        subject.kind = kind;
        if kind != Kind::Unknown && subject.slot == Slot::Weight {
            subject.order = Some((Order::Torch, Witness::Told));
            return;
        }
    }
    let last = names::segments(name).pop().unwrap_or_default();
    subject.order = match last.as_str() {
        "weight" if leaf == "weight" && rank == 2 && names::either_way(parent) => None,
        "weight" => Some((Order::Torch, Witness::Convention)),
        "kernel" | "depthwise_kernel" => Some((Order::Keras, Witness::Convention)),
        "embeddings" => Some((Order::Torch, Witness::Convention)),
        _ => None,
    };
    subject.kind = subject.kind.or(match (last.as_str(), rank) {
        ("weight" | "kernel", 3..) => Kind::Conv,
        ("depthwise_kernel", _) => Kind::Depthwise,
        ("embeddings" | "embedding", 2) => Kind::Embedding,
        ("gamma" | "beta", 1) => Kind::Norm,
        _ => Kind::Unknown,
    });
}

/// A layer's tensors are of one kind; one with running statistics is a normalization.
fn kinds_of_layers(subjects: &mut [Subject]) {
    let mut kinds: HashMap<String, Kind> = HashMap::new();
    for subject in subjects.iter() {
        let told = match subject.slot {
            Slot::Mean | Slot::Variance | Slot::Batches => Kind::Norm,
            _ => subject.kind,
        };
        let kind = kinds.entry(layer(subject)).or_default();
        *kind = kind.or(told);
    }
    for subject in subjects {
        subject.kind = subject.kind.or(kinds[&layer(subject)]);
    }
}

/// The layer that a tensor belongs to.
pub(super) fn layer(subject: &Subject) -> String {
    match &subject.used_at {
        Some(path) => path.clone(),
        None => subject.path.clone(),
    }
}

fn elements(tensor: &Tensor) -> Option<(usize, u64)> {
    let numbers = !matches!(tensor.layout, Layout::Opaque) && tensor.count() > 0;
    numbers.then(|| (identity(&tensor.storage), tensor.storage_offset()))
}
