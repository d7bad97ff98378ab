//! Elements of less than a byte, which TensorFlow keeps one a byte, as they are packed elsewhere.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{ChunkVisitor, DType, Error, Place, Result, Storage};

/// Bytes packed before they are handed on.
const PACKED: usize = 1 << 16;

/// The low bits of each byte, side by side, the first lowest.
#[derive(Debug)]
struct Packed {
    inner: Arc<dyn Storage>,
    bits: u32,
}

/// The storage in which elements of `dtype` stand as this project has them, of one that has them as TensorFlow does.
pub(super) fn packed(inner: Arc<dyn Storage>, dtype: DType) -> Arc<dyn Storage> {
    match dtype.is_sub_byte() {
        true => Arc::new(Packed { inner, bits: dtype.bits() }),
        false => inner,
    }
}

impl Storage for Packed {
    fn len(&self) -> u64 {
        self.inner.len().div_ceil(u64::from(8 / self.bits))
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        if range.start > range.end || range.end > self.len() {
            let what = format!("bytes {}..{} asked of {}", range.start, range.end, self.len());
            return Err(Error::malformed(Place::default(), what));
        }
        let per = u64::from(8 / self.bits);
        let mask = (1u8 << self.bits) - 1;
        let (mut out, mut at) = (Vec::new(), range.start);
        let (mut byte, mut filled) = (0u8, 0);
        let codes = range.start * per..(range.end * per).min(self.inner.len());
        self.inner.visit(codes, &mut |_, chunk| {
            for code in chunk {
                byte |= (code & mask) << filled;
                filled += self.bits;
                if filled == 8 {
                    out.push(byte);
                    (byte, filled) = (0, 0);
                }
                if out.len() >= PACKED {
                    visitor(at, &out)?;
                    at += out.len() as u64;
                    out.clear();
                }
            }
            Ok(())
        })?;
        if filled > 0 {
            out.push(byte);
        }
        if out.is_empty() { Ok(()) } else { visitor(at, &out) }
    }
}
