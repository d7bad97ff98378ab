//! Two tensors, element by element: all cores, flat memory, the same figures for any split.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use weighbridge_model::{BLOCK, Chunk, Error, Place, Result, Tensor};

use crate::merge::{Merge, Tree};

/// Blocks in a task: a power of two, so that the merge tree does not depend on the split.
const TASK: u64 = 64;

/// Elements that differ and are kept to be shown.
pub const SHOWN: usize = 8;

/// What comparing two tensors of as many elements comes to. Sums leave out elements that are not finite on both sides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compared {
    /// Elements.
    pub count: u64,
    /// Elements whose values are not equal; two NaN are.
    pub unequal: u64,
    /// Elements that differ by more than was allowed to each of them.
    pub off: u64,
    /// The first of those: index, value of either side.
    pub shown: Vec<(u64, f64, f64)>,
    /// Largest difference; infinite where one side alone has NaN or an infinity.
    pub max_abs: f64,
    /// Largest difference as a share of what was allowed, where something was.
    pub max_share: f64,
    /// Largest finite magnitude of the first tensor.
    pub largest: f64,
    /// Sum of squares of the first.
    pub aa: f64,
    /// Sum of squares of the second.
    pub bb: f64,
    /// Sum of products.
    pub ab: f64,
    /// Sum of squared differences.
    pub square_error: f64,
}

impl Compared {
    /// The largest difference relative to the first tensor's largest magnitude; 0 where nothing differs.
    pub fn max_rel(&self) -> f64 {
        if self.max_abs == 0.0 { 0.0 } else { self.max_abs / self.largest }
    }

    /// Cosine of the angle between both; 1 where both are zero.
    pub fn cosine(&self) -> f64 {
        if self.unequal == 0 || self.aa == 0.0 && self.bb == 0.0 {
            return 1.0;
        }
        // Two roots: the product of two sums of squares may leave f64's range.
        self.ab / self.aa.sqrt() / self.bb.sqrt()
    }

    /// Power of the first over that of the difference, in decibels; infinite where nothing differs.
    pub fn sqnr_db(&self) -> f64 {
        10.0 * (self.aa / self.square_error).log10()
    }

    /// The norm of the difference relative to that of the first.
    pub fn relative_change(&self) -> f64 {
        if self.square_error == 0.0 { 0.0 } else { (self.square_error / self.aa).sqrt() }
    }

    #[inline]
    fn add(&mut self, index: u64, a: f64, b: f64, allowed: f64) {
        if a == b {
            if a.is_finite() {
                self.aa += a * a;
                self.bb += b * b;
                self.ab += a * b;
                self.largest = self.largest.max(a.abs());
            }
            return;
        }
        if a.is_nan() && b.is_nan() {
            return;
        }
        self.unequal += 1;
        let difference = if a.is_finite() && b.is_finite() {
            self.aa += a * a;
            self.bb += b * b;
            self.ab += a * b;
            self.square_error += (a - b) * (a - b);
            (a - b).abs()
        } else {
            f64::INFINITY
        };
        if a.is_finite() {
            self.largest = self.largest.max(a.abs());
        }
        self.max_abs = self.max_abs.max(difference);
        if allowed > 0.0 {
            self.max_share = self.max_share.max(difference / allowed);
        }
        if difference > allowed {
            self.off += 1;
            if self.shown.len() < SHOWN {
                self.shown.push((index, a, b));
            }
        }
    }
}

impl Merge for Compared {
    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.unequal += other.unequal;
        self.off += other.off;
        self.shown.extend(other.shown.iter().take(SHOWN - self.shown.len()));
        self.max_abs = self.max_abs.max(other.max_abs);
        self.max_share = self.max_share.max(other.max_share);
        self.largest = self.largest.max(other.largest);
        self.aa += other.aa;
        self.bb += other.bb;
        self.ab += other.ab;
        self.square_error += other.square_error;
    }
}

