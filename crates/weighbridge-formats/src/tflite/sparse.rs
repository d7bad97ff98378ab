//! Sparse tensors: their dimensions and the blocks that those are cut into, as levels of a tree.
//!
//! | table | slots that are read |
//! |---|---|
//! | sparsity | 0 order of the levels, 1 dimension that each block cuts, 2 levels |
//! | level | 0 format (dense, or compressed rows), 1 size where dense, 2 and 3 starts, 4 and 5 indices |
//!
//! Dimensions are numbered from 0, blocks from there on. Starts and indices are vectors of `i32`, `u16` or `u8`.

use std::sync::Arc;

use weighbridge_model::storage::{Indices, Level, Levels, Numbers};
use weighbridge_model::{Error, Place, Result, Storage};

use crate::flatbuffer::Table;
use crate::source::Source;

/// The dense elements, of `width` bytes each, that `values` stand for.
///
/// # Errors
/// Levels that do not make up the shape, and what [`Levels::new`] refuses.
pub(super) fn storage(
    sparsity: &Table<'_>,
    source: &Source,
    shape: &[u64],
    values: Arc<dyn Storage>,
    width: u64,
    place: &Place,
) -> Result<Arc<dyn Storage>> {
    let fault = |what: String| Error::malformed(place.clone(), what);
    let dims = shape.len();
    let index = |n: &i32| usize::try_from(*n).unwrap_or(usize::MAX);
    let order: Vec<usize> = sparsity.i32s(0)?.iter().map(index).collect();
    let blocks: Vec<usize> = sparsity.i32s(1)?.iter().map(index).collect();
    let metadata = sparsity.tables(2)?.take(order.len() + 1).collect::<Result<Vec<_>>>()?;
    let levels = dims + blocks.len();
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if metadata.len() != levels || !sorted.iter().copied().eq(0..levels) {
        return Err(fault(format!("{} sparse levels in the order {order:?}, of {levels}", metadata.len())));
    }
    // The size of each block, which is dense.
    let mut block_of = vec![1u64; dims];
    let mut is_cut = vec![false; dims];
    for (block, &dimension) in blocks.iter().enumerate() {
        let at = order.iter().position(|&o| o == dims + block).unwrap_or_default();
        let size = u64::try_from(metadata[at].i32(1, 0)?).unwrap_or(0);
        let is_dense = metadata[at].u8(0)? == 0;
        let whole = shape.get(dimension).is_some_and(|&n| size > 0 && n % size == 0);
        if !is_dense || !whole || std::mem::replace(&mut is_cut[dimension], true) {
            let what = format!("block {block} of {size} elements along dimension {dimension} of {shape:?}");
            return Err(fault(what));
        }
        block_of[dimension] = size;
    }
    let mut found = Vec::with_capacity(levels);
    for (&which, table) in order.iter().zip(&metadata) {
        let (dimension, divisor, size) = match which.checked_sub(dims) {
            None => (which, block_of[which], shape[which] / block_of[which]),
            Some(block) => (blocks[block], 1, block_of[blocks[block]]),
        };
        let indices = match table.u8(0)? {
            0 => {
                let stated = table.i32(1, 0)?;
                if u64::try_from(stated) != Ok(size) {
                    return Err(fault(format!("a dense level of {stated} indices, where {size} are")));
                }
                Indices::Dense
            }
            1 => Indices::Listed {
                starts: numbers(table, 2, source, place)?,
                listed: numbers(table, 4, source, place)?,
            },
            other => return Err(fault(format!("a sparse level of format {other}"))),
        };
        found.push(Level { dimension, divisor, size, indices });
    }
    Ok(Arc::new(Levels::new(shape.to_vec(), found, values, width, place.clone())?))
}

/// The vector behind a union's two slots.
fn numbers(table: &Table<'_>, slot: u16, source: &Source, place: &Place) -> Result<Numbers> {
    let width = match table.u8(slot)? {
        1 => 4,
        2 => 2,
        3 => 1,
        other => {
            let what = format!("sparse indices of kind {other}");
            return Err(Error::malformed(place.clone(), what));
        }
    };
    let vector = table.table(slot + 1)?.map(|v| v.elements(0, width)).transpose()?.flatten();
    let (at, count) = vector.unwrap_or((0, 0));
    Ok(Numbers { storage: source.storage(at, count * width)?, width })
}
