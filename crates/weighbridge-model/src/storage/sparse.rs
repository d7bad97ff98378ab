//! A sparse tensor as the dense one that it stands for: zeros are made as they are read, and nothing is expanded.

use std::ops::Range;

use super::{CHUNK, ChunkVisitor, Storage, check_range};
use crate::{DType, Error, Place, Result, Tensor, dtype};

/// Entries whose indices are read at a time.
const BATCH: u64 = 1 << 14;
/// Most entries that are put in order in memory, where the file does not have them so.
const SORTED: u64 = 1 << 20;

/// Dense elements for each stored one, up to which a sparse tensor is gone through as a dense one.
pub(super) const EXPANSION: u64 = 1024;
/// As many more whatever is stored.
pub(super) const SLACK: u64 = 1 << 22;

/// Where the stored elements stand.
#[derive(Debug)]
pub enum Pattern {
    /// One column of `indices` an entry: its coordinates along the first dimensions.
    Coordinates {
        /// `[dimensions, entries]`.
        indices: Tensor,
        /// Whether entries are told to be in row-major order and each only once. Otherwise they are put so, and
        /// entries of one place are summed.
        coalesced: bool,
    },
    /// Entries of each row after those of the row before: blocks, for plain elements of one by one.
    Rows {
        /// Index of each row's first entry, and one past the last: `[rows + 1]`.
        starts: Tensor,
        /// Column of each entry, in blocks.
        columns: Tensor,
        /// Rows and columns of a block.
        block: [u64; 2],
    },
}

/// The dense elements, row-major.
#[derive(Debug)]
pub struct Sparse {
    shape: Vec<u64>,
    pattern: Pattern,
    values: Tensor,
}

impl Sparse {
    /// Over parts whose shapes fit each other.
    ///
    /// # Errors
    /// Shapes that do not, and tensors so sparse that going through the zeros would take forever, with what is wrong.
    pub fn new(shape: Vec<u64>, pattern: Pattern, values: Tensor) -> Result<Self, String> {
        let count = crate::element_count(&shape).ok_or("it has more elements than can be counted")?;
        let stored = values.count();
        if count > stored.saturating_mul(EXPANSION).saturating_add(SLACK) {
            return Err(format!(
                "{count} elements would have to be gone through for {stored} that are stored"
            ));
        }
        // Parts that repeat their storage could be any number of entries.
        let repeats = |t: &Tensor| t.bytes() > t.storage.len();
        let parts = match &pattern {
            Pattern::Coordinates { indices, .. } => [indices, indices],
            Pattern::Rows { starts, columns, .. } => [starts, columns],
        };
        if repeats(&values) || parts.into_iter().any(repeats) {
            return Err("its parts repeat their storage".into());
        }
        let fits = match &pattern {
            Pattern::Coordinates { indices, .. } => match *indices.shape {
                [dims, entries] if dims as usize <= shape.len() => {
                    let inner = &shape[dims as usize..];
                    values.shape.split_first() == Some((&entries, inner))
                }
                _ => false,
            },
            Pattern::Rows { starts, columns, block: [height, width] } => {
                let [rows, cols] = *shape else { return Err(format!("rows of a tensor of shape {shape:?}")) };
                let whole = *height > 0 && *width > 0 && rows % height == 0 && cols % width == 0;
                let entries = columns.count();
                let plain = (*height, *width) == (1, 1) && values.shape == [entries];
                whole
                    && starts.shape == [rows / height + 1]
                    && columns.shape == [entries]
                    && (plain || values.shape == [entries, *height, *width])
            }
        };
        let indices_are_whole = match &pattern {
            Pattern::Coordinates { indices, .. } => is_index(indices),
            Pattern::Rows { starts, columns, .. } => is_index(starts) && is_index(columns),
        };
        if !fits || !indices_are_whole || values.dtype.is_sub_byte() {
            return Err(format!("parts that do not make a tensor of shape {shape:?}"));
        }
        Ok(Sparse { shape, pattern, values })
    }

    fn width(&self) -> u64 {
        self.values.dtype.chunk_bytes() as u64
    }

    fn fault(&self, what: impl Into<String>) -> Error {
        Error::malformed(Place::default(), what)
    }

    /// Hands all runs of stored elements to `out`, in order.
    fn runs(&self, out: &mut Dense<'_, '_>) -> Result<()> {
        match &self.pattern {
            Pattern::Coordinates { indices, coalesced: true } => self.in_order(indices, out),
            Pattern::Coordinates { indices, coalesced: false } => self.sorted(indices, out),
            Pattern::Rows { starts, columns, block } => self.rows(starts, columns, *block, out),
        }
    }