/// Compares the values of two tensors in logical order, whatever their shapes. `allow` says how far two elements may lie
/// apart: of a logical index and both values, the largest difference to let pass.
///
/// # Errors
/// Tensors of different sizes, elements without a real value, a failed read.
pub fn compare(a: &Tensor, b: &Tensor, allow: &(impl Fn(u64, f64, f64) -> f64 + Sync)) -> Result<Compared> {
    compare_runs(a, b, &|first, x: &[f64], y: &[f64], allowed: &mut [f64]| {
        for (i, allowed) in allowed.iter_mut().enumerate() {
            if x[i] != y[i] {
                *allowed = allow(first + i as u64, x[i], y[i]);
            }
        }
    })
}

/// As [`compare`], where what is allowed depends on an element's neighbours: `allow` is given the logical index of the
/// first of a run, which is a multiple of [`BLOCK`], the values of either side, and zeros to fill in.
///
/// # Errors
/// As [`compare`].
pub fn compare_runs(
    a: &Tensor,
    b: &Tensor,
    allow: &(impl Fn(u64, &[f64], &[f64], &mut [f64]) + Sync),
) -> Result<Compared> {
    for tensor in [a, b] {
        if !tensor.dtype.is_real() {
            let place = Place::default().tensor(&tensor.name);
            return Err(Error::unsupported(place, format!("{} elements have no real value", tensor.dtype)));
        }
    }
    in_step(a, b, &|task: &mut Compared, ours: Chunk<'_>, theirs: Chunk<'_>| {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        a.decode(&ours, &mut x);
        b.decode(&theirs, &mut y);
        let mut allowed = vec![0.0; x.len()];
        allow(ours.first, &x, &y, &mut allowed);
        let mut block = Compared { count: x.len() as u64, ..Compared::default() };
        for (i, ((&x, &y), &allowed)) in x.iter().zip(&y).zip(&allowed).enumerate() {
            block.add(ours.first + i as u64, x, y, allowed);
        }
        task.merge(&block);
        true
    })
}

/// Whether two tensors of one type hold the same bits in logical order. Stops where they do not.
///
/// # Errors
/// Tensors of different sizes, opaque elements, a failed read.
pub fn identical(a: &Tensor, b: &Tensor) -> Result<bool> {
    if a.dtype != b.dtype || a.count() != b.count() {
        return Ok(false);
    }
    let differs = AtomicBool::new(false);
    in_step(a, b, &|_: &mut Nothing, ours: Chunk<'_>, theirs: Chunk<'_>| {
        if ours.bytes != theirs.bytes {
            differs.store(true, Ordering::Relaxed);
        }
        !differs.load(Ordering::Relaxed)
    })?;
    Ok(!differs.into_inner())
}

#[derive(Default)]
struct Nothing;

impl Merge for Nothing {
    fn merge(&mut self, _: &Self) {}
}

/// Goes through two tensors in step, block by block; `each` says whether to go on.
fn in_step<T: Merge + Default + Send>(
    a: &Tensor,
    b: &Tensor,
    each: &(impl Fn(&mut T, Chunk<'_>, Chunk<'_>) -> bool + Sync),
) -> Result<T> {
    if a.count() != b.count() {
        let what = format!("{} elements beside {} of '{}'", a.count(), b.count(), b.name);
        return Err(Error::Malformed { place: Place::default().tensor(&a.name), what });
    }
    let count = a.count();
    if a.storage.can_seek() && b.storage.can_seek() {
        return fold(a, b, 0..count.div_ceil(TASK * BLOCK), each);
    }
    let mut tree = Tree::new();
    if b.storage.can_seek() {
        a.visit(0..count, &mut |ours| {
            let mut block = T::default();
            let end = ours.first + (ours.bytes.len() / a.dtype.chunk_bytes()) as u64;
            b.visit(ours.first..end, &mut |theirs| {
                each(&mut block, ours, theirs);
                Ok(())
            })?;
            tree.push(block);
            Ok(())
        })?;
    } else {
        streamed(a, b, &mut |ours, theirs| {
            let mut block = T::default();
            each(&mut block, ours, theirs);
            tree.push(block);
        })?;
    }
    Ok(tree.finish().unwrap_or_default())
}

