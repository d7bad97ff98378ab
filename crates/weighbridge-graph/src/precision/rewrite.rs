//! The graph with its types: casts, and weights in the types that they are taken in.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use weighbridge_model::storage::Cast;
use weighbridge_model::{
    Attribute, DType, Graph, Model, Node, Place, Result, Role, Tensor, TensorId, Value, ValueId, dtype,
};

use super::assign::Wide;
use super::rules::{self, Operand};
use super::{Kept, Mixed, Options};
use crate::build::{Builder, in_memory};
use crate::edit::compact;

/// Constants of at most so many elements are looked at for limits.
const SMALL: u64 = 1 << 16;

/// One of the two types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Type {
    Wide,
    Narrow,
}

/// Which types a value is taken in.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    wide: bool,
    narrow: bool,
    /// The type that it has under its own name, for what knows names alone: subgraphs, and what reads the outputs.
    named: Option<Type>,
}

struct Rewriter<'a> {
    builder: Builder<'a>,
    options: &'a Options,
    types: &'a [Option<DType>],
    wide: &'a Wide,
    wanted: Vec<Wanted>,
    /// Constants: values of initializers that no input overrides, and of `Constant` nodes.
    constants: HashMap<ValueId, Option<TensorId>>,
    /// Values as they are made: their ids in each type, once there is one.
    versions: HashMap<(ValueId, Type), ValueId>,
    casts: usize,
    saturated: Vec<String>,
}

pub(super) fn rewrite(
    model: &Model,
    types: &[Option<DType>],
    wide: &Wide,
    options: &Options,
) -> Result<Mixed> {
    let mut model = model.clone();
    let mut graph = model.graph.take().expect("the caller looked");
    let kept = kept(&graph, wide);
    let nodes = std::mem::take(&mut graph.nodes);
    let is_float = |id: &ValueId| types[id.0 as usize] == Some(DType::F32);
    let narrow = nodes.iter().zip(wide).filter(|(node, wide)| {
        wide.is_none() && node.inputs.iter().chain(&node.outputs).flatten().any(is_float)
    });
    let narrow = narrow.count();
    let wanted = wanted(&graph, &nodes, wide, options);
    let constants = constants(&model, &graph, &nodes);
    let mut rewriter = Rewriter {
        builder: Builder::new(&mut model, &mut graph),
        options,
        types,
        wide,
        wanted,
        constants,
        versions: HashMap::new(),
        casts: 0,
        saturated: Vec::new(),
    };
    rewriter.inputs()?;
    rewriter.initializers()?;
    for (at, node) in nodes.into_iter().enumerate() {
        rewriter.node(at, node)?;
    }
    let Rewriter { casts, saturated, .. } = rewriter;
    model.graph = Some(graph);
    compact(&mut model);
    Ok(Mixed { model, narrow, kept, casts, saturated })
}

fn kept(graph: &Graph, wide: &Wide) -> Vec<Kept> {
    let of = |(node, why): (&Node, &Option<String>)| {
        let made = node.outputs.iter().flatten().next().map(|&id| graph.value(id).name.clone());
        let name = if node.name.is_empty() { made.unwrap_or_default() } else { node.name.clone() };
        Some(Kept { node: name, op: node.op.clone(), why: why.clone()? })
    };
    graph.nodes.iter().zip(wide).filter_map(of).collect()
}

fn wanted(graph: &Graph, nodes: &[Node], wide: &Wide, options: &Options) -> Vec<Wanted> {
    let mut wanted = vec![Wanted::default(); graph.values.len()];
    for (at, node) in nodes.iter().enumerate() {
        for (i, id) in node.inputs.iter().enumerate() {
            let Some(id) = id else { continue };
            let wanted = &mut wanted[id.0 as usize];
            match rules::input(node, i) {
                Operand::Computed if wide[at].is_none() => wanted.narrow = true,
                Operand::Computed | Operand::Wide => wanted.wide = true,
                Operand::Any => {}
            }
        }
    }
    let named: HashSet<String> = nodes.iter().flat_map(captured).collect();
    for (value, wanted) in graph.values.iter().zip(&mut wanted) {
        if named.contains(&value.name) {
            wanted.wide = true;
            wanted.named = Some(Type::Wide);
        }
    }
    for id in &graph.outputs {
        let wanted = &mut wanted[id.0 as usize];
        let named = *wanted.named.get_or_insert(if options.io { Type::Narrow } else { Type::Wide });
        wanted.wide |= named == Type::Wide;
        wanted.narrow |= named == Type::Narrow;
    }
    wanted
}

