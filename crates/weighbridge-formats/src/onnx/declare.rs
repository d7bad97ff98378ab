//! `ValueInfoProto` and `TypeProto`: what a graph declares of its values.

use weighbridge_model::{DType, Dim, GraphValue, Result, ValueId, ValueType};

use super::graph::{Reader, Scope};
use crate::protobuf::{Field, Message};

/// What a `TypeProto` comes to: its type, and whether that says all of it.
struct Kind {
    kind: Option<ValueType>,
    whole: bool,
}

impl Reader {
    /// `ValueInfoProto`: a name with a type.
    pub(super) fn declaration(
        &mut self,
        scope: &mut Scope,
        message: &Message<'_>,
    ) -> Result<Option<ValueId>> {
        let (mut name, mut value) = (None, GraphValue::default());
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = self.named(scope, &field)?,
                2 => self.kind(&mut value, &field.message()?)?,
                3 => value.doc = field.text()?,
                4 => self.property(&mut value.properties, &field)?,
                _ => self.carry(&mut value.carried, &field)?,
            }
        }
        if let Some(id) = name {
            scope.declare(id, value);
        }
        Ok(name)
    }

    fn kind(&mut self, value: &mut GraphValue, message: &Message<'_>) -> Result<()> {
        let Kind { kind, whole } = self.value_type(message)?;
        if let Some(ValueType::Tensor { dtype, shape } | ValueType::SparseTensor { dtype, shape }) = &kind {
            (value.dtype, value.shape) = (*dtype, shape.clone());
        }
        value.declared = match kind {
            _ if !whole => Some(ValueType::Opaque(message.storage()?)),
            Some(ValueType::Tensor { dtype: Some(_), .. }) => None,
            kind => kind,
        };
        Ok(())
    }

    fn value_type(&mut self, message: &Message<'_>) -> Result<Kind> {
        let mut read = Kind { kind: None, whole: true };
        for field in message.fields() {
            let field = field?;
            let inner = |reader: &mut Self, read: &mut Kind, number: u32| -> Result<Option<ValueType>> {
                let inner = reader.inner(&field, number)?;
                read.whole &= inner.whole && inner.kind.is_some();
                Ok(inner.kind)
            };
            read.kind = match field.number {
                1 | 8 => {
                    let (dtype, shape, whole) = self.tensor_type(&field.message()?)?;
                    read.whole &= whole;
                    match field.number {
                        1 => Some(ValueType::Tensor { dtype, shape }),
                        _ => Some(ValueType::SparseTensor { dtype, shape }),
                    }
                }
                4 => inner(self, &mut read, 1)?.map(|of| ValueType::Sequence(Box::new(of))),
                9 => inner(self, &mut read, 1)?.map(|of| ValueType::Optional(Box::new(of))),
                5 => match (key_type(&field)?, inner(self, &mut read, 2)?) {
                    (Some(key), Some(value)) => Some(ValueType::Map { key, value: Box::new(value) }),
                    _ => {
                        read.whole = false;
                        None
                    }
                },
                _ => {
                    read.whole = false;
                    read.kind.take()
                }
            };
        }
        read.whole &= read.kind.is_some();
        Ok(read)
    }

    /// The type in field `number` of a sequence, a map or an optional.
    fn inner(&mut self, field: &Field<'_>, number: u32) -> Result<Kind> {
        self.item(&field.place())?;
        let mut read = Kind { kind: None, whole: true };
        for field in field.message()?.fields() {
            let field = field?;
            if field.number == number {
                read = self.value_type(&field.message()?)?;
            }
        }
        Ok(read)
    }

    /// Element type and shape of a tensor, dense or sparse, and whether that is all that it says.
    fn tensor_type(&mut self, message: &Message<'_>) -> Result<(Option<DType>, Option<Vec<Dim>>, bool)> {
        let (mut dtype, mut shape, mut whole) = (None, None, true);
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => {
                    let number = field.int()?;
                    dtype = DType::from_onnx(number);
                    whole &= number == 0 || dtype.is_some();
                }
                2 => shape = Some(self.dims(&field.message()?, &mut whole)?),
                _ => whole = false,
            }
        }
        Ok((dtype, shape, whole))
    }

    fn dims(&mut self, message: &Message<'_>, whole: &mut bool) -> Result<Vec<Dim>> {
        let mut dims = Vec::new();
        for field in message.fields() {
            let field = field?;
            if field.number != 1 {
                *whole = false;
                continue;
            }
            self.item(&field.place())?;
            let mut dim = Dim::Unknown;
            for field in field.message()?.fields() {
                let field = field?;
                match field.number {
                    // Some writers say -1 for what is not known.
                    1 => {
                        dim = u64::try_from(field.int()?).map_or(Dim::Unknown, Dim::Known);
                        *whole &= dim != Dim::Unknown;
                    }
                    2 => {
                        dim = Some(field.text()?).filter(|s| !s.is_empty()).map_or(Dim::Unknown, Dim::Symbol);
                        *whole &= dim != Dim::Unknown;
                    }
                    _ => *whole = false,
                }
            }
            dims.push(dim);
        }
        Ok(dims)
    }
}

/// The type of a map's keys.
fn key_type(field: &Field<'_>) -> Result<Option<DType>> {
    let mut key = None;
    for field in field.message()?.fields() {
        let field = field?;
        if field.number == 1 {
            key = DType::from_onnx(field.int()?);
        }
    }
    Ok(key)
}
