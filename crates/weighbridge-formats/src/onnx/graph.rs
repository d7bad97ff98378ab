//! `GraphProto` and `FunctionProto`: names resolved to values, across the graphs that enclose each other.

use std::collections::HashMap;

use weighbridge_model::{
    DType, Dim, Error, Graph, GraphValue, Limits, Model, Place, Result, Role, Tensor, TensorId, Value,
    ValueId,
};

use super::check::Faults;
use super::external::External;
use super::tensor::{self, Sparse};
use super::usage::Use;
use crate::format::ReadOptions;
use crate::protobuf::{Field, Message};
use crate::source::Source;

/// What is known of a value while its graph is read.
#[derive(Default)]
struct Fact {
    used: Option<Use>,
    /// Its tensor, and whether that stands in a `Constant` node.
    tensor: Option<(TensorId, bool)>,
    /// Whether an input or an initializer gives it.
    given: bool,
    maker: Option<u32>,
}

/// A graph that is being read.
#[derive(Default)]
pub(super) struct Scope {
    pub(super) graph: Graph,
    names: HashMap<String, ValueId>,
    facts: Vec<Fact>,
    /// What nodes read from within their subgraphs.
    captures: Vec<(u32, ValueId)>,
}

impl Scope {
    fn value(&mut self, name: String) -> ValueId {
        if let Some(&id) = self.names.get(&name) {
            return id;
        }
        let id = ValueId(self.graph.values.len() as u32);
        self.names.insert(name.clone(), id);
        self.graph.values.push(GraphValue { name, dtype: None, shape: None });
        self.facts.push(Fact::default());
        id
    }

    fn fact(&mut self, value: ValueId) -> &mut Fact {
        &mut self.facts[value.0 as usize]
    }

    /// Notes a use of a value; the strongest counts.
    pub(super) fn used(&mut self, value: ValueId, by: Use) {
        let fact = self.fact(value);
        fact.used = fact.used.max(Some(by));
    }

    /// Notes that node `maker` makes a value.
    pub(super) fn made(&mut self, value: ValueId, maker: u32, faults: &mut Faults) {
        let fact = &mut self.facts[value.0 as usize];
        if fact.given || fact.maker.is_some() {
            faults.remade(&self.graph.values[value.0 as usize].name);
        }
        fact.maker.get_or_insert(maker);
    }

    /// Notes that a `Constant` node holds this value.
    pub(super) fn inline(&mut self, value: ValueId, tensor: TensorId) {
        self.fact(value).tensor.get_or_insert((tensor, true));
    }

    /// Notes a value's type and shape; what is known already stays.
    pub(super) fn declare(&mut self, value: ValueId, dtype: Option<DType>, shape: Option<Vec<Dim>>) {
        let declared = &mut self.graph.values[value.0 as usize];
        declared.dtype = declared.dtype.or(dtype);
        declared.shape = declared.shape.take().or(shape);
    }
}

/// Names that a graph reads and does not give, with how it uses them: for the graph around it to resolve.
type Free = Vec<(String, Use)>;

/// Reads graphs into one model.
pub(super) struct Reader {
    pub(super) limits: Limits,
    pub(super) external: External,
    pub(super) faults: Faults,
    model: Model,
    items: u64,
    annotations: Vec<(String, Value)>,
}

impl Reader {
    pub(super) fn new(source: &Source, options: &ReadOptions) -> Self {
        let external = External::beside(source, options.access);
        Reader {
            limits: options.limits,
            external,
            faults: Faults::new(),
            model: Model::default(),
            items: 0,
            annotations: Vec::new(),
        }
    }

    /// The model, with what was noticed.
    pub(super) fn finish(mut self) -> Model {
        self.model.findings.extend(self.faults.findings());
        self.model.files = self.external.files();
        if !self.annotations.is_empty() {
            let annotations = Value::Map(self.annotations);
            self.model.metadata.push(("quantization_annotation".to_owned(), annotations));
        }
        self.model
    }

