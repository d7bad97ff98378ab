//! The second pass over a block: bin and exponent of each magnitude, in one count.
//!
//! Both rise with the magnitude, so their sum, the key, tells both: [`crate::Histogram`] reads it back.

use super::float::Float;
use super::prefetch::prefetch;
use crate::histogram::BINS;
use crate::pairs::{AT_ONCE, Keys};

/// Bytes that memory is asked for ahead of a part.
const AHEAD: usize = 8 << 10;

/// The range of a histogram, in the type that its bins are computed in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale<T> {
    low: T,
    high: T,
    span: T,
    /// Whether `(x - low) * bins` overflows within the range.
    wide: bool,
}

/// Where a wide range is computed instead, [`Scale::position`] in it.
pub(crate) trait Wider: Float {
    type Wide: Float;
    fn wide(self) -> Self::Wide;
}

impl Wider for f32 {
    type Wide = f64;
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

impl Wider for f64 {
    type Wide = f64;
    /// There is no wider type: a power of two makes room for the factor.
    #[inline(always)]
    fn wide(self) -> f64 {
        self * (1.0 / 1024.0)
    }
}

impl<T: Float> Scale<T> {
    /// A range of one value is widened by 1 either way, or to the next number where 1 is too little to make
    /// a difference: torch 2.15 counts a lone 2^31 into bin 33, between 2^31 - 128 and 2^31 + 256.
    pub(crate) fn new(low: T, high: T) -> Self {
        let (low, high) = match (low - T::ONE, high + T::ONE) {
            _ if low != high => (low, high),
            (below, above) => (
                if below < low { below } else { low.next_below() },
                if above > high { above } else { high.next_above() },
            ),
        };
        // Above the largest number there is none; it is then the closed end itself.
        let high = if high.widen().is_infinite() { low.next_above() } else { high };
        let span = high - low;
        let wide = (span * T::BINS).widen().is_infinite() || span.widen().is_infinite();
        Scale { low, high, span, wide }
    }

    pub(crate) fn low(&self) -> T {
        self.low
    }

    pub(crate) fn high(&self) -> T {
        self.high
    }

    /// torch.histc's rule, as it runs on a CPU.
    #[inline(always)]
    fn position(&self, x: T) -> T {
        (x - self.low) * T::BINS / self.span
    }
}

impl<T: Wider> Scale<T> {
    fn wide(&self) -> Scale<T::Wide> {
        let (low, high) = (self.low.wide(), self.high.wide());
        Scale { low, high, span: high - low, wide: false }
    }

    /// The bin of a finite magnitude.
    pub(crate) fn index(&self, x: T) -> usize {
        let bin =
            if self.wide { T::Wide::bin(self.wide().position(x.wide())) } else { T::bin(self.position(x)) };
        bin as usize
    }

    /// The key of the largest magnitude.
    pub(crate) fn highest_key(&self) -> usize {
        self.high.field() as usize + self.index(self.high)
    }
}

/// Counts each value's key: its exponent field plus its bin. Infinities and NaN, whose bin is the last, have
/// a key of their own, above all others.
#[inline(always)]
pub(super) fn block<T: Wider, const KEYS: usize, const TABLES: usize>(
    values: &[T::Bytes],
    scale: &Scale<T>,
    counts: &mut Keys<KEYS, TABLES>,
) {
    const { assert!(KEYS.is_power_of_two() && KEYS <= 1 << 15 && KEYS >= T::FIELDS + BINS) };
    if scale.wide {
        let wide = scale.wide();
        count::<T, KEYS, TABLES>(values, |x| T::Wide::bin(wide.position(x.wide())), counts);
    } else {
        count::<T, KEYS, TABLES>(values, |x| T::bin(scale.position(x)), counts);
    }
}

#[inline(always)]
fn count<T: Float, const KEYS: usize, const TABLES: usize>(
    values: &[T::Bytes],
    bin: impl Fn(T) -> i32,
    counts: &mut Keys<KEYS, TABLES>,
) {
    // Keys first, counts second: loops as plain as these are compiled to whole vectors.
    let mut keys = [0u16; AT_ONCE];
    for part in values.chunks(AT_ONCE) {
        prefetch(part, AHEAD);
        for (key, &bytes) in keys.iter_mut().zip(part) {
            let x = T::read(bytes).magnitude();
            *key = (x.field() + bin(x) as u32) as u16;
        }
        counts.count(&keys[..part.len()]);
    }
}

/// Counts subnormal values by their exponent above the least: their keys tell no exponents.
pub(crate) fn count_subnormals<T: Float, const KEYS: usize>(
    values: &[T::Bytes],
    tables: &mut [[u32; KEYS]; 1],
) {
    for x in values.iter().map(|&bytes| T::read(bytes).magnitude()) {
        if x.field() == 0 && x > T::ZERO {
            let exponent = weighbridge_model::dtype::exponent(x.widen());
            tables[0][(exponent - T::LEAST_EXPONENT) as usize % KEYS] += 1;
        }
    }
}
