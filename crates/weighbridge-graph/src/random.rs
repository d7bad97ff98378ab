//! Operators that give other numbers each time: they are neither merged nor folded, and say nothing when two runs are
//! compared.

use weighbridge_model::{Graph, Node};

use crate::edit::subgraphs;

/// Whether this operator of ONNX's draws its numbers at random. `Dropout` does so only in training.
pub fn is_random(op: &str) -> bool {
    matches!(
        op,
        "RandomNormal"
            | "RandomNormalLike"
            | "RandomUniform"
            | "RandomUniformLike"
            | "Multinomial"
            | "Bernoulli"
    )
}

/// The first node that draws at random, in the graph or in one that it holds.
pub fn random_node(graph: &Graph) -> Option<&Node> {
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        if let Some(node) = graph.nodes.iter().find(|node| is_random(&node.op)) {
            return Some(node);
        }
        open.extend(graph.nodes.iter().flat_map(subgraphs));
    }
    None
}
