//! Magnitudes in 100 bins, as torch.histc makes them, and by exponent.

use crate::kernels::{Float, Scale, Wider};
use crate::summary::{Number, Summary};
use crate::tally::Counts;

/// Bins of a histogram.
pub const BINS: usize = 100;

/// Counts of magnitudes. Finite values only; exact.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Lower edge of the first bin.
    pub low: f64,
    /// Upper edge of the last bin, which is closed.
    pub high: f64,
    /// Values in each bin.
    pub counts: [u64; BINS],
    /// Ascending, none of them 0.
    exponents: Vec<(i32, u64)>,
}

impl Histogram {
    /// Counts of nonzero values by `floor(log2 |x|)`, ascending, exponents without values left out.
    pub fn exponents(&self) -> impl Iterator<Item = (i32, u64)> {
        self.exponents.iter().copied()
    }

    /// An empty histogram.
    pub(crate) fn over<T: Float>(scale: &Scale<T>) -> Self {
        let (low, high) = (scale.low().widen(), scale.high().widen());
        Histogram { low, high, counts: [0; BINS], exponents: Vec::new() }
    }

    /// Reads counts by key back as bins and exponents. Both rise with the magnitude, so that no two pairs of
    /// them have one sum: an exponent field's keys are those from its least magnitude's to its largest's.
    pub(crate) fn from_keys<T: Wider>(scale: &Scale<T>, keys: &Counts, subnormals: &Counts) -> Self {
        let mut histogram = Histogram::over(scale);
        for (at, n) in subnormals.iter() {
            histogram.add_exponent(at as i32 + T::LEAST_EXPONENT, n);
        }
        for field in 0..T::FIELDS - 1 {
            let mut normal = 0;
            let (least, largest) = T::of_field(field);
            for bin in scale.index(least)..=scale.index(largest) {
                let n = keys.get(field + bin);
                histogram.counts[bin] += n;
                normal += n;
            }
            if field > 0 {
                histogram.add_exponent(field as i32 + T::FIELD_EXPONENT, normal);
            }
        }
        histogram
    }

    /// Adds values whose exponent is not below those that are there.
    pub(crate) fn add_exponent(&mut self, exponent: i32, n: u64) {
        match self.exponents.last_mut() {
            _ if n == 0 => {}
            Some((last, count)) if *last == exponent => *count += n,
            _ => self.exponents.push((exponent, n)),
        }
    }

    /// The histogram of the same values, each standing `factor` times.
    #[must_use]
    pub(crate) fn repeated(mut self, factor: u64) -> Self {
        self.counts.iter_mut().chain(self.exponents.iter_mut().map(|(_, n)| n)).for_each(|n| *n *= factor);
        self
    }
}

/// The edges over the magnitudes that a summary found, by torch.histc's rule: a range of one value x is
/// widened to `[x - 1, x + 1]`, in the arithmetic of `T`; integers are taken as f32, as `.float()` does.
pub(crate) fn scale_of<T: Float>(summary: &Summary) -> Scale<T> {
    let edge = |n: Option<Number>| match n {
        Some(Number::Int(i)) => T::from_integer(i),
        Some(Number::Float(x)) => T::narrow(x),
        None => T::narrow(0.0),
    };
    Scale::new(edge(summary.abs_min), edge(summary.abs_max))
}
