//! `TensorProto` and `SparseTensorProto`: where a tensor's elements are, never the elements.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::storage::{self, Memory, Pattern};
use weighbridge_model::{
    DType, Error, Layout, Limits, Place, Result, Storage, Tensor, TensorNotes, View, element_count,
};

use super::external::{Entry, External};
use super::{graph, typed};
use crate::protobuf::{Field, Message};
use crate::strings::{Form, Strings};

/// Adds the sizes in `field`, packed or a single one.
pub(super) fn push_dims(dims: &mut Vec<u64>, field: &Field<'_>, limits: &Limits) -> Result<()> {
    let mut numbers = field.numbers();
    while !numbers.is_done() {
        let size = numbers.varint()? as i64;
        let size = u64::try_from(size)
            .map_err(|_| Error::malformed(field.place(), format!("a dimension of size {size}")))?;
        dims.push(size);
        if dims.len() > limits.dims {
            let (asked, allowed) = (dims.len() as u64, limits.dims as u64);
            return Err(Error::Limit {
                place: field.place(),
                what: "dimensions of a tensor",
                asked,
                allowed,
            });
        }
    }
    Ok(())
}

/// What a tensor says of itself.
#[derive(Default)]
struct Header {
    name: String,
    dims: Vec<u64>,
    data_type: i64,
    raw: Option<Range<u64>>,
    /// Whether any typed field has content.
    typed: bool,
    strings: u64,
    /// Where all strings stand with their tags; none where they are not side by side.
    text: Option<Range<u64>>,
    notes: TensorNotes,
    external: Entry,
    is_external: bool,
}

impl Header {
    fn read(message: &Message<'_>, limits: &Limits) -> Result<Self> {
        let mut header = Header::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => push_dims(&mut header.dims, &field, limits)?,
                2 => header.data_type = field.int()?,
                3 => {
                    let what = "a tensor in segments, which no writer is known to make";
                    return Err(Error::unsupported(field.place(), what));
                }
                4 | 5 | 7 | 10 | 11 => header.typed |= field.len() > 0,
                6 => {
                    let span = field.span();
                    header.text = match header.text.take() {
                        None if header.strings == 0 => Some(span),
                        Some(run) if run.end == span.start => Some(run.start..span.end),
                        _ => None,
                    };
                    header.strings += 1;
                }
                8 => header.name = field.text()?,
                9 => header.raw = Some(field.bytes()?).filter(|r| !r.is_empty()),
                13 => {
                    let (key, value) = graph::entry(&field.message()?)?;
                    match key.as_str() {
                        "location" => header.external.location = value,
                        "offset" => header.external.offset = Some(value),
                        "length" => header.external.length = Some(value),
                        _ => {}
                    }
                }
                12 => header.notes.doc = field.text()?,
                14 => header.is_external = field.int()? == 1,
                16 => {
                    header.notes.properties.push(graph::entry(&field.message()?)?);
                    bounded(header.notes.properties.len(), &field, limits)?;
                }
                _ => {
                    header.notes.carried.push(field.encoded()?);
                    bounded(header.notes.carried.len(), &field, limits)?;
                }
            }
        }
        Ok(header)
    }

    fn dtype(&self, place: &Place) -> Result<DType> {
        let what = match self.data_type {
            0 => "no element type".to_owned(),
            27 => "element type FLOAT6E2M3, six bits wide, which is not read".to_owned(),
            28 => "element type FLOAT6E3M2, six bits wide, which is not read".to_owned(),
            n => match DType::from_onnx(n) {
                Some(dtype) => return Ok(dtype),
                None => format!("element type {n}, which is none of ONNX up to IR version 14"),
            },
        };
        Err(match self.data_type {
            27 | 28 => Error::unsupported(place.clone(), what),
            _ => Error::malformed(place.clone(), what),
        })
    }
}

/// Holds what is kept beside a tensor against the limit.
fn bounded(kept: usize, field: &Field<'_>, limits: &Limits) -> Result<()> {
    if kept as u64 <= limits.items {
        return Ok(());
    }
    let (asked, allowed) = (kept as u64, limits.items);
    Err(Error::Limit { place: field.place(), what: "notes on a tensor", asked, allowed })
}

