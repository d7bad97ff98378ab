//! The chunk visitor: a tensor's elements in logical order, whatever its storage and layout, in bounded memory.

use std::ops::Range;

use crate::dtype::BlockType;
use crate::storage::visit_units;
use crate::{DType, Error, Layout, Place, Result, Storage, Tensor, View, dtype};

/// Elements in a block. Chunks end on block boundaries, so that figures do not depend on how work is split.
pub const BLOCK: u64 = 65_536;

/// Elements gathered by one pass over a storage that cannot seek.
const PASS: u64 = 1 << 20;

/// Consecutive logical elements of a tensor.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// Logical index of the first.
    pub first: u64,
    /// Contiguous little-endian elements of [`DType::chunk_bytes`] each: sub-byte types are unpacked one a
    /// byte, signed ones sign-extended; blocks are dequantized to F32.
    pub bytes: &'a [u8],
}

type Visitor<'a> = dyn FnMut(Chunk<'_>) -> Result<()> + 'a;

impl Tensor {
    /// Visits the stored elements `range` (logical, row-major indices) in order. Each chunk lies within one
    /// block of [`BLOCK`] elements and fills it as far as `range` reaches. Where the storage is addressable and the elements
    /// contiguous, chunks are the storage's own bytes; otherwise one block of memory is used, and about
    /// 20 MB where a strided view lies over a storage that cannot seek.
    ///
    /// # Errors
    /// Opaque elements, a failed read, or what the visitor returns.
    pub fn visit(&self, range: Range<u64>, visitor: &mut Visitor<'_>) -> Result<()> {
        let range = range.start..range.end.min(self.count());
        if range.is_empty() {
            return Ok(());
        }
        let view = match &self.layout {
            Layout::Strided(view) | Layout::Quantized { view, .. } => view,
            Layout::Blocks { scheme } => {
                let visited = visit_blocks(*scheme, range, &*self.storage, visitor);
                return visited.map_err(|e| e.in_tensor(&self.name));
            }
            Layout::Opaque => {
                let place = Place::default().tensor(&self.name);
                return Err(Error::unsupported(place, format!("{} elements are no numbers", self.dtype)));
            }
        };
        let visited = if view.is_contiguous(&self.shape) {
            visit_contiguous(self.dtype, view.offset, range, &*self.storage, visitor)
        } else if self.dtype.is_sub_byte() {
            Err(Error::unsupported(
                Place::default(),
                format!("strided view of packed {} elements", self.dtype),
            ))
        } else if self.storage.as_slice().is_some() || self.storage.can_seek() {
            gather_seeking(self.dtype, &self.shape, view, range, &*self.storage, visitor)
        } else {
            gather_streaming(self.dtype, &self.shape, view, range, &*self.storage, visitor)
        };
        visited.map_err(|e| e.in_tensor(&self.name))
    }

    /// Visits the real values of `range` as f64: integers converted, quantized codes dequantized.
    ///
    /// # Errors
    /// As [`Tensor::visit`]; complex elements have no real value.
    pub fn visit_values(
        &self,
        range: Range<u64>,
        visitor: &mut dyn FnMut(u64, &[f64]) -> Result<()>,
    ) -> Result<()> {
        if !self.dtype.is_real() {
            let place = Place::default().tensor(&self.name);
            return Err(Error::unsupported(place, format!("{} elements have no real value", self.dtype)));
        }
        let mut values = Vec::new();
        self.visit(range, &mut |chunk| {
            self.decode(&chunk, &mut values);
            visitor(chunk.first, &values)
        })
    }

