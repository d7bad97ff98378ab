//! Stored elements as f32 or f64, little-endian bytes again: one form for values that stand in the file as
//! they are and for those that are made.

use weighbridge_model::{DType, dtype};

/// The values as f32: exactly, or for integers of more than 24 bits to nearest.
#[inline(always)]
pub(super) fn to_f32(dtype: DType, bytes: &[u8], out: &mut Vec<[u8; 4]>) {
    out.clear();
    match dtype {
        DType::BF16 => {
            map(bytes, out, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).to_le_bytes())
        }
        DType::F16 => map(bytes, out, |b| half(u16::from_le_bytes(b)).to_le_bytes()),
        DType::I16 => map(bytes, out, |b| f32::from(i16::from_le_bytes(b)).to_le_bytes()),
        DType::U16 => map(bytes, out, |b| f32::from(u16::from_le_bytes(b)).to_le_bytes()),
        DType::I32 => map(bytes, out, |b| (i32::from_le_bytes(b) as f32).to_le_bytes()),
        DType::U32 => map(bytes, out, |b| (u32::from_le_bytes(b) as f32).to_le_bytes()),
        DType::I64 => map(bytes, out, |b| (i64::from_le_bytes(b) as f32).to_le_bytes()),
        DType::U64 => map(bytes, out, |b| (u64::from_le_bytes(b) as f32).to_le_bytes()),
        _ => {
            let elements = bytes.chunks_exact(dtype.chunk_bytes());
            out.extend(elements.map(|e| (dtype::to_f64(dtype, e) as f32).to_le_bytes()));
        }
    }
}

/// The values as f64: exactly, or for integers of more than 53 bits to nearest.
#[inline(always)]
pub(super) fn to_f64(dtype: DType, bytes: &[u8], out: &mut Vec<[u8; 8]>) {
    out.clear();
    match dtype {
        DType::I32 => map(bytes, out, |b| f64::from(i32::from_le_bytes(b)).to_le_bytes()),
        DType::U32 => map(bytes, out, |b| f64::from(u32::from_le_bytes(b)).to_le_bytes()),
        DType::I64 => map(bytes, out, |b| (i64::from_le_bytes(b) as f64).to_le_bytes()),
        DType::U64 => map(bytes, out, |b| (u64::from_le_bytes(b) as f64).to_le_bytes()),
        _ => {
            let elements = bytes.chunks_exact(dtype.chunk_bytes());
            out.extend(elements.map(|e| dtype::to_f64(dtype, e).to_le_bytes()));
        }
    }
}

#[inline(always)]
fn map<const N: usize, const M: usize>(bytes: &[u8], out: &mut Vec<[u8; M]>, f: impl Fn([u8; N]) -> [u8; M]) {
    out.extend(bytes.as_chunks::<N>().0.iter().map(|&b| f(b)));
}

/// IEEE half to single, exactly, without branches and without arithmetic on subnormals.
#[inline(always)]
fn half(half: u16) -> f32 {
    const MIN_NORMAL: u32 = (127 - 14) << 23;
    let magnitude = u32::from(half & 0x7fff) << 13;
    let normal = magnitude + ((127 - 15) << 23);
    let subnormal = (f32::from_bits(MIN_NORMAL | magnitude) - f32::from_bits(MIN_NORMAL)).to_bits();
    // Infinities and NaN have the top exponent in both.
    let special = magnitude | 0x7f80_0000;
    let finite = if magnitude < 1 << 23 { subnormal } else { normal };
    let bits = if magnitude >= 0x0f80_0000 { special } else { finite };
    f32::from_bits(bits | u32::from(half & 0x8000) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_to_its_value() {
        for code in 0..=u16::MAX {
            let expected = dtype::to_f64(DType::F16, &code.to_le_bytes());
            let got = f64::from(half(code));
            assert!(got == expected || got.is_nan() && expected.is_nan(), "{code:#x}: {got} for {expected}");
        }
    }
}
