//! Elements of one byte: one pass counts the codes, and every figure follows from the counts.

use weighbridge_model::DType;
use weighbridge_model::dtype::{self, FloatFormat, exponent};

use crate::histogram::{Histogram, scale_of};
use crate::summary::{Number, Summary};
use crate::survival::Survival;
use crate::tally::{Counts, Tally};
use crate::walk::Pass;

/// The only pass over elements of one byte.
pub(crate) struct Codes;

impl Pass for Codes {
    type Task = Tally<256, 8>;
    type Out = Counts;

    fn start(&self) -> Self::Task {
        Tally::new()
    }

    fn block(&self, task: &mut Self::Task, bytes: &[u8]) {
        let tables = task.tables(bytes.len());
        let (groups, rest) = bytes.as_chunks::<8>();
        for group in groups {
            let group = u64::from_le_bytes(*group);
            for (lane, table) in tables.iter_mut().enumerate() {
                table[usize::from((group >> (8 * lane)) as u8)] += 1;
            }
        }
        for &code in rest {
            tables[0][usize::from(code)] += 1;
        }
    }

    fn finish(&self, task: Self::Task) -> Counts {
        task.finish()
    }
}

/// Values and how often each stands, finite ones by magnitude, and what is not finite.
pub(crate) struct Figures {
    dtype: DType,
    nan: u64,
    inf: u64,
    values: Vec<(f64, u64)>,
}

impl Figures {
    pub(crate) fn of(dtype: DType, codes: &Counts) -> Self {
        let mut figures = Figures { dtype, nan: 0, inf: 0, values: Vec::new() };
        for (code, n) in codes.iter().filter(|(_, n)| *n > 0) {
            match dtype::to_f64(dtype, &[code as u8]) {
                x if x.is_nan() => figures.nan += n,
                x if x.is_infinite() => figures.inf += n,
                x => figures.values.push((x, n)),
            }
        }
        figures.values.sort_by(|(a, _), (b, _)| a.abs().total_cmp(&b.abs()));
        figures
    }

    pub(crate) fn summary(&self) -> Summary {
        let values = || self.values.iter().copied();
        let finite: u64 = values().map(|(_, n)| n).sum();
        let n = finite.max(1) as f64;
        let mean = values().map(|(x, n)| x * n as f64).sum::<f64>() / n;
        // Adding +0 turns -0 into +0.
        let number =
            |x: f64| if self.dtype.is_integer() { Number::Int(x as i128) } else { Number::Float(x + 0.0) };
        let nonzero = values().find(|(x, _)| *x != 0.0);
        Summary {
            count: finite + self.nan + self.inf,
            nan: self.nan,
            inf: self.inf,
            zero: values().filter(|(x, _)| *x == 0.0).map(|(_, n)| n).sum(),
            min: values().map(|(x, _)| x).reduce(f64::min).map(number),
            max: values().map(|(x, _)| x).reduce(f64::max).map(number),
            abs_min: self.values.first().map(|(x, _)| number(x.abs())),
            abs_min_nonzero: nonzero.map(|(x, _)| number(x.abs())),
            abs_max: self.values.last().map(|(x, _)| number(x.abs())),
            mean,
            m2: values().map(|(x, n)| (x - mean) * (x - mean) * n as f64).sum(),
            ..Summary::default()
        }
    }

    pub(crate) fn histogram(&self, summary: &Summary) -> Histogram {
        let scale = scale_of::<f32>(summary);
        let mut histogram = Histogram::over(&scale);
        for &(x, n) in &self.values {
            histogram.counts[scale.index(x.abs() as f32)] += n;
            if x != 0.0 {
                histogram.add_exponent(exponent(x), n);
            }
        }
        histogram
    }

    pub(crate) fn survival(&self, format: FloatFormat) -> Survival {
        let mut survival = Survival::new(format);
        for (x, n) in self.values.iter().map(|&(x, n)| (x.abs(), n)).filter(|(x, _)| *x > 0.0) {
            let rounded = format.round(x);
            survival.signal += x * x * n as f64;
            survival.subnormal += if x < format.min_normal() { n } else { 0 };
            if rounded > format.max_finite() {
                survival.overflow += n;
                continue;
            }
            survival.to_zero += if rounded == 0.0 { n } else { 0 };
            let error = (x - rounded).abs();
            survival.noise += error * error * n as f64;
            survival.max_abs_error = survival.max_abs_error.max(error);
            survival.max_rel_error = survival.max_rel_error.max(error / x);
        }
        survival
    }
}
