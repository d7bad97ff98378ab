//! Which passes a tensor needs, and what they come to.

use std::ops::Range;

use rayon::prelude::*;
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::{Class, DType, Limits, Result, Tensor};

use crate::codes::{Codes, Figures};
use crate::histogram::Histogram;
use crate::kernels::{Level, Measure};
use crate::passes::{First, Second};
use crate::summary::Summary;
use crate::survival::Survival;
use crate::views::{check_expansion, without_broadcast};
use crate::walk::walk;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Also the histogram, in a second pass.
    pub histogram: bool,
    /// Formats whose loss is measured with the second pass.
    pub survival: &'a [FloatFormat],
    /// How far views may repeat their storage.
    pub limits: Limits,
    /// The instruction set to use; by default, what [`Level::detect`] says.
    pub level: Level,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { histogram: false, survival: &[], limits: Limits::default(), level: Level::detect() }
    }
}

/// Figures of a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// `None` for complex and opaque elements.
    pub summary: Option<Summary>,
    /// Where it was asked for.
    pub histogram: Option<Histogram>,
    /// One for each format that was asked for, in that order.
    pub survival: Vec<Survival>,
}

/// Measures each tensor; one that cannot be read does not keep the others from it. `progress` is told
/// bytes that are done: for each tensor that can be read, its [`Tensor::bytes`] in all, however many passes
/// it takes.
pub fn measure(
    tensors: &[&Tensor],
    options: &Options<'_>,
    progress: &(dyn Fn(u64) + Sync),
) -> Vec<Result<Measured>> {
    tensors.par_iter().map(|tensor| one(tensor, options, progress)).collect()
}

fn one(tensor: &Tensor, options: &Options<'_>, progress: &(dyn Fn(u64) + Sync)) -> Result<Measured> {
    if matches!(tensor.dtype.class(), Class::Complex | Class::Opaque) {
        progress(tensor.bytes());
        return Ok(Measured { summary: None, histogram: None, survival: Vec::new() });
    }
    let (distinct, factor) = without_broadcast(tensor);
    check_expansion(&distinct, &options.limits)?;
    let run = Run { tensor: &distinct, bytes: tensor.bytes(), options, progress };
    let measured = match tensor.dtype {
        d if d.chunk_bytes() == 1 => run.codes(),
        DType::F64 => run.values::<f64>(),
        _ => run.values::<f32>(),
    }?;
    Ok(Measured {
        summary: measured.summary.map(|s| s.repeated(factor)),
        histogram: measured.histogram.map(|h| h.repeated(factor)),
        survival: measured.survival.into_iter().map(|s| s.repeated(factor)).collect(),
    })
}

/// The passes over one tensor.
struct Run<'a> {
    tensor: &'a Tensor,
    /// What its passes report in all.
    bytes: u64,
    options: &'a Options<'a>,
    progress: &'a (dyn Fn(u64) + Sync),
}

impl Run<'_> {
    fn codes(&self) -> Result<Measured> {
        let figures = Figures::of(self.tensor.dtype, &walk(self.tensor, &Codes, &self.told(0, 1))?);
        let summary = figures.summary();
        Ok(Measured {
            histogram: self.options.histogram.then(|| figures.histogram(&summary)),
            survival: self.options.survival.iter().map(|&format| figures.survival(format)).collect(),
            summary: Some(summary),
        })
    }

    fn values<T: Measure>(&self) -> Result<Measured> {
        let Options { level, histogram, survival, .. } = *self.options;
        let passes = if histogram || !survival.is_empty() { 2 } else { 1 };
        let dtype = self.tensor.dtype.in_chunks();
        let summary = walk(self.tensor, &First { level, dtype }, &self.told(0, passes))?;
        if passes == 1 {
            return Ok(Measured { summary: Some(summary), histogram: None, survival: Vec::new() });
        }
        let second = Second::<T>::of(level, dtype, &summary, histogram, survival);
        let (histogram, survival) = second.figures(walk(self.tensor, &second, &self.told(1, passes))?);
        Ok(Measured { summary: Some(summary), histogram, survival })
    }

    /// Tells elements that one of the passes has done as their share of all bytes: shares of neighbouring
    /// runs add up to that of both, so that nothing is lost to rounding.
    fn told(&self, pass: u64, passes: u64) -> impl Fn(Range<u64>) + Sync {
        let count = u128::from(self.tensor.count());
        let share = move |done: u64| {
            let done = u128::from(pass) * count + u128::from(done);
            (u128::from(self.bytes) * done / (u128::from(passes) * count)) as u64
        };
        move |range| (self.progress)(share(range.end) - share(range.start))
    }
}
