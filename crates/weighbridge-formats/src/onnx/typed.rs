//! Elements in a tensor's typed fields (`float_data`, `int32_data`…), narrowed as they are read.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::storage::{CHUNK, ChunkVisitor};
use weighbridge_model::{DType, Error, Place, Result, Storage};

use crate::protobuf::{Cursor, Field, Message, Wire};
use crate::source::Source;

/// Bytes decoded before they are handed on.
const DECODED: usize = 1 << 16;

/// How one entry of a typed field is written, and what it becomes.
#[derive(Debug, Clone, Copy)]
enum Entry {
    /// A varint, of which the low `width` bytes count.
    Varint { width: u64 },
    /// A varint that is true unless it is 0.
    Truth,
    /// `width` little-endian bytes.
    Fixed { width: u64 },
}

/// The number of the field that holds elements of this type, and how.
fn entry_of(dtype: DType) -> Option<(u32, Entry)> {
    const FLOATS: u32 = 4;
    const INT32S: u32 = 5;
    const INT64S: u32 = 7;
    const DOUBLES: u32 = 10;
    const UINT64S: u32 = 11;
    Some(match dtype {
        DType::F32 | DType::C64 => (FLOATS, Entry::Fixed { width: 4 }),
        DType::F64 | DType::C128 => (DOUBLES, Entry::Fixed { width: 8 }),
        DType::I64 => (INT64S, Entry::Varint { width: 8 }),
        DType::U64 => (UINT64S, Entry::Varint { width: 8 }),
        DType::U32 => (UINT64S, Entry::Varint { width: 4 }),
        DType::Bool => (INT32S, Entry::Truth),
        DType::Str => return None,
        // Elements of less than a byte come a byte an entry, as they are packed in it.
        narrow => (INT32S, Entry::Varint { width: narrow.chunk_bytes() as u64 }),
    })
}

impl Entry {
    fn width(self) -> u64 {
        match self {
            Entry::Varint { width } | Entry::Fixed { width } => width,
            Entry::Truth => 1,
        }
    }

    /// The field's entries, packed or a single one.
    fn cursor<'a>(self, field: &Field<'a>) -> Result<Cursor<'a>> {
        let fits = matches!(
            (self, field.wire),
            (_, Wire::Bytes)
                | (Entry::Varint { .. } | Entry::Truth, Wire::Varint(_))
                | (Entry::Fixed { width: 4 }, Wire::Fixed32(_))
                | (Entry::Fixed { width: 8 }, Wire::Fixed64(_))
        );
        if fits {
            return Ok(field.numbers());
        }
        let what = format!("field {} is no run of the numbers that its tensor is made of", field.number);
        Err(Error::malformed(field.place(), what))
    }

    /// How many entries the field holds; each is whole.
    fn count(self, field: &Field<'_>) -> Result<u64> {
        let mut cursor = self.cursor(field)?;
        if let Entry::Fixed { width } = self {
            if !field.len().is_multiple_of(width) {
                let what = format!("{} bytes are no run of numbers of {width} bytes each", field.len());
                return Err(Error::malformed(field.place(), what));
            }
            return Ok(field.len() / width);
        }
        let (mut count, mut open) = (0, 0u32);
        while !cursor.is_done() {
            for &byte in cursor.chunk()? {
                open += 1;
                if open > 10 {
                    return Err(Error::malformed(
                        field.place(),
                        "a varint of more than 10 bytes in this run",
                    ));
                }
                if byte < 0x80 {
                    (count, open) = (count + 1, 0);
                }
            }
        }
        if open > 0 {
            return Err(Error::malformed(field.place(), "a run of varints ends within one"));
        }
        Ok(count)
    }

    fn skip(self, cursor: &mut Cursor<'_>) -> Result<()> {
        match self {
            Entry::Fixed { width } => cursor.skip(width),
            _ => drop(cursor.varint()?),
        }
        Ok(())
    }

    fn decode(self, cursor: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Entry::Fixed { width: 4 } => out.extend(cursor.fixed::<4>()?),
            Entry::Fixed { .. } => out.extend(cursor.fixed::<8>()?),
            Entry::Truth => out.push(u8::from(cursor.varint()? != 0)),
            Entry::Varint { width } => {
                out.extend_from_slice(&cursor.varint()?.to_le_bytes()[..width as usize]);
            }
        }
        Ok(())
    }
}

/// The elements of a tensor in its typed field. One run of fixed-width numbers is its own storage; anything
/// else is decoded as it is visited.
///
/// # Errors
/// Where the field does not hold exactly the `bytes` that the shape asks for.
pub(super) fn storage(message: &Message<'_>, dtype: DType, bytes: u64) -> Result<Arc<dyn Storage>> {
    let Some((number, entry)) = entry_of(dtype) else {
        return Err(Error::unsupported(message.place(), format!("{dtype} elements in a typed field")));
    };
    let (mut count, mut runs, mut only) = (0u64, 0, 0..0);
    for field in message.fields() {
        let field = field?;
        if field.number == number {
            count += entry.count(&field)?;
            runs += 1;
            only = field.payload;
        }
    }
    let asked = bytes / entry.width();
    if count != asked {
        let what = format!("its shape asks for {asked} entries of field {number}, which has {count}");
        return Err(Error::malformed(message.place(), what));
    }
    if runs <= 1 && matches!(entry, Entry::Fixed { .. }) {
        return message.source().storage(only.start, only.end - only.start);
    }
    Ok(Arc::new(Typed {
        source: message.source().clone(),
        message: message.range(),
        number,
        entry,
        len: bytes,
    }))
}

/// The entries of one field of a tensor message, decoded in order.
struct Typed {
    source: Source,
    message: Range<u64>,
    number: u32,
    entry: Entry,
    len: u64,
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{:?}] field {} as {:?}", self.source.name(), self.message, self.number, self.entry)
    }
}

impl Storage for Typed {
    fn len(&self) -> u64 {
        self.len
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        if range.start > range.end || range.end > self.len {
            let what =
                format!("bytes {}..{} asked of elements of {} bytes", range.start, range.end, self.len);
            return Err(Error::malformed(Place::source(self.source.name()), what));
        }
        const { assert!(DECODED <= CHUNK, "a visitor takes chunks of bounded size") };
        let width = self.entry.width();
        let mut skip = range.start / width;
        let mut at = skip * width;
        let mut out =
            Vec::with_capacity((range.end - at).next_multiple_of(width).min(DECODED as u64) as usize);
        let mut hand_on = |at: u64, out: &[u8]| {
            let from = range.start.saturating_sub(at) as usize;
            let to = (range.end - at).min(out.len() as u64) as usize;
            visitor(at + from as u64, &out[from..to])
        };
        for field in Message::at(&self.source, self.message.clone(), 0).fields() {
            let field = field?;
            if field.number != self.number {
                continue;
            }
            let mut cursor = self.entry.cursor(&field)?;
            while !cursor.is_done() && at + (out.len() as u64) < range.end {
                if skip > 0 {
                    self.entry.skip(&mut cursor)?;
                    skip -= 1;
                    continue;
                }
                self.entry.decode(&mut cursor, &mut out)?;
                if out.len() >= DECODED {
                    hand_on(at, &out)?;
                    at += out.len() as u64;
                    out.clear();
                }
            }
        }
        if out.is_empty() { Ok(()) } else { hand_on(at, &out) }
    }
}