/// Names that a node's subgraphs use and do not give themselves.
fn captured(node: &Node) -> Vec<String> {
    let mut names = Vec::new();
    let mut open: Vec<&Graph> = Vec::new();
    push_graphs(node, &mut open);
    while let Some(graph) = open.pop() {
        let given: HashSet<ValueId> = graph
            .inputs
            .iter()
            .copied()
            .chain(graph.initializers.iter().map(|(id, _)| *id))
            .chain(graph.nodes.iter().flat_map(|node| node.outputs.iter().flatten().copied()))
            .collect();
        let used = graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).chain(&graph.outputs);
        names.extend(used.filter(|id| !given.contains(id)).map(|&id| graph.value(id).name.clone()));
        graph.nodes.iter().for_each(|node| push_graphs(node, &mut open));
    }
    names
}

fn push_graphs<'a>(node: &'a Node, open: &mut Vec<&'a Graph>) {
    for (_, attribute) in &node.attributes {
        match attribute {
            Attribute::Graph(graph) => open.push(graph),
            Attribute::Graphs(graphs) => open.extend(graphs),
            _ => {}
        }
    }
}

fn constants(model: &Model, graph: &Graph, nodes: &[Node]) -> HashMap<ValueId, Option<TensorId>> {
    let inputs: HashSet<ValueId> = graph.inputs.iter().copied().collect();
    let held = graph.initializers.iter().filter(|(id, _)| !inputs.contains(id));
    let mut constants: HashMap<ValueId, Option<TensorId>> =
        held.map(|&(id, tensor)| (id, Some(tensor))).collect();
    let by_name: HashMap<&str, TensorId> =
        model.tensors.iter().filter(|t| t.name.contains('@')).map(|t| (t.name.as_str(), t.id)).collect();
    for node in nodes.iter().filter(|node| node.op == "Constant" && node.domain.is_empty()) {
        let (Some(Some(id)), Some((name, attribute))) = (node.outputs.first(), node.attributes.first())
        else {
            continue;
        };
        let tensor = match attribute {
            Attribute::Tensor(tensor) => Some(*tensor),
            // Plain numbers in the attribute are a tensor of the model too.
            _ => by_name.get(format!("{}@{name}", graph.value(*id).name).as_str()).copied(),
        };
        constants.insert(*id, tensor);
    }
    constants
}

