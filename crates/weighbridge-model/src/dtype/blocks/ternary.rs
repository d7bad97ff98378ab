//! -1, 0 and 1 with one scale: `TQ1_0`, `TQ2_0`.
//!
//! | type | bytes |
//! |---|---|
//! | `TQ1_0` | 32 of 5 elements each, 16 of 5, 4 of 4, d f16 |
//! | `TQ2_0` | 64 of 4 elements each, d f16 |
//!
//! A byte of five is a fraction of 256 in base 3: its first digit is the integer part of three times it, and further
//! ones come up when it is multiplied by 3, the carry dropped. Digits of one place are elements side by side.

use super::half;

const POWERS: [u8; 5] = [1, 3, 9, 27, 81];

pub(super) fn tq1_0(block: &[u8; 54], out: &mut [f32; 256]) {
    let d = half(block, 52);
    let mut at = 0;
    for (bytes, digits) in [(&block[..32], 5), (&block[32..48], 5), (&block[48..52], 4)] {
        for power in &POWERS[..digits] {
            for (x, byte) in out[at..at + bytes.len()].iter_mut().zip(bytes) {
                let digit = (u16::from(byte.wrapping_mul(*power)) * 3) >> 8;
                *x = d * f32::from(digit as i8 - 1);
            }
            at += bytes.len();
        }
    }
}

pub(super) fn tq2_0(block: &[u8; 66], out: &mut [f32; 256]) {
    let d = half(block, 64);
    for (group, x) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let shift = group % 4 * 2;
        for (x, &byte) in x.iter_mut().zip(&block[group / 4 * 32..][..32]) {
            *x = d * f32::from((byte >> shift & 3) as i8 - 1);
        }
    }
}
