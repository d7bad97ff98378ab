//! `GraphDef` and `FunctionDef`: nodes that name the outputs that they read.
//!
//! In a graph `name` and `name:0` are a node's first output, `name:1` its second, `^name` only waits for it. In a
//! function `node:output:index` is an output by its name, and a bare name an argument.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use weighbridge_model::{
    Attribute, Error, Graph, GraphValue, Limits, Model, Node, Place, Result, Role, TensorId, Value, ValueId,
};

use super::attribute::{self, Content};
use super::usage::Use;
use super::{tensor, types};
use crate::name_bytes::NameBytes;
use crate::protobuf::{Field, Message};

/// Domain of the operators.
pub(super) const DOMAIN: &str = "tensorflow";

/// A graph that was read, before it is known which of its values are variables.
#[derive(Debug, Clone, Default)]
pub(super) struct Template {
    pub graph: Graph,
    /// Values that constants give.
    pub constants: HashMap<ValueId, TensorId>,
    /// Nodes that call functions: the attribute that names each.
    pub calls: Vec<(usize, String, Vec<String>)>,
    /// Text that constants hold.
    pub strings: HashMap<ValueId, Vec<String>>,
    names: HashMap<String, ValueId>,
}

impl Template {
    fn named(&mut self, name: &str) -> ValueId {
        let name = first(name);
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        let id = ValueId(self.graph.values.len() as u32);
        self.names.insert(name.to_owned(), id);
        self.graph.values.push(GraphValue { name: name.to_owned(), ..GraphValue::default() });
        id
    }
}

/// A node's first output goes by the node's name alone.
fn first(name: &str) -> &str {
    match name.strip_suffix(":0") {
        // In a function, an output's name stands before its index.
        Some(stem) if !stem.contains(':') => stem,
        _ => name,
    }
}

/// The node that makes a value, by the value's name.
fn maker(name: &str) -> &str {
    name.split(':').next().unwrap_or(name)
}

/// Reads graphs and functions into one model.
pub(super) struct Reader<'a> {
    pub limits: Limits,
    pub model: Model,
    /// The library of functions.
    pub library: HashMap<String, Message<'a>>,
    /// Their names in order.
    pub order: Vec<String>,
    pub uses: HashMap<TensorId, Use>,
    templates: HashMap<String, Option<Rc<Template>>>,
    /// Nodes that were read.
    pub nodes: u64,
    items: u64,
    names: NameBytes,
}

impl<'a> Reader<'a> {
    pub fn new(limits: Limits, model: Model) -> Self {
        Reader {
            limits,
            model,
            library: HashMap::new(),
            order: Vec::new(),
            uses: HashMap::new(),
            templates: HashMap::new(),
            nodes: 0,
            items: 0,
            names: NameBytes::default(),
        }
    }

    /// Counts things that memory is kept for.
    pub fn item(&mut self, place: &Place) -> Result<()> {
        self.items += 1;
        let (asked, allowed) = (self.items, self.limits.items);
        match asked > allowed {
            true => {
                Err(Error::Limit { place: place.clone(), what: "tensors, nodes and values", asked, allowed })
            }
            false => Ok(()),
        }
    }

