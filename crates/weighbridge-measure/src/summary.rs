//! The first pass: counts, extremes, mean and deviation.

use crate::merge::Merge;

/// A figure that is exact where it can be: whole numbers for integer tensors.
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
    /// Sum of squared differences from the mean.
    pub m2: f64,
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
            n => (self.m2 / n as f64).sqrt(),
        }
    }

    /// The summary of the same values, each standing `factor` times: what broadcasting a tensor does.
    #[must_use]
    pub fn repeated(mut self, factor: u64) -> Self {
        for n in [&mut self.count, &mut self.nan, &mut self.inf, &mut self.zero] {
            *n = n.saturating_mul(factor);
        }
        self.m2 *= factor as f64;
        self
    }
}

fn pick(a: Option<Number>, b: Option<Number>, better: impl Fn(Number, Number) -> bool) -> Option<Number> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if better(b, a) { b } else { a }),
        (a, b) => a.or(b),
    }
}

impl Merge for Summary {
    /// Chan, Golub and LeVeque's pairwise update (1979) for the mean and the sum of squares.
    fn merge(&mut self, other: &Self) {
        let (n, m) = (self.finite() as f64, other.finite() as f64);
        if self.finite() == 0 {
            (self.mean, self.m2) = (other.mean, other.m2);
        } else if other.finite() > 0 {
            let total = n + m;
            let delta = other.mean - self.mean;
            self.mean += delta * (m / total);
            self.m2 += other.m2 + delta * delta * (n * m / total);
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
