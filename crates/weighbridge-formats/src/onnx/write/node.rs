//! `NodeProto` and `AttributeProto`.

use weighbridge_model::{
    Attribute, DType, Error, Graph, Node, Place, Properties, Result, Tensor, Value, ValueId,
};

use super::Writer;
use super::graph::properties;
use crate::protobuf::write::Draft;

impl Writer<'_> {
    pub(super) fn node(&mut self, graph: &Graph, node: &Node) -> Result<Draft> {
        let mut draft = Draft::default();
        let name = |id: &Option<ValueId>| id.map_or("", |id| &graph.value(id).name);
        node.inputs.iter().for_each(|id| draft.bytes(1, name(id).as_bytes()));
        node.outputs.iter().for_each(|id| draft.bytes(2, name(id).as_bytes()));
        draft.text(3, &node.name);
        draft.text(4, &node.op);
        for (name, attribute) in &node.attributes {
            if node.op == "Constant" {
                self.unchanged(graph, node, name, attribute);
            }
            draft.message(5, self.attribute(name, attribute, &node.attribute_docs)?);
        }
        draft.text(6, &node.doc);
        draft.text(7, &node.domain);
        draft.text(8, &node.overload);
        properties(&mut draft, 9, &node.properties);
        node.carried.iter().for_each(|field| draft.encoded(field));
        Ok(draft)
    }

    /// Refuses a tensor that stood for the plain numbers of a `Constant` node and holds others now: what is written is
    /// the attribute.
    fn unchanged(&mut self, graph: &Graph, node: &Node, name: &str, attribute: &Attribute) {
        let (Attribute::Value(value), Some(Some(output))) = (attribute, node.outputs.first()) else { return };
        let tensor = format!("{}@{name}", graph.value(*output).name);
        if self.in_attributes.get(&*tensor).is_some_and(|tensor| !holds(tensor, value)) {
            self.refused
                .push((tensor, "it stands for the numbers in a node's attribute, which are others".into()));
        }
    }

    pub(super) fn attribute(
        &mut self,
        name: &str,
        attribute: &Attribute,
        docs: &Properties,
    ) -> Result<Draft> {
        let mut draft = Draft::default();
        if let Attribute::Opaque { bytes: Some(bytes), .. } = attribute {
            draft.encoded(bytes);
            return Ok(draft);
        }
        draft.text(1, name);
        let kind = match attribute {
            Attribute::Value(value) => plain(&mut draft, value).ok_or_else(|| {
                Error::unsupported(Place::default().node(name), "an attribute that is no plain value")
            })?,
            Attribute::EmptyList { kind } => *kind,
            Attribute::Tensor(id) => {
                draft.message(5, self.tensor(*id, None)?);
                4
            }
            Attribute::Tensors(ids) => {
                for &id in ids {
                    draft.message(10, self.tensor(id, None)?);
                }
                9
            }
            Attribute::Sparse(sparse) => {
                draft.message(22, self.sparse(sparse, None)?);
                11
            }
            Attribute::Sparses(tensors) => {
                for sparse in tensors {
                    draft.message(23, self.sparse(sparse, None)?);
                }
                12
            }
            Attribute::Graph(graph) => {
                draft.message(6, self.graph(graph)?);
                5
            }
            Attribute::Graphs(graphs) => {
                for graph in graphs {
                    draft.message(11, self.graph(graph)?);
                }
                10
            }
            Attribute::Reference { to, kind } => {
                draft.text(21, to);
                *kind
            }
            other => {
                let what = format!("attribute '{name}' of a kind that is not written: {other:?}");
                return Err(Error::unsupported(Place::default(), what));
            }
        };
        if let Some((_, doc)) = docs.iter().find(|(of, _)| of == name) {
            draft.text(13, doc);
        }
        draft.int(20, kind);
        Ok(draft)
    }
}

/// Whether a tensor's elements are these numbers.
fn holds(tensor: &Tensor, value: &Value) -> bool {
    let items = value.as_list().unwrap_or(std::slice::from_ref(value));
    let (mut rest, mut same) = (items.iter(), items.len() as u64 == tensor.count());
    if tensor.dtype == DType::Str || !same {
        return same;
    }
    let visited = tensor.visit_values(0..tensor.count(), &mut |_, values| {
        same &= values
            .iter()
            .zip(&mut rest)
            .all(|(x, item)| item.as_float().is_some_and(|y| *x == y || x.is_nan() && y.is_nan()));
        Ok(())
    });
    visited.is_ok() && same
}

/// Adds a plain value, and tells its kind; `None` where it has none of ONNX's.
fn plain(draft: &mut Draft, value: &Value) -> Option<i64> {
    match value {
        Value::Float(x) => draft.float(2, *x as f32),
        Value::Int(i) => draft.int(3, *i),
        Value::Str(text) => draft.bytes(4, text.as_bytes()),
        Value::List(items) => {
            for item in items {
                match (item, items.first()?) {
                    (Value::Float(x), Value::Float(_)) => draft.float(7, *x as f32),
                    (Value::Int(i), Value::Int(_)) => draft.int(8, *i),
                    (Value::Str(text), Value::Str(_)) => draft.bytes(9, text.as_bytes()),
                    _ => return None,
                }
            }
            return Some(match items.first()? {
                Value::Float(_) => 6,
                Value::Int(_) => 7,
                _ => 8,
            });
        }
        _ => return None,
    }
    Some(match value {
        Value::Float(_) => 1,
        Value::Int(_) => 2,
        _ => 3,
    })
}
