//! Sequences and optional values.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome, axis, scalar};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// Most items of a sequence that are followed one by one.
const MOST_ITEMS: usize = 32;

/// What all items of a sequence are, and each of them where their number is known.
fn items(fact: &Fact) -> (Fact, Option<Vec<Fact>>) {
    match fact {
        Fact::Sequence { of, items } => ((**of).clone(), items.as_ref().map(|items| items.to_vec())),
        _ => (Fact::Unknown, None),
    }
}

/// A sequence of these items.
fn sequence(call: &mut Call<'_, '_>, items: Vec<Fact>) -> Fact {
    let join = |a: Fact, b: &Fact| a.join(b, &mut call.engine.fresh);
    let of = items.split_first().map_or(Fact::Unknown, |(first, rest)| rest.iter().fold(first.clone(), join));
    let items = (items.len() <= MOST_ITEMS).then(|| items.into());
    Fact::Sequence { of: Box::new(of.without_elements()), items }
}

/// `SequenceConstruct`.
pub(in crate::infer) fn construct(call: &mut Call<'_, '_>) -> Outcome {
    let items = call.inputs.iter().map(|&fact| fact.clone()).collect();
    Ok(vec![sequence(call, items)])
}

/// `SequenceEmpty`: of tensors of the type in `dtype`.
pub(in crate::infer) fn empty(call: &mut Call<'_, '_>) -> Outcome {
    let of = Fact::tensor(DType::from_onnx(call.int_or("dtype", 1)), None);
    Ok(vec![Fact::Sequence { of: Box::new(of), items: Some([].into()) }])
}

/// The position that an input names among so many; the end where there is none.
fn position(call: &Call<'_, '_>, input: usize, count: usize, end: usize) -> Result<Option<usize>, String> {
    if !call.has(input) {
        return Ok(Some(end));
    }
    match call.number(input).and_then(Size::known) {
        Some(at) if at == count as i64 && end == count => Ok(Some(count)),
        Some(at) => axis(at, count).map(Some).map_err(|_| format!("position {at} of a sequence of {count}")),
        None => Ok(None),
    }
}

/// `SequenceInsert`.
pub(in crate::infer) fn insert(call: &mut Call<'_, '_>) -> Outcome {
    let (of, all) = items(call.fact(0));
    let new = call.fact(1).clone();
    if let Some(mut all) = all
        && let Some(at) = position(call, 2, all.len(), all.len())?
    {
        all.insert(at, new);
        return Ok(vec![sequence(call, all)]);
    }
    // An unknown item says nothing yet: it is what the first insertion makes it.
    let of = match of {
        Fact::Unknown => Fact::Unknown,
        of => of.join(&new.without_elements(), &mut call.engine.fresh),
    };
    Ok(vec![Fact::Sequence { of: Box::new(of), items: None }])
}

/// `SequenceErase`.
pub(in crate::infer) fn erase(call: &mut Call<'_, '_>) -> Outcome {
    let (of, all) = items(call.fact(0));
    if let Some(mut all) = all
        && let Some(last) = all.len().checked_sub(1)
        && let Some(at) = position(call, 1, all.len(), last)?
    {
        all.remove(at);
        return Ok(vec![Fact::Sequence { of: Box::new(of), items: Some(all.into()) }]);
    }
    Ok(vec![Fact::Sequence { of: Box::new(of), items: None }])
}

/// `SequenceAt`.
pub(in crate::infer) fn at(call: &mut Call<'_, '_>) -> Outcome {
    let (of, all) = items(call.fact(0));
    if let Some(all) = all
        && let Some(at) = position(call, 1, all.len(), 0)?
    {
        return Ok(vec![all[at].clone()]);
    }
    Ok(vec![anew(call, of)])
}

/// One of many of which only this is known: what is open in it is another's in each.
fn anew(call: &mut Call<'_, '_>, of: Fact) -> Fact {
    match of {
        Fact::Tensor(mut tensor) => {
            tensor.elements = None;
            for size in tensor.shape.iter_mut().flatten().filter(|size| size.is_unknown()) {
                *size = call.fresh();
            }
            Fact::Tensor(tensor)
        }
        other => other,
    }
}

/// `SequenceLength`.
pub(in crate::infer) fn length(call: &mut Call<'_, '_>) -> Outcome {
    let count = items(call.fact(0)).1.map(|all| Size::from(all.len() as i64));
    let count = call.open(count);
    Ok(vec![scalar(DType::I64, Some(count))])
}

