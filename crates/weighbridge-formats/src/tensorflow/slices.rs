//! Partitioned variables: which part of the whole a slice is, under which key it is kept, and the whole made of them.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{ChunkVisitor, Error, Place, Result, Storage};

use crate::protobuf::Message;

/// Bytes put together before they are handed on.
const JOINED: usize = 1 << 16;

/// Most slices that are put together.
pub(super) const MOST: usize = 4096;

/// Part of a tensor: where it starts in each dimension and how far it goes; `None` is all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice(pub Vec<(u64, Option<u64>)>);

impl Slice {
    /// Reads a `TensorSliceProto`: a start and a length for each dimension.
    pub fn read(message: &Message<'_>, dims: usize) -> Result<Slice> {
        let mut extents = Vec::new();
        for field in message.fields() {
            let field = field?;
            if field.number != 1 {
                continue;
            }
            let (mut start, mut length) = (0, None);
            for field in field.message()?.fields() {
                let field = field?;
                let number = || {
                    let n = field.int()?;
                    let fault = |_| Error::malformed(field.place(), format!("a slice of extent {n}"));
                    u64::try_from(n).map_err(fault)
                };
                match field.number {
                    1 => start = number()?,
                    2 => length = Some(number()?),
                    _ => {}
                }
            }
            extents.push((start, length));
            if extents.len() > dims {
                let what = format!("a slice of more dimensions than its tensor's {dims}");
                return Err(Error::malformed(field.place(), what));
            }
        }
        Ok(Slice(extents))
    }

    /// Start and length in each dimension; `None` where it does not fit the shape.
    pub fn within(&self, shape: &[u64]) -> Option<Vec<(u64, u64)>> {
        let fits = |(&(start, length), &size): (&(u64, Option<u64>), &u64)| match length {
            None => Some((0, size)),
            Some(length) => (start.checked_add(length)? <= size).then_some((start, length)),
        };
        (self.0.len() == shape.len()).then(|| self.0.iter().zip(shape).map(fits).collect())?
    }

    /// As TensorFlow writes it: `0,4:-`, a start and a length or all of it for each dimension.
    pub fn text(&self) -> String {
        let each = |&(start, length): &(u64, Option<u64>)| match length {
            None => "-".to_owned(),
            Some(length) => format!("{start},{length}"),
        };
        self.0.iter().map(each).collect::<Vec<_>>().join(":")
    }

    /// The key under which a tensor's slice is kept: numbers and text encoded so that keys sort as they do.
    pub fn key(&self, tensor: &[u8]) -> Vec<u8> {
        let mut key = vec![0];
        for &byte in tensor {
            match byte {
                0 => key.extend([0, 0xff]),
                0xff => key.extend([0xff, 0]),
                byte => key.push(byte),
            }
        }
        key.extend([0, 1]);
        // The number of dimensions is below 256: its length, and the number unless it is 0.
        let dims = self.0.len() as u8;
        key.extend([u8::from(dims > 0), dims].iter().take(1 + usize::from(dims > 0)));
        for &(start, length) in &self.0 {
            let (start, length) = length.map_or((0, -1), |length| (start as i64, length as i64));
            push_signed(start, &mut key);
            push_signed(length, &mut key);
        }
        key
    }
}

/// A signed number in as few bytes as its bits and sign need at seven a byte; as many leading bits as there are bytes
/// tell the count, and the sign by whether they are set.
fn push_signed(value: i64, out: &mut Vec<u8>) {
    let magnitude = if value < 0 { !value } else { value } as u64;
    let bits = 64 - u64::from(magnitude.leading_zeros()) + 1;
    let len = bits.div_ceil(7).clamp(1, 10) as usize;
    let wide = i128::from(value).to_be_bytes();
    let mut bytes = wide[wide.len() - len..].to_vec();
    let header: u16 = if len >= 16 { !0 } else { !(0xffff >> len) };
    bytes[0] ^= (header >> 8) as u8;
    if len > 8 {
        bytes[1] ^= header as u8;
    }
    out.append(&mut bytes);
}

/// A slice with its bytes.
#[derive(Debug)]
pub(super) struct Part {
    pub extents: Vec<(u64, u64)>,
    pub storage: Arc<dyn Storage>,
}

impl Part {
    fn count(&self) -> u64 {
        let sizes: Vec<u64> = self.extents.iter().map(|e| e.1).collect();
        weighbridge_model::element_count(&sizes).unwrap_or(u64::MAX)
    }

    fn holds(&self, at: &[u64]) -> bool {
        self.extents.iter().zip(at).all(|(&(start, length), &i)| i >= start && i - start < length)
    }

    fn meets(&self, other: &Part) -> bool {
        let apart = |(a, b): (&(u64, u64), &(u64, u64))| a.0 >= b.0 + b.1 || b.0 >= a.0 + a.1;
        !self.extents.iter().zip(&other.extents).any(apart)
    }
}

/// The elements of a tensor, each in the slice that holds it, in the tensor's order.
#[derive(Debug)]
pub(super) struct Joined {
    shape: Vec<u64>,
    width: u64,
    len: u64,
    parts: Vec<Part>,
}

