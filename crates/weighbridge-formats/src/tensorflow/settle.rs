//! Which values of a graph are weights: told of constants and variables, and followed through what hands them on and
//! into the functions that are called.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Attribute, Graph, Node, Result, TensorId, Value, ValueId};

use super::graph::{Reader, Template};
use super::usage;

/// Deepest chain of functions that call each other.
const CALLS: usize = 32;

/// Nodes of function bodies for each node that was read: a body stands in every node that calls it.
const COPIES: u64 = 4;

/// As many more whatever was read.
const SLACK: u64 = 10_000;

/// Values that are weights.
pub(super) type Facts = HashMap<ValueId, TensorId>;

/// Puts graphs together.
pub(super) struct Settler<'r, 'a> {
    pub reader: &'r mut Reader<'a>,
    /// Nodes of bodies that were put into the nodes that call them.
    copied: u64,
    /// Functions whose bodies stand somewhere.
    pub placed: Vec<String>,
}

impl<'r, 'a> Settler<'r, 'a> {
    pub fn new(reader: &'r mut Reader<'a>) -> Self {
        Settler { reader, copied: 0, placed: Vec::new() }
    }

    /// The graph of a template in which `facts` are known, with the bodies of the functions that it calls.
    ///
    /// # Errors
    /// Functions that contradict themselves.
    pub fn settle(&mut self, template: Template, facts: Facts, depth: usize) -> Result<Graph> {
        let Template { mut graph, constants, calls, .. } = template;
        let mut known = constants;
        known.extend(facts);
        hand_on(&graph, &mut known);
        for node in &graph.nodes {
            for (slot, value) in node.inputs.iter().enumerate() {
                if let Some(id) = value.and_then(|v| known.get(&v))
                    && let Some(by) = usage::of(&node.op, slot)
                {
                    let used = self.reader.uses.entry(*id).or_insert(by);
                    *used = (*used).max(by);
                }
            }
        }
        for (index, key, names) in calls {
            let node = &graph.nodes[index];
            let taken = arguments(node, &key).to_vec();
            let [name] = names.as_slice() else { continue };
            if depth >= CALLS {
                continue;
            }
            let Some(body) = self.reader.function(name)? else { continue };
            self.copied += body.graph.nodes.len() as u64;
            if self.copied > self.reader.nodes.saturating_mul(COPIES).saturating_add(SLACK) {
                continue;
            }
            self.placed.push(name.clone());
            let passed = body.graph.inputs.iter().zip(taken);
            let facts = passed.filter_map(|(&to, from)| Some((to, *known.get(&from?)?))).collect();
            let body = self.settle(Template::clone(&body), facts, depth + 1)?;
            if let Some((_, attribute)) = graph.nodes[index].attributes.iter_mut().find(|(k, _)| *k == key) {
                *attribute = Attribute::Graph(Box::new(body));
            }
        }
        graph.initializers = known.into_iter().collect();
        graph.initializers.sort_unstable();
        Ok(graph)
    }
}

/// What a call hands to the function that attribute `key` names.
fn arguments<'n>(node: &'n Node, key: &str) -> &'n [Option<ValueId>] {
    let skipped = match (node.op.as_str(), key) {
        ("If" | "StatelessIf", "then_branch" | "else_branch") | ("Case" | "StatelessCase", "branches") => 1,
        ("PartitionedCall" | "StatefulPartitionedCall" | "TPUPartitionedCall" | "RemoteCall", _)
        | ("While" | "StatelessWhile", "cond" | "body") => 0,
        _ => return &[],
    };
    node.inputs.get(skipped..).unwrap_or(&[])
}

/// Follows what is known through nodes that only hand it on.
fn hand_on(graph: &Graph, known: &mut Facts) {
    /// Times that a graph is gone through whose nodes stand in no order.
    const ROUNDS: usize = 8;
    for _ in 0..ROUNDS {
        let before = known.len();
        for node in graph.nodes.iter().filter(|n| usage::passes(&n.op)) {
            let from = node.inputs.first().copied().flatten();
            let to = node.outputs.first().copied().flatten();
            if let (Some(from), Some(to)) = (from, to)
                && !known.contains_key(&to)
                && let Some(&id) = known.get(&from)
            {
                known.insert(to, id);
            }
        }
        if known.len() == before {
            break;
        }
    }
}

/// Which variables of the outermost graph take which keys of the checkpoint, as its own nodes restore them.
pub(super) fn restored(reader: &mut Reader<'_>, outer: &Template) -> Result<HashMap<ValueId, String>> {
    let mut found = HashMap::new();
    assigned(outer, Some, &mut found);
    // What saves and what restores is called once; a second call would tell nothing new.
    let mut seen = HashSet::new();
    for (index, key, names) in &outer.calls {
        for name in names.iter().filter(|name| seen.insert(name.as_str())).collect::<Vec<_>>() {
            let Some(body) = reader.function(name)? else { continue };
            if !body.graph.nodes.iter().any(|n| n.op == "RestoreV2") {
                continue;
            }
            let taken = arguments(&outer.graph.nodes[*index], key);
            let inputs: HashMap<ValueId, usize> = body.graph.inputs.iter().copied().zip(0..).collect();
            let argument = |value: ValueId| taken.get(*inputs.get(&value)?).copied().flatten();
            assigned(&body, argument, &mut found);
        }
    }
    Ok(found)
}

/// Pairs variables with keys: an assignment's target, and the output of the `RestoreV2` that it takes.
fn assigned(
    template: &Template,
    outer: impl Fn(ValueId) -> Option<ValueId>,
    found: &mut HashMap<ValueId, String>,
) {
    let graph = &template.graph;
    let mut makers: HashMap<ValueId, usize> = HashMap::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        makers.extend(node.outputs.iter().flatten().map(|&v| (v, i)));
    }
    // Back through what hands a value on; a chain in a circle ends.
    let origin = |mut value: ValueId| {
        for _ in 0..16 {
            let Some(node) = makers.get(&value).map(|&i| &graph.nodes[i]) else { break };
            match node.inputs.first() {
                Some(&Some(from)) if usage::passes(&node.op) => value = from,
                _ => break,
            }
        }
        value
    };
    for node in &graph.nodes {
        if !matches!(node.op.as_str(), "Assign" | "AssignVariableOp") {
            continue;
        }
        let [Some(target), Some(value), ..] = node.inputs[..] else { continue };
        let (target, value) = (origin(target), origin(value));
        let Some(restore) = makers.get(&value).map(|&i| &graph.nodes[i]).filter(|n| n.op == "RestoreV2")
        else {
            continue;
        };
        let Some(names) = restore.inputs.get(1).copied().flatten().and_then(|v| template.strings.get(&v))
        else {
            continue;
        };
        let name = &graph.values[value.0 as usize].name;
        let number = name.rsplit_once(':').map_or(Some(0), |(_, n)| n.parse::<usize>().ok());
        if let (Some(key), Some(target)) = (number.and_then(|n| names.get(n)), outer(target)) {
            found.entry(target).or_insert_with(|| key.clone());
        }
    }
}

/// Names under which a variable may be kept: its own, and the one that it shares.
pub(super) fn variable_names(node: &Node) -> Option<Vec<String>> {
    if !matches!(node.op.as_str(), "VarHandleOp" | "VariableV2" | "Variable" | "AutoReloadVariable") {
        return None;
    }
    let shared = node.attribute("shared_name").and_then(Value::as_str).filter(|s| !s.is_empty());
    Some(shared.map(str::to_owned).into_iter().chain([node.name.clone()]).collect())
}