    /// Dense positions, in runs, of the entries of `range`.
    fn positions(&self, indices: &Tensor, range: Range<u64>) -> Result<Vec<u64>> {
        let (dims, entries) = (indices.shape[0], indices.shape[1]);
        let mut positions = vec![0u64; (range.end - range.start) as usize];
        for d in 0..dims {
            let size = self.shape[d as usize];
            let row = whole_numbers(indices, d * entries + range.start..d * entries + range.end)?;
            for (position, index) in positions.iter_mut().zip(row) {
                if index >= size {
                    return Err(self.fault(format!("a sparse index of {index} along a dimension of {size}")));
                }
                *position = *position * size + index;
            }
        }
        Ok(positions)
    }

    fn in_order(&self, indices: &Tensor, out: &mut Dense<'_, '_>) -> Result<()> {
        let (entries, inner) = (indices.shape[1], self.inner(indices));
        let batch = (BATCH / inner.max(1)).max(1);
        let mut at = 0;
        while at < entries && !out.is_done() {
            let range = at..entries.min(at + batch);
            let positions = self.positions(indices, range.clone())?;
            let mut next = 0;
            // One entry may be larger than a chunk: chunks are cut where entries end.
            let per = inner * self.width();
            let mut done = 0u64;
            self.values.visit(range.start * inner..range.end * inner, &mut |chunk| {
                let mut bytes = chunk.bytes;
                while !bytes.is_empty() {
                    let take = ((per - done) as usize).min(bytes.len());
                    out.put(positions[next] * inner + done / self.width(), &bytes[..take])?;
                    done += take as u64;
                    bytes = &bytes[take..];
                    if done == per {
                        (done, next) = (0, next + 1);
                    }
                }
                Ok(())
            })?;
            at = range.end;
        }
        Ok(())
    }

    fn inner(&self, indices: &Tensor) -> u64 {
        self.shape[indices.shape[0] as usize..].iter().product()
    }

    fn sorted(&self, indices: &Tensor, out: &mut Dense<'_, '_>) -> Result<()> {
        let (entries, inner) = (indices.shape[1], self.inner(indices));
        if entries > SORTED {
            let what = format!("a sparse tensor of {entries} entries that is not coalesced");
            let help = Some("coalesce() it before it is saved".to_owned());
            return Err(Error::Unsupported { place: Place::default(), what, help });
        }
        let mut order: Vec<(u64, u64)> = Vec::new();
        for start in (0..entries).step_by(BATCH as usize) {
            let range = start..entries.min(start + BATCH);
            order.extend(self.positions(indices, range.clone())?.into_iter().zip(range));
        }
        order.sort_unstable();
        let mut sum = Vec::new();
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            if out.is_done() {
                break;
            }
            let mut from = 0;
            while from < inner {
                let to = inner.min(from + BATCH);
                sum.clear();
                for &(_, entry) in group {
                    let at = entry * inner;
                    let mut next = 0;
                    let is_first = sum.len() < ((to - from) * self.width()) as usize;
                    self.values.visit(at + from..at + to, &mut |chunk| {
                        if is_first {
                            sum.extend_from_slice(chunk.bytes);
                            return Ok(());
                        }
                        add(self.values.dtype, &mut sum[next..next + chunk.bytes.len()], chunk.bytes)?;
                        next += chunk.bytes.len();
                        Ok(())
                    })?;
                }
                out.put(group[0].0 * inner + from, &sum)?;
                from = to;
            }
        }
        Ok(())
    }

    fn rows(
        &self,
        starts: &Tensor,
        columns: &Tensor,
        block: [u64; 2],
        out: &mut Dense<'_, '_>,
    ) -> Result<()> {
        let [height, width] = block;
        let (rows, cols, entries) = (self.shape[0], self.shape[1], columns.shape[0]);
        let mut row = 0;
        while row < rows / height && !out.is_done() {
            // Bounds of some rows at a time.
            let last = (row + BATCH).min(rows / height);
            let bounds = whole_numbers(starts, row..last + 1)?;
            for (i, pair) in bounds.windows(2).enumerate() {
                let (from, to) = (pair[0], pair[1]);
                if from > to || to > entries || to - from > cols / width {
                    return Err(self.fault(format!("a sparse row of entries {from} to {to}, of {entries}")));
                }
                if from == to {
                    continue;
                }
                let at = whole_numbers(columns, from..to)?;
                if let Some(column) = at.iter().find(|&&c| c >= cols / width) {
                    return Err(self.fault(format!("a sparse index of {column} along a dimension of {cols}")));
                }
                let first_row = (row + i as u64) * height;
                if block == [1, 1] {
                    let mut next = 0;
                    self.values.visit(from..to, &mut |chunk| {
                        for element in chunk.bytes.chunks_exact(self.width() as usize) {
                            out.put(first_row * cols + at[next], element)?;
                            next += 1;
                        }
                        Ok(())
                    })?;
                    continue;
                }
                for line in 0..height {
                    for (entry, column) in (from..to).zip(&at) {
                        let begin = (entry * height + line) * width;
                        let mut position = (first_row + line) * cols + column * width;
                        self.values.visit(begin..begin + width, &mut |chunk| {
                            out.put(position, chunk.bytes)?;
                            position += chunk.bytes.len() as u64 / self.width();
                            Ok(())
                        })?;
                    }
                }
            }
            row = last;
        }
        Ok(())
    }
}

