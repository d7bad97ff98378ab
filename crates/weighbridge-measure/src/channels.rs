//! What rounding does to each output channel of a weight, in one pass.
//!
//! Channels that lie together are handed to the kernel a run at a time. Columns of a matrix are summed apart, row by row.

use rayon::prelude::*;
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::storage::Channels;
use weighbridge_model::{BLOCK, Class, DType, Result, Tensor};

use crate::kernels::{Buffers, Columns, Level, Measure, Rows};
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
/// The same bits for any number of threads: a channel's parts are the same, and are added in their order.
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
        let columns = self.channels.period().filter(|_| run < SHORT && !self.channels.in_order());
        if let Some(columns) = columns {
            return self.columns::<T>(columns);
        }
        if !self.channels.in_order() || !self.tensor.storage.can_seek() {
            return self.runs::<T>(0, count, 0, self.tensor.count());
        }
        let step = (TASK / run).max(1);
        let starts: Vec<u64> = (0..count).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect();
        let parts = starts.into_par_iter().map(|first| {
            let next = count.min(first.saturating_add(step));
            self.runs::<T>(first, next, first * run, next * run)
        });
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Channels `first..next`, which lie within the elements `start..end`, run by run.
    fn runs<T: Measure>(&self, first: u64, next: u64, start: u64, end: u64) -> Result<Vec<Survival>> {
        let mut losses = vec![Survival::new(self.format); (next - first) as usize];
        let run = self.channels.run().max(1);
        self.visit::<T>(start, end, &mut |at, values| {
            let (mut at, mut rest) = (at, values);
            while !rest.is_empty() {
                let (run, after) = rest.split_at(rest.len().min((run - at % run) as usize));
                let channel = self.channels.at(at) - first as usize;
                losses[channel].merge(&T::survive(self.level, run, self.format, self.power));
                (at, rest) = (at + run.len() as u64, after);
            }
        })?;
        Ok(losses)
    }

    /// All channels, which come again after `columns` elements: rows, whose columns are summed apart.
    fn columns<T: Measure>(&self, columns: u64) -> Result<Vec<Survival>> {
        let count = self.tensor.count();
        // A task's sums are small beside the elements that they are of.
        let step = TASK.max(columns.saturating_mul(ROWS).div_ceil(BLOCK).saturating_mul(BLOCK));
        let step = if self.tensor.storage.can_seek() { step } else { count.max(1) };
        let starts: Vec<u64> = (0..count).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect();
        let parts = starts
            .into_par_iter()
            .map(|start| self.some_rows::<T>(columns, start, count.min(start.saturating_add(step))));
        let mut losses = vec![Survival::new(self.format); self.channels.count() as usize];
        for part in parts.collect::<Result<Vec<_>>>()? {
            losses.iter_mut().zip(&part).for_each(|(loss, part)| loss.merge(part));
        }
        Ok(losses)
    }

    /// The elements `start..end` of all channels.
    fn some_rows<T: Measure>(&self, columns: u64, start: u64, end: u64) -> Result<Vec<Survival>> {
        let mut losses = vec![Survival::new(self.format); self.channels.count() as usize];
        let (width, mut since) = (columns as usize, 0);
        let mut sums = Columns::<T>::new(width);
        let mut settle = |sums: &mut Columns<T>| {
            for (column, loss) in (0..).zip(sums.losses(self.format)) {
                losses[self.channels.at(column)].merge(&loss);
            }
            *sums = Columns::new(width);
        };
        self.visit::<T>(start, end, &mut |at, values| {
            let mut add = |values, width, first| {
                T::survive_apart(
                    self.level,
                    Rows { values, width, first },
                    self.format,
                    self.power,
                    &mut sums,
                );
            };
            // The rest of a row, whole rows, and the start of one.
            let first = (at % columns) as usize;
            let (head, rest) = values.split_at(if first == 0 { 0 } else { values.len().min(width - first) });
            let (rows, tail) = rest.split_at(rest.len() / width * width);
            add(head, head.len(), first);
            add(rows, width, 0);
            add(tail, tail.len(), 0);
            since += values.len() as u64 / columns + 2;
            if since > u64::from(u32::MAX) - 2 * BLOCK {
                settle(&mut sums);
                since = 0;
            }
        })?;
        settle(&mut sums);
        Ok(losses)
    }

    /// Shows the elements `start..end`, a block or a part of one at a time, each with the index of the first.
    fn visit<T: Measure>(&self, start: u64, end: u64, see: &mut dyn FnMut(u64, &[T::Bytes])) -> Result<()> {
        let mut buffers = Buffers::default();
        // A storage that has to be read is asked for a block at a time, as in `walk`.
        let by_block = self.tensor.storage.as_slice().is_none() && self.tensor.storage.can_seek();
        let mut from = start;
        while from < end {
            let to = if by_block { end.min(from + BLOCK) } else { end };
            self.tensor.visit(from..to, &mut |chunk| {
                see(chunk.first, T::values(self.level, self.dtype, chunk.bytes, &mut buffers));
                Ok(())
            })?;
            from = to;
        }
        Ok(())
    }
}

/// Where channels alternate, runs that are shorter than this are taken for columns.
const SHORT: u64 = 64;

/// Rows for which it pays to sum columns apart.
const ROWS: u64 = 1024;

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

    #[test]
    fn columns_of_any_width_and_short_runs_are_as_their_elements() {
        // More than one task, widths that divide no block, runs of 1 and of 3.
        for (rows, columns, run) in [(300_000, 17, 1), (3000, 700, 3), (70, 70_000, 1), (100_001, 1, 3)] {
            let value = |i: usize| (1.0 + (i % 11) as f32) * [1e-8f32, 1e5, 1.0, 3e-6][i / run % columns % 4];
            let values: Vec<f32> = (0..rows * columns * run).map(value).collect();
            let shape = [rows as u64, columns as u64, run as u64];
            let channels = Channels::of(&shape, &[1]).unwrap();
            let found = by_channel(&tensor(&shape, &values), &channels, F16, 2e6, Level::detect());
            let found = found.unwrap().unwrap().channels;
            assert_eq!(found.len(), columns);
            for (channel, loss) in found.iter().enumerate().step_by(columns.div_ceil(40)) {
                let of: Vec<[u8; 4]> = (values.chunks(run).skip(channel).step_by(columns).flatten())
                    .map(|x| x.to_le_bytes())
                    .collect();
                let right = <f32 as Measure>::survive(Level::Portable, &of, F16, 0);
                let counts =
                    |l: &Survival| (l.overflow, l.to_zero, l.subnormal, l.max_abs_error, l.max_rel_error);
                assert_eq!(counts(loss), counts(&right));
                assert!((loss.noise - right.noise).abs() <= 1e-12 * right.noise);
                assert!((loss.signal - right.signal).abs() <= 1e-12 * right.signal);
            }
        }
    }
}
