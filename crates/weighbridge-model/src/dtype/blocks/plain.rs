//! One scale for 32 elements: `Q4_0`, `Q4_1`, `Q5_0`, `Q5_1`, `Q8_0`, `Q8_1`.
//!
//! | type | bytes | element |
//! |---|---|---|
//! | `Q4_0` | d f16, 16 of codes | d (q - 8) |
//! | `Q4_1` | d f16, m f16, 16 of codes | d q + m |
//! | `Q5_0` | d f16, 4 of high bits, 16 of codes | d (q - 16) |
//! | `Q5_1` | d f16, m f16, 4 of high bits, 16 of codes | d q + m |
//! | `Q8_0` | d f16, 32 of codes | d q |
//! | `Q8_1` | d f16, sum f16, 32 of codes | d q |
//!
//! Codes of 4 bits: the low halves of the bytes are elements 0 to 15, the high halves 16 to 31. High bits: bit i is of
//! element i.

use super::{half, single, word};

/// Calls `set(element, code)` for 16 bytes of codes.
#[inline(always)]
fn nibbles(codes: &[u8], mut set: impl FnMut(usize, u8)) {
    for (i, &byte) in codes.iter().enumerate() {
        set(i, byte & 15);
        set(i + 16, byte >> 4);
    }
}

pub(super) fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = half(block, 0);
    nibbles(&block[2..18], |i, q| out[i] = d * f32::from(q as i8 - 8));
}

pub(super) fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (half(block, 0), half(block, 2));
    nibbles(&block[4..20], |i, q| out[i] = d * f32::from(q) + m);
}

pub(super) fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let (d, high) = (half(block, 0), word(block, 2));
    nibbles(&block[6..22], |i, q| {
        let q = q | ((high >> i & 1) << 4) as u8;
        out[i] = d * f32::from(q as i8 - 16);
    });
}

pub(super) fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m, high) = (half(block, 0), half(block, 2), word(block, 4));
    nibbles(&block[8..24], |i, q| {
        let q = q | ((high >> i & 1) << 4) as u8;
        out[i] = d * f32::from(q) + m;
    });
}

#[inline(always)]
fn bytes(d: f32, codes: &[u8], out: &mut [f32; 32]) {
    for (x, &q) in out.iter_mut().zip(codes) {
        *x = d * f32::from(q as i8);
    }
}

pub(super) fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    bytes(half(block, 0), &block[2..], out);
}

pub(super) fn q8_1(block: &[u8; 36], out: &mut [f32; 32]) {
    bytes(half(block, 0), &block[4..], out);
}

pub(super) fn q8_1_wide(block: &[u8; 40], out: &mut [f32; 32]) {
    bytes(single(block, 0), &block[8..], out);
}
