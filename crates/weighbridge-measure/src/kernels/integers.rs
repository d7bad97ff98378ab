//! Integers of 64 bits: extremes exactly, where f64 would have rounded them.

use weighbridge_model::DType;

use crate::summary::{Number, Summary};

/// Figures of whole numbers, from those of the same numbers as floats.
pub(super) fn exact_extremes(dtype: DType, bytes: &[u8], mut summary: Summary) -> Summary {
    let whole = |n: Option<Number>| n.map(|n| Number::Int(n.to_f64() as i128));
    let extremes = match dtype {
        DType::I64 => extremes(bytes, i64::from_le_bytes, i64::unsigned_abs),
        DType::U64 => extremes(bytes, u64::from_le_bytes, |i| i),
        _ => None,
    };
    let figures = [&mut summary.min, &mut summary.max, &mut summary.abs_min, &mut summary.abs_min_nonzero];
    figures.into_iter().chain([&mut summary.abs_max]).for_each(|n| *n = whole(*n));
    let Some((low, high, nonzero)) = extremes else { return summary };
    summary.min = Some(Number::Int(low));
    summary.max = Some(Number::Int(high));
    summary.abs_max = Some(Number::Int(low.abs().max(high.abs())));
    summary.abs_min_nonzero = nonzero.map(Number::Int);
    summary.abs_min = if summary.zero > 0 { Some(Number::Int(0)) } else { summary.abs_min_nonzero };
    summary
}

/// Least and largest value, and least nonzero magnitude.
fn extremes<T: Ord + Copy + Into<i128>>(
    bytes: &[u8],
    read: impl Fn([u8; 8]) -> T,
    magnitude: impl Fn(T) -> u64,
) -> Option<(i128, i128, Option<i128>)> {
    let (elements, _) = bytes.as_chunks();
    let first = read(*elements.first()?);
    let (mut low, mut high, mut small) = (first, first, u64::MAX);
    for value in elements.iter().map(|&b| read(b)) {
        low = low.min(value);
        high = high.max(value);
        // Less one, zero is the largest of all.
        small = small.min(magnitude(value).wrapping_sub(1));
    }
    let nonzero = (small != u64::MAX).then(|| i128::from(small) + 1);
    Some((low.into(), high.into(), nonzero))
}
