//! How the dimensions of one tensor may become those of another, and whether a few elements bear it out.

use std::sync::Arc;

use weighbridge_convert::into::{Step, arranged};
use weighbridge_model::storage::Cast;
use weighbridge_model::{Layout, Memory, Place, Result, Tensor, element_count};

use super::side::decoded;

/// Elements that are looked at before all are.
const SAMPLES: u64 = 64;
/// Dimensions other than ones that are tried in every order.
const MOST: usize = 5;

/// A tensor in the order and the shape of another; `None` where it cannot be seen so.
///
/// # Errors
/// A failed read.
pub(super) fn apply(tensor: &Tensor, steps: &[Step]) -> Result<Option<Tensor>> {
    if steps.is_empty() {
        return Ok(Some(tensor.clone()));
    }
    let mut plain = decoded(tensor)?;
    if plain.dtype.is_sub_byte() && plain.dtype.is_real() {
        let storage = Arc::new(Cast::new(plain.clone(), weighbridge_model::DType::F32));
        let (dtype, shape) = (weighbridge_model::DType::F32, plain.shape.clone());
        plain = Tensor::contiguous(&tensor.name, dtype, shape, storage, &Place::default())?;
    }
    Ok(arranged(&plain, steps, &mut Vec::new()).ok())
}

/// Whether steps put dimensions into another order, rather than write them otherwise.
pub(super) fn turns(steps: &[Step], shape: &[u64]) -> bool {
    let mut sizes = shape.to_vec();
    for step in steps {
        match step {
            Step::Permute(axes) => {
                let moved = axes.iter().filter(|&&a| sizes.get(a).is_some_and(|&n| n != 1));
                if !moved.is_sorted() {
                    return true;
                }
                sizes = axes.iter().map(|&a| sizes.get(a).copied().unwrap_or(1)).collect();
            }
            Step::Reshape(to) => sizes.clone_from(to),
            _ => {}
        }
    }
    false
}

/// Every way in which the dimensions of `from` may become those of `to`, the simplest first.
pub(super) fn ways(from: &[u64], to: &[u64]) -> Vec<Vec<Step>> {
    let dense = |shape: &[u64]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<u64>>();
    let (ours, theirs) = (dense(from), dense(to));
    let sorted = |shape: &[u64]| {
        let mut shape = shape.to_vec();
        shape.sort_unstable();
        shape
    };
    if sorted(&ours) != sorted(&theirs) {
        // A format without shapes has all elements in a row.
        let flat = ours.len() <= 1 || theirs.len() <= 1;
        let as_many = element_count(from).is_some() && element_count(from) == element_count(to);
        return if flat && as_many { vec![vec![Step::Reshape(to.to_vec())]] } else { Vec::new() };
    }
    let mut ways = Vec::new();
    if ours == theirs {
        ways.push(if from == to { Vec::new() } else { vec![Step::Reshape(to.to_vec())] });
    }
    if ours.len() > MOST {
        return ways;
    }
    let mut orders = vec![Vec::new()];
    for size in &theirs {
        let longer = orders.iter().flat_map(|order: &Vec<usize>| {
            let fits = |&axis: &usize| ours[axis] == *size && !order.contains(&axis);
            (0..ours.len()).filter(fits).map(|axis| [order.clone(), vec![axis]].concat()).collect::<Vec<_>>()
        });
        orders = longer.collect();
    }
    for order in orders.into_iter().filter(|order| !order.is_sorted()) {
        let mut steps = Vec::new();
        if ours != from {
            steps.push(Step::Reshape(ours.clone()));
        }
        steps.push(Step::Permute(order));
        if theirs != to {
            steps.push(Step::Reshape(to.to_vec()));
        }
        ways.push(steps);
    }
    ways
}

/// Heads of attention have at most so many rows.
const HEAD: u64 = 512;

