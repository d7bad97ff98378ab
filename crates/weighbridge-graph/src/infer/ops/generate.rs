//! Operators that make tensors out of little: constants, ranges, random numbers, windows.

use weighbridge_model::{Attribute, DType};

use crate::infer::call::{Call, Outcome, whole};
use crate::infer::constant::{MOST_ELEMENTS, floats};
use crate::infer::fact::{Elements, Fact, TensorFact};
use crate::infer::size::Size;

/// The attributes that may hold a constant.
const FORMS: [&str; 8] = [
    "value",
    "sparse_value",
    "value_int",
    "value_ints",
    "value_float",
    "value_floats",
    "value_string",
    "value_strings",
];

/// `Constant`, in whichever of its attributes it stands.
pub(in crate::infer) fn constant(call: &mut Call<'_, '_>) -> Outcome {
    for name in FORMS {
        let real = |of: Vec<f64>, shape: Vec<Size>| {
            let elements = (of.len() <= 16).then(|| floats(of));
            Fact::Tensor(TensorFact { dtype: Some(DType::F32), shape: Some(shape), elements })
        };
        let one = |count: usize| vec![Size::from(count as i64)];
        let text = |shape| Fact::tensor(Some(DType::Str), Some(shape));
        let fact = match (name, call.attribute(name)) {
            ("value", Some(Attribute::Tensor(id))) => call.engine.constant(*id),
            ("sparse_value", Some(Attribute::Sparse(sparse))) => {
                let dtype = call.engine.constant(sparse.values).dtype();
                Fact::tensor(dtype, Some(sparse.dims.iter().map(|&n| Size::from(n as i64)).collect()))
            }
            ("value_int", Some(_)) => {
                whole(Some(DType::I64), Vec::new(), call.int(name).map(|n| vec![n.into()]))
            }
            ("value_ints", _) => match call.ints(name) {
                Some(ints) => {
                    whole(Some(DType::I64), one(ints.len()), Some(ints.into_iter().map(Size::from).collect()))
                }
                None => continue,
            },
            ("value_float", Some(Attribute::Value(value))) => {
                real(value.as_float().into_iter().collect(), Vec::new())
            }
            ("value_floats", _) => match call.floats(name) {
                Some(floats) => {
                    let count = floats.len();
                    real(floats, one(count))
                }
                None => continue,
            },
            ("value_string", Some(_)) => text(Vec::new()),
            ("value_strings", Some(Attribute::Value(value))) => {
                text(one(value.as_list().map_or(0, <[_]>::len)))
            }
            _ => continue,
        };
        return Ok(vec![fact]);
    }
    Ok(vec![])
}

/// `ConstantOfShape`: F32 zeros, or copies of the one element of `value`.
pub(in crate::infer) fn constant_of_shape(call: &mut Call<'_, '_>) -> Outcome {
    let value = match call.attribute("value") {
        Some(Attribute::Tensor(id)) => call.engine.constant(*id),
        _ => whole(Some(DType::F32), vec![1.into()], Some(vec![0.into()])),
    };
    let shape = shape_from(call, 0)?;
    let elements = shape.as_ref().and_then(|shape| crate::infer::call::small(shape)).and_then(|shape| {
        let count = shape.iter().product();
        match value.as_tensor().elements.as_ref()? {
            Elements::Whole(of) => Some(Elements::Whole(vec![of.first()?.clone(); count].into())),
            Elements::Real(of) => Some(Elements::Real(vec![*of.first()?; count].into())),
        }
    });
    Ok(vec![Fact::Tensor(TensorFact { dtype: value.dtype(), shape, elements })])
}

/// The shape whose sizes an input holds.
pub(super) fn shape_from(call: &mut Call<'_, '_>, input: usize) -> Result<Option<Vec<Size>>, String> {
    if let Some(sizes) = call.elements(input) {
        if let Some(negative) = sizes.iter().find(|size| size.known().is_some_and(|n| n < 0)) {
            return Err(format!("a shape with size {negative}"));
        }
        return Ok(Some(sizes.to_vec()));
    }
    let rank = call.dim(input, 0).and_then(|n| usize::try_from(n.known()?).ok()).filter(|&n| n <= 64);
    Ok(rank.map(|rank| call.unknown_shape(rank)))
}

