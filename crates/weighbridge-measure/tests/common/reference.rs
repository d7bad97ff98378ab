//! Figures found the slow and plain way.

use weighbridge_measure::{Measured, Number};
use weighbridge_model::{Class, DType, Tensor};

use super::values;

/// A sum whose rounding errors are summed as well (Neumaier).
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0f64, 0.0);
    for x in values {
        let next = sum + x;
        lost += if sum.abs() >= x.abs() { sum - next + x } else { x - next + sum };
        sum = next;
    }
    sum + lost
}

/// Holds figures against plain ones of the same elements.
pub fn check(t: &Tensor, measured: &Measured) {
    let (floats, integers) = values(t);
    let finite: Vec<f64> = floats.iter().copied().filter(|x| x.is_finite()).collect();
    let s = measured.summary.as_ref().expect("numbers");
    let count = |f: &dyn Fn(&f64) -> bool| floats.iter().filter(|x| f(x)).count() as u64;
    assert_eq!(s.count, floats.len() as u64);
    assert_eq!(s.nan, count(&|x| x.is_nan()));
    assert_eq!(s.inf, count(&|x| x.is_infinite()));
    assert_eq!(s.zero, count(&|x| *x == 0.0));
    if t.dtype.is_integer() {
        let whole = || integers.iter().map(|i| i.expect("whole"));
        let int = |i: Option<i128>| i.map(Number::Int);
        assert_eq!(s.min, int(whole().min()));
        assert_eq!(s.max, int(whole().max()));
        assert_eq!(s.abs_min, int(whole().map(i128::abs).min()));
        assert_eq!(s.abs_min_nonzero, int(whole().map(i128::abs).filter(|i| *i > 0).min()));
        assert_eq!(s.abs_max, int(whole().map(i128::abs).max()));
    } else {
        let float = |x: Option<f64>| x.map(Number::Float);
        let magnitudes = || finite.iter().map(|x| x.abs());
        assert_eq!(s.min, float(finite.iter().copied().reduce(f64::min)));
        assert_eq!(s.max, float(finite.iter().copied().reduce(f64::max)));
        assert_eq!(s.abs_min, float(magnitudes().reduce(f64::min)));
        assert_eq!(s.abs_min_nonzero, float(magnitudes().filter(|x| *x > 0.0).reduce(f64::min)));
        assert_eq!(s.abs_max, float(magnitudes().reduce(f64::max)));
    }
    check_moments(&finite, s.mean, s.std());
    check_histogram(t, &floats, measured);
    // Wide integers are cast from f32, as they are binned.
    let single = |x: &f64| if t.dtype.is_integer() { f64::from(*x as f32) } else { *x };
    let cast: Vec<f64> = finite.iter().map(single).collect();
    for survival in measured.survival.iter().filter(|_| t.dtype.bits() < 64 || t.dtype.is_float()) {
        check_survival(&cast, survival);
    }
}

fn check_moments(finite: &[f64], mean: f64, std: f64) {
    let largest = finite.iter().fold(0.0f64, |a, x| a.max(x.abs()));
    if largest == 0.0 {
        assert_eq!((mean, std), (0.0, 0.0));
        return;
    }
    // In units of the largest value: nothing overflows, and what vanishes would not have counted.
    let scaled = || finite.iter().map(|x| x / largest);
    let n = finite.len() as f64;
    let true_mean = sum(scaled()) / n;
    let true_std = (sum(scaled().map(|x| (x - true_mean) * (x - true_mean))) / n).sqrt();
    let mean_magnitude = sum(scaled().map(f64::abs)) / n;
    // Near the least subnormal the figures themselves are only as fine as it.
    let (mean_error, std_error) = ((mean / largest - true_mean).abs(), (std / largest - true_std).abs());
    let grain = f64::from_bits(1) / largest;
    assert!(
        mean_error <= 1e-12 * mean_magnitude + grain,
        "mean {mean}: {mean_error:e} of {mean_magnitude:e}"
    );
    assert!(std_error <= 1e-12 * true_std.max(1.0) + grain, "std {std}: {std_error:e}");
}

fn check_histogram(t: &Tensor, floats: &[f64], measured: &Measured) {
    let h = measured.histogram.as_ref().expect("was asked for");
    let finite = || floats.iter().filter(|x| x.is_finite()).map(|x| x.abs());
    let (low, high, counts) = if t.dtype == DType::F64 {
        histc_f64(&finite().collect::<Vec<_>>())
    } else {
        // 64-bit integers are rounded once, to f32.
        let (_, integers) = values(t);
        let single = floats.iter().zip(&integers).map(|(&x, i)| match (t.dtype.class(), i) {
            (Class::Signed | Class::Unsigned, Some(i)) => *i as f32,
            _ => x as f32,
        });
        histc_f32(&single.filter(|x| x.is_finite()).map(f32::abs).collect::<Vec<_>>())
    };
    assert_eq!((h.low, h.high), (low, high));
    assert_eq!(h.counts.to_vec(), counts);
    let mut exponents = std::collections::BTreeMap::new();
    if t.dtype.bits() < 64 || t.dtype == DType::F64 {
        for x in finite().filter(|x| *x > 0.0) {
            // Integers' exponents are those of the f32 that is counted.
            let x = if t.dtype == DType::F64 { x } else { f64::from(x as f32) };
            *exponents.entry(exponent(x)).or_insert(0) += 1;
        }
        assert_eq!(h.exponents().collect::<Vec<_>>(), exponents.into_iter().collect::<Vec<_>>());
    }
}

