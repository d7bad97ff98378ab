//! `Shape`, `Size`, and operators that give the same elements another shape.

use weighbridge_model::DType;

use crate::infer::call::{Call, Numbers, Outcome, axes, picked, scalar, vector};
use crate::infer::fact::{Fact, TensorFact, show};
use crate::infer::size::Size;

/// `Shape`: the sizes, or from version 15 on those between `start` and `end`.
pub(in crate::infer) fn shape(call: &mut Call<'_, '_>) -> Outcome {
    let Some(shape) = call.shape(0) else {
        return Ok(vec![Fact::tensor(Some(DType::I64), Some(call.unknown_shape(1)))]);
    };
    let rank = shape.len() as i64;
    let bound = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (bound(call.int_or("start", 0)), bound(call.int_or("end", rank)));
    Ok(vec![vector(shape.get(start..end).unwrap_or_default().to_vec())])
}

/// `Size`: how many elements there are.
pub(in crate::infer) fn size(call: &mut Call<'_, '_>) -> Outcome {
    let size = call.shape(0).and_then(Size::product);
    Ok(vec![scalar(DType::I64, size)])
}

/// `Reshape`: 0 takes the size over unless `allowzero`, -1 is what is left.
pub(in crate::infer) fn reshape(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let attribute;
    let wanted = match call.elements(1) {
        Some(wanted) => wanted,
        None if !call.has(1) => match call.ints("shape") {
            Some(sizes) => {
                attribute = sizes.into_iter().map(Size::from).collect::<Vec<_>>();
                &attribute
            }
            None => return Ok(vec![Fact::tensor(data.dtype, None)]),
        },
        None => {
            let rank = call.dim(1, 0).and_then(|n| usize::try_from(n.known()?).ok());
            let shape = rank.filter(|&rank| rank <= 64).map(|rank| call.unknown_shape(rank));
            return Ok(vec![picked(data, shape, None)]);
        }
    };
    let copies = call.int_or("allowzero", 0) == 0;
    let mut shape = Vec::with_capacity(wanted.len());
    let (mut rest, mut is_open) = (None, false);
    for (i, size) in wanted.iter().enumerate() {
        shape.push(match size.known() {
            Some(-1) if rest.is_some() => return Err(format!("shape {} has -1 twice", show(wanted))),
            Some(-1) => {
                rest = Some(i);
                Size::from(1)
            }
            Some(0) if copies => match data.shape.as_ref().map(|from| from.get(i)) {
                Some(Some(size)) => size.clone(),
                Some(None) => {
                    return Err(format!("shape {} takes size {i} over, which is not there", show(wanted)));
                }
                None => {
                    is_open = true;
                    call.fresh()
                }
            },
            Some(..-1) => return Err(format!("shape {} has a size below -1", show(wanted))),
            Some(_) => size.clone(),
            // What may be 0 or -1 stands for another size.
            None if size.at_least() >= Some(1) || is_size(size) => size.clone(),
            None => {
                is_open = true;
                call.fresh()
            }
        });
    }
    if let Some(rest) = rest {
        let size = match &data.shape {
            Some(from) if !is_open => left_over(from, &shape)?,
            _ => None,
        };
        shape[rest] = call.open(size);
    } else if let (Some(from), false) = (&data.shape, is_open)
        && let (Some(a), Some(b)) = (Size::product(from), Size::product(&shape))
        && let (Some(x), Some(y)) = (a.known(), b.known())
        && x != y
    {
        return Err(format!("shape {} of {x} elements cannot become {} of {y}", show(from), show(&shape)));
    }
    Ok(vec![Fact::Tensor(TensorFact {
        dtype: data.dtype,
        shape: Some(shape),
        elements: data.elements.clone(),
    })])
}

/// Whether it is the size of something, however small: those are written into shapes as they are.
fn is_size(size: &Size) -> bool {
    size.at_least() >= Some(0)
}

/// What -1 stands for: elements of `from` for each of those of `to`.
fn left_over(from: &[Size], to: &[Size]) -> Result<Option<Size>, String> {
    // Sizes that stand on both sides cancel, even where one might be 0.
    let mut from: Vec<&Size> = from.iter().collect();
    let mut to: Vec<&Size> = to.iter().collect();
    to.retain(|size| match size.known() {
        Some(_) => true,
        None => match from.iter().position(|other| other == size) {
            Some(at) => {
                from.remove(at);
                false
            }
            None => true,
        },
    });
    let product = |sizes: &[&Size]| Size::product(sizes.iter().copied());
    let (Some(all), Some(each)) = (product(&from), product(&to)) else { return Ok(None) };
    match (all.known(), each.known()) {
        (_, Some(0)) => Ok(None),
        (Some(a), Some(b)) if a % b != 0 => Err(format!("{a} elements are no whole number of {b}")),
        _ => Ok(all.floor_div(&each)),
    }
}

/// `Flatten`: a matrix, cut before `axis`.
pub(in crate::infer) fn flatten(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let Some(from) = &data.shape else {
        let shape = call.unknown_shape(2);
        return Ok(vec![Fact::tensor(data.dtype, Some(shape))]);
    };
    let (axis, rank) = (call.int_or("axis", 1), from.len() as i64);
    let at = if axis < 0 { axis.saturating_add(rank) } else { axis };
    if !(0..=rank).contains(&at) {
        return Err(format!("axis {axis} of a tensor of {rank} dimensions"));
    }
    let (outer, inner) = from.split_at(at as usize);
    let shape = [outer, inner].map(|sizes| call.open(Size::product(sizes))).to_vec();
    Ok(vec![Fact::Tensor(TensorFact { shape: Some(shape), ..data.clone() })])
}