    /// The real values of a chunk of this tensor, in place of what `values` held.
    pub fn decode(&self, chunk: &Chunk<'_>, values: &mut Vec<f64>) {
        values.clear();
        match self.dtype.in_chunks() {
            DType::F32 => {
                let (elements, _) = chunk.bytes.as_chunks::<4>();
                values.extend(elements.iter().map(|e| f64::from(f32::from_le_bytes(*e))));
            }
            DType::BF16 => {
                let (elements, _) = chunk.bytes.as_chunks::<2>();
                let wide = |e: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*e)) << 16);
                values.extend(elements.iter().map(|e| f64::from(wide(e))));
            }
            DType::F16 => {
                let (elements, _) = chunk.bytes.as_chunks::<2>();
                values.extend(elements.iter().map(|e| dtype::half(u16::from_le_bytes(*e))));
            }
            _ => {
                let elements = chunk.bytes.chunks_exact(self.dtype.chunk_bytes());
                values.extend(elements.map(|e| dtype::to_f64(self.dtype, e)));
            }
        }
        if let Some(dequantize) = Dequantize::of(self) {
            dequantize.apply(chunk.first, values);
        }
    }
}

/// Scales and zero points, resolved to logical indices.
struct Dequantize<'a> {
    scales: &'a [f64],
    zero_points: &'a [i64],
    inner: u64,
}

impl<'a> Dequantize<'a> {
    fn of(tensor: &'a Tensor) -> Option<Self> {
        let Layout::Quantized { scales, zero_points, axis, .. } = &tensor.layout else { return None };
        let inner = axis.map_or(u64::MAX, |a| tensor.shape[a + 1..].iter().product::<u64>().max(1));
        Some(Dequantize { scales, zero_points, inner })
    }

    fn apply(&self, first: u64, values: &mut [f64]) {
        for (i, value) in values.iter_mut().enumerate() {
            let channel = ((first + i as u64) / self.inner % self.scales.len() as u64) as usize;
            *value = (*value - self.zero_points[channel] as f64) * self.scales[channel];
        }
    }
}

/// The part of `range` that lies in the block of its first element.
fn first_block(range: &Range<u64>) -> Range<u64> {
    range.start..range.end.min((range.start / BLOCK + 1).saturating_mul(BLOCK))
}

fn visit_contiguous(
    dtype: DType,
    offset: u64,
    range: Range<u64>,
    storage: &dyn Storage,
    visitor: &mut Visitor<'_>,
) -> Result<()> {
    if dtype.is_sub_byte() {
        return visit_packed(dtype, offset, range, storage, visitor);
    }
    let width = dtype.chunk_bytes() as u64;
    let bytes = (offset + range.start) * width..(offset + range.end) * width;
    if let Some(slice) = storage.as_slice() {
        crate::storage::check_range(&bytes, slice.len() as u64)?;
        let mut rest = range;
        while !rest.is_empty() {
            let block = first_block(&rest);
            let at = (offset + block.start) * width..(offset + block.end) * width;
            visitor(Chunk { first: block.start, bytes: &slice[at.start as usize..at.end as usize] })?;
            rest.start = block.end;
        }
        return Ok(());
    }
    let mut block = first_block(&range);
    let mut buffer = Vec::with_capacity(((block.end - block.start).min(BLOCK) * width) as usize);
    storage.visit(bytes, &mut |_, mut chunk| {
        while !chunk.is_empty() {
            let missing = ((block.end - block.start) * width) as usize - buffer.len();
            let (head, tail) = chunk.split_at(missing.min(chunk.len()));
            if head.len() == missing && buffer.is_empty() {
                visitor(Chunk { first: block.start, bytes: head })?;
            } else {
                buffer.extend_from_slice(head);
                if head.len() < missing {
                    return Ok(());
                }
                visitor(Chunk { first: block.start, bytes: &buffer })?;
                buffer.clear();
            }
            chunk = tail;
            block = first_block(&(block.end..range.end));
        }
        Ok(())
    })
}