/// `SplitToSequence`: parts of the given size or sizes; without them single slices, whose dimension goes unless `keepdims`.
pub(in crate::infer) fn split(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = call.dtype(0);
    let of = |shape| Fact::tensor(dtype, shape);
    let Some(from) = call.shape(0) else {
        return Ok(vec![Fact::Sequence { of: Box::new(of(None)), items: None }]);
    };
    let along = axis(call.int_or("axis", 0), from.len())?;
    let with = |size: Size| {
        let mut shape = from.to_vec();
        shape[along] = size;
        of(Some(shape))
    };
    let total = from[along].known();
    if !call.has(1) {
        let item = match call.int_or("keepdims", 1) {
            0 => {
                let mut shape = from.to_vec();
                shape.remove(along);
                of(Some(shape))
            }
            _ => with(1.into()),
        };
        let items = total.filter(|&n| (0..=MOST_ITEMS as i64).contains(&n));
        let items = items.map(|n| vec![item.clone(); n as usize].into());
        return Ok(vec![Fact::Sequence { of: Box::new(item), items }]);
    }
    let sizes: Option<Vec<Size>> = match (call.elements(1), call.shape(1)) {
        (Some([each]), Some([])) => match (total, each.known()) {
            (Some(total), Some(each)) if each > 0 && total / each < MOST_ITEMS as i64 => {
                let whole = vec![Size::from(each); (total / each) as usize];
                let last = (total % each > 0).then(|| Size::from(total % each));
                Some(whole.into_iter().chain(last).collect())
            }
            _ => None,
        },
        (Some(sizes), _) => Some(sizes.to_vec()),
        _ => None,
    };
    match sizes {
        Some(sizes) => {
            let items = sizes.into_iter().map(with).collect();
            Ok(vec![sequence(call, items)])
        }
        None => {
            let size = call.fresh();
            Ok(vec![Fact::Sequence { of: Box::new(with(size)), items: None }])
        }
    }
}

/// `ConcatFromSequence`: along an axis, a new one with `new_axis`.
pub(in crate::infer) fn concat(call: &mut Call<'_, '_>) -> Outcome {
    let (of, all) = items(call.fact(0));
    let at = call.int_or("axis", 0);
    let is_new = call.int_or("new_axis", 0) != 0;
    if is_new {
        let count = all.as_ref().map(|all| Size::from(all.len() as i64));
        let count = call.open(count);
        let shape = match of.shape() {
            Some(shape) => {
                let at = axis(at, shape.len() + 1)?;
                let mut shape = shape.to_vec();
                shape.insert(at, count);
                Some(shape)
            }
            None => None,
        };
        return Ok(vec![Fact::tensor(of.dtype(), shape)]);
    }
    if let Some(all) = all {
        let facts: Vec<&Fact> = all.iter().collect();
        return Ok(vec![super::slice::joined(call, &facts, at)?]);
    }
    let shape = match of.shape() {
        Some(shape) => {
            let at = axis(at, shape.len())?;
            let mut shape = shape.to_vec();
            shape[at] = call.fresh();
            Some(shape)
        }
        None => None,
    };
    Ok(vec![Fact::tensor(of.dtype(), shape)])
}

/// `SequenceMap`: the body on each item; other inputs are sequences of as many, or the same for all.
pub(in crate::infer) fn map(call: &mut Call<'_, '_>) -> Outcome {
    let (_, all) = items(call.fact(0));
    let mut given = Vec::new();
    for &fact in &call.inputs.clone() {
        given.push(match fact {
            Fact::Sequence { of, .. } => anew(call, (**of).clone()),
            other => other.clone(),
        });
    }
    let Some(outputs) = call.run_body("body", &given) else { return Ok(vec![]) };
    let alike = |fact: &Fact| match fact.known_shape() {
        Some(_) => all.as_ref().map(|all| vec![fact.clone().without_elements(); all.len()].into()),
        None => None,
    };
    Ok(outputs
        .iter()
        .map(|fact| Fact::Sequence { of: Box::new(fact.clone().without_elements()), items: alike(fact) })
        .collect())
}

/// `Optional`: the input, or nothing of the type in an attribute.
pub(in crate::infer) fn optional(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![Fact::Optional(Box::new(call.fact(0).clone()))])
}

/// `OptionalGetElement`: what is in it; a value that is no optional is its own.
pub(in crate::infer) fn get(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![match call.fact(0) {
        Fact::Optional(of) => (**of).clone(),
        other => other.clone(),
    }])
}

/// `OptionalHasElement`.
pub(in crate::infer) fn has(call: &mut Call<'_, '_>) -> Outcome {
    let known = match call.fact(0) {
        _ if !call.has(0) => Some(0),
        Fact::Tensor(_) | Fact::Sequence { .. } => Some(1),
        _ => None,
    };
    Ok(vec![scalar(DType::Bool, known.map(Size::from))])
}