/// `Range`.
pub(in crate::infer) fn range(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = call.dtype(0).or(call.dtype(1)).or(call.dtype(2));
    let one = |input| call.fact(input).floats().and_then(|all| all.first().copied());
    if let (Some(start), Some(limit), Some(step)) = (one(0), one(1), one(2))
        && call.number(0).and(call.number(1)).and(call.number(2)).and_then(Size::known).is_none()
    {
        let count = ((limit - start) / step).ceil().max(0.0);
        let count = (count < 1e15).then_some(Size::from(count as i64));
        let count = call.open(count);
        return Ok(vec![Fact::tensor(dtype, Some(vec![count]))]);
    }
    let (start, limit, step) = (call.number(0), call.number(1), call.number(2));
    let count = match (start, limit, step.and_then(Size::known)) {
        (_, _, Some(0)) => return Err("a range of steps of 0".to_owned()),
        (Some(start), Some(limit), Some(step)) => count(start, limit, step),
        _ => None,
    };
    let elements =
        start.zip(step).zip(count.as_ref().and_then(Size::known)).and_then(|((start, step), n)| {
            let at = |i: i64| start.plus(&step.times(&i.into())?);
            (n <= MOST_ELEMENTS as i64).then(|| (0..n).map(at).collect::<Option<Vec<_>>>())?
        });
    let count = call.open(count);
    Ok(vec![whole(dtype, vec![count], elements)])
}

/// How many numbers there are from `start` to `limit`, less than which they stay.
fn count(start: &Size, limit: &Size, step: i64) -> Option<Size> {
    let span = if step > 0 { limit.minus(start)? } else { start.minus(limit)? };
    span.ceil_div(&step.checked_abs()?.into())?.larger(&0.into())
}

/// `RandomNormal`, `RandomUniform`: the shape is an attribute.
pub(in crate::infer) fn random(call: &mut Call<'_, '_>) -> Outcome {
    let shape = call.ints("shape").map(|sizes| sizes.into_iter().map(Size::from).collect());
    Ok(vec![Fact::tensor(Some(call.dtype_attribute("dtype").unwrap_or(DType::F32)), shape)])
}

/// `RandomNormalLike` and others: of the shape of an input, and of its type where no other is named.
pub(in crate::infer) fn like(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = call.dtype_attribute("dtype").or(call.dtype(0));
    Ok(vec![Fact::tensor(dtype, call.shape(0).map(<[Size]>::to_vec))])
}

/// `Multinomial`: `sample_size` draws a row.
pub(in crate::infer) fn multinomial(call: &mut Call<'_, '_>) -> Outcome {
    let rows = call.shape_of_rank(0, 2)?.map(|shape| shape[0].clone());
    let shape = vec![call.open(rows), call.int_or("sample_size", 1).into()];
    Ok(vec![Fact::tensor(Some(call.dtype_attribute("dtype").unwrap_or(DType::I32)), Some(shape))])
}

/// `HannWindow` and others: as many numbers as the input says.
pub(in crate::infer) fn window(call: &mut Call<'_, '_>) -> Outcome {
    let count = call.open(call.number(0).cloned());
    let dtype = call.dtype_attribute("output_datatype").unwrap_or(DType::F32);
    Ok(vec![Fact::tensor(Some(dtype), Some(vec![count]))])
}

/// `MelWeightMatrix`: `[dft_length / 2 + 1, num_mel_bins]`.
pub(in crate::infer) fn mel_weights(call: &mut Call<'_, '_>) -> Outcome {
    let half = call.number(1).and_then(|n| n.floor_div(&2.into())?.plus(&1.into()));
    let shape = vec![call.open(half), call.open(call.number(0).cloned())];
    let dtype = call.dtype_attribute("output_datatype").unwrap_or(DType::F32);
    Ok(vec![Fact::tensor(Some(dtype), Some(shape))])
}
