//! What is known of a value: its type, its sizes, and the whole numbers that it is.

use weighbridge_model::{DType, Dim, GraphValue, Tensor};

use crate::infer;

/// A size or a whole number, which may be known by what it is equal to only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Size {
    /// A number.
    Known(i64),
    /// An expression over sizes of the graph's inputs and others that are not known; equal ones are equal numbers.
    Symbol(infer::Size),
    /// Nothing is known; equal to nothing, itself included.
    Unknown,
}

impl From<&infer::Size> for Size {
    fn from(size: &infer::Size) -> Self {
        size.known().map_or_else(|| Size::Symbol(size.clone()), Size::Known)
    }
}

impl Size {
    /// The number, where it is known.
    pub fn known(&self) -> Option<i64> {
        if let Size::Known(n) = self { Some(*n) } else { None }
    }

    /// Whether both are known to be the same number.
    pub fn same(&self, other: &Size) -> bool {
        self == other && *self != Size::Unknown
    }
}

/// Whether two shapes are known to be the same.
pub fn same_shape(a: &[Size], b: &[Size]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b))
}

/// What is known of a value. Passes keep what values are, so that this stays true while a graph is edited.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fact {
    /// Element type.
    pub dtype: Option<DType>,
    /// Sizes.
    pub shape: Option<Vec<Size>>,
    /// Its elements, of a scalar or a list of few whole numbers.
    pub integers: Option<Vec<Size>>,
}

impl Fact {
    /// What a graph declares.
    pub fn declared(value: &GraphValue) -> Self {
        let size = |dim: &Dim| match dim {
            Dim::Known(n) => i64::try_from(*n).map_or(Size::Unknown, Size::Known),
            Dim::Symbol(name) => Size::Symbol(infer::Size::named(name)),
            Dim::Unknown => Size::Unknown,
        };
        if value.declared.is_some() {
            return Fact::default();
        }
        let shape = value.shape.as_ref().map(|dims| dims.iter().map(size).collect());
        Fact { dtype: value.dtype, shape, integers: None }
    }

    /// What inference shows.
    pub fn inferred(fact: &infer::Fact) -> Self {
        let sizes = |sizes: &[infer::Size]| sizes.iter().map(Size::from).collect();
        let whole = fact.dtype().is_some_and(|dtype| dtype.is_integer());
        Fact {
            dtype: fact.dtype(),
            shape: fact.shape().map(sizes),
            integers: fact.elements().filter(|_| whole).map(sizes),
        }
    }

    /// What a tensor tells without being read.
    pub fn of(tensor: &Tensor) -> Self {
        let shape = tensor.shape.iter().map(|&n| i64::try_from(n).map_or(Size::Unknown, Size::Known));
        Fact { dtype: Some(tensor.dtype), shape: Some(shape.collect()), integers: None }
    }

    /// A value of this type and these sizes.
    pub fn shaped(dtype: Option<DType>, shape: Option<Vec<Size>>) -> Self {
        Fact { dtype, shape, integers: None }
    }

    /// Adds what another source knows; what is more exact is kept.
    pub fn merge(&mut self, other: &Fact) {
        self.dtype = self.dtype.or(other.dtype);
        merge_sizes(&mut self.shape, other.shape.as_ref());
        merge_sizes(&mut self.integers, other.integers.as_ref());
    }
}

fn merge_sizes(into: &mut Option<Vec<Size>>, other: Option<&Vec<Size>>) {
    match (into, other) {
        (Some(into), Some(other)) if into.len() == other.len() => {
            for (a, b) in into.iter_mut().zip(other) {
                if *a == Size::Unknown || a.known().is_none() && b.known().is_some() {
                    a.clone_from(b);
                }
            }
        }
        (into @ None, Some(other)) => *into = Some(other.clone()),
        _ => {}
    }
}