    /// Counts one more thing that memory is kept for.
    pub(super) fn item(&mut self, place: &Place) -> Result<()> {
        self.items += 1;
        if self.items > self.limits.items {
            let (asked, allowed) = (self.items, self.limits.items);
            return Err(Error::Limit {
                place: place.clone(),
                what: "tensors, nodes and values",
                asked,
                allowed,
            });
        }
        Ok(())
    }

    /// Takes a tensor into the model.
    pub(super) fn push(&mut self, tensor: Tensor, message: &Message<'_>) -> Result<TensorId> {
        self.item(&message.place())?;
        Ok(self.model.push(tensor))
    }

    /// The value that a node's field names; the empty name stands for one that is left out.
    pub(super) fn named(&mut self, scope: &mut Scope, field: &Field<'_>) -> Result<Option<ValueId>> {
        self.item(&field.place())?;
        let name = field.text()?;
        Ok((!name.is_empty()).then(|| scope.value(name)))
    }

    /// Reads the graph that nothing encloses.
    pub(super) fn outermost(&mut self, message: &Message<'_>) -> Result<Graph> {
        let (graph, free) = self.graph(message)?;
        free.iter().for_each(|(name, _)| self.faults.missing(name));
        Ok(graph)
    }

    /// Reads a training graph for its tensors. It may read from the model's own graph.
    pub(super) fn training(&mut self, message: &Message<'_>) -> Result<()> {
        let first = self.model.tensors.len();
        self.graph(message)?;
        for tensor in &mut self.model.tensors[first..] {
            (tensor.role, tensor.role_guessed) = (Role::Other, false);
        }
        Ok(())
    }

