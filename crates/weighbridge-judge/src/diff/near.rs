//! Nearly the same values under other names: what a fingerprint that bears small changes leads to, and samples bear out.

use std::collections::HashMap;

use weighbridge_convert::into::Step;
use weighbridge_measure::fingerprints;
use weighbridge_model::{Layout, Result, Tensor};

use super::arrange::{agreement, apply, close, rotary, turns, ways};
use super::bound::judged;
use super::side::{decoded, is_coded};
use super::work::Work;

/// Candidates that are looked at for each tensor.
const MOST: usize = 16;
/// How far sums of magnitudes may lie apart: of codes, and of what nobody quantized.
const WINDOW: (f64, f64) = (2e-2, 1e-3);
/// Share of sampled elements that must agree.
const AGREE: f64 = 0.5;

/// Tensors of a target by size and by the sum of their magnitudes.
pub(super) struct Nearest {
    /// Sizes without ones, ascending; in each, sums in ascending order.
    by_size: HashMap<Vec<u64>, Vec<(f64, usize)>>,
    window: f64,
}

impl Nearest {
    pub(super) fn of(work: &Work<'_>, targets: &[usize]) -> Result<Self> {
        let real = |t: &&usize| {
            let tensor = work.target.tensor(**t);
            tensor.dtype.is_real() && !matches!(tensor.layout, Layout::Opaque)
        };
        let real: Vec<usize> = targets.iter().filter(real).copied().collect();
        let decoded: Vec<Tensor> =
            real.iter().map(|&t| decoded(work.target.tensor(t))).collect::<Result<_>>()?;
        let sums = fingerprints(&decoded.iter().map(|t| (t, None)).collect::<Vec<_>>());
        let mut by_size: HashMap<Vec<u64>, Vec<(f64, usize)>> = HashMap::new();
        for (t, sum) in real.into_iter().zip(sums) {
            let size = size(&work.target.tensor(t).shape);
            by_size.entry(size).or_default().push((sum?.magnitude, t));
        }
        by_size.values_mut().for_each(|list| list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))));
        let window = if work.target.quantized() > 0 { WINDOW.0 } else { WINDOW.1 };
        Ok(Nearest { by_size, window })
    }

    /// The tensors whose magnitudes come to nearly as much as this one's, the nearest first.
    pub(super) fn of_tensor(&self, tensor: &Tensor) -> Result<Vec<usize>> {
        let Some(list) = self.by_size.get(&size(&tensor.shape)) else { return Ok(Vec::new()) };
        let decoded = decoded(tensor)?;
        let sum = fingerprints(&[(&decoded, None)]).remove(0)?.magnitude;
        let from = list.partition_point(|(other, _)| *other < sum * (1.0 - self.window));
        let within = list[from..].iter().take_while(|(other, _)| *other <= sum * (1.0 + self.window));
        // Of many, those around the middle of the window.
        let mut within: Vec<(f64, usize)> = within.map(|(other, t)| ((other - sum).abs(), *t)).collect();
        within.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        within.truncate(MOST);
        Ok(within.into_iter().map(|(_, t)| t).collect())
    }
}

/// Sizes without ones, ascending.
pub(super) fn size(shape: &[u64]) -> Vec<u64> {
    let mut size: Vec<u64> = shape.iter().copied().filter(|&d| d != 1).collect();
    size.sort_unstable();
    size
}

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let named = work.namesakes();
    let excused = |s: &usize| work.source.excused.contains_key(s);
    let unnamed = |s: &usize| !named.contains_key(s) && work.source.tensor(*s).dtype.is_real() && !excused(s);
    let open: Vec<usize> = work.open_sources().into_iter().filter(unnamed).collect();
    let free = |t: &usize| !work.suspected.get(t).is_some_and(super::work::Suspected::is_named);
    let targets: Vec<usize> = work.open_targets().into_iter().filter(free).collect();
    if open.is_empty() || targets.is_empty() {
        return Ok(());
    }
    let nearest = Nearest::of(work, &targets)?;
    for s in open {
        let ours = work.source.tensor(s).clone();
        let mut best: Option<(f64, usize, Vec<Step>)> = None;
        for t in nearest.of_tensor(&ours)? {
            if work.target_done[t] {
                continue;
            }
            let theirs = work.target.tensor(t);
            let rotary = rotary(&ours.name, &ours.shape, &theirs.shape);
            for steps in ways(&ours.shape, &theirs.shape).into_iter().chain(rotary) {
                let Some(arranged) = apply(&ours, &steps)? else { continue };
                let agreement = agreement(&arranged, theirs, &close(theirs))?;
                if best.as_ref().is_none_or(|b| agreement > b.0) {
                    best = Some((agreement, t, steps));
                }
            }
        }
        let Some((_, t, steps)) = best.filter(|b| b.0 >= AGREE) else { continue };
        let theirs = work.target.tensor(t);
        let Some(arranged) = apply(&ours, &steps)? else { continue };
        let judged = judged(&arranged, theirs)?;
        let turned = turns(&steps, &ours.shape);
        let why = if is_coded(theirs) {
            "paired by nearly the same values"
        } else {
            "paired by most of its values"
        };
        work.one(s, t, judged, turned, vec![why.to_owned()], false);
    }
    Ok(())
}
