//! The wire format of protocol buffers: fields and where their payloads stand, read through windows of
//! bounded size. Knows no schema: numbers get their meaning from whoever walks.

mod cursor;
pub mod write;

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{Error, Place, Result, Storage};

use crate::source::Source;
pub use cursor::Cursor;

/// Bytes looked at together while walking fields: most payloads are jumped over.
const FIELDS_WINDOW: u64 = 1 << 12;

/// Bytes looked at together while reading packed numbers.
const NUMBERS_WINDOW: u64 = 1 << 16;

/// What stands behind a field's tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// A length and as many bytes: text, bytes, a message or packed numbers.
    Bytes,
    /// Four bytes.
    Fixed32(u32),
}

impl Wire {
    fn name(self) -> &'static str {
        match self {
            Wire::Varint(_) => "a varint",
            Wire::Fixed64(_) => "8 fixed bytes",
            Wire::Bytes => "a run of bytes",
            Wire::Fixed32(_) => "4 fixed bytes",
        }
    }
}

/// Levels of nesting: how many are allowed, and how many of them are left.
#[derive(Debug, Clone, Copy)]
struct Depth {
    allowed: usize,
    left: usize,
}

/// A message: a run of a source's bytes that are fields.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    source: &'a Source,
    range: Range<u64>,
    depth: Depth,
}

impl<'a> Message<'a> {
    /// The message that is the whole source, with at most `depth` levels of messages below it.
    pub fn whole(source: &'a Source, depth: usize) -> Self {
        Message::at(source, 0..source.len(), depth)
    }

    /// The message at `range`, which must lie within the source.
    pub fn at(source: &'a Source, range: Range<u64>, depth: usize) -> Self {
        Message { source, range, depth: Depth { allowed: depth, left: depth } }
    }

    /// Where it is read from.
    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// Where it stands.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The place of its first byte, for errors.
    pub fn place(&self) -> Place {
        self.source.place(self.range.start)
    }

    /// Its bytes, without its own tag and length.
    ///
    /// # Errors
    /// On a failed read.
    pub fn storage(&self) -> Result<Arc<dyn Storage>> {
        self.source.storage(self.range.start, self.range.end - self.range.start)
    }

    /// Its fields in order. Ends after the first error.
    pub fn fields(&self) -> Fields<'a> {
        let cursor = Cursor::new(self.source, self.range.clone(), FIELDS_WINDOW);
        Fields { cursor, depth: self.depth, failed: false }
    }
}

/// One field of a message.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// Its number in the schema; never 0.
    pub number: u32,
    /// How it is written.
    pub wire: Wire,
    /// Where what it says stands: the number's own bytes, or the run without its length.
    pub payload: Range<u64>,
    source: &'a Source,
    at: u64,
    depth: Depth,
}

impl<'a> Field<'a> {
    /// The place of its tag, for errors.
    pub fn place(&self) -> Place {
        self.source.place(self.at)
    }

    /// Where all of it stands, its tag included.
    pub fn span(&self) -> Range<u64> {
        self.at..self.payload.end
    }

    /// All of it, its tag included: to be carried along.
    ///
    /// # Errors
    /// On a failed read.
    pub fn encoded(&self) -> Result<Arc<dyn Storage>> {
        self.source.storage(self.at, self.payload.end - self.at)
    }

    /// How many bytes its payload takes.
    pub fn len(&self) -> u64 {
        self.payload.end - self.payload.start
    }

    fn mismatch(&self, asked: &str) -> Error {
        let what = format!("field {} is {}, where {asked} belongs", self.number, self.wire.name());
        Error::malformed(self.place(), what)
    }

    /// Its whole number.
    pub fn int(&self) -> Result<i64> {
        match self.wire {
            Wire::Varint(value) => Ok(value as i64),
            _ => Err(self.mismatch("a whole number")),
        }
    }

    /// Its single-precision number.
    pub fn float(&self) -> Result<f32> {
        match self.wire {
            Wire::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.mismatch("a single-precision number")),
        }
    }

    /// Where its bytes stand.
    pub fn bytes(&self) -> Result<Range<u64>> {
        match self.wire {
            Wire::Bytes => Ok(self.payload.clone()),
            _ => Err(self.mismatch("a run of bytes")),
        }
    }

    /// Its text; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self) -> Result<String> {
        let range = self.bytes()?;
        let bytes = self.source.window(range.start, range.end - range.start)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The message that it holds.
    pub fn message(&self) -> Result<Message<'a>> {
        let range = self.bytes()?;
        let Depth { allowed, left } = self.depth;
        match left.checked_sub(1) {
            Some(left) => Ok(Message { source: self.source, range, depth: Depth { allowed, left } }),
            None => Err(Error::Limit {
                place: self.place(),
                what: "messages within messages",
                asked: allowed as u64 + 1,
                allowed: allowed as u64,
            }),
        }
    }

    /// Its numbers, packed or a single one: every writer may choose, and every reader must take both.
    pub fn numbers(&self) -> Cursor<'a> {
        Cursor::new(self.source, self.payload.clone(), NUMBERS_WINDOW.min(self.len()))
    }
}