/// `floor(log2 x)`, by comparison with powers of two.
fn exponent(x: f64) -> i32 {
    let mut at = (0, 1.0f64);
    while at.1 > x {
        at = (at.0 - 1, at.1 / 2.0);
    }
    while at.1 * 2.0 <= x {
        at = (at.0 + 1, at.1 * 2.0);
    }
    at.0
}

/// torch.histc with 100 bins over finite magnitudes.
fn histc_f32(magnitudes: &[f32]) -> (f64, f64, Vec<u64>) {
    let mut low = magnitudes.iter().copied().reduce(f32::min).unwrap_or(0.0);
    let mut high = magnitudes.iter().copied().reduce(f32::max).unwrap_or(0.0);
    if low == high {
        // By 1, or by as little as can be told apart.
        low = (low - 1.0).min(low.next_down());
        high = (high + 1.0).max(high.next_up());
        high = if high.is_finite() { high } else { low.next_up() };
    }
    let mut counts = vec![0; 100];
    for &x in magnitudes {
        let mut bin = if ((high - low) * 100.0).is_finite() {
            ((x - low) * 100.0 / (high - low)).trunc() as i64
        } else {
            let (x, low, high) = (f64::from(x), f64::from(low), f64::from(high));
            ((x - low) * 100.0 / (high - low)).trunc() as i64
        };
        if bin == 100 || low == high {
            bin = 99;
        }
        counts[bin as usize] += 1;
    }
    (f64::from(low), f64::from(high), counts)
}

fn histc_f64(magnitudes: &[f64]) -> (f64, f64, Vec<u64>) {
    let mut low = magnitudes.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let mut high = magnitudes.iter().copied().reduce(f64::max).unwrap_or(0.0);
    if low == high {
        // By 1, or by as little as can be told apart.
        low = (low - 1.0).min(low.next_down());
        high = (high + 1.0).max(high.next_up());
        high = if high.is_finite() { high } else { low.next_up() };
    }
    let mut counts = vec![0; 100];
    // Scaling by a power of two changes no quotient.
    let unit = if ((high - low) * 100.0).is_finite() { 1.0 } else { 1.0 / 4096.0 };
    for &x in magnitudes {
        let position = (x * unit - low * unit) * 100.0 / (high * unit - low * unit);
        let bin = if low == high { 99 } else { (position.trunc() as usize).min(99) };
        counts[bin] += 1;
    }
    (low, high, counts)
}

fn check_survival(finite: &[f64], survival: &weighbridge_measure::Survival) {
    let format = survival.format;
    let largest = finite.iter().fold(0.0f64, |a, x| a.max(x.abs()));
    let (mut overflow, mut to_zero, mut subnormal) = (0, 0, 0);
    let (mut noise, mut signal, mut max_abs, mut max_rel) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
    for x in finite.iter().map(|x| x.abs()).filter(|x| *x > 0.0) {
        let rounded = format.round(x);
        signal += (x / largest) * (x / largest);
        subnormal += u64::from(x < format.min_normal());
        if rounded.is_infinite() {
            overflow += 1;
            continue;
        }
        to_zero += u64::from(rounded == 0.0);
        let error = (x - rounded).abs();
        noise += (error / largest) * (error / largest);
        max_abs = max_abs.max(error);
        max_rel = max_rel.max(error / x);
    }
    assert_eq!(survival.overflow, overflow, "{} overflow", format.name);
    assert_eq!(survival.to_zero, to_zero, "{} to zero", format.name);
    assert_eq!(survival.subnormal, subnormal, "{} subnormal", format.name);
    assert_eq!(survival.max_abs_error, max_abs, "{} absolute error", format.name);
    assert!((survival.max_rel_error - max_rel).abs() <= 1e-7 * max_rel, "{} relative error", format.name);
    // Sums that vanish in the reference's unit may yet stand in the other.
    if noise > 1e-290 {
        let db = 10.0 * (signal / noise).log10();
        let got = survival.sqnr_db().unwrap_or(f64::INFINITY);
        assert!((got - db).abs() < 1e-6, "{}: {got} dB for {db}", format.name);
    }
}
