//! Quantization.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `QuantizeLinear`: of the type of the zero point, of the attribute, or U8.
pub(in crate::infer) fn quantize(call: &mut Call<'_, '_>) -> Outcome {
    let named = call.int("output_dtype").filter(|&number| number != 0);
    let named = named.and_then(DType::from_onnx);
    let dtype = if call.has(2) { call.dtype(2) } else { Some(named.unwrap_or(DType::U8)) };
    Ok(vec![Fact::tensor(dtype, call.shape(0).map(<[Size]>::to_vec))])
}

/// `DequantizeLinear`: of the type of the scale, unless an attribute names another.
pub(in crate::infer) fn dequantize(call: &mut Call<'_, '_>) -> Outcome {
    let named = call.int("output_dtype").filter(|&number| number != 0);
    let dtype = named.and_then(DType::from_onnx).or(call.dtype(1));
    Ok(vec![Fact::tensor(dtype, call.shape(0).map(<[Size]>::to_vec))])
}

/// `DynamicQuantizeLinear`: codes, scale, zero point.
pub(in crate::infer) fn dynamic(call: &mut Call<'_, '_>) -> Outcome {
    let codes = Fact::tensor(Some(DType::U8), call.shape(0).map(<[Size]>::to_vec));
    let one = |dtype| Fact::tensor(Some(dtype), Some(Vec::new()));
    Ok(vec![codes, one(DType::F32), one(DType::U8)])
}

/// `QLinearAdd`, `QLinearMul` of `com.microsoft`: inputs 0 and 3 are broadcast.
pub(in crate::infer) fn qlinear_binary(call: &mut Call<'_, '_>) -> Outcome {
    let shape = call.broadcast_inputs(&[0, 3])?;
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}
