//! How far the distribution of a tensor's values has moved, whichever values moved where.

use weighbridge_model::{Chunk, Result, Tensor};

use crate::merge::Merge;
use crate::runner::{Options, measure};
use crate::summary::{Number, Summary};
use crate::walk::{Pass, walk};

/// Bins over the values of both.
const BINS: usize = 512;

/// Two distributions over one range.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    /// Wasserstein-1 distance (the mean distance that values have to move for one distribution to become the other), in
    /// standard deviations of the first; from 512 bins over the values of both, so that less than a bin is not told.
    /// `None` where the first does not vary.
    pub wasserstein: Option<f64>,
    /// Largest distance between the distribution functions, at the edges of bins (Kolmogorov and Smirnov's), 0 to 1.
    pub kolmogorov_smirnov: f64,
    /// Values of the first in each bin, from the least of both to the largest.
    pub first: Vec<u64>,
    /// Those of the second.
    pub second: Vec<u64>,
}

/// Compares the distributions of two tensors' finite values; `None` where either has none.
///
/// # Errors
/// Elements without a real value, a failed read.
pub fn shift(a: &Tensor, b: &Tensor) -> Result<Option<Shift>> {
    let mut summaries = Vec::new();
    for measured in measure(&[a, b], &Options::default(), &|_| {}) {
        summaries.extend(measured?.summary);
    }
    let [ours, theirs] = &summaries[..] else { return Ok(None) };
    let edge = |of: fn(&Summary) -> Option<Number>| Some((of(ours)?.to_f64(), of(theirs)?.to_f64()));
    let (Some(low), Some(high)) = (edge(|s| s.min), edge(|s| s.max)) else { return Ok(None) };
    let (low, high) = (low.0.min(low.1), high.0.max(high.1));
    let counts = |tensor: &Tensor| walk(tensor, &Bins { tensor, low, high }, &|_| {}).map(|c| c.0);
    let (first, second) = (counts(a)?, counts(b)?);
    let (totals, width) = ((ours.finite() as f64, theirs.finite() as f64), (high - low) / BINS as f64);
    let (mut below, mut distance, mut largest) = ((0u64, 0u64), 0.0, 0.0f64);
    for (x, y) in first.iter().zip(&second) {
        below = (below.0 + x, below.1 + y);
        let apart = (below.0 as f64 / totals.0 - below.1 as f64 / totals.1).abs();
        distance += apart * width;
        largest = largest.max(apart);
    }
    let wasserstein = (ours.std() > 0.0).then(|| distance / ours.std());
    Ok(Some(Shift { wasserstein, kolmogorov_smirnov: largest, first, second }))
}

struct Bins<'a> {
    tensor: &'a Tensor,
    low: f64,
    high: f64,
}

struct Counted(Vec<u64>);

impl Merge for Counted {
    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(n, more)| *n += more);
    }
}

impl Pass for Bins<'_> {
    type Task = (Vec<u64>, Vec<f64>);
    type Out = Counted;
    const AGAIN: bool = true;

    fn start(&self) -> Self::Task {
        (vec![0; BINS], Vec::new())
    }

    fn block(&self, (counts, values): &mut Self::Task, bytes: &[u8]) {
        self.tensor.decode(&Chunk { first: 0, bytes }, values);
        // Halves, lest the range leave f64's.
        let range = self.high / 2.0 - self.low / 2.0;
        for x in values.iter().filter(|x| x.is_finite()) {
            let at = (x / 2.0 - self.low / 2.0) / range * BINS as f64;
            counts[(at as usize).min(BINS - 1)] += 1;
        }
    }

    fn finish(&self, (counts, _): Self::Task) -> Counted {
        Counted(counts)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weighbridge_model::{DType, Memory, Place};

    use super::*;

    fn tensor(values: impl Iterator<Item = f32>) -> Tensor {
        let bytes: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        let shape = vec![bytes.len() as u64 / 4];
        Tensor::contiguous("w", DType::F32, shape, Arc::new(Memory::new(bytes)), &Place::default()).unwrap()
    }

    #[test]
    fn a_shifted_distribution_has_moved_by_as_much() {
        let values = || (0..100_000).map(|i| (i % 1000) as f32 / 1000.0);
        let found = shift(&tensor(values()), &tensor(values().map(|x| x + 0.25))).unwrap().unwrap();
        // The deviation of what is even between 0 and 1 is the root of a twelfth.
        let expected = 0.25 * 12f64.sqrt();
        assert!((found.wasserstein.unwrap() - expected).abs() < 0.01, "{found:?}");
        assert!((found.kolmogorov_smirnov - 0.25).abs() < 0.01);
        let same = shift(&tensor(values()), &tensor(values().map(|x| 0.999 - x))).unwrap().unwrap();
        assert!(same.wasserstein.unwrap() < 0.01);
    }

    #[test]
    fn what_does_not_vary_has_no_unit() {
        let one = tensor([2.0f32; 5].into_iter());
        let found = shift(&one, &one).unwrap().unwrap();
        assert_eq!((found.wasserstein, found.kolmogorov_smirnov), (None, 0.0));
    }
}
