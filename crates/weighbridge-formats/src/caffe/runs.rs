//! A blob's numbers where they stand: packed in one run, packed in several, or one by one behind their tags.
//!
//! Places of numbers are noted once, at opening; numbers are put together as they are read.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::storage::{CHUNK, ChunkVisitor};
use weighbridge_model::{Error, Place, Result, Storage};

use crate::protobuf::{Field, Message};
use crate::source::Source;

/// Most runs in one blob. Writers make one; concatenated messages a few.
const RUNS: usize = 1 << 18;

/// Bytes of a source that are looked at together.
const WINDOW: u64 = 1 << 16;

/// Numbers at equal distances.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Where the first stands in the source.
    at: u64,
    /// Bytes from one to the next: more than a number's where tags stand between.
    stride: u64,
    /// How many numbers come before.
    first: u64,
    /// How many they are.
    count: u64,
}

/// Numbers of one width, in the order of the file.
#[derive(Debug)]
pub(super) struct Runs {
    width: u64,
    runs: Vec<Run>,
    count: u64,
}

impl Runs {
    /// No numbers yet, of `width` bytes each.
    pub(super) fn new(width: u64) -> Self {
        Runs { width, runs: Vec::new(), count: 0 }
    }

    /// How many numbers there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Adds `count` numbers that stand at `at` without gaps.
    pub(super) fn add(&mut self, at: u64, count: u64, place: impl FnOnce() -> Place) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let before = self.count;
        self.count = self.count.saturating_add(count);
        if count == 1
            && let Some(last) = self.runs.last_mut()
        {
            let stride = if last.count == 1 { at.saturating_sub(last.at) } else { last.stride };
            // A tag has one to five bytes.
            let next = last.at.saturating_add(last.count.saturating_mul(stride));
            if next == at && (self.width + 1..=self.width + 5).contains(&stride) {
                (last.stride, last.count) = (stride, last.count + 1);
                return Ok(());
            }
        }
        self.push(Run { at, stride: self.width, first: before, count }, place)
    }

    /// Adds the numbers that stand behind `field`, which holds the last one that was added, each behind the tag that
    /// is written as its; returns the bytes that they take. One by one, a blob of millions of them would take
    /// seconds.
    pub(super) fn add_alike(&mut self, message: &Message<'_>, field: &Field<'_>) -> Result<u64> {
        let (source, place) = (message.source(), || field.place());
        let Some(at) = field.place().offset else { return Ok(0) };
        let stride = field.payload.end - at;
        let tag = source.window(at, stride - self.width)?;
        let (start, end) = (field.payload.end, message.range().end);
        let (mut next, mut many) = (start, 1);
        loop {
            many = (many * 2).min((end - next) / stride).min(WINDOW / stride);
            let bytes = source.window(next, many * stride)?;
            let alike =
                bytes.chunks_exact(stride as usize).take_while(|c| c.starts_with(&tag)).count() as u64;
            next += alike * stride;
            if alike < many || many == 0 {
                break;
            }
        }
        let count = (next - start) / stride;
        if count > 0 {
            let first = self.count;
            self.count = self.count.saturating_add(count);
            match self.runs.last_mut() {
                Some(last) if last.count == 1 || last.stride == stride => {
                    (last.stride, last.count) = (stride, last.count + count);
                }
                _ => self.push(Run { at: start + stride - self.width, stride, first, count }, place)?,
            }
        }
        Ok(next - start)
    }

    fn push(&mut self, run: Run, place: impl FnOnce() -> Place) -> Result<()> {
        if self.runs.len() >= RUNS {
            let asked = self.runs.len() as u64 + 1;
            return Err(Error::Limit {
                place: place(),
                what: "runs of one blob's numbers",
                asked,
                allowed: RUNS as u64,
            });
        }
        self.runs.push(run);
        Ok(())
    }

    /// The numbers as a storage: the source's own bytes where they stand in one packed run.
    pub(super) fn storage(self, source: &Source) -> Result<Arc<dyn Storage>> {
        match self.runs.as_slice() {
            [] => source.storage(0, 0),
            [run] if run.stride == self.width => source.storage(run.at, run.count * self.width),
            _ => Ok(Arc::new(Scattered { source: source.clone(), numbers: self })),
        }
    }
}

