//! A deflated payload as a storage: inflated chunk by chunk, never held whole.

use std::ops::Range;
use std::sync::Arc;

use flate2::{Crc, Decompress, FlushDecompress, Status};
use weighbridge_model::storage::check_range;
use weighbridge_model::{CHUNK, ChunkVisitor, Error, Place, Result, Storage};

/// Inflated bytes handed on at a time.
const WINDOW: usize = CHUNK / 4;

/// What a raw deflate stream (RFC 1951) inflates to.
#[derive(Debug)]
pub struct Inflating {
    raw: Arc<dyn Storage>,
    len: u64,
    crc32: u32,
    place: Place,
}

impl Inflating {
    /// `raw` inflates to `len` bytes with the checksum `crc32`, or the first visit to the end says otherwise.
    pub fn new(raw: Arc<dyn Storage>, len: u64, crc32: u32, place: Place) -> Self {
        Inflating { raw, len, crc32, place }
    }

    fn fault(&self, what: impl Into<String>) -> Error {
        Error::malformed(self.place.clone(), what)
    }
}

/// Ends a visit of the raw bytes early, once the range asked for has been seen.
struct Inflater<'a, 'v> {
    storage: &'a Inflating,
    range: Range<u64>,
    visitor: &'a mut ChunkVisitor<'v>,
    stream: Decompress,
    crc: Crc,
    window: Vec<u8>,
    at: u64,
    ended: bool,
}

impl Inflater<'_, '_> {
    /// Inflates one piece of raw bytes; false once there is no more to do.
    fn feed(&mut self, mut raw: &[u8]) -> Result<bool> {
        while !self.ended && self.at < self.range.end.max(1) {
            let (read_before, made_before) = (self.stream.total_in(), self.stream.total_out());
            let status = self
                .stream
                .decompress(raw, &mut self.window, FlushDecompress::None)
                .map_err(|e| self.storage.fault(format!("cannot be inflated: {e}")))?;
            let read = (self.stream.total_in() - read_before) as usize;
            let made = (self.stream.total_out() - made_before) as usize;
            raw = &raw[read..];
            self.hand_on(made)?;
            self.ended = status == Status::StreamEnd;
            if read == 0 && made == 0 && !self.ended {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn hand_on(&mut self, made: usize) -> Result<()> {
        let chunk = &self.window[..made];
        let end = self.at + made as u64;
        if end > self.storage.len {
            let what = format!("inflates to more than the {} bytes it states", self.storage.len);
            return Err(self.storage.fault(what));
        }
        self.crc.update(chunk);
        let (from, to) = (self.range.start.max(self.at), self.range.end.min(end));
        if from < to {
            (self.visitor)(from, &chunk[(from - self.at) as usize..(to - self.at) as usize])?;
        }
        self.at = end;
        Ok(())
    }
}

impl Storage for Inflating {
    fn len(&self) -> u64 {
        self.len
    }

    fn can_seek(&self) -> bool {
        false
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        check_range(&range, self.len).map_err(|e| match e {
            Error::Malformed { what, .. } => self.fault(what),
            other => other,
        })?;
        // No more is inflated than is asked for: whoever wants a header does not pay for what follows it.
        let window = WINDOW.min(range.end.max(1) as usize);
        let mut inflater = Inflater {
            storage: self,
            visitor,
            stream: Decompress::new(false),
            crc: Crc::new(),
            window: vec![0; window],
            at: 0,
            ended: false,
            range,
        };
        // The raw side is walked in pieces by offset, so that a visit of a few bytes reads a few.
        let mut raw_at = 0;
        let mut more = true;
        while more && raw_at < self.raw.len() {
            let end = (raw_at + window.max(4096) as u64).min(self.raw.len());
            self.raw.visit(raw_at..end, &mut |_, chunk| {
                if more {
                    more = inflater.feed(chunk)?;
                }
                Ok(())
            })?;
            raw_at = end;
        }
        if inflater.at < inflater.range.end {
            let what = format!("inflates to {} bytes, and states {}", inflater.at, self.len);
            return Err(self.fault(what));
        }
        if inflater.range.end == self.len && inflater.crc.sum() != self.crc32 {
            let (found, stated) = (inflater.crc.sum(), self.crc32);
            return Err(self.fault(format!("CRC-32 is {found:08x}, and {stated:08x} is stated: damaged")));
        }
        Ok(())
    }
}
