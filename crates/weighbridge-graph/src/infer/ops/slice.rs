//! `Slice`, `Concat`, `Split`.

use crate::infer::call::{Call, Numbers, Outcome, axes, axis, picked, small, whole};
use crate::infer::fact::{Elements, Fact, show};
use crate::infer::size::Size;

use super::broadcast::{indices, strides};

/// `Slice`: bounds are attributes before version 10, and have no steps there.
pub(in crate::infer) fn slice(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let Some(from) = &data.shape else { return Ok(vec![Fact::tensor(data.dtype, None)]) };
    let bounds = |call: &Call<'_, '_>, input: usize, name: &str| match call.has(input) {
        true => call.elements(input).map(<[Size]>::to_vec),
        false => call.ints(name).map(|bounds| bounds.into_iter().map(Size::from).collect()),
    };
    let (starts, ends) = (bounds(call, 1, "starts"), bounds(call, 2, "ends"));
    let count = [1, 2].map(|i| call.dim(i, 0)).into_iter().flatten().find_map(|n| n.known());
    let count = starts.as_ref().or(ends.as_ref()).map(Vec::len).or(count.map(|n| n.max(0) as usize));
    let at = match call.numbers(3, "axes") {
        Numbers::Known(at) => Some(axes(&at, from.len())?),
        Numbers::Absent => count.map(|count| (0..count).collect()),
        Numbers::Unknown(_) => None,
    };
    let steps = if call.has(4) { call.fact(4).integers() } else { count.map(|count| vec![1; count]) };
    let Some(at) = at else {
        let shape = call.unknown_shape(from.len());
        return Ok(vec![Fact::tensor(data.dtype, Some(shape))]);
    };
    let mut shape = from.clone();
    let mut cut = Vec::new();
    for (i, &axis) in at.iter().enumerate() {
        let Some(size) = from.get(axis) else {
            return Err(format!("axis {axis} of a tensor of {} dimensions", from.len()));
        };
        let get = |of: &Option<Vec<Size>>| of.as_ref().and_then(|of| of.get(i).cloned());
        let step = steps.as_ref().and_then(|steps| steps.get(i).copied());
        if step == Some(0) {
            return Err("a step of 0".to_owned());
        }
        let span = get(&starts).zip(get(&ends)).zip(step);
        let span = span.and_then(|((start, end), step)| span_of(size, &start, &end, step));
        cut.push(span.as_ref().and_then(|(first, _)| Some((axis, first.known()?, step?))));
        shape[axis] = call.open(span.map(|(_, length)| length));
    }
    let pick = small(from).zip(small(&shape)).and_then(|(from, to)| {
        let mut first = 0i64;
        let each = strides(&from);
        let mut step_of: Vec<i64> = each.iter().map(|&stride| stride as i64).collect();
        for cut in cut {
            let (axis, start, step) = cut?;
            first += start.checked_mul(step_of[axis])?;
            step_of[axis] = step_of[axis].checked_mul(step)?;
        }
        let mut picks = vec![first];
        for (&size, &step) in to.iter().zip(&step_of) {
            picks = picks.iter().flat_map(|&at| (0..size as i64).map(move |i| at + i * step)).collect();
        }
        picks.into_iter().map(|at| usize::try_from(at).ok()).collect()
    });
    Ok(vec![picked(data, Some(shape), pick)])
}

/// Where a slice of a dimension begins, and how many it takes.
fn span_of(size: &Size, start: &Size, end: &Size, step: i64) -> Option<(Size, Size)> {
    // An index from the end has the size added; whatever is beyond an end is that end.
    let last = if step > 0 { size.clone() } else { size.minus(&1.into())? };
    let first = if step > 0 { Size::from(0) } else { Size::from(-1) };
    let from_front = |at: &Size, low: &Size| -> Option<Size> {
        let at = match (at.known(), at.at_least()) {
            // Bounds as far as can be.
            (Some(at), _) if at >= i64::from(i32::MAX) => return Some(last.clone()),
            (Some(at), _) if at <= -i64::from(i32::MAX) => return Some(low.clone()),
            (Some(at), _) if at < 0 => size.plus(&at.into())?,
            (Some(_), _) | (_, Some(0..)) => at.clone(),
            // Down from the end: -n.
            _ if Size::from(0).minus(at)?.at_least() >= Some(1) => size.plus(at)?,
            // Up to n - 1, say, of whatever is n or more.
            _ if size.minus(at)?.at_least() >= Some(0) => at.clone(),
            _ => return None,
        };
        at.smaller(&last)?.larger(low)
    };
    let start = from_front(start, &0.into())?;
    let end = from_front(end, &first)?;
    let length = if step > 0 {
        end.minus(&start)?.ceil_div(&step.into())?
    } else {
        start.minus(&end)?.ceil_div(&step.checked_neg()?.into())?
    };
    Some((start, length.larger(&0.into())?))
}

