//! Blocks of 256 with scales of their own for groups of 16 or 32: `Q2_K` to `Q6_K`, and `Q8_K`.
//!
//! | type | bytes | element |
//! |---|---|---|
//! | `Q2_K` | 16 of scales (low half) and minima (high half), 64 of codes, d f16, dmin f16 | d sc q - dmin m |
//! | `Q3_K` | 32 of high bits, 64 of codes, 12 of scales, d f16 | d (sc - 32) (q - 4 where the high bit is 0) |
//! | `Q4_K` | d f16, dmin f16, 12 of scales and minima, 128 of codes | d sc q - dmin m |
//! | `Q5_K` | d f16, dmin f16, 12 of scales and minima, 32 of high bits, 128 of codes | d sc q - dmin m |
//! | `Q6_K` | 128 of low bits, 64 of high bits, 16 of scales, d f16 | d sc (q - 32) |
//! | `Q8_K` | d f32, 256 of codes, 16 sums i16 | d q |

use super::{half, single};

pub(super) fn q2_k(block: &[u8; 84], out: &mut [f32; 256]) {
    let (scales, codes) = (&block[..16], &block[16..80]);
    let (d, dmin) = (half(block, 80), half(block, 82));
    for (group, x) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scales[group] & 15);
        let least = dmin * f32::from(scales[group] >> 4);
        for (x, &byte) in x.iter_mut().zip(twos(codes, group)) {
            *x = scale * f32::from(byte >> shift(group) & 3) - least;
        }
    }
}

/// The bytes that codes of 2 bits of a group of 16 are in: each run of 32 bytes holds 128 elements, the first 32 in
/// the lowest bits.
#[inline(always)]
fn twos(codes: &[u8], group: usize) -> &[u8] {
    let at = group / 8 * 32 + group % 2 * 16;
    &codes[at..at + 16]
}

/// Where a group of 16 has its codes of 2 bits within these bytes.
#[inline(always)]
fn shift(group: usize) -> usize {
    group % 8 / 2 * 2
}

pub(super) fn q3_k(block: &[u8; 110], out: &mut [f32; 256]) {
    let (high, codes, scales) = (&block[..32], &block[32..96], &block[96..108]);
    let d = half(block, 108);
    for (group, x) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let low_bits = scales[group % 8] >> (group / 8 * 4) & 15;
        let high_bits = scales[8 + group % 4] >> (group / 4 * 2) & 3;
        let scale = d * f32::from((low_bits | high_bits << 4) as i8 - 32);
        let high = &high[group % 2 * 16..][..16];
        for ((x, &byte), &high) in x.iter_mut().zip(twos(codes, group)).zip(high) {
            let q = (byte >> shift(group) & 3) as i8 - 4 * (1 - (high >> (group / 2) & 1) as i8);
            *x = scale * f32::from(q);
        }
    }
}

/// Scale and minimum of a group of 32, 6 bits each: the first four of both have a byte each, whose two top bits
/// belong to the last four; these have their other bits in the last four bytes.
#[inline(always)]
fn scale_and_least(scales: &[u8], group: usize) -> (u8, u8) {
    if group < 4 {
        (scales[group] & 63, scales[group + 4] & 63)
    } else {
        let low = scales[group + 4];
        (low & 15 | scales[group - 4] >> 2 & 0x30, low >> 4 | scales[group] >> 2 & 0x30)
    }
}

pub(super) fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    let (scales, codes) = (&block[4..16], &block[16..]);
    for (group, x) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(scales, group);
        let (scale, least) = (d * f32::from(scale), dmin * f32::from(least));
        for (x, &byte) in x.iter_mut().zip(&codes[group / 2 * 32..][..32]) {
            *x = scale * f32::from(byte >> (group % 2 * 4) & 15) - least;
        }
    }
}

pub(super) fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, dmin) = (half(block, 0), half(block, 2));
    let (scales, high, codes) = (&block[4..16], &block[16..48], &block[48..]);
    for (group, x) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, least) = scale_and_least(scales, group);
        let (scale, least) = (d * f32::from(scale), dmin * f32::from(least));
        for ((x, &byte), &high) in x.iter_mut().zip(&codes[group / 2 * 32..][..32]).zip(high) {
            let q = byte >> (group % 2 * 4) & 15 | (high >> group & 1) << 4;
            *x = scale * f32::from(q) - least;
        }
    }
}

pub(super) fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half(block, 208);
    for (group, x) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let scale = d * f32::from(scales[group] as i8);
        // Each run of 64 bytes holds the low bits of 128 elements, the first 64 in the low halves.
        let low = &low[group / 8 * 64 + group % 4 * 16..][..16];
        let half = group % 8 / 4 * 4;
        for ((x, &low), &high) in x.iter_mut().zip(low).zip(twos(high, group)) {
            let q = low >> half & 15 | (high >> shift(group) & 3) << 4;
            *x = scale * f32::from(q as i8 - 32);
        }
    }
}

pub(super) fn q8_k(block: &[u8; 292], out: &mut [f32; 256]) {
    let d = single(block, 0);
    for (x, &q) in out.iter_mut().zip(&block[4..260]) {
        *x = d * f32::from(q as i8);
    }
}
