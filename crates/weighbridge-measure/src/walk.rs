//! Applies a pass to every block of a tensor: all cores, flat memory, the same figures for any split.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use weighbridge_model::{BLOCK, Result, Tensor};

use crate::merge::Merge;

/// Blocks in a task: a power of two, so that the merge tree does not depend on the split.
const TASK: u64 = 64;

/// Bytes that are expected to stay in memory from one pass to the next.
const STAYS: u64 = 1 << 30;

/// Something that is gathered block by block.
pub(crate) trait Pass: Sync {
    /// What a task gathers in.
    type Task;
    /// What a task comes to; small, since a few stand at a time for each thread.
    type Out: Merge + Send;
    /// Whether another pass went over the same elements just before.
    const AGAIN: bool = false;
    /// Starts a task.
    fn start(&self) -> Self::Task;
    /// Adds the stored elements of the next block.
    fn block(&self, task: &mut Self::Task, bytes: &[u8]);
    /// Ends a task.
    fn finish(&self, task: Self::Task) -> Self::Out;
}

/// Runs `pass` over `tensor`; `progress` is told each run of elements that is done.
pub(crate) fn walk<P: Pass>(
    tensor: &Tensor,
    pass: &P,
    progress: &(dyn Fn(Range<u64>) + Sync),
) -> Result<P::Out> {
    let walk = Walk { tensor, pass, progress };
    let count = tensor.count();
    if tensor.storage.can_seek() {
        return walk.fold(0..count.div_ceil(TASK * BLOCK));
    }
    if tensor.stored_at(&(0..count)).is_some() {
        return walk.task(0..count);
    }
    // Gathering from a stream takes some 20 MB: one at a time, lest many threads take that much each.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    walk.task(0..count)
}

struct Walk<'a, P> {
    tensor: &'a Tensor,
    pass: &'a P,
    progress: &'a (dyn Fn(Range<u64>) + Sync),
}

impl<P: Pass> Walk<'_, P> {
    /// Folds a run of tasks. The left half holds the largest power of two of them, as in [`Tree`]; what
    /// waits for its other half is a result for each level, not one for each task.
    ///
    /// [`Tree`]: crate::merge::Tree
    fn fold(&self, tasks: Range<u64>) -> Result<P::Out> {
        let n = tasks.end - tasks.start;
        if n <= 1 {
            let range =
                tasks.start * TASK * BLOCK..(tasks.end * TASK).saturating_mul(BLOCK).min(self.tensor.count());
            self.bring_in(&range);
            return self.task(range);
        }
        let middle = tasks.start + n.next_power_of_two() / 2;
        let (left, right) = rayon::join(|| self.fold(tasks.start..middle), || self.fold(middle..tasks.end));
        let mut whole = left?;
        whole.merge(&right?);
        Ok(whole)
    }

    fn task(&self, range: Range<u64>) -> Result<P::Out> {
        let mut task = self.pass.start();
        // A storage that has to be read is asked for a block at a time: its buffer is then no larger.
        let by_block = self.tensor.storage.as_slice().is_none() && self.tensor.storage.can_seek();
        let step = if by_block { BLOCK } else { u64::MAX };
        let mut rest = range;
        while !rest.is_empty() {
            let part = rest.start..rest.end.min(rest.start.saturating_add(step));
            self.tensor.visit(part.clone(), &mut |chunk| {
                self.pass.block(&mut task, chunk.bytes);
                let elements = chunk.bytes.len() as u64 / self.tensor.dtype.chunk_bytes() as u64;
                (self.progress)(chunk.first..chunk.first + elements);
                Ok(())
            })?;
            rest.start = part.end;
        }
        Ok(self.pass.finish(task))
    }

    /// Has the pages of a contiguous run brought in in bulk.
    fn bring_in(&self, range: &Range<u64>) {
        let tensor = self.tensor;
        // Looking for pages that are still there costs as much as a tenth of a pass.
        if P::AGAIN && tensor.bytes() <= STAYS {
            return;
        }
        if let Some(bytes) = tensor.stored_at(range).filter(|_| !range.is_empty()) {
            tensor.storage.will_need(bytes);
        }
    }
}
