//! From one element type to another.

use weighbridge_model::DType;

use super::array::{Data, round};
use super::{Array, Call, Evaluate};

pub(super) fn operator(op: &str) -> Option<Evaluate> {
    match op {
        "Cast" => Some(cast),
        "CastLike" => Some(|call| Ok(vec![to(call.input(0)?, call.input(1)?.dtype)?])),
        _ => None,
    }
}

fn cast(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let number = call.int("to").ok_or("no type to cast to")?;
    let dtype = dtype(number).ok_or_else(|| format!("element type {number} is not folded"))?;
    Ok(vec![to(call.input(0)?, dtype)?])
}

/// The element type of this number in ONNX, of those that are computed with.
pub(crate) fn dtype(number: i64) -> Option<DType> {
    DType::from_onnx(number)
        .filter(|dtype| dtype.is_real() && dtype.bits() >= if dtype.is_float() { 16 } else { 8 })
}

/// The number of an element type in ONNX, as [`dtype`] reads it.
pub(crate) fn number(wanted: DType) -> Option<i64> {
    (1..=16).find(|&number| dtype(number) == Some(wanted))
}

fn to(array: &Array, dtype: DType) -> Result<Array, String> {
    let shape = array.shape.clone();
    let result = match (&array.data, dtype.is_float()) {
        (Data::Ints(all), true) => {
            let float = |&i: &i64| if dtype == DType::F32 { f64::from(i as f32) } else { i as f64 };
            Array::floats(dtype, shape, all.iter().map(float).collect())
        }
        (Data::Ints(all), false) => {
            if dtype == DType::U64 && all.iter().any(|&i| i < 0) {
                return Err("a negative number as an unsigned one".into());
            }
            Array::ints(dtype, shape, all.clone())
        }
        (Data::Floats(all), true) => Array::floats(dtype, shape, all.clone()),
        (Data::Floats(all), false) if dtype == DType::Bool => {
            Array::ints(dtype, shape, all.iter().map(|&x| i64::from(x != 0.0)).collect())
        }
        (Data::Floats(all), false) => {
            let bits = dtype.bits().min(63) as i32
                - i32::from(dtype.class() == weighbridge_model::Class::Signed && dtype.bits() < 64);
            let high = f64::powi(2.0, bits);
            let low = if dtype.class() == weighbridge_model::Class::Signed { -high } else { 0.0 };
            if all.iter().any(|x| !(x.trunc() >= low && x.trunc() < high)) {
                return Err(format!(
                    "a number that {dtype} does not hold, of which each runtime makes what it will"
                ));
            }
            Array::ints(dtype, shape, all.iter().map(|&x| x as i64).collect())
        }
    };
    if dtype == DType::F16 && result.has_infinite() && !array.has_infinite() {
        return Err("it would overflow F16".into());
    }
    Ok(result)
}

/// `x` rounded as elements of `dtype` are.
pub(super) fn rounded(dtype: DType, x: f64) -> f64 {
    round(dtype, x)
}
