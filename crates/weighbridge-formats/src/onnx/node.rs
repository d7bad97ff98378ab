//! `NodeProto` and `AttributeProto`.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{
    Attribute, DType, Error, Layout, Memory, Node, Place, Result, Role, SparseTensor, Tensor, TensorId, Value,
};

use super::check::label;
use super::graph::{Reader, Scope};
use super::tensor;
use super::usage;
use crate::protobuf::{Field, Message};

/// Longest list that an attribute keeps; longer ones (the trees of a forest) are kept by name and count.
const LIST: usize = 1 << 16;

/// The operator domain of this name: the default one has two spellings.
pub(super) fn domain(name: String) -> String {
    if name == "ai.onnx" { String::new() } else { name }
}

/// An attribute's content, before its kind is known.
#[derive(Default)]
struct Content<'a> {
    name: String,
    kind: i64,
    reference: String,
    doc: String,
    float: f32,
    int: i64,
    string: Option<Range<u64>>,
    numbers: Vec<Value>,
    /// How many numbers or strings there are, kept or not.
    listed: usize,
    messages: Vec<(u32, Message<'a>)>,
    /// Number of the last content field, which tells the kind where the writer does not.
    last: u32,
}

/// An attribute that was read.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) attribute: Attribute,
    pub(super) doc: String,
    /// How many numbers or strings it lists.
    listed: usize,
}

