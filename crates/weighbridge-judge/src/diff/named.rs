//! What names, uses and shapes pair, where the values bear it out; what they do not is suspected.

use rayon::prelude::*;
use weighbridge_convert::into::{Match, Options, Rule, Step};
use weighbridge_model::{Layout, Result, Tensor, TensorId};

use super::arrange::{agreement, apply, close, rotary, turns, ways};
use super::bound::{Judged, computed, judged};
use super::side::Side;
use super::work::{Suspected, Work};

/// What comparing a pair came to: how its dimensions go, and what was done to its values.
struct Found {
    source: usize,
    target: usize,
    rule: Rule,
    steps: Result<Vec<Step>, String>,
    judged: Option<Judged>,
    why: Vec<String>,
}

pub(super) fn run(work: &mut Work<'_>) -> Result<()> {
    let (source, target) = (work.source, work.target);
    let matched = Match::of(&source.model, &target.model, &Options::default());
    let paired = matched.pairs.into_iter().map(|p| (p.source, p.target, p.rule, Ok(p.steps)));
    let misfits =
        matched.faults.into_iter().filter_map(|f| Some((f.source?, f.target, Rule::Name, Err(f.why))));
    let numbers = |side: &Side, id: TensorId| !matches!(side.model.tensor(id).layout, Layout::Opaque);
    let all = paired.chain(misfits).filter(|(s, t, ..)| numbers(source, *s) && numbers(target, *t));
    let all: Vec<_> = all.collect();
    let found: Vec<Result<Found>> = all
        .into_par_iter()
        .map(|(s, t, rule, steps)| one(source, target, s.0 as usize, t.0 as usize, rule, steps))
        .collect();
    for found in found {
        let Found { source: s, target: t, rule, steps, judged, why } = found?;
        if matches!(rule, Rule::Spelling | Rule::Prefix | Rule::Flat) {
            work.see_through(s, t);
        }
        match (judged, &steps) {
            (Some(judged), Ok(way)) if judged.holds() => {
                let turned = turns(way, &source.tensor(s).shape);
                work.one(s, t, judged, turned, why, false);
            }
            (judged, _) => {
                let suspected = Suspected { source: s, rule, steps, judged, why };
                work.suspected.insert(t, suspected);
            }
        }
    }
    Ok(())
}

fn one(
    source: &Side,
    target: &Side,
    s: usize,
    t: usize,
    rule: Rule,
    steps: Result<Vec<Step>, String>,
) -> Result<Found> {
    let ((ours, ours_by), (theirs, theirs_by)) = (source.meant(s)?, target.meant(t)?);
    let mut found = Found { source: s, target: t, rule, steps, judged: None, why: Vec::new() };
    if let Err(why) = &found.steps {
        // The shape alone may do what is not told.
        let why = why.clone();
        match fitting(&ours, &theirs)? {
            Some(steps) => found.steps = Ok(steps),
            None => found.why.push(why),
        }
    }
    let Ok(steps) = &found.steps else { return Ok(found) };
    let Some(arranged) = apply(&ours, steps)? else {
        found.why.push("its elements cannot be seen in that order".into());
        return Ok(found);
    };
    found.judged = Some(match ours_by.or(theirs_by) {
        Some(by) => {
            found.why.push(format!("sums, multiplied by {by:e} as their layer's factor says"));
            computed(&arranged, &theirs, None)?
        }
        None => judged(&arranged, &theirs)?,
    });
    if found.judged.as_ref().is_some_and(|judged| !judged.holds())
        && !rotary(&ours.name, &ours.shape, &theirs.shape).is_empty()
        && let Some(steps) = fitting(&ours, &theirs)?
        && let Some(arranged) = apply(&ours, &steps)?
    {
        found.judged = Some(judged(&arranged, &theirs)?);
        found.steps = Ok(steps);
    }
    Ok(found)
}

/// The way in which a source's dimensions are the target's by their values.
fn fitting(ours: &Tensor, theirs: &Tensor) -> Result<Option<Vec<Step>>> {
    let rotary = rotary(&ours.name, &ours.shape, &theirs.shape);
    for steps in ways(&ours.shape, &theirs.shape).into_iter().chain(rotary) {
        if let Some(arranged) = apply(ours, &steps)?
            && agreement(&arranged, theirs, &close(theirs))? >= 0.9
        {
            return Ok(Some(steps));
        }
    }
    Ok(None)
}
