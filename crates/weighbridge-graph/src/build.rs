//! Putting graphs together: fresh values, nodes, initializers in memory.

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_model::{
    Attribute, DType, Dim, Graph, GraphValue, Memory, Model, Node, Place, Result, Role, Tensor, Value,
    ValueId,
};

/// Adds to a graph and to the tensors of its model.
#[derive(Debug)]
pub struct Builder<'a> {
    /// The tensors that initializers refer to.
    pub model: &'a mut Model,
    /// The graph that grows.
    pub graph: &'a mut Graph,
    /// Names that are taken, and the last number that was put behind each.
    names: HashMap<String, u32>,
}

impl<'a> Builder<'a> {
    /// A builder for `graph`, whose tensors are those of `model`.
    pub fn new(model: &'a mut Model, graph: &'a mut Graph) -> Self {
        let names = graph.values.iter().map(|value| (value.name.clone(), 1)).collect();
        Builder { model, graph, names }
    }

    /// A name like `wanted` that no value of the graph has yet.
    pub fn fresh_name(&mut self, wanted: &str) -> String {
        let Some(&taken) = self.names.get(wanted) else {
            self.names.insert(wanted.to_owned(), 1);
            return wanted.to_owned();
        };
        // Counted on from the last one: a name may be wanted thousands of times.
        let mut n = taken + 1;
        let mut name = format!("{wanted}_{n}");
        while self.names.contains_key(&name) {
            n += 1;
            name = format!("{wanted}_{n}");
        }
        self.names.insert(wanted.to_owned(), n);
        self.names.insert(name.clone(), 1);
        name
    }

    /// A new value, named like `wanted`.
    pub fn value(&mut self, wanted: &str) -> ValueId {
        let name = self.fresh_name(wanted);
        self.graph.values.push(GraphValue { name, ..GraphValue::default() });
        ValueId(self.graph.values.len() as u32 - 1)
    }

    /// A new initializer with the elements of `tensor`, under its name or one like it.
    pub fn initializer(&mut self, tensor: Tensor) -> ValueId {
        let value = self.value(&tensor.name);
        let known = &mut self.graph.values[value.0 as usize];
        known.dtype = Some(tensor.dtype);
        known.shape = Some(tensor.shape.iter().map(|&n| Dim::Known(n)).collect());
        let name = known.name.clone();
        let id = self.model.push(Tensor { name, ..tensor });
        self.graph.initializers.push((value, id));
        value
    }

    /// A new initializer of `I64`.
    ///
    /// # Errors
    /// A number of elements that is not the shape's.
    pub fn integers(&mut self, wanted: &str, shape: Vec<u64>, elements: &[i64]) -> Result<ValueId> {
        let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(wanted, DType::I64, shape, bytes)
    }

    /// A new initializer of `F32`.
    ///
    /// # Errors
    /// A number of elements that is not the shape's.
    pub fn floats(&mut self, wanted: &str, shape: Vec<u64>, elements: &[f32]) -> Result<ValueId> {
        let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(wanted, DType::F32, shape, bytes)
    }

    /// A new initializer over bytes at hand, row-major and little-endian.
    ///
    /// # Errors
    /// Bytes that the shape does not fit.
    pub fn constant(
        &mut self,
        wanted: &str,
        dtype: DType,
        shape: Vec<u64>,
        bytes: Vec<u8>,
    ) -> Result<ValueId> {
        Ok(self.initializer(in_memory(wanted, dtype, shape, bytes)?))
    }

    /// A new node of ONNX's default domain; it is named after its first output.
    pub fn node(
        &mut self,
        op: &str,
        inputs: Vec<Option<ValueId>>,
        outputs: Vec<ValueId>,
        attributes: Vec<(&str, Value)>,
    ) -> &mut Node {
        let name = outputs.first().map_or_else(String::new, |&id| self.graph.value(id).name.clone());
        let attributes = attributes.into_iter().map(|(k, v)| (k.to_owned(), Attribute::Value(v))).collect();
        self.graph.nodes.push(Node {
            name,
            op: op.to_owned(),
            inputs,
            outputs: outputs.into_iter().map(Some).collect(),
            attributes,
            ..Node::default()
        });
        self.graph.nodes.last_mut().expect("just pushed")
    }

    /// A new `Cast`, without a name: those of nodes are their own, and a value's may be one of them.
    pub fn cast(&mut self, from: ValueId, to: ValueId, dtype: DType) {
        // 0 is "undefined".
        let to_type = Value::Int(dtype.to_onnx().unwrap_or(0));
        self.node("Cast", vec![Some(from)], vec![to], vec![("to", to_type)]).name.clear();
    }
}

/// A tensor over bytes at hand, row-major and little-endian.
///
/// # Errors
/// Bytes that the shape does not fit.
pub fn in_memory(name: &str, dtype: DType, shape: Vec<u64>, bytes: Vec<u8>) -> Result<Tensor> {
    let storage = Arc::new(Memory::new(bytes));
    let place = Place::source("what was computed");
    Ok(Tensor::contiguous(name, dtype, shape, storage, &place)?.with_role(Role::Constant, false))
}
