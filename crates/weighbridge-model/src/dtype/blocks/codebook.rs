//! Vectors from a grid: `IQ2_XXS`, `IQ2_XS`, `IQ2_S`, `IQ3_XXS`, `IQ3_S`, `IQ1_S`, `IQ1_M`.
//!
//! | type | bytes |
//! |---|---|
//! | `IQ2_XXS` | d f16; for each 32 elements: 4 rows u8, then u32 with 4 signs of 7 bits and a scale of 4 |
//! | `IQ2_XS` | d f16; 32 u16 with a row of 9 bits and a sign of 7; 16 scales of 4 bits |
//! | `IQ2_S` | d f16; 32 of rows, 32 of signs, 8 with 2 high bits of a row each, 16 scales of 4 bits |
//! | `IQ3_XXS` | d f16; 64 of rows; 8 u32 with 4 signs of 7 bits and a scale of 4 |
//! | `IQ3_S` | d f16; 64 of rows, 8 with a high bit of a row each, 32 of signs, 8 scales of 4 bits |
//! | `IQ1_S` | d f16; 32 of rows; 8 u16 with 3 high bits of 4 rows, a scale of 3, the shift's sign |
//! | `IQ1_M` | 32 of rows, 16 with 3 high bits of a row and the shift's sign in each half; 4 u16 with 4 scales of 3 bits and a quarter of d f16 |
//!
//! Rows of `IQ3` have 4 elements, all others 8. A sign of 7 bits stands for 8: the last one makes the number of minus
//! signs even.

use super::grids::{IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS};
use super::{half, half_of, short, word};

/// 8 signs from 7 bits.
#[inline(always)]
fn even(seven: u32) -> u8 {
    let seven = (seven & 127) as u8;
    seven | ((seven.count_ones() & 1) << 7) as u8
}

/// Scaled values with signs; a set bit is a minus.
#[inline(always)]
fn signed<const N: usize>(scale: f32, row: &[i8; N], signs: u8, out: &mut [f32; N]) {
    for (i, (x, &value)) in out.iter_mut().zip(row).enumerate() {
        let sign = f32::from_bits(0x3f80_0000 | u32::from(signs >> i & 1) << 31);
        *x = scale * f32::from(value) * sign;
    }
}

/// The 4 bits at place `i` of packed halves, low first.
#[inline(always)]
fn nibble(bytes: &[u8], i: usize) -> u8 {
    bytes[i / 2] >> (i % 2 * 4) & 15
}

pub(super) fn iq2_xxs(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let at = 2 + i / 4 * 8;
        let more = word(block, at + 4);
        let scale = d * (0.5 + (more >> 28) as f32) * 0.25;
        let row = usize::from(block[at + i % 4]);
        signed(scale, &IQ2_XXS[row], even(more >> (i % 4 * 7)), x);
    }
}

pub(super) fn iq2_xs(block: &[u8; 74], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let code = short(block, 2 + 2 * i);
        let scale = d * (0.5 + f32::from(nibble(&block[66..], i / 2))) * 0.25;
        signed(scale, &IQ2_XS[usize::from(code & 511)], even(u32::from(code >> 9)), x);
    }
}

pub(super) fn iq2_s(block: &[u8; 82], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let high = block[66 + i / 4] >> (i % 4 * 2) & 3;
        let row = usize::from(block[2 + i]) | usize::from(high) << 8;
        let scale = d * (0.5 + f32::from(nibble(&block[74..], i / 2))) * 0.25;
        signed(scale, &IQ2_S[row], block[34 + i], x);
    }
}

pub(super) fn iq3_xxs(block: &[u8; 98], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let more = word(block, 66 + i / 4 * 4);
        let scale = d * (0.5 + (more >> 28) as f32) * 0.5;
        let signs = even(more >> (i % 4 * 7));
        let [low, high] = [0, 1].map(|half| &IQ3_XXS[usize::from(block[2 + 2 * i + half])]);
        signed(scale, &pair(low, high), signs, x);
    }
}

pub(super) fn iq3_s(block: &[u8; 110], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let scale = d * f32::from(1 + 2 * nibble(&block[106..], i / 4));
        let row = |k: usize| {
            let high = block[66 + k / 8] >> (k % 8) & 1;
            &IQ3_S[usize::from(block[2 + k]) | usize::from(high) << 8]
        };
        signed(scale, &pair(row(2 * i), row(2 * i + 1)), block[74 + i], x);
    }
}

#[inline(always)]
fn pair(low: &[i8; 4], high: &[i8; 4]) -> [i8; 8] {
    std::array::from_fn(|i| if i < 4 { low[i] } else { high[i - 4] })
}

/// What ternary rows are shifted by.
const SHIFT: f32 = 0.125;

#[inline(always)]
fn shifted(scale: f32, row: usize, minus: bool, out: &mut [f32; 8]) {
    let shift = if minus { -SHIFT } else { SHIFT };
    for (x, &value) in out.iter_mut().zip(&IQ1_S[row]) {
        *x = scale * (f32::from(value) + shift);
    }
}

pub(super) fn iq1_s(block: &[u8; 50], out: &mut [f32; 256]) {
    let d = half(block, 0);
    for (i, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let more = short(block, 34 + i / 4 * 2);
        let scale = d * f32::from(2 * (more >> 12 & 7) + 1);
        let row = usize::from(block[2 + i]) | usize::from(more >> (i % 4 * 3) & 7) << 8;
        shifted(scale, row, more & 0x8000 != 0, x);
    }
}

pub(super) fn iq1_m(block: &[u8; 56], out: &mut [f32; 256]) {
    let scales: [u16; 4] = std::array::from_fn(|i| short(block, 48 + 2 * i));
    let d = half_of(scales.iter().rev().fold(0, |bits, scale| bits << 4 | scale >> 12));
    for (i, x) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let group = i / 2;
        let scale = d * f32::from(2 * (scales[group / 4] >> (group % 4 * 3) & 7) + 1);
        let high = nibble(&block[32..48], i);
        shifted(scale, usize::from(block[i]) | usize::from(high & 7) << 8, high & 8 != 0, x);
    }
}
