//! What the header of a `.npy` tells: element type, byte order, order of the dimensions, shape.

use super::literal::{Literal, parse};
use weighbridge_model::{DType, Error, Limits, Place, Result};

/// How an array's elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Their type; text for `S` and `U`.
    pub dtype: DType,
    /// Bytes that each takes.
    pub width: u64,
    /// Bytes of the unit whose order is reversed; 0 where none is.
    pub swapped: usize,
}

/// A parsed header.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    pub element: Element,
    pub fortran: bool,
    pub shape: Vec<u64>,
}

/// Parses the header's text, which stands at `place`.
///
/// # Errors
/// Text that is no dict of the three keys; types that hold no numbers.
pub fn read(text: &[u8], place: &Place, limits: &Limits) -> Result<Header> {
    let at = |offset: usize| Place { offset: place.offset.map(|o| o + offset as u64), ..place.clone() };
    let malformed = |what: &str| Error::malformed(place.clone(), format!("the .npy header: {what}"));
    let literal = parse(text).map_err(|(offset, what)| {
        Error::malformed(at(offset), format!("the .npy header is no Python dict literal: {what}"))
    })?;
    let Literal::Dict(items) = literal else { return Err(malformed("no dict")) };
    let value = |key: &str| {
        let mut found =
            items.iter().filter(|(k, _)| matches!(k, Literal::Str(k) if k == key)).map(|(_, v)| v);
        match (found.next(), found.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(malformed(&format!("no key '{key}'"))),
            _ => Err(malformed(&format!("the key '{key}' occurs twice"))),
        }
    };
    let (descr, fortran, shape) = (value("descr")?, value("fortran_order")?, value("shape")?);
    let Literal::Bool(fortran) = *fortran else {
        return Err(malformed("fortran_order is neither True nor False"));
    };
    let Literal::Sequence(sizes) = shape else { return Err(malformed("the shape is no tuple")) };
    if sizes.len() > limits.dims {
        let (asked, allowed) = (sizes.len() as u64, limits.dims as u64);
        return Err(Error::Limit { place: place.clone(), what: "dimensions", asked, allowed });
    }
    let size = |size: &Literal| match size {
        Literal::Int(n) => u64::try_from(*n).map_err(|_| malformed(&format!("a dimension of {n}"))),
        _ => Err(malformed("a dimension that is no whole number")),
    };
    let shape = sizes.iter().map(size).collect::<Result<_>>()?;
    Ok(Header { element: element(descr, place)?, fortran, shape })
}

fn element(descr: &Literal, place: &Place) -> Result<Element> {
    let refuse = |what: String, help: &str| {
        Err(Error::Unsupported { place: place.clone(), what, help: Some(help.to_owned()) })
    };
    let text = match descr {
        Literal::Str(text) => text,
        Literal::Sequence(fields) => {
            let names: Vec<&str> = fields.iter().take(8).filter_map(field_name).collect();
            let what = format!("a structured array (fields: {})", names.join(", "));
            return refuse(
                what,
                "save each field by itself: numpy.savez(file, **{n: a[n] for n in a.dtype.names})",
            );
        }
        _ => return Err(Error::malformed(place.clone(), "the .npy header: descr is no type")),
    };
    let malformed =
        || Error::malformed(place.clone(), format!("no NumPy type is written '{}'", text.escape_debug()));
    let (order, rest) = match text.as_bytes().first() {
        Some(b'<' | b'>' | b'|' | b'=') => text.split_at(1),
        _ => ("|", text.as_str()),
    };
    let mut characters = rest.chars();
    let kind = characters.next().ok_or_else(malformed)?;
    let rest = characters.as_str();
    match kind {
        'O' => {
            return refuse(
                "an array of Python objects, which are pickled".into(),
                "nothing was run; save numbers instead: numpy.asarray(a.tolist(), dtype='float32')",
            );
        }
        'M' | 'm' => {
            return refuse(
                format!("dates or time spans ('{text}'), no numbers"),
                "save them as a.view('int64')",
            );
        }
        _ => {}
    }
    let width: u64 = rest.parse().map_err(|_| malformed())?;
    let dtype = match (kind, width) {
        ('b', 1) => DType::Bool,
        ('i', 1) => DType::I8,
        ('i', 2) => DType::I16,
        ('i', 4) => DType::I32,
        ('i', 8) => DType::I64,
        ('u', 1) => DType::U8,
        ('u', 2) => DType::U16,
        ('u', 4) => DType::U32,
        ('u', 8) => DType::U64,
        ('f', 2) => DType::F16,
        ('f', 4) => DType::F32,
        ('f', 8) => DType::F64,
        ('c', 8) => DType::C64,
        ('c', 16) => DType::C128,
        ('f', 12 | 16) | ('c', 24 | 32) => {
            return refuse(
                format!("extended precision ('{text}'), whose bits depend on the machine that wrote them"),
                "save it as .astype('float64')",
            );
        }
        ('S' | 'U' | 'a', _) => {
            let unit = if kind == 'U' { 4 } else { 1 };
            let width = width.checked_mul(unit).ok_or_else(malformed)?;
            let swapped = if order == ">" && kind == 'U' { 4 } else { 0 };
            return Ok(Element { dtype: DType::Str, width, swapped });
        }
        ('V', _) => {
            return refuse(
                format!("untyped bytes ('{text}')"),
                "bfloat16 and float8 of ml_dtypes lose their type in .npy: save .view('uint16'), or as .safetensors",
            );
        }
        _ => return Err(malformed()),
    };
    let swapped = if order == ">" && dtype.swap_width() > 1 { dtype.swap_width() } else { 0 };
    Ok(Element { dtype, width, swapped })
}

fn field_name(field: &Literal) -> Option<&str> {
    match field {
        Literal::Sequence(parts) => match parts.first()? {
            Literal::Str(name) => Some(name),
            _ => None,
        },
        Literal::Str(name) => Some(name),
        _ => None,
    }
}
