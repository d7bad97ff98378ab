//! Which nodes of a graph have to stay in F32 when the rest goes to a type of 16 bits: what a mixed-precision model
//! keeps.
//!
//! Three sources: constants, measured; activations, as sample inputs showed them; operators whose inner sums go
//! further than what they take and give.

use std::collections::HashMap;

use weighbridge_graph::precision::{Keep, Taken, taken};
use weighbridge_measure::{Options, Survival, measure};
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::{DType, Error, Graph, Model, Result, Tensor, TensorId, ValueId};

use crate::precision::{FINE_DB, UNSAFE_DB, magnitude};

/// An activation must stay this far below the type's end: the next input may be larger than the samples were.
const HEADROOM: f64 = 2.0;
/// From this magnitude on a constant is a limit or a mask: no weight is as large, and `-3.4e38` stands for minus
/// infinity.
const LIMIT: f64 = 1e9;

/// What an activation was, over sample inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its value in the graph.
    pub value: ValueId,
    /// Largest finite magnitude.
    pub abs_max: f64,
    /// 10 log10(signal / noise) of rounding it; `None` where rounding changes nothing.
    pub sqnr_db: Option<f64>,
    /// Elements.
    pub count: u64,
    /// How many of its channels keep less than 20 dB.
    pub lost_channels: usize,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The type of 16 bits.
    pub to: DType,
    /// Whether what is unsafe stays in F32; otherwise only what ONNX does not define, and overflows are refused.
    pub keep_unsafe: bool,
    /// Let values beyond the range become the largest there is, or infinite.
    pub allow_overflow: bool,
}

/// What to keep in F32 of `model`, whose activations were `seen`.
///
/// # Errors
/// [`Error::Refused`] with every constant that leaves the range, where it is neither kept nor allowed to; a failed read.
pub fn keep(model: &Model, seen: &[Seen], policy: &Policy, progress: &(dyn Fn(u64) + Sync)) -> Result<Keep> {
    let (Some(graph), Some(format)) = (model.graph.as_ref(), FloatFormat::of(policy.to)) else {
        return Err(Error::Usage {
            what: format!(
                "{}: only graphs have types to choose for each node; --dtype casts the tensors of a file without one",
                model.format
            ),
        });
    };
    let taken = taken(graph);
    let mut keep = Keep::default();
    let mut refused = Vec::new();
    let constants = constants(model, graph, &taken);
    let tensors: Vec<&Tensor> = constants.iter().map(|(_, id)| model.tensor(*id)).collect();
    let formats = [format];
    let options = Options { survival: &formats, ..Options::default() };
    for (((value, _), tensor), measured) in
        constants.iter().zip(&tensors).zip(measure(&tensors, &options, progress))
    {
        let measured = measured?;
        let Some(survival) = measured.survival.first() else { continue };
        if survival.overflow > 0 {
            let largest = measured.summary.and_then(|s| s.abs_max).map_or(0.0, |n| n.to_f64());
            if taken[value].limit && largest >= LIMIT {
                continue;
            }
            let why = format!(
                "'{}' reaches {}, {} ends at {}",
                tensor.name,
                magnitude(largest),
                policy.to,
                magnitude(format.max_finite())
            );
            if policy.keep_unsafe {
                keep.values.push((*value, why));
            } else if !policy.allow_overflow {
                refused.push((tensor.name.clone(), why));
            }
        } else if policy.keep_unsafe
            && let Some(why) = lost(tensor, survival)
        {
            keep.values.push((*value, why));
        }
    }
    if !refused.is_empty() {
        return Err(Error::Refused {
            what: format!("in {} these weights would be infinite", policy.to),
            reasons: refused,
            help: Some("--keep-unsafe leaves the nodes that take them in f32".into()),
        });
    }
    if policy.keep_unsafe {
        keep.values.extend(seen.iter().filter_map(|seen| Some((seen.value, unfit(graph, seen, &format)?))));
        let known: HashMap<ValueId, &Seen> = seen.iter().map(|seen| (seen.value, seen)).collect();
        keep.nodes.extend(graph.nodes.iter().enumerate().filter_map(|(at, node)| {
            let first = |ids: &[Option<ValueId>]| known.get(&ids.first().copied().flatten()?).copied();
            let run = Run { takes: first(&node.inputs), gives: first(&node.outputs) };
            Some((at, sensitive(&node.op, &run, &format)?))
        }));
    }
    Ok(keep)
}

