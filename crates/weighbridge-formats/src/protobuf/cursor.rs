//! Numbers of the wire format, one after another.

use std::borrow::Cow;
use std::ops::Range;

use weighbridge_model::{Error, Result};

use crate::source::Source;

/// Longest varint.
const VARINT: u64 = 10;

/// Reads numbers one after another, through a window that moves along.
#[derive(Debug)]
pub struct Cursor<'a> {
    pub(super) source: &'a Source,
    pub(super) at: u64,
    end: u64,
    window: Cow<'a, [u8]>,
    window_at: u64,
    window_len: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Source, range: Range<u64>, window_len: u64) -> Self {
        let window = Cow::Borrowed(&[][..]);
        Cursor { source, at: range.start, end: range.end, window, window_at: range.start, window_len }
    }

    /// Whether everything has been read.
    pub fn is_done(&self) -> bool {
        self.at >= self.end
    }

    /// Bytes that are left.
    pub fn left(&self) -> u64 {
        self.end - self.at
    }

    /// Steps over `bytes`, or to the end.
    pub fn skip(&mut self, bytes: u64) {
        self.at += bytes.min(self.left());
    }

    /// What the end of this run is the end of, for errors.
    pub(super) fn what_ends(&self) -> &'static str {
        if self.end == self.source.len() { "the file, cut short or damaged," } else { "its message" }
    }

    fn fault(&self, what: impl Into<String>) -> Error {
        Error::malformed(self.source.place(self.at), what)
    }

    /// What the window holds from here on: at least `needed` bytes, or as many as are left.
    fn peek(&mut self, needed: u64) -> Result<&[u8]> {
        let held = |c: &Self| (c.window_at + c.window.len() as u64).min(c.end).checked_sub(c.at);
        if self.at < self.window_at || held(self).is_none_or(|n| n < needed.min(self.end - self.at)) {
            let len = self.window_len.max(needed).min(self.left());
            self.window = self.source.window(self.at, len)?;
            self.window_at = self.at;
        }
        Ok(&self.window[(self.at - self.window_at) as usize..])
    }

    /// The bytes at hand, stepped over; empty only at the end.
    pub fn chunk(&mut self) -> Result<&[u8]> {
        let len = self.peek(1)?.len();
        self.at += len as u64;
        Ok(&self.window[self.window.len() - len..])
    }

    /// The next varint.
    pub fn varint(&mut self) -> Result<u64> {
        let bytes = self.peek(VARINT)?;
        let mut value = 0u64;
        for (i, &byte) in bytes.iter().take(VARINT as usize).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                if i as u64 == VARINT - 1 && byte > 1 {
                    return Err(self.fault("a varint of more than 64 bits"));
                }
                self.at += i as u64 + 1;
                return Ok(value);
            }
        }
        if self.left() < VARINT {
            let end = self.what_ends();
            return Err(self.fault(format!("{end} ends within a varint")));
        }
        Err(self.fault("a varint of more than 10 bytes"))
    }

    /// The next `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.peek(N as u64)?.first_chunk() {
            Some(&bytes) => {
                self.at += N as u64;
                Ok(bytes)
            }
            None => {
                let (end, left) = (self.what_ends(), self.left());
                Err(self.fault(format!("a number of {N} bytes, and {end} has {left} left")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_cross_windows() {
        let mut bytes = vec![0xff; 0];
        for _ in 0..50_000 {
            bytes.extend([0x80, 0x80, 1]);
        }
        let source = Source::memory("m", bytes);
        let mut cursor = Cursor::new(&source, 0..source.len(), 64);
        let mut count = 0;
        while !cursor.is_done() {
            assert_eq!(cursor.varint().unwrap(), 1 << 14);
            count += 1;
        }
        assert_eq!(count, 50_000);
    }
}