/// Folds a run of tasks, the left half the largest power of two of them.
fn fold<T: Merge + Default + Send>(
    a: &Tensor,
    b: &Tensor,
    tasks: Range<u64>,
    each: &(impl Fn(&mut T, Chunk<'_>, Chunk<'_>) -> bool + Sync),
) -> Result<T> {
    let n = tasks.end - tasks.start;
    if n <= 1 {
        return task(a, b, tasks.start * TASK * BLOCK..a.count().min(tasks.end * TASK * BLOCK), each);
    }
    let middle = tasks.start + n.next_power_of_two() / 2;
    let (left, right) =
        rayon::join(|| fold(a, b, tasks.start..middle, each), || fold(a, b, middle..tasks.end, each));
    let mut whole = left?;
    whole.merge(&right?);
    Ok(whole)
}

fn task<T: Merge + Default>(
    a: &Tensor,
    b: &Tensor,
    range: Range<u64>,
    each: &impl Fn(&mut T, Chunk<'_>, Chunk<'_>) -> bool,
) -> Result<T> {
    for tensor in [a, b] {
        if let Some(bytes) = tensor.stored_at(&range).filter(|_| !range.is_empty()) {
            tensor.storage.will_need(bytes);
        }
    }
    let mut tree = Tree::new();
    let mut rest = range;
    while !rest.is_empty() {
        let block = rest.start..rest.end.min(rest.start + BLOCK);
        let (mut result, mut on) = (T::default(), true);
        a.visit(block.clone(), &mut |ours| {
            b.visit(block.clone(), &mut |theirs| {
                on = each(&mut result, ours, theirs);
                Ok(())
            })
        })?;
        tree.push(result);
        if !on {
            break;
        }
        rest.start = block.end;
    }
    Ok(tree.finish().unwrap_or_default())
}

/// Two tensors that can only be read from start to end: the first is read by a thread of its own, a few blocks ahead.
fn streamed(a: &Tensor, b: &Tensor, each: &mut dyn FnMut(Chunk<'_>, Chunk<'_>)) -> Result<()> {
    std::thread::scope(|scope| {
        let (send, receive) = sync_channel::<Vec<u8>>(2);
        let reader = scope.spawn(move || {
            a.visit(0..a.count(), &mut |chunk| {
                // Nobody listens any more where the other side has failed.
                let _ = send.send(chunk.bytes.to_vec());
                Ok(())
            })
        });
        let read = b.visit(0..b.count(), &mut |theirs| {
            if let Ok(bytes) = receive.recv() {
                each(Chunk { first: theirs.first, bytes: &bytes }, theirs);
            }
            Ok(())
        });
        drop(receive);
        let first = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        first.and(read)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weighbridge_model::{DType, Memory, Place};

    use super::*;

    fn tensor(values: &[f32]) -> Tensor {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let storage = Arc::new(Memory::new(bytes));
        Tensor::contiguous("w", DType::F32, vec![values.len() as u64], storage, &Place::default()).unwrap()
    }

    #[test]
    fn one_element_of_many_is_found() {
        let values: Vec<f32> = (0..5_000_000).map(|i| (i % 977) as f32 * 1e-3 + 0.1).collect();
        let mut other = values.clone();
        other[4_700_001] += 1e-3;
        let (a, b) = (tensor(&values), tensor(&other));
        assert!(identical(&a, &a).unwrap() && !identical(&a, &b).unwrap());
        let found = compare(&a, &b, &|_, x: f64, _| 1e-6 * x.abs()).unwrap();
        assert_eq!((found.count, found.unequal, found.off), (5_000_000, 1, 1));
        assert_eq!(found.shown[0].0, 4_700_001);
        assert!((found.max_abs - 1e-3).abs() < 1e-7);
    }

    #[test]
    fn what_is_not_finite_is_told_and_left_out_of_sums() {
        let nan = f32::NAN;
        let found = compare(&tensor(&[1.0, nan, nan, 2.0]), &tensor(&[1.0, nan, 3.0, 2.0]), &|_, _, _| 0.0);
        let found = found.unwrap();
        assert_eq!((found.unequal, found.max_abs, found.aa), (1, f64::INFINITY, 5.0));
        let same = compare(&tensor(&[nan]), &tensor(&[nan]), &|_, _, _| 0.0).unwrap();
        assert_eq!((same.unequal, same.cosine()), (0, 1.0));
    }
}
