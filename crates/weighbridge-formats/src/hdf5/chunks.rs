//! Where the chunks of a dataset stand: each of the six kinds of index.

use weighbridge_model::{Error, Result};

use super::btree;
use super::bytes::Bytes;
use super::file::File;

/// How chunks are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    BTree1,
    /// One chunk; its size and skipped filters where it went through any.
    Single(Option<(u64, u32)>),
    Implicit,
    FixedArray,
    ExtensibleArray,
    BTree2,
}

/// A chunk that is stored.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    /// Its number among all chunks, row-major.
    pub number: u64,
    /// Its address.
    pub address: u64,
    /// Bytes that it takes.
    pub size: u64,
    /// Filters that it did not go through.
    pub mask: u32,
}

/// Sizes of a dataset and of its chunks.
#[derive(Debug, Clone)]
pub struct Shape {
    pub dims: Vec<u64>,
    pub chunk: Vec<u64>,
    /// Chunks along each dimension.
    pub counts: Vec<u64>,
    /// Chunks along each dimension at its largest; `u64::MAX` where it may grow without end.
    most: Vec<u64>,
    pub element: u64,
    /// Bytes of a chunk.
    pub bytes: u64,
}

impl Shape {
    /// Checks the sizes; `None` where they make no sense together.
    pub fn new(dims: &[u64], most: &[u64], chunk: Vec<u64>, element: u64) -> Option<Self> {
        if chunk.len() != dims.len() || chunk.contains(&0) || dims.is_empty() || element == 0 {
            return None;
        }
        let bytes = chunk.iter().try_fold(element, |n, &d| n.checked_mul(d))?;
        let counts: Vec<u64> = dims.iter().zip(&chunk).map(|(d, c)| d.div_ceil(*c)).collect();
        counts.iter().try_fold(1u64, |n, &d| n.checked_mul(d))?;
        let limit = |(m, c): (&u64, &u64)| if *m == u64::MAX { u64::MAX } else { m.div_ceil(*c) };
        let most = most.iter().zip(&chunk).map(limit).collect();
        Some(Shape { dims: dims.to_vec(), chunk, counts, most, element, bytes })
    }

    /// Bytes of a row of chunks along the first dimension; `None` on overflow.
    pub fn slab_bytes(&self) -> Option<u64> {
        let row = self.dims[1..].iter().try_fold(self.element, |n, &d| n.checked_mul(d))?;
        Some(row.checked_mul(self.chunk[0])?.max(self.bytes))
    }

    fn count(&self) -> u64 {
        self.counts.iter().product()
    }

    /// The number of the chunk with these coordinates; `None` beyond the dataset.
    fn number(&self, at: &[u64]) -> Option<u64> {
        let inside = at.len() == self.counts.len() && at.iter().zip(&self.counts).all(|(a, n)| a < n);
        inside.then(|| at.iter().zip(&self.counts).fold(0, |number, (a, n)| number * n + a))
    }

    /// The number of the chunk that an array has at `place`, where rows are as long as they may become and `first` is the
    /// dimension that varies slowest.
    fn number_at(&self, place: u64, first: usize) -> Option<u64> {
        let order: Vec<usize> =
            std::iter::once(first).chain((0..self.dims.len()).filter(|&d| d != first)).collect();
        let mut at = vec![0; self.dims.len()];
        let mut rest = place;
        for &d in order[1..].iter().rev() {
            at[d] = rest % self.most[d].max(1);
            rest /= self.most[d].max(1);
        }
        at[first] = rest;
        self.number(&at)
    }
}

