//! What is allowed to an element, and what a pair is called that keeps to it.

use weighbridge_measure::{Compared, compare, compare_runs, identical};
use weighbridge_model::dtype::{FloatFormat, push, to_f64};
use weighbridge_model::{BlockType, DType, Layout, Result, Tensor};

use super::pair::{Figures, Relation};
use super::side::is_coded;

/// Roundings that computing a folded element may take, each of half a unit of F32: square root, quotient, products and
/// sums in F32, in whatever order, on values that are as large as the largest of the terms.
const ROUNDINGS: f64 = 16.0;
const HALF_UNIT: f64 = 1.0 / (1 << 24) as f64;
/// Least difference that F32 tells.
const LEAST: f64 = 1.5e-45;

/// Share of a step that an error may be where codes are rounded to nearest, and the scale is.
const NEAREST: f64 = 0.51;
/// Where also a zero point was rounded, or the scale chosen for more than this.
const CHOSEN: f64 = 1.1;

/// What comparing came to.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) relation: Relation,
    pub(super) figures: Option<Figures>,
}

impl Judged {
    pub(super) fn holds(&self) -> bool {
        self.relation != Relation::Changed
    }
}

/// Compares a source with what was made of it, which has its shape: the same, cast, quantized, or changed.
///
/// # Errors
/// A failed read.
pub(super) fn judged(source: &Tensor, target: &Tensor) -> Result<Judged> {
    let same = Judged { relation: Relation::Same, figures: Some(Figures::same(target.count())) };
    let decoded_alike = source.layout == target.layout || !is_coded(source) && !is_coded(target);
    if decoded_alike && identical(source, target)? {
        return Ok(same);
    }
    if !source.dtype.is_real() || !target.dtype.is_real() {
        return Ok(Judged { relation: Relation::Changed, figures: None });
    }
    if is_coded(target) && source.dtype.is_float() && !is_coded(source) {
        return quantized(source, target, 0.0);
    }
    let (from, to) = (source.dtype, target.dtype);
    if from == to || is_coded(source) || is_coded(target) {
        let compared = compare(source, target, &|_, _, _| 0.0)?;
        let relation = if compared.unequal == 0 { Relation::Same } else { Relation::Changed };
        return Ok(Judged { relation, figures: Some(Figures::of(&compared, &target.shape)) });
    }
    let forward = |_, x, y| if rounded(to, x) == y { f64::INFINITY } else { 0.0 };
    let backward = |_, x, y| if rounded(from, y) == x { f64::INFINITY } else { 0.0 };
    let compared = if to.bits() <= from.bits() {
        compare(source, target, &forward)?
    } else {
        compare(source, target, &backward)?
    };
    let relation = if compared.off == 0 { Relation::Cast } else { Relation::Changed };
    Ok(Judged { relation, figures: Some(Figures::of(&compared, &target.shape)) })
}

/// Nearest value of a type, ties to even.
fn rounded(to: DType, x: f64) -> f64 {
    if to == DType::F32 {
        return f64::from(x as f32);
    }
    if matches!(to, DType::F16 | DType::BF16)
        && let Some(format) = FloatFormat::of(to)
    {
        return format.round(x);
    }
    // As wide as the widest type.
    let mut bytes = Vec::with_capacity(8);
    push(to, x, &mut bytes);
    to_f64(to, &bytes)
}

/// Compares what was computed from several tensors with what is there. `terms` is the largest of the terms that an
/// element is a sum of, where it is one: what cancels leaves the rounding of what was there.
///
/// # Errors
/// A failed read.
pub(super) fn computed(expected: &Tensor, target: &Tensor, terms: Option<&[f64]>) -> Result<Judged> {
    let term = |index: u64, x: f64| terms.map_or(x.abs(), |terms| terms[index as usize % terms.len()]);
    if is_coded(target) {
        return quantized(expected, target, ROUNDINGS * HALF_UNIT);
    }
    let (unit, least) = units(target.dtype);
    let allow =
        |index, x: f64, _| ROUNDINGS * HALF_UNIT * term(index, x) + (unit * x.abs()).max(least) + LEAST;
    let compared = compare(expected, target, &allow)?;
    let relation = if compared.off == 0 { Relation::Folded } else { Relation::Changed };
    Ok(Judged { relation, figures: Some(Figures::of(&compared, &target.shape)) })
}

