//! The first pass: counts, extremes, mean and spread.

use crate::merge::Merge;
use crate::scale::exp2;

/// A figure in the tensor's own kind: whole numbers for integer tensors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A value of an integer or truth-value tensor.
    Int(i128),
    /// A value of a floating-point tensor.
    Float(f64),
}

impl Number {
    /// The figure as f64; whole numbers beyond 2^53 are rounded.
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(x) => x,
        }
    }

    fn less(self, other: Self) -> bool {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a < b,
            _ => self.to_f64() < other.to_f64(),
        }
    }
}

/// Figures of a run of values. NaN and infinities are counted and left out of everything else; figures are
/// `None` where no finite value is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Values in all.
    pub count: u64,
    /// NaN among them.
    pub nan: u64,
    /// Infinities of either sign.
    pub inf: u64,
    /// Zeros of either sign.
    pub zero: u64,
    /// Smallest value.
    pub min: Option<Number>,
    /// Largest value.
    pub max: Option<Number>,
    /// Smallest magnitude.
    pub abs_min: Option<Number>,
    /// Smallest magnitude that is not zero.
    pub abs_min_nonzero: Option<Number>,
    /// Largest magnitude.
    pub abs_max: Option<Number>,
    /// Mean of the finite values; 0 where there are none.
    pub mean: f64,
    /// Sum of squared differences from the mean, in units of 4^power: for F64 values alone it may leave
    /// f64's range.
    pub(crate) m2: f64,
    pub(crate) power: i32,
}

impl Summary {
    /// Values that are neither NaN nor infinite.
    pub fn finite(&self) -> u64 {
        self.count - self.nan - self.inf
    }

    /// The population's standard deviation; 0 where there are no finite values.
    pub fn std(&self) -> f64 {
        match self.finite() {
            0 => 0.0,
            n => (self.m2 / n as f64).sqrt() * exp2(self.power),
        }
    }

    /// The largest magnitude; 0 where there are no finite values.
    pub(crate) fn largest(&self) -> f64 {
        self.abs_max.map_or(0.0, Number::to_f64)
    }

    /// The summary of the same values, each standing `factor` times: what broadcasting a tensor does.
    /// Counts cannot overflow where the repeated values can be counted at all.
    #[must_use]
    pub(crate) fn repeated(mut self, factor: u64) -> Self {
        for n in [&mut self.count, &mut self.nan, &mut self.inf, &mut self.zero] {
            *n *= factor;
        }
        self.m2 *= factor as f64;
        self
    }

    /// Adds the mean and spread of `m` finite values to those of `n`: the pairwise update of Chan, Golub and
    /// LeVeque (1979), in units of the larger values.
    fn merge_moments(&mut self, other: &Self, n: f64, m: f64) {
        // Zeros have no unit of their own.
        let power = |s: &Self| if s.mean == 0.0 && s.m2 == 0.0 { None } else { Some(s.power) };
        let unit = power(self).max(power(other)).unwrap_or(0);
        let part = |s: &Self| (s.mean * exp2(-unit), s.m2 * exp2(2 * (s.power - unit).min(0)));
        let ((mean, m2), (other_mean, other_m2)) = (part(self), part(other));
        let total = n + m;
        let delta = other_mean - mean;
        self.mean = (mean + delta * (m / total)) * exp2(unit);
        self.m2 = m2 + (other_m2 + delta * delta * (n * m / total));
        self.power = unit;
    }
}

fn pick(a: Option<Number>, b: Option<Number>, better: impl Fn(Number, Number) -> bool) -> Option<Number> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if better(b, a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

impl Merge for Summary {
    fn merge(&mut self, other: &Self) {
        match (self.finite(), other.finite()) {
            (_, 0) => {}
            (0, _) => (self.mean, self.m2, self.power) = (other.mean, other.m2, other.power),
            (n, m) => self.merge_moments(other, n as f64, m as f64),
        }
        self.count += other.count;
        self.nan += other.nan;
        self.inf += other.inf;
        self.zero += other.zero;
        self.min = pick(self.min, other.min, Number::less);
        self.abs_min = pick(self.abs_min, other.abs_min, Number::less);
        self.abs_min_nonzero = pick(self.abs_min_nonzero, other.abs_min_nonzero, Number::less);
        self.max = pick(self.max, other.max, |a, b| b.less(a));
        self.abs_max = pick(self.abs_max, other.abs_max, |a, b| b.less(a));
    }
}
