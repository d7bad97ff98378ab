//! Rounding a block to a narrower format and measuring what is lost.
//!
//! Formats of a narrower exponent: adding and taking away `2^(e + 23 - m)`, where e is the value's exponent
//! (or the format's least) and m the format's mantissa width, leaves the value rounded to nearest even at the
//! format's own step. Formats with f32's exponent: the same by integer arithmetic on its bits.

use weighbridge_model::dtype::FloatFormat;

use super::float::Float;
use crate::scale::exp2;
use crate::survival::Survival;

const LANES: usize = 16;

/// A format in the constants that the kernel needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<T: Float> {
    max: T,
    /// Twice the range overflows as it is: capping there keeps the lifted exponent in range.
    cap: T,
    min_normal: T,
    lift: T::Bits,
    /// Brings squares within f64's range.
    unit: f64,
}

impl<T: Float> Target<T> {
    pub(super) fn of(format: FloatFormat, power: i32) -> Self {
        Target {
            max: T::narrow(format.max_finite()),
            cap: T::narrow(format.max_finite() * 2.0),
            min_normal: T::narrow(format.min_normal()),
            lift: T::lift(format),
            unit: exp2(-power),
        }
    }

    /// The magnitude, rounded; above `max` where it is beyond range.
    #[inline(always)]
    fn round(self, magnitude: T) -> T {
        let capped = if magnitude > self.cap { self.cap } else { magnitude };
        let lifted = capped.lifted(self.min_normal, self.lift);
        (capped + lifted) - lifted
    }
}

/// What a block loses.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    overflow: u64,
    to_zero: u64,
    subnormal: u64,
    noise: f64,
    signal: f64,
    max_abs_error: f64,
    max_rel_error: f64,
}

impl Loss {
    pub(super) fn survival(self, format: FloatFormat) -> Survival {
        Survival {
            format,
            overflow: self.overflow,
            to_zero: self.to_zero,
            subnormal: self.subnormal,
            noise: self.noise,
            signal: self.signal,
            max_abs_error: self.max_abs_error,
            max_rel_error: self.max_rel_error,
        }
    }
}

/// F32 values, to a format of a narrower exponent or of the same.
#[inline(always)]
pub(super) fn block_f32(values: &[[u8; 4]], format: FloatFormat) -> Loss {
    let to = Target::<f32>::of(format, 0);
    if format.exponent_bits < 8 {
        return block(values, to, |x| to.round(x), f64::from);
    }
    block(values, to, by_bits(format), f64::from)
}

/// Rounds magnitudes to a format of f32's exponent.
#[inline(always)]
fn by_bits(format: FloatFormat) -> impl Fn(f32) -> f32 {
    let cut = 23 - format.mantissa_bits;
    let (below_half, one) = ((1u32 << cut >> 1).saturating_sub(1), u32::from(cut > 0));
    move |x: f32| {
        let odd = x.to_bits() >> cut & one;
        f32::from_bits((x.to_bits() + below_half + odd) >> cut << cut)
    }
}

/// F64 values, whose squares are summed in units of 4^power.
#[inline(always)]
pub(super) fn block_f64(values: &[[u8; 8]], format: FloatFormat, power: i32) -> Loss {
    let to = Target::<f64>::of(format, power);
    block(values, to, |x| to.round(x), |x| x * to.unit)
}

/// Rows of F32 values, whose columns are summed apart; as [`block_f32`].
#[inline(always)]
pub(super) fn columns_f32(rows: Rows<'_, [u8; 4]>, format: FloatFormat, sums: &mut Columns<f32>) {
    let to = Target::<f32>::of(format, 0);
    if format.exponent_bits < 8 {
        return columns(rows, to, |x| to.round(x), f64::from, sums);
    }
    columns(rows, to, by_bits(format), f64::from, sums);
}

/// Rows of F64 values; as [`block_f64`].
#[inline(always)]
pub(super) fn columns_f64(rows: Rows<'_, [u8; 8]>, format: FloatFormat, power: i32, sums: &mut Columns<f64>) {
    let to = Target::<f64>::of(format, power);
    columns(rows, to, |x| to.round(x), |x| x * to.unit, sums);
}

#[inline(always)]
fn columns<T: Float>(
    rows: Rows<'_, T::Bytes>,
    to: Target<T>,
    round: impl Fn(T) -> T,
    in_units: impl Fn(T) -> f64,
    sums: &mut Columns<T>,
) {
    // Sixteen columns at a time, down all rows.
    for start in (0..rows.width).step_by(LANES) {
        let (some, at) = (LANES.min(rows.width - start), rows.first + start);
        let mut lanes = sums.take(at, some);
        for row in rows.values.chunks_exact(rows.width.max(1)) {
            if let Some(group) = row[start..].first_chunk::<LANES>() {
                for (lane, &bytes) in group.iter().enumerate() {
                    lanes.add(lane, T::read(bytes), to, &round, &in_units);
                }
            } else {
                for (lane, &bytes) in row[start..].iter().enumerate() {
                    lanes.add(lane, T::read(bytes), to, &round, &in_units);
                }
            }
        }
        sums.put(at, some, &lanes);
    }
}

/// Rows of `width` values, the first of which is of the column `first`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a, B> {
    pub(crate) values: &'a [B],
    pub(crate) width: usize,
    pub(crate) first: usize,
}

/// What each of many columns loses. Counts are of at most 2^32 rows.
#[derive(Debug)]
pub(crate) struct Columns<T> {
    overflow: Vec<u32>,
    to_zero: Vec<u32>,
    subnormal: Vec<u32>,
    noise: Vec<f64>,
    signal: Vec<f64>,
    max_abs: Vec<T>,
    max_rel: Vec<T>,
}

