//! Whether weights survive a number format, judged by the error that rounding causes.
//!
//! Tiny numbers that vanish are harmless beside large ones of the same tensor: what counts is the noise that
//! rounding adds relative to the signal (SQNR = 10 log10(Σx² / Σ(x - round(x))²)), and whether anything
//! leaves the range.

use weighbridge_measure::{Summary, Survival};
use weighbridge_model::{Finding, Role, Severity, Tensor, TensorId, Value};

/// At least this SQNR is fine: 40 dB is an RMS error of 1 % of the tensor's RMS, about what INT8 costs a
/// well-scaled layer. Sound FP16 rounding gives some 73 dB, BF16 55 dB.
pub(crate) const FINE_DB: f64 = 40.0;
/// Below this SQNR (an RMS error of 10 %) a tensor is not what it was.
pub(crate) const UNSAFE_DB: f64 = 20.0;

/// What a format does to a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Use it.
    Fine,
    /// Measure the outputs before you do.
    Watch,
    /// Keep this tensor wider, or rescale it.
    Unsafe,
}

impl Verdict {
    /// The JSON contract's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Fine => "fine",
            Verdict::Watch => "watch",
            Verdict::Unsafe => "unsafe",
        }
    }
}

/// The judgement on one tensor for one target format.
#[derive(Debug, Clone)]
pub struct Precision {
    /// The tensor.
    pub tensor: TensorId,
    /// Name of the format (`f16`, `bf16`).
    pub target: &'static str,
    /// The output channel that the figures are over; `None` for the whole tensor.
    pub channel: Option<u64>,
    /// What was folded into the tensor before it was judged, for people.
    pub folded: Option<String>,
    /// The figures behind it.
    pub survival: Survival,
    /// 10 log10(signal / noise); `None` where rounding changes nothing.
    pub sqnr_db: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
    /// One sentence on why.
    pub why: String,
}

/// The least epsilon that frameworks add to a variance, by default: 1e-5 in PyTorch and Caffe, 1e-3 in Keras.
const EPSILON: f64 = 1e-5;

/// Judges one tensor. `None` where there is nothing to judge: integers, packed codes, optimizer state. What
/// is stored in the format already is kept exactly, and fine. Blocks are judged by the values that they stand for. `weight` is the largest magnitude of the weight
/// in the tensor's layer, where there is one: a bias counts beside it.
pub fn judge(
    tensor: &Tensor,
    summary: &Summary,
    survival: &Survival,
    weight: Option<f64>,
) -> Option<Precision> {
    judge_beside(tensor, summary, survival, beside(tensor, weight))
}

