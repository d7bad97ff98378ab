//! f32 and f64, as far as the kernels need them.

use std::ops::{Add, Div, Mul, Sub};

use crate::histogram::BINS;
use weighbridge_model::dtype::FloatFormat;

/// A type that values are measured in.
pub(crate) trait Float:
    Copy + PartialOrd + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Sync
{
    /// An element as it is stored.
    type Bytes: Copy;
    type Bits: Copy + Ord;
    const ZERO: Self;
    const ONE: Self;
    const BINS: Self;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    const ALL_ONES: Self::Bits;
    /// Whether squares are exact in f64.
    const SQUARES_ARE_EXACT: bool;
    /// Values of the exponent field.
    const FIELDS: usize;
    /// Exponent of the least subnormal.
    const LEAST_EXPONENT: i32;
    /// What is added to the field of a normal number to get its exponent.
    const FIELD_EXPONENT: i32;

    fn read(bytes: Self::Bytes) -> Self;
    fn widen(self) -> f64;
    fn narrow(x: f64) -> Self;
    fn from_integer(i: i128) -> Self;
    fn next_below(self) -> Self;
    fn next_above(self) -> Self;
    fn magnitude(self) -> Self;
    /// Bits of the magnitude: they rise with it.
    fn magnitude_bits(self) -> Self::Bits;
    /// The number of these bits.
    fn of_bits(bits: Self::Bits) -> f64;
    /// Bits of the magnitude minus one: zero wraps to the largest, so that a minimum passes it over.
    fn magnitude_less_one(self) -> Self::Bits;
    fn from_magnitude_less_one(bits: Self::Bits) -> f64;
    /// The exponent field.
    fn field(self) -> u32;
    /// Least and largest magnitude with this exponent field.
    fn of_field(field: usize) -> (Self, Self);
    /// The bin that a position `0..BINS` on the scale lies in; positions beyond either end, the last edge
    /// and NaN are in the bin at that end, or the last one.
    fn bin(position: Self) -> i32;
    /// 2 to the `23 - m` (`52 - m`) over the magnitude, or over `least` where that is larger: added and
    /// taken away, it leaves the magnitude rounded to a mantissa of m bits.
    fn lifted(self, least: Self, lift: Self::Bits) -> Self;
    fn lift(format: FloatFormat) -> Self::Bits;
}

macro_rules! float {
    ($float:ident, $bits:ident, $bytes:literal, mantissa $mantissa:literal, bias $bias:literal) => {
        impl Float for $float {
            type Bytes = [u8; $bytes];
            type Bits = $bits;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const BINS: Self = BINS as Self;
            const INFINITY: Self = $float::INFINITY;
            const NEG_INFINITY: Self = $float::NEG_INFINITY;
            const ALL_ONES: $bits = $bits::MAX;
            const SQUARES_ARE_EXACT: bool = 2 * ($mantissa + 1) <= f64::MANTISSA_DIGITS;
            const FIELDS: usize = 2 * ($bias + 1);
            const LEAST_EXPONENT: i32 = 1 - $bias - $mantissa;
            const FIELD_EXPONENT: i32 = -$bias;

            #[inline(always)]
            fn read(bytes: Self::Bytes) -> Self {
                Self::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn widen(self) -> f64 {
                self as f64
            }
            fn narrow(x: f64) -> Self {
                x as Self
            }
            fn from_integer(i: i128) -> Self {
                i as Self
            }
            fn next_below(self) -> Self {
                self.next_down()
            }

            fn next_above(self) -> Self {
                self.next_up()
            }

            #[inline(always)]
            fn magnitude(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn magnitude_bits(self) -> $bits {
                self.abs().to_bits()
            }
            fn of_bits(bits: $bits) -> f64 {
                Self::from_bits(bits) as f64
            }
            #[inline(always)]
            fn magnitude_less_one(self) -> $bits {
                (self.to_bits() & ($bits::MAX >> 1)).wrapping_sub(1)
            }
            fn from_magnitude_less_one(bits: $bits) -> f64 {
                Self::from_bits(bits.wrapping_add(1)) as f64
            }
            #[inline(always)]
            fn field(self) -> u32 {
                (self.abs().to_bits() >> $mantissa) as u32
            }
            fn of_field(field: usize) -> (Self, Self) {
                let least = (field as $bits) << $mantissa;
                (Self::from_bits(least), Self::from_bits(least | ((1 << $mantissa) - 1)))
            }
            #[inline(always)]
            fn bin(position: Self) -> i32 {
                const LAST: $float = (BINS - 1) as $float;
                let below = if position < LAST { position } else { LAST };
                let within = if below > 0.0 { below } else { 0.0 };
                // SAFETY: a number in 0..=99, whatever the position was; NaN became the last bin.
                unsafe { within.to_int_unchecked() }
            }
            #[inline(always)]
            fn lifted(self, least: Self, lift: $bits) -> Self {
                const FIELD: $bits = $float::INFINITY.to_bits();
                Self::from_bits((self.to_bits() & FIELD).max(least.to_bits()) + lift)
            }
            fn lift(format: FloatFormat) -> $bits {
                $bits::from($mantissa - format.mantissa_bits) << $mantissa
            }
        }
    };
}

float!(f32, u32, 4, mantissa 23, bias 127);
float!(f64, u64, 8, mantissa 52, bias 1023);
