//! Nodes in an order in which each finds its inputs given: the file's, where that is one.

use std::collections::VecDeque;

use weighbridge_model::{Error, Graph, Place, Result};

/// Indices of nodes, inputs first.
///
/// # Errors
/// Nodes that wait for each other.
pub(super) fn order(graph: &Graph) -> Result<Vec<usize>> {
    let mut giver: Vec<Option<usize>> = vec![None; graph.values.len()];
    for (at, node) in graph.nodes.iter().enumerate() {
        node.outputs.iter().flatten().for_each(|id| giver[id.0 as usize] = Some(at));
    }
    let mut waits = vec![0usize; graph.nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    let (mut sorted, mut last) = (true, vec![false; graph.nodes.len()]);
    for (at, node) in graph.nodes.iter().enumerate() {
        for from in node.inputs.iter().flatten().filter_map(|id| giver[id.0 as usize]) {
            sorted &= last[from];
            waits[at] += 1;
            readers[from].push(at);
        }
        last[at] = true;
    }
    if sorted {
        return Ok((0..graph.nodes.len()).collect());
    }
    let mut ready: VecDeque<usize> = (0..waits.len()).filter(|&at| waits[at] == 0).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(at) = ready.pop_front() {
        order.push(at);
        for &reader in &readers[at] {
            waits[reader] -= 1;
            if waits[reader] == 0 {
                ready.push_back(reader);
            }
        }
    }
    if order.len() == graph.nodes.len() {
        return Ok(order);
    }
    let at = waits.iter().position(|&n| n > 0).unwrap_or(0);
    let what = "its inputs depend on its own outputs";
    Err(Error::malformed(Place::source("the graph").node(&graph.nodes[at].name), what))
}
