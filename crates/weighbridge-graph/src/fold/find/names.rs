//! A state dict without a graph: which normalization follows which linear layer, by names, order and sizes. A guess, and
//! marked so.
//!
//! Within one module, a normalization belongs to the linear layer whose name is its own but for the word that says what
//! it is (`conv1` and `bn1`, `depthwise` and `depthwise_bn`), or to the layer right before it (`0` and `1` of a
//! Sequential, `conv_pw` and `bn2`). The linear layer comes first and has as many outputs; where it comes second, as in
//! a network that normalizes before it convolves, nothing folds.

use std::collections::{HashMap, HashSet};

use weighbridge_model::storage::{Channels, identity};
use weighbridge_model::{Model, Module, TensorId, Value};

use super::{Found, Left};
use crate::fold::linear::{column_outputs, conv_outputs, depthwise_outputs, transposed_outputs};
use crate::fold::step::is_plain;
use crate::fold::{Does, Fold, Step};

/// What names do not tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Names {
    /// What normalizations add to variances where no module tells; torch's 1e-5, and Keras' 1e-3 for Keras' names,
    /// where it is not given.
    pub epsilon: Option<f64>,
}

/// Tensors below one path.
struct Layer<'a> {
    path: &'a str,
    slots: Vec<(&'a str, TensorId)>,
}

impl<'a> Layer<'a> {
    fn slot(&self, leaves: &[&str]) -> Option<TensorId> {
        leaves.iter().find_map(|leaf| self.slots.iter().find(|(l, _)| l == leaf).map(|(_, id)| *id))
    }

    /// Path of what it stands in, and its own name there.
    fn split(&self) -> (&'a str, &'a str) {
        self.path.rsplit_once(['.', '/']).unwrap_or(("", self.path))
    }

    fn statistics(&self) -> Option<(TensorId, TensorId)> {
        let mean = self.slot(&["running_mean", "moving_mean"])?;
        Some((mean, self.slot(&["running_var", "moving_variance", "running_variance"])?))
    }
}

/// What folds in a state dict.
pub fn find_by_names(model: &Model, names: &Names) -> Found {
    let layers = layers(model);
    let modules: HashMap<&str, &Module> = model.modules.iter().map(|m| (m.path.as_str(), m)).collect();
    let mut shared: HashMap<(usize, u64), u32> = HashMap::new();
    for tensor in model.tensors.iter().filter(|t| t.in_state_dict && t.count() > 0) {
        *shared.entry((identity(&tensor.storage), tensor.storage_offset())).or_default() += 1;
    }
    let mut found = Found::default();
    let mut seen = Seen::default();
    for (at, layer) in layers.iter().enumerate() {
        let Some((mean, variance)) = layer.statistics() else {
            seen.take(at, layer);
            continue;
        };
        let count = model.tensor(mean).count();
        let chosen =
            seen.before(layer, &layers, |linear| outputs(model, &layers[linear], &modules, count).is_some());
        seen.take_norm(at, layer);
        let left = |why: String| Left { name: layer.path.to_owned(), why };
        let linear = match chosen {
            Ok(linear) => linear,
            Err(why) => {
                found.left.push(left(why));
                continue;
            }
        };
        let Some((weight, outputs)) = outputs(model, &layers[linear], &modules, count) else { continue };
        let tensor = model.tensor(weight);
        if !is_plain(tensor) {
            found.left.push(left(format!("'{}' is {}, which is not scaled", tensor.name, tensor.dtype)));
            continue;
        }
        if shared.get(&(identity(&tensor.storage), tensor.storage_offset())).is_some_and(|&n| n > 1) {
            found.left.push(left(format!("'{}' shares its elements with another tensor", tensor.name)));
            continue;
        }
        seen.claimed.insert(linear);
        found.folds.push(Fold {
            name: layers[linear].path.to_owned(),
            node: None,
            weight,
            bias: layers[linear].slot(&["bias", "biases"]),
            weight_gain: 1.0,
            bias_gain: 1.0,
            inputs: None,
            outputs,
            before: Vec::new(),
            after: vec![Step {
                name: layer.path.to_owned(),
                node: None,
                does: Does::Norm {
                    gamma: layer.slot(&["weight", "gamma", "scale"]),
                    beta: layer.slot(&["bias", "beta"]),
                    mean,
                    variance,
                    factor: None,
                    epsilon: epsilon(layer, &modules, names),
                },
            }],
            input: None,
            output: None,
            guessed: true,
        });
    }
    found
}

