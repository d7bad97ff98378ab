//! NumPy arrays and scalars within a pickle.

use std::sync::Arc;

use weighbridge_model::{PerUnit, Result, Storage, Tensor, Value, View, dtype};

use super::names::{modern_module, numpy_dtype};
use super::rebuild::Rebuilder;
use crate::pickle::{Node, NodeId, Object};
use crate::source::Source;

/// A NumPy dtype: ours, and whether bytes stand in the other order.
struct ArrayType {
    dtype: weighbridge_model::DType,
    big_endian: bool,
}

impl Rebuilder<'_> {
    /// The array that `_reconstruct(ndarray, …)` with state `(version, shape, dtype, is_fortran, data)`
    /// stands for; `None` where the object is something else, or holds no numbers.
    pub(super) fn array(&self, object: &Object) -> Result<Option<Tensor>> {
        if !self.is(object.callable, "numpy._core.multiarray", "_reconstruct") {
            return Ok(None);
        }
        let Some(state) = object.state.and_then(|s| self.pickle.sequence(s)) else { return Ok(None) };
        let [_, shape, dtype, fortran, data] = *state else { return Ok(None) };
        let fortran = matches!(self.pickle.node(fortran), Node::Bool(true));
        self.assemble(shape, dtype, fortran, data)
    }

    /// `_frombuffer(data, dtype, shape, order)`, as protocol 5 has it.
    pub(super) fn buffer_array(&self, args: &[NodeId]) -> Result<Option<Tensor>> {
        let [data, dtype, shape, order] = *args else { return Ok(None) };
        self.assemble(shape, dtype, self.pickle.str(order) == Some("F"), data)
    }

    fn assemble(&self, shape: NodeId, dtype: NodeId, fortran: bool, data: NodeId) -> Result<Option<Tensor>> {
        let (Some(kind), Some(storage)) = (self.array_type(dtype), self.data(data)?) else { return Ok(None) };
        let shape = self.sizes(shape)?;
        let mut view = View::contiguous(&shape, 0);
        if fortran {
            let reversed: Vec<u64> = shape.iter().rev().copied().collect();
            view.strides = View::contiguous(&reversed, 0).strides;
            view.strides.reverse();
        }
        let storage = match kind.big_endian && kind.dtype.swap_width() > 1 {
            true => Arc::new(PerUnit::swapped(storage, kind.dtype.swap_width())) as Arc<dyn Storage>,
            false => storage,
        };
        Tensor::strided("", kind.dtype, shape, view, storage, &self.place()).map(Some)
    }

    /// The number that `scalar(dtype, data)` stands for.
    pub(super) fn scalar(&self, object: &Object) -> Result<Option<Value>> {
        if !self.is(object.callable, "numpy._core.multiarray", "scalar") {
            return Ok(None);
        }
        let Some(&[dtype, data]) = self.pickle.sequence(object.args) else { return Ok(None) };
        let (Some(kind), Some(storage)) = (self.array_type(dtype), self.data(data)?) else { return Ok(None) };
        if !kind.dtype.is_real() || storage.len() != u64::from(kind.dtype.bits() / 8) {
            return Ok(None);
        }
        let mut bytes = vec![0; storage.len() as usize];
        storage.read_at(0, &mut bytes)?;
        if kind.big_endian {
            bytes.reverse();
        }
        Ok(Some(match dtype::to_integer(kind.dtype, &bytes) {
            Some(_) if kind.dtype == weighbridge_model::DType::Bool => Value::Bool(bytes[0] != 0),
            Some(i) => i64::try_from(i).map_or_else(|_| Value::BigInt(i.to_string()), Value::Int),
            None => Value::Float(dtype::to_f64(kind.dtype, &bytes)),
        }))
    }

    /// `dtype('f4', …)` with state `(version, byte order, …)`.
    fn array_type(&self, id: NodeId) -> Option<ArrayType> {
        let Node::Object(object) = self.pickle.node(id) else { return None };
        if !self.is(object.callable, "numpy", "dtype") {
            return None;
        }
        let code = self.pickle.str(*self.pickle.sequence(object.args)?.first()?)?;
        let order = object.state.and_then(|s| self.pickle.sequence(s)?.get(1).copied());
        let big_endian = order.and_then(|o| self.pickle.str(o)) == Some(">") || code.starts_with('>');
        let dtype = numpy_dtype(code.trim_start_matches(['<', '>', '|', '=']))?;
        Some(ArrayType { dtype, big_endian })
    }

    fn data(&self, id: NodeId) -> Result<Option<Arc<dyn Storage>>> {
        self.raw(id)?.map(|source| source.storage(0, source.len())).transpose()
    }

    /// Raw bytes in any of the ways in which Python 2 and 3 pickle them.
    pub(super) fn raw(&self, id: NodeId) -> Result<Option<Source>> {
        let memory = |bytes: &[u8]| Source::memory(self.place().source, bytes);
        if let Some(text) = self.text_of(id) {
            let key = (text, text == id);
            if let Some(source) = self.decoded.borrow().get(&key) {
                return Ok(Some(source.clone()));
            }
            let source = match self.pickle.node(text) {
                // Protocol 2 has no bytes: each is a character of Latin-1.
                Node::Str(text) if !key.1 => {
                    let bytes: Result<Vec<u8>, _> =
                        text.chars().map(|c| u8::try_from(u32::from(c))).collect();
                    memory(&bytes.map_err(|_| self.fault("bytes with characters beyond Latin-1"))?)
                }
                Node::Str(text) => memory(text.as_bytes()),
                Node::Unescaped(bytes) => memory(bytes),
                _ => return Ok(None),
            };
            self.decoded.borrow_mut().insert(key, source.clone());
            return Ok(Some(source));
        }
        Ok(Some(match self.pickle.node(id) {
            Node::Bytes(range) => self.records.within_pickle(self.bytes, range.clone())?,
            Node::Object(call)
                if self.is(call.callable, "builtins", "bytes")
                    && self.pickle.sequence(call.args).is_some_and(<[_]>::is_empty) =>
            {
                memory(&[])
            }
            Node::Object(call) if self.is(call.callable, "builtins", "bytearray") => {
                // One deep: a bytearray of a bytearray is nobody's pickle, and could be nested without end.
                let nested = |id| matches!(self.pickle.node(id), Node::Object(o) if !self.is(o.callable, "_codecs", "encode"));
                return match self.pickle.sequence(call.args) {
                    Some(&[inner, ..]) if !nested(inner) => self.raw(inner),
                    _ => Ok(None),
                };
            }
            _ => return Ok(None),
        }))
    }

    /// The node of the text that stands for bytes: itself, or what `_codecs.encode` is called with.
    pub(super) fn text_of(&self, id: NodeId) -> Option<NodeId> {
        match self.pickle.node(id) {
            Node::Str(_) | Node::Unescaped(_) => Some(id),
            Node::Object(call) if self.is(call.callable, "_codecs", "encode") => {
                let text = *self.pickle.sequence(call.args)?.first()?;
                self.pickle.str(text).map(|_| text)
            }
            _ => None,
        }
    }

    /// Whether a node is this class or function.
    pub(super) fn is(&self, id: NodeId, module: &str, name: &str) -> bool {
        self.pickle.global(id).is_some_and(|(m, n)| modern_module(m) == module && n == name)
    }
}