/// Numbers that do not stand in one run.
struct Scattered {
    source: Source,
    numbers: Runs,
}

impl std::fmt::Debug for Scattered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Runs { runs, count, .. } = &self.numbers;
        write!(f, "{}[{count} numbers in {} runs]", self.source.name(), runs.len())
    }
}

impl Storage for Scattered {
    fn len(&self) -> u64 {
        self.numbers.count * self.numbers.width
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let Runs { width, runs, .. } = &self.numbers;
        let end = offset.saturating_add(buffer.len() as u64);
        if end > self.len() {
            let what = format!("bytes {offset}..{end} asked of numbers of {} bytes", self.len());
            return Err(Error::malformed(Place::source(self.source.name()), what));
        }
        let mut at = offset;
        let mut run = runs.partition_point(|r| r.first * width <= offset).saturating_sub(1);
        while at < end {
            let Run { at: start, stride, first, count } = runs[run];
            let number = at / width - first;
            if number == count {
                run += 1;
                continue;
            }
            // From the number that `at` is in, as many as fit the window and are asked for.
            let asked = (end - at + at % width).div_ceil(*width);
            let many = asked.min(count - number).min(WINDOW / stride);
            let bytes = self.source.window(start + number * stride, (many - 1) * stride + width)?;
            let mut skip = (at % width) as usize;
            for number in bytes.chunks(stride as usize) {
                let number = &number[skip..*width as usize];
                let to = (at - offset) as usize;
                let n = number.len().min(buffer.len() - to);
                buffer[to..to + n].copy_from_slice(&number[..n]);
                at += n as u64;
                skip = 0;
            }
        }
        Ok(())
    }
}

/// Half-precision numbers that are written as whole numbers of variable length: their bits.
pub(super) struct HalfCodes {
    source: Source,
    /// The blob's message, and the field that holds them.
    message: Range<u64>,
    field: u32,
    count: u64,
}

impl HalfCodes {
    /// `count` numbers in field `field` of `message`, counted before.
    pub(super) fn new(message: &Message<'_>, field: u32, count: u64) -> Self {
        HalfCodes { source: message.source().clone(), message: message.range(), field, count }
    }
}

impl std::fmt::Debug for HalfCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{:?}] {} codes", self.source.name(), self.message, self.count)
    }
}

impl Storage for HalfCodes {
    fn len(&self) -> u64 {
        self.count * 2
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        if range.start > range.end || range.end > self.len() {
            let what = format!("bytes {}..{} asked of {} bytes", range.start, range.end, self.len());
            return Err(Error::malformed(Place::source(self.source.name()), what));
        }
        const HELD: usize = 1 << 16;
        const { assert!(HELD <= CHUNK, "a visitor takes chunks of bounded size") };
        let (mut skip, mut at) = (range.start / 2, range.start / 2 * 2);
        let mut held: Vec<u8> = Vec::new();
        let mut hand_on = |at: u64, held: &[u8]| {
            let from = range.start.saturating_sub(at) as usize;
            let to = (range.end - at).min(held.len() as u64) as usize;
            visitor(at + from as u64, &held[from..to])
        };
        for field in Message::at(&self.source, self.message.clone(), 0).fields() {
            let field = field?;
            if field.number != self.field {
                continue;
            }
            let mut codes = field.numbers();
            while !codes.is_done() && at + (held.len() as u64) < range.end {
                let code = codes.varint()? as u16;
                if skip > 0 {
                    skip -= 1;
                    continue;
                }
                held.extend(code.to_le_bytes());
                if held.len() >= HELD {
                    hand_on(at, &held)?;
                    at += held.len() as u64;
                    held.clear();
                }
            }
        }
        if held.is_empty() { Ok(()) } else { hand_on(at, &held) }
    }
}
