//! Normalizations that went into the linear layer before them: what should have come of it is computed and compared,
//! weight and bias.

mod biases;
mod supposed;

use std::collections::HashMap;
use std::sync::Arc;

use rayon::prelude::*;
use weighbridge_convert::into::Step;
use weighbridge_graph::fold::{Does, Fold, find, values};
use weighbridge_model::{DType, Memory, Model, Place, Result, Tensor};

pub(super) use biases::Biases;

use super::arrange::{agreement, apply, in_memory, ways};
use super::bound::{Judged, computed};
use super::near::Nearest;
use super::pair::{Figures, Relation};
use super::side::is_coded;
use super::work::{Explained, Work};

/// What frameworks add to variances: tried where names tell of a normalization and nothing of that.
const EPSILONS: [f64; 6] = [1e-5, 1e-3, 1e-6, 1e-4, 1e-8, 0.0];
/// Share of sampled elements that must be as computed for a weight to be taken for the folded one.
const MOST: f64 = 0.5;
/// That for one which stands in another's place.
const ALL: f64 = 0.9;

/// A target's weight that is a fold's.
struct Candidate {
    target: usize,
    agreement: f64,
    fold: Fold,
    steps: Vec<Step>,
}

/// What comparing a fold came to.
struct Outcome {
    targets: Vec<usize>,
    relation: Relation,
    figures: Option<Figures>,
    why: Vec<String>,
}

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    if work.open_targets().is_empty() {
        return Ok(());
    }
    let mut folds = find(&work.source.model).folds;
    folds.extend(supposed::folds(work.source, &folds));
    folds.retain(|f| f.before.len() + f.after.len() > 0 && !work.source_done[f.weight.0 as usize]);
    if folds.is_empty() {
        return Ok(());
    }
    // What only scales a layer's input leaves its bias as it is, which has been found then.
    for fold in folds.iter_mut().filter(|fold| fold.after.is_empty()) {
        fold.bias = fold.bias.filter(|bias| !work.source_done[bias.0 as usize]);
    }
    let mut suspects: HashMap<usize, Vec<usize>> = HashMap::new();
    for (&target, suspected) in &work.suspected {
        suspects.entry(suspected.source).or_default().push(target);
    }
    suspects.values_mut().for_each(|targets| targets.sort_unstable());
    let by_name: Vec<Result<Option<Candidate>>> = folds
        .par_iter()
        .map(|fold| best(work, fold, suspects.get(&(fold.weight.0 as usize)).map_or(&[][..], Vec::as_slice)))
        .collect();
    let biases = Biases::of(work)?;
    let mut nearest = None;
    for (fold, found) in folds.iter().zip(by_name) {
        let weight = fold.weight.0 as usize;
        if fold.tensors().iter().any(|id| work.source_done[id.0 as usize]) {
            continue;
        }
        let suspect = suspects.get(&weight).and_then(|targets| targets.first()).copied();
        let suspect = suspect.filter(|t| !work.target_done[*t]);
        let found = found?.filter(|c| !work.target_done[c.target]);
        if let Some(candidate) = found.filter(|c| c.agreement >= MOST) {
            let outcome = compared(work, &biases, &candidate)?;
            settle(work, &candidate.fold, outcome);
            continue;
        }
        let nearest = match &mut nearest {
            Some(nearest) => nearest,
            none => none.insert(Nearest::of(work, &work.open_targets())?),
        };
        let mut likely = Vec::new();
        for fold in variants(fold) {
            likely.extend(nearest.of_tensor(&fold.folded_weight(&work.source.model)?)?);
        }
        likely.sort_unstable();
        likely.dedup();
        likely.retain(|t| !work.target_done[*t]);
        let Some(elsewhere) = best(work, fold, &likely)?.filter(|c| c.agreement >= MOST) else { continue };
        let named = suspect.and_then(|t| Some((t, work.suspected.get(&t)?.is_named())));
        let taken = work.suspected.get(&elsewhere.target).is_some_and(|s| s.is_named() && s.source != weight);
        match named {
            // Its name says that it is another's, and something else stands under its own.
            Some((t, true)) if taken && elsewhere.agreement >= ALL => {
                let name = work.target.tensor(elsewhere.target).name.clone();
                let steps = work.suspected[&t].steps.clone().unwrap_or_default();
                let mut outcome = compared(work, &biases, &Candidate { target: t, steps, ..elsewhere })?;
                outcome.relation = Relation::Changed;
                outcome.why.insert(0, format!("what it should be stands in '{name}': exchanged"));
                settle(work, fold, outcome);
            }
            _ => {
                let outcome = compared(work, &biases, &elsewhere)?;
                settle(work, &elsewhere.fold, outcome);
            }
        }
    }
    Ok(())
}

