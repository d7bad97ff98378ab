//! The computation graph, in the domain of the file it was read from.

use crate::{DType, TensorId, Value};

/// Index of a value within its [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// One dimension of a value's declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// A fixed size.
    Known(u64),
    /// A named size, the same wherever the name stands.
    Symbol(String),
    /// Nothing is known.
    Unknown,
}

/// A value that flows along an edge, or is held by an initializer.
#[derive(Debug, Clone)]
pub struct GraphValue {
    /// Its name in the file.
    pub name: String,
    /// Declared element type.
    pub dtype: Option<DType>,
    /// Declared shape.
    pub shape: Option<Vec<Dim>>,
}

/// An attribute of a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Attribute {
    /// A plain value or a list of plain values.
    Value(Value),
    /// A tensor.
    Tensor(TensorId),
    /// A subgraph (the branch of an `If`, the body of a `Loop`…).
    Graph(Box<Graph>),
    /// A kind of attribute that is kept by name only.
    Opaque(String),
}

/// An operator applied to values.
#[derive(Debug, Clone, Default)]
pub struct Node {
    /// The node's own name; may be empty.
    pub name: String,
    /// Operator domain; `""` is ONNX's default one.
    pub domain: String,
    /// Operator name.
    pub op: String,
    /// Inputs in order; `None` where an optional one is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs in order; `None` where an optional one is left out.
    pub outputs: Vec<Option<ValueId>>,
    /// Attributes in file order.
    pub attributes: Vec<(String, Attribute)>,
}

impl Node {
    /// The attribute of this name, where it is a plain value.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find_map(|(n, a)| match a {
            Attribute::Value(v) if n == name => Some(v),
            _ => None,
        })
    }
}

/// A graph of nodes over values.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    /// The graph's name.
    pub name: String,
    /// Every value that is named.
    pub values: Vec<GraphValue>,
    /// Inputs in order.
    pub inputs: Vec<ValueId>,
    /// Outputs in order.
    pub outputs: Vec<ValueId>,
    /// Nodes in file order.
    pub nodes: Vec<Node>,
    /// Values that are given by tensors of the model.
    pub initializers: Vec<(ValueId, TensorId)>,
    /// Operator sets: domain and version.
    pub opsets: Vec<(String, i64)>,
}