/// Finds the chunks that are stored, by number.
pub fn read(file: &File, shape: &Shape, index: &Index, address: u64, filtered: bool) -> Result<Vec<Chunk>> {
    let mut found = Vec::new();
    let rank = shape.dims.len();
    let mut add = |number: Option<u64>, address: u64, size: u64, mask: u32| {
        // Arrays have room for chunks that were never written, and keep those that a dataset shrank away from.
        if let Some(number) = number.filter(|_| !file.is_undefined(address)) {
            found.push(Chunk { number, address, size, mask });
        }
    };
    match index {
        Index::Single(None) => add(Some(0), address, shape.bytes, 0),
        Index::Single(Some((size, mask))) => add(Some(0), address, *size, *mask),
        Index::Implicit => {
            if shape.count().checked_mul(shape.bytes).is_none_or(|n| n > file.source.len()) {
                return Err(Error::malformed(file.place(address), "chunks in a row that leave the file"));
            }
            for place in 0..shape.count() {
                add(Some(place), address.saturating_add(place * shape.bytes), shape.bytes, 0);
            }
        }
        Index::BTree1 => btree::v1(file, address, 1, 8 + 8 * (rank + 1), &mut |key, child| {
            let mut bytes = Bytes::new(key, file.place(address), "chunk");
            let (size, mask) = (u64::from(bytes.u32()?), bytes.u32()?);
            let at = shape.chunk.iter().map(|c| Ok(bytes.uint(8)? / c)).collect::<Result<Vec<_>>>()?;
            add(shape.number(&at), child, size, mask);
            Ok(())
        })?,
        Index::BTree2 => btree::v2(file, address, &mut |record| {
            let mut bytes = Bytes::new(record, file.place(address), "chunk");
            let address = bytes.uint(file.offsets)?;
            let (mut size, mut mask) = (shape.bytes, 0);
            if filtered {
                let width = record.len().saturating_sub(file.offsets + 4 + 8 * rank);
                (size, mask) = (bytes.uint(width)?, bytes.u32()?);
            }
            let at = (0..rank).map(|_| bytes.uint(8)).collect::<Result<Vec<_>>>()?;
            add(shape.number(&at), address, size, mask);
            Ok(())
        })?,
        Index::FixedArray => fixed(file, address, &mut |place, entry| {
            let (address, size, mask) = element(file, entry, filtered, shape.bytes)?;
            add(shape.number_at(place, 0), address, size, mask);
            Ok(())
        })?,
        Index::ExtensibleArray => {
            let first = shape.most.iter().position(|&m| m == u64::MAX).unwrap_or(0);
            extensible(file, address, &mut |place, entry| {
                let (address, size, mask) = element(file, entry, filtered, shape.bytes)?;
                add(shape.number_at(place, first), address, size, mask);
                Ok(())
            })?;
        }
    }
    found.sort_by_key(|c| c.number);
    if let Some(twice) = found.windows(2).find(|w| w[0].number == w[1].number) {
        return Err(Error::malformed(file.place(twice[1].address), "two chunks for the same place"));
    }
    Ok(found)
}

/// An element of an array of chunks: address, size and skipped filters.
fn element(file: &File, mut entry: Bytes<'_>, filtered: bool, bytes: u64) -> Result<(u64, u64, u32)> {
    let address = entry.uint(file.offsets)?;
    if !filtered {
        return Ok((address, bytes, 0));
    }
    let width = entry.rest().len().saturating_sub(4);
    Ok((address, entry.uint(width)?, entry.u32()?))
}

type Visit<'a> = dyn FnMut(u64, Bytes<'_>) -> Result<()> + 'a;

/// Visits `count` elements of `size` bytes that stand at `address`.
fn elements(
    file: &File,
    address: u64,
    first: u64,
    count: u64,
    size: u64,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let window = file.window(address, count.saturating_mul(size))?;
    for (i, entry) in window.chunks_exact(size.max(1) as usize).enumerate() {
        visit(first + i as u64, Bytes::new(entry, file.place(address), "chunk"))?;
    }
    Ok(())
}

fn fixed(file: &File, address: u64, visit: &mut Visit<'_>) -> Result<()> {
    let head = file.window(address, 8 + (file.lengths + file.offsets) as u64)?;
    let mut bytes = Bytes::new(&head, file.place(address), "fixed array");
    bytes.signature(b"FAHD")?;
    bytes.take(2)?;
    let (size, page_bits) = (u64::from(bytes.u8()?), u32::from(bytes.u8()?));
    let count = bytes.uint(file.lengths)?;
    let block = bytes.uint(file.offsets)?;
    if size == 0 || page_bits > 31 {
        return Err(bytes.fault(format!("elements of {size} bytes, 2^{page_bits} a page")));
    }
    if file.is_undefined(block) {
        return Ok(());
    }
    let head = file.window(block, 4)?;
    Bytes::new(&head, file.place(block), "fixed array block").signature(b"FADB")?;
    let mut at = block.saturating_add(6 + file.offsets as u64);
    let page = 1u64 << page_bits;
    if count <= page {
        return elements(file, at, 0, count, size, visit);
    }
    let pages = count.div_ceil(page);
    let written = file.window(at, pages.div_ceil(8))?;
    at = at.saturating_add(written.len() as u64 + 4);
    for number in 0..pages {
        let here = page.min(count - number * page);
        if written[(number / 8) as usize] & 0x80 >> (number % 8) != 0 {
            elements(file, at, number * page, here, size, visit)?;
        }
        at = at.saturating_add(page.saturating_mul(size) + 4);
    }
    Ok(())
}

/// What the blocks of an extensible array have in common.
struct Extensible {
    size: u64,
    offset_bytes: u64,
    page: u64,
}

