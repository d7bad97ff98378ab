//! Datasets as storages: in chunks, of which one row at a time is put together, never the whole; and never written, all
//! of whose elements are the fill value.

use std::ops::Range;

use weighbridge_model::storage::check_range;
use weighbridge_model::{CHUNK, ChunkVisitor, Error, Result, Storage};

use super::chunks::{Chunk, Shape};
use super::file::File;
use super::filters::{self, Filter};
use crate::source::Source;

/// Elements in chunks, row-major when visited.
#[derive(Debug)]
pub struct Chunked {
    source: Source,
    base: u64,
    shape: Shape,
    chunks: Vec<Chunk>,
    filters: Vec<Filter>,
    fill: Option<Vec<u8>>,
    len: u64,
}

impl Chunked {
    /// Over chunks that are sorted by their numbers.
    pub fn new(
        file: &File,
        shape: Shape,
        chunks: Vec<Chunk>,
        filters: Vec<Filter>,
        fill: Option<Vec<u8>>,
        len: u64,
    ) -> Self {
        Chunked { source: file.source.clone(), base: file.base, shape, chunks, filters, fill, len }
    }

    fn decoded(&self, chunk: &Chunk) -> Result<Vec<u8>> {
        let at = self.base.saturating_add(chunk.address);
        let fault = |what: String| Error::malformed(self.source.place(at), format!("a chunk: {what}"));
        let bytes = self.shape.bytes as usize;
        let raw = self.source.window(at, chunk.size)?.into_owned();
        let whole =
            filters::undo(&self.filters, chunk.mask, raw, bytes + 4 * self.filters.len()).map_err(fault)?;
        if whole.len() < bytes {
            return Err(fault(format!("{} bytes of elements, where {bytes} belong", whole.len())));
        }
        Ok(whole)
    }

    /// Puts a chunk's elements where they belong in its row of chunks.
    fn place_in(&self, slab: &mut [u8], number: u64, bytes: &[u8]) {
        let shape = &self.shape;
        let rank = shape.dims.len();
        let element = shape.element as usize;
        let mut at = vec![0u64; rank];
        let mut rest = number;
        for d in (0..rank).rev() {
            at[d] = rest % shape.counts[d] * shape.chunk[d];
            rest /= shape.counts[d];
        }
        // What of the chunk lies within the dataset.
        let inside: Vec<u64> = (0..rank).map(|d| shape.chunk[d].min(shape.dims[d] - at[d])).collect();
        let run = inside[rank - 1] as usize * element;
        let mut index = vec![0u64; rank];
        'runs: loop {
            let (mut from, mut to) = (0u64, 0u64);
            for d in 0..rank {
                from = from * shape.chunk[d] + index[d];
                to = to * shape.dims[d] + index[d] + if d == 0 { 0 } else { at[d] };
            }
            let (from, to) = (from as usize * element, to as usize * element);
            slab[to..to + run].copy_from_slice(&bytes[from..from + run]);
            for d in (0..rank - 1).rev() {
                index[d] += 1;
                if index[d] < inside[d] {
                    continue 'runs;
                }
                index[d] = 0;
            }
            return;
        }
    }
}

impl Storage for Chunked {
    fn len(&self) -> u64 {
        self.len
    }

    fn can_seek(&self) -> bool {
        false
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        check_range(&range, self.len)?;
        let shape = &self.shape;
        let row: u64 = shape.dims[1..].iter().product::<u64>() * shape.element;
        let across: u64 = shape.counts[1..].iter().product();
        let slab_bytes = row * shape.chunk[0];
        let mut slab = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let number = at / slab_bytes;
            let first = number * slab_bytes;
            let len = slab_bytes.min(self.len - first) as usize;
            slab.clear();
            match self.fill.as_deref().filter(|f| f.iter().any(|&b| b != 0)) {
                Some(fill) => slab.extend(fill.iter().copied().cycle().take(len)),
                None => slab.resize(len, 0),
            }
            let from = self.chunks.partition_point(|c| c.number < number * across);
            let to = self.chunks.partition_point(|c| c.number < (number + 1) * across);
            for chunk in &self.chunks[from..to] {
                let bytes = self.decoded(chunk)?;
                self.place_in(&mut slab, chunk.number, &bytes);
            }
            let end = range.end.min(first + len as u64);
            for piece in slab[(at - first) as usize..(end - first) as usize].chunks(CHUNK) {
                visitor(at, piece)?;
                at += piece.len() as u64;
            }
        }
        Ok(())
    }
}

/// One value over and over.
#[derive(Debug)]
pub struct Filled {
    fill: Vec<u8>,
    len: u64,
}

impl Filled {
    /// `len` bytes of the value, which is not empty.
    pub fn new(fill: Vec<u8>, len: u64) -> Self {
        Filled { fill, len }
    }
}

impl Storage for Filled {
    fn len(&self) -> u64 {
        self.len
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        check_range(&range, self.len)?;
        let skip = (range.start % self.fill.len().max(1) as u64) as usize;
        let longest = (CHUNK - CHUNK % self.fill.len().max(1)).max(1) as u64;
        let piece = longest.min(range.end - range.start) as usize;
        let bytes: Vec<u8> = self.fill.iter().copied().cycle().skip(skip).take(piece).collect();
        let mut at = range.start;
        while at < range.end {
            // Whole values a piece, so that each piece begins at the same place within a value.
            let n = (range.end - at).min(longest) as usize;
            visitor(at, &bytes[..n])?;
            at += n as u64;
        }
        Ok(())
    }
}
