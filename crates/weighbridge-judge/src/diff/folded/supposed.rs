//! Folds that no graph and no rule of names tells of: each normalization with the linear layers that come shortly before
//! it. Values decide which of them there is.

use std::collections::{BTreeMap, HashSet};

use weighbridge_convert::into::Slot;
use weighbridge_graph::fold::{Does, Fold, Step};
use weighbridge_model::storage::Channels;
use weighbridge_model::{Layout, TensorId, element_count};

use crate::diff::side::Side;

/// Linear layers that are tried for each normalization.
const BEFORE: usize = 3;

/// Tensors of a layer by what they are.
#[derive(Default)]
struct Found {
    place: usize,
    slots: BTreeMap<Slot, TensorId>,
}

/// Folds of normalizations that are in none of `known`.
pub(super) fn folds(side: &Side, known: &[Fold]) -> Vec<Fold> {
    let known: HashSet<TensorId> = known.iter().flat_map(Fold::tensors).collect();
    let mut layers: BTreeMap<&str, Found> = BTreeMap::new();
    for sketch in &side.sketches {
        let layer = layers.entry(&sketch.layer).or_insert(Found { place: sketch.place, ..Found::default() });
        layer.slots.entry(sketch.slot.clone()).or_insert(sketch.id);
    }
    let plain = |id: &TensorId| {
        let tensor = side.model.tensor(*id);
        tensor.dtype.is_float() && tensor.shape.len() >= 2 && matches!(tensor.layout, Layout::Strided(_))
    };
    let mut linear: Vec<(usize, &str, TensorId)> = Vec::new();
    for (path, layer) in &layers {
        if let Some(weight) = layer.slots.get(&Slot::Weight).filter(|id| plain(id)) {
            linear.push((layer.place, path, *weight));
        }
    }
    linear.sort_unstable();
    let mut folds = Vec::new();
    for (path, layer) in &layers {
        let slot = |slot: Slot| layer.slots.get(&slot).copied();
        let (Some(mean), Some(variance)) = (slot(Slot::Mean), slot(Slot::Variance)) else { continue };
        if known.contains(&mean) {
            continue;
        }
        let does = Does::Norm {
            gamma: slot(Slot::Weight),
            beta: slot(Slot::Bias),
            mean,
            variance,
            factor: slot(Slot::Factor),
            epsilon: 1e-5,
        };
        let after = vec![Step { name: (*path).to_owned(), node: None, does }];
        let count = side.model.tensor(mean).count();
        let end = linear.partition_point(|(place, ..)| *place <= layer.place);
        for &(_, linear_path, weight) in linear[..end].iter().rev().take(BEFORE) {
            for outputs in channels(&side.model.tensor(weight).shape, count) {
                folds.push(Fold {
                    name: linear_path.to_owned(),
                    node: None,
                    weight,
                    bias: layers[linear_path].slots.get(&Slot::Bias).copied(),
                    weight_gain: 1.0,
                    bias_gain: 1.0,
                    inputs: None,
                    outputs,
                    before: Vec::new(),
                    after: after.clone(),
                    input: None,
                    output: None,
                    guessed: true,
                });
            }
        }
    }
    folds
}

/// The dimensions of a weight along which so many channels may lie: one, or the last two of a depthwise kernel.
fn channels(shape: &[u64], count: u64) -> Vec<Channels> {
    let one = (0..shape.len()).filter(|&axis| shape[axis] == count).map(|axis| vec![axis]);
    let rank = shape.len();
    let last = (rank > 2).then(|| vec![rank - 2, rank - 1]);
    let last = last.filter(|_| element_count(&shape[rank - 2..]) == Some(count));
    one.chain(last).filter_map(|axes| Channels::of(shape, &axes)).collect()
}