fn extensible(file: &File, address: u64, visit: &mut Visit<'_>) -> Result<()> {
    let head = file.window(address, 12 + (6 * file.lengths + file.offsets) as u64)?;
    let mut bytes = Bytes::new(&head, file.place(address), "extensible array");
    bytes.signature(b"EAHD")?;
    bytes.take(2)?;
    let size = u64::from(bytes.u8()?);
    let bits = u32::from(bytes.u8()?);
    let inside = u64::from(bytes.u8()?);
    let least = u64::from(bytes.u8()?);
    let pointers = u64::from(bytes.u8()?);
    let page_bits = u32::from(bytes.u8()?);
    bytes.take(6 * file.lengths)?;
    let index = bytes.uint(file.offsets)?;
    let powers = least.is_power_of_two() && pointers.is_power_of_two();
    if size == 0 || !powers || bits > 64 || bits < least.ilog2() || page_bits > 31 {
        return Err(bytes.fault("sizes that no array has"));
    }
    if file.is_undefined(index) {
        return Ok(());
    }
    let array = Extensible { size, offset_bytes: u64::from(bits.div_ceil(8)), page: 1 << page_bits };
    let head = file.window(index, 4)?;
    Bytes::new(&head, file.place(index), "extensible array index").signature(b"EAIB")?;
    let mut at = index.saturating_add(6 + file.offsets as u64);
    elements(file, at, 0, inside, size, visit)?;
    at = at.saturating_add(inside * size);
    let mut place = inside;
    let supers = u64::from(bits - least.ilog2()) + 1;
    // The blocks of the first rows hang directly below the index.
    let direct = 2 * u64::from(pointers.ilog2());
    let pointer = |at: u64| -> Result<u64> {
        let window = file.window(at, file.offsets as u64)?;
        Bytes::new(&window, file.place(at), "extensible array").uint(file.offsets)
    };
    for row in 0..supers {
        let blocks = 1u64.checked_shl((row / 2) as u32).unwrap_or(u64::MAX);
        let each = least.saturating_mul(1u64.checked_shl(row.div_ceil(2) as u32).unwrap_or(u64::MAX));
        if row < direct {
            for _ in 0..blocks {
                let block = pointer(at)?;
                at += file.offsets as u64;
                if !file.is_undefined(block) {
                    data_block(file, &array, block, place, each, None, visit)?;
                }
                place = place.saturating_add(each);
            }
        } else {
            let block = pointer(at)?;
            at += file.offsets as u64;
            if !file.is_undefined(block) {
                super_block(file, &array, block, place, (blocks, each), visit)?;
            }
            place = place.saturating_add(blocks.saturating_mul(each));
        }
    }
    Ok(())
}

fn super_block(
    file: &File,
    array: &Extensible,
    address: u64,
    mut place: u64,
    (blocks, each): (u64, u64),
    visit: &mut Visit<'_>,
) -> Result<()> {
    let head = file.window(address, 4)?;
    Bytes::new(&head, file.place(address), "extensible array block").signature(b"EASB")?;
    let mut at = address.saturating_add(6 + file.offsets as u64 + array.offset_bytes);
    let pages = if each > array.page { each / array.page } else { 0 };
    let bitmap = pages.div_ceil(8);
    let written = file.window(at, bitmap.saturating_mul(blocks))?;
    at = at.saturating_add(written.len() as u64);
    let pointers = file.window(at, blocks.saturating_mul(file.offsets as u64))?;
    let mut pointers = Bytes::new(&pointers, file.place(at), "extensible array block");
    for number in 0..blocks {
        let block = pointers.uint(file.offsets)?;
        if !file.is_undefined(block) {
            let from = (number * bitmap) as usize;
            let written = (pages > 0).then(|| &written[from..from + bitmap as usize]);
            data_block(file, array, block, place, each, written, visit)?;
        }
        place = place.saturating_add(each);
    }
    Ok(())
}

fn data_block(
    file: &File,
    array: &Extensible,
    address: u64,
    place: u64,
    count: u64,
    written: Option<&[u8]>,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let head = file.window(address, 4)?;
    Bytes::new(&head, file.place(address), "extensible array data").signature(b"EADB")?;
    let mut at = address.saturating_add(6 + file.offsets as u64 + array.offset_bytes);
    if count <= array.page {
        return elements(file, at, place, count, array.size, visit);
    }
    at = at.saturating_add(4);
    for number in 0..count / array.page {
        let byte = written.and_then(|w| w.get((number / 8) as usize)).copied().unwrap_or(0xff);
        if byte & 0x80 >> (number % 8) != 0 {
            elements(file, at, place.saturating_add(number * array.page), array.page, array.size, visit)?;
        }
        at = at.saturating_add(array.page.saturating_mul(array.size) + 4);
    }
    Ok(())
}