/// `Squeeze`: takes dimensions of size 1 away, all of them where none is named.
pub(in crate::infer) fn squeeze(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let Some(from) = &data.shape else { return Ok(vec![Fact::tensor(data.dtype, None)]) };
    let shape = match call.numbers(1, "axes") {
        Numbers::Known(numbers) => {
            let gone = axes(&numbers, from.len())?;
            for &axis in &gone {
                if from[axis].known().is_some_and(|n| n != 1) {
                    return Err(format!("dimension {axis} of shape {} is not 1", show(from)));
                }
            }
            Some((0..from.len()).filter(|axis| !gone.contains(axis)).map(|axis| from[axis].clone()).collect())
        }
        Numbers::Absent if from.iter().all(|size| size.known().is_some()) => {
            Some(from.iter().filter(|size| !size.is(1)).cloned().collect())
        }
        Numbers::Unknown(Some(count)) if count <= from.len() => Some(call.unknown_shape(from.len() - count)),
        _ => None,
    };
    Ok(vec![Fact::Tensor(TensorFact { shape, ..data.clone() })])
}

/// `Unsqueeze`: puts dimensions of size 1 where the axes of the result are.
pub(in crate::infer) fn unsqueeze(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let Some(from) = &data.shape else { return Ok(vec![Fact::tensor(data.dtype, None)]) };
    let shape = match call.numbers(1, "axes") {
        Numbers::Known(numbers) if numbers.len() <= 64 => {
            let rank = from.len() + numbers.len();
            let new = axes(&numbers, rank)?;
            let mut old = from.iter();
            let size = |axis| {
                if new.contains(&axis) { Size::from(1) } else { old.next().cloned().expect("the rest") }
            };
            Some((0..rank).map(size).collect())
        }
        Numbers::Unknown(Some(count)) if count <= 64 => Some(call.unknown_shape(from.len() + count)),
        _ => None,
    };
    Ok(vec![Fact::Tensor(TensorFact { shape, ..data.clone() })])
}

/// `Transpose`: dimensions in the order of `perm`, reversed without one.
pub(in crate::infer) fn transpose(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let order = call.ints("perm");
    let Some(from) = &data.shape else {
        let shape = order.map(|order| call.unknown_shape(order.len()));
        return Ok(vec![Fact::tensor(data.dtype, shape)]);
    };
    let rank = from.len();
    let order = match order {
        Some(order) if order.len() == rank => axes(&order, rank)?,
        Some(order) => {
            return Err(format!("an order of {} dimensions for shape {}", order.len(), show(from)));
        }
        None => (0..rank).rev().collect(),
    };
    let shape = order.iter().map(|&axis| from[axis].clone()).collect();
    let pick = crate::infer::call::small(from).map(|from| {
        let strides = super::broadcast::strides(&from);
        let (sizes, strides): (Vec<_>, Vec<_>) =
            order.iter().map(|&axis| (from[axis], strides[axis])).unzip();
        super::broadcast::indices(&sizes, &strides)
    });
    Ok(vec![picked(data, Some(shape), pick)])
}

/// `Expand`: broadcast to a shape, both ways.
pub(in crate::infer) fn expand(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let Some(wanted) = call.elements(1) else {
        let count = call.dim(1, 0).and_then(|n| usize::try_from(n.known()?).ok()).filter(|&n| n <= 64);
        let rank = data.shape.as_ref().zip(count).map(|(shape, count)| shape.len().max(count));
        let shape = rank.map(|rank| call.unknown_shape(rank));
        return Ok(vec![Fact::tensor(data.dtype, shape)]);
    };
    let shape = call.broadcast(&[data.shape.as_deref(), Some(wanted)])?;
    let pick = shape.as_ref().and_then(|to| {
        let from = crate::infer::call::small(data.shape.as_ref()?)?;
        Some(super::broadcast::spread_indices(&from, &crate::infer::call::small(to)?))
    });
    Ok(vec![picked(data, shape, pick)])
}

/// `Tile`: each dimension so many times over; the first version repeats one axis.
pub(in crate::infer) fn tile(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).as_tensor();
    let Some(from) = &data.shape else { return Ok(vec![Fact::tensor(data.dtype, None)]) };
    let shape = match call.elements(1) {
        Some(times) if call.version >= 6 => {
            if times.len() != from.len() {
                return Err(format!("{} repeats for shape {}", times.len(), show(from)));
            }
            from.iter()
                .zip(times)
                .map(|(size, n)| size.times(n))
                .map(|size| call.open(size))
                .collect::<Vec<_>>()
        }
        Some([times]) => {
            let at = call.number(2).and_then(Size::known);
            let mut shape = from.clone();
            match at.map(|at| crate::infer::call::axis(at, from.len())).transpose()? {
                Some(at) => shape[at] = call.open(from[at].times(times)),
                None => shape = call.unknown_shape(from.len()),
            }
            shape
        }
        _ => call.unknown_shape(from.len()),
    };
    let pick = crate::infer::call::small(from).zip(crate::infer::call::small(&shape)).map(|(from, to)| {
        let strides = super::broadcast::strides(&from);
        let count: usize = to.iter().product();
        let at = super::broadcast::strides(&to);
        let index =
            |i: usize| (0..to.len()).map(|axis| i / at[axis] % to[axis] % from[axis] * strides[axis]).sum();
        (0..count).map(index).collect()
    });
    Ok(vec![picked(data, Some(shape), pick)])
}
