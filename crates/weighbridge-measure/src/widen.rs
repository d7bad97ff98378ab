//! Stored elements of a chunk as f32 or f64 values: the arithmetic of every pass is on these.

use weighbridge_model::{DType, dtype};

/// The values of a chunk.
pub(crate) enum Values<'a> {
    /// F32 as it stands, little-endian.
    F32Bytes(&'a [u8]),
    /// Anything that widens to f32 exactly, or is taken as f32.
    F32(&'a [f32]),
    /// F64 as it stands, little-endian.
    F64Bytes(&'a [u8]),
}

/// Widens chunks of one type, with its tables and buffers.
pub(crate) struct Widen {
    dtype: DType,
    table: Vec<f32>,
    buffer: Vec<f32>,
}

impl Widen {
    pub(crate) fn new(dtype: DType) -> Self {
        // One byte an element: look the value up.
        let table = if dtype.chunk_bytes() == 1 {
            (0..=255u8).map(|code| dtype::to_f64(dtype, &[code]) as f32).collect()
        } else {
            Vec::new()
        };
        Widen { dtype, table, buffer: Vec::new() }
    }

    /// The chunk's values as f32; F64 stays.
    pub(crate) fn values<'a>(&'a mut self, bytes: &'a [u8]) -> Values<'a> {
        let buffer = &mut self.buffer;
        buffer.clear();
        match self.dtype {
            DType::F32 => return Values::F32Bytes(bytes),
            DType::F64 => return Values::F64Bytes(bytes),
            DType::BF16 => buffer.extend(halves(bytes).map(|h| f32::from_bits(u32::from(h) << 16))),
            DType::F16 => buffer.extend(halves(bytes).map(half_to_f32)),
            d if d.chunk_bytes() == 1 => buffer.extend(bytes.iter().map(|&b| self.table[usize::from(b)])),
            DType::I64 => buffer.extend(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32)),
            DType::U64 => buffer.extend(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b) as f32)),
            DType::I32 => buffer.extend(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b) as f32)),
            DType::U32 => buffer.extend(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b) as f32)),
            d => buffer
                .extend(bytes.chunks_exact(d.chunk_bytes()).map(|e| dtype::to_f64(d, e) as f32)),
        }
        Values::F32(buffer)
    }
}

fn halves(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b))
}

/// IEEE half to single, exactly and without branches: the exponent is rebiased by a multiplication, which
/// also normalises subnormals.
#[inline(always)]
fn half_to_f32(half: u16) -> f32 {
    let magnitude = u32::from(half & 0x7fff) << 13;
    let rebiased = f32::from_bits(magnitude) * f32::from_bits((254 - 15) << 23);
    // Infinities and NaN have the top exponent in both.
    let special = magnitude | 0x7f80_0000;
    let bits = if magnitude >= 0x0f80_0000 { special } else { rebiased.to_bits() };
    f32::from_bits(bits | u32::from(half & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_its_value() {
        for code in 0..=u16::MAX {
            let expected = dtype::to_f64(DType::F16, &code.to_le_bytes());
            let got = f64::from(half_to_f32(code));
            assert!(got == expected || got.is_nan() && expected.is_nan(), "{code:#x}: {got} for {expected}");
        }
    }
}
