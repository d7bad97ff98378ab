//! Which node computes in which type.

use std::collections::HashMap;

use weighbridge_model::{DType, Graph, ValueId};

use super::Keep;
use super::rules::{self, Operand, Rule};

/// For each node, why it computes in F32; `None` where it computes in the narrow type or in no such type at all.
pub(super) type Wide = Vec<Option<String>>;

/// `types` by value id.
pub(super) fn assign(graph: &Graph, types: &[Option<DType>], keep: &Keep) -> Wide {
    let version =
        graph.opsets.iter().find(|(d, _)| matches!(d.as_str(), "" | "ai.onnx")).map_or(1, |(_, v)| *v);
    let unsafe_values: HashMap<ValueId, &str> =
        keep.values.iter().map(|(id, why)| (*id, why.as_str())).collect();
    let nodes: HashMap<usize, &str> = keep.nodes.iter().map(|(at, why)| (*at, why.as_str())).collect();
    let mut wide: Wide = Vec::with_capacity(graph.nodes.len());
    for (at, node) in graph.nodes.iter().enumerate() {
        let operands = || node.inputs.iter().chain(&node.outputs).flatten();
        let computed = || {
            let inputs =
                node.inputs.iter().enumerate().filter(|(i, _)| rules::input(node, *i) == Operand::Computed);
            let outputs =
                node.outputs.iter().enumerate().filter(|(i, _)| rules::output(node, *i) == Operand::Computed);
            inputs.chain(outputs).filter_map(|(_, id)| *id)
        };
        let why = if !operands().any(|id| types[id.0 as usize] == Some(DType::F32)) {
            None
        } else if let Rule::Stays(why) = rules::rule(node, version) {
            Some(why.to_owned())
        } else if let Some(why) = nodes.get(&at) {
            Some((*why).to_owned())
        } else if let Some(id) = operands().find(|id| types[id.0 as usize].is_none()) {
            Some(format!("the type of '{}' is not known", graph.value(*id).name))
        } else {
            computed().find_map(|id| unsafe_values.get(&id)).map(|why| (*why).to_owned())
        };
        wide.push(why);
    }
    join(graph, types, &mut wide);
    wide
}

/// Nodes that only hand values on between nodes in F32 stay there: casts to and fro would be for nothing.
fn join(graph: &Graph, types: &[Option<DType>], wide: &mut Wide) {
    let is_float = |id: ValueId| types[id.0 as usize] == Some(DType::F32);
    let mut maker: HashMap<ValueId, usize> = HashMap::new();
    let mut readers: HashMap<ValueId, Vec<usize>> = HashMap::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        maker.extend(node.outputs.iter().flatten().map(|&id| (id, at)));
        for (i, id) in node.inputs.iter().enumerate() {
            if let Some(id) = id.filter(|&id| is_float(id) && rules::input(node, i) == Operand::Computed) {
                readers.entry(id).or_default().push(at);
            }
        }
    }
    let outside: Vec<ValueId> = graph.inputs.iter().chain(&graph.outputs).copied().collect();
    let outside: std::collections::HashSet<ValueId> = outside.into_iter().collect();
    let mut open: Vec<usize> = (0..graph.nodes.len()).rev().collect();
    while let Some(at) = open.pop() {
        let node = &graph.nodes[at];
        if wide[at].is_some() || !rules::neutral(node) {
            continue;
        }
        let floats = |ids: &[Option<ValueId>]| {
            ids.iter().flatten().copied().filter(|&id| is_float(id)).collect::<Vec<_>>()
        };
        let (inputs, outputs) = (floats(&node.inputs), floats(&node.outputs));
        let made_wide = |id: &ValueId| maker.get(id).map_or(outside.contains(id), |&by| wide[by].is_some());
        let made: Vec<&ValueId> =
            inputs.iter().filter(|id| maker.contains_key(id) || outside.contains(id)).collect();
        let read_wide = |id: &ValueId| {
            let readers = readers.get(id).map_or(&[][..], Vec::as_slice);
            (!readers.is_empty() || outside.contains(id)) && readers.iter().all(|&by| wide[by].is_some())
        };
        if made.is_empty()
            || !made.into_iter().all(made_wide)
            || outputs.is_empty()
            || !outputs.iter().all(read_wide)
        {
            continue;
        }
        wide[at] = Some("between nodes in F32".to_owned());
        open.extend(inputs.iter().filter_map(|id| maker.get(id)));
        open.extend(outputs.iter().flat_map(|id| readers.get(id)).flatten());
    }
}
