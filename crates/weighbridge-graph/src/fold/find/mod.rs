//! What can be folded into what: by the graph where there is one, otherwise by names.

mod caffe;
pub(crate) mod chain;
mod names;
pub(crate) mod onnx;

use weighbridge_model::{Graph, Model};

use super::{Fold, Still, View};

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
        Some(graph) => find_in(&Still::new(model, graph)),
        None => find_by_names(model, &Names::default()),
    }
}

/// What folds in a graph: the outermost one of a model, or one within it.
pub fn find_in(view: &dyn View) -> Found {
    let caffe = (0..view.bound()).filter_map(|number| view.node(number)).any(|node| node.domain == "caffe");
    match caffe {
        true => chain::search(&caffe::Caffe { view }),
        false => chain::search(&onnx::Onnx { view, version: view.version() }),
    }
}
