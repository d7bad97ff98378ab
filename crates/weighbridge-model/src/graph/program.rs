//! What stands beside the outermost graph of an ONNX model.

use super::{Attribute, Carried, Graph, Properties};
use crate::TensorId;

/// The whole that a graph belongs to.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Version of the container's own format.
    pub ir_version: Option<i64>,
    /// What wrote it.
    pub producer: String,
    /// The version of what wrote it.
    pub producer_version: String,
    /// Name space of the model.
    pub domain: String,
    /// The model's own version.
    pub model_version: Option<i64>,
    /// Text for people.
    pub doc: String,
    /// Whatever its writer noted.
    pub properties: Properties,
    /// Operators that the model defines itself.
    pub functions: Vec<Function>,
    /// How it is trained.
    pub training: Vec<Training>,
    /// What is said of tensors beside their content, by id.
    pub tensors: Vec<(TensorId, TensorNotes)>,
    /// Fields that are not interpreted.
    pub carried: Carried,
}

/// What a file says of a tensor beside its content.
#[derive(Debug, Clone, Default)]
pub struct TensorNotes {
    /// Its name in the file, where that is not the one of the value that it gives.
    pub name: String,
    /// Text for people.
    pub doc: String,
    /// Whatever its writer noted.
    pub properties: Properties,
    /// Fields that are not interpreted.
    pub carried: Carried,
}

impl TensorNotes {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.name.is_empty() && self.doc.is_empty() && self.properties.is_empty() && self.carried.is_empty()
    }
}

/// An operator that the model defines itself.
#[derive(Debug, Clone, Default)]
pub struct Function {
    /// Domain of the operator.
    pub domain: String,
    /// Name of the operator.
    pub name: String,
    /// Which of several functions of the same name this is.
    pub overload: String,
    /// Attributes that a node must give.
    pub attributes: Vec<String>,
    /// Attributes that a node may give, with what they are otherwise.
    pub defaults: Vec<(String, Attribute)>,
    /// Text on those, by their names.
    pub attribute_docs: Properties,
    /// Its inputs, outputs and nodes, its operator sets, text and notes.
    pub body: Graph,
}

/// Values of the model's graph and the outputs of a training graph that become them.
pub type Bindings = Vec<(String, String)>;

/// How a model is trained: what sets up its tensors, and what a step does to them.
#[derive(Debug, Clone, Default)]
pub struct Training {
    /// Sets up.
    pub initialization: Option<Graph>,
    /// A step.
    pub algorithm: Option<Graph>,
    /// What becomes of the outputs of `initialization`.
    pub initialization_binding: Bindings,
    /// What becomes of the outputs of `algorithm`.
    pub update_binding: Bindings,
    /// Fields that are not interpreted.
    pub carried: Carried,
}
