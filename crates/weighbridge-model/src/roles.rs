//! What tensors are for, inferred from their names and neighbours where the file does not say.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::model::{is_optimizer_key, is_weight_key};
use crate::{DType, Model, Role, Tensor};

/// Path segments that wrappers put into names: DistributedDataParallel and DataParallel (`module`),
/// torch.compile (`_orig_mod`), FSDP and activation checkpointing.
const WRAPPERS: &[&str] =
    &["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_module"];

/// Last name segments of tensors that modules register as buffers.
const BUFFERS: &[&str] = &[
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "position_ids",
    "token_type_ids",
    "inv_freq",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
    "masked_bias",
    "anchors",
    "anchor_grid",
    "cos_cached",
    "sin_cached",
    "weight_u",
    "weight_v",
];

/// A scheme that stores weights as codes beside scales, so that raw figures say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// Its name for people.
    pub name: &'static str,
    /// Whether this tensor holds the codes (rather than scales, zero points or tables).
    pub codes: bool,
}

/// The names of a model, for telling a tensor's scheme by its neighbours.
pub struct Names<'a>(HashSet<&'a str>);

impl<'a> Names<'a> {
    /// Collects the names of `tensors`.
    pub fn of(tensors: &'a [Tensor]) -> Self {
        Names(tensors.iter().map(|t| t.name.as_str()).collect())
    }

    fn has(&self, parent: &str, leaf: &str) -> bool {
        let name = if parent.is_empty() { leaf.to_owned() } else { format!("{parent}.{leaf}") };
        self.0.contains(name.as_str())
    }

    /// The packed scheme that `tensor` is part of.
    pub fn scheme(&self, tensor: &Tensor) -> Option<Scheme> {
        let (parent, leaf) = split(&tensor.name);
        let scheme = |name, codes| Some(Scheme { name, codes });
        if self.has(parent, "qweight") && self.has(parent, "scales") {
            // GPTQ packs along the input and keeps g_idx; AWQ packs along the output and does not.
            let name = if self.has(parent, "g_idx") { "GPTQ" } else { "AWQ or GPTQ" };
            match leaf {
                "qweight" | "qzeros" => return scheme(name, true),
                "scales" | "g_idx" => return scheme(name, false),
                _ => {}
            }
        }
        if leaf == "SCB" || leaf == "weight_format" {
            return scheme("bitsandbytes int8", false);
        }
        if leaf == "weight" && tensor.dtype == DType::I8 && self.has(parent, "SCB") {
            return scheme("bitsandbytes int8", true);
        }
        if leaf == "weight" && tensor.dtype == DType::U8 && self.has(parent, "weight.absmax") {
            return scheme("bitsandbytes 4-bit", true);
        }
        if tensor.name.contains(".weight.quant_state.")
            || (parent.ends_with(".weight")
                && matches!(leaf, "absmax" | "quant_map" | "nested_absmax" | "nested_quant_map"))
        {
            return scheme("bitsandbytes 4-bit", false);
        }
        for (scale, name) in [("weight_scale_inv", "FP8 blocks"), ("weight_scale", "scaled FP8 or INT8")] {
            if leaf == scale || (leaf == "input_scale" && self.has(parent, scale)) {
                return scheme(name, false);
            }
            if leaf == "weight" && tensor.dtype.bits() <= 8 && self.has(parent, scale) {
                return scheme(name, true);
            }
        }
        None
    }
}

/// Parent path and last segment of a dotted name.
pub fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// A name as path segments and what it ends in, for a tree. TensorFlow's formats and HDF5 separate with `/`, and where
/// TensorFlow Lite joins names of operators that became one, the first of them is the path.
pub fn path<'a>(name: &'a str, format: &str) -> (Vec<&'a str>, &'a str) {
    let separator = match format {
        "keras" | "tflite" | "tensorflow" => '/',
        _ => '.',
    };
    let first = name.split(';').next().filter(|_| separator == '/').unwrap_or(name);
    match first.rsplit_once(separator) {
        Some((path, leaf)) => (path.split(separator).collect(), &name[first.len() - leaf.len()..]),
        None => (Vec::new(), name),
    }
}

/// Replaces guessed roles by better guesses; roles that the file told stay.
pub fn assign(model: &mut Model) {
    let roles: Vec<Option<Role>> = {
        let names = Names::of(&model.tensors);
        let weights = model.weights_part().map(|p| p.key.as_str());
        let aside = |t: &Tensor| weights.and_then(|weights| aside(&t.name, weights));
        let role = |t: &Tensor| aside(t).unwrap_or_else(|| guess(t, &names));
        model.tensors.iter().map(|t| t.role_guessed.then(|| role(t))).collect()
    };
    for (tensor, role) in model.tensors.iter_mut().zip(roles) {
        if let Some(role) = role {
            tensor.role = role;
        }
    }
}

/// The role of a tensor that a checkpoint keeps beside its weights; `None` within weights.
fn aside(name: &str, weights: &str) -> Option<Role> {
    let key = name.split('.').next().unwrap_or(name);
    if key == weights || is_weight_key(key) {
        None
    } else if is_optimizer_key(key) {
        Some(Role::OptimizerState)
    } else {
        Some(Role::Other)
    }
}

fn guess(tensor: &Tensor, names: &Names<'_>) -> Role {
    let (_, leaf) = split(&tensor.name);
    if tensor.role != Role::Parameter {
        tensor.role
    } else if names.scheme(tensor).is_some() {
        Role::Packed
    } else if BUFFERS.contains(&leaf) || !tensor.dtype.is_float() && tensor.dtype.is_real() {
        // Autograd trains floats only, so integers and truth values were registered as buffers.
        Role::Buffer
    } else {
        Role::Parameter
    }
}

/// The name without the segments that wrappers add; a leading `module` only where `ddp` says that every
/// name has it.
pub fn unwrapped(name: &str, ddp: bool) -> Cow<'_, str> {
    let name = if ddp { name.strip_prefix("module.").unwrap_or(name) } else { name };
    if !name.split('.').any(|s| WRAPPERS.contains(&s)) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.split('.').filter(|s| !WRAPPERS.contains(s)).collect::<Vec<_>>().join("."))
}

/// Whether every name begins with `module.`, as a DataParallel wrapper leaves them.
pub fn is_data_parallel<'a>(mut names: impl Iterator<Item = &'a str>) -> bool {
    names.next().is_some_and(|first| first.starts_with("module.")) && names.all(|n| n.starts_with("module."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_by_the_formats_separator() {
        assert_eq!(path("a.b/c.d", "pytorch"), (vec!["a", "b/c"], "d"));
        assert_eq!(path("a/b.c/d:0", "keras"), (vec!["a", "b.c"], "d:0"));
        assert_eq!(path("a/b;a/c", "tflite"), (vec!["a"], "b;a/c"));
        assert_eq!(path("a", "keras"), (vec![], "a"));
    }

    #[test]
    fn wrappers_are_seen_through_anywhere_and_module_only_at_the_front() {
        assert_eq!(unwrapped("module.layer.module.weight", true), "layer.module.weight");
        assert_eq!(unwrapped("module.weight", false), "module.weight");
        assert_eq!(unwrapped("_orig_mod.a._orig_mod.b", false), "a.b");
    }
}