impl Reader {
    /// Reads a node into `scope`.
    pub(super) fn node(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<()> {
        self.item(&message.place())?;
        let mut node = Node::default();
        let mut attributes = Vec::new();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => node.inputs.push(self.named(scope, &field)?),
                2 => node.outputs.push(self.named(scope, &field)?),
                3 => node.name = field.text()?,
                4 => node.op = field.text()?,
                // Their tensors are named after the output, which may come later.
                5 => attributes.push(field.message()?),
                6 => node.doc = field.text()?,
                7 => node.domain = domain(field.text()?),
                8 => node.overload = field.text()?,
                9 => self.property(&mut node.properties, &field)?,
                _ => self.carry(&mut node.carried, &field)?,
            }
        }
        let shown = label(&scope.graph, &node);
        let in_node = |error: Error| error.in_node(&shown);
        if node.op.is_empty() {
            return Err(in_node(Error::malformed(message.place(), "a node without an operator")));
        }
        let index = scope.graph.nodes.len() as u32;
        for (slot, &input) in node.inputs.iter().enumerate() {
            if let Some(value) = input {
                scope.used(value, usage::of(&node, slot));
            }
        }
        for &output in node.outputs.iter().flatten() {
            scope.made(output, index, &mut self.faults);
        }
        let output = node.outputs.iter().flatten().next().copied();
        // Tensors bear the output's name rather than the node's.
        let owner = output.map_or_else(|| shown.clone(), |v| scope.graph.values[v.0 as usize].name.clone());
        for attribute in attributes {
            let read = self.attribute(scope, &attribute, &owner).map_err(in_node)?;
            if let (("value", &Attribute::Tensor(id)), Some(output)) =
                ((read.name.as_str(), &read.attribute), output)
                && node.op == "Constant"
            {
                scope.inline(output, id);
            }
            if node.op == "Constant"
                && let Some(tensor) = plain_constant(&owner, &read)
            {
                self.names.take(tensor.name.len(), || attribute.place())?;
                let id = self.push(tensor, &attribute)?;
                output.into_iter().for_each(|output| scope.inline(output, id));
            }
            if !read.doc.is_empty() {
                node.attribute_docs.push((read.name.clone(), read.doc));
            }
            node.attributes.push((read.name, read.attribute));
        }
        scope.graph.nodes.push(node);
        Ok(())
    }

    pub(super) fn attribute(
        &mut self,
        scope: &mut Scope,
        message: &Message<'_>,
        owner: &str,
    ) -> Result<Read> {
        let mut content = self.content(message)?;
        // The kind's number and its field's differ; writers before IR version 2 gave no kind.
        let field = match content.kind {
            1..=10 => [2, 3, 4, 5, 6, 7, 8, 9, 10, 11][content.kind as usize - 1],
            11 => 22,
            12 => 23,
            13 => 14,
            14 => 15,
            _ => content.last,
        };
        let name = std::mem::take(&mut content.name);
        let path = || format!("{owner}@{name}");
        let messages: Vec<Message<'_>> =
            content.messages.drain(..).filter(|(n, _)| *n == field).map(|(_, m)| m).collect();
        let attribute = match field {
            _ if !content.reference.is_empty() => {
                Attribute::Reference { to: std::mem::take(&mut content.reference), kind: content.kind }
            }
            2 => Attribute::Value(Value::Float(f64::from(content.float))),
            3 => Attribute::Value(Value::Int(content.int)),
            4 => Attribute::Value(string(message, content.string.unwrap_or_default())?),
            7..=9 if content.listed > LIST => opaque(message, format!("list of {}", content.listed))?,
            7..=9 if content.listed == 0 => Attribute::EmptyList { kind: i64::from(field) - 1 },
            7..=9 => Attribute::Value(Value::List(content.numbers)),
            5 => match messages.as_slice() {
                [tensor] => Attribute::Tensor(self.constant(tensor, path())?),
                _ => return Err(not_one(message, &name, messages.len(), "tensor")),
            },
            10 => {
                let numbered = messages.iter().enumerate();
                let tensors = numbered.map(|(i, t)| self.constant(t, format!("{}.{i}", path())));
                Attribute::Tensors(tensors.collect::<Result<_>>()?)
            }
            6 => match messages.as_slice() {
                [graph] => Attribute::Graph(Box::new(self.subgraph(scope, graph)?)),
                _ => return Err(not_one(message, &name, messages.len(), "graph")),
            },
            11 => {
                let graphs = messages.iter().map(|graph| self.subgraph(scope, graph));
                Attribute::Graphs(graphs.collect::<Result<_>>()?)
            }
            22 => match messages.as_slice() {
                [tensor] => Attribute::Sparse(self.sparse_constant(tensor, path())?),
                _ => return Err(not_one(message, &name, messages.len(), "sparse tensor")),
            },
            23 => {
                let numbered = messages.iter().enumerate();
                let tensors = numbered.map(|(i, t)| self.sparse_constant(t, format!("{}.{i}", path())));
                Attribute::Sparses(tensors.collect::<Result<_>>()?)
            }
            14 | 15 => opaque(message, "type")?,
            _ => opaque(message, "nothing")?,
        };
        let attribute = match attribute {
            Attribute::Value(value) if holds_bytes(&value) => opaque(message, "bytes that are no text")?,
            attribute => attribute,
        };
        Ok(Read { name, attribute, doc: content.doc, listed: content.listed })
    }

    fn content<'a>(&mut self, message: &Message<'a>) -> Result<Content<'a>> {
        let mut content = Content::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => content.name = field.text()?,
                2 => content.float = field.float()?,
                3 => content.int = field.int()?,
                4 => content.string = Some(field.bytes()?),
                5 | 6 | 10 | 11 | 22 | 23 => content.messages.push((field.number, field.message()?)),
                7 | 8 => self.list(&mut content, &field)?,
                9 => {
                    content.listed += 1;
                    if content.listed <= LIST {
                        self.item(&field.place())?;
                        content.numbers.push(string(message, field.bytes()?)?);
                    }
                }
                13 => content.doc = field.text()?,
                20 => content.kind = field.int()?,
                21 => content.reference = field.text()?,
                _ => {}
            }
            if matches!(field.number, 2..=11 | 14 | 15 | 22 | 23) {
                content.last = field.number;
            }
        }
        Ok(content)
    }

    fn list(&mut self, content: &mut Content<'_>, field: &Field<'_>) -> Result<()> {
        let mut numbers = field.numbers();
        while !numbers.is_done() {
            let value = match field.number {
                7 => Value::Float(f64::from(f32::from_le_bytes(numbers.fixed()?))),
                _ => Value::Int(numbers.varint()? as i64),
            };
            content.listed += 1;
            if content.listed <= LIST {
                self.item(&field.place())?;
                content.numbers.push(value);
            }
        }
        Ok(())
    }

    /// A tensor of an attribute; a `Constant` node's may turn out to be a weight.
    fn constant(&mut self, message: &Message<'_>, name: String) -> Result<TensorId> {
        self.names.take(name.len(), || message.place())?;
        let (tensor, notes) = tensor::read(message, Some(name), &self.limits, &mut self.external)?;
        let id = self.push(tensor.with_role(Role::Constant, false), message)?;
        self.note(id, notes);
        Ok(id)
    }

    fn sparse_constant(&mut self, message: &Message<'_>, name: String) -> Result<SparseTensor> {
        self.names.take(name.len(), || message.place())?;
        let read = tensor::read_sparse(message, Some(name), &self.limits, &mut self.external)?;
        self.sparse(read, message, Some(Role::Constant))
    }
}

