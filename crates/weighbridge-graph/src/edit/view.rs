//! What a pass sees of a graph.

use weighbridge_model::{DType, Graph, GraphValue, Model, Node, Tensor, TensorId, Value, ValueId};

use super::{Edit, Fact, Given, Kind, NodeId, Outer, Size};

/// Elements of a constant that are read to be looked at.
const FEW: u64 = 4096;

impl Edit<'_, '_> {
    /// The node of this id, which must not have been removed.
    pub fn node(&self, id: NodeId) -> &Node {
        self.slots[id.0 as usize].node.as_ref().expect("the node is there")
    }

    /// Whether the node of this id is still there.
    pub fn has(&self, id: NodeId) -> bool {
        self.slots[id.0 as usize].node.is_some()
    }

    /// Nodes in order.
    pub fn nodes(&self) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> =
            (0..self.slots.len() as u32).map(NodeId).filter(|&id| self.has(id)).collect();
        ids.sort_by_key(|id| self.slots[id.0 as usize].order);
        ids
    }

    /// Of these nodes the one that stands before the others.
    pub fn foremost(&self, ids: &[NodeId]) -> Option<NodeId> {
        ids.iter().copied().min_by_key(|id| self.slots[id.0 as usize].order)
    }

    /// One more than the largest id of a node.
    pub fn node_bound(&self) -> usize {
        self.slots.len()
    }

    /// How many nodes were removed so far.
    pub fn removed_count(&self) -> usize {
        self.removed.len()
    }

    /// Whether this is the body of a function.
    pub fn is_function(&self) -> bool {
        self.kind == Kind::Function
    }

    /// The graph, without its nodes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The model, without its graph.
    pub fn model(&self) -> &Model {
        self.shared.model
    }

    /// The value of this id.
    pub fn value(&self, id: ValueId) -> &GraphValue {
        self.graph.value(id)
    }

    /// Which node makes a value.
    pub fn producer(&self, value: ValueId) -> Option<NodeId> {
        self.links[value.0 as usize].producer
    }

    /// The node that makes a value, if it is of ONNX's operator `op`.
    pub fn made_by(&self, value: ValueId, op: &str) -> Option<(NodeId, &Node)> {
        let id = self.producer(value)?;
        let node = self.node(id);
        (node.op == op && self.is_plain(id)).then_some((id, node))
    }

    /// Whether a node is of ONNX's own domain and does not contradict itself, with attributes that are all told here: a
    /// function's may be told by its caller.
    pub fn is_plain(&self, id: NodeId) -> bool {
        use weighbridge_model::Attribute::{Opaque, Reference};
        let node = self.node(id);
        let told = |attribute| !matches!(attribute, &Reference { .. } | &Opaque { .. });
        node.domain.is_empty()
            && !self.faulty.contains(&id)
            && node.attributes.iter().all(|(_, attribute)| told(attribute))
    }

    /// How often a value is read, by nodes, subgraphs and as an output.
    pub fn uses(&self, value: ValueId) -> u32 {
        self.links[value.0 as usize].uses
    }

    /// Whether one node alone reads a value, once, and nothing else does.
    pub fn is_private(&self, value: ValueId) -> bool {
        let links = &self.links[value.0 as usize];
        links.uses == 1 && !links.output
    }

    /// Nodes that read a value, each once.
    pub fn consumers(&self, value: ValueId) -> Vec<NodeId> {
        let mut readers = self.links[value.0 as usize].readers.clone();
        readers.sort_unstable();
        readers.dedup();
        readers.retain(|id| {
            let slot = &self.slots[id.0 as usize];
            let reads = |node: &Node| node.inputs.contains(&Some(value)) || slot.captured.contains(&value);
            slot.node.as_ref().is_some_and(reads)
        });
        readers
    }

    /// The one node that reads a value, where nothing else does.
    pub fn sole_consumer(&self, value: ValueId) -> Option<NodeId> {
        self.is_private(value).then(|| self.consumers(value)).and_then(|ids| ids.first().copied())
    }

    /// Whether a value is an output of the graph.
    pub fn is_output(&self, value: ValueId) -> bool {
        self.links[value.0 as usize].output
    }

    /// Whether a value is an input of the graph.
    pub fn is_input(&self, value: ValueId) -> bool {
        self.links[value.0 as usize].input
    }

    /// Whether an initializer gives a value, be it an input as well.
    pub fn is_initialized(&self, value: ValueId) -> bool {
        self.links[value.0 as usize].tensor.is_some()
    }

    /// Whether a subgraph of some node reads a value.
    pub fn is_captured(&self, value: ValueId) -> bool {
        self.links[value.0 as usize].captures > 0
    }

    /// Whether a node holds subgraphs.
    pub fn has_subgraphs(&self, id: NodeId) -> bool {
        super::subgraphs(self.node(id)).next().is_some()
    }

    /// Where the subgraphs of a node are: number of the attribute, and place within a list of graphs.
    pub fn subgraph_places(&self, id: NodeId) -> Vec<(usize, usize)> {
        let mut places = Vec::new();
        for ((_, attribute), number) in self.node(id).attributes.iter().zip(0..) {
            match attribute {
                weighbridge_model::Attribute::Graph(_) => places.push((number, 0)),
                weighbridge_model::Attribute::Graphs(graphs) => {
                    places.extend((0..graphs.len()).map(|i| (number, i)))
                }
                _ => {}
            }
        }
        places
    }

    /// What is known of a value.
    pub fn fact(&self, value: ValueId) -> &Fact {
        &self.facts[value.0 as usize]
    }

    /// Adds to what is known of a value.
    pub fn learn(&mut self, value: ValueId, fact: &Fact) {
        self.facts[value.0 as usize].merge(fact);
    }

    /// Element type of a value.
    pub fn dtype(&self, value: ValueId) -> Option<DType> {
        self.fact(value).dtype
    }

    /// Sizes of a value.
    pub fn shape(&self, value: ValueId) -> Option<&[Size]> {
        self.fact(value).shape.as_deref()
    }

    /// Sizes of a value, where all are numbers.
    pub fn known_shape(&self, value: ValueId) -> Option<Vec<u64>> {
        self.shape(value)?.iter().map(|size| size.known().and_then(|n| u64::try_from(n).ok())).collect()
    }

    /// Number of dimensions.
    pub fn rank(&self, value: ValueId) -> Option<usize> {
        Some(self.shape(value)?.len())
    }

    /// The tensor that a value always is: an initializer that is no input, a `Constant` node's, or one of a graph around.
    pub fn constant_id(&self, value: ValueId) -> Option<TensorId> {
        let links = &self.links[value.0 as usize];
        if links.input || links.sparse {
            return None;
        }
        if let Some(tensor) = links.tensor {
            return Some(tensor);
        }
        if let Some(producer) = links.producer {
            let node = self.node(producer);
            return match node.attributes.as_slice() {
                [(name, weighbridge_model::Attribute::Tensor(id))]
                    if node.op == "Constant" && name == "value" && node.domain.is_empty() =>
                {
                    Some(*id)
                }
                _ => None,
            };
        }
        self.outer.get(&self.value(value).name)?.tensor
    }

    /// As [`Edit::constant_id`], the tensor.
    pub fn constant(&self, value: ValueId) -> Option<&Tensor> {
        self.constant_id(value).map(|id| self.shared.model.tensor(id))
    }

    /// Whether a value is an initializer of this graph, and no input.
    pub fn is_initializer(&self, value: ValueId) -> bool {
        let links = &self.links[value.0 as usize];
        links.tensor.is_some() && !links.input && !links.sparse
    }

    /// A few constant whole numbers, as the graph holds them or as is known of them.
    pub fn integers(&self, value: ValueId) -> Option<Vec<i64>> {
        if let Some(tensor) = self.constant(value) {
            return integers(tensor);
        }
        self.fact(value).integers.as_ref()?.iter().map(Size::known).collect()
    }

    /// A few constant numbers.
    pub fn numbers(&self, value: ValueId) -> Option<Vec<f64>> {
        let tensor = self.constant(value).filter(|t| t.count() <= FEW && t.dtype.is_real())?;
        let mut all = Vec::with_capacity(tensor.count() as usize);
        let visited = tensor.visit_values(0..tensor.count(), &mut |_, values| {
            all.extend_from_slice(values);
            Ok(())
        });
        visited.ok().map(|()| all)
    }

    /// Input number `slot` of a node, where it is given.
    pub fn input(&self, id: NodeId, slot: usize) -> Option<ValueId> {
        self.node(id).inputs.get(slot).copied().flatten()
    }

    /// Output number `slot` of a node, where it is given.
    pub fn output(&self, id: NodeId, slot: usize) -> Option<ValueId> {
        self.node(id).outputs.get(slot).copied().flatten()
    }

    /// A node's whole number.
    pub fn int(&self, id: NodeId, name: &str) -> Option<i64> {
        self.node(id).attribute(name).and_then(Value::as_int)
    }

    /// A node's whole numbers.
    pub fn ints(&self, id: NodeId, name: &str) -> Option<Vec<i64>> {
        self.node(id).attribute(name)?.as_list()?.iter().map(Value::as_int).collect()
    }

    /// A node's whole numbers: an attribute, or in later versions an input.
    pub fn ints_or_input(&self, id: NodeId, name: &str, slot: usize) -> Option<Vec<i64>> {
        self.ints(id, name).or_else(|| self.integers(self.input(id, slot)?))
    }

    /// A node's name; its first output's where it has none.
    pub fn label(&self, id: NodeId) -> String {
        self.name_of(self.node(id))
    }

    pub(super) fn name_of(&self, node: &Node) -> String {
        let output = || node.outputs.iter().flatten().next().map(|&v| self.value(v).name.clone());
        if node.name.is_empty() { output().unwrap_or_else(|| node.op.clone()) } else { node.name.clone() }
    }

    /// What the subgraphs of this graph's nodes may take from it and from around it.
    pub fn outer_for(&self, id: NodeId) -> Outer {
        let mut outer = Outer::new();
        for &value in &self.slots[id.0 as usize].captured {
            let given = Given { fact: self.fact(value).clone(), tensor: self.constant_id(value) };
            outer.insert(self.value(value).name.clone(), given);
        }
        outer
    }
}

/// All elements of a small tensor of whole numbers.
pub(crate) fn integers(tensor: &Tensor) -> Option<Vec<i64>> {
    if tensor.count() > FEW || !tensor.dtype.is_integer() {
        return None;
    }
    let mut all = Vec::with_capacity(tensor.count() as usize);
    let width = tensor.dtype.chunk_bytes();
    let visited = tensor.visit(0..tensor.count(), &mut |chunk| {
        let elements = chunk.bytes.chunks_exact(width);
        all.extend(elements.map(|e| weighbridge_model::dtype::to_integer(tensor.dtype, e)));
        Ok(())
    });
    visited.ok()?;
    all.into_iter().map(|i| i.and_then(|i| i64::try_from(i).ok())).collect()
}