impl<T: Float> Columns<T> {
    pub(crate) fn new(count: usize) -> Self {
        let none = vec![0; count];
        Columns {
            overflow: none.clone(),
            to_zero: none.clone(),
            subnormal: none,
            noise: vec![0.0; count],
            signal: vec![0.0; count],
            max_abs: vec![T::ZERO; count],
            max_rel: vec![T::ZERO; count],
        }
    }

    /// The loss of each column.
    pub(crate) fn losses(&self, format: FloatFormat) -> impl Iterator<Item = Survival> {
        (0..self.noise.len()).map(move |at| Survival {
            format,
            overflow: self.overflow[at].into(),
            to_zero: self.to_zero[at].into(),
            subnormal: self.subnormal[at].into(),
            noise: self.noise[at],
            signal: self.signal[at],
            max_abs_error: self.max_abs[at].widen(),
            max_rel_error: self.max_rel[at].widen(),
        })
    }

    #[inline(always)]
    fn take(&self, at: usize, some: usize) -> Lanes<T> {
        let mut lanes = Lanes::NONE;
        let of = at..at + some;
        lanes.overflow[..some].copy_from_slice(&self.overflow[of.clone()]);
        lanes.to_zero[..some].copy_from_slice(&self.to_zero[of.clone()]);
        lanes.subnormal[..some].copy_from_slice(&self.subnormal[of.clone()]);
        lanes.noise[..some].copy_from_slice(&self.noise[of.clone()]);
        lanes.signal[..some].copy_from_slice(&self.signal[of.clone()]);
        lanes.max_abs[..some].copy_from_slice(&self.max_abs[of.clone()]);
        lanes.max_rel[..some].copy_from_slice(&self.max_rel[of]);
        lanes
    }

    #[inline(always)]
    fn put(&mut self, at: usize, some: usize, lanes: &Lanes<T>) {
        let of = at..at + some;
        self.overflow[of.clone()].copy_from_slice(&lanes.overflow[..some]);
        self.to_zero[of.clone()].copy_from_slice(&lanes.to_zero[..some]);
        self.subnormal[of.clone()].copy_from_slice(&lanes.subnormal[..some]);
        self.noise[of.clone()].copy_from_slice(&lanes.noise[..some]);
        self.signal[of.clone()].copy_from_slice(&lanes.signal[..some]);
        self.max_abs[of.clone()].copy_from_slice(&lanes.max_abs[..some]);
        self.max_rel[of].copy_from_slice(&lanes.max_rel[..some]);
    }
}

#[inline(always)]
fn block<T: Float>(
    values: &[T::Bytes],
    to: Target<T>,
    round: impl Fn(T) -> T,
    in_units: impl Fn(T) -> f64,
) -> Loss {
    let mut lanes = Lanes::<T>::NONE;
    let (groups, rest) = values.as_chunks::<LANES>();
    for group in groups {
        for (lane, &bytes) in group.iter().enumerate() {
            lanes.add(lane, T::read(bytes), to, &round, &in_units);
        }
    }
    for (lane, &bytes) in rest.iter().enumerate() {
        lanes.add(lane, T::read(bytes), to, &round, &in_units);
    }
    let total = |lanes: &[u32; LANES]| lanes.iter().map(|&n| u64::from(n)).sum();
    Loss {
        overflow: total(&lanes.overflow),
        to_zero: total(&lanes.to_zero),
        subnormal: total(&lanes.subnormal),
        noise: lanes.noise.iter().sum(),
        signal: lanes.signal.iter().sum(),
        max_abs_error: lanes.max_abs.iter().fold(0.0, |a, b| a.max(b.widen())),
        max_rel_error: lanes.max_rel.iter().fold(0.0, |a, b| a.max(b.widen())),
    }
}

struct Lanes<T> {
    overflow: [u32; LANES],
    to_zero: [u32; LANES],
    subnormal: [u32; LANES],
    noise: [f64; LANES],
    signal: [f64; LANES],
    max_abs: [T; LANES],
    max_rel: [T; LANES],
}

impl<T: Float> Lanes<T> {
    const NONE: Self = Lanes {
        overflow: [0; LANES],
        to_zero: [0; LANES],
        subnormal: [0; LANES],
        noise: [0.0; LANES],
        signal: [0.0; LANES],
        max_abs: [T::ZERO; LANES],
        max_rel: [T::ZERO; LANES],
    };

    #[inline(always)]
    fn add(
        &mut self,
        lane: usize,
        x: T,
        to: Target<T>,
        round: &impl Fn(T) -> T,
        in_units: &impl Fn(T) -> f64,
    ) {
        let magnitude = x.magnitude();
        let magnitude = if magnitude < T::INFINITY { magnitude } else { T::ZERO };
        let rounded = round(magnitude);
        let over = rounded > to.max;
        let kept = if over { magnitude } else { rounded };
        let error = (magnitude - kept).magnitude();
        let nonzero = magnitude > T::ZERO;
        let relative = error / if nonzero { magnitude } else { T::ONE };
        self.overflow[lane] += u32::from(over);
        self.to_zero[lane] += u32::from(nonzero & (rounded == T::ZERO));
        self.subnormal[lane] += u32::from(nonzero & (magnitude < to.min_normal));
        let (noise, signal) = (in_units(error), in_units(magnitude));
        self.noise[lane] += noise * noise;
        self.signal[lane] += signal * signal;
        self.max_abs[lane] = if error > self.max_abs[lane] { error } else { self.max_abs[lane] };
        self.max_rel[lane] = if relative > self.max_rel[lane] { relative } else { self.max_rel[lane] };
    }
}