    /// Reads a graph in an attribute of the node that `scope` takes next.
    pub(super) fn subgraph(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<Graph> {
        let (graph, free) = self.graph(message)?;
        let node = scope.graph.nodes.len() as u32;
        for (name, by) in free {
            let value = scope.value(name);
            scope.used(value, by);
            scope.captures.push((node, value));
        }
        Ok(graph)
    }

    /// Reads a function for the tensors in its body, and returns its name.
    pub(super) fn function(&mut self, message: &Message<'_>) -> Result<String> {
        let mut scope = Scope::default();
        let (mut name, mut domain, mut overload) = (String::new(), String::new(), String::new());
        let mut defaults = Vec::new();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = field.text()?,
                11 => defaults.push(field.message()?),
                13 => overload = field.text()?,
                4 => {
                    if let Some(value) = self.named(&mut scope, &field)? {
                        scope.fact(value).given = true;
                    }
                }
                7 => self.node(&mut scope, &field.message()?)?,
                10 => domain = super::node::domain(field.text()?),
                _ => {}
            }
        }
        if !overload.is_empty() {
            name = format!("{name}:{overload}");
        }
        // Defaults of its attributes, which may be tensors.
        for attribute in &defaults {
            self.attribute(&mut scope, attribute, &name)?;
        }
        let (_, free) = self.close(scope);
        free.iter().for_each(|(name, _)| self.faults.missing(name));
        Ok(if domain.is_empty() { name } else { format!("{domain}.{name}") })
    }

    fn graph(&mut self, message: &Message<'_>) -> Result<(Graph, Free)> {
        let mut scope = Scope::default();
        // Nodes are written before the initializers they read, and listed after them.
        for field in message.fields() {
            let field = field?;
            match field.number {
                5 => self.initializer(&mut scope, &field.message()?)?,
                15 => self.sparse_initializer(&mut scope, &field.message()?)?,
                _ => {}
            }
        }
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => self.node(&mut scope, &field.message()?)?,
                2 => scope.graph.name = field.text()?,
                11 => {
                    if let Some(value) = self.declaration(&mut scope, &field.message()?)? {
                        scope.fact(value).given = true;
                        scope.graph.inputs.push(value);
                    }
                }
                12 => {
                    if let Some(value) = self.declaration(&mut scope, &field.message()?)? {
                        scope.used(value, Use::Passed);
                        scope.graph.outputs.push(value);
                    }
                }
                13 => {
                    self.declaration(&mut scope, &field.message()?)?;
                }
                14 => self.annotation(&field.message()?)?,
                _ => {}
            }
        }
        Ok(self.close(scope))
    }

    /// `TensorAnnotation`: which tensors hold the scale and the zero point of another.
    fn annotation(&mut self, message: &Message<'_>) -> Result<()> {
        self.item(&message.place())?;
        let (mut name, mut parameters) = (String::new(), Vec::new());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = field.text()?,
                2 => {
                    self.item(&field.place())?;
                    let (key, value) = entry(&field.message()?)?;
                    parameters.push((key, Value::Str(value)));
                }
                _ => {}
            }
        }
        self.annotations.push((name, Value::Map(parameters)));
        Ok(())
    }

    fn initializer(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<()> {
        let tensor = tensor::read(message, None, &self.limits, &mut self.external)?;
        let (name, dtype, shape) = (tensor.name.clone(), tensor.dtype, tensor.shape.clone());
        let id = self.push(tensor, message)?;
        if let Some(value) = self.given(scope, name, dtype, &shape) {
            scope.fact(value).tensor.get_or_insert((id, false));
            scope.graph.initializers.push((value, id));
        }
        Ok(())
    }

    /// The dense tensor is what the graph's value holds; where there is none, its parts are all there is.
    fn sparse_initializer(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<()> {
        let Sparse { dense, values, indices, dims } =
            tensor::read_sparse(message, None, &self.limits, &mut self.external)?;
        let name = dense.as_ref().unwrap_or(&values).name.clone();
        let dtype = values.dtype;
        let dense = dense.map(|dense| self.push(dense, message)).transpose()?;
        let shape = dims.iter().map(|&d| Value::Int(d as i64)).collect();
        self.model.metadata.push((format!("sparse shape of {name}"), Value::List(shape)));
        let values = self.push(values, message)?;
        self.push(indices.with_role(Role::Constant, false), message)?;
        if let Some(value) = self.given(scope, name, dtype, &dims) {
            scope.fact(value).tensor.get_or_insert((dense.unwrap_or(values), false));
            scope.graph.initializers.extend(dense.map(|dense| (value, dense)));
        }
        Ok(())
    }

    /// The value that an initializer gives; none where it has no name.
    fn given(&mut self, scope: &mut Scope, name: String, dtype: DType, shape: &[u64]) -> Option<ValueId> {
        if name.is_empty() {
            return None;
        }
        let value = scope.value(name);
        let again = std::mem::replace(&mut scope.fact(value).given, true);
        if again {
            self.faults.duplicate(&scope.graph.values[value.0 as usize].name);
        }
        scope.declare(value, Some(dtype), Some(shape.iter().map(|&d| Dim::Known(d)).collect()));
        Some(value)
    }

    /// Draws what follows from a whole graph: roles, what is noticed, and what it takes from around it.
    fn close(&mut self, scope: Scope) -> (Graph, Free) {
        let Scope { graph, facts, captures, .. } = scope;
        let mut free = Free::new();
        for (fact, value) in facts.iter().zip(&graph.values) {
            match (fact.tensor, fact.used) {
                (Some((id, inline)), Some(by)) => {
                    let tensor = &mut self.model.tensors[id.0 as usize];
                    (tensor.role, tensor.role_guessed) = (by.role(tensor, inline), false);
                }
                (Some((_, false)), None) => self.faults.unused(&value.name),
                (None, Some(by)) if !fact.given && fact.maker.is_none() => {
                    free.push((value.name.clone(), by))
                }
                _ => {}
            }
        }
        let makers: Vec<Option<u32>> = facts.iter().map(|fact| fact.maker).collect();
        self.faults.order(&graph, &makers, &captures);
        (graph, free)
    }
}

/// A key and its value.
pub(super) fn entry(message: &Message<'_>) -> Result<(String, String)> {
    let (mut key, mut value) = (String::new(), String::new());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    Ok((key, value))
}
