//! Rounding a block to a narrower format and measuring what is lost.
//!
//! One trick serves every format within f32: adding and taking away `2^(e + 23 - m)`, where e is the
//! value's exponent (or the format's least) and m the format's mantissa width, leaves the value rounded to
//! nearest even at the format's own step.

use weighbridge_model::dtype::FloatFormat;

use crate::survival::Survival;

const LANES: usize = 16;

/// A format in the constants that the kernel needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Exponent field (in place) of the least normal number.
    least: u32,
    /// `23 - m`, in the exponent's place.
    lift: u32,
    /// Largest finite value.
    max: f32,
    min_normal: f32,
}

impl Target {
    /// `None` for formats that the trick does not reach: those with f32's own exponent range, whose lifted
    /// exponent would overflow.
    pub(super) fn of(format: FloatFormat) -> Option<Self> {
        let least = (1 - format.bias + 127) as u32;
        (format.exponent_bits < 8).then(|| Target {
            least: least << 23,
            lift: (23 - format.mantissa_bits) << 23,
            max: format.max_finite() as f32,
            min_normal: format.min_normal() as f32,
        })
    }

    /// The magnitude, rounded; beyond range where it is above `max`.
    #[inline(always)]
    fn round(self, magnitude: f32) -> f32 {
        // A magnitude of twice the range overflows as it is; capping it keeps the lifted exponent in range.
        let capped = if magnitude > self.max * 2.0 { self.max * 2.0 } else { magnitude };
        let field = (capped.to_bits() & 0x7f80_0000).max(self.least);
        let lifted = f32::from_bits(field + self.lift);
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
    max_abs_error: f32,
    max_rel_error: f32,
}

impl Loss {
    pub(super) fn add_to(&self, survival: &mut Survival) {
        survival.overflow += self.overflow;
        survival.to_zero += self.to_zero;
        survival.subnormal += self.subnormal;
        survival.noise += self.noise;
        survival.signal += self.signal;
        survival.max_abs_error = survival.max_abs_error.max(f64::from(self.max_abs_error));
        survival.max_rel_error = survival.max_rel_error.max(f64::from(self.max_rel_error));
    }
}

#[inline(always)]
pub(super) fn block_f32_bytes(bytes: &[u8], to: Target) -> Loss {
    block(bytes.as_chunks::<4>().0, |b| f32::from_le_bytes(b), to)
}

#[inline(always)]
pub(super) fn block_f32(values: &[f32], to: Target) -> Loss {
    block(values, |x| x, to)
}

#[inline(always)]
fn block<S: Copy>(stored: &[S], read: impl Fn(S) -> f32 + Copy, to: Target) -> Loss {
    let mut lanes = Lanes::default();
    let (groups, rest) = stored.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            lanes.add(lane, read(group[lane]), to);
        }
    }
    for (lane, &s) in rest.iter().enumerate() {
        lanes.add(lane, read(s), to);
    }
    let total = |lanes: &[u32; LANES]| lanes.iter().map(|&n| u64::from(n)).sum();
    Loss {
        overflow: total(&lanes.overflow),
        to_zero: total(&lanes.to_zero),
        subnormal: total(&lanes.subnormal),
        noise: lanes.noise.iter().sum(),
        signal: lanes.signal.iter().sum(),
        max_abs_error: lanes.max_abs.iter().fold(0.0, |a, &b| a.max(b)),
        max_rel_error: lanes.max_rel.iter().fold(0.0, |a, &b| a.max(b)),
    }
}

#[derive(Default)]
struct Lanes {
    overflow: [u32; LANES],
    to_zero: [u32; LANES],
    subnormal: [u32; LANES],
    noise: [f64; LANES],
    signal: [f64; LANES],
    max_abs: [f32; LANES],
    max_rel: [f32; LANES],
}

impl Lanes {
    #[inline(always)]
    fn add(&mut self, lane: usize, x: f32, to: Target) {
        let magnitude = x.abs();
        let finite = magnitude < f32::INFINITY;
        let magnitude = if finite { magnitude } else { 0.0 };
        let rounded = to.round(magnitude);
        let over = rounded > to.max;
        let error = if over { 0.0 } else { (magnitude - rounded).abs() };
        let nonzero = magnitude > 0.0;
        let relative = error / if nonzero { magnitude } else { 1.0 };
        self.overflow[lane] += u32::from(over);
        self.to_zero[lane] += u32::from(nonzero & (rounded == 0.0));
        self.subnormal[lane] += u32::from(nonzero & (magnitude < to.min_normal));
        self.noise[lane] += f64::from(error) * f64::from(error);
        self.signal[lane] += f64::from(magnitude) * f64::from(magnitude);
        self.max_abs[lane] = if error > self.max_abs[lane] { error } else { self.max_abs[lane] };
        self.max_rel[lane] = if relative > self.max_rel[lane] { relative } else { self.max_rel[lane] };
    }
}

/// The same in f64, by the format's own rounding: for F64 values and formats with f32's exponent range.
pub(super) fn exact(values: impl Iterator<Item = f64>, survival: &mut Survival) {
    let format = survival.format;
    let (max, min_normal) = (format.max_finite(), format.min_normal());
    for x in values.filter(|x| x.is_finite()).map(f64::abs) {
        let rounded = format.round(x);
        survival.signal += x * x;
        survival.subnormal += u64::from(x > 0.0 && x < min_normal);
        if rounded > max {
            survival.overflow += 1;
            continue;
        }
        survival.to_zero += u64::from(x > 0.0 && rounded == 0.0);
        let error = (x - rounded).abs();
        survival.noise += error * error;
        survival.max_abs_error = survival.max_abs_error.max(error);
        if x > 0.0 {
            survival.max_rel_error = survival.max_rel_error.max(error / x);
        }
    }
}
