//! Where a tensor's bytes live, without saying how they are reached.

mod channels;
mod derived;
mod levels;
mod memory;
mod sparse;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use crate::{Error, Place, Result};

pub use channels::Channels;
pub use derived::{Cast, PerUnit, ScaledAxis};
pub use levels::{Indices, Level, Levels, Numbers};
pub use memory::Memory;
pub use sparse::{Pattern, Sparse};

/// Largest chunk, in bytes, that a storage hands to a visitor.
pub const CHUNK: usize = 1 << 20;

/// A visitor of consecutive chunks: offset of the chunk within the storage, and its bytes.
pub type ChunkVisitor<'a> = dyn FnMut(u64, &[u8]) -> Result<()> + 'a;

/// A run of bytes with an identity: two tensors share weights when they share a storage.
///
/// Three ways to the bytes, from the fastest to the one that always works: [`Storage::as_slice`] (mapped
/// or in memory), [`Storage::read_at`] (where [`Storage::can_seek`]), and [`Storage::visit`].
pub trait Storage: Send + Sync + Debug {
    /// Length in bytes.
    fn len(&self) -> u64;

    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All bytes at once, where they are already addressable. A fast path only.
    fn as_slice(&self) -> Option<&[u8]> {
        None
    }

    /// Whether [`Storage::read_at`] reaches any offset without reading what lies before it.
    fn can_seek(&self) -> bool {
        self.as_slice().is_some()
    }

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// Past the end, on a failed read, or where the storage cannot seek.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let range = offset..offset.saturating_add(buffer.len() as u64);
        check_range(&range, self.len())?;
        match self.as_slice() {
            Some(bytes) => {
                buffer.copy_from_slice(&bytes[range.start as usize..range.end as usize]);
                Ok(())
            }
            None => Err(Error::unsupported(Place::source("storage"), "this storage cannot seek")),
        }
    }

    /// Visits the bytes of `range` in order, in chunks of at most [`CHUNK`] bytes. Always works.
    ///
    /// # Errors
    /// Past the end, on a failed read, or what the visitor returns.
    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        check_range(&range, self.len())?;
        if let Some(bytes) = self.as_slice() {
            let mut at = range.start;
            for chunk in bytes[range.start as usize..range.end as usize].chunks(CHUNK) {
                visitor(at, chunk)?;
                at += chunk.len() as u64;
            }
            return Ok(());
        }
        let mut buffer = vec![0; (range.end - range.start).min(CHUNK as u64) as usize];
        let mut at = range.start;
        while at < range.end {
            let n = (range.end - at).min(buffer.len() as u64) as usize;
            self.read_at(at, &mut buffer[..n])?;
            visitor(at, &buffer[..n])?;
            at += n as u64;
        }
        Ok(())
    }

    /// The storage that holds the same bytes in another order, if this is a mere re-reading of one:
    /// identity is asked of that one.
    fn base(&self) -> Option<&Arc<dyn Storage>> {
        None
    }

    /// Absolute offset in its file of the first byte, where bytes stand there verbatim.
    fn file_offset(&self) -> Option<u64> {
        None
    }

    /// The first of the strings of a tensor of such, at most so many; none where the storage holds others, or where they
    /// are not told apart. Bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// A failed read.
    fn strings(&self, most: usize) -> Result<Vec<String>> {
        let _ = most;
        Ok(Vec::new())
    }

    /// Says that `range` is about to be read, so that pages can be brought in in bulk. May do nothing.
    fn will_need(&self, range: Range<u64>) {
        let _ = range;
    }
}

/// A number that is equal for two storages exactly when they are one, within a process.
pub fn identity(storage: &Arc<dyn Storage>) -> usize {
    let mut storage = storage;
    while let Some(base) = storage.base() {
        storage = base;
    }
    Arc::as_ptr(storage).cast::<()>() as usize
}

/// Refuses a range that leaves a storage of `len` bytes.
///
/// # Errors
/// [`Error::Malformed`] with both.
pub fn check_range(range: &Range<u64>, len: u64) -> Result<()> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    Err(Error::malformed(
        Place::source("storage"),
        format!("bytes {}..{} asked of a storage of {len} bytes", range.start, range.end),
    ))
}

/// As [`Storage::visit`] with chunks that hold whole units of `width` bytes, counted from the start of the
/// range; a last unit that the range cuts off comes as it is.
pub(crate) fn visit_units(
    storage: &dyn Storage,
    range: Range<u64>,
    width: usize,
    visitor: &mut ChunkVisitor<'_>,
) -> Result<()> {
    let mut cut: Vec<u8> = Vec::with_capacity(width);
    let mut cut_at = range.start;
    storage.visit(range, &mut |mut at, mut chunk| {
        if !cut.is_empty() {
            let (head, tail) = chunk.split_at((width - cut.len()).min(chunk.len()));
            cut.extend_from_slice(head);
            if cut.len() < width {
                return Ok(());
            }
            visitor(cut_at, &cut)?;
            cut.clear();
            at += head.len() as u64;
            chunk = tail;
        }
        let (whole, rest) = chunk.split_at(chunk.len() - chunk.len() % width);
        if !whole.is_empty() {
            visitor(at, whole)?;
        }
        cut_at = at + whole.len() as u64;
        cut.extend_from_slice(rest);
        Ok(())
    })?;
    if cut.is_empty() { Ok(()) } else { visitor(cut_at, &cut) }
}
