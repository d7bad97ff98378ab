//! What rounding to a narrower format does to values.

use weighbridge_model::dtype::FloatFormat;

use crate::merge::Merge;

/// The loss of a cast to `format` (nearest, ties to even). Finite values only; integers
/// are taken as f32.
#[derive(Debug, Clone, PartialEq)]
pub struct Survival {
    /// The format.
    pub format: FloatFormat,
    /// Finite values that become infinite.
    pub overflow: u64,
    /// Nonzero values that become zero.
    pub to_zero: u64,
    /// Nonzero values below the least normal number, those that become zero included.
    pub subnormal: u64,
    /// Sum of squared errors of the values that do not overflow, in a unit that depends on the tensor's
    /// largest magnitude: squares of F64 values may leave f64's range.
    pub(crate) noise: f64,
    /// Sum of squares of all values, in the same unit.
    pub(crate) signal: f64,
    /// Largest error of a value that does not overflow.
    pub max_abs_error: f64,
    /// Largest error relative to its value, of those that do not overflow; 1 where a value vanishes. To 24
    /// bits for values of up to 32.
    pub max_rel_error: f64,
}

impl Survival {
    /// No values yet.
    pub(crate) fn new(format: FloatFormat) -> Self {
        Survival {
            format,
            overflow: 0,
            to_zero: 0,
            subnormal: 0,
            noise: 0.0,
            signal: 0.0,
            max_abs_error: 0.0,
            max_rel_error: 0.0,
        }
    }

    /// Signal to quantisation noise, 10 log10(signal / noise); `None` where rounding changes nothing.
    pub fn sqnr_db(&self) -> Option<f64> {
        (self.noise > 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }

    /// The share of the energy (the sum of squares) that the error comes to: 0 where rounding changes nothing, 1 where
    /// everything vanishes.
    pub fn energy_lost(&self) -> f64 {
        if self.signal > 0.0 { self.noise / self.signal } else { 0.0 }
    }

    /// The loss of the same values, each standing `factor` times.
    #[must_use]
    pub(crate) fn repeated(mut self, factor: u64) -> Self {
        for n in [&mut self.overflow, &mut self.to_zero, &mut self.subnormal] {
            *n *= factor;
        }
        self.noise *= factor as f64;
        self.signal *= factor as f64;
        self
    }
}

impl Merge for Survival {
    fn merge(&mut self, other: &Self) {
        self.overflow += other.overflow;
        self.to_zero += other.to_zero;
        self.subnormal += other.subnormal;
        self.noise += other.noise;
        self.signal += other.signal;
        self.max_abs_error = self.max_abs_error.max(other.max_abs_error);
        self.max_rel_error = self.max_rel_error.max(other.max_rel_error);
    }
}