/// `Concat`.
pub(in crate::infer) fn concat(call: &mut Call<'_, '_>) -> Outcome {
    let default = if call.version < 4 { 1 } else { 0 };
    let facts: Vec<&Fact> = call.inputs.clone();
    let at = call.int_or("axis", default);
    Ok(vec![joined(call, &facts, at)?])
}

/// Tensors put one after the other along an axis.
pub(super) fn joined(call: &mut Call<'_, '_>, facts: &[&Fact], at: i64) -> Result<Fact, String> {
    let dtype = facts.iter().find_map(|fact| fact.dtype());
    let Some(rank) = facts.iter().find_map(|fact| fact.shape()).map(<[Size]>::len) else {
        return Ok(Fact::tensor(dtype, None));
    };
    let at = axis(at, rank)?;
    let mut shape: Option<Vec<Size>> = None;
    let mut along = Some(Size::from(0));
    for fact in facts {
        along = along.zip(fact.shape()).and_then(|(along, shape)| along.plus(shape.get(at)?));
        let Some(sizes) = fact.shape() else { continue };
        if sizes.len() != rank {
            return Err(format!("shape {} beside one of {rank} dimensions", show(sizes)));
        }
        let Some(shape) = &mut shape else {
            shape = Some(sizes.to_vec());
            continue;
        };
        for (axis, (known, size)) in shape.iter_mut().zip(sizes).enumerate().filter(|(axis, _)| *axis != at) {
            *known = call.same(known, size, &format!("sizes of dimension {axis}"))?;
        }
    }
    let mut shape = shape.unwrap_or_default();
    shape[at] = call.open(along);
    // Elements are followed where they only stand one after the other.
    let in_a_row = small(&shape).is_some_and(|shape| shape[..at].iter().all(|&n| n == 1));
    let all = |elements: Vec<Size>, fact: &&Fact| Some([elements, fact.elements()?.to_vec()].concat());
    let elements = if in_a_row { facts.iter().try_fold(Vec::new(), all) } else { None };
    if elements.is_none() && in_a_row {
        let all = |floats: Vec<f64>, fact: &&Fact| Some([floats, fact.floats()?].concat());
        let floats: Option<Vec<f64>> = facts.iter().try_fold(Vec::new(), all);
        let elements: Option<Elements> = floats.map(crate::infer::constant::floats);
        return Ok(Fact::Tensor(crate::infer::fact::TensorFact { dtype, shape: Some(shape), elements }));
    }
    Ok(whole(dtype, shape, elements))
}

/// `Split`: sizes are an attribute before version 13; without them parts are equal, the last smaller from version 18 on.
pub(in crate::infer) fn split(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let count = call.node.outputs.len();
    let Some(from) = &data.shape else { return Ok(vec![Fact::tensor(data.dtype, None); count]) };
    let at = axis(call.int_or("axis", 0), from.len())?;
    let sizes: Vec<Size> = match (call.elements(1), call.ints("split")) {
        (Some(sizes), _) => sizes.to_vec(),
        (None, Some(sizes)) if !call.has(1) => sizes.into_iter().map(Size::from).collect(),
        _ if call.has(1) => call.unknown_shape(count),
        _ => {
            let parts = Size::from(call.int_or("num_outputs", count as i64));
            let each = match call.version {
                18.. => from[at].ceil_div(&parts),
                _ => from[at].floor_div(&parts),
            };
            let mut sizes: Vec<Size> = (0..count).map(|_| call.open(each.clone())).collect();
            if let (Some(each), Some(last)) = (each, sizes.last_mut()) {
                let before = each.times(&(count as i64 - 1).into());
                *last = call.open(before.and_then(|before| from[at].minus(&before)));
            }
            sizes
        }
    };
    if sizes.len() != count {
        return Err(format!("{} sizes for {count} outputs", sizes.len()));
    }
    if let (Some(sum), Some(all)) = (Size::sum(&sizes).and_then(|sum| sum.known()), from[at].known())
        && sum != all
    {
        return Err(format!("sizes {} of a dimension of {all}", show(&sizes)));
    }
    let mut first = Some(0i64);
    let mut facts = Vec::with_capacity(count);
    for size in sizes {
        let mut shape = from.clone();
        shape[at] = size.clone();
        let pick = first.zip(small(from)).zip(small(&shape)).map(|((first, from), to)| {
            let each = strides(&from);
            let offset = first.max(0) as usize * each[at];
            indices(&to, &each).into_iter().map(|i| i + offset).collect()
        });
        facts.push(picked(data, Some(shape), pick));
        first = first.zip(size.known()).and_then(|(first, size)| first.checked_add(size));
    }
    Ok(facts)
}
