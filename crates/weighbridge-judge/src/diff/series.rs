//! The same network at several times: which layers moved, how far, and how their distributions did.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;
use weighbridge_convert::into::{Match, Options, Slot, sketches};
use weighbridge_measure::{Shift, compare, shift};
use weighbridge_model::{Error, Model, Result, Role, TensorId};

use super::side::decoded;

/// A layer over time. A normalization's running statistics are a layer of their own beside its parameters.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Its path in the first model; empty for tensors that belong to none.
    pub path: String,
    /// Whether these are its running statistics and other buffers.
    pub buffers: bool,
    /// Its tensors, by their names in the first model.
    pub tensors: Vec<String>,
    /// From each model to the next: the norm of the difference relative to the norm before. `None` where a tensor is
    /// missing, has another shape, or was all zero.
    pub steps: Vec<Option<f64>>,
    /// The same from the first model to the last.
    pub change: Option<f64>,
    /// How far the values of its largest tensor moved as a distribution, from the first model to the last.
    pub shift: Option<Shift>,
}

/// Layers over time, the one that moved furthest first; those without a change that can be told come last.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// The layers.
    pub layers: Vec<Layer>,
    /// Tensors of the first model that are not in all others, or have other shapes there.
    pub missing: Vec<String>,
}

/// A tensor's part in its layer's changes: squares of the difference and of what was before.
#[derive(Clone, Copy, Default)]
struct Part {
    difference: f64,
    before: f64,
}

/// Follows the tensors of the first of several models through the others.
///
/// # Errors
/// Fewer than two models; a failed read.
pub fn over_time(models: &[&Model]) -> Result<Series> {
    let [first, _, ..] = models else {
        return Err(Error::Usage { what: "two models or more are compared over time".into() });
    };
    let mut series = Series::default();
    // For each model, its tensor for each of the first one's.
    let mut places: Vec<HashMap<TensorId, TensorId>> =
        vec![first.tensors.iter().map(|t| (t.id, t.id)).collect()];
    for model in &models[1..] {
        let matched = Match::of(first, model, &Options::default());
        let plain = matched.pairs.into_iter().filter(|p| p.steps.is_empty());
        places.push(plain.map(|p| (p.source, p.target)).collect());
    }
    let mut groups: BTreeMap<(usize, bool), (String, Vec<TensorId>)> = BTreeMap::new();
    let mut order: HashMap<(String, bool), usize> = HashMap::new();
    for (tensor, sketch) in first.tensors.iter().zip(sketches(first)) {
        let followed = tensor.in_state_dict && tensor.dtype.is_real() && tensor.count() > 0;
        if !followed || matches!(sketch.slot, Slot::Batches | Slot::Factor) || tensor.role == Role::Constant {
            continue;
        }
        if places.iter().any(|place| !place.contains_key(&tensor.id)) {
            series.missing.push(tensor.name.clone());
            continue;
        }
        let buffers = tensor.role == Role::Buffer || matches!(sketch.slot, Slot::Mean | Slot::Variance);
        let count = order.len();
        let at = *order.entry((sketch.layer.clone(), buffers)).or_insert(count);
        groups.entry((at, buffers)).or_insert_with(|| (sketch.layer, Vec::new())).1.push(tensor.id);
    }
    let layers: Vec<Result<Layer>> = groups
        .into_par_iter()
        .map(|((_, buffers), (path, tensors))| layer(models, &places, path, buffers, &tensors))
        .collect();
    series.layers = layers.into_iter().collect::<Result<_>>()?;
    series.layers.sort_by(|a, b| {
        let key = |l: &Layer| l.change.unwrap_or(f64::NEG_INFINITY);
        key(b).total_cmp(&key(a))
    });
    Ok(series)
}

fn layer(
    models: &[&Model],
    places: &[HashMap<TensorId, TensorId>],
    path: String,
    buffers: bool,
    tensors: &[TensorId],
) -> Result<Layer> {
    let at = |model: usize, id: TensorId| decoded(models[model].tensor(places[model][&id]));
    let change = |from: usize, to: usize| -> Result<Option<f64>> {
        let mut all = Part::default();
        for &id in tensors {
            let compared = compare(&at(from, id)?, &at(to, id)?, &|_, _, _| 0.0)?;
            all.difference += compared.square_error;
            all.before += compared.aa;
            if !compared.max_abs.is_finite() {
                return Ok(None);
            }
        }
        Ok(match (all.difference, all.before) {
            (0.0, _) => Some(0.0),
            (_, 0.0) => None,
            (difference, before) => Some((difference / before).sqrt()),
        })
    };
    let last = models.len() - 1;
    let steps: Vec<Option<f64>> = (0..last).map(|i| change(i, i + 1)).collect::<Result<_>>()?;
    let overall = if last == 1 { steps[0] } else { change(0, last)? };
    let largest =
        tensors.iter().copied().max_by_key(|id| (models[0].tensor(*id).count(), std::cmp::Reverse(*id)));
    let moved = match largest {
        Some(id) if overall != Some(0.0) => shift(&at(0, id)?, &at(last, id)?)?,
        _ => None,
    };
    let tensors = tensors.iter().map(|id| models[0].tensor(*id).name.clone()).collect();
    Ok(Layer { path, buffers, tensors, steps, change: overall, shift: moved })
}