/// Layers that come before the one that is looked at.
#[derive(Default)]
struct Seen<'a> {
    /// The latest layer of each module.
    latest: HashMap<&'a str, usize>,
    /// Layers by their module and what their names have in common with their normalization's.
    by_stem: HashMap<(&'a str, Vec<String>), Vec<usize>>,
    /// Layers by their paths.
    by_path: HashMap<&'a str, usize>,
    claimed: HashSet<usize>,
}

impl<'a> Seen<'a> {
    fn take(&mut self, at: usize, layer: &Layer<'a>) {
        let (module, name) = layer.split();
        self.latest.insert(module, at);
        self.by_path.insert(layer.path, at);
        if layer.slots.iter().any(|(leaf, _)| WEIGHTS.contains(leaf)) {
            self.by_stem.entry((module, stem(name))).or_default().push(at);
        }
    }

    fn take_norm(&mut self, at: usize, layer: &Layer<'a>) {
        self.latest.insert(layer.split().0, at);
    }

    /// The linear layer that a normalization follows, among those that `fits` accepts.
    fn before(
        &self,
        norm: &Layer<'a>,
        layers: &[Layer<'a>],
        fits: impl Fn(usize) -> bool,
    ) -> Result<usize, String> {
        let (module, name) = norm.split();
        let free = |linear: &usize| !self.claimed.contains(linear) && fits(*linear);
        if let Some(whole) = self.by_path.get(module).copied().filter(free) {
            return Ok(whole);
        }
        let latest = self.latest.get(module).copied().filter(free);
        let alike: Vec<usize> = match self.by_stem.get(&(module, stem(name))) {
            // The latest ones, should many have one stem.
            Some(list) => list.iter().rev().take(ALIKE).copied().filter(free).collect(),
            None => Vec::new(),
        };
        // Keras counts its normalizations and each kind of convolution by itself.
        let counted = name.to_lowercase().starts_with("batch_normalization");
        match (latest, &alike[..]) {
            (Some(latest), _) if counted || alike.contains(&latest) => Ok(latest),
            (_, [only]) => Ok(*only),
            (_, [_, _, ..]) => Err("several layers before it have a name like its own".to_owned()),
            (Some(latest), []) => match gap(layers[latest].split().1, name) {
                Some(gap) if gap > 1 => Err(format!(
                    "{} of the Sequential between it and '{}' has no weights, and may be an activation",
                    if gap == 2 { "a module".to_owned() } else { format!("{} modules", gap - 1) },
                    layers[latest].path
                )),
                _ => Ok(latest),
            },
            (None, []) => Err("no linear layer with as many outputs stands before it".to_owned()),
        }
    }
}

/// Most layers of one module whose names are alike that are held against each other.
const ALIKE: usize = 8;

/// How far two numbers of a Sequential are apart.
fn gap(before: &str, after: &str) -> Option<u64> {
    after.parse::<u64>().ok()?.checked_sub(before.parse().ok()?)
}

/// What weights are called, by torch, Keras and TensorFlow before it. Of a convolution of each channel by itself with one
/// of points behind it, the latter's comes first: what follows follows that.
const WEIGHTS: &[&str] =
    &["weight", "pointwise_kernel", "kernel", "weights", "depthwise_kernel", "depthwise_weights"];

/// Words that say what a layer is, and nothing of which one.
const KINDS: &[&str] = &[
    "bn",
    "norm",
    "batchnorm",
    "batch",
    "normalization",
    "conv",
    "convolution",
    "fc",
    "linear",
    "dense",
    "deconv",
    "res",
    "dwconv",
    "convtranspose",
    "transpose",
    "up",
];

/// The words and numbers of a name without those for kinds: `conv1_bn` and `conv1_conv` are both `1`.
fn stem(name: &str) -> Vec<String> {
    let mut name = name.to_lowercase();
    for d in ["1d", "2d", "3d"] {
        for kind in ["conv", "batchnorm", "bn"] {
            name = name.replace(&format!("{kind}{d}"), kind);
        }
    }
    let mut words: Vec<String> = Vec::new();
    let mut class = None;
    for c in name.chars() {
        let now = if c.is_ascii_digit() { 1 } else { u8::from(c.is_alphabetic()) * 2 };
        match words.last_mut() {
            Some(word) if class == Some(now) && now > 0 => word.push(c),
            _ if now > 0 => words.push(c.to_string()),
            _ => {}
        }
        class = Some(now);
    }
    words.retain(|word| !KINDS.contains(&word.as_str()));
    words
}

/// Tensors of the state dict by the layer that they are of, in file order.
fn layers(model: &Model) -> Vec<Layer<'_>> {
    let modules: HashMap<&str, &Module> = model.modules.iter().map(|m| (m.path.as_str(), m)).collect();
    let mut layers: Vec<Layer<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for tensor in model.tensors.iter().filter(|t| t.in_state_dict) {
        let name = tensor.name.strip_suffix(":0").unwrap_or(&tensor.name);
        let (path, mut leaf) = name.rsplit_once(['.', '/']).unwrap_or(("", name));
        let numbered = path.strip_suffix("/vars");
        let path = numbered.unwrap_or(path);
        if numbered.is_some() {
            leaf = variable(path, leaf, modules.get(path).copied());
        }
        let at = *places.entry(path).or_insert_with(|| {
            layers.push(Layer { path, slots: Vec::new() });
            layers.len() - 1
        });
        layers[at].slots.push((leaf, tensor.id));
    }
    layers
}

