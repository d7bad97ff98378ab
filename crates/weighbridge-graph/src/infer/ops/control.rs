//! `If`, `Loop`, `Scan`.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome, axis, scalar};
use crate::infer::engine::Mark;
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// How often the body of a loop is gone through, each time with less that is taken for the same in all iterations.
const ROUNDS: usize = 5;

/// `If`: what both branches have in common, or the one that is taken.
pub(in crate::infer) fn branch(call: &mut Call<'_, '_>) -> Outcome {
    let condition = call.number(0).and_then(Size::known);
    let (yes, no) = (call.run_body("then_branch", &[]), call.run_body("else_branch", &[]));
    let (Some(yes), Some(no)) = (yes, no) else { return Err("a branch is missing".to_owned()) };
    Ok(match condition {
        Some(0) => no,
        Some(_) => yes,
        None => yes.iter().zip(&no).map(|(yes, no)| yes.join(no, &mut call.engine.fresh)).collect(),
    })
}

/// `Loop`: a count, a condition and what is carried; gives what was carried last, and what iterations gave, one after the
/// other in a new first dimension.
pub(in crate::infer) fn repeat(call: &mut Call<'_, '_>) -> Outcome {
    let Some(body) = call.body("body") else { return Err("the body is missing".to_owned()) };
    let carried = call.inputs.len().saturating_sub(2);
    let initial: Vec<Fact> = call.inputs.iter().skip(2).map(|&fact| fact.clone()).collect();
    let (last, outputs) = settle(call, initial, |call, carried| {
        let iteration = scalar(DType::I64, Some(call.fresh()));
        let condition = scalar(DType::Bool, None);
        let given = [&[iteration, condition][..], carried].concat();
        call.run_body("body", &given)
    });
    let is_true = |element: Option<&Size>| element.and_then(Size::known).is_some_and(|n| n != 0);
    let goes_on = outputs.first().and_then(|fact| fact.elements()).and_then(|all| all.first());
    let same_condition = || body.outputs.first().is_some_and(|out| body.inputs.get(1) == Some(out));
    let starts = !call.has(1) || is_true(call.number(1));
    // An empty input is no bound.
    let whole = starts && call.has(0) && (is_true(goes_on) || same_condition());
    let count = match whole {
        true => {
            call.number(0).filter(|count| count.at_least() >= Some(0) || count.symbol().is_some()).cloned()
        }
        false => None,
    };
    let count = call.open(count);
    let mut facts = last;
    facts.extend(outputs.into_iter().skip(1 + carried).map(|fact| stacked(&fact, count.clone(), 0)));
    Ok(facts)
}

/// `Scan`: what is carried, and slices of inputs along an axis; gives what was carried last, and what iterations gave along
/// an axis. The first version has a batch around all of it.
pub(in crate::infer) fn scan(call: &mut Call<'_, '_>) -> Outcome {
    let is_first = call.version < 9;
    let skip = usize::from(is_first);
    let scanned = usize::try_from(call.int_or("num_scan_inputs", 0)).unwrap_or(0);
    let Some(carried) = call.inputs.len().checked_sub(scanned + skip) else {
        return Err(format!("{scanned} inputs to scan, of {} in all", call.inputs.len()));
    };
    let at = call.ints("scan_input_axes").unwrap_or_default();
    let (mut slices, mut count, mut batch) = (Vec::new(), None, None);
    for i in 0..scanned {
        let fact = call.fact(skip + carried + i);
        let shape = match fact.shape() {
            Some(shape) => {
                let mut shape = shape.to_vec();
                if is_first && !shape.is_empty() {
                    batch = Some(shape.remove(0));
                }
                let at = axis(at.get(i).copied().unwrap_or(0), shape.len())?;
                let size = shape.remove(at);
                count = Some(match count {
                    Some(count) => call.same(&count, &size, "numbers of slices")?,
                    None => size,
                });
                Some(shape)
            }
            None => None,
        };
        slices.push(Fact::tensor(fact.dtype(), shape));
    }
    let without_batch = |fact: &Fact| match fact.shape() {
        Some([_, rest @ ..]) if is_first => Fact::tensor(fact.dtype(), Some(rest.to_vec())),
        _ => fact.clone(),
    };
    let initial: Vec<Fact> = (0..carried).map(|i| without_batch(call.fact(skip + i))).collect();
    let (last, outputs) =
        settle(call, initial, |call, carried| call.run_body("body", &[carried, &slices].concat()));
    let count = call.open(count);
    let batch = call.open(batch);
    let with_batch = |fact: Fact| if is_first { stacked(&fact, batch.clone(), 0) } else { fact };
    let mut facts: Vec<Fact> = last.into_iter().map(with_batch).collect();
    let at = call.ints("scan_output_axes").unwrap_or_default();
    for (i, fact) in outputs.iter().skip(carried).enumerate() {
        let rank = fact.shape().map_or(1, |shape| shape.len() + 1);
        let at = axis(at.get(i).copied().unwrap_or(0), rank)?;
        facts.push(with_batch(stacked(fact, count.clone(), at)));
    }
    Ok(facts)
}

