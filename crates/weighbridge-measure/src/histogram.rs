//! The second pass: magnitudes in 100 bins, as torch.histc makes them, and by exponent.

use crate::merge::Merge;
use crate::summary::{Number, Summary};

/// Bins of a histogram.
pub const BINS: usize = 100;

/// Exponents of finite nonzero f64 run from -1074 to 1023.
const LOWEST: i32 = -1074;

/// Counts of magnitudes. Finite values only; exact.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Lower edge of the first bin.
    pub low: f64,
    /// Upper edge of the last bin, which is closed.
    pub high: f64,
    /// Values in each bin.
    pub counts: [u64; BINS],
    exponents: Vec<u64>,
}

impl Histogram {
    /// An empty histogram over the magnitudes that a summary found, by torch.histc's rule: a range of one
    /// value x is widened to `[x - 1, x + 1]`. For integers the edges are taken as f32, as `.float()` does.
    pub fn over(summary: &Summary, wide: bool) -> Self {
        let edge = |n: Option<Number>| {
            let x = n.map_or(0.0, Number::to_f64);
            if wide { x } else { f64::from(x as f32) }
        };
        let (mut low, mut high) = (edge(summary.abs_min), edge(summary.abs_max));
        if low == high {
            if wide {
                (low, high) = (low - 1.0, high + 1.0);
            } else {
                (low, high) = (f64::from(low as f32 - 1.0), f64::from(high as f32 + 1.0));
            }
        }
        Histogram { low, high, counts: [0; BINS], exponents: Vec::new() }
    }

    /// Counts of nonzero values by `floor(log2 |x|)`, ascending, exponents without values left out.
    pub fn exponents(&self) -> impl Iterator<Item = (i32, u64)> {
        self.exponents.iter().enumerate().filter(|(_, n)| **n > 0).map(|(i, n)| (i as i32 + LOWEST, *n))
    }

    pub(crate) fn add_exponent(&mut self, exponent: i32, n: u64) {
        let at = (exponent - LOWEST) as usize;
        if self.exponents.len() <= at {
            self.exponents.resize(at + 1, 0);
        }
        self.exponents[at] += n;
    }

    /// The histogram of the same values, each standing `factor` times.
    #[must_use]
    pub fn repeated(mut self, factor: u64) -> Self {
        self.counts.iter_mut().chain(&mut self.exponents).for_each(|n| *n = n.saturating_mul(factor));
        self
    }
}

impl Merge for Histogram {
    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(a, b)| *a += b);
        other.exponents().for_each(|(e, n)| self.add_exponent(e, n));
    }
}
