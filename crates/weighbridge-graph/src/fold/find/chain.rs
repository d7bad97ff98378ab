//! Chains of steps beside linear operators, in a graph of any domain.

use std::collections::HashSet;

use weighbridge_model::storage::Channels;
use weighbridge_model::{TensorId, ValueId};

use super::{Found, Left};
use crate::fold::step::is_plain;
use crate::fold::{Does, Fold, Step, View};

/// A linear operator as its node tells it.
pub(crate) struct Linear {
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
pub(crate) enum Before {
    /// Nothing.
    Nothing,
    /// Scales alone: what is padded would not have been shifted.
    Scales,
    /// Scales and shifts.
    All,
}

/// What a domain tells of its nodes.
pub(crate) trait Domain {
    /// The graph.
    fn view(&self) -> &dyn View;

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
pub(crate) struct Operand {
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
    let view = domain.view();
    let mut found = Found::default();
    let mut taken: HashSet<usize> = HashSet::new();
    let mut told: HashSet<usize> = HashSet::new();
    let mut pending: Vec<(usize, Linear, Vec<Step>)> = Vec::new();
    for index in 0..view.bound() {
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
        let (before, input) = before(domain, &linear, index, &taken);
        if before.is_empty() && after.is_empty() {
            continue;
        }
        let last = after.last().and_then(|step| view.node(step.node?)?.outputs.first().copied().flatten());
        let output = last.unwrap_or(linear.output);
        let steps = || before.iter().chain(&after).filter_map(|step| step.node);
        match constants(view, index, &linear) {
            Ok((weight, bias)) => {
                taken.extend(steps());
                found.folds.push(Fold {
                    name: view.label(index),
                    node: Some(index),
                    weight,
                    bias,
                    weight_gain: linear.weight_gain,
                    bias_gain: linear.bias_gain,
                    inputs: linear.inputs,
                    outputs: linear.outputs,
                    before,
                    after,
                    input: Some(input),
                    output: Some(output),
                    guessed: false,
                });
            }
            Err(why) => {
                told.extend(steps());
                found.left.push(Left { name: view.label(index), why });
            }
        }
    }
    for index in (0..view.bound()).filter(|&index| domain.is_norm(index)) {
        if !taken.contains(&index) && !told.contains(&index) {
            let why = "no linear operator stands beside it".to_owned();
            found.left.push(Left { name: view.label(index), why });
        }
    }
    found
}

/// Readers of a weight among which one is looked for to be named.
const FEW: u32 = 64;

/// Weight and bias of a linear operator, if they can be changed.
fn constants(view: &dyn View, index: usize, linear: &Linear) -> Result<(TensorId, Option<TensorId>), String> {
    let given = |value: ValueId, what: &str| {
        let name = &view.value(value).name;
        if view.is_overridable(value) {
            return Err(format!(
                "its {what} '{name}' is also an input of the graph, which may be given otherwise"
            ));
        }
        let Some(id) = view.constant(value) else {
            let by = view.maker(value).and_then(|maker| view.node(maker));
            let by = by.map(|node| format!(": {} makes it", node.op));
            return Err(format!("its {what} '{name}' is no constant{}", by.unwrap_or_default()));
        };
        if !is_plain(view.model().tensor(id)) {
            return Err(format!(
                "its {what} '{name}' is {}, which is not scaled",
                view.model().tensor(id).dtype
            ));
        }
        Ok(id)
    };
    let Some(value) = linear.weight else { return Err("its weight is no constant".into()) };
    let weight = given(value, "weight")?;
    if view.users(value) > 1 || view.is_seen(value) {
        // Not looked for among many.
        let few = view.users(value) <= FEW;
        let other = few.then(|| view.readers(value).into_iter().find(|&reader| reader != index)).flatten();
        let by = other.map_or("something else".into(), |other| format!("'{}'", view.label(other)));
        return Err(format!("its weight '{}' is also read by {by}", view.value(value).name));
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
    let view = domain.view();
    let operand =
        Operand { count: linear.outputs.count(), channel: linear.channel, rank: linear.rank, certain: true };
    let mut steps = Vec::new();
    let mut value = linear.output;
    loop {
        let Some(node) = view.only_reader(value) else {
            // Told of each normalization among the readers.
            let why = if view.is_seen(value) { "is an output of the graph" } else { "has other readers too" };
            for norm in view.readers(value).into_iter().filter(|&n| domain.is_norm(n)) {
                let name = view.label(norm);
                let what = format!("'{}', which it follows, {why}", view.value(value).name);
                told.insert(norm);
                left.push(Left { name, why: what });
            }
            return steps;
        };
        match domain.step(node, value, &operand) {
            Ok(Some(does)) => steps.push(Step { name: view.label(node), node: Some(node), does }),
            Ok(None) => return steps,
            Err(why) => {
                told.insert(node);
                left.push(Left { name: view.label(node), why });
                return steps;
            }
        }
        match view.node(node).and_then(|node| node.outputs.first().copied().flatten()) {
            Some(output) => value = output,
            None => return steps,
        }
    }
}

fn before(
    domain: &dyn Domain,
    linear: &Linear,
    index: usize,
    taken: &HashSet<usize>,
) -> (Vec<Step>, ValueId) {
    let view = domain.view();
    let mut steps = Vec::new();
    let (Some(inputs), true) = (&linear.inputs, linear.before != Before::Nothing) else {
        return (steps, linear.input);
    };
    let mut value = linear.input;
    let mut reader = index;
    while let Some(maker) = view.maker(value) {
        if taken.contains(&maker) || view.only_reader(value) != Some(reader) {
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
        let step = Step { name: view.label(maker), node: Some(maker), does };
        if linear.before == Before::Scales && !only_scales(&step) {
            break;
        }
        steps.push(step);
        (value, reader) = (from, maker);
    }
    steps.reverse();
    (steps, value)
}