/// Half a unit of a type that is narrower than F32, relative to the value, and of its subnormal values; 0 for others.
fn units(dtype: DType) -> (f64, f64) {
    match FloatFormat::of(dtype) {
        Some(format) if dtype.bits() < 32 => {
            let one = format.decode(format.encode(1.0) + 1) - 1.0;
            (one / 2.0, format.min_subnormal() / 2.0)
        }
        _ => (0.0, 0.0),
    }
}

/// Compares values with codes for them.
fn quantized(source: &Tensor, target: &Tensor, relative: f64) -> Result<Judged> {
    let (compared, share): (Compared, Option<f64>) = match &target.layout {
        Layout::Quantized { scales, zero_points, axis, .. } => {
            let inner: u64 = axis.map_or(u64::MAX, |a| target.shape[a + 1..].iter().product::<u64>().max(1));
            let share = if zero_points.iter().all(|&z| z == 0) { NEAREST } else { CHOSEN };
            let step = |index: u64| scales[(index / inner % scales.len() as u64) as usize].abs();
            let allow = |index, x: f64, _| share * step(index) + relative * x.abs();
            (compare(source, target, &allow)?, Some(share))
        }
        Layout::Blocks { scheme } => {
            let steps = Steps::of(*scheme);
            let allow = |_, _: &[f64], y: &[f64], allowed: &mut [f64]| steps.fill(y, allowed);
            (compare_runs(source, target, &allow)?, Some(steps.share))
        }
        _ => (compare(source, target, &|_, _, _| 0.0)?, None),
    };
    let mut figures = Figures::of(&compared, &target.shape);
    figures.steps = share.map(|share| compared.max_share * share);
    figures.sqnr_db = Some(compared.sqnr_db()).filter(|db| db.is_finite());
    let relation = if compared.off == 0 { Relation::Quantized } else { Relation::Changed };
    Ok(Judged { relation, figures: Some(figures) })
}

/// The steps of a block type, as far as its values tell them: of elements that share a scale, the largest magnitude
/// is about the largest code's.
struct Steps {
    /// Elements that share a scale.
    run: usize,
    /// Elements that share what scales are scaled by; as many as share a scale where there is no such thing.
    whole: usize,
    /// Codes on either side of zero.
    codes: f64,
    share: f64,
}

impl Steps {
    fn of(scheme: BlockType) -> Self {
        let whole = scheme.elements() as usize;
        let bits = (scheme.bytes() * 8 / scheme.elements()).max(1);
        let run = if whole > 64 { 16 } else { whole };
        // With eight bits the largest code is the largest value's; with fewer, one side has a code more than the other.
        let share = if bits >= 8 { 0.6 } else { CHOSEN };
        Steps { run, whole, codes: ((1u64 << (bits - 1)) as f64 - 1.0).max(0.5), share }
    }

    fn fill(&self, values: &[f64], allowed: &mut [f64]) {
        let largest = |run: &[f64]| run.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        for (values, allowed) in values.chunks(self.whole).zip(allowed.chunks_mut(self.whole)) {
            // Scales of six bits are off by up to a hundredth of the largest.
            let scale = if self.run < self.whole { largest(values) / 64.0 } else { 0.0 };
            for (values, allowed) in values.chunks(self.run).zip(allowed.chunks_mut(self.run)) {
                let step = largest(values) / self.codes + scale;
                allowed.fill(self.share * step);
            }
        }
    }
}
