//! `ValueInfoProto` and `TypeProto`: what a graph declares of its values.

use weighbridge_model::{DType, Dim, Result, ValueId};

use super::graph::{Reader, Scope};
use super::tensor;
use crate::protobuf::Message;

impl Reader {
    /// `ValueInfoProto`: a name with a type.
    pub(super) fn declaration(
        &mut self,
        scope: &mut Scope,
        message: &Message<'_>,
    ) -> Result<Option<ValueId>> {
        let (mut name, mut kind) = (None, (None, None));
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => name = self.named(scope, &field)?,
                2 => kind = self.kind(&field.message()?)?,
                _ => {}
            }
        }
        if let Some(value) = name {
            scope.declare(value, kind.0, kind.1);
        }
        Ok(name)
    }

    /// `TypeProto`: element type and shape of a tensor, dense or sparse; nothing of sequences and maps.
    fn kind(&mut self, message: &Message<'_>) -> Result<(Option<DType>, Option<Vec<Dim>>)> {
        let (mut dtype, mut shape) = (None, None);
        for field in message.fields() {
            let field = field?;
            if !matches!(field.number, 1 | 8) {
                continue;
            }
            for field in field.message()?.fields() {
                let field = field?;
                match field.number {
                    1 => dtype = tensor::dtype(field.int()?),
                    2 => shape = Some(self.dims(&field.message()?)?),
                    _ => {}
                }
            }
        }
        Ok((dtype, shape))
    }

    fn dims(&mut self, message: &Message<'_>) -> Result<Vec<Dim>> {
        let mut dims = Vec::new();
        for field in message.fields() {
            let field = field?;
            if field.number != 1 {
                continue;
            }
            self.item(&field.place())?;
            let mut dim = Dim::Unknown;
            for field in field.message()?.fields() {
                let field = field?;
                match field.number {
                    // Some writers say -1 for what is not known.
                    1 => dim = u64::try_from(field.int()?).map_or(Dim::Unknown, Dim::Known),
                    2 => {
                        dim = Some(field.text()?).filter(|s| !s.is_empty()).map_or(Dim::Unknown, Dim::Symbol)
                    }
                    _ => {}
                }
            }
            dims.push(dim);
        }
        Ok(dims)
    }
}