/// Ways in which rows of queries and keys are put into another order for rotary positions: of each head the first and the
/// second half side by side, row by row, or apart again. Converters to GGUF do so for models of Llama's kind.
pub(super) fn rotary(name: &str, from: &[u64], to: &[u64]) -> Vec<Vec<Step>> {
    const NAMES: [&str; 8] = ["q_proj", "k_proj", "attn_q", "attn_k", "query", "key", "wq", "wk"];
    if from != to || from.is_empty() || from.len() > 2 || !NAMES.iter().any(|part| name.contains(part)) {
        return Vec::new();
    }
    let (rows, rest) = (from[0], &from[1..]);
    let mut ways = Vec::new();
    for head in (4..=HEAD.min(rows)).filter(|head| head % 2 == 0 && rows % head == 0) {
        for halves in [[2, head / 2], [head / 2, 2]] {
            let apart = [&[rows / head], &halves[..], rest].concat();
            let order = [0, 2, 1].into_iter().chain(3..apart.len()).collect();
            ways.push(vec![Step::Reshape(apart), Step::Permute(order), Step::Reshape(to.to_vec())]);
        }
    }
    ways
}

/// Indices spread over a tensor, the same ones for the same size.
pub(super) fn samples(count: u64) -> impl Iterator<Item = u64> {
    let most = SAMPLES.min(count);
    // Neither the first of each row nor the first of each channel alone.
    (0..most).map(move |i| {
        let start = (u128::from(i) * u128::from(count) / u128::from(most)) as u64;
        (start + i * 7 % (count / most).max(1)).min(count - 1)
    })
}

/// One element's value.
///
/// # Errors
/// A failed read.
pub(super) fn value(tensor: &Tensor, index: u64) -> Result<f64> {
    let mut found = f64::NAN;
    tensor.visit_values(index..index + 1, &mut |_, values| {
        found = values.first().copied().unwrap_or(f64::NAN);
        Ok(())
    })?;
    Ok(found)
}

/// The share of sampled elements of which `close` says that the target's may be the source's.
///
/// # Errors
/// A failed read.
pub(super) fn agreement(
    source: &Tensor,
    target: &Tensor,
    close: &dyn Fn(u64, f64, f64) -> bool,
) -> Result<f64> {
    if source.count() != target.count() || !source.dtype.is_real() || !target.dtype.is_real() {
        return Ok(0.0);
    }
    let (mut all, mut agree) = (0.0, 0.0);
    for index in samples(target.count()) {
        let (x, y) = (value(source, index)?, value(target, index)?);
        all += 1.0;
        agree += f64::from(u8::from(close(index, x, y)));
    }
    Ok(if all == 0.0 { 0.0 } else { agree / all })
}

/// Whether values may be the same but for roundings, or for the steps of codes.
pub(super) fn close(target: &Tensor) -> impl Fn(u64, f64, f64) -> bool + '_ {
    let inner = match &target.layout {
        Layout::Quantized { axis: Some(axis), .. } => target.shape[axis + 1..].iter().product::<u64>().max(1),
        _ => u64::MAX,
    };
    // Of blocks the step is not at hand: a share of the value must do.
    let bits = target.dtype.block().map_or(16, |b| b.bytes() * 8 / b.elements());
    let relative = f64::from(2.0f32).powi(-(bits.min(16) as i32));
    move |index, x, y| {
        let step = match &target.layout {
            Layout::Quantized { scales, .. } => {
                1.1 * scales[(index / inner % scales.len() as u64) as usize].abs()
            }
            Layout::Blocks { .. } => 4.0 * relative * x.abs().max(y.abs()),
            _ => 2e-3 * x.abs().max(y.abs()),
        };
        (x - y).abs() <= step || x == y
    }
}

/// A tensor's values in memory, for one whose elements cost more each time that they are reached.
///
/// # Errors
/// A failed read.
pub(super) fn in_memory(tensor: &Tensor) -> Result<Tensor> {
    let mut bytes = Vec::with_capacity(usize::try_from(tensor.bytes()).unwrap_or(0).min(1 << 30));
    tensor.visit(0..tensor.count(), &mut |chunk| {
        bytes.extend_from_slice(chunk.bytes);
        Ok(())
    })?;
    let (dtype, shape) = (tensor.dtype.in_chunks(), tensor.shape.clone());
    Tensor::contiguous(&tensor.name, dtype, shape, Arc::new(Memory::new(bytes)), &Place::default())
}
