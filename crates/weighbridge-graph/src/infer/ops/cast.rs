//! `Cast`, `CastLike`, `BitCast`.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::{Elements, Fact, TensorFact};
use crate::infer::size::Size;

/// `Cast`: the type is named in an attribute.
pub(in crate::infer) fn cast(call: &mut Call<'_, '_>) -> Outcome {
    let to = match call.text("to") {
        // As the first version of the operator spells it.
        Some(name) => dtype_named(name),
        None => call.dtype_attribute("to"),
    };
    Ok(vec![cast_to(call, to)])
}

/// `CastLike`: the type is the second input's.
pub(in crate::infer) fn cast_like(call: &mut Call<'_, '_>) -> Outcome {
    let to = call.dtype(1);
    Ok(vec![cast_to(call, to)])
}

/// `BitCast`: the same bits as another type of the same width.
pub(in crate::infer) fn bit_cast(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![Fact::tensor(call.dtype_attribute("to"), call.shape(0).map(<[Size]>::to_vec))])
}

fn cast_to(call: &Call<'_, '_>, to: Option<DType>) -> Fact {
    let Fact::Tensor(tensor) = call.fact(0) else { return Fact::tensor(to, None) };
    let elements = tensor.elements.as_ref().zip(to).and_then(|(elements, to)| converted(elements, to));
    Fact::Tensor(TensorFact { dtype: to, shape: tensor.shape.clone(), elements })
}

/// Elements as another type, where that holds them.
fn converted(elements: &Elements, to: DType) -> Option<Elements> {
    let whole = |sizes: Vec<i64>| Elements::Whole(sizes.into_iter().map(Size::from).collect());
    match (elements, to) {
        (Elements::Whole(of), DType::Bool) => {
            let truth = |size: &Size| match (size.known(), size.at_least()) {
                (Some(n), _) => Some(Size::from(i64::from(n != 0))),
                (None, Some(1..)) => Some(1.into()),
                _ => None,
            };
            of.iter().map(truth).collect::<Option<_>>().map(Elements::Whole)
        }
        // Sizes fit whatever can count; a narrow type may not hold them.
        (Elements::Whole(of), DType::I64 | DType::I32 | DType::F64 | DType::F32) => {
            Some(Elements::Whole(of.clone()))
        }
        (Elements::Whole(of), _) => {
            let fits = |size: &Size| size.known().is_some_and(|n| (0..=127).contains(&n));
            (to.is_real() && of.iter().all(fits)).then(|| Elements::Whole(of.clone()))
        }
        (Elements::Real(of), DType::I64 | DType::I32) => {
            let whole_part = |x: &f64| (x.abs() < f64::from(i32::MAX)).then_some(x.trunc() as i64);
            of.iter().map(whole_part).collect::<Option<_>>().map(whole)
        }
        (Elements::Real(of), DType::Bool) => Some(whole(of.iter().map(|&x| i64::from(x != 0.0)).collect())),
        (Elements::Real(of), DType::F64) => Some(Elements::Real(of.clone())),
        (Elements::Real(of), DType::F32) => Some(super::binary::rounded(Some(to), of.to_vec())),
        _ => None,
    }
}

fn dtype_named(name: &str) -> Option<DType> {
    const NAMES: &[(&str, DType)] = &[
        ("FLOAT", DType::F32),
        ("UINT8", DType::U8),
        ("INT8", DType::I8),
        ("UINT16", DType::U16),
        ("INT16", DType::I16),
        ("INT32", DType::I32),
        ("INT64", DType::I64),
        ("STRING", DType::Str),
        ("BOOL", DType::Bool),
        ("FLOAT16", DType::F16),
        ("DOUBLE", DType::F64),
        ("UINT32", DType::U32),
        ("UINT64", DType::U64),
    ];
    NAMES.iter().find(|(n, _)| *n == name).map(|(_, dtype)| *dtype)
}