/// The fields of a message.
#[derive(Debug)]
pub struct Fields<'a> {
    cursor: Cursor<'a>,
    depth: Depth,
    failed: bool,
}

impl<'a> Fields<'a> {
    /// Steps over `bytes` from where the next field begins: fields that were looked at by other means.
    pub fn skip_bytes(&mut self, bytes: u64) {
        self.cursor.skip(bytes);
    }

    fn read(&mut self) -> Result<Field<'a>> {
        let cursor = &mut self.cursor;
        let (source, at) = (cursor.source, cursor.at);
        let fault = |what: String| Error::malformed(source.place(at), what);
        let tag = cursor.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..1 << 29).contains(n));
        let number = number.ok_or_else(|| fault(format!("{tag} is no tag of a field")))?;
        let mut start = cursor.at;
        let wire = match tag & 7 {
            0 => Wire::Varint(cursor.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(cursor.fixed()?)),
            2 => {
                let len = cursor.varint()?;
                start = cursor.at;
                if len > cursor.left() {
                    let end = cursor.what_ends();
                    let left = cursor.left();
                    return Err(fault(format!("field {number} has {len} bytes, and {end} has {left} left")));
                }
                cursor.at += len;
                Wire::Bytes
            }
            5 => Wire::Fixed32(u32::from_le_bytes(cursor.fixed()?)),
            other => {
                let what = if other < 5 { "a group, which is not read" } else { "of no known wire type" };
                return Err(fault(format!("field {number} is {what} (wire type {other})")));
            }
        };
        Ok(Field { number, wire, payload: start..cursor.at, source, at, depth: self.depth })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.cursor.is_done() {
            return None;
        }
        let field = self.read();
        self.failed = field.is_err();
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Seen = std::result::Result<(u32, Wire, Range<u64>), String>;

    fn fields(bytes: &[u8]) -> Vec<Seen> {
        let source = Source::memory("m", bytes);
        let walk = Message::whole(&source, 4);
        walk.fields().map(|f| f.map(|f| (f.number, f.wire, f.payload)).map_err(|e| e.to_string())).collect()
    }

    #[test]
    fn every_wire_type_is_read_with_its_place() {
        let bytes = [8, 0x96, 1, 0x12, 2, 7, 7, 0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0];
        let expected = [
            Ok((1, Wire::Varint(150), 1..3)),
            Ok((2, Wire::Bytes, 5..7)),
            Ok((3, Wire::Fixed32(1), 8..12)),
            Ok((4, Wire::Fixed64(2), 13..21)),
        ];
        assert_eq!(fields(&bytes), expected);
    }

    #[test]
    fn what_is_no_field_is_refused_with_its_offset() {
        for (bytes, expected) in [
            (&[0][..], "m at byte 0: 0 is no tag of a field"),
            (&[8, 1, 0x0b], "m at byte 2: field 1 is a group, which is not read (wire type 3)"),
            (&[0x0f], "m at byte 0: field 1 is of no known wire type (wire type 7)"),
            (
                &[0x0a, 9, 1],
                "m at byte 0: field 1 has 9 bytes, and the file, cut short or damaged, has 1 left",
            ),
            (&[8, 0xff], "m at byte 1: the file, cut short or damaged, ends within a varint"),
            (
                &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
                "m at byte 1: a varint of more than 64 bits",
            ),
            (
                &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
                "m at byte 1: a varint of more than 10 bytes",
            ),
            (&[9, 1], "m at byte 1: a number of 8 bytes, and the file, cut short or damaged, has 1 left"),
        ] {
            assert_eq!(fields(bytes).last(), Some(&Err(expected.to_owned())));
        }
    }

    #[test]
    fn a_varint_has_up_to_ten_bytes() {
        let bytes = [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(fields(&bytes), [Ok((1, Wire::Varint(u64::MAX), 1..11))]);
    }

    #[test]
    fn nesting_ends_where_it_is_told_to() {
        let source = Source::memory("m", [10, 4, 10, 2, 10, 0]);
        let mut message = Message::whole(&source, 2);
        for _ in 0..2 {
            message = message.fields().next().unwrap().unwrap().message().unwrap();
        }
        assert!(message.fields().next().unwrap().unwrap().message().is_err());
    }
}
