//! Nodes in an order in which each stands after those that it reads from.

use weighbridge_model::{Graph, Node, Result};

use super::{captures, fault};

/// Puts the nodes of a graph, and of those within it, into topological order.
///
/// # Errors
/// Nodes in a cycle.
pub fn sort(graph: &mut Graph) -> Result<()> {
    graph.nodes = sorted(graph)?;
    graph.nodes.iter_mut().flat_map(captures::subgraphs_mut).try_for_each(sort)
}

/// Takes the nodes out of a graph, in topological order; as they stand where they stand so already.
///
/// # Errors
/// Nodes in a cycle.
pub(super) fn sorted(graph: &mut Graph) -> Result<Vec<Node>> {
    let nodes = std::mem::take(&mut graph.nodes);
    let named = captures::by_name(graph, &nodes);
    let mut maker = vec![None; graph.values.len()];
    for (node, index) in nodes.iter().zip(0u32..) {
        for output in node.outputs.iter().flatten() {
            maker[output.0 as usize].get_or_insert(index);
        }
    }
    let reads = |node: &Node| -> Vec<u32> {
        let captured = captures::of(node, &named);
        let read = node.inputs.iter().flatten().chain(&captured);
        read.filter_map(|value| maker[value.0 as usize]).collect()
    };
    let before: Vec<Vec<u32>> = nodes.iter().map(reads).collect();
    if before.iter().zip(0u32..).all(|(before, at)| before.iter().all(|&maker| maker < at)) {
        return Ok(nodes);
    }
    let mut after: Vec<Vec<u32>> = vec![Vec::new(); nodes.len()];
    let mut open: Vec<usize> = vec![0; nodes.len()];
    for (before, at) in before.iter().zip(0u32..) {
        open[at as usize] = before.len();
        before.iter().for_each(|&maker| after[maker as usize].push(at));
    }
    // The earliest in the file first.
    let ready = (0..nodes.len() as u32).filter(|&at| open[at as usize] == 0);
    let mut ready: std::collections::BinaryHeap<_> = ready.map(std::cmp::Reverse).collect();
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut sorted = Vec::with_capacity(nodes.len());
    while let Some(std::cmp::Reverse(at)) = ready.pop() {
        sorted.extend(nodes[at as usize].take());
        for &next in &after[at as usize] {
            open[next as usize] -= 1;
            if open[next as usize] == 0 {
                ready.push(std::cmp::Reverse(next));
            }
        }
    }
    match nodes.into_iter().flatten().next() {
        None => Ok(sorted),
        Some(node) => {
            let output = node.outputs.iter().flatten().next().map(|&v| graph.value(v).name.clone());
            let name = if node.name.is_empty() { output.unwrap_or_default() } else { node.name };
            Err(fault("it stands in or behind a cycle of nodes, which has no order of execution", &name))
        }
    }
}
