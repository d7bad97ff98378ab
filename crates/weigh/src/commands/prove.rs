//! Whether a simplified model computes what it did: both are run, within what such a model may take.

use std::time::Duration;

use weighbridge_graph::infer::{self, infer};
use weighbridge_graph::random::random_node;
use weighbridge_model::{Model, Result, ValueId};
use weighbridge_report::units;
use weighbridge_run::{Options, usual_memory, verify};

use super::proof::Proof;
use crate::args::SimplifyArgs;
use crate::engine::Usual;
use crate::parse;

/// Runs both models, as far as that is asked for and fits.
///
/// # Errors
/// What is asked for in a way that cannot be read.
pub(super) fn prove(before: &Model, after: &Model, args: &SimplifyArgs) -> Result<Proof> {
    if args.no_verify {
        return Ok(Proof::None("--no-verify".into()));
    }
    let (weights, limit) =
        (before.tensors.iter().map(|t| t.bytes()).sum::<u64>(), parse::bytes(&args.verify_limit)?);
    if weights > limit {
        let (weights, limit) = (units::bytes(weights), units::bytes(limit));
        return Ok(Proof::None(format!("{weights} of weights are more than {limit}, see --verify-limit")));
    }
    if let Some(node) = before.graph.as_ref().and_then(random_node) {
        let name = if node.name.is_empty() { &node.op } else { &node.name };
        return Ok(Proof::None(format!("'{name}' gives other numbers on every run")));
    }
    let mut shapes = parse::shapes(&args.shapes)?.inputs;
    shapes.retain(|name, _| fed(before).any(|input| input == name));
    let options = Options { tolerance: args.tolerance, seed: 0, shapes, inner: false, time: false };
    let cost = Cost::of(before, weights);
    let usual = cost.usual();
    let engine = crate::engine::open_within(&args.engine, &usual)?;
    if let (Some((name, bytes)), None) = (&cost.largest, args.engine.memory()?)
        && usual.memory.is_some_and(|memory| *bytes > memory)
    {
        let bytes = units::bytes(*bytes);
        return Ok(Proof::None(format!("'{name}' alone would take {bytes}, see --memory-limit")));
    }
    match verify(before, after, &*engine, None, &options) {
        Ok(verdict) if verdict.ok || verdict.within_noise() => {
            let outputs = units::plural(verdict.outputs.len() as u64, "output");
            let worst = verdict.outputs.iter().map(|c| c.max_rel).fold(0.0, f64::max);
            let mut text =
                format!("{outputs} the same within {worst:.1e} of the largest, on {}", engine.name());
            let noise = verdict.outputs.iter().filter_map(|c| c.noise).fold(0.0, f64::max);
            if noise > 0.0 {
                text += &format!(", where inputs moved in their last place move the original by {noise:.0e}");
            }
            if !verdict.guessed.is_empty() {
                text += &format!(", with {}", crate::engine::named(&verdict.guessed));
            }
            if verdict.insensitive {
                text += "; they hardly depend on the inputs, so that this says little about the weights";
            }
            Ok(Proof::Same(text))
        }
        Ok(verdict) => {
            let wrong = verdict.outputs.iter().filter(|c| !c.ok);
            let each = wrong.map(|c| match &c.why {
                Some(why) => format!("'{}' ({why})", c.name),
                None => format!("'{}' by {:.1e} of its largest magnitude", c.name, c.max_rel),
            });
            Ok(Proof::Differs(format!("{} on {}", each.collect::<Vec<_>>().join(", "), engine.name())))
        }
        // Only what runs the one and not the other says something of the passes.
        Err(error) => match verify(before, before, &*engine, None, &options) {
            Ok(_) => Ok(Proof::Differs(format!("the result does not run: {error}"))),
            Err(error) => Ok(Proof::None(error.to_string())),
        },
    }
}

/// Names of the inputs.
fn fed(model: &Model) -> impl Iterator<Item = &str> {
    model.graph.iter().flat_map(|graph| graph.inputs.iter().map(|&id| graph.value(id).name.as_str()))
}

/// What running a model takes, by the sizes that are known of its values.
struct Cost {
    /// Bytes of weights, and of all values together.
    bytes: u64,
    weights: u64,
    /// The largest value, and its bytes.
    largest: Option<(String, u64)>,
}

impl Cost {
    fn of(model: &Model, weights: u64) -> Self {
        let mut cost = Cost { bytes: weights, weights, largest: None };
        let Some(graph) = &model.graph else { return cost };
        let facts = infer(model, graph, &infer::Options::default());
        for (id, value) in (0..).map(ValueId).zip(&graph.values) {
            let fact = facts.of(id);
            let (Some(shape), Some(dtype)) = (fact.known_shape(), fact.dtype()) else { continue };
            let width = u64::from(dtype.bits().div_ceil(8));
            let bytes = shape.iter().fold(width, |bytes, &size| bytes.saturating_mul(size));
            cost.bytes = cost.bytes.saturating_add(bytes);
            if cost.largest.as_ref().is_none_or(|(_, most)| bytes > *most) {
                cost.largest = Some((value.name.clone(), bytes));
            }
        }
        cost
    }

    /// What is enough for models as people have them, and stops in time what was made to take all there is.
    fn usual(&self) -> Usual {
        const SECONDS: u64 = 10;
        const BYTES_PER_SECOND: u64 = 20 << 20;
        let memory = (2u64 << 30).saturating_add(self.weights.saturating_mul(8));
        Usual {
            time: Duration::from_secs((SECONDS + self.bytes / BYTES_PER_SECOND).min(Usual::MOST_SECONDS)),
            memory: Some(usual_memory().map_or(memory, |all| all.min(memory))),
        }
    }
}
