//! `TensorProto`, `SparseTensorProto`, `TypeProto`.

use std::sync::Arc;

use weighbridge_model::{
    DType, Dim, GraphValue, Layout, Result, SparseTensor, Tensor, TensorId, TensorNotes, ValueType,
};

use super::Writer;
use super::graph::properties;
use crate::protobuf::Message;
use crate::protobuf::write::Draft;
use crate::source::Source;

impl Writer<'_> {
    /// A tensor under `name`; what ONNX cannot carry is noted, and left without elements.
    pub(super) fn tensor(&mut self, id: TensorId, name: Option<&str>) -> Result<Draft> {
        let tensor = self.model.tensor(id);
        let none = TensorNotes::default();
        let notes = self.notes.get(&id).copied().unwrap_or(&none);
        let mut draft = Draft::default();
        tensor.shape.iter().for_each(|&size| draft.int(1, size as i64));
        match carries(tensor) {
            Err(why) => self.refused.push((tensor.name.clone(), why)),
            Ok(number) => draft.int(2, number),
        }
        let name = name.unwrap_or(&notes.name);
        if tensor.dtype == DType::Str {
            match strings(tensor) {
                true => draft.encoded(&tensor.storage),
                false => self.refused.push((tensor.name.clone(), "strings that are no ONNX file's".into())),
            }
            draft.text(8, name);
        } else if let Some((location, at)) = self.outside(tensor) {
            draft.text(8, name);
            for (key, value) in
                [("location", location), ("offset", at.to_string()), ("length", tensor.bytes().to_string())]
            {
                let mut entry = Draft::default();
                entry.text(1, key);
                entry.text(2, &value);
                draft.message(13, entry);
            }
            draft.int(14, 1);
        } else {
            draft.text(8, name);
            let tensor = tensor.clone();
            draft.stream(9, tensor.bytes(), Arc::new(move |output| output.elements(&tensor, &mut |_| {})));
        }
        draft.text(12, &notes.doc);
        properties(&mut draft, 16, &notes.properties);
        notes.carried.iter().for_each(|field| draft.encoded(field));
        Ok(draft)
    }

    fn outside(&mut self, tensor: &Tensor) -> Option<(String, u64)> {
        let external = self.external.as_mut().filter(|_| !self.within)?;
        let at = external.place(tensor)?;
        Some((external.location(), at))
    }

    /// A sparse tensor by its parts.
    pub(super) fn sparse(&mut self, sparse: &SparseTensor, name: Option<&str>) -> Result<Draft> {
        let mut draft = Draft::default();
        let before = std::mem::replace(&mut self.within, true);
        draft.message(1, self.tensor(sparse.values, name)?);
        draft.message(2, self.tensor(sparse.indices, None)?);
        self.within = before;
        sparse.dims.iter().for_each(|&size| draft.int(3, size as i64));
        Ok(draft)
    }
}

/// The number of a tensor's element type, or why ONNX cannot carry it.
fn carries(tensor: &Tensor) -> Result<i64, String> {
    match &tensor.layout {
        Layout::Strided(_) => {}
        Layout::Opaque if tensor.dtype == DType::Str => {}
        Layout::Quantized { .. } => return Err("quantized codes, whose scales belong into nodes".into()),
        Layout::Blocks { scheme } => return Err(format!("{scheme} blocks, which it has no type for")),
        _ => return Err(format!("{} elements that are no plain numbers", tensor.dtype)),
    }
    tensor.dtype.to_onnx().ok_or_else(|| format!("it has no type {}", tensor.dtype))
}

/// Whether a tensor's storage holds its strings as ONNX files do: one entry of field 6 each.
fn strings(tensor: &Tensor) -> bool {
    let Some(bytes) = tensor.storage.as_slice().map(<[u8]>::to_vec).or_else(|| {
        let mut bytes = vec![0; usize::try_from(tensor.storage.len()).ok()?];
        tensor.storage.read_at(0, &mut bytes).ok()?;
        Some(bytes)
    }) else {
        return false;
    };
    let source = Source::memory("strings", bytes);
    let mut count = 0;
    let whole = Message::whole(&source, 0).fields().all(|field| {
        count += 1;
        field.is_ok_and(|field| field.number == 6)
    });
    whole && count == tensor.count()
}

/// What a graph declares of a value; `None` where that is nothing.
pub(super) fn declared(value: &GraphValue) -> Option<Draft> {
    match &value.declared {
        Some(kind) => Some(value_type(kind)),
        None => {
            let mut draft = Draft::default();
            draft.message(1, tensor_type(value.dtype?, value.shape.as_deref()));
            Some(draft)
        }
    }
}

fn value_type(kind: &ValueType) -> Draft {
    let mut draft = Draft::default();
    let within = |number, of: &ValueType| {
        let mut inner = Draft::default();
        inner.message(number, value_type(of));
        inner
    };
    match kind {
        ValueType::Tensor { dtype, shape } => draft.message(1, tensor_type(*dtype, shape.as_deref())),
        ValueType::SparseTensor { dtype, shape } => draft.message(8, tensor_type(*dtype, shape.as_deref())),
        ValueType::Sequence(of) => draft.message(4, within(1, of)),
        ValueType::Optional(of) => draft.message(9, within(1, of)),
        ValueType::Map { key, value } => {
            let mut map = Draft::default();
            map.int(1, key.to_onnx().unwrap_or(0));
            map.message(2, value_type(value));
            draft.message(5, map);
        }
        ValueType::Opaque(bytes) => draft.encoded(bytes),
        _ => {}
    }
    draft
}

fn tensor_type(dtype: impl Into<Option<DType>>, shape: Option<&[Dim]>) -> Draft {
    let mut draft = Draft::default();
    draft.int(1, dtype.into().and_then(DType::to_onnx).unwrap_or(0));
    if let Some(shape) = shape {
        let mut dims = Draft::default();
        for dim in shape {
            let mut size = Draft::default();
            match dim {
                Dim::Known(n) => size.int(1, *n as i64),
                Dim::Symbol(name) => size.text(2, name),
                Dim::Unknown => {}
            }
            dims.message(1, size);
        }
        draft.message(2, dims);
    }
    draft
}