/// Whether a tensor may hold indices.
fn is_index(tensor: &Tensor) -> bool {
    tensor.dtype.is_real() && !tensor.dtype.is_float()
}

/// Some elements of a tensor of indices; negative ones come out beyond any size.
fn whole_numbers(tensor: &Tensor, range: Range<u64>) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    tensor.visit(range, &mut |chunk| {
        let elements = chunk.bytes.chunks_exact(tensor.dtype.chunk_bytes());
        numbers.extend(elements.map(|e| {
            dtype::to_integer(tensor.dtype, e).and_then(|n| u64::try_from(n).ok()).unwrap_or(u64::MAX)
        }));
        Ok(())
    })?;
    Ok(numbers)
}

/// Adds elements in their own type.
fn add(of: DType, sum: &mut [u8], more: &[u8]) -> Result<()> {
    if !of.is_float() {
        let what = format!("a sparse tensor of {of} in which entries of one place are to be summed");
        return Err(Error::unsupported(Place::default(), what));
    }
    let width = of.chunk_bytes();
    let mut one = Vec::with_capacity(width);
    for (sum, more) in sum.chunks_exact_mut(width).zip(more.chunks_exact(width)) {
        one.clear();
        dtype::push(of, dtype::to_f64(of, sum) + dtype::to_f64(of, more), &mut one);
        sum.copy_from_slice(&one);
    }
    Ok(())
}

/// What has been given of a range of dense elements.
struct Dense<'a, 'v> {
    width: u64,
    /// All elements, in bytes.
    range: Range<u64>,
    /// One past the last element of any run so far, inside of the range or not.
    seen: u64,
    /// Where `buffer` begins.
    at: u64,
    buffer: Vec<u8>,
    visitor: &'a mut ChunkVisitor<'v>,
}

impl Dense<'_, '_> {
    fn is_done(&self) -> bool {
        self.at + self.buffer.len() as u64 >= self.range.end
    }

    /// Takes stored elements at a position that lies behind all before.
    fn put(&mut self, element: u64, bytes: &[u8]) -> Result<()> {
        if element < self.seen {
            return Err(Error::malformed(
                Place::default(),
                "a sparse tensor whose entries are out of order, or twice in one place",
            ));
        }
        self.seen = element + bytes.len() as u64 / self.width;
        let begin = element * self.width;
        let end = begin + bytes.len() as u64;
        let (from, to) = (begin.max(self.range.start), end.min(self.range.end));
        if from < to {
            self.zeros(from)?;
            self.fill(&bytes[(from - begin) as usize..(to - begin) as usize])?;
        }
        Ok(())
    }

    fn zeros(&mut self, until: u64) -> Result<()> {
        loop {
            let missing = until - (self.at + self.buffer.len() as u64);
            let room = CHUNK - self.buffer.len();
            let n = (missing).min(room as u64) as usize;
            self.buffer.resize(self.buffer.len() + n, 0);
            if self.buffer.len() == CHUNK {
                self.flush()?;
            }
            if n as u64 == missing {
                return Ok(());
            }
        }
    }