/// The tensor that a `Constant` node holds as plain numbers or strings; `None` where this is none of those forms.
fn plain_constant(owner: &str, read: &Read) -> Option<Tensor> {
    static NONE: Value = Value::List(Vec::new());
    let value = match &read.attribute {
        Attribute::Value(value) => value,
        Attribute::EmptyList { .. } | Attribute::Opaque { .. } => &NONE,
        _ => return None,
    };
    let listed = vec![read.listed as u64];
    let (dtype, shape) = match (read.name.as_str(), value) {
        ("value_float", Value::Float(_)) => (DType::F32, Vec::new()),
        ("value_int", Value::Int(_)) => (DType::I64, Vec::new()),
        ("value_string", _) => (DType::Str, Vec::new()),
        ("value_floats", Value::List(items)) if items.len() == read.listed => (DType::F32, listed),
        ("value_ints", Value::List(items)) if items.len() == read.listed => (DType::I64, listed),
        ("value_strings", Value::List(_)) => (DType::Str, listed),
        _ => return None,
    };
    let mut bytes = Vec::new();
    for item in value.as_list().unwrap_or(std::slice::from_ref(value)) {
        match (dtype, item) {
            (DType::F32, Value::Float(x)) => bytes.extend((*x as f32).to_le_bytes()),
            (DType::I64, Value::Int(i)) => bytes.extend(i.to_le_bytes()),
            (DType::Str, _) => {}
            _ => return None,
        }
    }
    let is_text = dtype == DType::Str;
    let stored = if is_text { vec![0] } else { shape.clone() };
    let storage = Arc::new(Memory::new(bytes));
    let mut tensor =
        Tensor::contiguous(format!("{owner}@{}", read.name), dtype, stored, storage, &Place::default())
            .ok()?;
    if is_text {
        (tensor.shape, tensor.layout) = (shape, Layout::Opaque);
    }
    Some(tensor.with_role(Role::Constant, false))
}

/// An attribute that is carried as it stands.
fn opaque(message: &Message<'_>, what: impl Into<String>) -> Result<Attribute> {
    Ok(Attribute::Opaque { what: what.into(), bytes: Some(message.storage()?) })
}

/// Whether not all of it is text or numbers.
fn holds_bytes(value: &Value) -> bool {
    match value {
        Value::Bytes(_) => true,
        Value::List(items) => items.iter().any(holds_bytes),
        _ => false,
    }
}

/// Text, or the count of bytes that are none.
fn string(message: &Message<'_>, range: Range<u64>) -> Result<Value> {
    let len = range.end - range.start;
    let bytes = message.source().window(range.start, len)?;
    Ok(match std::str::from_utf8(&bytes) {
        Ok(text) => Value::Str(text.to_owned()),
        Err(_) => Value::Bytes(len),
    })
}

fn not_one(message: &Message<'_>, name: &str, count: usize, kind: &str) -> Error {
    Error::malformed(message.place(), format!("attribute '{name}' has {count} {kind}s, where it has one"))
}