    /// Reads a graph; its library goes into the reader's.
    ///
    /// # Errors
    /// Messages that contradict themselves.
    pub fn graph(&mut self, message: &Message<'a>) -> Result<Template> {
        let mut template = Template::default();
        let mut nodes = Vec::new();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => self.node(&mut template, &mut nodes, &field.message()?, "")?,
                2 => self.functions(&field.message()?)?,
                _ => {}
            }
        }
        link(&mut template, nodes);
        Ok(template)
    }

    fn functions(&mut self, library: &Message<'a>) -> Result<()> {
        for field in library.fields() {
            let field = field?;
            if field.number != 1 {
                continue;
            }
            self.item(&field.place())?;
            let function = field.message()?;
            let mut name = String::new();
            for field in function.fields() {
                let field = field?;
                if field.number == 1 {
                    name = signature(&field.message()?)?.0;
                    break;
                }
            }
            if self.library.insert(name.clone(), function).is_none() {
                self.order.push(name);
            }
        }
        Ok(())
    }

    /// A function's body; `None` where the library has none of this name.
    ///
    /// # Errors
    /// As [`Reader::graph`].
    pub fn function(&mut self, name: &str) -> Result<Option<Rc<Template>>> {
        if let Some(template) = self.templates.get(name) {
            return Ok(template.clone());
        }
        let template = match self.library.get(name).cloned() {
            Some(message) => Some(Rc::new(self.body(name, &message)?)),
            None => None,
        };
        self.templates.insert(name.to_owned(), template.clone());
        Ok(template)
    }

    fn body(&mut self, name: &str, message: &Message<'a>) -> Result<Template> {
        let mut template =
            Template { graph: Graph { name: name.to_owned(), ..Graph::default() }, ..Template::default() };
        let (mut nodes, mut outputs, mut returned) = (Vec::new(), Vec::new(), HashMap::new());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => {
                    let (_, inputs, made) = signature(&field.message()?)?;
                    for input in inputs {
                        self.item(&field.place())?;
                        let value = template.named(&input);
                        template.graph.inputs.push(value);
                    }
                    outputs = made;
                }
                3 => self.node(&mut template, &mut nodes, &field.message()?, name)?,
                4 => {
                    self.item(&field.place())?;
                    let (mut key, mut value) = (String::new(), String::new());
                    for field in field.message()?.fields() {
                        let field = field?;
                        match field.number {
                            1 => key = field.text()?,
                            2 => value = field.text()?,
                            _ => {}
                        }
                    }
                    returned.insert(key, value);
                }
                _ => {}
            }
        }
        for output in outputs {
            if let Some(value) = returned.get(&output) {
                let value = template.named(value);
                template.graph.outputs.push(value);
            }
        }
        link(&mut template, nodes);
        Ok(template)
    }

    /// Reads a node. `function` is where it stands; empty in a graph.
    fn node(
        &mut self,
        template: &mut Template,
        nodes: &mut Vec<String>,
        message: &Message<'a>,
        function: &str,
    ) -> Result<()> {
        self.item(&message.place())?;
        self.nodes += 1;
        let mut node = Node { domain: DOMAIN.to_owned(), ..Node::default() };
        let mut attributes = Vec::new();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => node.name = field.text()?,
                2 => node.op = field.text()?,
                3 => {
                    self.item(&field.place())?;
                    let name = field.text()?;
                    if !name.starts_with('^') {
                        node.inputs.push(Some(template.named(&name)));
                    }
                }
                5 => attributes.push(field),
                _ => {}
            }
        }
        let shown = if node.name.is_empty() { node.op.clone() } else { node.name.clone() };
        let in_node = |error: Error| error.in_node(&shown);
        if node.op.is_empty() {
            return Err(in_node(Error::malformed(message.place(), "a node without an operator")));
        }
        if function.is_empty() && !matches!(node.op.as_str(), "NoOp" | "Assert") {
            node.outputs.push(Some(template.named(&node.name)));
        }
        for field in attributes {
            self.attribute(template, &mut node, &field, function).map_err(in_node)?;
        }
        nodes.push(node.name.clone());
        template.graph.nodes.push(node);
        Ok(())
    }

    fn attribute(
        &mut self,
        template: &mut Template,
        node: &mut Node,
        field: &Field<'a>,
        function: &str,
    ) -> Result<()> {
        self.item(&field.place())?;
        let (key, value) = attribute::entry(&field.message()?)?;
        let Some(value) = value else { return Ok(()) };
        let attribute = match attribute::read(&value, &self.limits)? {
            Content::Value(value) => Attribute::Value(value),
            Content::Type(number) => {
                if let ("dtype", Some(output)) = (key.as_str(), node.outputs.first().copied().flatten()) {
                    template.graph.values[output.0 as usize].dtype = types::dtype(number);
                }
                Attribute::Value(attribute::type_name(number))
            }
            Content::Shapes(shapes) => {
                if key == "_output_shapes" {
                    let output = node.outputs.first().copied().flatten();
                    if let (Some(output), Some(shape)) = (output, shapes.first()) {
                        template.graph.values[output.0 as usize].shape = shape.declared();
                    }
                    return Ok(());
                }
                Attribute::Value(Value::List(shapes.iter().map(attribute::sizes).collect()))
            }
            Content::Tensor(message) => {
                let is_constant = node.op == "Const" && key == "value";
                let stem = if is_constant { node.name.clone() } else { format!("{}@{key}", node.name) };
                let name = if function.is_empty() { stem } else { format!("{function}/{stem}") };
                self.names.take(name.len(), || message.place())?;
                let read = tensor::read(&message, &name, &self.limits)?;
                let id = self.model.push(read.tensor.with_role(Role::Constant, false));
                if is_constant {
                    let output = match function {
                        "" => template.named(&node.name),
                        _ => template.named(&format!("{}:output:0", node.name)),
                    };
                    template.constants.insert(output, id);
                    if !read.strings.is_empty() {
                        template.strings.insert(output, read.strings);
                    }
                }
                Attribute::Tensor(id)
            }
            Content::Functions(names) => {
                let shown = names.join(", ");
                template.calls.push((template.graph.nodes.len(), key.clone(), names));
                Attribute::Opaque { what: format!("function {shown}"), bytes: None }
            }
            Content::Opaque(what) => Attribute::Opaque { what, bytes: None },
        };
        node.attributes.push((key, attribute));
        Ok(())
    }
}

/// Gives nodes the outputs that others read of them.
fn link(template: &mut Template, nodes: Vec<String>) {
    let index: HashMap<&str, usize> = nodes.iter().map(String::as_str).zip(0..).collect();
    let arguments: HashSet<ValueId> = template.graph.inputs.iter().copied().collect();
    let Graph { nodes, values, .. } = &mut template.graph;
    for (value, id) in values.iter().zip((0..).map(ValueId)) {
        if arguments.contains(&id) {
            continue;
        }
        if let Some(&node) = index.get(maker(&value.name))
            && nodes[node].outputs.first() != Some(&Some(id))
        {
            nodes[node].outputs.push(Some(id));
        }
    }
}

/// An `OpDef`'s name, and the names of its inputs and outputs.
fn signature(message: &Message<'_>) -> Result<(String, Vec<String>, Vec<String>)> {
    let (mut name, mut inputs, mut outputs) = (String::new(), Vec::new(), Vec::new());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            2 | 3 => {
                let mut argument = String::new();
                for field in field.message()?.fields() {
                    let field = field?;
                    if field.number == 1 {
                        argument = field.text()?;
                    }
                }
                if field.number == 2 { inputs.push(argument) } else { outputs.push(argument) }
            }
            _ => {}
        }
    }
    Ok((name, inputs, outputs))
}
