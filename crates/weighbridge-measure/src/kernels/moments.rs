//! The first pass over a block: runs of values in sixteen lanes, each run shifted by the block's mean so far.
//!
//! Shifting keeps the squares from cancelling: a run's shift is a mean of values that are in the block, so its
//! squared distance from the run's own mean is bounded by the block's own variance.

use crate::merge::Merge;
use crate::summary::{Number, Summary};

const LANES: usize = 16;
/// Values in a run: 16 KiB of f32, which stay in the first-level cache if they have to be read again.
const RUN: usize = 4096;

/// f32 or f64, as far as the kernel needs.
trait Real: Copy + PartialOrd {
    type Bits: Copy + Ord;
    const INFINITY: Self;
    const NEG_INFINITY: Self;
    const ALL_ONES: Self::Bits;
    fn widen(self) -> f64;
    /// Bits of the magnitude minus one: zero wraps to the largest, so that a minimum passes it over.
    fn magnitude_less_one(self) -> Self::Bits;
    fn from_magnitude_less_one(bits: Self::Bits) -> f64;
    fn is_zero(self) -> bool;
}

macro_rules! real {
    ($float:ty, $bits:ty) => {
        impl Real for $float {
            type Bits = $bits;
            const INFINITY: Self = <$float>::INFINITY;
            const NEG_INFINITY: Self = <$float>::NEG_INFINITY;
            const ALL_ONES: $bits = <$bits>::MAX;
            #[inline(always)]
            fn widen(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn magnitude_less_one(self) -> $bits {
                (self.to_bits() & (<$bits>::MAX >> 1)).wrapping_sub(1)
            }
            fn from_magnitude_less_one(bits: $bits) -> f64 {
                <$float>::from_bits(bits.wrapping_add(1)) as f64
            }
            #[inline(always)]
            fn is_zero(self) -> bool {
                self == 0.0
            }
        }
    };
}

real!(f32, u32);
real!(f64, u64);

#[inline(always)]
pub(super) fn block_f32_bytes(bytes: &[u8]) -> Summary {
    block(bytes.as_chunks::<4>().0, |b| f32::from_le_bytes(b))
}

#[inline(always)]
pub(super) fn block_f32(values: &[f32]) -> Summary {
    block(values, |x| x)
}

#[inline(always)]
pub(super) fn block_f64_bytes(bytes: &[u8]) -> Summary {
    block(bytes.as_chunks::<8>().0, |b| f64::from_le_bytes(b))
}

#[inline(always)]
pub(super) fn block_f64(values: &[f64]) -> Summary {
    block(values, |x| x)
}

#[inline(always)]
fn block<S: Copy, T: Real>(stored: &[S], read: impl Fn(S) -> T + Copy) -> Summary {
    let mut total = Summary::default();
    for run in stored.chunks(RUN) {
        let shift = if total.finite() > 0 { total.mean } else { first_mean(run, read) };
        let sums = Sums::of(run, read, shift);
        let summary = if sums.is_finite() { sums.summary(run.len(), shift) } else { irregular(run, read, shift) };
        total.merge(&summary);
    }
    total
}

/// Mean of the first few values; 0 where they are not all finite.
#[inline(always)]
fn first_mean<S: Copy, T: Real>(run: &[S], read: impl Fn(S) -> T) -> f64 {
    let few = &run[..run.len().min(LANES)];
    let mean = few.iter().map(|&s| read(s).widen() / few.len() as f64).sum::<f64>();
    if mean.is_finite() { mean } else { 0.0 }
}

/// A run with NaN or infinities among its values, or whose sums overflow: the finite ones are taken alone.
#[cold]
#[inline(never)]
fn irregular<S: Copy, T: Real>(run: &[S], read: impl Fn(S) -> T, shift: f64) -> Summary {
    let mut finite = Vec::with_capacity(run.len());
    let (mut nan, mut inf) = (0, 0);
    for &stored in run {
        let value = read(stored).widen();
        if value.is_nan() {
            nan += 1;
        } else if value.is_infinite() {
            inf += 1;
        } else {
            finite.push(read(stored));
        }
    }
    let sums = Sums::of(&finite, |x| x, shift);
    let mut summary = sums.summary(finite.len(), shift);
    summary.count = run.len() as u64;
    (summary.nan, summary.inf) = (nan, inf);
    summary
}

/// Sixteen lanes of everything.
struct Sums<T: Real> {
    sum: [f64; LANES],
    squares: [f64; LANES],
    min: [T; LANES],
    max: [T; LANES],
    small: [T::Bits; LANES],
    zeros: [u32; LANES],
}

impl<T: Real> Sums<T> {
    #[inline(always)]
    fn of<S: Copy>(run: &[S], read: impl Fn(S) -> T + Copy, shift: f64) -> Self {
        let mut sums = Sums {
            sum: [0.0; LANES],
            squares: [0.0; LANES],
            min: [T::INFINITY; LANES],
            max: [T::NEG_INFINITY; LANES],
            small: [T::ALL_ONES; LANES],
            zeros: [0; LANES],
        };
        let (groups, rest) = run.as_chunks::<LANES>();
        for group in groups {
            for lane in 0..LANES {
                sums.add(lane, read(group[lane]), shift);
            }
        }
        for (lane, &stored) in rest.iter().enumerate() {
            sums.add(lane, read(stored), shift);
        }
        sums
    }

    #[inline(always)]
    fn add(&mut self, lane: usize, x: T, shift: f64) {
        let d = x.widen() - shift;
        self.sum[lane] += d;
        self.squares[lane] += d * d;
        self.min[lane] = if x < self.min[lane] { x } else { self.min[lane] };
        self.max[lane] = if x > self.max[lane] { x } else { self.max[lane] };
        self.small[lane] = self.small[lane].min(x.magnitude_less_one());
        self.zeros[lane] += u32::from(x.is_zero());
    }

    #[inline(always)]
    fn is_finite(&self) -> bool {
        self.sum.iter().sum::<f64>().is_finite()
    }

    fn summary(&self, count: usize, shift: f64) -> Summary {
        if count == 0 {
            return Summary::default();
        }
        let n = count as f64;
        let zero: u64 = self.zeros.iter().map(|&z| u64::from(z)).sum();
        let (sum, squares) = (self.sum.iter().sum::<f64>(), self.squares.iter().sum::<f64>());
        let min = self.min.iter().fold(f64::INFINITY, |a, b| a.min(b.widen()));
        let max = self.max.iter().fold(f64::NEG_INFINITY, |a, b| a.max(b.widen()));
        let small = self.small.iter().copied().min().unwrap_or(T::ALL_ONES);
        let nonzero = (small != T::ALL_ONES).then(|| Number::Float(T::from_magnitude_less_one(small)));
        // Adding +0 turns -0 into +0, whichever of the two a lane happened to keep.
        let float = |x: f64| Some(Number::Float(x + 0.0));
        Summary {
            count: count as u64,
            nan: 0,
            inf: 0,
            zero,
            min: float(min),
            max: float(max),
            abs_min: if zero > 0 { float(0.0) } else { nonzero },
            abs_min_nonzero: nonzero,
            abs_max: float(max.max(-min)),
            mean: shift + sum / n,
            m2: (squares - sum * (sum / n)).max(0.0),
        }
    }
}
