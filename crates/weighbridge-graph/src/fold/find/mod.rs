//! What can be folded into what: by the graph where there is one, otherwise by names.

mod caffe;
mod chain;
mod names;
mod onnx;

use weighbridge_model::{Graph, Model};

use super::{Edges, Fold};

pub use names::{Names, find_by_names};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Linear operators with what folds into them, in the order of the graph, or of the file.
    pub folds: Vec<Fold>,
    /// Normalizations that fold into nothing, and linear operators that take in nothing although something stands beside
    /// them.
    pub left: Vec<Left>,
}

/// What is not folded, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The node, or the path of the layer.
    pub name: String,
    /// The reason.
    pub why: String,
}

/// What folds in a model: by its graph where that has nodes of ONNX or Caffe, otherwise by the names of its tensors.
pub fn find(model: &Model) -> Found {
    let known = |graph: &&Graph| graph.nodes.iter().any(|n| matches!(n.domain.as_str(), "" | "caffe"));
    match model.graph.as_ref().filter(known) {
        Some(graph) => in_graph(model, graph, &Edges::of(graph, model.tensors.len())),
        None => find_by_names(model, &Names::default()),
    }
}

/// What folds in a graph whose tensors are those of `model`: its outermost one, or one within it.
pub fn in_graph(model: &Model, graph: &Graph, edges: &Edges) -> Found {
    if graph.nodes.iter().any(|node| node.domain == "caffe") {
        chain::search(&caffe::Caffe { model, graph, edges })
    } else {
        chain::search(&onnx::Onnx { model, graph, edges, version: onnx::version(graph, model) })
    }
}
