//! From a source's own operators to ONNX's: a folder for each domain, with a table from operator to rule.

pub mod caffe;

use weighbridge_model::Model;

/// What a model became, and what a reader should know of it.
#[derive(Debug)]
pub struct Lowered {
    /// The model with a graph of ONNX's operators.
    pub model: Model,
    /// What was chosen, layer by layer in the order of the net.
    pub choices: Vec<Choice>,
    /// Tensors that arrive changed, each with what was done to it.
    pub changed: Vec<(String, String)>,
    /// Tensors that the graph has no use for, each with the reason.
    pub dropped: Vec<(String, String)>,
}

/// Something that a layer's settings leave open, or that is meant otherwise elsewhere, and how it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The layer; empty for the net as a whole.
    pub layer: String,
    /// Its type.
    pub kind: String,
    /// What was chosen.
    pub choice: String,
}