fn settle(work: &mut Work<'_>, fold: &Fold, outcome: Outcome) {
    let mut source: Vec<usize> = fold.tensors().into_iter().map(|id| id.0 as usize).collect();
    let mut seen = Vec::new();
    source.retain(|s| {
        !seen.contains(s) && {
            seen.push(*s);
            true
        }
    });
    let Outcome { targets, relation, figures, why } = outcome;
    work.explain(Explained { source, target: targets, relation, figures, why, guess: false });
}

/// The fold with each epsilon that it may have.
fn variants(fold: &Fold) -> Vec<Fold> {
    let told = |fold: &Fold| {
        fold.after.iter().find_map(|step| match step.does {
            Does::Norm { epsilon, .. } => Some(epsilon),
            _ => None,
        })
    };
    let Some(given) = told(fold).filter(|_| fold.guessed) else { return vec![fold.clone()] };
    let others = EPSILONS.into_iter().filter(|e| *e != given);
    let with = |to: f64| {
        let mut fold = fold.clone();
        for step in &mut fold.after {
            if let Does::Norm { epsilon, .. } = &mut step.does {
                *epsilon = to;
            }
        }
        fold
    };
    [given].into_iter().chain(others).map(with).collect()
}

/// The target among these that a fold agrees with most, by samples.
fn best(work: &Work<'_>, fold: &Fold, targets: &[usize]) -> Result<Option<Candidate>> {
    let mut best: Option<Candidate> = None;
    for fold in variants(fold) {
        let model = &work.source.model;
        for &target in targets {
            let theirs = work.target.tensor(target);
            let weight = model.tensor(fold.weight);
            let told = work.suspected.get(&target).filter(|s| s.source == fold.weight.0 as usize);
            let told = told.and_then(|s| s.steps.clone().ok());
            let ways = told.into_iter().chain(ways(&weight.shape, &theirs.shape));
            for steps in ways {
                let Some(expected) = expected(model, &fold, &steps)? else { continue };
                let agreement = agreement(&expected, theirs, &near(theirs))?;
                if best.as_ref().is_none_or(|b| agreement > b.agreement) {
                    best = Some(Candidate { target, agreement, fold: fold.clone(), steps });
                }
                if agreement == 1.0 && !is_coded(theirs) {
                    return Ok(best);
                }
            }
        }
    }
    Ok(best)
}

/// As close as folding leaves values, in a type of their width, or in codes.
fn near(target: &Tensor) -> Box<dyn Fn(u64, f64, f64) -> bool + '_> {
    if is_coded(target) || target.dtype.bits() < 32 {
        return Box::new(super::arrange::close(target));
    }
    Box::new(|_, x: f64, y: f64| (x - y).abs() <= 2e-6 * x.abs().max(y.abs()) + 1e-40)
}

/// The weight with everything in it, in the target's order.
fn expected(model: &Model, fold: &Fold, steps: &[Step]) -> Result<Option<Tensor>> {
    let folded = fold.folded_weight(model)?;
    if steps.is_empty() {
        return Ok(Some(folded));
    }
    apply(&in_memory(&folded)?, steps)
}