/// A tensor with one more dimension.
fn stacked(fact: &Fact, count: Size, at: usize) -> Fact {
    let shape = fact.shape().map(|shape| {
        let mut shape = shape.to_vec();
        shape.insert(at, count);
        shape
    });
    Fact::tensor(fact.dtype(), shape)
}

/// Goes through a body until what is carried is the same before and after. Gives what is true of it at the end, and of
/// all outputs of the body.
fn settle<'m>(
    call: &mut Call<'_, 'm>,
    initial: Vec<Fact>,
    mut run: impl FnMut(&mut Call<'_, 'm>, &[Fact]) -> Option<Vec<Fact>>,
) -> (Vec<Fact>, Vec<Fact>) {
    let faults = call.engine.faults();
    let start = call.engine.fresh.mark();
    let conditions = usize::from(call.node.op == "Loop");
    // Elements change from one iteration to the next, as a rule.
    let mut before: Vec<Fact> = initial.clone();
    for round in 0.. {
        call.engine.forget_faults(faults);
        if round == ROUNDS {
            before = vec![Fact::Unknown; before.len()];
        }
        let Some(outputs) = run(call, &before) else {
            return (vec![Fact::Unknown; before.len()], Vec::new());
        };
        let mut changed = false;
        let mut after = Vec::with_capacity(before.len());
        for (i, fact) in before.iter().enumerate() {
            let out = outputs.get(conditions + i).unwrap_or(&Fact::Unknown);
            let (joined, differs) = widened(call, fact, out, start);
            changed |= differs;
            after.push(joined);
        }
        if !changed || round == ROUNDS {
            // With no iteration at all, it is what came in.
            return (after, outputs);
        }
        before = after;
    }
    unreachable!("the last round returns")
}

/// What is true before and after an iteration; and whether that is less than what was thought before. A symbol that was
/// made since `start` stands for a size that is another in each iteration: that it is another afterwards is no news.
fn widened(call: &mut Call<'_, '_>, before: &Fact, after: &Fact, start: Mark) -> (Fact, bool) {
    let joined = before.join(after, &mut call.engine.fresh);
    match (before, &joined) {
        (Fact::Tensor(a), Fact::Tensor(b)) => {
            let shape_lost = match (&a.shape, &b.shape) {
                (Some(a), Some(b)) => a.iter().zip(b).any(|(a, b)| a != b && !start.is_before(a)),
                (None, _) => false,
                (Some(_), None) => true,
            };
            let lost = shape_lost || a.dtype != b.dtype || a.elements.is_some() && b.elements.is_none();
            (joined, lost)
        }
        (Fact::Unknown, _) => (joined, false),
        (Fact::Sequence { items: a, of: x }, Fact::Sequence { items: b, of: y }) => {
            let lost = a.is_some() && b.is_none() || widened(call, x, y, start).1;
            // An empty sequence says nothing of its items: the first that is put in does.
            let is_empty = a.as_ref().is_some_and(|items| items.is_empty());
            match after {
                Fact::Sequence { of, .. } if is_empty => {
                    (Fact::Sequence { of: of.clone(), items: None }, true)
                }
                _ => (joined, lost),
            }
        }
        (before, joined_fact) => {
            let lost = std::mem::discriminant(before) != std::mem::discriminant(joined_fact);
            (joined, lost)
        }
    }
}
