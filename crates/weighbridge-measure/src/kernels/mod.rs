//! The arithmetic, written once in sixteen fixed lanes and compiled for each instruction set: since rustc
//! never fuses or reorders floating-point operations, every level gives the same bits.

mod bins;
mod integers;
mod moments;
mod rounding;

use weighbridge_model::DType;

use crate::histogram::Histogram;
use crate::summary::Summary;
use crate::survival::Survival;
use crate::widen::{Values, Widen};

/// An instruction set, chosen at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX2.
    Avx2,
    /// What every machine of this architecture has.
    Portable,
}

impl Level {
    /// The best level that this machine has.
    pub fn detect() -> Level {
        Level::available().next().unwrap_or(Level::Portable)
    }

    /// The levels that this machine has, best first.
    pub fn available() -> impl Iterator<Item = Level> {
        [Level::Avx512, Level::Avx2, Level::Portable].into_iter().filter(|l| l.is_available())
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => is_x86_feature_detected!("avx2"),
            Level::Portable => true,
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }
}

/// Defines `$name(level, …)`, which runs the inlined `$body(…)` compiled for the level.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident = $body:path, ($($arg:ident: $type:ty),*) -> $out:ty) => {
        $(#[$doc])*
        pub(super) fn $name(level: Level, $($arg: $type),*) -> $out {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) -> $out { $body($($arg),*) }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) -> $out { $body($($arg),*) }
                match level {
                    // SAFETY: the features are there, as the check says; the function has no other condition.
                    Level::Avx512 if level.is_available() => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    Level::Avx2 if level.is_available() => return unsafe { avx2($($arg),*) },
                    _ => {}
                }
            }
            let _ = level;
            $body($($arg),*)
        }
    };
}

mod levels {
    use super::{Level, bins, moments, rounding};
    use crate::summary::Summary;

    dispatch!(moments_f32_bytes = moments::block_f32_bytes, (bytes: &[u8]) -> Summary);
    dispatch!(moments_f32 = moments::block_f32, (values: &[f32]) -> Summary);
    dispatch!(moments_f64_bytes = moments::block_f64_bytes, (bytes: &[u8]) -> Summary);
    dispatch!(moments_f64 = moments::block_f64, (values: &[f64]) -> Summary);
    dispatch!(bins_f32_bytes = bins::block_f32_bytes, (bytes: &[u8], edges: bins::Edges<f32>) -> bins::Tables);
    dispatch!(bins_f32 = bins::block_f32, (values: &[f32], edges: bins::Edges<f32>) -> bins::Tables);
    dispatch!(rounding_f32_bytes = rounding::block_f32_bytes, (bytes: &[u8], to: rounding::Target) -> rounding::Loss);
    dispatch!(rounding_f32 = rounding::block_f32, (values: &[f32], to: rounding::Target) -> rounding::Loss);
}

/// Figures of one block.
pub(crate) fn summarize(level: Level, dtype: DType, widen: &mut Widen, bytes: &[u8], _first: u64) -> Summary {
    if dtype.is_integer() {
        let mut summary = levels::moments_f64(level, &integers::widen(dtype, bytes));
        integers::exact_extremes(dtype, bytes, &mut summary);
        return summary;
    }
    match widen.values(bytes) {
        Values::F32Bytes(bytes) => levels::moments_f32_bytes(level, bytes),
        Values::F32(values) => levels::moments_f32(level, values),
        Values::F64Bytes(bytes) => levels::moments_f64_bytes(level, bytes),
    }
}

/// Adds one block to a histogram.
pub(crate) fn count(level: Level, values: &Values<'_>, histogram: &mut Histogram) {
    let tables = match values {
        Values::F64Bytes(bytes) => return bins::count_f64(bytes, histogram),
        Values::F32Bytes(bytes) => levels::bins_f32_bytes(level, bytes, bins::Edges::of(histogram)),
        Values::F32(values) => levels::bins_f32(level, values, bins::Edges::of(histogram)),
    };
    tables.add_to(histogram);
    if tables.has_subnormals_or_zeros() {
        match values {
            Values::F32Bytes(bytes) => {
                bins::count_subnormals(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)), histogram);
            }
            Values::F32(values) => bins::count_subnormals(values.iter().copied(), histogram),
            Values::F64Bytes(_) => {}
        }
    }
}

/// Adds one block to a loss.
pub(crate) fn survive(level: Level, values: &Values<'_>, survival: &mut Survival) {
    match (values, rounding::Target::of(survival.format)) {
        (Values::F32Bytes(bytes), Some(to)) => levels::rounding_f32_bytes(level, bytes, to).add_to(survival),
        (Values::F32(values), Some(to)) => levels::rounding_f32(level, values, to).add_to(survival),
        (Values::F64Bytes(bytes), _) => {
            rounding::exact(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)), survival);
        }
        (Values::F32Bytes(bytes), None) => {
            rounding::exact(bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))), survival);
        }
        (Values::F32(values), None) => rounding::exact(values.iter().map(|&x| f64::from(x)), survival),
    }
}
