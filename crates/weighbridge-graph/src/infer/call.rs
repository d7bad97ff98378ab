//! A node at which a rule is applied: its inputs' facts, its attributes, and what rules have in common.

use std::sync::Arc;

use weighbridge_model::{Attribute, DType, Graph, Node, Value};

use super::constant::MOST_ELEMENTS;
use super::engine::{Engine, Frame, Scope};
use super::fact::{Elements, Fact, TensorFact, show};
use super::size::Size;
use super::{GraphFacts, Inside};

/// What a rule gives: facts of the outputs in order, fewer where nothing is known of the others; or what contradicts
/// the operator's definition.
pub(super) type Outcome = Result<Vec<Fact>, String>;

/// What the outputs of a node are.
pub(super) type Rule = fn(&mut Call<'_, '_>) -> Outcome;

/// A node, and what is known of its inputs.
pub(super) struct Call<'c, 'm> {
    pub(super) engine: &'c mut Engine<'m>,
    pub(super) node: &'m Node,
    /// Of the operator set.
    pub(super) version: i64,
    pub(super) inputs: Vec<&'c Fact>,
    pub(super) scope: &'c Scope<'c, 'm>,
    pub(super) index: usize,
    pub(super) frame: &'c Frame<'m>,
    pub(super) inside: Vec<(Inside, GraphFacts)>,
}

/// Numbers that may be given by an attribute or by an input.
pub(super) enum Numbers {
    /// Not given at all.
    Absent,
    /// These.
    Known(Vec<i64>),
    /// Given by running; with their number, where that is known.
    Unknown(Option<usize>),
}

impl<'c, 'm> Call<'c, 'm> {
    /// Whether the input is there.
    pub(super) fn has(&self, input: usize) -> bool {
        self.node.inputs.get(input).is_some_and(Option::is_some)
    }

    pub(super) fn fact(&self, input: usize) -> &'c Fact {
        static ABSENT: Fact = Fact::Unknown;
        self.inputs.get(input).copied().unwrap_or(&ABSENT)
    }

    pub(super) fn dtype(&self, input: usize) -> Option<DType> {
        self.fact(input).dtype()
    }

    pub(super) fn shape(&self, input: usize) -> Option<&'c [Size]> {
        self.fact(input).shape()
    }

    /// The size of one dimension.
    pub(super) fn dim(&self, input: usize, axis: usize) -> Option<Size> {
        self.shape(input)?.get(axis).cloned()
    }

    /// The shape of an input, which must have so many dimensions.
    pub(super) fn shape_of_rank(&self, input: usize, rank: usize) -> Result<Option<&'c [Size]>, String> {
        match self.shape(input) {
            Some(shape) if shape.len() != rank => Err(format!(
                "input {input} of shape {} has {} dimensions, where {rank} are asked for",
                show(shape),
                shape.len()
            )),
            shape => Ok(shape),
        }
    }

    /// The shape of an input, which must have that many dimensions at the least.
    pub(super) fn shape_from_rank(&self, input: usize, rank: usize) -> Result<Option<&'c [Size]>, String> {
        match self.shape(input) {
            Some(shape) if shape.len() < rank => Err(format!(
                "input {input} of shape {} has {} dimensions, where {rank} or more are asked for",
                show(shape),
                shape.len()
            )),
            shape => Ok(shape),
        }
    }

    /// The whole numbers that an input holds, known or expressions.
    pub(super) fn elements(&self, input: usize) -> Option<&'c [Size]> {
        self.fact(input).elements()
    }

    /// The one whole number that an input holds.
    pub(super) fn number(&self, input: usize) -> Option<&'c Size> {
        match self.elements(input)? {
            [only] => Some(only),
            _ => None,
        }
    }

    /// The attribute; within a function, what it is at this call.
    pub(super) fn attribute(&self, name: &str) -> Option<&'m Attribute> {
        let (_, attribute) = self.node.attributes.iter().find(|(n, _)| n == name)?;
        match attribute {
            Attribute::Reference { to, .. } => self.frame.attributes.get(to.as_str()).copied(),
            other => Some(other),
        }
    }

    fn value(&self, name: &str) -> Option<&'m Value> {
        static EMPTY: Value = Value::List(Vec::new());
        match self.attribute(name)? {
            Attribute::Value(value) => Some(value),
            Attribute::EmptyList { .. } => Some(&EMPTY),
            _ => None,
        }
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.value(name)?.as_int()
    }

    pub(super) fn int_or(&self, name: &str, default: i64) -> i64 {
        self.int(name).unwrap_or(default)
    }

    pub(super) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.value(name)?.as_list()?.iter().map(Value::as_int).collect()
    }

    pub(super) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        self.value(name)?.as_list()?.iter().map(Value::as_float).collect()
    }

    pub(super) fn float(&self, name: &str) -> Option<f64> {
        self.value(name)?.as_float()
    }

    pub(super) fn text(&self, name: &str) -> Option<&'m str> {
        self.value(name)?.as_str()
    }

    /// The attribute that holds the number of an element type, as that type.
    pub(super) fn dtype_attribute(&self, name: &str) -> Option<DType> {
        DType::from_onnx(self.int(name)?)
    }

    /// Numbers that stand in an input since some version, and in an attribute before.
    pub(super) fn numbers(&self, input: usize, attribute: &str) -> Numbers {
        if self.has(input) {
            let count = || self.dim(input, 0).and_then(|n| usize::try_from(n.known()?).ok());
            return match self.fact(input).integers() {
                Some(numbers) => Numbers::Known(numbers),
                None => Numbers::Unknown(count()),
            };
        }
        self.ints(attribute).map_or(Numbers::Absent, Numbers::Known)
    }

    /// A size that nothing is known of.
    pub(super) fn fresh(&mut self) -> Size {
        self.engine.fresh.size()
    }

    /// The size; one that nothing is known of where there is none.
    pub(super) fn open(&mut self, size: Option<Size>) -> Size {
        size.unwrap_or_else(|| self.engine.fresh.size())
    }

    /// So many sizes that nothing is known of.
    pub(super) fn unknown_shape(&mut self, rank: usize) -> Vec<Size> {
        (0..rank).map(|_| self.fresh()).collect()
    }

    /// The size that two inputs must agree on.
    ///
    /// # Errors
    /// Known sizes that differ.
    pub(super) fn same(&self, a: &Size, b: &Size, what: &str) -> Result<Size, String> {
        match (a.known(), b.known()) {
            (Some(x), Some(y)) if x != y => Err(format!("{what} are {x} and {y}, and must be the same")),
            (None, Some(_)) => Ok(b.clone()),
            _ if a.is_unknown() => Ok(b.clone()),
            _ => Ok(a.clone()),
        }
    }

    /// The subgraph in the attribute of this name.
    pub(super) fn body(&self, name: &str) -> Option<&'m Graph> {
        match self.attribute(name)? {
            Attribute::Graph(graph) => Some(graph),
            _ => None,
        }
    }

    /// Goes through the subgraph in the attribute of this name; facts of its outputs.
    pub(super) fn run_body(&mut self, name: &str, given: &[Fact]) -> Option<Vec<Fact>> {
        let graph = self.body(name)?;
        let place = self.node.attributes.iter().position(|(n, _)| n == name)?;
        let facts = self.engine.subgraph(graph, self.scope, given, self.frame);
        let outputs = graph.outputs.iter().map(|&id| facts.of(id).clone()).collect();
        let place = (self.index, place, 0);
        self.inside.retain(|(p, _)| *p != place);
        self.inside.push((place, facts));
        Some(outputs)
    }

    /// Goes through subgraphs that no rule went through.
    pub(super) fn visit_remaining(&mut self) {
        let node = self.node;
        let visited: Vec<Inside> = self.inside.iter().map(|(place, _)| *place).collect();
        for (i, (_, attribute)) in node.attributes.iter().enumerate() {
            let graphs = match attribute {
                Attribute::Graph(graph) => std::slice::from_ref(&**graph),
                Attribute::Graphs(graphs) => graphs.as_slice(),
                _ => continue,
            };
            for (j, graph) in graphs.iter().enumerate() {
                let place = (self.index, i, j);
                if !visited.contains(&place) {
                    let facts = self.engine.subgraph(graph, self.scope, &[], self.frame);
                    self.inside.push((place, facts));
                }
            }
        }
    }
}

