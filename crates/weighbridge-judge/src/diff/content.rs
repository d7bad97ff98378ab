//! The same values under other names, in another order of dimensions, in another type: found by a hash without regard to
//! order, then compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use weighbridge_convert::into::Step;
use weighbridge_measure::{Multiset, fingerprints};
use weighbridge_model::{DType, Layout, Result, Tensor};

use super::arrange::{agreement, apply, rotary, turns, ways};
use super::bound::{Judged, judged};
use super::pair::Relation;
use super::side::{Side, decoded, is_coded};
use super::work::Work;

/// Tensors of the other side that are tried for one: all have the same values.
const MOST: usize = 8;

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    pair(work, None, None)?;
    // Narrower types: what their values would be is compared with what they are.
    let types = |side: &Side, open: Vec<usize>| -> BTreeSet<DType> {
        let narrow = |t: &Tensor| t.dtype.is_float() && !is_coded(t) && t.dtype != DType::F64;
        open.into_iter().map(|i| side.tensor(i)).filter(|t| narrow(t)).map(|t| t.dtype).collect()
    };
    let (ours, theirs) = (types(work.source, work.open_sources()), types(work.target, work.open_targets()));
    for &to in &theirs {
        if ours.iter().any(|from| from.bits() > to.bits()) {
            pair(work, Some(to), None)?;
        }
    }
    for &to in &ours {
        if theirs.iter().any(|from| from.bits() > to.bits()) {
            pair(work, None, Some(to))?;
        }
    }
    kept_once(work)
}

/// Exporters keep equal tensors once: what is left on one side may stand on the other beside its own.
fn kept_once(work: &mut Work<'_>) -> Result<()> {
    for left_is_source in [true, false] {
        let (ours, theirs) =
            if left_is_source { (work.source, work.target) } else { (work.target, work.source) };
        if theirs.model.graph.is_none() {
            continue;
        }
        let left = if left_is_source { work.open_sources() } else { work.open_targets() };
        let left: Vec<usize> = left.into_iter().filter(|i| !ours.excused.contains_key(i)).collect();
        let sizes: BTreeSet<u64> = left.iter().map(|&i| ours.tensor(i).count()).collect();
        let there: Vec<usize> =
            (0..theirs.len()).filter(|&i| sizes.contains(&theirs.tensor(i).count())).collect();
        if left.is_empty() || there.is_empty() {
            continue;
        }
        let (left, there) = (sets(ours, left, None)?, sets(theirs, there, None)?);
        for (set, left) in left {
            for (i, &j) in left.iter().flat_map(|&i| there.get(&set).and_then(|t| t.first()).map(|j| (i, j)))
            {
                let (s, t) = if left_is_source { (i, j) } else { (j, i) };
                if let Some((steps, judged)) = fits(work.source.tensor(s), work.target.tensor(t))? {
                    let turned = turns(&steps, &work.source.tensor(s).shape);
                    let why = vec!["equal tensors are kept once".to_owned()];
                    work.one(s, t, judged, turned, why, false);
                }
            }
        }
    }
    Ok(())
}

/// Tensors by the values that they hold, once rounded to a type.
fn sets(side: &Side, open: Vec<usize>, to: Option<DType>) -> Result<BTreeMap<Multiset, Vec<usize>>> {
    // An excused tensor is looked at as well, as a number of the graph may be a weight of the other side.
    let real = |i: &usize| {
        let tensor = side.tensor(*i);
        tensor.dtype.is_real() && tensor.count() > 0 && !matches!(tensor.layout, Layout::Opaque)
    };
    let open: Vec<usize> = open.into_iter().filter(real).collect();
    let decoded: Vec<Tensor> = open.iter().map(|&i| decoded(side.tensor(i))).collect::<Result<_>>()?;
    let rounding = |t: &Tensor| to.filter(|to| t.dtype.is_float() && t.dtype.bits() > to.bits());
    let found = fingerprints(&decoded.iter().map(|t| (t, rounding(t))).collect::<Vec<_>>());
    let mut sets: BTreeMap<Multiset, Vec<usize>> = BTreeMap::new();
    for (i, found) in open.into_iter().zip(found) {
        sets.entry(found?.set).or_default().push(i);
    }
    Ok(sets)
}

