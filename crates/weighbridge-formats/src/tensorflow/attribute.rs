//! `AttrValue`: what an attribute of a node is.

use weighbridge_model::{Dim, Error, Limits, Result, Value};

use super::shape::{self, Shape};
use super::types;
use crate::protobuf::{Field, Message};

/// Longest list that an attribute keeps.
const LIST: usize = 1 << 12;

/// An attribute's content.
pub(super) enum Content<'a> {
    /// Plain values.
    Value(Value),
    /// An element type.
    Type(i64),
    /// Shapes, one an output.
    Shapes(Vec<Shape>),
    /// A tensor.
    Tensor(Message<'a>),
    /// Functions, by their names.
    Functions(Vec<String>),
    /// A kind that is kept by name only.
    Opaque(String),
}

/// Reads a map's entry: its key, and its value.
pub(super) fn entry<'a>(message: &Message<'a>) -> Result<(String, Option<Message<'a>>)> {
    let (mut key, mut value) = (String::new(), None);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = Some(field.message()?),
            _ => {}
        }
    }
    Ok((key, value))
}

/// Reads an attribute's value.
///
/// # Errors
/// Fields of another kind than their number says.
pub(super) fn read<'a>(message: &Message<'a>, limits: &Limits) -> Result<Content<'a>> {
    let mut content = Content::Opaque("nothing".into());
    for field in message.fields() {
        let field = field?;
        content = match field.number {
            1 => list(&field.message()?, limits)?,
            6 => Content::Type(field.int()?),
            7 => Content::Value(sizes(&shape::read(&field.message()?, limits)?)),
            8 => Content::Tensor(field.message()?),
            9 => Content::Opaque(format!("parameter '{}'", field.text()?)),
            10 => Content::Functions(vec![function(&field.message()?)?]),
            2..=5 => Content::Value(plain(&field)?),
            _ => continue,
        };
    }
    Ok(content)
}

fn plain(field: &Field<'_>) -> Result<Value> {
    Ok(match field.number {
        2 => {
            let len = field.len();
            let text = field.text()?;
            if text.contains('\u{fffd}') { Value::Bytes(len) } else { Value::Str(text) }
        }
        3 => Value::Int(field.int()?),
        4 => Value::Float(f64::from(field.float()?)),
        _ => Value::Bool(field.int()? != 0),
    })
}

fn list<'a>(message: &Message<'a>, limits: &Limits) -> Result<Content<'a>> {
    let (mut values, mut shapes, mut functions, mut others) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut count = 0usize;
    for field in message.fields() {
        let field = field?;
        match field.number {
            2 => {
                count += 1;
                if count <= LIST {
                    values.push(plain(&field)?);
                }
            }
            3..=6 => {
                let mut numbers = field.numbers();
                while !numbers.is_done() {
                    let value = match field.number {
                        4 => Value::Float(f64::from(f32::from_le_bytes(numbers.fixed()?))),
                        3 => Value::Int(numbers.varint()? as i64),
                        5 => Value::Bool(numbers.varint()? != 0),
                        _ => type_name(numbers.varint()? as i64),
                    };
                    count += 1;
                    if count <= LIST {
                        values.push(value);
                    }
                }
            }
            7 => {
                count += 1;
                if count <= LIST {
                    shapes.push(shape::read(&field.message()?, limits)?);
                }
            }
            9 => {
                count += 1;
                if count <= LIST {
                    functions.push(function(&field.message()?)?);
                }
            }
            _ => others += 1,
        }
    }
    Ok(if count > LIST {
        Content::Opaque(format!("list of {count}"))
    } else if others > 0 {
        Content::Opaque(format!("list of {others} tensors"))
    } else if !functions.is_empty() {
        Content::Functions(functions)
    } else if !shapes.is_empty() {
        Content::Shapes(shapes)
    } else {
        Content::Value(Value::List(values))
    })
}

/// The name of a `NameAttrList`.
fn function(message: &Message<'_>) -> Result<String> {
    for field in message.fields() {
        let field = field?;
        if field.number == 1 {
            return field.text();
        }
    }
    Err(Error::malformed(message.place(), "a function without a name"))
}

/// An element type as metadata shows it.
pub(super) fn type_name(number: i64) -> Value {
    match (number, types::dtype(number)) {
        (7, _) => Value::Str("STRING".into()),
        (20, _) => Value::Str("resource".into()),
        (21, _) => Value::Str("variant".into()),
        (_, Some(dtype)) => Value::Str(dtype.name().into()),
        _ => Value::Str(format!("type {number}")),
    }
}

/// A shape as metadata shows it; null where nothing is known.
pub(super) fn sizes(shape: &Shape) -> Value {
    let size = |dim: &Dim| match dim {
        Dim::Known(n) => i64::try_from(*n).map_or(Value::Null, Value::Int),
        _ => Value::Null,
    };
    shape.declared().map_or(Value::Null, |dims| Value::List(dims.iter().map(size).collect()))
}
