//! Keras' variables: by class, and by the names that the configuration gives to layers.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Model, Module, Tensor, TensorId, Value};

use super::flatten;
use super::kinds::Kind;
use super::names::{self, Slot};

/// Where a variable stands.
pub(super) struct Variable {
    pub(super) path: String,
    pub(super) slot: Slot,
    pub(super) kind: Kind,
    /// By layers as the configuration has them, then by number.
    pub(super) place: usize,
    /// As in [`super::subject::Subject`].
    pub(super) flattened: Option<Option<u64>>,
}

/// The variables of a Keras file that have a layer.
pub(super) fn layers(model: &Model) -> HashMap<TensorId, Variable> {
    let modules: HashMap<&str, (usize, &Module)> =
        model.modules.iter().enumerate().map(|(i, m)| (m.path.as_str(), (i, m))).collect();
    let mut count: HashMap<&str, usize> = HashMap::new();
    for tensor in &model.tensors {
        *count.entry(group(&tensor.name).0).or_default() += 1;
    }
    let config = model.metadata.iter().find(|(k, _)| k == "config").map(|(_, v)| v);
    let behind = config.map(flatten::behind).unwrap_or_default();
    let convolved = model.tensors.iter().any(|t| t.shape.len() > 2);
    // What layers make: channels and widths are the last two sizes of their kernels.
    let mut widths: HashMap<u64, usize> = HashMap::new();
    for tensor in model.tensors.iter().filter(|t| t.shape.len() > 1) {
        outputs_of(tensor).into_iter().for_each(|width| *widths.entry(width).or_default() += 1);
    }
    let mut found = HashMap::new();
    for tensor in &model.tensors {
        let (own, leaf) = group(&tensor.name);
        let group = layer_of(own, &modules);
        let module = modules.get(group);
        let class = module.map_or_else(|| class_of_group(group), |(_, m)| m.class.clone());
        let slot = match leaf.parse::<usize>() {
            Ok(number) => numbered(&class, module.map(|(_, m)| *m), count[own], number),
            Err(_) => {
                let (_, slot) = names::path_and_slot(&tensor.name);
                slot
            }
        };
        let name = module.and_then(|(_, m)| m.attributes.iter().find(|(k, _)| k == "name")?.1.as_str());
        let input = tensor.shape.first().copied().unwrap_or(0);
        let flattened = match slot {
            Slot::Weight if model.modules.is_empty() => {
                // Without a configuration nothing tells what stands before a layer, but widths do that are nobody's.
                let own = usize::from(tensor.shape.last() == Some(&input));
                let foreign = widths.get(&input).copied().unwrap_or(0) == own;
                let dense = Kind::of_class(&class) == Kind::Linear && convolved && foreign;
                dense.then_some(None)
            }
            Slot::Weight => {
                // A picture of one point is flattened in the same way everywhere.
                let channels = name.and_then(|name| behind.get(name)).copied();
                channels.filter(|channels| *channels != Some(input))
            }
            _ => None,
        };
        let order = module.map_or(model.modules.len(), |(i, _)| *i);
        found.insert(
            tensor.id,
            Variable {
                path: path(group, &modules),
                slot,
                kind: Kind::of_class(&class),
                place: order * 1_000_000 + tensor.id.0 as usize,
                flattened,
            },
        );
    }
    found
}

/// Sizes that may be the outputs of a kernel: the last one, and of convolutions the one before it.
fn outputs_of(kernel: &Tensor) -> HashSet<u64> {
    let shape = &kernel.shape;
    let more = if shape.len() > 2 { 2 } else { 1 };
    shape[shape.len() - more..].iter().copied().collect()
}

/// The group of a layer and what stands below it: `layers/dense/vars/0`, `model_weights/dense/dense/kernel:0`.
fn group(name: &str) -> (&str, &str) {
    name.rsplit_once("/vars/").or_else(|| name.rsplit_once('/')).unwrap_or(("", name))
}