fn compared(work: &Work<'_>, biases: &Biases, candidate: &Candidate) -> Result<Outcome> {
    let model = &work.source.model;
    let Candidate { target, steps, .. } = candidate;
    let theirs = work.target.tensor(*target);
    // Codes are too coarse to tell one epsilon from another before all of them are looked at.
    let folds = if is_coded(theirs) { variants(&candidate.fold) } else { vec![candidate.fold.clone()] };
    let mut weight: Option<(Judged, Fold)> = None;
    for fold in folds {
        let Some(expected) = expected(model, &fold, steps)? else { continue };
        let judged = computed(&expected, theirs, None)?;
        let off = |judged: &Judged| judged.figures.as_ref().map_or(u64::MAX, |f| f.off);
        if weight.as_ref().is_none_or(|(best, _)| off(&judged) < off(best)) {
            weight = Some((judged, fold));
        }
    }
    let Some((weight, fold)) = weight else {
        let why = vec!["the folded weight does not fit into its shape".to_owned()];
        return Ok(Outcome { targets: vec![*target], relation: Relation::Changed, figures: None, why });
    };
    let mut outcome = Outcome {
        targets: vec![*target],
        relation: weight.relation,
        figures: weight.figures.clone(),
        why: vec![told(&fold)],
    };
    if let (false, Some(figures)) = (weight.holds(), &weight.figures) {
        let named = format!("'{}' through the fold: ", model.tensor(fold.weight).name);
        outcome.why.push(named + &figures.told());
    }
    bias(work, biases, &fold, *target, &mut outcome)?;
    Ok(outcome)
}

/// What was folded into what, for people.
fn told(fold: &Fold) -> String {
    let steps = fold.before.iter().chain(&fold.after);
    let names = steps.map(|step| format!("'{}'", step.name)).collect::<Vec<_>>().join(" and ");
    let epsilon = fold.after.iter().find_map(|step| match step.does {
        Does::Norm { epsilon, .. } => Some(format!(" with epsilon {epsilon:e}")),
        _ => None,
    });
    format!("{names} folded into '{}'{}", fold.name, epsilon.unwrap_or_default())
}

/// Compares the bias that comes of a fold with the target's, and adds that to the outcome.
fn bias(work: &Work<'_>, biases: &Biases, fold: &Fold, weight: usize, outcome: &mut Outcome) -> Result<()> {
    let values = fold.bias_values(&work.source.model)?;
    let terms = terms(fold, &work.source.model, values.len())?;
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let shape = vec![values.len() as u64];
    let storage = Arc::new(Memory::new(bytes));
    let expected = Tensor::contiguous("bias", DType::F64, shape, storage, &Place::default())?;
    let Some(target) = biases.beside(work, weight, &expected, &terms)? else {
        if values.iter().any(|x| x.abs() > 1e-30) {
            outcome.relation = Relation::Changed;
            outcome.why.push("no bias was found that the shift went into".into());
        }
        return Ok(());
    };
    let theirs = work.target.tensor(target);
    let judged = computed(&expected, theirs, Some(&terms))?;
    if let (false, Some(figures)) = (judged.holds(), &judged.figures) {
        outcome.why.push(format!("bias '{}': {}", theirs.name, figures.told()));
    }
    outcome.relation = outcome.relation.max(judged.relation);
    outcome.targets.push(target);
    if let (Some(all), Some(bias)) = (&mut outcome.figures, judged.figures) {
        all.count += bias.count;
        all.unequal += bias.unequal;
        all.off += bias.off;
        all.first = all.first.take().or(bias.first);
        all.max_abs = all.max_abs.max(bias.max_abs);
        all.max_rel = all.max_rel.max(bias.max_rel);
        all.cosine = all.cosine.min(bias.cosine);
        all.relative_change = all.relative_change.max(bias.relative_change);
    }
    Ok(())
}

/// The largest of the terms that each element of a folded bias is a sum of.
fn terms(fold: &Fold, model: &Model, channels: usize) -> Result<Vec<f64>> {
    let mut terms = fold.bias_terms(model)?;
    for step in &fold.after {
        let affine = step.affine(model, channels as u64)?;
        let beta = match step.does {
            Does::Norm { beta: Some(beta), .. } => values(model.tensor(beta))?,
            _ => vec![0.0],
        };
        for (c, term) in terms.iter_mut().enumerate() {
            let (shift, beta) = (affine.shift[c], beta[c % beta.len()]);
            *term = *term * affine.scale[c].abs() + beta.abs() + (shift - beta).abs();
        }
    }
    Ok(terms)
}
