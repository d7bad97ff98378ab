//! `Q1_0`: d f16, then 16 bytes with the bit of element i at bit i; a set bit is d, a clear one -d.

use super::half;

pub(super) fn q1_0(block: &[u8; 18], out: &mut [f32; 128]) {
    let d = half(block, 0);
    let both = [-d, d];
    for (eight, &bits) in out.as_chunks_mut::<8>().0.iter_mut().zip(&block[2..]) {
        for (i, x) in eight.iter_mut().enumerate() {
            *x = both[usize::from(bits >> i & 1)];
        }
    }
}
