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
    let cut = 23 - format.mantissa_bits;
    let (below_half, one) = ((1u32 << cut >> 1).saturating_sub(1), u32::from(cut > 0));
    let round = |x: f32| {
        let odd = x.to_bits() >> cut & one;
        f32::from_bits((x.to_bits() + below_half + odd) >> cut << cut)
    };
    block(values, to, round, f64::from)
}

/// F64 values, whose squares are summed in units of 4^power.
#[inline(always)]
pub(super) fn block_f64(values: &[[u8; 8]], format: FloatFormat, power: i32) -> Loss {
    let to = Target::<f64>::of(format, power);
    block(values, to, |x| to.round(x), |x| x * to.unit)
}

#[inline(always)]
fn block<T: Float>(
    values: &[T::Bytes],
    to: Target<T>,
    round: impl Fn(T) -> T,
    in_units: impl Fn(T) -> f64,
) -> Loss {
    let mut lanes = Lanes::<T> {
        overflow: [0; LANES],
        to_zero: [0; LANES],
        subnormal: [0; LANES],
        noise: [0.0; LANES],
        signal: [0.0; LANES],
        max_abs: [T::ZERO; LANES],
        max_rel: [T::ZERO; LANES],
    };
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
