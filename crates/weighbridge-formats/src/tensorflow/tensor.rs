//! `TensorProto`: where a tensor's elements are, never the elements.
//!
//! Elements stand in `tensor_content` as they are in memory, or in the field of their type, where the last one stands
//! for all that are missing, and none for zeros.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{
    DType, Error, Layout, Limits, Memory, Place, Result, Storage, Tensor, View, element_count,
};

use super::types::{self, Type};
use super::{bundle, pack, shape};
use crate::protobuf::Message;
use crate::typed::{self, Entry, Unit};

/// Elements for each that is stored, up to which one that repeats is gone through.
const EXPANSION: u64 = 1024;
/// As many more whatever is stored.
const SLACK: u64 = 1 << 22;

/// Most strings of a tensor that are kept.
const STRINGS: usize = 1 << 16;

/// Number of the field that holds strings.
const TEXTS: u32 = 8;

/// A tensor that was read, and the first of its strings, if it is of strings.
pub(super) struct Read {
    pub tensor: Tensor,
    pub strings: Vec<String>,
}

#[derive(Default)]
struct Header {
    dtype: i64,
    shape: shape::Shape,
    content: Option<Range<u64>>,
    strings: Vec<String>,
    texts: u64,
}

impl Header {
    fn read(message: &Message<'_>, limits: &Limits) -> Result<Header> {
        let mut header = Header::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => header.dtype = field.int()?,
                2 => header.shape = shape::read(&field.message()?, limits)?,
                4 => header.content = Some(field.bytes()?).filter(|r| !r.is_empty()),
                TEXTS => {
                    header.texts += 1;
                    if header.strings.len() < STRINGS {
                        header.strings.push(field.text()?);
                    }
                }
                _ => {}
            }
        }
        Ok(header)
    }
}

/// The number of the field that holds elements of this type, and how.
fn field_of(number: i64, dtype: DType) -> (u32, Entry) {
    match dtype {
        DType::F32 => (5, Entry::Fixed { width: 4 }),
        DType::F64 => (6, Entry::Fixed { width: 8 }),
        DType::F16 | DType::BF16 => (13, Entry::Varint { width: 2 }),
        DType::C64 => (9, Entry::Fixed { width: 4 }),
        DType::C128 => (12, Entry::Fixed { width: 8 }),
        DType::I64 => (10, Entry::Varint { width: 8 }),
        DType::Bool => (11, Entry::Truth),
        DType::U32 => (16, Entry::Varint { width: 4 }),
        DType::U64 => (17, Entry::Varint { width: 8 }),
        // All FP8 share a run of bytes.
        DType::F8E5M2 | DType::F8E4M3 | DType::F8E4M3Fnuz | DType::F8E5M2Fnuz => {
            (18, Entry::Fixed { width: 1 })
        }
        DType::I32 => (7, Entry::Varint { width: 4 }),
        DType::I16 | DType::U16 => (7, Entry::Varint { width: 2 }),
        _ => {
            debug_assert!(types::dtype(number).is_some());
            (7, Entry::Varint { width: 1 })
        }
    }
}

/// Reads a tensor under `name`.
///
/// # Errors
/// Where its data are not what its type and shape ask for.
pub(super) fn read(message: &Message<'_>, name: &str, limits: &Limits) -> Result<Read> {
    let place = message.place().tensor(name);
    let header = Header::read(message, limits).map_err(|e| e.in_tensor(name))?;
    let fault = |what: String| Error::malformed(place.clone(), what);
    let kind = types::of(header.dtype, &place)?;
    let shape = header.shape.known().ok_or_else(|| fault("a tensor whose shape is not known".into()))?;
    let count = element_count(&shape);
    let sized = count.and_then(|count| Some((count, count.checked_mul(kind.width)?)));
    let (count, bytes) =
        sized.ok_or_else(|| fault(format!("shape {shape:?} has more elements than can be counted")))?;
    if kind.dtype == DType::Str {
        if header.texts > count {
            return Err(fault(format!("its shape asks for {count} strings, and it has {}", header.texts)));
        }
        let mut tensor = Tensor::contiguous(name, DType::Str, vec![0], bundle::nothing(), &place)?;
        (tensor.shape, tensor.layout) = (shape, Layout::Opaque);
        return Ok(Read { tensor, strings: header.strings });
    }
    let dtype = kind.dtype;
    let tensor = match header.content {
        Some(content) => {
            let held = content.end - content.start;
            if held != bytes {
                let what = format!("{dtype} {shape:?} takes {bytes} bytes, and tensor_content has {held}");
                return Err(fault(what));
            }
            let storage = pack::packed(message.source().storage(content.start, held)?, dtype);
            Tensor::contiguous(name, dtype, shape, storage, &place)?
        }
        None => in_field(message, header.dtype, kind, shape, count, name, &place)
            .map_err(|e| e.in_tensor(name))?,
    };
    Ok(Read { tensor, strings: Vec::new() })
}

/// A tensor whose elements are in the field of their type.
fn in_field(
    message: &Message<'_>,
    number: i64,
    kind: Type,
    shape: Vec<u64>,
    count: u64,
    name: &str,
    place: &Place,
) -> Result<Tensor> {
    let (field, entry) = field_of(number, kind.dtype);
    let held = typed::held(message, field, entry)?;
    let per = kind.width / entry.width();
    if held.count % per.max(1) != 0 {
        return Err(Error::malformed(place.clone(), "half of a complex number"));
    }
    let given = held.count / per.max(1);
    if given <= 1 && count > 1 && !kind.dtype.is_sub_byte() {
        // One element, or the zero that none stands for, fills the tensor. Packed elements have no strides.
        let storage: Arc<dyn Storage> = match given {
            0 => Arc::new(Memory::new(vec![0; kind.width as usize])),
            _ => typed::storage(message, held, Unit { bytes: kind.width, element: kind.width })?,
        };
        let view = View { offset: 0, strides: vec![0; shape.len()] };
        return Tensor::strided(name, kind.dtype, shape, view, pack::packed(storage, kind.dtype), place);
    }
    let allowed = given.saturating_mul(EXPANSION).saturating_add(SLACK);
    if count > allowed {
        let place = place.clone();
        return Err(Error::Limit { place, what: "elements that repeat the last", asked: count, allowed });
    }
    let unit = Unit { bytes: count * kind.width, element: kind.width };
    let storage = pack::packed(typed::storage(message, held, unit)?, kind.dtype);
    Tensor::contiguous(name, kind.dtype, shape, storage, place)
}