/// The layer's own group: Keras 3 puts a Sequential model's variables into `model_weights/dense/sequential/dense`.
fn layer_of<'a>(group: &'a str, modules: &HashMap<&str, (usize, &Module)>) -> &'a str {
    let name = group.rsplit('/').next().unwrap_or(group);
    let mut above = group;
    while !modules.contains_key(above) {
        match above.rsplit_once('/') {
            Some((next, _)) => above = next,
            None => return group,
        }
    }
    if above.rsplit('/').next() == Some(name) { above } else { group }
}

/// A path of the layers' own names where the configuration has them.
fn path(group: &str, modules: &HashMap<&str, (usize, &Module)>) -> String {
    let mut path: Vec<String> = Vec::new();
    let mut at = 0;
    for segment in group.split('/') {
        let prefix = &group[..at + segment.len()];
        at += segment.len() + 1;
        let module = modules.get(prefix).map(|(_, m)| *m);
        let name = module.and_then(|m| m.attributes.iter().find(|(k, _)| k == "name"));
        match name.and_then(|(_, v)| v.as_str()) {
            Some(name) => path.extend(names::segments(name)),
            None if matches!(
                segment,
                "layers" | "vars" | "model_weights" | "_layer_checkpoint_dependencies"
            ) => {}
            None => path.push(segment.to_owned()),
        }
    }
    // Older files repeat a layer's name.
    path.dedup();
    path.join(".")
}

/// Keras names groups after classes, and counts: `conv2d_3`.
fn class_of_group(group: &str) -> String {
    let last = group.rsplit('/').next().unwrap_or_default();
    let counted = |(rest, number): (&str, &str)| number.parse::<u32>().is_ok().then(|| rest.to_owned());
    let name = last.rsplit_once('_').and_then(counted).unwrap_or_else(|| last.to_owned());
    let known = [
        ("conv1d", "Conv1D"),
        ("conv2d", "Conv2D"),
        ("conv3d", "Conv3D"),
        ("conv1d_transpose", "Conv1DTranspose"),
        ("conv2d_transpose", "Conv2DTranspose"),
        ("depthwise_conv2d", "DepthwiseConv2D"),
        ("separable_conv2d", "SeparableConv2D"),
        ("dense", "Dense"),
        ("embedding", "Embedding"),
        ("batch_normalization", "BatchNormalization"),
        ("layer_normalization", "LayerNormalization"),
        ("group_normalization", "GroupNormalization"),
        ("p_re_lu", "PReLU"),
        ("lstm", "LSTM"),
        ("gru", "GRU"),
        ("simple_rnn", "SimpleRNN"),
    ];
    known.iter().find(|(snake, _)| *snake == name).map_or(name, |(_, class)| (*class).to_owned())
}

/// The slot of a layer's variable by its number, of classes whose variables are known.
fn numbered(class: &str, module: Option<&Module>, count: usize, number: usize) -> Slot {
    let other = || Slot::Other(format!("vars.{number}"));
    let setting = |name: &str| {
        let value = module.and_then(|m| m.attributes.iter().find(|(k, _)| k == name)).map(|(_, v)| v);
        value != Some(&Value::Bool(false))
    };
    let slots: Vec<Slot> = match class {
        "BatchNormalization" | "LayerNormalization" | "GroupNormalization" => {
            let mut slots = Vec::new();
            slots.extend(setting("scale").then_some(Slot::Weight));
            slots.extend(setting("center").then_some(Slot::Bias));
            if class == "BatchNormalization" {
                slots.extend([Slot::Mean, Slot::Variance]);
            }
            slots
        }
        "PReLU" | "Embedding" => vec![Slot::Weight],
        _ if matches!(
            Kind::of_class(class),
            Kind::Conv | Kind::Transposed | Kind::Depthwise | Kind::Linear
        ) =>
        {
            vec![Slot::Weight, Slot::Bias]
        }
        _ => return other(),
    };
    let convolution = Kind::of_class(class) != Kind::Norm;
    // Without its settings a layer's slots are known where it has all of them.
    if slots.len() == count || convolution && number < slots.len() && count <= slots.len() {
        slots[number.min(slots.len() - 1)].clone()
    } else {
        other()
    }
}
