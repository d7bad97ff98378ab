//! The second pass over a block: bin and exponent of each magnitude.
//!
//! Indices are computed in lanes; counts go to four tables in turn, so that neighbours in the same bin do
//! not wait for each other.

use crate::histogram::{BINS, Histogram};
use weighbridge_model::dtype::exponent;

const LANES: usize = 16;
const TABLES: usize = 4;
/// Where values that are in no bin (NaN, infinities) are counted, and thrown away.
const NO_BIN: i32 = 127;

/// The range of a histogram, in the type that its bins are computed in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edges<T> {
    low: T,
    span: T,
    /// Whether `(x - low) * bins` overflows within the range: bins are then computed in f64.
    wide: bool,
}

impl Edges<f32> {
    pub(super) fn of(histogram: &Histogram) -> Self {
        let (low, high) = (histogram.low as f32, histogram.high as f32);
        let span = high - low;
        Edges { low, span, wide: !(span * BINS as f32).is_finite() }
    }
}

/// Counts of one block.
pub(super) struct Tables {
    bins: [[u32; 128]; TABLES],
    exponents: [[u32; 256]; TABLES],
}

impl Tables {
    pub(super) fn add_to(&self, histogram: &mut Histogram) {
        for table in &self.bins {
            histogram.counts.iter_mut().zip(table).for_each(|(count, &n)| *count += u64::from(n));
        }
        // Field 0 holds zeros and subnormals, field 255 infinities and NaN.
        for field in 1..255 {
            let n: u64 = self.exponents.iter().map(|t| u64::from(t[field])).sum();
            if n > 0 {
                histogram.add_exponent(field as i32 - 127, n);
            }
        }
    }

    pub(super) fn has_subnormals_or_zeros(&self) -> bool {
        self.exponents.iter().any(|t| t[0] > 0)
    }
}

#[inline(always)]
pub(super) fn block_f32_bytes(bytes: &[u8], edges: Edges<f32>) -> Tables {
    block(bytes.as_chunks::<4>().0, |b| f32::from_le_bytes(b), edges)
}

#[inline(always)]
pub(super) fn block_f32(values: &[f32], edges: Edges<f32>) -> Tables {
    block(values, |x| x, edges)
}

#[inline(always)]
fn block<S: Copy>(stored: &[S], read: impl Fn(S) -> f32 + Copy, edges: Edges<f32>) -> Tables {
    if edges.wide {
        return tally(stored, read, |x| {
            let (low, span) = (f64::from(edges.low), f64::from(edges.low + edges.span) - f64::from(edges.low));
            let span = if span.is_finite() { span } else { f64::from(edges.span) };
            ((f64::from(x) - low) * BINS as f64 / span) as i32
        });
    }
    let bins = BINS as f32;
    tally(stored, read, |x| ((x - edges.low) * bins / edges.span) as i32)
}

#[inline(always)]
fn tally<S: Copy>(stored: &[S], read: impl Fn(S) -> f32 + Copy, bin: impl Fn(f32) -> i32) -> Tables {
    let mut tables = Tables { bins: [[0; 128]; TABLES], exponents: [[0; 256]; TABLES] };
    let (groups, rest) = stored.as_chunks::<LANES>();
    for group in groups {
        let mut at = [0i32; LANES];
        let mut fields = [0u32; LANES];
        for lane in 0..LANES {
            (at[lane], fields[lane]) = place(read(group[lane]), &bin);
        }
        for lane in 0..LANES {
            tables.bins[lane % TABLES][at[lane] as usize & 127] += 1;
            tables.exponents[lane % TABLES][fields[lane] as usize & 255] += 1;
        }
    }
    for &s in rest {
        let (at, field) = place(read(s), &bin);
        tables.bins[0][at as usize & 127] += 1;
        tables.exponents[0][field as usize & 255] += 1;
    }
    tables
}

#[inline(always)]
fn place(x: f32, bin: &impl Fn(f32) -> i32) -> (i32, u32) {
    let magnitude = x.abs();
    let field = magnitude.to_bits() >> 23;
    let index = bin(magnitude).min(BINS as i32 - 1);
    (if field == 255 { NO_BIN } else { index }, field)
}

/// Adds exponents of subnormal f32 values.
pub(super) fn count_subnormals(values: impl Iterator<Item = f32>, histogram: &mut Histogram) {
    for x in values.filter(|x| x.is_subnormal()) {
        histogram.add_exponent(exponent(f64::from(x)), 1);
    }
}

/// Adds a block of F64, whose bins are computed in f64.
pub(super) fn count_f64(bytes: &[u8], histogram: &mut Histogram) {
    let (low, span) = (histogram.low, histogram.high - histogram.low);
    // Beyond f64's own range, halves are compared instead: exact, since both are scaled by a power of two.
    let scale = if (span * BINS as f64).is_finite() { 1.0 } else { 2f64.powi(-10) };
    let span = histogram.high * scale - low * scale;
    for b in bytes.as_chunks::<8>().0 {
        let x = f64::from_le_bytes(*b).abs();
        if !x.is_finite() {
            continue;
        }
        let at = ((x * scale - low * scale) * BINS as f64 / span) as usize;
        histogram.counts[at.min(BINS - 1)] += 1;
        if x > 0.0 {
            histogram.add_exponent(exponent(x), 1);
        }
    }
}
