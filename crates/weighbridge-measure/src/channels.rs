//! What rounding does to each output channel of a weight, in one pass.
//!
//! Channels that lie together are handed to the kernel a run at a time. Others are gathered channel by channel first,
//! within a block.

use rayon::prelude::*;
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::storage::Channels;
use weighbridge_model::{BLOCK, Class, DType, Result, Tensor};

use crate::kernels::{Buffers, Level, Measure};
use crate::merge::Merge;
use crate::scale::{exp2, power_for};
use crate::survival::Survival;

/// Elements that a task goes through, where channels lie together.
const TASK: u64 = 64 * BLOCK;

/// Losses of a tensor, channel by channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ByChannel {
    /// The loss of each channel.
    pub channels: Vec<Survival>,
    /// The unit of signals, as a power of two.
    power: i32,
    /// Elements of a channel.
    elements: u64,
}

impl ByChannel {
    /// The loss of the whole tensor; `None` without channels.
    pub fn whole(&self) -> Option<Survival> {
        let (first, rest) = self.channels.split_first()?;
        let mut whole = first.clone();
        rest.iter().for_each(|channel| whole.merge(channel));
        Some(whole)
    }

    /// The root mean square of a channel's finite values before rounding, NaN and infinities counted as 0.
    pub fn rms(&self, channel: usize) -> f64 {
        (self.channels[channel].signal / self.elements.max(1) as f64).sqrt() * exp2(self.power)
    }
}

/// What rounding to `format` does to each of `channels` of `tensor`, whose largest magnitude is `largest`. `None` for
/// elements that are no numbers of two bytes or more, and where `channels` are not the tensor's.
///
/// The same bits for any number of threads: tasks do not share channels, and a channel's parts are added in their order.
///
/// # Errors
/// A failed read.
pub fn by_channel(
    tensor: &Tensor,
    channels: &Channels,
    format: FloatFormat,
    largest: f64,
    level: Level,
) -> Result<Option<ByChannel>> {
    let numbers = !matches!(tensor.dtype.class(), Class::Complex | Class::Opaque);
    let dtype = tensor.dtype.in_chunks();
    if !numbers || dtype.chunk_bytes() < 2 || channels.elements() != tensor.count() || channels.count() == 0 {
        return Ok(None);
    }
    let power = if dtype == DType::F64 { power_for(largest) } else { 0 };
    let pass = Pass { tensor, channels, format, power, level, dtype };
    let losses = if dtype == DType::F64 { pass.all::<f64>() } else { pass.all::<f32>() }?;
    Ok(Some(ByChannel { channels: losses, power, elements: tensor.count() / channels.count() }))
}

struct Pass<'a> {
    tensor: &'a Tensor,
    channels: &'a Channels,
    format: FloatFormat,
    power: i32,
    level: Level,
    dtype: DType,
}

impl Pass<'_> {
    fn all<T: Measure>(&self) -> Result<Vec<Survival>> {
        let (run, count) = (self.channels.run().max(1), self.channels.count());
        if !self.channels.in_order() || !self.tensor.storage.can_seek() {
            return self.some::<T>(0, count, 0, self.tensor.count());
        }
        let step = (TASK / run).max(1);
        let starts: Vec<u64> = (0..count).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect();
        let parts = starts.into_par_iter().map(|first| {
            let next = count.min(first.saturating_add(step));
            self.some::<T>(first, next, first * run, next * run)
        });
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Channels `first..next`, which lie within the elements `start..end`.
    fn some<T: Measure>(&self, first: u64, next: u64, start: u64, end: u64) -> Result<Vec<Survival>> {
        let mut losses = vec![Survival::new(self.format); (next - first) as usize];
        let mut buffers = Buffers::default();
        let mut gathered = Gathered::<T::Bytes>::default();
        let run = self.channels.run().max(1);
        let mut from = start;
        while from < end {
            // A storage that has to be read is asked for a block at a time, as in `walk`.
            let by_block = self.tensor.storage.as_slice().is_none() && self.tensor.storage.can_seek();
            let to = if by_block { end.min(from + BLOCK) } else { end };
            self.tensor.visit(from..to, &mut |chunk| {
                let values = T::values(self.level, self.dtype, chunk.bytes, &mut buffers);
                if run < GATHERED && self.channels.count() > 1 {
                    gathered.sort(self.channels, chunk.first, values);
                    for (channel, values) in gathered.runs() {
                        let loss = T::survive(self.level, values, self.format, self.power);
                        losses[channel - first as usize].merge(&loss);
                    }
                    return Ok(());
                }
                let (mut at, mut rest) = (chunk.first, values);
                while !rest.is_empty() {
                    let (run, after) = rest.split_at(rest.len().min((run - at % run) as usize));
                    let channel = self.channels.at(at) - first as usize;
                    losses[channel].merge(&T::survive(self.level, run, self.format, self.power));
                    (at, rest) = (at + run.len() as u64, after);
                }
                Ok(())
            })?;
            from = to;
        }
        Ok(losses)
    }
}

