//! Operators that take elements by index, and that put some in their place.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome, axis, picked, small};
use crate::infer::fact::{Fact, show};
use crate::infer::size::Size;

/// `Gather`: slices along one axis, in the shape of the indices.
pub(in crate::infer) fn gather(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let (Some(from), Some(at)) = (&data.shape, call.shape(1)) else {
        return Ok(vec![Fact::tensor(data.dtype, None)]);
    };
    let along = axis(call.int_or("axis", 0), from.len())?;
    let shape = [&from[..along], at, &from[along + 1..]].concat();
    let pick = match (small(from), call.fact(1).integers()) {
        (Some(from), Some(indices)) if data.elements.is_some() => {
            let (size, inner) = (from[along], from[along + 1..].iter().product::<usize>());
            let outer: usize = from[..along].iter().product();
            let count = outer.saturating_mul(indices.len()).saturating_mul(inner);
            let indices: Vec<usize> = indices.iter().map(|&i| axis(i, size)).collect::<Result<_, _>>()?;
            (count <= crate::infer::MOST_ELEMENTS).then(|| {
                let row = |o: usize| indices.iter().map(move |i| (o * size + i) * inner);
                (0..outer).flat_map(row).flat_map(|at| at..at + inner).collect()
            })
        }
        _ => None,
    };
    Ok(vec![picked(data, Some(shape), pick)])
}

/// `GatherElements`: of the shape of the indices.
pub(in crate::infer) fn gather_elements(call: &mut Call<'_, '_>) -> Outcome {
    if let (Some(data), Some(indices)) = (call.shape(0), call.shape(1))
        && data.len() != indices.len()
    {
        return Err(format!("indices of shape {} into shape {}", show(indices), show(data)));
    }
    Ok(vec![Fact::tensor(call.dtype(0), call.shape(1).map(<[Size]>::to_vec))])
}

/// `GatherND`: the last dimension of the indices names a place in the leading dimensions of the data.
pub(in crate::infer) fn gather_nd(call: &mut Call<'_, '_>) -> Outcome {
    let (Some(data), Some(at)) = (call.shape(0), call.shape_from_rank(1, 1)?) else {
        return Ok(vec![Fact::tensor(call.dtype(0), None)]);
    };
    let batch = call.int_or("batch_dims", 0).max(0);
    let shape = match at[at.len() - 1].known() {
        None => None,
        Some(depth) => match usize::try_from(batch.saturating_add(depth)) {
            Ok(first) if first <= data.len() => Some([&at[..at.len() - 1], &data[first..]].concat()),
            _ => return Err(format!("indices of {depth} dimensions into shape {}", show(data))),
        },
    };
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `ScatterND` and the like: what is written into keeps its type and shape.
pub(in crate::infer) fn scatter(call: &mut Call<'_, '_>) -> Outcome {
    super::unary::same(call)
}

/// `ScatterND`, of which elements of small vectors are followed.
pub(in crate::infer) fn scatter_nd(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0);
    let followed = || {
        let [_] = data.shape()? else { return None };
        let mut elements = data.elements()?.to_vec();
        let (at, new) = (call.fact(1).integers()?, call.elements(2)?);
        if call.text("reduction").unwrap_or("none") != "none" || at.len() != new.len() {
            return None;
        }
        for (&at, new) in at.iter().zip(new) {
            let at = axis(at, elements.len()).ok()?;
            elements[at] = new.clone();
        }
        Some(crate::infer::call::whole(data.dtype(), data.shape()?.to_vec(), Some(elements)))
    };
    match followed() {
        Some(fact) => Ok(vec![fact]),
        None => super::unary::same(call),
    }
}

/// `Compress`: as many slices as there are true conditions.
pub(in crate::infer) fn compress(call: &mut Call<'_, '_>) -> Outcome {
    let kept = call
        .fact(1)
        .integers()
        .map(|conditions| Size::from(conditions.iter().filter(|&&c| c != 0).count() as i64));
    let kept = call.open(kept);
    let shape = match (call.int("axis"), call.shape(0)) {
        (None, _) => Some(vec![kept]),
        (Some(_), None) => None,
        (Some(at), Some(shape)) => {
            let mut shape = shape.to_vec();
            let at = axis(at, shape.len())?;
            shape[at] = kept;
            Some(shape)
        }
    };
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `OneHot`: a dimension of the given depth among those of the indices; of the type of the values.
pub(in crate::infer) fn one_hot(call: &mut Call<'_, '_>) -> Outcome {
    let Some(indices) = call.shape(0) else { return Ok(vec![Fact::tensor(call.dtype(2), None)]) };
    let at = axis(call.int_or("axis", -1), indices.len() + 1)?;
    let depth = call.open(call.number(1).cloned());
    let mut shape = indices.to_vec();
    shape.insert(at, depth);
    Ok(vec![Fact::tensor(call.dtype(2), Some(shape))])
}

/// `NonZero`: a row for each dimension, a column for each element that is not 0.
pub(in crate::infer) fn non_zero(call: &mut Call<'_, '_>) -> Outcome {
    let rank = call.shape(0).map(|shape| Size::from(shape.len() as i64));
    let known = call.fact(0).floats().map(|all| Size::from(all.iter().filter(|&&x| x != 0.0).count() as i64));
    let shape = vec![call.open(rank), call.open(known)];
    let positions = || {
        let ([_], elements) = (call.shape(0)?, call.fact(0).integers()?) else { return None };
        let positions = elements.iter().zip(0i64..).filter(|(x, _)| **x != 0);
        Some(positions.map(|(_, at)| Size::from(at)).collect())
    };
    let elements = positions();
    Ok(vec![crate::infer::call::whole(Some(DType::I64), shape, elements)])
}

/// `Unique`: as many as there are different ones, which only running tells.
pub(in crate::infer) fn unique(call: &mut Call<'_, '_>) -> Outcome {
    let count = call.fresh();
    let shape = match (call.int("axis"), call.shape(0)) {
        (None, _) => Some(vec![count.clone()]),
        (Some(_), None) => None,
        (Some(at), Some(shape)) => {
            let mut shape = shape.to_vec();
            let at = axis(at, shape.len())?;
            shape[at] = count.clone();
            Some(shape)
        }
    };
    let all = match (call.int("axis"), call.shape(0)) {
        (Some(at), Some(shape)) => shape[axis(at, shape.len())?].clone(),
        (None, Some(shape)) => call.open(Size::product(shape)),
        _ => call.fresh(),
    };
    let indices = |size: Size| Fact::tensor(Some(DType::I64), Some(vec![size]));
    Ok(vec![Fact::tensor(call.dtype(0), shape), indices(count.clone()), indices(all), indices(count)])
}
