//! Quantised numbers: to codes and back, and products of codes.

use weighbridge_model::DType;

use super::Row;
use crate::emit::pytorch::scope::{Ruled, Work};

pub(super) const RULES: &[Row] = &[
    ("QuantizeLinear", quantize),
    ("DequantizeLinear", dequantize),
    ("DynamicQuantizeLinear", dynamic),
    ("MatMulInteger", matmul_integer),
];

fn quantize(w: &mut Work<'_, '_>) -> Ruled {
    let (x, scale, rank) = (w.x(0)?, w.x(1)?, w.rank(0));
    if w.int("block_size", 0) != 0 {
        return Err("scales of blocks".into());
    }
    let dtype = if w.has(2) { w.dtype(2) } else { Some(DType::U8) };
    let dtype = match w.int("output_dtype", 0) {
        0 => dtype,
        n => DType::from_onnx(n),
    };
    let name = match dtype {
        Some(DType::U8) => "torch.uint8",
        Some(DType::I8) => "torch.int8",
        Some(DType::I16) => "torch.int16",
        Some(other) => return Err(format!("codes of {other}").into()),
        None => return Err("the type of its codes is not known".into()),
    };
    w.learn(0, dtype, rank);
    let (zero, axis) = (w.x_or_none(2)?, w.int("axis", 1));
    let help = w.help("quantize");
    w.scope.helpers.insert("along");
    w.give(format!("{help}({x}, {scale}, {zero}, {axis}, {name})"))
}

fn dequantize(w: &mut Work<'_, '_>) -> Ruled {
    let (x, scale, rank, dtype) = (w.x(0)?, w.x(1)?, w.rank(0), w.dtype(1));
    if w.int("block_size", 0) != 0 {
        return Err("scales of blocks".into());
    }
    w.learn(0, dtype, rank);
    let (zero, axis) = (w.x_or_none(2)?, w.int("axis", 1));
    let help = w.help("dequantize");
    w.scope.helpers.insert("along");
    w.give(format!("{help}({x}, {scale}, {zero}, {axis})"))
}

fn dynamic(w: &mut Work<'_, '_>) -> Ruled {
    let (x, rank) = (w.x(0)?, w.rank(0));
    w.learn(0, Some(DType::U8), rank);
    let help = w.help("quantize_dynamically");
    w.give_first(3, format!("{help}({x})"))
}

/// In whole numbers of 32 bits, as ONNX has it.
fn matmul_integer(w: &mut Work<'_, '_>) -> Ruled {
    let (a, b) = (w.x(0)?, w.x(1)?);
    let (za, zb) = (w.x_or_none(2)?, w.x_or_none(3)?);
    let help = w.help("matmul_integer");
    w.learn(0, Some(DType::I32), None);
    w.give(format!("{help}({a}, {b}, {za}, {zb})"))
}
