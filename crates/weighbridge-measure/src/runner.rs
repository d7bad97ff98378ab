//! Runs the passes over many tensors: all cores, flat memory, the same bits for any split.

use std::ops::Range;

use rayon::prelude::*;
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::{BLOCK, Class, Error, Layout, Limits, Place, Result, Tensor, View, element_count};

use crate::histogram::Histogram;
use crate::kernels::{self, Level};
use crate::merge::{Merge, Tree};
use crate::summary::Summary;
use crate::survival::Survival;
use crate::widen::Widen;

/// Blocks in a task: a power of two, so that the merge tree does not depend on the split.
const TASK: u64 = 64;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// Also the second pass.
    pub histogram: bool,
    /// Formats whose loss is measured with the second pass.
    pub survival: &'a [FloatFormat],
    /// How far views may repeat their storage.
    pub limits: Limits,
    /// The instruction set to use.
    pub level: Level,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options { histogram: false, survival: &[], limits: Limits::default(), level: Level::detect() }
    }
}

/// Figures of a tensor.
#[derive(Debug, Clone)]
pub struct Measured {
    /// `None` for complex and opaque elements.
    pub summary: Option<Summary>,
    /// Where it was asked for.
    pub histogram: Option<Histogram>,
    /// One for each format that was asked for, in that order.
    pub survival: Vec<Survival>,
}

/// Measures each tensor; one that cannot be read does not keep the others from it. `progress` is told the
/// bytes that each pass has done, scaled so that a tensor's passes add up to its bytes.
pub fn measure(tensors: &[&Tensor], options: &Options<'_>, progress: &(dyn Fn(u64) + Sync)) -> Vec<Result<Measured>> {
    tensors.par_iter().map(|tensor| one(tensor, options, progress)).collect()
}

fn one(tensor: &Tensor, options: &Options<'_>, progress: &(dyn Fn(u64) + Sync)) -> Result<Measured> {
    if matches!(tensor.dtype.class(), Class::Complex | Class::Opaque) {
        return Ok(Measured { summary: None, histogram: None, survival: Vec::new() });
    }
    let (distinct, factor) = without_broadcast(tensor);
    check_expansion(&distinct, &options.limits)?;
    let second = options.histogram || !options.survival.is_empty();
    let told = |passes: u64| move |bytes: u64| progress(bytes / passes);
    let tell = told(if second { 2 } else { 1 });
    let level = options.level;
    let summary = run(&distinct, &tell, || Summary::default(), |widen, bytes, first| {
        kernels::summarize(level, distinct.dtype, widen, bytes, first)
    })?;
    if !second {
        return Ok(Measured { summary: Some(summary.repeated(factor)), histogram: None, survival: Vec::new() });
    }
    let wide = distinct.dtype == weighbridge_model::DType::F64;
    let empty = Second {
        histogram: options.histogram.then(|| Histogram::over(&summary, wide)),
        survival: options.survival.iter().map(|&f| Survival::new(f)).collect(),
    };
    let second = run(&distinct, &tell, || empty.clone(), |widen, bytes, _| {
        let mut block = empty.clone();
        let values = widen.values(bytes);
        if let Some(histogram) = &mut block.histogram {
            kernels::count(level, &values, histogram);
        }
        for survival in &mut block.survival {
            kernels::survive(level, &values, survival);
        }
        block
    })?;
    Ok(Measured {
        summary: Some(summary.repeated(factor)),
        histogram: second.histogram.map(|h| h.repeated(factor)),
        survival: second.survival.into_iter().map(|s| s.repeated(factor)).collect(),
    })
}

/// What the second pass gathers.
#[derive(Clone)]
struct Second {
    histogram: Option<Histogram>,
    survival: Vec<Survival>,
}

impl Merge for Second {
    fn merge(&mut self, other: &Self) {
        if let (Some(a), Some(b)) = (&mut self.histogram, &other.histogram) {
            a.merge(b);
        }
        self.survival.iter_mut().zip(&other.survival).for_each(|(a, b)| a.merge(b));
    }
}

/// Applies `leaf` to every block and merges the results by the fixed tree.
fn run<T: Merge + Send>(
    tensor: &Tensor,
    progress: &(dyn Fn(u64) + Sync),
    empty: impl Fn() -> T,
    leaf: impl Fn(&mut Widen, &[u8], u64) -> T + Sync,
) -> Result<T> {
    let count = tensor.count();
    let fold = |range: Range<u64>| -> Result<Option<T>> {
        let mut tree = Tree::new();
        let mut widen = Widen::new(tensor.dtype);
        tensor.visit(range, &mut |chunk| {
            tree.push(leaf(&mut widen, chunk.bytes, chunk.first));
            progress(chunk.bytes.len() as u64);
            Ok(())
        })?;
        Ok(tree.finish())
    };
    let task = TASK * BLOCK;
    if count <= task || !tensor.storage.can_seek() {
        return Ok(fold(0..count)?.unwrap_or_else(empty));
    }
    let tasks = count.div_ceil(task);
    let contiguous = tensor.layout.view().is_some_and(|v| v.is_contiguous(&tensor.shape));
    let results: Vec<Option<T>> = (0..tasks)
        .into_par_iter()
        .map(|t| {
            let range = t * task..count.min((t + 1) * task);
            if contiguous {
                let at = |element: u64| tensor.storage_offset() + element * u64::from(tensor.dtype.bits()) / 8;
                tensor.storage.will_need(at(range.start)..at(range.end));
            }
            fold(range)
        })
        .collect::<Result<_>>()?;
    let mut tree = Tree::new();
    results.into_iter().flatten().for_each(|t| tree.push(t));
    Ok(tree.finish().unwrap_or_else(empty))
}

/// The tensor without its broadcast (stride 0) dimensions, and how often each of its elements stands.
fn without_broadcast(tensor: &Tensor) -> (Tensor, u64) {
    let Layout::Strided(view) = &tensor.layout else { return (tensor.clone(), 1) };
    let repeats = |n: u64, stride: i64| stride == 0 && n > 1;
    if tensor.count() == 0 || !tensor.shape.iter().zip(&view.strides).any(|(&n, &s)| repeats(n, s)) {
        return (tensor.clone(), 1);
    }
    let kept = || tensor.shape.iter().zip(&view.strides).filter(|(n, s)| !repeats(**n, **s));
    let shape: Vec<u64> = kept().map(|(n, _)| *n).collect();
    let strides = kept().map(|(_, s)| *s).collect();
    let factor = tensor.count() / element_count(&shape).unwrap_or(1).max(1);
    let layout = Layout::Strided(View { offset: view.offset, strides });
    (Tensor { shape, layout, ..tensor.clone() }, factor)
}

/// Refuses views that repeat their storage so often that reading them through would take forever.
pub(crate) fn check_expansion(tensor: &Tensor, limits: &Limits) -> Result<()> {
    const SLACK: u64 = 1 << 24;
    let width = u64::from(tensor.dtype.bits()).max(1);
    let stored = tensor.storage.len().saturating_mul(8) / width;
    let allowed = stored.saturating_mul(limits.view_expansion).saturating_add(SLACK);
    if tensor.count() <= allowed {
        return Ok(());
    }
    let what = "elements of a view that repeats its storage";
    Err(Error::Limit { place: Place::default().tensor(&tensor.name), what, asked: tensor.count(), allowed })
}