/// Reads a tensor, under `name` where one is given, and under its own otherwise; and what is said of it.
///
/// # Errors
/// Where its data are not exactly what its type and shape ask for.
pub(super) fn read(
    message: &Message<'_>,
    name: Option<String>,
    limits: &Limits,
    external: &mut External,
) -> Result<(Tensor, TensorNotes)> {
    let mut header = match (Header::read(message, limits), &name) {
        (Err(e), Some(name)) => return Err(e.in_tensor(name)),
        (header, _) => header?,
    };
    let mut notes = std::mem::take(&mut header.notes);
    let own = std::mem::take(&mut header.name);
    let name = match name {
        Some(name) => {
            notes.name = own;
            name
        }
        None => own,
    };
    let place = message.place().tensor(&name);
    let dtype = header.dtype(&place)?;
    let fault = |what: String| Error::malformed(place.clone(), what);
    let count = element_count(&header.dims);
    let (count, bytes) = count
        .and_then(|count| Some((count, dtype.packed_bytes(count)?)))
        .ok_or_else(|| fault(format!("shape {:?} has more elements than can be counted", header.dims)))?;
    if header.raw.is_some() && (header.typed || header.strings > 0) {
        return Err(fault(
            "both raw_data and a typed field, where one of them holds the elements".to_owned(),
        ));
    }
    if dtype == DType::Str {
        if header.strings != count {
            return Err(fault(format!("its shape asks for {count} strings, and it has {}", header.strings)));
        }
        // The entries with their tags: only another ONNX file takes them.
        let storage: Arc<dyn Storage> = match header.text {
            Some(text) => {
                let entries = message.source().storage(text.start, text.end - text.start)?;
                Strings::of(entries, Form::Fields)
            }
            None => Arc::new(Memory::new([])),
        };
        let stored = Tensor::contiguous(name, dtype, vec![0], storage, &place)?;
        return Ok((Tensor { shape: header.dims, layout: Layout::Opaque, ..stored }, notes));
    }
    let storage = match header.raw {
        _ if header.is_external => external.storage(&header.external, bytes, &place)?,
        Some(raw) => {
            let held = raw.end - raw.start;
            if held != bytes {
                let shape = &header.dims;
                return Err(fault(format!("{dtype} {shape:?} takes {bytes} bytes, and raw_data has {held}")));
            }
            message.source().storage(raw.start, held)?
        }
        None => typed::storage(message, dtype, bytes).map_err(|e| e.in_tensor(&name))?,
    };
    Ok((Tensor::contiguous(name, dtype, header.dims, storage, &place)?, notes))
}

/// A sparse tensor: the dense one that it stands for, unless that is too large to be gone through; its values, their
/// indices, and the shape that they are spread over.
pub(super) struct Sparse {
    pub(super) dense: Option<Tensor>,
    pub(super) values: Tensor,
    pub(super) indices: Tensor,
    /// Of the values and of the indices.
    pub(super) notes: [TensorNotes; 2],
    pub(super) dims: Vec<u64>,
}

/// Reads a sparse tensor, under `name` where one is given.
///
/// # Errors
/// As [`read`]; and where one of its two tensors is missing.
pub(super) fn read_sparse(
    message: &Message<'_>,
    name: Option<String>,
    limits: &Limits,
    external: &mut External,
) -> Result<Sparse> {
    let (mut values, mut indices, mut dims) = (None, None, Vec::new());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => values = Some(field.message()?),
            2 => indices = Some(field.message()?),
            3 => push_dims(&mut dims, &field, limits)?,
            _ => {}
        }
    }
    let (Some(values), Some(indices)) = (values, indices) else {
        return Err(Error::malformed(message.place(), "a sparse tensor without values or without indices"));
    };
    let (mut values, said_of_values) = read(&values, name, limits, external)?;
    let (mut indices, said_of_indices) =
        read(&indices, Some(format!("{}.indices", values.name)), limits, external)?;
    let dense = dense(&values, &indices, &dims);
    if dense.is_some() {
        values.name.push_str(".values");
        (values.in_state_dict, indices.in_state_dict) = (false, false);
    }
    Ok(Sparse { dense, values, indices, notes: [said_of_values, said_of_indices], dims })
}

/// Indices are positions in the dense tensor, `[entries]`, or coordinates, `[entries, dimensions]`; in order.
fn dense(values: &Tensor, indices: &Tensor, dims: &[u64]) -> Option<Tensor> {
    let mut columns = indices.clone();
    let shape = match *indices.shape {
        [entries] => {
            columns.shape = vec![1, entries];
            columns.layout = Layout::Strided(View::contiguous(&columns.shape, 0));
            vec![element_count(dims)?]
        }
        [entries, rank] => {
            columns.shape = vec![rank, entries];
            let strides = vec![1, i64::try_from(rank).ok()?];
            columns.layout = Layout::Strided(View { offset: 0, strides });
            dims.to_vec()
        }
        _ => return None,
    };
    let pattern = Pattern::Coordinates { indices: columns, coalesced: true };
    let storage = Arc::new(storage::Sparse::new(shape, pattern, values.clone()).ok()?);
    Tensor::contiguous(&values.name, values.dtype, dims.to_vec(), storage, &Place::default()).ok()
}
