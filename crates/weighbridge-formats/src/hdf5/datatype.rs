//! Element types and shapes.

use weighbridge_model::{DType, Error, Result};

use super::bytes::Bytes;
use super::file::File;
use super::header::{self, Message};

/// Type of the message that holds an element type.
const DATATYPE: u16 = 3;

/// What an element is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A number; `swapped` where its bytes stand in big-endian order.
    Number { dtype: DType, swapped: bool },
    /// Text of a fixed number of bytes.
    Text,
    /// Text in a global heap.
    VariableText,
    /// Something else, by name.
    Other(&'static str),
}

/// An element type and its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datatype {
    pub kind: Kind,
    pub size: u64,
}

/// The element type in a message, which may be another object's.
pub fn of_message(file: &File, message: &Message) -> Result<Datatype> {
    if !message.shared {
        return datatype(&mut message.bytes(file, "element type"), 0);
    }
    let mut bytes = message.bytes(file, "shared element type");
    let version = bytes.u8()?;
    let kind = bytes.u8()?;
    bytes.take(if version == 1 { 6 } else { 0 })?;
    if version == 3 && kind == 1 {
        return Err(Error::unsupported(
            file.place(message.address),
            "an element type in a heap of shared messages",
        ));
    }
    let address = bytes.uint(file.offsets)?;
    let messages = header::messages(file, address)?;
    match messages.iter().find(|m| m.kind == DATATYPE && !m.shared) {
        Some(message) => datatype(&mut message.bytes(file, "element type"), 0),
        None => Err(bytes.fault("the object that it names holds no type")),
    }
}

/// Reads an element type; `depth` counts types within types.
pub fn datatype(bytes: &mut Bytes<'_>, depth: u32) -> Result<Datatype> {
    let head = bytes.u8()?;
    let (version, class) = (head >> 4, head & 15);
    let bits = bytes.uint(3)?;
    let size = u64::from(bytes.u32()?);
    let other = |name| Ok(Datatype { kind: Kind::Other(name), size });
    let number = |dtype: Option<DType>| match dtype {
        Some(dtype) => {
            let swapped = bits & 1 != 0 && dtype.swap_width() > 1;
            Ok(Datatype { kind: Kind::Number { dtype, swapped }, size })
        }
        None => other("number"),
    };
    match class {
        0 => {
            bytes.take(2)?;
            let whole = u64::from(bytes.u16()?) == size.saturating_mul(8);
            number(integer(size, bits & 8 != 0).filter(|_| whole))
        }
        1 => {
            bytes.take(4)?;
            bytes.u8()?;
            let exponent = bytes.u8()?;
            bytes.u8()?;
            let mantissa = bytes.u8()?;
            number(float(size, exponent, mantissa).filter(|_| bits & 0x40 == 0))
        }
        3 => Ok(Datatype { kind: Kind::Text, size }),
        9 if bits & 15 == 1 => Ok(Datatype { kind: Kind::VariableText, size }),
        8 if depth < 4 => {
            let base = datatype(bytes, depth + 1)?;
            let truth = size == 1 && bits & 0xffff == 2 && bytes.text().is_ok_and(|n| n == "FALSE");
            match base.kind {
                Kind::Number { .. } if truth => {
                    Ok(Datatype { kind: Kind::Number { dtype: DType::Bool, swapped: false }, size })
                }
                _ => Ok(base),
            }
        }
        6 if depth < 4 && bits & 0xffff == 2 => {
            // NumPy's complex numbers are pairs of floats named r and i.
            let before = bytes.rest().len();
            let name = bytes.text()?;
            if version < 3 {
                let used = before - bytes.rest().len();
                bytes.take(used.next_multiple_of(8) - used)?;
            }
            bytes.take(match version {
                1 => 32,
                2 => 4,
                _ => offset_bytes(size),
            })?;
            let part = datatype(bytes, depth + 1)?;
            let dtype = match part.kind {
                Kind::Number { dtype: DType::F16, .. } => DType::C32,
                Kind::Number { dtype: DType::F32, .. } => DType::C64,
                Kind::Number { dtype: DType::F64, .. } => DType::C128,
                _ => return other("compound"),
            };
            match part.kind {
                Kind::Number { swapped, .. } if name == "r" && part.size.saturating_mul(2) == size => {
                    Ok(Datatype { kind: Kind::Number { dtype, swapped }, size })
                }
                _ => other("compound"),
            }
        }
        2 => other("time"),
        4 => other("bit field"),
        5 => other("opaque"),
        6 => other("compound"),
        7 => other("reference"),
        9 => other("variable-length sequence"),
        10 => other("array"),
        _ => other("unknown"),
    }
}

/// Bytes that the place of a member takes in a compound of this size.
fn offset_bytes(size: u64) -> usize {
    (u64::BITS - size.leading_zeros()).div_ceil(8).max(1) as usize
}

fn integer(size: u64, signed: bool) -> Option<DType> {
    Some(match (size, signed) {
        (1, true) => DType::I8,
        (1, false) => DType::U8,
        (2, true) => DType::I16,
        (2, false) => DType::U16,
        (4, true) => DType::I32,
        (4, false) => DType::U32,
        (8, true) => DType::I64,
        (8, false) => DType::U64,
        _ => return None,
    })
}

fn float(size: u64, exponent: u8, mantissa: u8) -> Option<DType> {
    Some(match (size, exponent, mantissa) {
        (2, 5, 10) => DType::F16,
        (2, 8, 7) => DType::BF16,
        (4, 8, 23) => DType::F32,
        (8, 11, 52) => DType::F64,
        _ => return None,
    })
}

/// The shape in a dataspace, and its largest sizes; `None` for a space of nothing.
pub struct Space {
    pub dims: Vec<u64>,
    pub most: Vec<u64>,
    pub null: bool,
}

/// Reads a dataspace.
pub fn space(file: &File, bytes: &mut Bytes<'_>) -> Result<Space> {
    let version = bytes.u8()?;
    let rank = usize::from(bytes.u8()?);
    let flags = bytes.u8()?;
    let kind = bytes.u8()?;
    bytes.take(if version == 1 { 4 } else { 0 })?;
    if rank > 32 {
        return Err(bytes.fault(format!("{rank} dimensions")));
    }
    let mut sizes = || (0..rank).map(|_| bytes.uint(file.lengths)).collect::<Result<Vec<_>>>();
    let dims = sizes()?;
    let most = if flags & 1 != 0 { sizes()? } else { dims.clone() };
    Ok(Space { dims, most, null: version >= 2 && kind == 2 })
}
