//! TensorFlow's element types, by their numbers.

use weighbridge_model::{DType, Error, Place, Result};

/// How elements of a type are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Type {
    /// What they are read as; a quantized type's codes are the whole numbers of its width.
    pub dtype: DType,
    /// Bytes that one takes; TensorFlow keeps what is narrower in a byte of its own.
    pub width: u64,
}

/// Types by their number. 20 is a resource, 21 a variant, 27 an FP8 that nothing else knows.
const TYPES: [Option<DType>; 34] = [
    None,
    Some(DType::F32),
    Some(DType::F64),
    Some(DType::I32),
    Some(DType::U8),
    Some(DType::I16),
    Some(DType::I8),
    Some(DType::Str),
    Some(DType::C64),
    Some(DType::I64),
    Some(DType::Bool),
    Some(DType::I8),
    Some(DType::U8),
    Some(DType::I32),
    Some(DType::BF16),
    Some(DType::I16),
    Some(DType::U16),
    Some(DType::U16),
    Some(DType::C128),
    Some(DType::F16),
    Some(DType::Str),
    Some(DType::Str),
    Some(DType::U32),
    Some(DType::U64),
    Some(DType::F8E5M2),
    Some(DType::F8E4M3),
    Some(DType::F8E4M3Fnuz),
    None,
    Some(DType::F8E5M2Fnuz),
    Some(DType::I4),
    Some(DType::U4),
    Some(DType::I2),
    Some(DType::U2),
    Some(DType::F4E2M1),
];

/// A reference to a variable of a type is that type's number and this.
const REFERENCE: i64 = 100;

/// The element type of this number, if elements of it can be read; strings, resources and variants are opaque.
pub(super) fn dtype(number: i64) -> Option<DType> {
    let number = if number > REFERENCE { number - REFERENCE } else { number };
    *TYPES.get(usize::try_from(number).ok()?)?
}

/// As [`dtype`], with how elements are stored.
///
/// # Errors
/// A number that is none of a type, or of one that is not read.
pub(super) fn of(number: i64, place: &Place) -> Result<Type> {
    match dtype(number) {
        Some(dtype) => Ok(Type { dtype, width: u64::from(dtype.bits().div_ceil(8)) }),
        None if number == 27 => {
            let what = "elements of type float8_e4m3b11fnuz, which nothing but TensorFlow has";
            Err(Error::unsupported(place.clone(), what))
        }
        None => {
            let what = format!("element type {number}, which is none of TensorFlow up to 2.21");
            Err(Error::malformed(place.clone(), what))
        }
    }
}
