//! What is known of a value.

use std::sync::Arc;

use weighbridge_model::{DType, Dim, ValueType};

use super::engine::Fresh;
use super::size::{Size, Symbol};

/// What is known of a value, from nothing at all to each element.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub enum Fact {
    /// Nothing, not even whether it is a tensor.
    #[default]
    Unknown,
    /// A tensor, dense or sparse.
    Tensor(TensorFact),
    /// A list.
    Sequence {
        /// What all of its items are.
        of: Box<Fact>,
        /// Each of them, where their number is known.
        items: Option<Arc<[Fact]>>,
    },
    /// A value, or none.
    Optional(Box<Fact>),
    /// A dictionary.
    Map {
        /// Type of the keys.
        key: Option<DType>,
        /// What the values are.
        value: Box<Fact>,
    },
}

/// What is known of a tensor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFact {
    /// Element type.
    pub dtype: Option<DType>,
    /// Shape; `None` where not even the number of dimensions is known. What is not known of a dimension is a symbol.
    pub shape: Option<Vec<Size>>,
    /// All elements in row-major order, of small tensors whose elements are known or expressions.
    pub elements: Option<Elements>,
}

/// The elements of a small tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Elements {
    /// Whole numbers and truth values (0 and 1); floats too, where all are whole.
    Whole(Arc<[Size]>),
    /// Known floats.
    Real(Arc<[f64]>),
}

static NOTHING: TensorFact = TensorFact { dtype: None, shape: None, elements: None };

impl Fact {
    /// A tensor of this type and shape.
    pub fn tensor(dtype: Option<DType>, shape: Option<Vec<Size>>) -> Self {
        Fact::Tensor(TensorFact { dtype, shape, elements: None })
    }

    /// The tensor, where it is one; otherwise one of which nothing is known.
    pub fn as_tensor(&self) -> &TensorFact {
        if let Fact::Tensor(tensor) = self { tensor } else { &NOTHING }
    }

    /// The element type, of a tensor where it is known.
    pub fn dtype(&self) -> Option<DType> {
        self.as_tensor().dtype
    }

    /// The shape, of a tensor where the number of dimensions is known.
    pub fn shape(&self) -> Option<&[Size]> {
        self.as_tensor().shape.as_deref()
    }

    /// The shape, where all of it is known.
    pub fn known_shape(&self) -> Option<Vec<u64>> {
        self.shape()?.iter().map(|size| u64::try_from(size.known()?).ok()).collect()
    }

    /// The elements, where they are whole numbers, known or expressions.
    pub fn elements(&self) -> Option<&[Size]> {
        match &self.as_tensor().elements {
            Some(Elements::Whole(sizes)) => Some(sizes),
            _ => None,
        }
    }

    /// The elements, where all of them are known whole numbers.
    pub fn integers(&self) -> Option<Vec<i64>> {
        self.elements()?.iter().map(Size::known).collect()
    }

    /// The elements, where all of them are known.
    pub fn floats(&self) -> Option<Vec<f64>> {
        match self.as_tensor().elements.as_ref()? {
            Elements::Real(floats) => Some(floats.to_vec()),
            Elements::Whole(sizes) => sizes.iter().map(|size| size.known().map(|n| n as f64)).collect(),
        }
    }

    /// The shape as a graph declares one: expressions are unknown there, a symbol is one where a file named it.
    pub fn declared_shape(&self) -> Option<Vec<Dim>> {
        let dim = |size: &Size| match (size.known(), size.symbol()) {
            (Some(n), _) => u64::try_from(n).map_or(Dim::Unknown, Dim::Known),
            (_, Some(Symbol::Named(name))) => Dim::Symbol(name.to_string()),
            _ => Dim::Unknown,
        };
        Some(self.shape()?.iter().map(dim).collect())
    }

    /// The same without elements.
    #[must_use]
    pub(super) fn without_elements(mut self) -> Self {
        if let Fact::Tensor(tensor) = &mut self {
            tensor.elements = None;
        }
        self
    }

    /// What a file declares; what it leaves open is a symbol of its own.
    pub(super) fn declared(declared: &ValueType, fresh: &mut Fresh) -> Fact {
        match declared {
            ValueType::Tensor { dtype, shape } | ValueType::SparseTensor { dtype, shape } => {
                Fact::tensor(*dtype, shape.as_ref().map(|dims| sizes(dims, fresh)))
            }
            ValueType::Sequence(of) => {
                Fact::Sequence { of: Box::new(Fact::declared(of, fresh)), items: None }
            }
            ValueType::Optional(of) => Fact::Optional(Box::new(Fact::declared(of, fresh))),
            ValueType::Map { key, value } => {
                Fact::Map { key: Some(*key), value: Box::new(Fact::declared(value, fresh)) }
            }
            _ => Fact::Unknown,
        }
    }