fn pair(work: &mut Work<'_>, source_to: Option<DType>, target_to: Option<DType>) -> Result<()> {
    let (sources, targets) = (work.open_sources(), work.open_targets());
    if sources.is_empty() || targets.is_empty() {
        return Ok(());
    }
    let sources = sets(work.source, sources, source_to)?;
    let targets = sets(work.target, targets, target_to)?;
    let mut found = Vec::new();
    for (set, sources) in &sources {
        let Some(targets) = targets.get(set) else { continue };
        let several = sources.len() > 1 || targets.len() > 1;
        // Which of several that are equal is which cannot be told: names where they help, then order.
        let names: HashMap<&str, usize> =
            targets.iter().map(|&t| (work.target.tensor(t).name.as_str(), t)).collect();
        let excused = |s: &usize| work.source.excused.contains_key(s);
        let (aside, needed): (Vec<usize>, Vec<usize>) = sources.iter().partition(|s| excused(s));
        // Of two that need no counterpart none is looked for.
        let of_aside = |t: &usize| work.target.excused.contains_key(t);
        let (mut spare, mut free): (BTreeSet<usize>, BTreeSet<usize>) =
            targets.iter().partition(|t| of_aside(t));
        for (s, aside) in needed.into_iter().map(|s| (s, false)).chain(aside.into_iter().map(|s| (s, true))) {
            let namesake = names.get(work.source.tensor(s).name.as_str()).copied();
            let namesake = namesake.filter(|t| free.contains(t) || !aside && spare.contains(t));
            let spares = spare.iter().copied().take(if aside { 0 } else { MOST });
            let likely = namesake.into_iter().chain(free.iter().copied().take(MOST)).chain(spares);
            for t in likely.collect::<Vec<_>>() {
                // Single numbers are like too many of another type.
                let (ours, theirs) = (work.source.tensor(s), work.target.tensor(t));
                if set.count == 1 && ours.dtype != theirs.dtype {
                    continue;
                }
                if let Some((steps, judged)) = fits(ours, theirs)? {
                    let _ = free.remove(&t) || spare.remove(&t);
                    found.push((s, t, steps, judged, several));
                    break;
                }
            }
        }
    }
    settle(work, found);
    Ok(())
}

/// How a tensor with the same values becomes the other, where it does.
fn fits(source: &Tensor, target: &Tensor) -> Result<Option<(Vec<Step>, Judged)>> {
    let narrow = source.dtype != target.dtype;
    let rotary = rotary(&source.name, &source.shape, &target.shape);
    for steps in ways(&source.shape, &target.shape).into_iter().chain(rotary) {
        let Some(arranged) = apply(source, &steps)? else { continue };
        let close = |_, x: f64, y: f64| x == y || narrow && (x - y).abs() <= 0.1 * x.abs().max(y.abs());
        if agreement(&arranged, target, &close)? < 1.0 {
            continue;
        }
        let judged = judged(&arranged, target)?;
        if judged.holds() {
            return Ok(Some((steps, judged)));
        }
    }
    Ok(None)
}

/// Takes the pairs, but for those whose names say otherwise on both sides: these are exchanged.
fn settle(work: &mut Work<'_>, found: Vec<(usize, usize, Vec<Step>, Judged, bool)>) {
    let namesakes = work.namesakes();
    for (s, t, steps, judged, several) in found {
        let owner = work.suspected.get(&t).filter(|x| x.is_named()).map(|x| x.source);
        match (namesakes.get(&s), owner) {
            (Some(&named), Some(owner)) if named != t && owner != s => {
                let name = work.target.tensor(t).name.clone();
                if let Some(suspected) = work.suspected.get_mut(&named) {
                    suspected.why.push(format!("its values stand in '{name}': exchanged"));
                }
            }
            _ => {
                let turned = turns(&steps, &work.source.tensor(s).shape);
                let mut why = Vec::new();
                if work.source.tensor(s).name != work.target.tensor(t).name {
                    why.push(
                        if several { "one of several with the same values" } else { "by its values" }.into(),
                    );
                }
                debug_assert!(judged.relation != Relation::Changed);
                work.one(s, t, judged, turned, why, several);
            }
        }
    }
}