/// What Keras 3 keeps under this number.
fn variable<'a>(path: &str, number: &'a str, module: Option<&Module>) -> &'a str {
    let class =
        module.map_or_else(|| path.rsplit('/').next().unwrap_or(path).to_owned(), |m| m.class.clone());
    let class = class.to_lowercase().replace('_', "");
    let off = |name: &str| module.and_then(|m| attribute(m, name)) == Some(&Value::Bool(false));
    let names: Vec<&'static str> = if class.starts_with("batchnormalization") {
        let affine = [("gamma", off("scale")), ("beta", off("center"))];
        let affine = affine.into_iter().filter(|(_, off)| !off).map(|(name, _)| name);
        affine.chain(["moving_mean", "moving_variance"]).collect()
    } else if class.starts_with("separableconv") {
        vec!["depthwise_kernel", "pointwise_kernel", "bias"]
    } else if class.starts_with("depthwiseconv") {
        vec!["depthwise_kernel", "bias"]
    } else if class.starts_with("conv") || class.starts_with("dense") {
        vec!["kernel", "bias"]
    } else {
        return number;
    };
    number.parse().ok().and_then(|n: usize| names.get(n).copied()).unwrap_or(number)
}

fn attribute<'a>(module: &'a Module, name: &str) -> Option<&'a Value> {
    module.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn epsilon(norm: &Layer<'_>, modules: &HashMap<&str, &Module>, names: &Names) -> f64 {
    let module = modules.get(norm.path);
    let told = module.and_then(|m| attribute(m, "eps").or_else(|| attribute(m, "epsilon")));
    let keras = norm.slot(&["moving_mean"]).is_some();
    let usual = if keras { 1e-3 } else { 1e-5 };
    told.and_then(Value::as_float).or(names.epsilon).unwrap_or(usual)
}

