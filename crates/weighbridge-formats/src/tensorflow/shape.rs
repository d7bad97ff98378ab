//! `TensorShapeProto`.

use weighbridge_model::{Dim, Error, Limits, Result};

use crate::protobuf::Message;

/// A shape, which may be known in part or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// One size a dimension; `None` where nothing is known of one.
    pub dims: Vec<Option<u64>>,
    /// Whether not even the number of dimensions is known.
    pub unknown: bool,
}

impl Shape {
    /// The sizes, where all are known.
    pub fn known(&self) -> Option<Vec<u64>> {
        if self.unknown { None } else { self.dims.iter().copied().collect() }
    }

    /// As a value of a graph declares it.
    pub fn declared(&self) -> Option<Vec<Dim>> {
        let dim = |d: &Option<u64>| d.map_or(Dim::Unknown, Dim::Known);
        (!self.unknown).then(|| self.dims.iter().map(dim).collect())
    }
}

/// Reads a shape. A size of -1 is one that is not known.
///
/// # Errors
/// More dimensions than are allowed, other negative sizes.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Result<Shape> {
    let mut shape = Shape::default();
    for field in message.fields() {
        let field = field?;
        match field.number {
            2 => {
                let mut size = 0;
                for field in field.message()?.fields() {
                    let field = field?;
                    if field.number == 1 {
                        size = field.int()?;
                    }
                }
                let dim = match size {
                    -1 => None,
                    size => Some(u64::try_from(size).map_err(|_| {
                        Error::malformed(field.place(), format!("a dimension of size {size}"))
                    })?),
                };
                shape.dims.push(dim);
                if shape.dims.len() > limits.dims {
                    let (asked, allowed) = (shape.dims.len() as u64, limits.dims as u64);
                    return Err(Error::Limit { place: field.place(), what: "dimensions", asked, allowed });
                }
            }
            3 => shape.unknown = field.int()? != 0,
            _ => {}
        }
    }
    Ok(shape)
}
