//! Attributes, as metadata: text and small numbers.

use weighbridge_model::{DType, Result, Value, dtype};

use super::bytes::Bytes;
use super::datatype::{self, Datatype, Kind};
use super::file::File;
use super::header::Message;
use super::{btree, heap};

const ATTRIBUTE: u16 = 0xc;
const ATTRIBUTE_INFO: u16 = 0x15;

/// Elements of an attribute that are kept.
const ELEMENTS: u64 = 1 << 16;

/// The attributes of the object that these messages describe, in their order. One that cannot be read is kept by name.
pub fn attributes(file: &File, messages: &[Message]) -> Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for message in messages {
        match message.kind {
            ATTRIBUTE if !message.shared => found.push(attribute(file, message)?),
            ATTRIBUTE_INFO => dense(file, message, &mut found)?,
            _ => {}
        }
    }
    Ok(found)
}

fn dense(file: &File, message: &Message, found: &mut Vec<(String, Value)>) -> Result<()> {
    let mut bytes = message.bytes(file, "attribute information");
    bytes.u8()?;
    let flags = bytes.u8()?;
    bytes.take(if flags & 1 != 0 { 2 } else { 0 })?;
    let (objects, names) = (bytes.uint(file.offsets)?, bytes.uint(file.offsets)?);
    if file.is_undefined(objects) {
        return Ok(());
    }
    let heap = heap::Fractal::open(file, objects)?;
    btree::v2(file, names, &mut |record| {
        let body = heap.object(file, record)?;
        found.push(attribute(file, &Message { kind: ATTRIBUTE, shared: false, body, address: objects })?);
        Ok(())
    })
}

fn attribute(file: &File, message: &Message) -> Result<(String, Value)> {
    let mut bytes = message.bytes(file, "attribute");
    let version = bytes.u8()?;
    let flags = bytes.u8()?;
    let sizes = [usize::from(bytes.u16()?), usize::from(bytes.u16()?), usize::from(bytes.u16()?)];
    bytes.take(if version == 3 { 1 } else { 0 })?;
    // The first version pads each part to eight bytes.
    let padded = |size: usize| if version == 1 { size.next_multiple_of(8) } else { size };
    let name = bytes.take(padded(sizes[0]))?;
    let name = String::from_utf8_lossy(name.split(|&b| b == 0).next().unwrap_or_default()).into_owned();
    let kind = Message {
        kind: 3,
        shared: version > 1 && flags & 1 != 0,
        body: bytes.take(padded(sizes[1]))?.to_vec(),
        address: message.address,
    };
    let kind = datatype::of_message(file, &kind)?;
    let space = bytes.take(padded(sizes[2]))?;
    let space =
        datatype::space(file, &mut Bytes::new(space, file.place(message.address), "attribute's shape"))?;
    let count = space.dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|&n| n <= ELEMENTS);
    let value = match count {
        _ if space.null => Value::Null,
        Some(count) => values(file, &kind, count, space.dims.is_empty(), &mut bytes)?,
        None => Value::Bytes(bytes.rest().len() as u64),
    };
    Ok((name, value))
}

fn values(file: &File, kind: &Datatype, count: u64, scalar: bool, bytes: &mut Bytes<'_>) -> Result<Value> {
    let size = usize::try_from(kind.size).unwrap_or(usize::MAX);
    if let Kind::Other(name) = kind.kind {
        return Ok(Value::Object {
            class: name.into(),
            state: Box::new(Value::Bytes(bytes.rest().len() as u64)),
        });
    }
    if size == 0 {
        return Ok(Value::Null);
    }
    let mut items = Vec::new();
    for _ in 0..count {
        let mut element = Bytes::new(bytes.take(size)?, file.place(0), "attribute");
        items.push(match &kind.kind {
            Kind::Text => text(element.rest()),
            Kind::VariableText => {
                element.u32()?;
                let (address, index) = (element.uint(file.offsets)?, element.u32()?);
                if address == 0 {
                    Value::Str(String::new())
                } else {
                    text(&heap::global(file, address, index)?)
                }
            }
            Kind::Number { dtype, swapped } => number(*dtype, *swapped, element.rest()),
            Kind::Other(_) => Value::Null,
        });
    }
    Ok(match items.pop() {
        Some(only) if scalar => only,
        last => Value::List(items.into_iter().chain(last).collect()),
    })
}

fn text(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    Value::Str(text.trim_end_matches('\0').to_owned())
}

fn number(kind: DType, swapped: bool, bytes: &[u8]) -> Value {
    let mut bytes = bytes.to_vec();
    if swapped {
        bytes.chunks_exact_mut(kind.swap_width()).for_each(<[u8]>::reverse);
    }
    if kind == DType::Bool {
        Value::Bool(bytes.first().is_some_and(|&b| b != 0))
    } else if kind.is_float() {
        Value::Float(dtype::to_f64(kind, &bytes))
    } else if kind.is_real() {
        let value = dtype::to_f64(kind, &bytes);
        if value.abs() < 9e15 { Value::Int(value as i64) } else { Value::Float(value) }
    } else {
        Value::Bytes(bytes.len() as u64)
    }
}
