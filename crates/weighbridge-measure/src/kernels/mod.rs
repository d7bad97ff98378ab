//! The arithmetic, written once in sixteen fixed lanes and compiled for each instruction set: since rustc
//! never fuses or reorders floating-point operations, every level gives the same bits. They are fused by hand
//! where the product is exact, which changes no bit either.

mod bins;
mod float;
mod integers;
mod level;
mod moments;
mod prefetch;
mod rounding;
mod widen;

use weighbridge_model::DType;
use weighbridge_model::dtype::FloatFormat;

use crate::pairs::Keys;
use crate::summary::Summary;
use crate::survival::Survival;
use crate::tally::Tally;

pub(crate) use bins::{Scale, Wider};
pub(crate) use float::Float;
pub use level::Level;
pub(crate) use rounding::{Columns, Rows};

/// Counts of the keys of values that are binned in f32; see [`Scale`].
pub(crate) type Keys32 = Keys<512, 8>;
/// Counts of the keys of F64 values.
pub(crate) type Keys64 = Keys<4096, 4>;
/// Tables for exponents of subnormal values.
pub(crate) type Subnormals = Tally<64, 1>;

/// Defines `$name(level, …)`, which runs the inlined `$body(…)` compiled for the level, or `$fused(…)` where
/// the level has fused multiply-add.
macro_rules! dispatch {
    ($name:ident = $body:path, ($($arg:ident: $type:ty),*) $(-> $out:ty)?) => {
        dispatch!($name = $body, $body, ($($arg: $type),*) $(-> $out)?);
    };
    ($name:ident = $body:path, $fused:path, ($($arg:ident: $type:ty),*) $(-> $out:ty)?) => {
        pub(super) fn $name(level: Level, $($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
                fn avx512($($arg: $type),*) $(-> $out)? { $fused($($arg),*) }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($arg: $type),*) $(-> $out)? { $fused($($arg),*) }
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
    use super::{Columns, DType, FloatFormat, Keys32, Keys64, Level, Rows, bins, moments, rounding, widen};
    use crate::summary::Summary;

    dispatch!(to_f32 = widen::to_f32, (dtype: DType, bytes: &[u8], out: &mut Vec<[u8; 4]>));
    dispatch!(to_f64 = widen::to_f64, (dtype: DType, bytes: &[u8], out: &mut Vec<[u8; 8]>));
    dispatch!(moments_f32 = moments::block_f32::<false>, moments::block_f32::<true>,
        (values: &[[u8; 4]]) -> Summary);
    dispatch!(moments_f64 = moments::block_f64, (values: &[[u8; 8]]) -> Summary);
    dispatch!(keys_f32 = bins::block,
        (values: &[[u8; 4]], scale: &bins::Scale<f32>, counts: &mut Keys32));
    dispatch!(keys_f64 = bins::block,
        (values: &[[u8; 8]], scale: &bins::Scale<f64>, counts: &mut Keys64));
    dispatch!(loss_f32 = rounding::block_f32, (values: &[[u8; 4]], format: FloatFormat) -> rounding::Loss);
    dispatch!(loss_f64 = rounding::block_f64,
        (values: &[[u8; 8]], format: FloatFormat, power: i32) -> rounding::Loss);
    dispatch!(columns_f32 = rounding::columns_f32,
        (rows: Rows<'_, [u8; 4]>, format: FloatFormat, sums: &mut Columns<f32>));
    dispatch!(columns_f64 = rounding::columns_f64,
        (rows: Rows<'_, [u8; 8]>, format: FloatFormat, power: i32, sums: &mut Columns<f64>));
}

/// Buffers for values that do not stand in the file as they are measured.
#[derive(Default)]
pub(crate) struct Buffers {
    single: Vec<[u8; 4]>,
    double: Vec<[u8; 8]>,
}

impl Buffers {
    /// The values of a block as f32.
    pub(crate) fn f32<'a>(&'a mut self, level: Level, dtype: DType, bytes: &'a [u8]) -> &'a [[u8; 4]] {
        if dtype == DType::F32 {
            return bytes.as_chunks().0;
        }
        levels::to_f32(level, dtype, bytes, &mut self.single);
        &self.single
    }

    fn f64<'a>(&'a mut self, level: Level, dtype: DType, bytes: &'a [u8]) -> &'a [[u8; 8]] {
        if dtype == DType::F64 {
            return bytes.as_chunks().0;
        }
        levels::to_f64(level, dtype, bytes, &mut self.double);
        &self.double
    }
}

/// Figures of one block.
pub(crate) fn summarize(level: Level, dtype: DType, bytes: &[u8], buffers: &mut Buffers) -> Summary {
    let summary = match dtype {
        DType::F64 | DType::I32 | DType::U32 | DType::I64 | DType::U64 => {
            levels::moments_f64(level, buffers.f64(level, dtype, bytes))
        }
        _ => levels::moments_f32(level, buffers.f32(level, dtype, bytes)),
    };
    if dtype.is_integer() { integers::exact_extremes(dtype, bytes, summary) } else { summary }
}

/// A type that the second pass measures values in.
pub(crate) trait Measure: Wider + Send + Sized {
    /// Tables for the keys of its values.
    type Keys: Send;
    fn values<'a>(level: Level, dtype: DType, bytes: &'a [u8], buffers: &'a mut Buffers)
    -> &'a [Self::Bytes];
    /// For values on this scale.
    fn keys(scale: &Scale<Self>) -> Self::Keys;
    fn finish(keys: Self::Keys) -> crate::tally::Counts;
    /// Counts the keys of one block.
    fn count(level: Level, values: &[Self::Bytes], scale: &Scale<Self>, keys: &mut Self::Keys);
    /// What one block loses, in units of 2^power.
    fn survive(level: Level, values: &[Self::Bytes], format: FloatFormat, power: i32) -> Survival;
    /// Adds what the columns of rows lose, in units of 2^power.
    fn survive_apart(
        level: Level,
        rows: Rows<'_, Self::Bytes>,
        format: FloatFormat,
        power: i32,
        sums: &mut Columns<Self>,
    );
}

macro_rules! measure {
    ($float:ident, $keys:ty, $count:ident, ($level:ident, $values:ident, $format:ident, $power:ident, $sums:ident) => $loss:expr, $apart:expr) => {
        impl Measure for $float {
            type Keys = $keys;
            fn values<'a>(
                level: Level,
                dtype: DType,
                bytes: &'a [u8],
                buffers: &'a mut Buffers,
            ) -> &'a [Self::Bytes] {
                buffers.$float(level, dtype, bytes)
            }
            fn keys(scale: &Scale<$float>) -> $keys {
                <$keys>::below(scale.highest_key())
            }
            fn finish(keys: $keys) -> crate::tally::Counts {
                keys.finish()
            }
            fn count(level: Level, values: &[Self::Bytes], scale: &Scale<$float>, keys: &mut $keys) {
                levels::$count(level, values, scale, keys);
            }
            fn survive(
                $level: Level,
                $values: &[Self::Bytes],
                $format: FloatFormat,
                $power: i32,
            ) -> Survival {
                $loss.survival($format)
            }
            fn survive_apart(
                $level: Level,
                $values: Rows<'_, Self::Bytes>,
                $format: FloatFormat,
                $power: i32,
                $sums: &mut Columns<Self>,
            ) {
                $apart;
            }
        }
    };
}

measure!(f32, Keys32, keys_f32, (level, values, format, _power, sums) =>
    levels::loss_f32(level, values, format), levels::columns_f32(level, values, format, sums));
measure!(f64, Keys64, keys_f64, (level, values, format, power, sums) =>
    levels::loss_f64(level, values, format, power), levels::columns_f64(level, values, format, power, sums));

/// Counts the subnormal values of one block by exponent.
pub(crate) fn count_subnormals<T: Float>(values: &[T::Bytes], subnormals: &mut Subnormals) {
    bins::count_subnormals::<T, 64>(values, subnormals.tables(values.len()));
}
