//! What stays of a tensor's values in whatever order they are kept: permuted, reshaped and renamed tensors have it in
//! common.

use rayon::prelude::*;
use weighbridge_model::{Chunk, DType, Limits, Result, Tensor, dtype};

use crate::merge::Merge;
use crate::views::check_expansion;
use crate::walk::{Pass, walk};

/// A hash of a tensor's values without regard to their order. Those of different values are different but for one case
/// in 2^128 or so; that of a wider type with the same values is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Multiset {
    /// Values.
    pub count: u64,
    sums: [u64; 2],
    least: u64,
    most: u64,
}

impl Multiset {
    /// Whether all values are one and the same.
    pub fn is_constant(&self) -> bool {
        self.least == self.most
    }
}

/// What a tensor's values have in common with those of the same tensor elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fingerprint {
    /// All of them, exactly.
    pub set: Multiset,
    /// Sum of the magnitudes of the finite ones: nearly the same where values are.
    pub magnitude: f64,
}

impl Merge for Fingerprint {
    fn merge(&mut self, other: &Self) {
        self.set.merge(&other.set);
        self.magnitude += other.magnitude;
    }
}

impl Merge for Multiset {
    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        (self.least, self.most) = match self.count {
            0 => (other.least, other.most),
            _ => (self.least.min(other.least), self.most.max(other.most)),
        };
        self.count += other.count;
        for (sum, other) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.wrapping_add(other);
        }
    }
}

/// The fingerprints of tensors, the values of each first rounded to the type beside it, where there is one.
///
/// # Errors
/// For each: complex and opaque elements, a failed read, or a view that repeats its storage too often.
pub fn fingerprints(tensors: &[(&Tensor, Option<DType>)]) -> Vec<Result<Fingerprint>> {
    let one = |&(tensor, to): &(&Tensor, Option<DType>)| {
        check_expansion(tensor, &Limits::default())?;
        walk(tensor, &Values { tensor, to }, &|_| {})
    };
    tensors.par_iter().map(one).collect()
}

struct Values<'a> {
    tensor: &'a Tensor,
    to: Option<DType>,
}

impl Pass for Values<'_> {
    type Task = (Fingerprint, Vec<f64>, Vec<u8>);
    type Out = Fingerprint;

    fn start(&self) -> Self::Task {
        Default::default()
    }

    fn block(&self, (set, values, bytes): &mut Self::Task, chunk: &[u8]) {
        self.tensor.decode(&Chunk { first: 0, bytes: chunk }, values);
        if let Some(to) = self.to {
            for value in values.iter_mut() {
                bytes.clear();
                dtype::push(to, *value, bytes);
                *value = dtype::to_f64(to, bytes);
            }
        }
        let mut block = Multiset { count: values.len() as u64, least: u64::MAX, ..Multiset::default() };
        let mut magnitude = 0.0;
        for value in values.iter() {
            magnitude += if value.is_finite() { value.abs() } else { 0.0 };
            let bits = value.to_bits();
            let mixed = mix(bits);
            block.sums[0] = block.sums[0].wrapping_add(mixed);
            block.sums[1] = block.sums[1].wrapping_add(mix(mixed ^ 0x9e37_79b9_7f4a_7c15));
            (block.least, block.most) = (block.least.min(bits), block.most.max(bits));
        }
        set.merge(&Fingerprint { set: block, magnitude });
    }

    fn finish(&self, (set, ..): Self::Task) -> Fingerprint {
        set
    }
}

/// A bijection of 64 bits in which every bit decides about half of the others: multiplications by odd numbers between
/// shifts.
#[inline]
fn mix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(0xe703_7ed1_a0b4_28db);
    x ^= x >> 29;
    x = x.wrapping_mul(0x8ebc_6af0_9c88_c6e3);
    x ^ x >> 32
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weighbridge_model::{Memory, Place};

    use super::*;

    fn tensor(values: &[f64], dtype: DType) -> Tensor {
        let mut bytes = Vec::new();
        values.iter().for_each(|&x| dtype::push(dtype, x, &mut bytes));
        let storage = Arc::new(Memory::new(bytes));
        Tensor::contiguous("w", dtype, vec![values.len() as u64], storage, &Place::default()).unwrap()
    }

    fn of(values: &[f64], dtype: DType, to: Option<DType>) -> Multiset {
        fingerprints(&[(&tensor(values, dtype), to)]).remove(0).unwrap().set
    }

    #[test]
    fn order_and_width_do_not_matter_and_values_do() {
        let values: Vec<f64> = (0..200_000).map(|i| f64::from(i % 1000) * 0.5 - 3.0).collect();
        let turned: Vec<f64> = values.iter().rev().copied().collect();
        let set = of(&values, DType::F32, None);
        assert_eq!(set, of(&turned, DType::F16, None));
        let mut changed = values.clone();
        changed[77] += 0.5;
        assert_ne!(set, of(&changed, DType::F32, None));
        assert!(!set.is_constant() && of(&[2.0; 9], DType::F32, None).is_constant());
    }

    #[test]
    fn what_was_rounded_is_found() {
        let values = [0.1, 1.0 / 3.0, 7.7];
        assert_eq!(of(&values, DType::F32, Some(DType::BF16)), of(&values, DType::BF16, None));
        assert_ne!(of(&values, DType::F32, None), of(&values, DType::BF16, None));
    }
}