/// A tensor of whole numbers; elements are kept where there are few.
pub(super) fn whole(dtype: Option<DType>, shape: Vec<Size>, elements: Option<Vec<Size>>) -> Fact {
    let elements = elements.filter(|elements| elements.len() <= MOST_ELEMENTS);
    let elements = elements.map(|elements| Elements::Whole(elements.into()));
    Fact::Tensor(TensorFact { dtype, shape: Some(shape), elements })
}

/// A vector of these sizes.
pub(super) fn vector(elements: Vec<Size>) -> Fact {
    whole(Some(DType::I64), vec![Size::from(elements.len() as i64)], Some(elements))
}

/// A scalar.
pub(super) fn scalar(dtype: DType, element: Option<Size>) -> Fact {
    whole(Some(dtype), Vec::new(), element.map(|element| vec![element]))
}

/// A tensor of this type; whatever its input's elements are, they are rearranged by `pick`: the index into them for each
/// of its own.
pub(super) fn picked(from: &TensorFact, shape: Option<Vec<Size>>, pick: Option<Vec<usize>>) -> Fact {
    let pick = pick.filter(|pick| pick.len() <= MOST_ELEMENTS);
    let elements = pick.zip(from.elements.as_ref()).and_then(|(pick, elements)| match elements {
        Elements::Whole(of) => {
            let picked: Option<Arc<[Size]>> = pick.iter().map(|&i| of.get(i).cloned()).collect();
            picked.map(Elements::Whole)
        }
        Elements::Real(of) => {
            let picked: Option<Vec<f64>> = pick.iter().map(|&i| of.get(i).copied()).collect();
            picked.map(super::constant::floats)
        }
    });
    Fact::Tensor(TensorFact { dtype: from.dtype, shape, elements })
}

/// The shape in known sizes that can be counted with, where its elements are few.
pub(super) fn small(shape: &[Size]) -> Option<Vec<usize>> {
    let sizes: Option<Vec<usize>> = shape.iter().map(|size| usize::try_from(size.known()?).ok()).collect();
    let sizes = sizes?;
    let count = sizes.iter().try_fold(1usize, |count, &size| count.checked_mul(size))?;
    (count <= MOST_ELEMENTS).then_some(sizes)
}

/// An axis counted from the front.
///
/// # Errors
/// One that a tensor of so many dimensions does not have.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_front = if axis < 0 { axis.saturating_add(rank as i64) } else { axis };
    match usize::try_from(from_front) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => Err(format!("axis {axis} of a tensor of {rank} dimensions")),
    }
}

/// Axes counted from the front.
///
/// # Errors
/// One that is not there, or that is named twice.
pub(super) fn axes(numbers: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut met = vec![false; rank];
    let each = numbers.iter().map(|&number| {
        let axis = axis(number, rank)?;
        match std::mem::replace(&mut met[axis], true) {
            true => Err(format!("axis {number} is named twice")),
            false => Ok(axis),
        }
    });
    each.collect()
}
