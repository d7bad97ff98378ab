//! `BlobProto`: a shape, numbers in one of several encodings, and perhaps their gradients.

use std::sync::Arc;

use weighbridge_model::{
    DType, Error, Layout, Limits, Memory, Place, Result, Role, Storage, Tensor, Value, element_count,
};

use super::runs::{HalfCodes, Runs};
use super::settings::each;
use crate::protobuf::{Field, Message, Wire};

/// The shape as a blob gives it.
#[derive(Debug, Default)]
struct Shape {
    /// `num`, `channels`, `height`, `width`.
    legacy: [Option<i64>; 4],
    /// `shape`, where there is one.
    dims: Option<Vec<i64>>,
}

impl Shape {
    /// Any of the four old fields wins over `shape`, with 0 for those that are left out. A blob of neither has
    /// one dimension: Caffe writes none for a single number without dimensions.
    fn resolve(self, values: u64, fault: impl Fn(String) -> Error) -> Result<Vec<u64>> {
        let dims = if self.legacy.iter().any(Option::is_some) {
            self.legacy.iter().map(|d| d.unwrap_or(0)).collect()
        } else if let Some(dims) = self.dims {
            dims
        } else {
            return Ok(vec![values]);
        };
        let size =
            |&d: &i64| u64::try_from(d).map_err(|_| fault(format!("a dimension of {d} in shape {dims:?}")));
        dims.iter().map(size).collect()
    }
}

/// A blob that is read: where its numbers are, and how many bytes of gradients stand beside them.
#[derive(Debug)]
pub(super) struct Blob {
    dtype: DType,
    shape: Vec<u64>,
    storage: Option<Arc<dyn Storage>>,
    place: Place,
    pub(super) gradients: u64,
}

/// Everything that a blob's fields say, before one encoding is chosen.
struct Fields<'a> {
    shape: Shape,
    floats: Runs,
    doubles: Runs,
    halves: u64,
    raw_type: i64,
    raw: Option<Field<'a>>,
    gradients: u64,
}

impl Blob {
    /// Reads a blob's fields; its numbers stay where they are. `name` is for errors.
    pub(super) fn read(message: &Message<'_>, name: &str, limits: &Limits) -> Result<Blob> {
        let place = message.place().tensor(name);
        let in_blob = |error: Error| error.in_tensor(name);
        let fields = fields(message, limits).map_err(in_blob)?;
        let source = message.source();
        let (dtype, values, storage): (_, u64, Arc<dyn Storage>) = match fields.raw {
            Some(raw) if raw.len() > 0 => {
                let dtype = raw_type(fields.raw_type).ok_or_else(|| {
                    Error::unsupported(place.clone(), format!("raw_data of type {}", fields.raw_type))
                })?;
                let width = u64::from(dtype.bits() / 8);
                if !raw.len().is_multiple_of(width) {
                    let what = format!("raw_data of {} bytes, which are no run of {dtype}", raw.len());
                    return Err(Error::malformed(place, what));
                }
                (dtype, raw.len() / width, source.storage(raw.payload.start, raw.len())?)
            }
            _ if fields.doubles.count() > 0 => {
                (DType::F64, fields.doubles.count(), fields.doubles.storage(source)?)
            }
            _ if fields.floats.count() == 0 && fields.halves > 0 => {
                (DType::F16, fields.halves, Arc::new(HalfCodes::new(message, 10, fields.halves)))
            }
            _ => (DType::F32, fields.floats.count(), fields.floats.storage(source)?),
        };
        let shape = fields.shape.resolve(values, |what| Error::malformed(place.clone(), what))?;
        let storage = held(&shape, values, storage, &place)?;
        Ok(Blob { dtype, shape, storage, place, gradients: fields.gradients })
    }

    /// Reads a blob of a text net: its numbers are kept in memory.
    pub(super) fn of_text(value: &Value, name: &str, place: &Place) -> Result<Blob> {
        let place = place.clone().tensor(name);
        let fault = |what: String| Error::malformed(place.clone(), what);
        let int = |key: &str| {
            value.get(key).map(|v| v.as_int().ok_or_else(|| fault(format!("{key} is no whole number"))))
        };
        let mut shape = Shape::default();
        for (slot, key) in shape.legacy.iter_mut().zip(["num", "channels", "height", "width"]) {
            *slot = int(key).transpose()?;
        }
        if let Some(given) = value.get("shape") {
            let dims = given.get("dim").map_or(&[][..], each);
            let dims =
                dims.iter().map(|d| d.as_int().ok_or_else(|| fault("a dim is no whole number".to_owned())));
            shape.dims = Some(dims.collect::<Result<_>>()?);
        }
        let numbers = |key: &str| value.get(key).map_or(&[][..], each);
        let (dtype, given) = match numbers("double_data") {
            [] => (DType::F32, numbers("data")),
            doubles => (DType::F64, doubles),
        };
        let mut bytes = Vec::with_capacity(given.len() * 8);
        for number in given {
            let x = number.as_float().ok_or_else(|| fault(format!("{number:?} is no number")))?;
            match dtype {
                DType::F64 => bytes.extend(x.to_le_bytes()),
                _ => bytes.extend((x as f32).to_le_bytes()),
            }
        }
        let values = given.len() as u64;
        let shape = shape.resolve(values, fault)?;
        let storage = held(&shape, values, Arc::new(Memory::new(bytes)), &place)?;
        let gradients = (numbers("diff").len() * 4 + numbers("double_diff").len() * 8) as u64;
        Ok(Blob { dtype, shape, storage, place, gradients })
    }