/// Shorter runs than this are gathered.
const GATHERED: u64 = 8;

/// The values of a block, those of each channel together.
struct Gathered<B> {
    /// Channel of each value.
    of: Vec<u32>,
    /// Where the values of the channel end, and which channels there are.
    ends: Vec<(usize, usize)>,
    values: Vec<B>,
    counts: Vec<u32>,
}

impl<B> Default for Gathered<B> {
    fn default() -> Self {
        Gathered { of: Vec::new(), ends: Vec::new(), values: Vec::new(), counts: Vec::new() }
    }
}

impl<B: Copy> Gathered<B> {
    fn sort(&mut self, channels: &Channels, first: u64, values: &[B]) {
        self.of.clear();
        self.ends.clear();
        self.values.clear();
        let Some(&some) = values.first() else { return };
        self.counts.resize(channels.count() as usize, 0);
        for at in (first..).take(values.len()) {
            let channel = channels.at(at);
            self.of.push(channel as u32);
            self.counts[channel] += 1;
        }
        // Only channels that are met are gone through: a block has few of a wide matrix.
        let mut met = self.of.clone();
        met.sort_unstable();
        met.dedup();
        let mut start = 0;
        for &channel in &met {
            let count = std::mem::replace(&mut self.counts[channel as usize], start as u32);
            start += count as usize;
            self.ends.push((channel as usize, start));
        }
        self.values.resize(values.len(), some);
        for (&channel, &value) in self.of.iter().zip(values) {
            let place = &mut self.counts[channel as usize];
            self.values[*place as usize] = value;
            *place += 1;
        }
        met.iter().for_each(|&channel| self.counts[channel as usize] = 0);
    }

    fn runs(&self) -> impl Iterator<Item = (usize, &[B])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|&(_, end)| end));
        starts.zip(&self.ends).map(|(start, &(channel, end))| (channel, &self.values[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weighbridge_model::dtype::F16;
    use weighbridge_model::{Memory, Place};

    use super::*;

    fn tensor(shape: &[u64], values: &[f32]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let storage = Arc::new(Memory::new(bytes));
        Tensor::contiguous("w", DType::F32, shape.to_vec(), storage, &Place::default()).unwrap()
    }

    #[test]
    fn rows_and_columns_lose_the_same() {
        let (rows, columns) = (5usize, 40_000usize);
        let value = |r: usize, c: usize| [1e-9f32, 1e6, 0.1, 3e-7, 1.0][r] * (1.0 + (c % 7) as f32);
        let by_rows: Vec<f32> = (0..rows * columns).map(|i| value(i / columns, i % columns)).collect();
        let by_columns: Vec<f32> = (0..rows * columns).map(|i| value(i % rows, i / rows)).collect();
        let a = tensor(&[5, 40_000], &by_rows);
        let b = tensor(&[40_000, 5], &by_columns);
        let of = |t: &Tensor, dim| {
            let channels = Channels::of(&t.shape, &[dim]).unwrap();
            by_channel(t, &channels, F16, 7e6, Level::detect()).unwrap().unwrap()
        };
        let (a, b) = (of(&a, 0), of(&b, 1));
        for (x, y) in a.channels.iter().zip(&b.channels) {
            assert_eq!((x.overflow, x.to_zero, x.subnormal), (y.overflow, y.to_zero, y.subnormal));
            assert!((x.energy_lost() - y.energy_lost()).abs() <= 1e-12);
        }
        assert_eq!(a.channels[0].to_zero, 40_000);
        assert_eq!(a.channels[0].energy_lost(), 1.0);
        assert_eq!(a.channels[1].overflow, 40_000);
        assert!(a.channels[2].sqnr_db().unwrap() > 60.0);
        assert!(a.rms(4) > 3.0 && a.rms(4) < 5.0);
        assert_eq!(a.whole().unwrap().to_zero, 40_000);
    }
}
