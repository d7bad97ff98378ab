//! Chains of steps beside linear operators, in a graph of any domain.

use std::collections::HashSet;

use weighbridge_model::storage::Channels;
use weighbridge_model::{Graph, Model, TensorId, ValueId};

use super::{Found, Left};
use crate::fold::step::is_plain;
use crate::fold::{Does, Edges, Fold, Step};

/// A linear operator as its node tells it.
pub(super) struct Linear {
    /// What it is applied to.
    pub input: ValueId,
    /// What it gives.
    pub output: ValueId,
    /// Its weight, where that is a constant.
    pub weight: Option<ValueId>,
    /// Its bias.
    pub bias: Option<ValueId>,
    pub weight_gain: f64,
    pub bias_gain: f64,
    pub inputs: Option<Channels>,
    pub outputs: Channels,
    /// Where the channels of what it gives lie, counted from the last dimension, which is 1.
    pub channel: usize,
    /// Dimensions of what it gives, where that is known.
    pub rank: Option<usize>,
    /// Whether a bias goes into the operator itself.
    pub takes_bias: bool,
    /// What may stand before it.
    pub before: Before,
}

/// What of an affine before a linear operator can go into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// Scales alone: what is padded would not have been shifted.
    Scales,
    /// Scales and shifts.
    All,
}

/// What a domain tells of its nodes.
pub(super) trait Domain {
    fn parts(&self) -> (&Model, &Graph, &Edges);

    /// The linear operator that a node is.
    fn linear(&self, node: usize) -> Option<Linear>;

    /// What a node does to `value`, of which each element belongs to one of so many channels; the reason why that is
    /// no step where it nearly is one.
    fn step(&self, node: usize, value: ValueId, of: &Operand) -> Result<Option<Does>, String>;

    /// The value that a step's node is applied to, where one of its inputs alone is no constant.
    fn applied_to(&self, node: usize) -> Option<ValueId>;

    /// Whether a node is a normalization, which people want to be told of.
    fn is_norm(&self, node: usize) -> bool;

    /// Whether a value is known to have so many channels already, in that dimension from the end.
    fn has_channels(&self, value: ValueId, channel: usize, count: u64) -> bool;
}

/// What a step is applied to.
pub(super) struct Operand {
    /// Channels.
    pub count: u64,
    /// Where they lie, from the last dimension, which is 1.
    pub channel: usize,
    /// Dimensions, where known.
    pub rank: Option<usize>,
    /// Whether the number of channels is certain before the step, which then cannot spread one channel over many.
    pub certain: bool,
}

/// All chains beside all linear operators. What follows one takes precedence over what stands before another.
pub(super) fn search(domain: &dyn Domain) -> Found {
    let (model, graph, edges) = domain.parts();
    let mut found = Found::default();
    let mut taken: HashSet<usize> = HashSet::new();
    let mut told: HashSet<usize> = HashSet::new();
    let mut pending: Vec<(usize, Linear, Vec<Step>)> = Vec::new();
    for index in 0..graph.nodes.len() {
        let Some(linear) = domain.linear(index) else { continue };
        let mut after = after(domain, &linear, &mut told, &mut found.left);
        // A shift alone has no better place than it has beside an operator without a bias of its own.
        if !linear.takes_bias && after.len() < 2 && after.iter().all(only_shifts) {
            after.clear();
        }
        taken.extend(after.iter().filter_map(|step| step.node));
        pending.push((index, linear, after));
    }
    for (index, linear, after) in pending {
        let before = before(domain, &linear, index, &taken);
        if before.is_empty() && after.is_empty() {
            continue;
        }
        let steps = || before.iter().chain(&after).filter_map(|step| step.node);
        match constants(model, graph, edges, index, &linear) {
            Ok((weight, bias)) => {
                taken.extend(steps());
                found.folds.push(Fold {
                    name: graph.nodes[index].name.clone(),
                    node: Some(index),
                    weight,
                    bias,
                    weight_gain: linear.weight_gain,
                    bias_gain: linear.bias_gain,
                    inputs: linear.inputs,
                    outputs: linear.outputs,
                    before,
                    after,
                    guessed: false,
                });
            }
            Err(why) => {
                told.extend(steps());
                found.left.push(Left { name: graph.nodes[index].name.clone(), why });
            }
        }
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        if domain.is_norm(index) && !taken.contains(&index) && !told.contains(&index) {
            found
                .left
                .push(Left { name: node.name.clone(), why: "no linear operator stands beside it".into() });
        }
    }
    found
}