/// Constants in F32 that nodes compute with.
fn constants(model: &Model, graph: &Graph, taken: &HashMap<ValueId, Taken>) -> Vec<(ValueId, TensorId)> {
    let mut constants = graph.constants();
    constants
        .retain(|(value, tensor)| taken.contains_key(value) && model.tensor(*tensor).dtype == DType::F32);
    constants
}

/// Why rounding takes too much of a constant.
fn lost(tensor: &Tensor, survival: &Survival) -> Option<String> {
    // One number, as an epsilon is, or a few: none may vanish.
    if tensor.count() <= 1 && survival.to_zero > 0 {
        return Some(format!("'{}' becomes 0", tensor.name));
    }
    let db = survival.sqnr_db().filter(|db| *db < UNSAFE_DB)?;
    Some(format!("'{}' keeps {db:.1} dB", tensor.name))
}

/// Why an activation does not fit the format.
fn unfit(graph: &Graph, seen: &Seen, format: &FloatFormat) -> Option<String> {
    let name = &graph.value(seen.value).name;
    if seen.abs_max * HEADROOM > format.max_finite() {
        return Some(format!(
            "'{name}' reaches {}, {} ends at {}",
            magnitude(seen.abs_max),
            format.name,
            magnitude(format.max_finite())
        ));
    }
    if let Some(db) = seen.sqnr_db.filter(|db| *db < FINE_DB) {
        return Some(format!("'{name}' keeps {db:.1} dB"));
    }
    let lost = (seen.lost_channels > 0).then_some(seen.lost_channels)?;
    Some(format!("'{name}' loses {lost} of its channels"))
}

/// A node's first operand and its result, as far as a run showed them.
struct Run<'a> {
    takes: Option<&'a Seen>,
    gives: Option<&'a Seen>,
}

impl Run<'_> {
    /// Whether every sum that a reduction makes of its operand stays within the range, and is of so few that the last one
    /// still counts in a running sum of `mantissa` bits.
    fn sums_fit(&self, format: &FloatFormat) -> bool {
        let (Some(takes), Some(gives)) = (self.takes, self.gives) else { return false };
        let terms = takes.count / gives.count.max(1);
        let few = terms <= 1 << (format.mantissa_bits + 1);
        few && takes.abs_max * terms as f64 * HEADROOM <= format.max_finite()
    }
}

/// Why an operator stays in F32 whatever its operands are: it squares, exponentiates or adds up many of them before it
/// gives a result of their size.
fn sensitive(op: &str, run: &Run<'_>, format: &FloatFormat) -> Option<String> {
    // BF16 has F32's range: only sums lose.
    let short_range = format.max_finite() < 1e30;
    match op {
        "ReduceMean" | "ReduceSum" if run.sums_fit(format) => None,
        "ReduceMean" | "ReduceSum" | "ReduceSumSquare" | "ReduceL2" | "ReduceL1" | "ReduceProd"
        | "ReduceLogSum" | "ReduceLogSumExp" | "CumSum" => {
            Some("adds up many values, where 16 bits lose the small ones".into())
        }
        "Pow" | "Exp" if short_range && run.gives.is_none() => {
            Some("grows beyond 65504 from operands of ordinary size".into())
        }
        "InstanceNormalization" | "MeanVarianceNormalization" | "LpNormalization" => {
            Some("squares and adds up whole planes".into())
        }
        _ => None,
    }
}
