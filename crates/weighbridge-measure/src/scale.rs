//! Powers of two that keep squares of F64 values within f64's range.

use weighbridge_model::dtype::exponent;

/// Largest power that is used: it and its inverse are normal numbers, and what it brings near 1 (down to
/// 2^-74, for the least subnormal) can be squared.
const MOST: i32 = 1000;

/// 2^power; 0 below the least normal number.
pub(crate) fn exp2(power: i32) -> f64 {
    if power < -1022 { 0.0 } else { f64::from_bits(((power + 1023) as u64) << 52) }
}

/// The power whose inverse brings values up to `abs_max` near 1; 0 where their squares can be summed as
/// they are.
pub(crate) fn power_for(abs_max: f64) -> i32 {
    let ordinary = exp2(-300)..=exp2(300);
    if abs_max == 0.0 || ordinary.contains(&abs_max) { 0 } else { exponent(abs_max).clamp(-MOST, MOST) }
}