/// Weight and bias of a linear operator, if they can be changed.
fn constants(
    model: &Model,
    graph: &Graph,
    edges: &Edges,
    index: usize,
    linear: &Linear,
) -> Result<(TensorId, Option<TensorId>), String> {
    let given = |value: ValueId, what: &str| {
        let name = &graph.value(value).name;
        if edges.is_overridable(value) {
            return Err(format!(
                "its {what} '{name}' is also an input of the graph, which may be given otherwise"
            ));
        }
        let Some(id) = edges.constant(value) else {
            let by = edges.maker(value).map(|maker| format!(": {} makes it", graph.nodes[maker].op));
            return Err(format!("its {what} '{name}' is no constant{}", by.unwrap_or_default()));
        };
        if !is_plain(model.tensor(id)) {
            return Err(format!("its {what} '{name}' is {}, which is not scaled", model.tensor(id).dtype));
        }
        Ok(id)
    };
    let Some(value) = linear.weight else { return Err("its weight is no constant".into()) };
    let weight = given(value, "weight")?;
    if edges.users(weight) > 1 || edges.is_seen(value) {
        let other = edges.readers(value).find(|&reader| reader != index);
        let by = other.map_or("something else".into(), |other| format!("'{}'", graph.nodes[other].name));
        return Err(format!("its weight '{}' is also read by {by}", graph.value(value).name));
    }
    let bias = linear.bias.map(|value| given(value, "bias")).transpose()?;
    Ok((weight, bias))
}

fn only_shifts(step: &Step) -> bool {
    matches!(step.does, Does::Scale { scale: None, .. } | Does::Subtract(_))
}

fn only_scales(step: &Step) -> bool {
    matches!(step.does, Does::Scale { shift: None, .. } | Does::Divide(_))
}

fn after(domain: &dyn Domain, linear: &Linear, told: &mut HashSet<usize>, left: &mut Vec<Left>) -> Vec<Step> {
    let (_, graph, edges) = domain.parts();
    let operand =
        Operand { count: linear.outputs.count(), channel: linear.channel, rank: linear.rank, certain: true };
    let mut steps = Vec::new();
    let mut value = linear.output;
    loop {
        let Some(node) = edges.only_reader(value) else {
            // Told of each normalization among the readers.
            let why =
                if edges.is_seen(value) { "is an output of the graph" } else { "has other readers too" };
            for norm in edges.readers(value).filter(|&n| domain.is_norm(n)) {
                let name = graph.nodes[norm].name.clone();
                let what = format!("'{}', which it follows, {why}", graph.value(value).name);
                told.insert(norm);
                left.push(Left { name, why: what });
            }
            return steps;
        };
        match domain.step(node, value, &operand) {
            Ok(Some(does)) => {
                steps.push(Step { name: graph.nodes[node].name.clone(), node: Some(node), does })
            }
            Ok(None) => return steps,
            Err(why) => {
                told.insert(node);
                left.push(Left { name: graph.nodes[node].name.clone(), why });
                return steps;
            }
        }
        match graph.nodes[node].outputs.first().copied().flatten() {
            Some(output) => value = output,
            None => return steps,
        }
    }
}

fn before(domain: &dyn Domain, linear: &Linear, index: usize, taken: &HashSet<usize>) -> Vec<Step> {
    let (_, graph, edges) = domain.parts();
    let mut steps = Vec::new();
    let (Some(inputs), true) = (&linear.inputs, linear.before != Before::Nothing) else { return steps };
    let mut value = linear.input;
    let mut reader = index;
    while let Some(maker) = edges.maker(value) {
        if taken.contains(&maker) || edges.only_reader(value) != Some(reader) {
            break;
        }
        let Some(from) = domain.applied_to(maker) else { break };
        let operand = Operand {
            count: inputs.count(),
            channel: linear.channel,
            rank: linear.rank,
            certain: domain.has_channels(from, linear.channel, inputs.count()),
        };
        let Ok(Some(does)) = domain.step(maker, from, &operand) else { break };
        let step = Step { name: graph.nodes[maker].name.clone(), node: Some(maker), does };
        if linear.before == Before::Scales && !only_scales(&step) {
            break;
        }
        steps.push(step);
        (value, reader) = (from, maker);
    }
    steps.reverse();
    steps
}
