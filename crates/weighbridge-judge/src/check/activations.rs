//! What a run showed of activations.

use std::collections::HashMap;

use weighbridge_measure::{ByChannel, Measured, Number, Survival};
use weighbridge_model::{Finding, Model, Severity, Value, ValueId};

use super::channels::{list, listed};
use super::consumers::Consumers;
use crate::precision::{FINE_DB, UNSAFE_DB, Verdict, magnitude};

/// Below the format's end by less than this factor, another input may well leave it.
const HEADROOM: f64 = 4.0;

/// Inputs that reach this and are not negative are pixels that nobody divided by 255.
const PIXELS: std::ops::RangeInclusive<f64> = 128.0..=255.0;

/// A value and its figures over a run, with a loss for each target.
#[derive(Debug)]
pub struct Activation {
    /// The value, in the model's graph.
    pub value: ValueId,
    /// Its figures.
    pub measured: Measured,
    /// What each target does to each of its channels; empty where those are not known.
    pub channels: Vec<ByChannel>,
}

/// What a target makes of an activation.
#[derive(Debug)]
pub struct Judged {
    /// Name of the value.
    pub value: String,
    /// The node that makes it; `None` for an input.
    pub node: Option<String>,
    /// That node's operator.
    pub op: Option<String>,
    /// Its figures.
    pub measured: Measured,
    /// The loss in the target.
    pub survival: Survival,
    /// Its channels of which less than 20 dB are left, where the layers that take them would show it.
    pub lost: Vec<u64>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The channels of which a target leaves less than 20 dB; what is zero throughout loses nothing.
pub fn lost_channels(channels: &ByChannel) -> Vec<u64> {
    let lost = |loss: &Survival| loss.overflow == 0 && loss.sqnr_db().is_some_and(|db| db < UNSAFE_DB);
    (0..).zip(&channels.channels).filter(|(_, loss)| lost(loss)).map(|(at, _)| at).collect()
}

impl Judged {
    /// The share of nonzero values that are at most this count.
    pub fn share(&self, count: u64) -> f64 {
        let nonzero = self.measured.summary.as_ref().map_or(0, |s| s.count - s.zero - s.nan - s.inf);
        if nonzero == 0 { 0.0 } else { count as f64 / nonzero as f64 }
    }
}

/// Judges the inputs and activations of a model's graph, in the order of its nodes.
pub fn activations(model: &Model, seen: Vec<Activation>) -> (Vec<Judged>, Vec<Finding>) {
    let Some(graph) = &model.graph else { return Default::default() };
    let consumers = Consumers::of(model);
    let makers: HashMap<ValueId, usize> = (0..)
        .zip(&graph.nodes)
        .flat_map(|(at, node)| node.outputs.iter().flatten().map(move |&value| (value, at)))
        .collect();
    let counts: HashMap<ValueId, (u64, f64)> = seen
        .iter()
        .filter_map(|a| {
            let summary = a.measured.summary.as_ref()?;
            Some((a.value, (summary.count, summary.abs_max.map_or(0.0, Number::to_f64))))
        })
        .collect();
    let (mut judged, mut findings) = (Vec::new(), Vec::new());
    let mut first: HashMap<&'static str, bool> = HashMap::new();
    for activation in seen {
        let node = makers.get(&activation.value).map(|&at| &graph.nodes[at]);
        let name = &graph.value(activation.value).name;
        let Some(summary) = &activation.measured.summary else { continue };
        let largest = summary.abs_max.map_or(0.0, Number::to_f64);
        let about = |finding: Finding| Finding {
            node: node.map(|node| node.name.clone()),
            tensor: Some(name.clone()),
            ..finding
        };
        if summary.nan + summary.inf > 0 {
            let message = format!("{} NaN and {} infinities in F32 already", summary.nan, summary.inf);
            let help =
                "see that the inputs are what the network takes; the first such node is where it begins";
            findings.push(about(Finding::new("A101", Severity::Error, message, help)));
        }
        if node.is_none() {
            let min = summary.min.map_or(0.0, Number::to_f64);
            if min >= 0.0 && PIXELS.contains(&largest) && summary.mean > 8.0 {
                let message = format!(
                    "inputs from {} to {}: pixels that were not normalised",
                    magnitude(min),
                    magnitude(largest)
                );
                let help = "divide by 255, or by mean and deviation, unless the network itself does: sums of such \
                            inputs are what overflows first";
                findings.push(about(
                    Finding::new("A102", Severity::Warning, message, help)
                        .with_figure("mean", Value::Float(summary.mean))
                        .with_figure("max", Value::Float(largest)),
                ));
            }
        }
        for survival in &activation.measured.survival {
            let target = survival.format.name;
            let end = survival.format.max_finite();
            let db = survival.sqnr_db();
            let of_target = |channels: &&ByChannel| {
                channels.channels.first().is_some_and(|loss| loss.format == survival.format)
            };
            let channels = activation.channels.iter().find(of_target);
            let lost =
                channels.map(|c| consumers.shown(activation.value, c, lost_channels(c))).unwrap_or_default();
            let verdict = match db {
                _ if survival.overflow > 0 => Verdict::Unsafe,
                Some(db) if db < UNSAFE_DB => Verdict::Unsafe,
                Some(db) if db < FINE_DB => Verdict::Watch,
                _ if largest * HEADROOM > end || !lost.is_empty() => Verdict::Watch,
                _ => Verdict::Fine,
            };
            let row = Judged {
                value: name.clone(),
                node: node.map(|node| node.name.clone()),
                op: node.map(|node| node.op.clone()),
                measured: activation.measured.clone(),
                survival: survival.clone(),
                lost,
                verdict,
            };
            let made = node.map_or("an input".to_owned(), |node| format!("what {} gives", node.op));
            let add = |code, severity, message: String, help: &str| {
                about(Finding::new(code, severity, message, help).with_target(target))
                    .with_figure("abs_max", Value::Float(largest))
                    .with_figure("overflow", Value::Int(survival.overflow as i64))
                    .with_figure("below_subnormal", Value::Float(row.share(survival.to_zero)))
                    .with_figure("below_normal", Value::Float(row.share(survival.subnormal)))
                    .with_figure("sqnr_db", db.map_or(Value::Null, Value::Float))
            };
            if survival.overflow > 0 {
                let before = first.insert(target, true).is_some();
                let rank = if before { "" } else { ", the first to leave the range" };
                let message = format!(
                    "{made} reaches {}, {target} ends at {}{rank}",
                    magnitude(largest),
                    magnitude(end)
                );
                let help = "keep this node in f32 (weigh convert --precision f16 --keep-unsafe), or scale what comes in";
                findings.push(add("A103", Severity::Error, message, help));
            } else if largest * HEADROOM > end {
                let message = format!(
                    "{made} reaches {}, less than {HEADROOM} times below the end of {target}",
                    magnitude(largest)
                );
                findings.push(add(
                    "A104",
                    Severity::Warning,
                    message,
                    "try inputs that are larger than these",
                ));
            } else if let Some(db) = db.filter(|db| *db < FINE_DB) {
                let code_severity = if db < UNSAFE_DB { Severity::Error } else { Severity::Warning };
                let message = format!(
                    "{made} underflows in {target}: {db:.1} dB are left, {:.0} % of what is not zero vanishes (largest {})",
                    row.share(survival.to_zero) * 100.0,
                    magnitude(largest)
                );
                let help = "keep this node and what takes it in f32, or scale it up";
                findings.push(add("A105", code_severity, message, help));
            } else if !row.lost.is_empty() {
                let message = format!(
                    "{} of {} channels of {made} underflow in {target}: {}",
                    row.lost.len(),
                    channels.map_or(0, |c| c.channels.len()),
                    listed(&row.lost)
                );
                let help = "harmless where the channel is as good as dead; where the next layer scales it up again, move \
                            the scale between both, or keep this node and what takes it in f32";
                let finding = add("A107", Severity::Warning, message, help);
                findings.push(finding.with_figure("channels", list(&row.lost)));
            }
            if let Some(node) = node
                && let Some((sum, what)) = accumulated(node.op.as_str(), largest, summary.count, || {
                    node.inputs.first().copied().flatten().and_then(|value| counts.get(&value).copied())
                })
                && sum > end
                && survival.overflow == 0
            {
                let message =
                    format!("{what} of up to {} inside: {target} ends at {}", magnitude(sum), magnitude(end));
                let help = "see that the engine accumulates in f32, or keep this node in f32";
                findings.push(add("A106", Severity::Warning, message, help));
            }
            judged.push(row);
        }
    }
    (judged, findings)
}

/// The largest that an operator holds inside before it gives `largest`, and what it is.
fn accumulated(
    op: &str,
    largest: f64,
    given: u64,
    taken: impl Fn() -> Option<(u64, f64)>,
) -> Option<(f64, &'static str)> {
    match op {
        "ReduceMean" | "GlobalAveragePool" => {
            let (count, _) = taken()?;
            Some((largest * (count / given.max(1)) as f64, "sums"))
        }
        "LayerNormalization" | "InstanceNormalization" | "GroupNormalization" | "RMSNormalization" => {
            let (_, largest) = taken()?;
            Some((largest * largest, "squares"))
        }
        "ReduceL2" => Some((largest * largest, "sums of squares")),
        _ => None,
    }
}