/// Contiguous elements of less than a byte, unpacked: the first element in the lowest bits.
fn visit_packed(
    dtype: DType,
    offset: u64,
    range: Range<u64>,
    storage: &dyn Storage,
    visitor: &mut Visitor<'_>,
) -> Result<()> {
    let bits = u64::from(dtype.bits());
    let (first_bit, end_bit) = ((offset + range.start) * bits, (offset + range.end) * bits);
    let signed = dtype.class() == dtype::Class::Signed;
    let mut skip = first_bit % 8 / bits;
    let mut next = range.start;
    let mut block = first_block(&range);
    let mut unpacked = Vec::with_capacity((block.end - block.start) as usize);
    storage.visit(first_bit / 8..end_bit.div_ceil(8), &mut |_, chunk| {
        for &byte in chunk {
            for lane in std::mem::take(&mut skip)..8 / bits {
                if next == range.end {
                    break;
                }
                let code = byte >> (lane * bits) & ((1 << bits) - 1);
                let unused = 8 - bits as u32;
                unpacked.push(if signed { ((code << unused) as i8 >> unused) as u8 } else { code });
                next += 1;
                if next == block.end {
                    visitor(Chunk { first: block.start, bytes: &unpacked })?;
                    unpacked.clear();
                    block = first_block(&(next..range.end));
                }
            }
        }
        Ok(())
    })
}

/// Elements of blocks, dequantized. Every block's size divides [`BLOCK`].
fn visit_blocks(
    scheme: BlockType,
    range: Range<u64>,
    storage: &dyn Storage,
    visitor: &mut Visitor<'_>,
) -> Result<()> {
    let (elements, width) = (scheme.elements(), scheme.bytes());
    let blocks = range.start / elements..range.end.div_ceil(elements);
    // The first element in `values`, and the next one to dequantize.
    let mut first = blocks.start * elements;
    let mut next = first;
    let mut values = Vec::new();
    visit_units(storage, blocks.start * width..blocks.end * width, width as usize, &mut |_, mut bytes| {
        while !bytes.is_empty() {
            let room = ((BLOCK - next % BLOCK) / elements * width) as usize;
            let (head, tail) = bytes.split_at(room.min(bytes.len()));
            scheme.dequantize(head, &mut values);
            next += head.len() as u64 / width * elements;
            bytes = tail;
            if next % BLOCK == 0 || next >= range.end {
                let (from, to) = (range.start.max(first), range.end.min(next));
                let wanted = &values[(from - first) as usize..(to - first) as usize];
                visitor(Chunk { first: from, bytes: wanted.as_flattened() })?;
                values.clear();
                first = next;
            }
        }
        Ok(())
    })
}

/// Calls `each(position, stride, count)` for the runs along the last dimension that make up `range`.
fn for_each_run(
    shape: &[u64],
    view: &View,
    range: &Range<u64>,
    mut each: impl FnMut(u64, i64, u64) -> Result<()>,
) -> Result<()> {
    let (&row, outer) = shape.split_last().expect("a scalar is contiguous");
    let (&stride, outer_strides) = view.strides.split_last().expect("as many strides as dimensions");
    // Coordinates of the row that holds the first element.
    let mut coordinates = vec![0u64; outer.len()];
    let mut rest = range.start / row;
    for (coordinate, &n) in coordinates.iter_mut().zip(outer).rev() {
        *coordinate = rest % n;
        rest /= n;
    }
    let mut column = range.start % row;
    let mut left = range.end - range.start;
    let offset_of = |coordinates: &[u64]| {
        coordinates
            .iter()
            .zip(outer_strides)
            .fold(view.offset as i64, |at, (&c, &s)| at.wrapping_add((c as i64).wrapping_mul(s)))
    };
    let mut row_at = offset_of(&coordinates);
    while left > 0 {
        let count = left.min(row - column);
        each((row_at + column as i64 * stride) as u64, stride, count)?;
        left -= count;
        column = 0;
        for i in (0..coordinates.len()).rev() {
            coordinates[i] += 1;
            row_at += outer_strides[i];
            if coordinates[i] < outer[i] {
                break;
            }
            row_at -= outer_strides[i] * outer[i] as i64;
            coordinates[i] = 0;
        }
    }
    Ok(())
}

fn gather_seeking(
    dtype: DType,
    shape: &[u64],
    view: &View,
    range: Range<u64>,
    storage: &dyn Storage,
    visitor: &mut Visitor<'_>,
) -> Result<()> {
    let width = dtype.chunk_bytes();
    let mut buffer = Vec::with_capacity((range.end - range.start).min(BLOCK) as usize * width);
    let mut rest = range;
    let mut span = Vec::new();
    while !rest.is_empty() {
        let block = first_block(&rest);
        buffer.clear();
        for_each_run(shape, view, &block, |at, stride, count| match storage.as_slice() {
            Some(bytes) => {
                gather_run(bytes, at, stride, count, width, &mut buffer);
                Ok(())
            }
            None => read_run(storage, at, stride, count, width, &mut span, &mut buffer),
        })?;
        visitor(Chunk { first: block.start, bytes: &buffer })?;
        rest.start = block.end;
    }
    Ok(())
}