/// As [`judge`], of a tensor beside something of this magnitude, for people too.
pub(crate) fn judge_beside(
    tensor: &Tensor,
    summary: &Summary,
    survival: &Survival,
    beside: Option<(f64, String)>,
) -> Option<Precision> {
    let judged = matches!(tensor.role, Role::Parameter | Role::Buffer | Role::Constant);
    if !judged || !tensor.dtype.is_float() || summary.count == 0 {
        return None;
    }
    let target = survival.format.name;
    let largest = summary.abs_max.map_or(0.0, weighbridge_measure::Number::to_f64);
    // What went to infinity has no noise in decibels.
    let sqnr_db = if survival.overflow > 0 { None } else { survival.sqnr_db() };
    let (verdict, why) = if survival.overflow > 0 {
        let max = survival.format.max_finite();
        (
            Verdict::Unsafe,
            format!(
                "{} to infinity: the largest magnitude is {}, {target} ends at {}",
                values(survival.overflow, "goes", "go"),
                magnitude(largest),
                magnitude(max)
            ),
        )
    } else {
        let drowned = beside
            .and_then(|(size, what)| (survival.max_abs_error <= coarse(survival, size)).then_some(what));
        match (sqnr_db, drowned) {
            (None, _) => (Verdict::Fine, "every value is kept exactly".to_owned()),
            (Some(db), Some(beside)) if db < FINE_DB => (
                Verdict::Fine,
                format!("small (largest {}), and harmless beside {beside}", magnitude(largest)),
            ),
            (Some(db), _) if db < UNSAFE_DB => (
                Verdict::Unsafe,
                format!(
                    "rounding leaves {db:.1} dB: the whole tensor is small (largest {})",
                    magnitude(largest)
                ),
            ),
            (Some(db), _) if db < FINE_DB => (
                Verdict::Watch,
                format!("rounding costs precision: {db:.1} dB are left (largest {})", magnitude(largest)),
            ),
            (Some(db), _) if survival.to_zero > 0 => (
                Verdict::Fine,
                format!(
                    "{}, harmless beside the largest of {}: {db:.1} dB are left",
                    values(survival.to_zero, "vanishes", "vanish"),
                    magnitude(largest)
                ),
            ),
            (Some(db), _) => (Verdict::Fine, format!("{db:.1} dB are left")),
        }
    };
    let why = if tensor.dtype.block().is_some() {
        format!("dequantized from {}: {why}", tensor.dtype)
    } else {
        why
    };
    Some(Precision {
        tensor: tensor.id,
        target,
        channel: None,
        folded: None,
        survival: survival.clone(),
        sqnr_db,
        verdict,
        why,
    })
}

/// Half a step of the format at this magnitude.
fn coarse(survival: &Survival, size: f64) -> f64 {
    size * 0.5f64.powi(survival.format.mantissa_bits as i32 + 1)
}

/// What the error of a small bias or running variance drowns in: beside it stands something that rounds more
/// coarsely, or an epsilon.
pub(crate) fn beside(tensor: &Tensor, weight: Option<f64>) -> Option<(f64, String)> {
    let last = tensor.name.rsplit('.').next().unwrap_or_default();
    match last {
        "bias" => Some(beside_weight(weight?)),
        "running_var" => Some((EPSILON, format!("the epsilon of {EPSILON:e} that is added"))),
        _ => None,
    }
}

/// A bias beside its layer's largest weight.
pub(crate) fn beside_weight(weight: f64) -> (f64, String) {
    (weight, format!("its layer's largest weight of {}", magnitude(weight)))
}

pub(crate) fn values(n: u64, verb: &str, plural: &str) -> String {
    if n == 1 { format!("1 value {verb}") } else { format!("{n} values {plural}") }
}

/// A magnitude as people write it: 65504, 0.95, 3.39e38.
pub(crate) fn magnitude(x: f64) -> String {
    if x == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e6).contains(&x.abs()) {
        let text = format!("{x:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{x:.2e}")
    }
}

/// The judgement as a finding, where it is worth one.
pub fn precision_findings(tensor: &Tensor, precision: &Precision) -> Option<Finding> {
    let finding = match precision.verdict {
        Verdict::Fine => return None,
        Verdict::Unsafe if precision.survival.overflow > 0 => Finding::new(
            "P101",
            Severity::Error,
            format!("does not survive {}: {}", precision.target, precision.why),
            "keep this tensor in f32 or bf16, or scale it down and its consumer up",
        ),
        Verdict::Unsafe => Finding::new(
            "P102",
            Severity::Error,
            format!("does not survive {}: {}", precision.target, precision.why),
            "keep this tensor wider, or scale it up and its consumer down",
        ),
        Verdict::Watch => Finding::new(
            "P103",
            Severity::Warning,
            format!("loses precision in {}: {}", precision.target, precision.why),
            "compare outputs before and after the cast",
        ),
    };
    let count = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    Some(
        finding
            .with_tensor(&tensor.name)
            .with_target(precision.target)
            .with_figure("overflow", count(precision.survival.overflow))
            .with_figure("to_zero", count(precision.survival.to_zero))
            .with_figure("sqnr_db", precision.sqnr_db.map_or(Value::Null, Value::Float)),
    )
}
