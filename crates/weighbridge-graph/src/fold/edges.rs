//! Who makes and who reads each value of a graph.

use std::collections::HashSet;

use weighbridge_model::{Attribute, Graph, TensorId, ValueId};

/// Makers and readers of a graph's values, by value.
#[derive(Debug, Clone)]
pub struct Edges {
    makers: Vec<Option<u32>>,
    readers: Vec<Vec<u32>>,
    tensors: Vec<Option<TensorId>>,
    /// Graph outputs, and what subgraphs read.
    seen: Vec<bool>,
    inputs: Vec<bool>,
    users: Vec<u32>,
}

impl Edges {
    /// Goes through `graph` once, subgraphs included. `tensors` is how many its model has.
    pub fn of(graph: &Graph, tensors: usize) -> Self {
        let n = graph.values.len();
        let mut edges = Edges {
            makers: vec![None; n],
            readers: vec![Vec::new(); n],
            tensors: vec![None; n],
            seen: vec![false; n],
            inputs: vec![false; n],
            users: vec![0; tensors],
        };
        let constants = graph.constants();
        for &(value, tensor) in &constants {
            edges.tensors[value.0 as usize] = Some(tensor);
        }
        for &input in &graph.inputs {
            edges.inputs[input.0 as usize] = true;
        }
        for &output in &graph.outputs {
            edges.seen[output.0 as usize] = true;
        }
        let mut captured = HashSet::new();
        for (index, node) in (0u32..).zip(&graph.nodes) {
            for output in node.outputs.iter().flatten() {
                edges.makers[output.0 as usize] = Some(index);
            }
            for input in node.inputs.iter().flatten() {
                edges.readers[input.0 as usize].push(index);
            }
            // What a constant holds is counted where it is read.
            for (_, attribute) in node.attributes.iter().filter(|_| node.op != "Constant") {
                inner(attribute, &mut captured, &mut edges.users);
            }
        }
        for (value, seen) in graph.values.iter().zip(&mut edges.seen) {
            *seen |= captured.contains(value.name.as_str());
        }
        for (value, tensor) in &constants {
            if let Some(users) = edges.users.get_mut(tensor.0 as usize) {
                *users +=
                    edges.readers[value.0 as usize].len() as u32 + u32::from(edges.seen[value.0 as usize]);
            }
        }
        edges
    }

    /// Index of the node that makes a value.
    pub fn maker(&self, value: ValueId) -> Option<usize> {
        self.makers[value.0 as usize].map(|index| index as usize)
    }

    /// Nodes that read a value, once for each time they do.
    pub fn readers(&self, value: ValueId) -> impl ExactSizeIterator<Item = usize> {
        self.readers[value.0 as usize].iter().map(|&index| index as usize)
    }

    /// The only node that reads a value, which nothing else sees: neither a subgraph nor who runs the graph.
    pub fn only_reader(&self, value: ValueId) -> Option<usize> {
        match self.readers[value.0 as usize][..] {
            [index] if !self.is_seen(value) => Some(index as usize),
            _ => None,
        }
    }

    /// Whether a value is an output of the graph, or read by a subgraph.
    pub fn is_seen(&self, value: ValueId) -> bool {
        self.seen[value.0 as usize]
    }

    /// The tensor that a value always is: a constant, or an initializer that is no input, which could be given
    /// otherwise.
    pub fn constant(&self, value: ValueId) -> Option<TensorId> {
        self.tensors[value.0 as usize].filter(|_| !self.inputs[value.0 as usize])
    }

    /// Whether an initializer is also an input.
    pub fn is_overridable(&self, value: ValueId) -> bool {
        self.tensors[value.0 as usize].is_some() && self.inputs[value.0 as usize]
    }

    /// How often a tensor is read, through any value.
    pub fn users(&self, tensor: TensorId) -> u32 {
        self.users.get(tensor.0 as usize).copied().unwrap_or(0)
    }
}

/// Names that subgraphs read without making them, and may therefore be of this graph; tensors that they use.
fn inner<'a>(attribute: &'a Attribute, captured: &mut HashSet<&'a str>, users: &mut [u32]) {
    let mut use_of = |tensor: &TensorId| {
        if let Some(users) = users.get_mut(tensor.0 as usize) {
            *users += 1;
        }
    };
    let graphs: &[Graph] = match attribute {
        Attribute::Graph(graph) => std::slice::from_ref(graph),
        Attribute::Graphs(graphs) => graphs,
        Attribute::Tensor(tensor) => return use_of(tensor),
        Attribute::Tensors(tensors) => return tensors.iter().for_each(use_of),
        _ => return,
    };
    for graph in graphs {
        let given = graph.inputs.iter().chain(graph.initializers.iter().map(|(value, _)| value));
        let made = graph.nodes.iter().flat_map(|node| node.outputs.iter().flatten());
        let own: HashSet<ValueId> = given.chain(made).copied().collect();
        graph.initializers.iter().for_each(|(_, tensor)| use_of(tensor));
        let read = graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).chain(&graph.outputs);
        captured.extend(read.filter(|v| !own.contains(v)).map(|&v| graph.value(v).name.as_str()));
    }
    for node in graphs.iter().flat_map(|graph| &graph.nodes) {
        // As deep as the file nests graphs, which its reader bounds.
        node.attributes.iter().for_each(|(_, attribute)| inner(attribute, captured, users));
    }
}
