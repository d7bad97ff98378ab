//! What flows along the edges of a graph.

use std::sync::Arc;

use super::{Carried, Properties};
use crate::{DType, Storage};

/// Index of a value within its [`super::Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// One dimension of a value's declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// A fixed size.
    Known(u64),
    /// A named size, the same wherever the name stands.
    Symbol(String),
    /// Nothing is known.
    Unknown,
}

/// What a value is, where that is more than a tensor of a [`GraphValue`]'s type and shape.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ValueType {
    /// A tensor.
    Tensor {
        /// Declared element type.
        dtype: Option<DType>,
        /// Declared shape.
        shape: Option<Vec<Dim>>,
    },
    /// A tensor of which only some elements are stored.
    SparseTensor {
        /// Declared element type.
        dtype: Option<DType>,
        /// Declared shape of the dense tensor.
        shape: Option<Vec<Dim>>,
    },
    /// A list of values of one type.
    Sequence(Box<ValueType>),
    /// A value, or none.
    Optional(Box<ValueType>),
    /// A dictionary.
    Map {
        /// Type of the keys.
        key: DType,
        /// Type of the values.
        value: Box<ValueType>,
    },
    /// A type in its container's encoding, of which not everything has a place here.
    Opaque(Arc<dyn Storage>),
}

/// A value that flows along an edge, or is held by an initializer.
#[derive(Debug, Clone, Default)]
pub struct GraphValue {
    /// Its name in the file.
    pub name: String,
    /// Declared element type; an initializer's own where none is declared.
    pub dtype: Option<DType>,
    /// Declared shape; an initializer's own where none is declared.
    pub shape: Option<Vec<Dim>>,
    /// What the file declares, where `dtype` and `shape` do not say all of it. A pass that changes those takes it
    /// away.
    pub declared: Option<ValueType>,
    /// Text for people.
    pub doc: String,
    /// Whatever its writer noted.
    pub properties: Properties,
    /// Fields that are not interpreted.
    pub carried: Carried,
}
