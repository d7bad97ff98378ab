//! The computation graph, in the domain of the file it was read from.
//!
//! A true representation rather than a view of bytes: values and tensors are known by their ids, names are only
//! names, and whatever a graph's file says can be written again from it. What a container holds and nothing here
//! has a place for is carried along as [`Carried`] bytes.

mod program;
mod value;

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Storage, TensorId, Value};

pub use program::{Bindings, Function, Program, TensorNotes, Training};
pub use value::{Dim, GraphValue, ValueId, ValueType};

/// Fields of a container's own encoding that nothing here interprets, as they stand in its file.
pub type Carried = Vec<Arc<dyn Storage>>;

/// Keys and values in file order.
pub type Properties = Vec<(String, String)>;

/// A sparse tensor: its stored elements, where they belong, and the shape they are spread over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparseTensor {
    /// The dense tensor that it stands for, unless that is too large to be gone through.
    pub dense: Option<TensorId>,
    /// Stored elements.
    pub values: TensorId,
    /// Their positions, `[entries]`, or coordinates, `[entries, dimensions]`.
    pub indices: TensorId,
    /// The dense shape.
    pub dims: Vec<u64>,
}

/// An attribute of a node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Attribute {
    /// A plain value or a list of plain values.
    Value(Value),
    /// A list without items, of a kind that its container's number tells.
    EmptyList {
        /// The kind of attribute, by its container's number.
        kind: i64,
    },
    /// A tensor.
    Tensor(TensorId),
    /// A list of tensors.
    Tensors(Vec<TensorId>),
    /// A sparse tensor.
    Sparse(SparseTensor),
    /// A list of sparse tensors.
    Sparses(Vec<SparseTensor>),
    /// A subgraph (the branch of an `If`, the body of a `Loop`…).
    Graph(Box<Graph>),
    /// A list of subgraphs.
    Graphs(Vec<Graph>),
    /// Within a function: the value of the function's attribute of this name.
    Reference {
        /// Name of the function's attribute.
        to: String,
        /// The kind of attribute, by its container's number.
        kind: i64,
    },
    /// A kind of attribute that is not interpreted: types, long lists, strings of other than text.
    Opaque {
        /// What it is, for people.
        what: String,
        /// The attribute in its container's encoding, where that is written again.
        bytes: Option<Arc<dyn Storage>>,
    },
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
    /// Which of several functions of the same name is meant.
    pub overload: String,
    /// Inputs in order; `None` where an optional one is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// Outputs in order; `None` where an optional one is left out.
    pub outputs: Vec<Option<ValueId>>,
    /// Attributes in file order.
    pub attributes: Vec<(String, Attribute)>,
    /// Text on attributes, by their names.
    pub attribute_docs: Properties,
    /// Text for people.
    pub doc: String,
    /// Whatever its writer noted.
    pub properties: Properties,
    /// Fields that are not interpreted.
    pub carried: Carried,
}

impl Node {
    /// The attribute of this name, where it is a plain value.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        static EMPTY: Value = Value::List(Vec::new());
        self.attributes.iter().find_map(|(n, a)| match a {
            Attribute::Value(v) if n == name => Some(v),
            Attribute::EmptyList { .. } if n == name => Some(&EMPTY),
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
    /// Values in between whose type the file declares, in order.
    pub declared: Vec<ValueId>,
    /// Nodes in file order.
    pub nodes: Vec<Node>,
    /// Values that are given by tensors of the model.
    pub initializers: Vec<(ValueId, TensorId)>,
    /// Values that are given by sparse tensors; their dense ones are among `initializers`.
    pub sparse: Vec<(ValueId, SparseTensor)>,
    /// Which values hold what a value is quantized with: `SCALE_TENSOR`, `ZERO_POINT_TENSOR`…
    pub quantization: Vec<(ValueId, Vec<(String, ValueId)>)>,
    /// Operator sets: domain and version.
    pub opsets: Vec<(String, i64)>,
    /// Text for people.
    pub doc: String,
    /// Whatever its writer noted.
    pub properties: Properties,
    /// What stands beside the outermost graph of an ONNX model; `None` elsewhere.
    pub program: Option<Box<Program>>,
    /// Fields that are not interpreted.
    pub carried: Carried,
}

impl Graph {
    /// The value of this id.
    pub fn value(&self, id: ValueId) -> &GraphValue {
        &self.values[id.0 as usize]
    }

    /// Values that are tensors of the file: initializers, what ONNX's `Constant` nodes give, and either under another
    /// name by `Identity`. An initializer that is also an input may be given otherwise by who runs the graph.
    pub fn constants(&self) -> Vec<(ValueId, TensorId)> {
        let mut all = self.initializers.clone();
        let mut known: HashMap<ValueId, TensorId> = HashMap::new();
        if self.nodes.iter().any(|node| node.domain.is_empty() && node.op == "Identity") {
            known.extend(all.iter().copied());
        }
        for node in self.nodes.iter().filter(|node| node.domain.is_empty()) {
            let Some(Some(output)) = node.outputs.first() else { continue };
            let tensor = match (node.op.as_str(), node.attributes.first(), node.inputs.first()) {
                ("Constant", Some((_, Attribute::Tensor(tensor))), _) => *tensor,
                ("Identity", _, Some(Some(from))) => match known.get(from) {
                    Some(&tensor) => tensor,
                    None => continue,
                },
                _ => continue,
            };
            known.insert(*output, tensor);
            all.push((*output, tensor));
        }
        all
    }
}
