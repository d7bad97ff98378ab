//! `GraphProto` and `FunctionProto`: names resolved to values, across the graphs that enclose each other.

use std::collections::HashMap;

use weighbridge_model::{
    Carried, DType, Dim, Error, Function, Graph, GraphValue, Limits, Model, Place, Properties, Result, Role,
    SparseTensor, Tensor, TensorId, TensorNotes, Value, ValueId,
};

use super::check::Faults;
use super::external::External;
use super::tensor::{self, Sparse};
use super::usage::Use;
use crate::format::ReadOptions;
use crate::name_bytes::NameBytes;
use crate::protobuf::{Field, Message};
use crate::source::Source;

/// Names that graphs may hand to those around them, for each thing that was read: every level takes them along.
const HANDED_UP: u64 = 8;
/// As many more, however little was read.
const SLACK: u64 = 100_000;

/// What is known of a value while its graph is read.
#[derive(Default)]
struct Fact {
    used: Option<Use>,
    /// Its tensor, and whether that stands in a `Constant` node.
    tensor: Option<(TensorId, bool)>,
    /// Whether an input or an initializer gives it.
    given: bool,
    /// Type and shape of the initializer that gives it.
    own: Option<(DType, Vec<u64>)>,
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
        self.names.insert(name.clone(), ValueId(self.graph.values.len() as u32));
        self.new_value(name)
    }

    fn new_value(&mut self, name: String) -> ValueId {
        let id = ValueId(self.graph.values.len() as u32);
        self.graph.values.push(GraphValue { name, ..GraphValue::default() });
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

    /// Notes a value's declaration, the first there is.
    pub(super) fn declare(&mut self, value: ValueId, as_declared: GraphValue) {
        let known = &mut self.graph.values[value.0 as usize];
        if known.dtype.is_none() && known.declared.is_none() {
            let name = std::mem::take(&mut known.name);
            *known = GraphValue { name, ..as_declared };
        }
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
    /// Names that graphs did not find within themselves, counted at each level.
    handed_up: u64,
    /// Those of tensors in attributes repeat their nodes'.
    pub(super) names: NameBytes,
    annotations: Vec<(String, Value)>,
    notes: Vec<(TensorId, TensorNotes)>,
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
            handed_up: 0,
            names: NameBytes::default(),
            annotations: Vec::new(),
            notes: Vec::new(),
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

    /// What is said of tensors beside their content.
    pub(super) fn take_notes(&mut self) -> Vec<(TensorId, TensorNotes)> {
        std::mem::take(&mut self.notes)
    }

    /// Keeps what is said of a tensor.
    pub(super) fn note(&mut self, tensor: TensorId, notes: TensorNotes) {
        if !notes.is_empty() {
            self.notes.push((tensor, notes));
        }
    }

    /// Keeps a field that nothing here interprets.
    pub(super) fn carry(&mut self, carried: &mut Carried, field: &Field<'_>) -> Result<()> {
        self.item(&field.place())?;
        carried.push(field.encoded()?);
        Ok(())
    }

    /// Keeps a key and its value.
    pub(super) fn property(&mut self, properties: &mut Properties, field: &Field<'_>) -> Result<()> {
        self.item(&field.place())?;
        properties.push(entry(&field.message()?)?);
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

    /// Reads a training graph. It may read from the model's own graph.
    pub(super) fn training(&mut self, message: &Message<'_>) -> Result<Graph> {
        let first = self.model.tensors.len();
        let (graph, _) = self.graph(message)?;
        for tensor in &mut self.model.tensors[first..] {
            (tensor.role, tensor.role_guessed) = (Role::Other, false);
        }
        Ok(graph)
    }

    /// Reads a graph in an attribute of the node that `scope` takes next.
    pub(super) fn subgraph(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<Graph> {
        let (graph, free) = self.graph(message)?;
        self.handed_up += free.len() as u64;
        let (asked, allowed) = (self.handed_up, self.items.saturating_mul(HANDED_UP).saturating_add(SLACK));
        if asked > allowed {
            let what = "names that graphs within graphs take from around them";
            return Err(Error::Limit { place: message.place(), what, asked, allowed });
        }
        let node = scope.graph.nodes.len() as u32;
        for (name, by) in free {
            let value = scope.value(name);
            scope.used(value, by);
            scope.captures.push((node, value));
        }
        Ok(graph)
    }

    /// Reads a function.
    pub(super) fn function(&mut self, message: &Message<'_>) -> Result<Function> {
        let mut scope = Scope::default();
        let mut function = Function::default();
        let mut defaults = Vec::new();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => function.name = field.text()?,
                4 => {
                    if let Some(value) = self.named(&mut scope, &field)? {
                        scope.fact(value).given = true;
                        scope.graph.inputs.push(value);
                    }
                }
                5 => {
                    let output = self.named(&mut scope, &field)?;
                    scope.graph.outputs.extend(output);
                }
                6 => {
                    self.item(&field.place())?;
                    function.attributes.push(field.text()?);
                }
                7 => self.node(&mut scope, &field.message()?)?,
                8 => scope.graph.doc = field.text()?,
                9 => {
                    self.item(&field.place())?;
                    scope.graph.opsets.push(super::opset(&field.message()?)?);
                }
                10 => function.domain = super::node::domain(field.text()?),
                11 => defaults.push(field.message()?),
                12 => {
                    let declared = self.declaration(&mut scope, &field.message()?)?;
                    scope.graph.declared.extend(declared);
                }
                13 => function.overload = field.text()?,
                14 => self.property(&mut scope.graph.properties, &field)?,
                _ => self.carry(&mut scope.graph.carried, &field)?,
            }
        }
        // Defaults of its attributes, which may be tensors.
        let owner = overloaded(&function);
        for attribute in &defaults {
            let read = self.attribute(&mut scope, attribute, &owner)?;
            if !read.doc.is_empty() {
                function.attribute_docs.push((read.name.clone(), read.doc));
            }
            function.defaults.push((read.name, read.attribute));
        }
        let (body, free) = self.close(scope);
        free.iter().for_each(|(name, _)| self.faults.missing(name));
        Ok(Function { body, ..function })
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
                    let declared = self.declaration(&mut scope, &field.message()?)?;
                    scope.graph.declared.extend(declared);
                }
                14 => self.annotation(&mut scope, &field.message()?)?,
                5 | 15 => {}
                10 => scope.graph.doc = field.text()?,
                16 => self.property(&mut scope.graph.properties, &field)?,
                _ => self.carry(&mut scope.graph.carried, &field)?,
            }
        }
        Ok(self.close(scope))
    }

    /// `TensorAnnotation`: which tensors hold the scale and the zero point of another.
    fn annotation(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<()> {
        self.item(&message.place())?;
        let (mut name, mut parameters, mut values) = (String::new(), Vec::new(), Vec::new());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = field.text()?,
                2 => {
                    self.item(&field.place())?;
                    let (key, value) = entry(&field.message()?)?;
                    values.push((key.clone(), scope.value(value.clone())));
                    parameters.push((key, Value::Str(value)));
                }
                _ => {}
            }
        }
        let value = scope.value(name.clone());
        scope.graph.quantization.push((value, values));
        self.annotations.push((name, Value::Map(parameters)));
        Ok(())
    }

    fn initializer(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<()> {
        let (tensor, notes) = tensor::read(message, None, &self.limits, &mut self.external)?;
        let (name, dtype, shape) = (tensor.name.clone(), tensor.dtype, tensor.shape.clone());
        let id = self.push(tensor, message)?;
        self.note(id, notes);
        let value = self.given(scope, name, dtype, &shape);
        scope.fact(value).tensor.get_or_insert((id, false));
        scope.graph.initializers.push((value, id));
        Ok(())
    }

    /// The dense tensor is what the graph's value holds; where there is none, its parts are all there is.
    fn sparse_initializer(&mut self, scope: &mut Scope, message: &Message<'_>) -> Result<()> {
        let read = tensor::read_sparse(message, None, &self.limits, &mut self.external)?;
        let name = read.dense.as_ref().unwrap_or(&read.values).name.clone();
        let dtype = read.values.dtype;
        let shape = read.dims.iter().map(|&d| Value::Int(d as i64)).collect();
        self.model.metadata.push((format!("sparse shape of {name}"), Value::List(shape)));
        let sparse = self.sparse(read, message, None)?;
        let value = self.given(scope, name, dtype, &sparse.dims);
        scope.fact(value).tensor.get_or_insert((sparse.dense.unwrap_or(sparse.values), false));
        scope.graph.initializers.extend(sparse.dense.map(|dense| (value, dense)));
        scope.graph.sparse.push((value, sparse));
        Ok(())
    }

    /// Takes a sparse tensor into the model. `role` is the one of all its parts; without one, only indices have theirs.
    pub(super) fn sparse(
        &mut self,
        read: Sparse,
        message: &Message<'_>,
        role: Option<Role>,
    ) -> Result<SparseTensor> {
        let Sparse { dense, values, indices, notes: [of_values, of_indices], dims } = read;
        let told = |tensor: Tensor| match role {
            Some(role) => tensor.with_role(role, false),
            None => tensor,
        };
        let dense = dense.map(|dense| self.push(told(dense), message)).transpose()?;
        let values = self.push(told(values), message)?;
        let indices = self.push(indices.with_role(Role::Constant, false), message)?;
        self.note(values, of_values);
        self.note(indices, of_indices);
        Ok(SparseTensor { dense, values, indices, dims })
    }

    /// The value that an initializer gives; one of its own where it has no name.
    fn given(&mut self, scope: &mut Scope, name: String, dtype: DType, shape: &[u64]) -> ValueId {
        if name.is_empty() {
            return scope.new_value(name);
        }
        let value = scope.value(name);
        let again = std::mem::replace(&mut scope.fact(value).given, true);
        if again {
            self.faults.duplicate(&scope.graph.values[value.0 as usize].name);
        }
        scope.fact(value).own.get_or_insert_with(|| (dtype, shape.to_vec()));
        value
    }

    /// Draws what follows from a whole graph: roles, what is noticed, and what it takes from around it.
    fn close(&mut self, scope: Scope) -> (Graph, Free) {
        let Scope { mut graph, facts, captures, .. } = scope;
        for (fact, value) in facts.iter().zip(&mut graph.values) {
            if let (Some((dtype, shape)), None, None) = (&fact.own, value.dtype, &value.declared) {
                value.dtype = Some(*dtype);
                value.shape = Some(shape.iter().map(|&d| Dim::Known(d)).collect());
            }
        }
        // Some exporters write every weight as a constant: then that one stands there says nothing.
        let weight = |fact: &Fact| {
            matches!(fact.tensor, Some((_, false)))
                && matches!(fact.used, Some(Use::Weight | Use::Statistics))
        };
        let tells = facts.iter().any(weight);
        let mut free = Free::new();
        for (fact, value) in facts.iter().zip(&graph.values) {
            match (fact.tensor, fact.used) {
                (Some((id, inline)), Some(by)) => {
                    let tensor = &mut self.model.tensors[id.0 as usize];
                    (tensor.role, tensor.role_guessed) = (by.role(tensor, inline && tells), false);
                }
                (Some((_, false)), None) if !value.name.is_empty() => self.faults.unused(&value.name),
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

/// A function's name with its overload, as its tensors are named after it.
pub(super) fn overloaded(function: &Function) -> String {
    let Function { name, overload, .. } = function;
    if overload.is_empty() { name.clone() } else { format!("{name}:{overload}") }
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
