//! Metadata: typed values by key. Long arrays are counted, not kept.

use std::collections::HashSet;

use weighbridge_model::{Error, Limits, Result, Value};

use super::cursor::Cursor;

/// Arrays of more items than this are summarised.
const LONG: u64 = 256;
/// Items of a long array that are shown.
const SHOWN: u64 = 8;
/// Items of arrays that are kept in all.
const KEPT: u64 = 1 << 18;
/// Texts of more bytes than this are counted only.
const TEXT: u64 = 1 << 20;
/// Deepest nesting of arrays; writers make none at all.
const DEPTH: usize = 16;

/// Reads `count` entries, in file order.
///
/// # Errors
/// A key that comes twice, a type that is not known, lengths that leave the file.
pub(super) fn read(cursor: &mut Cursor<'_>, count: u64, limits: &Limits) -> Result<Vec<(String, Value)>> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    let mut seen = HashSet::new();
    let mut reader = Reader { left: KEPT, texts: limits.header_bytes, limits };
    for _ in 0..count {
        let place = cursor.place();
        let key = cursor.name("a key")?;
        if !seen.insert(key.clone()) {
            return Err(Error::malformed(place, format!("the key '{}' comes twice", key.escape_debug())));
        }
        let kind = Kind::read(cursor)?;
        let value = reader.value(cursor, kind, 0)?;
        entries.push((key, value));
    }
    Ok(entries)
}

/// A type of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

/// By their numbers, with names and bytes; 0 bytes for what has no fixed width.
const KINDS: [(Kind, &str, u64); 13] = [
    (Kind::U8, "u8", 1),
    (Kind::I8, "i8", 1),
    (Kind::U16, "u16", 2),
    (Kind::I16, "i16", 2),
    (Kind::U32, "u32", 4),
    (Kind::I32, "i32", 4),
    (Kind::F32, "f32", 4),
    (Kind::Bool, "bool", 1),
    (Kind::Text, "string", 0),
    (Kind::Array, "array", 0),
    (Kind::U64, "u64", 8),
    (Kind::I64, "i64", 8),
    (Kind::F64, "f64", 8),
];

impl Kind {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Kind> {
        let place = cursor.place();
        let number = cursor.u32()?;
        let found = KINDS.get(number as usize).map(|k| k.0);
        found.ok_or_else(|| {
            Error::malformed(place, format!("{number} is no type of a value: they are 0 to 12"))
        })
    }

    fn name(self) -> &'static str {
        KINDS[self as usize].1
    }

    /// Bytes of a value, where all have as many.
    pub(super) fn width(self) -> Option<u64> {
        Some(KINDS[self as usize].2).filter(|&n| n > 0)
    }
}

struct Reader<'a> {
    /// Items of arrays that may still be kept.
    left: u64,
    /// Bytes of text that may still be kept.
    texts: u64,
    limits: &'a Limits,
}

impl Reader<'_> {
    fn value(&mut self, cursor: &mut Cursor<'_>, kind: Kind, depth: usize) -> Result<Value> {
        Ok(match kind {
            Kind::U8 => Value::Int(u8::from_le_bytes(cursor.number()?).into()),
            Kind::I8 => Value::Int(i8::from_le_bytes(cursor.number()?).into()),
            Kind::U16 => Value::Int(u16::from_le_bytes(cursor.number()?).into()),
            Kind::I16 => Value::Int(i16::from_le_bytes(cursor.number()?).into()),
            Kind::U32 => Value::Int(cursor.u32()?.into()),
            Kind::I32 => Value::Int(i32::from_le_bytes(cursor.number()?).into()),
            Kind::F32 => Value::Float(f32::from_le_bytes(cursor.number()?).into()),
            Kind::Bool => Value::Bool(cursor.number::<1>()? != [0]),
            Kind::Text => {
                let text = cursor.text(TEXT.min(self.texts))?;
                self.texts -= text.as_ref().map_or(0, |t| t.len() as u64).min(self.texts);
                text.map_or_else(Value::Bytes, Value::Str)
            }
            Kind::Array => self.array(cursor, depth)?,
            Kind::U64 => whole_number(cursor.u64()?),
            Kind::I64 => Value::Int(i64::from_le_bytes(cursor.number()?)),
            Kind::F64 => Value::Float(f64::from_le_bytes(cursor.number()?)),
        })
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Result<Value> {
        if depth >= DEPTH {
            let (asked, allowed) = (depth as u64 + 1, DEPTH as u64);
            return Err(Error::Limit { place: cursor.place(), what: "arrays within arrays", asked, allowed });
        }
        let kind = Kind::read(cursor)?;
        let place = cursor.place();
        let count = cursor.wide()?;
        // A string is at least its length, an array its type and its count.
        let least = match kind {
            Kind::Array => 4 + cursor.version.width(),
            _ => kind.width().unwrap_or(cursor.version.width()),
        };
        if count > cursor.left() / least {
            let what =
                format!("an array of {count} {} values, and {} bytes are left", kind.name(), cursor.left());
            return Err(Error::malformed(place, what));
        }
        if kind.width().is_none() && count > self.limits.items {
            let allowed = self.limits.items;
            return Err(Error::Limit { place, what: "items of an array", asked: count, allowed });
        }
        let whole = count <= LONG.min(self.left);
        let kept = if whole { count } else { SHOWN.min(count).min(self.left) };
        self.left -= kept;
        let mut items = Vec::with_capacity(kept as usize);
        for _ in 0..kept {
            items.push(self.value(cursor, kind, depth + 1)?);
        }
        if whole {
            return Ok(Value::List(items));
        }
        match kind.width() {
            Some(width) => cursor.skip((count - kept) * width)?,
            None => {
                for _ in kept..count {
                    skip(cursor, kind, depth + 1)?;
                }
            }
        }
        Ok(Value::Map(vec![
            ("array_of".into(), Value::Str(kind.name().into())),
            ("count".into(), whole_number(count)),
            ("first".into(), Value::List(items)),
        ]))
    }
}

/// Moves over a value, with nothing of it kept.
fn skip(cursor: &mut Cursor<'_>, kind: Kind, depth: usize) -> Result<()> {
    match (kind, kind.width()) {
        (_, Some(width)) => cursor.skip(width),
        (Kind::Array, _) => {
            if depth >= DEPTH {
                let (asked, allowed) = (depth as u64 + 1, DEPTH as u64);
                return Err(Error::Limit {
                    place: cursor.place(),
                    what: "arrays within arrays",
                    asked,
                    allowed,
                });
            }
            let kind = Kind::read(cursor)?;
            let count = cursor.wide()?;
            if let Some(width) = kind.width() {
                return cursor.skip(count.saturating_mul(width));
            }
            // Each item moves on by some bytes at least: a count that lies ends at the file's end.
            for _ in 0..count {
                skip(cursor, kind, depth + 1)?;
            }
            Ok(())
        }
        _ => {
            let len = cursor.wide()?;
            cursor.skip(len)
        }
    }
}

fn whole_number(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| Value::BigInt(number.to_string()), Value::Int)
}
