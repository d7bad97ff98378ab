//! Integers: moments on f64 values, extremes exactly.

use weighbridge_model::{DType, dtype};

use crate::summary::{Number, Summary};

/// The values as f64; 64-bit ones beyond 2^53 are rounded.
pub(super) fn widen(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        DType::I64 => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        DType::U64 => bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b) as f64).collect(),
        DType::I32 => bytes.as_chunks().0.iter().map(|b| f64::from(i32::from_le_bytes(*b))).collect(),
        _ => bytes.chunks_exact(dtype.chunk_bytes()).map(|e| dtype::to_f64(dtype, e)).collect(),
    }
}

/// Replaces the extremes, which 64-bit values may have lost to rounding, by exact ones.
pub(super) fn exact_extremes(dtype: DType, bytes: &[u8], summary: &mut Summary) {
    let (low, high, nonzero) = match dtype {
        DType::I64 => extremes(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b))),
        DType::U64 => extremes(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b))),
        DType::I32 => extremes(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b))),
        _ => {
            let value = |e| dtype::to_integer(dtype, e).unwrap_or(0) as i64;
            extremes(bytes.chunks_exact(dtype.chunk_bytes()).map(value))
        }
    };
    if summary.count == 0 {
        return;
    }
    summary.min = Some(Number::Int(low));
    summary.max = Some(Number::Int(high));
    summary.abs_max = Some(Number::Int(low.abs().max(high.abs())));
    summary.abs_min_nonzero = nonzero.map(Number::Int);
    summary.abs_min = if summary.zero > 0 { Some(Number::Int(0)) } else { summary.abs_min_nonzero };
}

/// Least and largest value, and least nonzero magnitude.
fn extremes<T: Into<i128> + Copy + Ord>(values: impl Iterator<Item = T>) -> (i128, i128, Option<i128>) {
    let (mut low, mut high) = (i128::MAX, i128::MIN);
    let mut nonzero = i128::MAX;
    for value in values {
        let value: i128 = value.into();
        low = low.min(value);
        high = high.max(value);
        if value != 0 {
            nonzero = nonzero.min(value.abs());
        }
    }
    (low, high, (nonzero != i128::MAX).then_some(nonzero))
}