    fn fill(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (head, tail) = bytes.split_at(bytes.len().min(CHUNK - self.buffer.len()));
            self.buffer.extend_from_slice(head);
            if self.buffer.len() == CHUNK {
                self.flush()?;
            }
            bytes = tail;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        (self.visitor)(self.at, &self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Storage for Sparse {
    fn len(&self) -> u64 {
        crate::element_count(&self.shape).and_then(|n| n.checked_mul(self.width())).unwrap_or(u64::MAX)
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        check_range(&range, self.len())?;
        if range.is_empty() {
            return Ok(());
        }
        let at = range.start;
        let mut out = Dense { width: self.width(), range, seen: 0, at, buffer: Vec::new(), visitor };
        self.runs(&mut out)?;
        let end = out.range.end;
        out.zeros(end)?;
        if out.buffer.is_empty() { Ok(()) } else { out.flush() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Memory;

    fn tensor<const N: usize>(of: DType, shape: &[u64], numbers: [f64; N]) -> Tensor {
        let mut bytes = Vec::new();
        numbers.iter().for_each(|&x| dtype::push(of, x, &mut bytes));
        Tensor::contiguous("t", of, shape.to_vec(), Arc::new(Memory::new(bytes)), &Place::default()).unwrap()
    }

    fn dense(sparse: &Sparse, range: Range<u64>) -> Result<Vec<f64>> {
        let mut bytes = Vec::new();
        sparse.visit(range.start * 4..range.end * 4, &mut |at, chunk| {
            assert_eq!(at, range.start * 4 + bytes.len() as u64);
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(bytes.chunks_exact(4).map(|e| dtype::to_f64(DType::F32, e)).collect())
    }

    fn coordinates<const N: usize>(indices: [f64; N], values: Tensor, coalesced: bool) -> Sparse {
        let entries = N as u64 / 2;
        let indices = tensor(DType::I64, &[2, entries], indices);
        Sparse::new(vec![2, 3], Pattern::Coordinates { indices, coalesced }, values).unwrap()
    }

    #[test]
    fn coordinates_in_order_give_zeros_between_them_in_any_range() {
        let s = coordinates([0., 0., 1., 0., 2., 1.], tensor(DType::F32, &[3], [1., 2., 3.]), true);
        let whole = [1., 0., 2., 0., 3., 0.];
        for start in 0..6 {
            for end in start + 1..=6 {
                assert_eq!(dense(&s, start..end).unwrap(), whole[start as usize..end as usize]);
            }
        }
    }

    #[test]
    fn entries_of_one_place_are_summed_where_they_may_be_and_refused_where_they_may_not() {
        let entries = [1., 0., 1., 0., 2., 0.];
        let values = || tensor(DType::F32, &[3], [1., 2., 4.]);
        assert_eq!(dense(&coordinates(entries, values(), false), 0..6).unwrap(), [0., 0., 2., 5., 0., 0.]);
        let error = dense(&coordinates(entries, values(), true), 0..6).unwrap_err().to_string();
        assert!(error.contains("out of order"), "{error}");
        let outside = coordinates([0., 5., 1., 0., 2., 1.], values(), true);
        assert!(dense(&outside, 0..6).unwrap_err().to_string().contains("index of 5 along"));
    }

    #[test]
    fn blocks_of_rows_are_laid_side_by_side() {
        let pattern = Pattern::Rows {
            starts: tensor(DType::I32, &[3], [0., 1., 3.]),
            columns: tensor(DType::I32, &[3], [1., 0., 1.]),
            block: [1, 2],
        };
        let values = tensor(DType::F32, &[3, 1, 2], [1., 2., 3., 4., 5., 6.]);
        let s = Sparse::new(vec![2, 4], pattern, values).unwrap();
        assert_eq!(dense(&s, 0..8).unwrap(), [0., 0., 1., 2., 3., 4., 5., 6.]);
    }

    #[test]
    fn zeros_beyond_a_chunk_come_in_chunks() {
        let indices = tensor(DType::I64, &[1, 1], [999_999.]);
        let pattern = Pattern::Coordinates { indices, coalesced: true };
        let s = Sparse::new(vec![1_000_000], pattern, tensor(DType::F32, &[1], [7.])).unwrap();
        let values = dense(&s, 0..1_000_000).unwrap();
        assert_eq!(
            (values.len(), values[999_999], values[..999_999].iter().sum::<f64>()),
            (1_000_000, 7., 0.)
        );
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let pattern = Pattern::Coordinates { indices: tensor(DType::I64, &[1, 1], [0.]), coalesced: true };
        assert!(Sparse::new(vec![2], pattern, tensor(DType::F32, &[2], [1., 2.])).is_err());
    }
}
