//! The first pass over a block: runs of values in sixteen lanes.
//!
//! Squares cancel where the mean is large beside the spread. Then a run is shifted by the block's mean so far:
//! a mean of values that are in the block, so that its squared distance from the run's own mean is bounded by
//! the block's own variance.

use super::float::Float;
use crate::merge::Merge;
use crate::scale::{exp2, power_for};
use crate::summary::{Number, Summary};

const LANES: usize = 16;
/// Values in a run: 16 KiB of f32, which stay in the first-level cache if they have to be read again.
const RUN: usize = 4096;

/// How far squares may cancel before values are shifted: rounding errors grow sixteenfold at most.
const CANCELS: f64 = 1.0 / 16.0;

/// Values of f32's range: nothing can overflow. Their squares are exact in f64, so that adding one in a `FUSED`
/// operation gives the same bits.
#[inline(always)]
pub(super) fn block_f32<const FUSED: bool>(values: &[[u8; 4]]) -> Summary {
    block::<f32, FUSED>(values)
}

/// Values whose squares may leave f64's range; then they are taken again in units that bring them near 1.
#[inline(always)]
pub(super) fn block_f64(values: &[[u8; 8]]) -> Summary {
    let summary = block::<f64, false>(values);
    match power_for(summary.largest()) {
        0 => summary,
        power => in_units(values, power, summary),
    }
}

/// Mean and spread of the values in units of 2^power; the other figures stay.
#[cold]
#[inline(never)]
fn in_units(values: &[[u8; 8]], power: i32, summary: Summary) -> Summary {
    let unit = exp2(-power);
    let scaled: Vec<[u8; 8]> = values.iter().map(|&b| (f64::read(b) * unit).to_le_bytes()).collect();
    let Summary { mean, m2, .. } = block::<f64, false>(&scaled);
    Summary { mean: mean * exp2(power), m2, power, ..summary }
}

#[inline(always)]
fn block<T: Float, const FUSED: bool>(values: &[T::Bytes]) -> Summary {
    let mut total = Summary::default();
    let mut plain = T::SQUARES_ARE_EXACT;
    for run in values.chunks(RUN) {
        let mut sums = if plain { Sums::plain::<T, FUSED>(run) } else { Sums::default() };
        plain = plain && !sums.cancel(run.len());
        if plain && sums.sum.is_finite() {
            total.merge(&summary::<T>(run, sums, 0.0));
            continue;
        }
        let shift = if total.finite() > 0 { total.mean } else { first_mean::<T>(run) };
        sums = Sums::shifted::<T>(run, shift);
        let regular = sums.sum.is_finite();
        total.merge(&if regular { summary::<T>(run, sums, shift) } else { irregular::<T>(run, shift) });
    }
    total
}

/// Mean of the first few finite values; 0 where there are none.
#[inline(always)]
fn first_mean<T: Float>(run: &[T::Bytes]) -> f64 {
    let finite = |x: f64| x.is_finite().then_some(x);
    let few = || run.iter().filter_map(|&bytes| finite(T::read(bytes).widen())).take(LANES);
    let n = few().count() as f64;
    few().map(|x| x / n).sum()
}

/// A run with NaN or infinities among its values, or whose sums overflow: the finite ones are taken alone.
#[cold]
#[inline(never)]
fn irregular<T: Float>(run: &[T::Bytes], shift: f64) -> Summary {
    let mut finite = Vec::with_capacity(run.len());
    let (mut nan, mut inf) = (0, 0);
    for &bytes in run {
        let value = T::read(bytes).widen();
        if value.is_nan() {
            nan += 1;
        } else if value.is_infinite() {
            inf += 1;
        } else {
            finite.push(bytes);
        }
    }
    let mut summary = summary::<T>(&finite, Sums::shifted::<T>(&finite, shift), shift);
    summary.count = run.len() as u64;
    (summary.nan, summary.inf) = (nan, inf);
    summary
}