/// The weight of a linear layer that has `count` outputs, and where they lie.
fn outputs(
    model: &Model,
    layer: &Layer<'_>,
    modules: &HashMap<&str, &Module>,
    count: u64,
) -> Option<(TensorId, Channels)> {
    let weight = layer.slot(WEIGHTS)?;
    let shape = &model.tensor(weight).shape;
    let rank = shape.len();
    if rank < 2 {
        return None;
    }
    let module = modules.get(layer.path).copied();
    let class = module.map(|m| m.class.to_lowercase());
    let hint = class.clone().unwrap_or_else(|| layer.path.to_lowercase());
    let turned = ["transpose", "deconv", "upconv", "up_conv"].iter().any(|word| hint.contains(word));
    let is = |channels: Option<Channels>| channels.filter(|c| c.count() == count).map(|c| (weight, c));
    if layer.slot(&["weight"]).is_none() {
        let alone = layer.slot(&["pointwise_kernel", "kernel", "weights"]).is_none();
        return match (alone, turned) {
            (true, _) => is(depthwise_outputs(shape)),
            (false, true) if rank > 2 => is(Channels::of(shape, &[rank - 2])),
            (false, _) => is(column_outputs(shape)),
        };
    }
    let groups = module.and_then(|m| attribute(m, "groups")).and_then(Value::as_int);
    let groups = groups.and_then(|g| u64::try_from(g).ok());
    let transposed = |groups| is(transposed_outputs(shape, groups));
    match (class, turned && rank > 2) {
        (Some(_), true) => transposed(groups.unwrap_or(1)),
        (Some(_), false) => is(conv_outputs(shape)),
        (None, true) if shape[1] > 0 && count.is_multiple_of(shape[1]) => transposed(count / shape[1]),
        (None, _) if shape[0] == count => is(conv_outputs(shape)),
        // A name that says convolution says transposed where it is.
        (None, _) if rank > 2 && !hint.contains("conv") => transposed(1),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_model::DType;

    use super::*;
    use crate::build::in_memory;
    use crate::fold::values;

    /// A model of tensors with this many elements each of 1, 2, …
    fn model(tensors: &[(&str, &[u64])]) -> Model {
        let mut model = Model::default();
        for (name, shape) in tensors {
            let count: u64 = shape.iter().product();
            let bytes = (0..count).flat_map(|i| (i as f32 + 1.0).to_le_bytes()).collect();
            model.push(in_memory(name, DType::F32, shape.to_vec(), bytes).unwrap());
        }
        model
    }

    fn norm(path: &str, n: u64) -> Vec<(String, Vec<u64>)> {
        let leaves = ["weight", "bias", "running_mean", "running_var"];
        leaves.iter().map(|leaf| (format!("{path}.{leaf}"), vec![n])).collect()
    }

    /// Linear layer and normalization of each fold, of layers that end in a `!` where they are normalizations of 4.
    fn pairs(layers: &[(&str, &[u64])]) -> Vec<(String, String)> {
        let mut tensors = Vec::new();
        for (path, shape) in layers {
            match path.strip_suffix('!') {
                Some(path) => tensors.extend(norm(path, shape[0])),
                None => tensors.push((format!("{path}.weight"), shape.to_vec())),
            }
        }
        let borrowed: Vec<(&str, &[u64])> = tensors.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
        let found = find_by_names(&model(&borrowed), &Names::default());
        found.folds.into_iter().map(|f| (f.name, f.after[0].name.clone())).collect()
    }

    #[test]
    fn names_tell_pairs() {
        let conv: &[u64] = &[4, 4, 1, 1];
        let bn: &[u64] = &[4];
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
        let cases: &[Case<'_>] = &[
            (&["conv1", "bn1!", "conv2", "bn2!"], &[("conv1", "bn1"), ("conv2", "bn2")]),
            (&["conv1", "conv2", "bn1!", "bn2!"], &[("conv1", "bn1"), ("conv2", "bn2")]),
            (&["x.0", "x.1!", "x.3", "x.4!"], &[("x.0", "x.1"), ("x.3", "x.4")]),
            // An activation may stand between.
            (&["x.0", "x.2!"], &[]),
            (&["d.downsample.0", "d.downsample.1!"], &[("d.downsample.0", "d.downsample.1")]),
            (&["a.conv", "a.bn!"], &[("a.conv", "a.bn")]),
            (&["a.depthwise", "a.depthwise_bn!"], &[("a.depthwise", "a.depthwise_bn")]),
            (&["conv_pw", "bn1!", "conv_dw", "bn2!"], &[("conv_pw", "bn1"), ("conv_dw", "bn2")]),
            (&["res2a_branch1", "bn2a_branch1!"], &[("res2a_branch1", "bn2a_branch1")]),
            // A part of what it follows.
            (&["stem.conv1", "stem.conv1.norm!"], &[("stem.conv1", "stem.conv1.norm")]),
            // Normalized first, then convolved.
            (&["norm1!", "conv1", "norm2!", "conv2"], &[("conv1", "norm2")]),
            (&["t.norm!", "t.conv"], &[]),
        ];
        for (layers, wanted) in cases {
            let layers: Vec<(&str, &[u64])> =
                layers.iter().map(|path| (*path, if path.ends_with('!') { bn } else { conv })).collect();
            let wanted: Vec<(String, String)> =
                wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(pairs(&layers), wanted, "{layers:?}");
        }
    }

    #[test]
    fn sizes_tell_what_does_not_go_together() {
        assert_eq!(pairs(&[("conv1", &[8, 4, 1, 1]), ("bn1!", &[4])]), []);
        let up = pairs(&[("up", &[8, 4, 2, 2]), ("bn!", &[4])]);
        assert_eq!(up, [("up".to_owned(), "bn".to_owned())]);
    }

    #[test]
    fn keras_layers_are_told_by_order() {
        let mut tensors: Vec<(String, Vec<u64>)> = vec![("conv2d/kernel:0".into(), vec![1, 1, 2, 3])];
        let bn = |path: &str, n: u64| {
            let leaves = ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"];
            leaves.map(|leaf| (format!("{path}/{leaf}"), vec![n]))
        };
        tensors.extend(bn("batch_normalization", 3));
        tensors.push(("depthwise_conv2d/depthwise_kernel:0".into(), vec![1, 1, 3, 1]));
        tensors.extend(bn("batch_normalization_1", 3));
        tensors.push(("conv2d_1/kernel:0".into(), vec![1, 1, 3, 3]));
        tensors.extend(bn("batch_normalization_2", 3));
        let borrowed: Vec<(&str, &[u64])> = tensors.iter().map(|(n, s)| (n.as_str(), &s[..])).collect();
        let model = model(&borrowed);
        let folds = find_by_names(&model, &Names::default()).folds;
        let names: Vec<&str> = folds.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["conv2d", "depthwise_conv2d", "conv2d_1"]);
        // gamma, beta, mean and variance are all 1, 2, 3: the scale is c/sqrt(c + 1e-3).
        let weight = values(&folds[0].folded_weight(&model).unwrap()).unwrap();
        for (i, value) in weight.iter().enumerate() {
            let c = (i % 3 + 1) as f64;
            let expected = (i + 1) as f64 * c / (c + 1e-3).sqrt();
            assert!((value - expected).abs() < 1e-6 * expected);
        }
        assert!(folds[0].guessed && folds[0].overflow(&model).unwrap().is_none());
        let bias = values(&folds[0].folded_bias(&model).unwrap()).unwrap();
        let expected = 2.0 - 2.0 * 2.0 / (2.0f64 + 1e-3).sqrt();
        assert!((bias[1] - expected).abs() < 1e-7);
    }
}
