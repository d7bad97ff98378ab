//! Numbers of one repeated field of a message as a storage: decoded and narrowed as they are visited.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::storage::{CHUNK, ChunkVisitor};
use weighbridge_model::{Error, Place, Result, Storage};

use crate::protobuf::{Cursor, Field, Message, Wire};
use crate::source::Source;

/// Bytes decoded before they are handed on.
const DECODED: usize = 1 << 16;

/// How one entry of a typed field is written, and what it becomes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    /// A varint, of which the low `width` bytes count.
    Varint { width: u64 },
    /// A varint that is true unless it is 0.
    Truth,
    /// `width` little-endian bytes.
    Fixed { width: u64 },
}

impl Entry {
    /// Bytes that an entry becomes.
    pub(crate) fn width(self) -> u64 {
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
            Entry::Fixed { width: 1 } => out.extend(cursor.fixed::<1>()?),
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

/// What a field holds of the entries that are asked for.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    number: u32,
    entry: Entry,
    /// How many entries there are.
    pub(crate) count: u64,
    runs: u64,
    /// Where the last run stands.
    only: Range<u64>,
}

/// Counts the entries of field `number` of a message.
///
/// # Errors
/// Runs of other numbers, entries that are not whole.
pub(crate) fn held(message: &Message<'_>, number: u32, entry: Entry) -> Result<Held> {
    let mut held = Held { number, entry, count: 0, runs: 0, only: 0..0 };
    for field in message.fields() {
        let field = field?;
        if field.number == number {
            held.count += entry.count(&field)?;
            held.runs += 1;
            held.only = field.payload;
        }
    }
    Ok(held)
}

/// How much a storage of entries is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unit {
    /// Bytes in all; where entries give fewer, the last element repeats; where they give none, it is zeros.
    pub(crate) bytes: u64,
    /// Bytes of an element, which may take two entries.
    pub(crate) element: u64,
}

/// The entries as a storage. One run of fixed-width numbers, of as many as are asked for, is its own storage.
///
/// # Errors
/// Where the run leaves its source.
pub(crate) fn storage(message: &Message<'_>, held: Held, unit: Unit) -> Result<Arc<dyn Storage>> {
    let Held { number, entry, count, runs, only } = held;
    let given = count.saturating_mul(entry.width());
    if runs == 1 && matches!(entry, Entry::Fixed { .. }) && given >= unit.bytes {
        return message.source().storage(only.start, unit.bytes);
    }
    let (source, message) = (message.source().clone(), message.range());
    Ok(Arc::new(Typed { source, message, number, entry, given: given.min(unit.bytes), unit }))
}

/// The entries of one field of a message, decoded in order.
struct Typed {
    source: Source,
    message: Range<u64>,
    number: u32,
    entry: Entry,
    /// Bytes that the entries themselves give.
    given: u64,
    unit: Unit,
}

impl std::fmt::Debug for Typed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{:?}] field {} as {:?}", self.source.name(), self.message, self.number, self.entry)
    }
}

impl Typed {
    /// Visits bytes that the entries themselves give.
    fn decode(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
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

    /// The last element that the entries give.
    fn last(&self) -> Result<Vec<u8>> {
        let mut last = Vec::new();
        self.decode(self.given.saturating_sub(self.unit.element)..self.given, &mut |_, chunk| {
            last.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(last)
    }
}

impl Storage for Typed {
    fn len(&self) -> u64 {
        self.unit.bytes
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        if range.start > range.end || range.end > self.len() {
            let (start, end, len) = (range.start, range.end, self.len());
            let what = format!("bytes {start}..{end} asked of elements of {len} bytes");
            return Err(Error::malformed(Place::source(self.source.name()), what));
        }
        const { assert!(DECODED <= CHUNK, "a visitor takes chunks of bounded size") };
        if range.start < self.given {
            self.decode(range.start..range.end.min(self.given), visitor)?;
        }
        let mut at = range.start.max(self.given);
        if at >= range.end {
            return Ok(());
        }
        let last = match self.given {
            0 => vec![0; self.unit.element.max(1) as usize],
            _ => self.last()?,
        };
        let skip = (at - self.given) as usize % last.len();
        let count = (range.end - at).min(DECODED as u64) as usize;
        let pattern: Vec<u8> = last.iter().cycle().skip(skip).take(count).copied().collect();
        // A chunk is whole elements, so that every one begins as the first does.
        let whole = pattern.len() - pattern.len() % last.len();
        let pattern = if whole > 0 { &pattern[..whole] } else { &pattern[..] };
        while at < range.end {
            let chunk = &pattern[..(range.end - at).min(pattern.len() as u64) as usize];
            visitor(at, chunk)?;
            at += chunk.len() as u64;
        }
        Ok(())
    }
}
