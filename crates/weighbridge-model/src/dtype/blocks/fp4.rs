//! FP4 e2m1 codes with scales: `MXFP4`, `NVFP4`.
//!
//! | type | bytes |
//! |---|---|
//! | `MXFP4` | scale e8m0, 16 of codes for 32 elements |
//! | `NVFP4` | 4 scales e4m3 without sign, then for each 8 of codes for 16 elements |
//!
//! Within a group the low halves of the bytes are the first elements, the high halves the others. The table has twice
//! the codes' values, so that they are whole; scales are halved for that.

/// Twice the values of e2m1.
const TWICE: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

#[inline(always)]
fn group(d: f32, codes: &[u8], out: &mut [f32]) {
    let (low, high) = out.split_at_mut(codes.len());
    for ((low, high), &byte) in low.iter_mut().zip(high).zip(codes) {
        *low = d * f32::from(TWICE[usize::from(byte & 15)]);
        *high = d * f32::from(TWICE[usize::from(byte >> 4)]);
    }
}

/// 2^(code - 128). The highest code, which the specification calls NaN, is taken as a power too, as GGML does.
fn half_power(code: u8) -> f32 {
    f32::from_bits(if code < 2 { 0x0020_0000 << code } else { u32::from(code - 1) << 23 })
}

pub(super) fn mxfp4(block: &[u8; 17], out: &mut [f32; 32]) {
    group(half_power(block[0]), &block[1..], out);
}

/// Half the value of e4m3, whose sign does not count; 7F is 0.
fn half_e4m3(code: u8) -> f32 {
    if code == 0x7f {
        return 0.0;
    }
    let (exponent, mantissa) = (code >> 3 & 15, f32::from(code & 7));
    let significand = if exponent == 0 { mantissa / 8.0 } else { 1.0 + mantissa / 8.0 };
    significand * f32::from_bits((127 - 8 + u32::from(exponent.max(1))) << 23)
}

pub(super) fn nvfp4(block: &[u8; 36], out: &mut [f32; 64]) {
    for (i, x) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        group(half_e4m3(block[i]), &block[4 + 8 * i..][..8], x);
    }
}
