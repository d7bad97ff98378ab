//! Which bias stands beside a target's weight.

use std::collections::HashMap;

use weighbridge_convert::into::Slot;
use weighbridge_model::{Layout, Result, Tensor};

use crate::diff::arrange::{agreement, close, value};
use crate::diff::work::Work;

/// Vectors whose first value is nearest that are looked at.
const MOST: usize = 16;
/// Share of sampled elements that must agree.
const ALL: f64 = 0.9;

/// The vectors of a target that may be biases.
pub(in crate::diff) struct Biases {
    /// By the node that uses them.
    by_place: HashMap<usize, Vec<usize>>,
    by_layer: HashMap<String, Vec<usize>>,
    /// By their size; in each, first values in ascending order.
    by_first: HashMap<u64, Vec<(f64, usize)>>,
}

impl Biases {
    pub(in crate::diff) fn of(work: &Work<'_>) -> Result<Self> {
        let mut biases =
            Biases { by_place: HashMap::new(), by_layer: HashMap::new(), by_first: HashMap::new() };
        for t in work.open_targets() {
            let (tensor, sketch) = (work.target.tensor(t), &work.target.sketches[t]);
            let vector = tensor.shape.iter().filter(|&&d| d != 1).count() <= 1;
            let numbers = tensor.dtype.is_real() && !matches!(tensor.layout, Layout::Opaque);
            if !vector || !numbers || tensor.count() == 0 {
                continue;
            }
            if sketch.slot == Slot::Bias {
                biases.by_place.entry(sketch.place).or_default().push(t);
                biases.by_layer.entry(sketch.layer.clone()).or_default().push(t);
            }
            let first = value(tensor, 0)?;
            if first.is_finite() {
                biases.by_first.entry(tensor.count()).or_default().push((first, t));
            }
        }
        for list in biases.by_first.values_mut() {
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        Ok(biases)
    }

    /// The bias of a weight's layer or node, or whichever has the values that are expected.
    pub(in crate::diff) fn beside(
        &self,
        work: &Work<'_>,
        weight: usize,
        expected: &Tensor,
        terms: &[f64],
    ) -> Result<Option<usize>> {
        let of = &work.target.sketches[weight];
        let free = |t: &&usize| {
            !work.target_done[**t] && **t != weight && work.target.tensor(**t).count() == expected.count()
        };
        let node = work.target.model.graph.is_some().then(|| self.by_place.get(&of.place)).flatten();
        let layer = (!of.layer.is_empty()).then(|| self.by_layer.get(&of.layer)).flatten();
        if let Some(&t) = node.into_iter().chain(layer).flatten().find(free) {
            return Ok(Some(t));
        }
        let Some(list) = self.by_first.get(&expected.count()) else { return Ok(None) };
        let first = value(expected, 0)?;
        let middle = list.partition_point(|(x, _)| *x < first);
        let around = &list[middle.saturating_sub(MOST / 2)..list.len().min(middle + MOST / 2)];
        for (_, t) in around.iter().filter(|(_, t)| free(&t)) {
            let tensor = work.target.tensor(*t);
            let close = close(tensor);
            let near = |i: u64, x: f64, y: f64| close(i, x, y) || (x - y).abs() <= 1e-5 * terms[i as usize];
            if agreement(expected, tensor, &near)? >= ALL {
                return Ok(Some(*t));
            }
        }
        Ok(None)
    }
}
