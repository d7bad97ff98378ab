//! Bytes that parts of a graph take in a file.

use weighbridge_model::{Attribute, Node, Tensor, Value};

use super::Edit;

/// Bytes of a number, seven bits in each.
fn varint(n: u64) -> i64 {
    i64::from((64 - (n | 1).leading_zeros()).div_ceil(7))
}

/// A field that holds `bytes` bytes: its number, its length, and these.
fn field(bytes: i64) -> i64 {
    1 + varint(bytes as u64) + bytes
}

/// A field that holds text; empty text is left out.
fn text(text: &str) -> i64 {
    if text.is_empty() { 0 } else { field(text.len() as i64) }
}

/// A tensor that is called `name`, its elements included.
pub(super) fn of_tensor(tensor: &Tensor, name: &str) -> i64 {
    let elements = field(i64::try_from(tensor.bytes()).unwrap_or(i64::MAX / 4));
    let sizes: i64 = tensor.shape.iter().map(|&n| 1 + varint(n)).sum();
    field(sizes + 2 + text(name) + elements)
}

fn of_value(value: &Value) -> i64 {
    match value {
        Value::Int(n) => 1 + varint(*n as u64),
        Value::Float(_) => 5,
        Value::Str(s) => field(s.len() as i64),
        Value::List(items) => items.iter().map(of_value).sum(),
        _ => 2,
    }
}

impl Edit<'_, '_> {
    /// Bytes that a node takes in a file, and a tensor that is its attribute; less than it does where it holds what is
    /// not looked at (subgraphs, text for people), so that what is won by its going is not overrated.
    pub fn bytes_of(&self, node: &Node) -> i64 {
        let value = |value: &Option<_>| value.map_or(2, |v| field(self.graph.value(v).name.len() as i64));
        let attribute = |(name, attribute): &(String, Attribute)| {
            let content = match attribute {
                Attribute::Value(value) => of_value(value),
                Attribute::Tensor(id) => of_tensor(self.shared.model.tensor(*id), ""),
                _ => 0,
            };
            field(text(name) + 3 + content)
        };
        let values: i64 = node.inputs.iter().chain(&node.outputs).map(value).sum();
        let attributes: i64 = node.attributes.iter().map(attribute).sum();
        field(values + attributes + text(&node.name) + text(&node.op) + text(&node.domain))
    }
}