    /// Whether it has a shape and no numbers.
    pub(super) fn is_bare(&self) -> bool {
        self.storage.is_none()
    }

    /// The blob as a tensor.
    pub(super) fn tensor(self, name: String, role: Option<Role>) -> Result<Tensor> {
        let bare = self.storage.is_none();
        let shape = if bare { vec![0] } else { self.shape.clone() };
        let storage = self.storage.unwrap_or_else(|| Arc::new(Memory::new([])));
        let mut tensor = Tensor::contiguous(name, self.dtype, shape, storage, &self.place)?;
        if bare {
            (tensor.shape, tensor.layout) = (self.shape, Layout::Opaque);
        }
        Ok(match role {
            Some(role) => tensor.with_role(role, false),
            None => tensor,
        })
    }
}

/// The storage, where it holds as many numbers as the shape asks for; nothing where it holds none at all.
fn held(
    shape: &[u64],
    values: u64,
    storage: Arc<dyn Storage>,
    place: &Place,
) -> Result<Option<Arc<dyn Storage>>> {
    match element_count(shape) {
        Some(asked) if asked == values => Ok(Some(storage)),
        Some(_) if values == 0 => Ok(None),
        asked => {
            let asked = asked.map_or("more values than can be counted".to_owned(), |n| format!("{n} values"));
            let what = format!("shape {shape:?} asks for {asked}, and the blob has {values}");
            Err(Error::malformed(place.clone(), what))
        }
    }
}

/// NVCaffe's types.
fn raw_type(number: i64) -> Option<DType> {
    [DType::F64, DType::F32, DType::F16, DType::I32, DType::U32].get(usize::try_from(number).ok()?).copied()
}

fn fields<'a>(message: &Message<'a>, limits: &Limits) -> Result<Fields<'a>> {
    let mut found = Fields {
        shape: Shape::default(),
        floats: Runs::new(4),
        doubles: Runs::new(8),
        halves: 0,
        raw_type: 0,
        raw: None,
        gradients: 0,
    };
    let mut walk = message.fields();
    while let Some(field) = walk.next() {
        let field = field?;
        match (field.number, field.wire) {
            (1..=4, _) => found.shape.legacy[field.number as usize - 1] = Some(int32(field.int()?)),
            (5, Wire::Bytes | Wire::Fixed32(_)) => {
                walk.skip_bytes(numbers(&mut found.floats, message, &field, 4)?)
            }
            (8, Wire::Bytes | Wire::Fixed64(_)) => {
                walk.skip_bytes(numbers(&mut found.doubles, message, &field, 8)?)
            }
            (5 | 8, _) => {
                let what = format!("field {} of a blob holds no floating-point numbers", field.number);
                return Err(Error::malformed(field.place(), what));
            }
            (7, _) => dims(&field.message()?, found.shape.dims.get_or_insert_default(), limits)?,
            // NVCaffe: half-precision codes in early versions, the type of raw_data in later ones.
            (10, Wire::Bytes) => {
                let mut codes = field.numbers();
                while !codes.is_done() {
                    codes.varint()?;
                    found.halves += 1;
                }
            }
            (10, Wire::Varint(kind)) => found.raw_type = kind as i64,
            (12, Wire::Bytes) => found.raw = Some(field),
            (6 | 9 | 11 | 13, Wire::Bytes | Wire::Fixed32(_) | Wire::Fixed64(_)) => {
                found.gradients += field.len()
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A field of 32 bits, of which a varint may carry more.
fn int32(value: i64) -> i64 {
    i64::from(value as i32)
}

/// Notes the numbers of a field, and of those alike behind it; returns the bytes that the latter take.
fn numbers(runs: &mut Runs, message: &Message<'_>, field: &Field<'_>, width: u64) -> Result<u64> {
    if !field.len().is_multiple_of(width) {
        let what = format!("{} bytes are no run of numbers of {width} bytes each", field.len());
        return Err(Error::malformed(field.place(), what));
    }
    runs.add(field.payload.start, field.len() / width, || field.place())?;
    if field.wire == Wire::Bytes { Ok(0) } else { runs.add_alike(message, field) }
}

/// `BlobShape`: its numbers packed or one by one.
fn dims(message: &Message<'_>, dims: &mut Vec<i64>, limits: &Limits) -> Result<()> {
    for field in message.fields() {
        let field = field?;
        if field.number != 1 {
            continue;
        }
        if matches!(field.wire, Wire::Fixed32(_) | Wire::Fixed64(_)) {
            return Err(Error::malformed(field.place(), "a dimension that is no varint"));
        }
        let mut numbers = field.numbers();
        while !numbers.is_done() {
            dims.push(numbers.varint()? as i64);
            if dims.len() > limits.dims {
                return Err(Error::Limit {
                    place: field.place(),
                    what: "dimensions of a blob",
                    asked: dims.len() as u64,
                    allowed: limits.dims as u64,
                });
            }
        }
    }
    Ok(())
}