/// Calls `each` with every value and its lane.
#[inline(always)]
fn for_each<T: Float>(run: &[T::Bytes], mut each: impl FnMut(usize, T)) {
    let (groups, rest) = run.as_chunks::<LANES>();
    for group in groups {
        for (lane, &bytes) in group.iter().enumerate() {
            each(lane, T::read(bytes));
        }
    }
    for (lane, &bytes) in rest.iter().enumerate() {
        each(lane, T::read(bytes));
    }
}

/// Sums over a run.
#[derive(Clone, Copy, Default)]
struct Sums {
    sum: f64,
    squares: f64,
}

impl Sums {
    #[inline(always)]
    fn plain<T: Float, const FUSED: bool>(run: &[T::Bytes]) -> Self {
        let (mut sum, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for_each::<T>(run, |lane, x| {
            let x = x.widen();
            sum[lane] += x;
            squares[lane] = if FUSED { x.mul_add(x, squares[lane]) } else { squares[lane] + x * x };
        });
        Sums { sum: sum.iter().sum(), squares: squares.iter().sum() }
    }

    #[inline(always)]
    fn shifted<T: Float>(run: &[T::Bytes], shift: f64) -> Self {
        let (mut sum, mut squares) = ([0.0; LANES], [0.0; LANES]);
        for_each::<T>(run, |lane, x| {
            let x = x.widen() - shift;
            sum[lane] += x;
            squares[lane] += x * x;
        });
        Sums { sum: sum.iter().sum(), squares: squares.iter().sum() }
    }

    fn m2(self, n: usize) -> f64 {
        (self.squares - self.sum * (self.sum / n as f64)).max(0.0)
    }

    /// Whether the mean is so large that little of the squares is spread. Not so where sums are not finite.
    fn cancel(self, n: usize) -> bool {
        self.m2(n) < self.squares * CANCELS
    }
}

/// How many zeros a run has, and its least magnitude beside them. Few runs of weights have any.
#[inline(always)]
fn zeros<T: Float>(run: &[T::Bytes]) -> (u64, Option<Number>) {
    let (mut small, mut zeros) = ([T::ALL_ONES; LANES], [0u32; LANES]);
    for_each::<T>(run, |lane, x| {
        small[lane] = small[lane].min(x.magnitude_less_one());
        zeros[lane] += u32::from(x == T::ZERO);
    });
    let small = small.iter().copied().min().unwrap_or(T::ALL_ONES);
    let nonzero = (small != T::ALL_ONES).then(|| Number::Float(T::from_magnitude_less_one(small)));
    (zeros.iter().map(|&z| u64::from(z)).sum(), nonzero)
}

/// The summary of a run of finite values, from the sums of what they are beyond `shift`. A loop of its own over
/// the run, which stays close by: so all lanes of one loop fit in AVX2's registers.
#[inline(always)]
fn summary<T: Float>(run: &[T::Bytes], sums: Sums, shift: f64) -> Summary {
    if run.is_empty() {
        return Summary::default();
    }
    let (mut low, mut high) = ([T::INFINITY; LANES], [T::NEG_INFINITY; LANES]);
    let mut small = [T::ALL_ONES; LANES];
    for_each::<T>(run, |lane, x| {
        low[lane] = if x < low[lane] { x } else { low[lane] };
        high[lane] = if x > high[lane] { x } else { high[lane] };
        small[lane] = small[lane].min(x.magnitude_bits());
    });
    let min = low.iter().fold(f64::INFINITY, |a, b| a.min(b.widen()));
    let max = high.iter().fold(f64::NEG_INFINITY, |a, b| a.max(b.widen()));
    let least = small.iter().copied().min().map_or(f64::INFINITY, T::of_bits);
    let (zero, nonzero) = if least == 0.0 { zeros::<T>(run) } else { (0, Some(Number::Float(least))) };
    // Adding +0 turns -0 into +0, whichever of the two a lane happened to keep.
    let float = |x: f64| Some(Number::Float(x + 0.0));
    Summary {
        count: run.len() as u64,
        zero,
        min: float(min),
        max: float(max),
        abs_min: if zero > 0 { float(0.0) } else { nonzero },
        abs_min_nonzero: nonzero,
        abs_max: float(max.max(-min)),
        mean: shift + sums.sum / run.len() as f64,
        m2: sums.m2(run.len()),
        ..Summary::default()
    }
}
