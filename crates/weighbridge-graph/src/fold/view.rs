//! What the search for folds needs to see of a graph, whether that stands still or is being edited.

use weighbridge_model::{Dim, Graph, GraphValue, Model, Node, TensorId, ValueId};

use super::Edges;
use crate::edit::{Edit, NodeId};

/// A graph to look at. Nodes are known by numbers below [`View::bound`].
pub trait View {
    /// The model whose tensors the graph refers to.
    fn model(&self) -> &Model;

    /// One more than the largest number of a node.
    fn bound(&self) -> usize;

    /// The node of this number, unless it is gone.
    fn node(&self, number: usize) -> Option<&Node>;

    /// The value of this id.
    fn value(&self, value: ValueId) -> &GraphValue;

    /// The node that makes a value.
    fn maker(&self, value: ValueId) -> Option<usize>;

    /// Nodes that read a value.
    fn readers(&self, value: ValueId) -> Vec<usize>;

    /// The only node that reads a value, once, which nothing else sees: neither a subgraph nor who runs the graph.
    fn only_reader(&self, value: ValueId) -> Option<usize>;

    /// Whether a value is an output of the graph, or read by a subgraph.
    fn is_seen(&self, value: ValueId) -> bool;

    /// The tensor that a value always is.
    fn constant(&self, value: ValueId) -> Option<TensorId>;

    /// Whether a value is given by an initializer, and may be given otherwise by who runs the graph.
    fn is_overridable(&self, value: ValueId) -> bool;

    /// How often the tensor behind a value is read, by whatever.
    fn users(&self, value: ValueId) -> u32;

    /// Sizes of a value, where they are numbers; `None` where not even how many there are is known.
    fn sizes(&self, value: ValueId) -> Option<Vec<Option<u64>>>;

    /// The version of ONNX's default operators.
    fn version(&self) -> i64;

    /// The name of a node, or of its first output where it has none.
    fn label(&self, number: usize) -> String {
        let Some(node) = self.node(number) else { return String::new() };
        let output = node.outputs.iter().flatten().next();
        match (node.name.as_str(), output) {
            ("", Some(&output)) => self.value(output).name.clone(),
            (name, _) => name.to_owned(),
        }
    }
}

/// A graph that nothing changes.
#[derive(Debug)]
pub struct Still<'a> {
    model: &'a Model,
    graph: &'a Graph,
    edges: Edges,
}

impl<'a> Still<'a> {
    /// Looks at `graph`, whose tensors are those of `model`.
    pub fn new(model: &'a Model, graph: &'a Graph) -> Self {
        Still { model, graph, edges: Edges::of(graph, model.tensors.len()) }
    }
}

impl View for Still<'_> {
    fn model(&self) -> &Model {
        self.model
    }

    fn bound(&self) -> usize {
        self.graph.nodes.len()
    }

    fn node(&self, number: usize) -> Option<&Node> {
        self.graph.nodes.get(number)
    }

    fn value(&self, value: ValueId) -> &GraphValue {
        self.graph.value(value)
    }

    fn maker(&self, value: ValueId) -> Option<usize> {
        self.edges.maker(value)
    }

    fn readers(&self, value: ValueId) -> Vec<usize> {
        self.edges.readers(value).collect()
    }

    fn only_reader(&self, value: ValueId) -> Option<usize> {
        self.edges.only_reader(value)
    }

    fn is_seen(&self, value: ValueId) -> bool {
        self.edges.is_seen(value)
    }

    fn constant(&self, value: ValueId) -> Option<TensorId> {
        self.edges.constant(value)
    }

    fn is_overridable(&self, value: ValueId) -> bool {
        self.edges.is_overridable(value)
    }

    fn users(&self, value: ValueId) -> u32 {
        self.constant(value).map_or(0, |tensor| self.edges.users(tensor))
    }

    fn sizes(&self, value: ValueId) -> Option<Vec<Option<u64>>> {
        let size = |dim: &Dim| match dim {
            Dim::Known(n) => Some(*n),
            _ => None,
        };
        Some(self.value(value).shape.as_ref()?.iter().map(size).collect())
    }

    fn version(&self) -> i64 {
        let graphs = [Some(self.graph), self.model.graph.as_ref()];
        let mut sets = graphs.into_iter().flatten().flat_map(|graph| &graph.opsets);
        sets.find(|(domain, _)| domain.is_empty()).map_or(1, |(_, version)| *version)
    }
}

impl View for Edit<'_, '_> {
    fn model(&self) -> &Model {
        self.model()
    }

    fn bound(&self) -> usize {
        self.node_bound()
    }

    fn node(&self, number: usize) -> Option<&Node> {
        let id = NodeId(number as u32);
        self.has(id).then(|| self.node(id))
    }

    fn value(&self, value: ValueId) -> &GraphValue {
        self.value(value)
    }

    fn maker(&self, value: ValueId) -> Option<usize> {
        self.producer(value).map(|id| id.0 as usize)
    }

    fn readers(&self, value: ValueId) -> Vec<usize> {
        self.consumers(value).into_iter().map(|id| id.0 as usize).collect()
    }

    fn only_reader(&self, value: ValueId) -> Option<usize> {
        let reader = self.sole_consumer(value)?;
        (!self.is_captured(value)).then_some(reader.0 as usize)
    }

    fn is_seen(&self, value: ValueId) -> bool {
        self.is_output(value) || self.is_captured(value)
    }

    fn constant(&self, value: ValueId) -> Option<TensorId> {
        self.constant_id(value)
    }

    fn is_overridable(&self, value: ValueId) -> bool {
        self.is_input(value) && self.is_initialized(value)
    }

    fn users(&self, value: ValueId) -> u32 {
        // What a graph around this one holds may be read there too.
        let own = self.is_initializer(value) || self.producer(value).is_some();
        if own { self.uses(value) } else { u32::MAX }
    }

    fn sizes(&self, value: ValueId) -> Option<Vec<Option<u64>>> {
        let known = |size: &crate::edit::Size| size.known().and_then(|n| u64::try_from(n).ok());
        Some(self.shape(value)?.iter().map(known).collect())
    }

    fn version(&self) -> i64 {
        self.opset
    }
}
