//! Operators that make one of many elements along axes.

use weighbridge_model::DType;

use crate::infer::call::{Call, Numbers, Outcome, axes, axis, whole};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `ReduceMean` and all others of which no elements are followed.
pub(in crate::infer) fn reduce(call: &mut Call<'_, '_>) -> Outcome {
    reduced(call, |_| None)
}

/// `ReduceProd`.
pub(in crate::infer) fn product(call: &mut Call<'_, '_>) -> Outcome {
    reduced(call, |all| Size::product(all))
}

/// `ReduceSum`.
pub(in crate::infer) fn sum(call: &mut Call<'_, '_>) -> Outcome {
    reduced(call, |all| Size::sum(all))
}

/// `ReduceMax`.
pub(in crate::infer) fn max(call: &mut Call<'_, '_>) -> Outcome {
    reduced(call, |all| {
        all.split_first().and_then(|(first, rest)| rest.iter().try_fold(first.clone(), |a, b| a.larger(b)))
    })
}

/// `ReduceMin`.
pub(in crate::infer) fn min(call: &mut Call<'_, '_>) -> Outcome {
    reduced(call, |all| {
        all.split_first().and_then(|(first, rest)| rest.iter().try_fold(first.clone(), |a, b| a.smaller(b)))
    })
}

/// Reduces along `axes`: all of them where none is given, unless that is to do nothing. `of` makes one element of all.
fn reduced(call: &mut Call<'_, '_>, of: impl Fn(&[Size]) -> Option<Size>) -> Outcome {
    let dtype = call.dtype(0);
    let keep = call.int_or("keepdims", 1) != 0;
    let does_nothing = call.int_or("noop_with_empty_axes", 0) != 0;
    let numbers = call.numbers(1, "axes");
    let Some(from) = call.shape(0) else {
        let is_all = matches!(&numbers, Numbers::Absent) && !does_nothing && !keep;
        return Ok(vec![Fact::tensor(dtype, is_all.then(Vec::new))]);
    };
    let gone = match numbers {
        Numbers::Known(numbers) if !numbers.is_empty() => axes(&numbers, from.len())?,
        Numbers::Unknown(count) if count != Some(0) => {
            let rank =
                if keep { Some(from.len()) } else { count.and_then(|count| from.len().checked_sub(count)) };
            let shape = rank.map(|rank| call.unknown_shape(rank));
            return Ok(vec![Fact::tensor(dtype, shape)]);
        }
        _ if does_nothing => Vec::new(),
        _ => (0..from.len()).collect(),
    };
    let mut is_gone = vec![false; from.len()];
    gone.iter().for_each(|&axis| is_gone[axis] = true);
    let each = from.iter().zip(&is_gone);
    let shape = each.filter_map(|(size, gone)| match gone {
        true => keep.then(|| Size::from(1)),
        false => Some(size.clone()),
    });
    let shape: Vec<Size> = shape.collect();
    let element = if gone.len() == from.len() { call.elements(0).and_then(of) } else { None };
    let elements = element.map(|element| vec![element]);
    Ok(vec![whole(dtype, shape, elements)])
}

/// `ArgMax`, `ArgMin`: indices along one axis.
pub(in crate::infer) fn arg(call: &mut Call<'_, '_>) -> Outcome {
    let keep = call.int_or("keepdims", 1) != 0;
    let shape = match call.shape(0) {
        Some(from) => {
            let at = axis(call.int_or("axis", 0), from.len())?;
            let mut shape = from.to_vec();
            match keep {
                true => shape[at] = 1.into(),
                false => drop(shape.remove(at)),
            }
            Some(shape)
        }
        None => None,
    };
    Ok(vec![Fact::tensor(Some(DType::I64), shape)])
}

/// `TopK`: so many along one axis, and their indices; `k` is an attribute in the first version.
pub(in crate::infer) fn top_k(call: &mut Call<'_, '_>) -> Outcome {
    let shape = match call.shape(0) {
        Some(from) => {
            let at = axis(call.int_or("axis", -1), from.len())?;
            let mut shape = from.to_vec();
            let k = call.number(1).cloned().or(call.int("k").map(Size::from));
            if let (Some(k), Some(size)) = (k.as_ref().and_then(Size::known), shape[at].known())
                && k > size
            {
                return Err(format!("the largest {k} of {size}"));
            }
            shape[at] = call.open(k);
            Some(shape)
        }
        None => None,
    };
    Ok(vec![Fact::tensor(call.dtype(0), shape.clone()), Fact::tensor(Some(DType::I64), shape)])
}