    /// What is true of both.
    pub(super) fn join(&self, other: &Fact, fresh: &mut Fresh) -> Fact {
        if self == other {
            return self.clone();
        }
        match (self, other) {
            (Fact::Tensor(a), Fact::Tensor(b)) => Fact::Tensor(TensorFact {
                dtype: a.dtype.filter(|_| a.dtype == b.dtype),
                shape: match (&a.shape, &b.shape) {
                    (Some(a), Some(b)) if a.len() == b.len() => Some(
                        a.iter().zip(b).map(|(a, b)| if a == b { a.clone() } else { fresh.size() }).collect(),
                    ),
                    _ => None,
                },
                elements: a.elements.clone().filter(|_| a.elements == b.elements),
            }),
            (Fact::Sequence { of: a, .. }, Fact::Sequence { of: b, .. }) => {
                Fact::Sequence { of: Box::new(a.join(b, fresh)), items: None }
            }
            (Fact::Optional(a), Fact::Optional(b)) => Fact::Optional(Box::new(a.join(b, fresh))),
            (Fact::Optional(a), b) | (b, Fact::Optional(a)) => Fact::Optional(Box::new(a.join(b, fresh))),
            (Fact::Map { key: k, value: a }, Fact::Map { key: l, value: b }) => {
                Fact::Map { key: k.filter(|_| k == l), value: Box::new(a.join(b, fresh)) }
            }
            _ => Fact::Unknown,
        }
    }

    /// What follows from both an inferred and a declared fact of one value.
    ///
    /// # Errors
    /// Where they contradict each other.
    pub(super) fn refine(self, declared: &Fact) -> Result<Fact, String> {
        Ok(match (self, declared) {
            (Fact::Unknown, declared) => declared.clone(),
            (inferred, Fact::Unknown) => inferred,
            (Fact::Tensor(inferred), Fact::Tensor(declared)) => Fact::Tensor(inferred.refine(declared)?),
            (Fact::Sequence { of, items }, Fact::Sequence { of: declared, .. }) => {
                Fact::Sequence { of: Box::new(of.refine(declared)?), items }
            }
            (Fact::Optional(of), Fact::Optional(declared)) => Fact::Optional(Box::new(of.refine(declared)?)),
            // A value is an optional that has one.
            (of, Fact::Optional(declared)) => Fact::Optional(Box::new(of.refine(declared)?)),
            (Fact::Map { key, value }, Fact::Map { key: declared_key, value: declared }) => {
                Fact::Map { key: key.or(*declared_key), value: Box::new(value.refine(declared)?) }
            }
            (inferred, declared) => {
                return Err(format!("it gives {}, declared is {}", inferred.kind(), declared.kind()));
            }
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Fact::Unknown => "a value",
            Fact::Tensor(_) => "a tensor",
            Fact::Sequence { .. } => "a sequence",
            Fact::Optional(_) => "an optional value",
            Fact::Map { .. } => "a map",
        }
    }
}

impl TensorFact {
    fn refine(mut self, declared: &TensorFact) -> Result<TensorFact, String> {
        if let (Some(a), Some(b)) = (self.dtype, declared.dtype)
            && a != b
        {
            return Err(format!("it gives {a}, declared is {b}"));
        }
        self.dtype = self.dtype.or(declared.dtype);
        let Some(theirs) = &declared.shape else { return Ok(self) };
        let Some(ours) = &mut self.shape else {
            self.shape = Some(theirs.clone());
            return Ok(self);
        };
        let contradict = |a: &Size, b: &Size| matches!((a.known(), b.known()), (Some(a), Some(b)) if a != b);
        if ours.len() != theirs.len() || ours.iter().zip(theirs).any(|(a, b)| contradict(a, b)) {
            return Err(format!("it gives shape {}, declared is {}", show(ours), show(theirs)));
        }
        for (a, b) in ours.iter_mut().zip(theirs) {
            // What follows from the inputs is right for all of them; exporters declare what they saw with one. A declaration
            // counts where inference came upon something that it does not know.
            let is_open = a.any_symbol(&|symbol| matches!(symbol, Symbol::Fresh { .. }));
            if is_open && b.known().is_some() || a.is_unknown() && !b.is_unknown() {
                *a = b.clone();
            }
        }
        Ok(self)
    }
}

/// A shape for people.
pub(super) fn show(shape: &[Size]) -> String {
    let sizes: Vec<String> = shape.iter().map(Size::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

/// Declared dimensions as sizes.
pub(super) fn sizes(dims: &[Dim], fresh: &mut Fresh) -> Vec<Size> {
    dims.iter()
        .map(|dim| match dim {
            Dim::Known(n) => i64::try_from(*n).map_or_else(|_| fresh.size(), Size::from),
            Dim::Symbol(name) if !name.is_empty() => Size::named(name),
            _ => fresh.size(),
        })
        .collect()
}