impl Rewriter<'_> {
    fn is_float(&self, id: ValueId) -> bool {
        self.types.get(id.0 as usize).copied().flatten() == Some(DType::F32)
    }

    fn set_type(&mut self, id: ValueId, dtype: DType) {
        let value = &mut self.builder.graph.values[id.0 as usize];
        if value.dtype.is_some_and(|known| known != dtype) || value.declared.is_some() {
            value.declared = None;
        }
        value.dtype = Some(dtype);
    }

    fn dtype(&self, of: Type) -> DType {
        if of == Type::Narrow { self.options.to } else { DType::F32 }
    }

    /// A new value for `id` in this type, with its shape.
    fn twin(&mut self, id: ValueId, of: Type) -> ValueId {
        let dtype = self.dtype(of);
        let (name, shape) = {
            let value = self.builder.graph.value(id);
            (format!("{}_{}", value.name, dtype.name().to_lowercase()), value.shape.clone())
        };
        let twin = self.builder.value(&name);
        self.builder.graph.values[twin.0 as usize].shape = shape;
        self.set_type(twin, dtype);
        twin
    }

    fn cast(&mut self, from: ValueId, to: ValueId, of: Type) {
        let dtype = self.dtype(of);
        self.builder.cast(from, to, dtype);
        self.casts += 1;
    }

    /// Inputs are made outside.
    fn inputs(&mut self) -> Result<()> {
        let inputs: Vec<ValueId> =
            self.builder.graph.inputs.iter().copied().filter(|&id| self.is_float(id)).collect();
        for id in inputs {
            // What subgraphs capture keeps its type.
            // An output that is an input keeps what it is told to be.
            let named = self.wanted[id.0 as usize].named;
            let of = if self.options.io && named != Some(Type::Wide) { Type::Narrow } else { Type::Wide };
            self.versions.insert((id, of), id);
            if of == Type::Narrow {
                self.set_type(id, self.options.to);
                let given: Vec<TensorId> = self.initializers_of(id);
                for tensor in given {
                    let rounded = self.rounded(tensor)?;
                    self.builder.model.tensors[tensor.0 as usize] = Tensor { id: tensor, ..rounded };
                }
            }
        }
        Ok(())
    }

    fn initializers_of(&self, id: ValueId) -> Vec<TensorId> {
        self.builder
            .graph
            .initializers
            .iter()
            .filter(|(value, _)| *value == id)
            .map(|(_, tensor)| *tensor)
            .collect()
    }

    /// Initializers are there in every type that they are taken in, and only in those.
    fn initializers(&mut self) -> Result<()> {
        let held = self.builder.graph.initializers.clone();
        let mut shared: HashSet<TensorId> = HashSet::new();
        for (id, tensor) in held {
            if !self.is_float(id) || !self.constants.contains_key(&id) {
                continue;
            }
            let wanted = self.wanted[id.0 as usize];
            if !wanted.narrow {
                self.versions.insert((id, Type::Wide), id);
                continue;
            }
            if wanted.wide {
                self.versions.insert((id, Type::Wide), id);
                self.narrow_constant(id, tensor)?;
            } else if shared.insert(tensor) {
                let rounded = self.rounded(tensor)?;
                self.builder.model.tensors[tensor.0 as usize] = Tensor { id: tensor, ..rounded };
                self.set_type(id, self.options.to);
                self.versions.insert((id, Type::Narrow), id);
            }
        }
        Ok(())
    }

    /// A constant's values in the narrow type, as an initializer of its own.
    fn narrow_constant(&mut self, id: ValueId, tensor: TensorId) -> Result<()> {
        let mut rounded = self.rounded(tensor)?;
        rounded.name =
            format!("{}_{}", self.builder.graph.value(id).name, self.options.to.name().to_lowercase());
        let twin = self.builder.initializer(rounded);
        self.versions.insert((id, Type::Narrow), twin);
        Ok(())
    }

    /// A tensor in the narrow type. Small ones that go beyond its range are limits or masks: the caller kept all others
    /// in F32.
    fn rounded(&mut self, tensor: TensorId) -> Result<Tensor> {
        let tensor = self.builder.model.tensor(tensor).clone();
        let to = self.options.to;
        if tensor.count() <= SMALL {
            let largest = dtype::FloatFormat::of(to).map_or(f64::INFINITY, |format| format.max_finite());
            let (mut bytes, mut over) = (Vec::new(), false);
            tensor.visit_values(0..tensor.count(), &mut |_, values| {
                for &x in values {
                    over |= x.is_finite() && x.abs() > largest;
                    dtype::push(to, if x.is_finite() { x.clamp(-largest, largest) } else { x }, &mut bytes);
                }
                Ok(())
            })?;
            if over {
                self.saturated.push(tensor.name.clone());
            }
            let rounded = in_memory(&tensor.name, to, tensor.shape.clone(), bytes)?;
            return Ok(rounded.with_role(tensor.role, tensor.role_guessed));
        }
        let storage = Arc::new(Cast::new(tensor.clone(), to));
        let place = Place::source("a cast").tensor(&tensor.name);
        let rounded = Tensor::contiguous(&tensor.name, to, tensor.shape.clone(), storage, &place)?;
        Ok(rounded.with_role(tensor.role, tensor.role_guessed))
    }

    fn node(&mut self, at: usize, mut node: Node) -> Result<()> {
        let own = if self.wide[at].is_none() { Type::Narrow } else { Type::Wide };
        if let Some(&Some(id)) = node.outputs.first()
            && self.constants.contains_key(&id)
            && self.is_float(id)
        {
            return self.constant(id, node);
        }
        for i in 0..node.inputs.len() {
            let Some(id) = node.inputs[i].filter(|&id| self.is_float(id)) else { continue };
            node.inputs[i] = Some(match rules::input(&node, i) {
                Operand::Computed => self.version(id, own),
                Operand::Wide => self.version(id, Type::Wide),
                Operand::Any => {
                    let made = [Type::Narrow, Type::Wide].iter().find_map(|&of| self.versions.get(&(id, of)));
                    made.copied().unwrap_or(id)
                }
            });
        }
        let mut after = Vec::new();
        for i in 0..node.outputs.len() {
            let Some(id) = node.outputs[i].filter(|&id| self.is_float(id)) else { continue };
            let of = if rules::output(&node, i) == Operand::Computed { own } else { Type::Wide };
            match self.wanted[id.0 as usize].named {
                Some(named) if named != of => {
                    let twin = self.twin(id, of);
                    node.outputs[i] = Some(twin);
                    self.versions.insert((id, of), twin);
                    self.versions.insert((id, named), id);
                    self.set_type(id, self.dtype(named));
                    after.push((twin, id, named));
                }
                _ => {
                    self.set_type(id, self.dtype(of));
                    self.versions.insert((id, of), id);
                }
            }
        }
        if own == Type::Narrow {
            self.typed_by_attribute(&mut node)?;
        }
        self.builder.graph.nodes.push(node);
        for (twin, id, named) in after {
            self.cast(twin, id, named);
        }
        Ok(())
    }

    /// The value in this type; a cast makes it where it is not there yet.
    fn version(&mut self, id: ValueId, of: Type) -> ValueId {
        if let Some(&known) = self.versions.get(&(id, of)) {
            return known;
        }
        let other = if of == Type::Narrow { Type::Wide } else { Type::Narrow };
        let made = self.versions.get(&(id, other)).copied().unwrap_or(id);
        let twin = self.twin(id, of);
        self.cast(made, twin, of);
        self.versions.insert((id, of), twin);
        twin
    }

    /// A `Constant` node: an initializer takes its place where it is taken in the narrow type.
    fn constant(&mut self, id: ValueId, node: Node) -> Result<()> {
        let wanted = self.wanted[id.0 as usize];
        let tensor = self.constants.get(&id).copied().flatten();
        match tensor.filter(|_| wanted.narrow) {
            Some(tensor) if !wanted.wide => {
                let name = self.builder.graph.value(id).name.clone();
                let rounded = Tensor { name, ..self.rounded(tensor)? };
                let shape = rounded.shape.iter().map(|&n| weighbridge_model::Dim::Known(n)).collect();
                let tensor = self.builder.model.push(rounded.with_role(Role::Constant, false));
                self.set_type(id, self.options.to);
                self.builder.graph.values[id.0 as usize].shape = Some(shape);
                self.builder.graph.initializers.push((id, tensor));
                self.versions.insert((id, Type::Narrow), id);
                return Ok(());
            }
            Some(tensor) => self.narrow_constant(id, tensor)?,
            None => {}
        }
        self.versions.insert((id, Type::Wide), id);
        self.builder.graph.nodes.push(node);
        Ok(())
    }

    /// Attributes that tell the type of what a node gives.
    fn typed_by_attribute(&mut self, node: &mut Node) -> Result<()> {
        match node.op.as_str() {
            "Cast" => {
                let number = |dtype: DType| dtype.to_onnx().map(Value::Int);
                for (name, attribute) in &mut node.attributes {
                    let wide = matches!(attribute, Attribute::Value(to) if Some(&*to) == number(DType::F32).as_ref());
                    if let Some(narrow) = number(self.options.to).filter(|_| name == "to" && wide) {
                        *attribute = Attribute::Value(narrow);
                    }
                }
            }
            "ConstantOfShape" => {
                let value = node.attributes.iter().position(|(name, _)| name == "value");
                let tensor = match value.map(|at| &node.attributes[at].1) {
                    Some(Attribute::Tensor(tensor)) => {
                        if self.builder.model.tensor(*tensor).dtype != DType::F32 {
                            return Ok(());
                        }
                        self.rounded(*tensor)?
                    }
                    // Without a value it is a zero.
                    _ => in_memory("zero", self.options.to, vec![1], vec![0; 2])?,
                };
                let id = self.builder.model.push(tensor);
                let attribute = ("value".to_owned(), Attribute::Tensor(id));
                match value {
                    Some(at) => node.attributes[at] = attribute,
                    None => node.attributes.push(attribute),
                }
            }
            _ => {}
        }
        Ok(())
    }
}
