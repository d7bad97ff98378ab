//! 4 bits into a table of unevenly spaced values: `IQ4_NL`, `IQ4_XS`.
//!
//! | type | bytes |
//! |---|---|
//! | `IQ4_NL` | d f16, 16 of codes |
//! | `IQ4_XS` | d f16, high bits of 8 scales u16, low bits of these in 4, 128 of codes |
//!
//! Of each 16 bytes of codes the low halves are the first 16 elements, the high halves the next.

use super::{half, short};

const VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

#[inline(always)]
fn group(d: f32, codes: &[u8], out: &mut [f32; 32]) {
    for (i, &byte) in codes.iter().enumerate() {
        out[i] = d * f32::from(VALUES[usize::from(byte & 15)]);
        out[i + 16] = d * f32::from(VALUES[usize::from(byte >> 4)]);
    }
}

pub(super) fn iq4_nl(block: &[u8; 18], out: &mut [f32; 32]) {
    group(half(block, 0), &block[2..], out);
}

pub(super) fn iq4_xs(block: &[u8; 136], out: &mut [f32; 256]) {
    let (d, high) = (half(block, 0), short(block, 2));
    for (i, x) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let low = block[4 + i / 2] >> (i % 2 * 4) & 15;
        let scale = low | ((high >> (2 * i) & 3) << 4) as u8;
        group(d * f32::from(scale as i8 - 32), &block[8 + 16 * i..][..16], x);
    }
}
