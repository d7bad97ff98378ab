//! What is left: pairs by name whose values differ, and what has no counterpart.

use weighbridge_convert::into::{Kind, Slot};
use weighbridge_measure::fingerprints;
use weighbridge_model::Result;

use super::arrange::turns;
use super::bound::Judged;
use super::pair::Relation;
use super::side::{Side, decoded};
use super::work::{Explained, Work};

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    changed(work);
    work.zeros = [zeros(work.source, work.open_sources())?, zeros(work.target, work.open_targets())?];
    work.numbers = [numbers(work.source, work.open_sources())?, numbers(work.target, work.open_targets())?];
    Ok(())
}

/// Tensors of a graph that are one number throughout and that no layer takes as its own: exporters fold what fills
/// masks and pads into such.
fn numbers(side: &Side, open: Vec<usize>) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    let of_graph = side.model.graph.as_ref().is_some_and(|graph| graph.program.is_some());
    for i in open.into_iter().filter(|_| of_graph) {
        let (tensor, sketch) = (side.tensor(i), &side.sketches[i]);
        let free = sketch.kind != Kind::Recurrent && matches!(sketch.slot, Slot::Other(_));
        if free && tensor.dtype.is_real() && !side.excused.contains_key(&i) {
            let found = fingerprints(&[(&decoded(tensor)?, None)]).remove(0)?;
            if found.set.is_constant() {
                numbers.push(i);
            }
        }
    }
    Ok(numbers)
}

/// Biases of zeros, which one framework keeps and another leaves out.
fn zeros(side: &Side, open: Vec<usize>) -> Result<Vec<usize>> {
    let mut zeros = Vec::new();
    for i in open {
        let tensor = side.tensor(i);
        if side.sketches[i].slot == Slot::Bias && tensor.dtype.is_real() && !side.excused.contains_key(&i) {
            let found = fingerprints(&[(&decoded(tensor)?, None)]).remove(0)?;
            if found.set.is_constant() && found.magnitude == 0.0 {
                zeros.push(i);
            }
        }
    }
    Ok(zeros)
}

fn changed(work: &mut Work<'_>) {
    let mut suspected: Vec<_> = std::mem::take(&mut work.suspected).into_iter().collect();
    suspected.sort_by_key(|(target, _)| *target);
    for (t, mut suspected) in suspected {
        let s = suspected.source;
        // By shape alone only what neither side has explained otherwise.
        if work.target_done[t] || work.source_done[s] && !suspected.is_named() {
            continue;
        }
        let guess = !suspected.is_named();
        if guess {
            suspected.why.push("paired by shape alone".into());
        }
        match (suspected.judged, suspected.steps) {
            (Some(judged), Ok(steps)) => {
                let turned = turns(&steps, &work.source.tensor(s).shape);
                let judged = Judged { relation: Relation::Changed, ..judged };
                work.one(s, t, judged, turned, suspected.why, guess);
            }
            // Another name and another shape: nothing says that these belong together.
            (None, Err(_)) if !work.same_leaf(s, t) => {}
            _ => work.explain(Explained {
                source: vec![s],
                target: vec![t],
                relation: Relation::Changed,
                figures: None,
                why: suspected.why,
                guess,
            }),
        }
    }
}
