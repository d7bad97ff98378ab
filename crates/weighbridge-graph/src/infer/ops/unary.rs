//! Operators that work on each element by itself.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::{Elements, Fact, TensorFact};
use crate::infer::size::Size;

/// The first output is as the first input; nothing is known of elements.
pub(in crate::infer) fn same(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![call.fact(0).clone().without_elements()])
}

/// What comes in goes out.
pub(in crate::infer) fn identity(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![call.fact(0).clone()])
}

/// Truth values of the shape of the first input.
pub(in crate::infer) fn truth(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![Fact::tensor(Some(DType::Bool), call.shape(0).map(<[Size]>::to_vec))])
}

/// `Dropout`: the mask has the type of the data before it was one of truth values.
pub(in crate::infer) fn dropout(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).clone();
    let dtype = if call.version < 10 { call.dtype(0) } else { Some(DType::Bool) };
    // Training may change elements; inference may not.
    let elements_stay = call.version >= 7 && !call.has(2);
    let mask = Fact::tensor(dtype, data.shape().map(<[Size]>::to_vec));
    Ok(vec![if elements_stay { data } else { data.without_elements() }, mask])
}

/// `Neg`.
pub(in crate::infer) fn negate(call: &mut Call<'_, '_>) -> Outcome {
    mapped(call, |size| Size::from(0).minus(size), |x| -x)
}

/// `Abs`.
pub(in crate::infer) fn absolute(call: &mut Call<'_, '_>) -> Outcome {
    mapped(
        call,
        |size| match size.at_least() {
            Some(0..) => Some(size.clone()),
            _ => size.known()?.checked_abs().map(Size::from),
        },
        f64::abs,
    )
}

/// `Floor`.
pub(in crate::infer) fn floor(call: &mut Call<'_, '_>) -> Outcome {
    mapped(call, |size| Some(size.clone()), f64::floor)
}

/// `Ceil`.
pub(in crate::infer) fn ceil(call: &mut Call<'_, '_>) -> Outcome {
    mapped(call, |size| Some(size.clone()), f64::ceil)
}

/// `Round`, ties to even.
pub(in crate::infer) fn round(call: &mut Call<'_, '_>) -> Outcome {
    mapped(call, |size| Some(size.clone()), f64::round_ties_even)
}

/// `Relu`.
pub(in crate::infer) fn relu(call: &mut Call<'_, '_>) -> Outcome {
    mapped(call, |size| size.larger(&0.into()), |x| x.max(0.0))
}

/// `Not`.
pub(in crate::infer) fn not(call: &mut Call<'_, '_>) -> Outcome {
    mapped(call, |size| Size::from(1).minus(size), |x| x)
}

/// `Sqrt`, of which float elements are followed.
pub(in crate::infer) fn sqrt(call: &mut Call<'_, '_>) -> Outcome {
    let floats = call.fact(0).floats();
    let elements = floats
        .map(|floats| super::binary::rounded(call.dtype(0), floats.into_iter().map(f64::sqrt).collect()));
    Ok(vec![with_elements(call, elements)])
}

fn mapped(
    call: &mut Call<'_, '_>,
    whole: impl Fn(&Size) -> Option<Size>,
    real: impl Fn(f64) -> f64,
) -> Outcome {
    let elements = match &call.fact(0).as_tensor().elements {
        None => None,
        Some(Elements::Whole(of)) => of
            .iter()
            .map(|size| Some(whole(size).unwrap_or_else(|| call.engine.fresh.number())))
            .collect::<Option<_>>()
            .map(Elements::Whole),
        Some(Elements::Real(of)) => {
            Some(super::binary::rounded(call.dtype(0), of.iter().map(|&x| real(x)).collect()))
        }
    };
    Ok(vec![with_elements(call, elements)])
}

fn with_elements(call: &Call<'_, '_>, elements: Option<Elements>) -> Fact {
    match call.fact(0) {
        Fact::Tensor(tensor) => Fact::Tensor(TensorFact { elements, ..tensor.clone() }),
        other => other.clone(),
    }
}