fn gather_run(bytes: &[u8], at: u64, stride: i64, count: u64, width: usize, out: &mut Vec<u8>) {
    let start = at as usize * width;
    if stride == 1 {
        out.extend_from_slice(&bytes[start..start + count as usize * width]);
        return;
    }
    let step = stride * width as i64;
    let mut position = start as i64;
    let mut copy = |width: usize| {
        for _ in 0..count {
            out.extend_from_slice(&bytes[position as usize..position as usize + width]);
            position += step;
        }
    };
    // Known widths let the compiler turn each copy into one load and store.
    match width {
        1 => copy(1),
        2 => copy(2),
        4 => copy(4),
        8 => copy(8),
        _ => copy(width),
    }
}

/// As [`gather_run`] where each access is a system call: near neighbours are read together.
fn read_run(
    storage: &dyn Storage,
    at: u64,
    stride: i64,
    count: u64,
    width: usize,
    span: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<()> {
    const SPAN: u64 = 1 << 16;
    let pitch = stride.unsigned_abs();
    let together = (SPAN / (pitch * width as u64).max(1)).clamp(1, count);
    let mut done = 0;
    while done < count {
        let n = together.min(count - done);
        let first = (at as i64 + done as i64 * stride) as u64;
        let low = if stride < 0 { first - (n - 1) * pitch } else { first };
        span.resize(((n - 1) * pitch + 1) as usize * width, 0);
        storage.read_at(low * width as u64, span)?;
        gather_run(span, first - low, stride, n, width, out);
        done += n;
    }
    Ok(())
}

/// Gathers by passes over the stream, each filling [`PASS`] logical elements: time grows with the square of
/// a large tensor's size, memory does not grow.
fn gather_streaming(
    dtype: DType,
    shape: &[u64],
    view: &View,
    range: Range<u64>,
    storage: &dyn Storage,
    visitor: &mut Visitor<'_>,
) -> Result<()> {
    let width = dtype.chunk_bytes() as u64;
    let mut wanted: Vec<(u64, u32)> = Vec::new();
    let mut gathered = Vec::new();
    let mut rest = range;
    while !rest.is_empty() {
        let pass = rest.start..rest.end.min((rest.start / PASS + 1) * PASS);
        wanted.clear();
        for_each_run(shape, view, &pass, |at, stride, count| {
            wanted.extend(
                (0..count).map(|i| (at as i64 + i as i64 * stride) as u64).zip(wanted.len() as u32..),
            );
            Ok(())
        })?;
        wanted.sort_unstable();
        gathered.clear();
        gathered.resize(((pass.end - pass.start) * width) as usize, 0);
        let span = wanted[0].0 * width..(wanted[wanted.len() - 1].0 + 1) * width;
        let mut next = 0;
        visit_units(storage, span, width as usize, &mut |at, units| {
            let end = at + units.len() as u64;
            while let Some(&(position, to)) = wanted.get(next) {
                let Some(from) = (position * width).checked_sub(at).filter(|_| position * width < end) else {
                    break;
                };
                let (from, to) = (from as usize, (u64::from(to) * width) as usize);
                gathered[to..to + width as usize].copy_from_slice(&units[from..from + width as usize]);
                next += 1;
            }
            Ok(())
        })?;
        let mut blocks = pass.clone();
        while !blocks.is_empty() {
            let block = first_block(&blocks);
            let bytes = (block.start - pass.start) * width..(block.end - pass.start) * width;
            visitor(Chunk {
                first: block.start,
                bytes: &gathered[bytes.start as usize..bytes.end as usize],
            })?;
            blocks.start = block.end;
        }
        rest.start = pass.end;
    }
    Ok(())
}
