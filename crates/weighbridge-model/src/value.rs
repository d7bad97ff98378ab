//! Metadata: an ordered tree of plain values, with whatever is not plain kept by name.

use crate::TensorId;

/// A piece of metadata, in the order in which its file holds it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Python's `None`, JSON's `null`.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond `i64`, in decimal digits.
    BigInt(String),
    /// A floating-point number; NaN and infinities included.
    Float(f64),
    /// Text.
    Str(String),
    /// Raw bytes, of which only the count is kept.
    Bytes(u64),
    /// A sequence (list, tuple, set).
    List(Vec<Value>),
    /// A mapping; keys in their display form.
    Map(Vec<(String, Value)>),
    /// A tensor of the same model.
    Tensor(TensorId),
    /// An object of a class that is not interpreted, shown by name; never executed.
    Object {
        /// Fully qualified class or function name.
        class: String,
        /// What it was built from, as far as that is plain data.
        state: Box<Value>,
    },
}

impl Value {
    /// The entry of this key, where this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The whole number, where this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// The text, where this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(s) => Some(s),
            _ => None,
        }
    }

    /// The number as f64, where this is one.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Value::Float(x) => Some(*x),
            Value::Int(i) => Some(*i as f64),
            _ => None,
        }
    }

    /// The sequence's items, where this is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }
}
