//! What a pass wants changed, told before anything is.

use weighbridge_model::{Node, Tensor, ValueId};

use super::{Edit, Fact, NodeId};

/// Changes to a graph that belong together. Nodes of whose outputs nothing is read any more go by themselves.
#[derive(Debug)]
pub struct Patch {
    /// Values that there were when it was made: its own are counted from here.
    pub(super) base: u32,
    pub(super) values: Vec<(String, Fact)>,
    pub(super) constants: Vec<(ValueId, Tensor)>,
    pub(super) nodes: Vec<(NodeId, Node)>,
    pub(super) rewritten: Vec<(NodeId, Node)>,
    pub(super) replaced: Vec<(ValueId, ValueId)>,
}

impl Patch {
    /// No change yet.
    pub fn new(edit: &Edit<'_, '_>) -> Self {
        Patch {
            base: edit.graph().values.len() as u32,
            values: Vec::new(),
            constants: Vec::new(),
            nodes: Vec::new(),
            rewritten: Vec::new(),
            replaced: Vec::new(),
        }
    }

    /// Everything that reads `old` reads `new`, and nothing else changes.
    pub fn replacing(edit: &Edit<'_, '_>, old: ValueId, new: ValueId) -> Self {
        let mut patch = Patch::new(edit);
        patch.replace(old, new);
        patch
    }

    /// A new value, named like `wanted`.
    pub fn value(&mut self, wanted: &str, fact: Fact) -> ValueId {
        self.values.push((wanted.to_owned(), fact));
        ValueId(self.base + self.values.len() as u32 - 1)
    }

    /// A new initializer, named like the tensor.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let mut fact = Fact::of(&tensor);
        fact.integers = super::view::integers(&tensor)
            .filter(|_| tensor.shape.len() <= 1)
            .map(|list| list.into_iter().map(super::Size::Known).collect());
        let value = self.value(&tensor.name.clone(), fact);
        self.constants.push((value, tensor));
        value
    }

    /// A new initializer of I64.
    pub fn integers(&mut self, wanted: &str, shape: Vec<u64>, elements: &[i64]) -> ValueId {
        let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensor = crate::build::in_memory(wanted, weighbridge_model::DType::I64, shape, bytes);
        self.constant(tensor.expect("the caller gives as many elements as the shape has"))
    }

    /// A new node that stands where node `at` does, before anything that reads from that one.
    pub fn node(&mut self, at: NodeId, node: Node) {
        self.nodes.push((at, node));
    }

    /// A node becomes another.
    pub fn rewrite(&mut self, id: NodeId, node: Node) {
        self.rewritten.push((id, node));
    }

    /// Everything that reads `old` reads `new`, which has the same elements.
    pub fn replace(&mut self, old: ValueId, new: ValueId) {
        self.replaced.push((old, new));
    }
}
