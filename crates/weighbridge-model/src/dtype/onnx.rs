//! Numbers of element types in ONNX's `TensorProto.DataType`: its files tell types by them, and so do attributes of its
//! operators (`to` of Cast), which graphs hold as they stand.

use super::DType;

/// By number. 0 is "undefined"; 27 and 28 are floats of six bits.
const DTYPES: [Option<DType>; 27] = [
    None,
    Some(DType::F32),
    Some(DType::U8),
    Some(DType::I8),
    Some(DType::U16),
    Some(DType::I16),
    Some(DType::I32),
    Some(DType::I64),
    Some(DType::Str),
    Some(DType::Bool),
    Some(DType::F16),
    Some(DType::F64),
    Some(DType::U32),
    Some(DType::U64),
    Some(DType::C64),
    Some(DType::C128),
    Some(DType::BF16),
    Some(DType::F8E4M3),
    Some(DType::F8E4M3Fnuz),
    Some(DType::F8E5M2),
    Some(DType::F8E5M2Fnuz),
    Some(DType::U4),
    Some(DType::I4),
    Some(DType::F4E2M1),
    Some(DType::F8E8M0),
    Some(DType::U2),
    Some(DType::I2),
];

impl DType {
    /// The type of this number in ONNX.
    pub fn from_onnx(number: i64) -> Option<DType> {
        *DTYPES.get(usize::try_from(number).ok()?)?
    }

    /// The number of this type in ONNX; `None` where it has none.
    pub fn to_onnx(self) -> Option<i64> {
        DTYPES.iter().position(|&dtype| dtype == Some(self)).map(|number| number as i64)
    }
}