impl Joined {
    /// Over slices that cover the shape, each element once; otherwise what is wrong with them. Elements of `width`
    /// bytes.
    pub fn new(shape: Vec<u64>, width: u64, parts: Vec<Part>) -> Result<Self, String> {
        let count = weighbridge_model::element_count(&shape).ok_or("a shape of too many elements")?;
        let len = count.checked_mul(width).ok_or("a shape of too many bytes")?;
        let held = parts.iter().try_fold(0u64, |n, p| n.checked_add(p.count()));
        if held != Some(count) {
            return Err(format!(
                "its slices hold {} elements, and its shape asks for {count}",
                held.unwrap_or(0)
            ));
        }
        for (i, part) in parts.iter().enumerate() {
            if part.storage.len() != part.count().saturating_mul(width) {
                let (has, asks) = (part.storage.len(), part.count().saturating_mul(width));
                return Err(format!("a slice has {has} bytes, and its extent asks for {asks}"));
            }
            if parts[..i].iter().any(|other| part.count() > 0 && other.count() > 0 && part.meets(other)) {
                return Err("two of its slices meet".into());
            }
        }
        Ok(Joined { shape, width, len, parts })
    }

    /// The slice that holds an element, where in it that stands, and how many elements follow there as they do in the
    /// whole.
    fn run(&self, element: u64, last: &mut usize) -> Option<(&Part, u64, u64)> {
        let mut at = vec![0; self.shape.len()];
        let mut rest = element;
        for (i, &size) in self.shape.iter().enumerate().rev() {
            at[i] = rest % size;
            rest /= size;
        }
        if !self.parts.get(*last)?.holds(&at) {
            *last = self.parts.iter().position(|part| part.holds(&at))?;
        }
        let part = &self.parts[*last];
        let (mut within, mut stride, mut run) = (0, 1, 1);
        let mut whole = true;
        for (i, &(start, length)) in part.extents.iter().enumerate().rev() {
            let index = at[i] - start;
            within += index * stride;
            if whole {
                // Elements to the end of this dimension, less those that come before in the ones below it.
                run = length * stride - within;
                whole = length == self.shape[i];
            }
            stride *= length;
        }
        Some((part, within, run))
    }
}

impl Storage for Joined {
    fn len(&self) -> u64 {
        self.len
    }

    fn can_seek(&self) -> bool {
        self.parts.iter().all(|p| p.storage.can_seek())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        self.visit(offset..offset.saturating_add(buffer.len() as u64), &mut |_, chunk| {
            buffer[filled..filled + chunk.len()].copy_from_slice(chunk);
            filled += chunk.len();
            Ok(())
        })
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        let fault = |what: String| Error::malformed(Place::default(), what);
        if range.start > range.end || range.end > self.len {
            return Err(fault(format!("bytes {}..{} asked of {}", range.start, range.end, self.len)));
        }
        let (mut at, mut last) = (range.start, 0);
        let mut out = Vec::new();
        while at < range.end {
            let (element, skip) = (at / self.width, at % self.width);
            let (part, within, run) = self
                .run(element, &mut last)
                .ok_or_else(|| fault(format!("no slice holds element {element}")))?;
            let from = within * self.width + skip;
            let bytes = (run * self.width - skip).min(range.end - at).min((JOINED - out.len()) as u64);
            let begin = out.len();
            out.resize(begin + bytes as usize, 0);
            part.storage.read_at(from, &mut out[begin..])?;
            at += bytes;
            if out.len() == JOINED || at == range.end {
                visitor(at - out.len() as u64, &out)?;
                out.clear();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use weighbridge_model::Memory;

    use super::*;

    #[test]
    fn numbers_are_encoded_in_as_few_bytes_as_they_take() {
        for (value, bytes) in [
            (0, &[0x80][..]),
            (1, &[0x81]),
            (63, &[0xbf]),
            (-1, &[0x7f]),
            (-64, &[0x40]),
            (64, &[0xc0, 64]),
            (8191, &[0xdf, 0xff]),
            (8192, &[0xe0, 0x20, 0x00]),
            (i64::MAX, &[0xff, 0xc0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ] {
            let mut out = Vec::new();
            push_signed(value, &mut out);
            assert_eq!(out, bytes, "{value}");
        }
    }

    fn part(extents: &[(u64, u64)], bytes: &[u8]) -> Part {
        Part { extents: extents.to_vec(), storage: Arc::new(Memory::new(bytes.to_vec())) }
    }

    #[test]
    fn slices_of_a_grid_are_put_in_order() {
        // 0 1 2 | 3
        // 4 5 6 | 7
        // ------+--
        // 8 9 a | b
        let parts = vec![
            part(&[(0, 2), (0, 3)], &[0, 1, 2, 4, 5, 6]),
            part(&[(0, 2), (3, 1)], &[3, 7]),
            part(&[(2, 1), (0, 4)], &[8, 9, 10, 11]),
        ];
        let joined = Joined::new(vec![3, 4], 1, parts).unwrap();
        for from in 0..12u8 {
            let mut bytes = vec![0; 12 - usize::from(from)];
            joined.read_at(u64::from(from), &mut bytes).unwrap();
            assert_eq!(bytes, (from..12).collect::<Vec<_>>());
        }
    }

    #[test]
    fn slices_of_nothing_may_have_any_other_size() {
        let huge = 1 << 40;
        let joined = Joined::new(vec![huge, huge, 0], 4, vec![part(&[(0, huge), (0, huge), (0, 0)], &[])]);
        assert_eq!(joined.unwrap().len(), 0);
    }

    #[test]
    fn slices_that_do_not_cover_the_whole_are_refused() {
        let gap = vec![part(&[(0, 1)], &[1]), part(&[(2, 1)], &[1])];
        assert!(Joined::new(vec![3], 1, gap).unwrap_err().contains("hold 2 elements"));
        let twice = vec![part(&[(0, 2)], &[1, 2]), part(&[(1, 1)], &[1])];
        assert!(Joined::new(vec![3], 1, twice).unwrap_err().contains("meet"));
    }
}
