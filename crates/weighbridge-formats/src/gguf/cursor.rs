//! Numbers and strings one after another, in the file's byte order.

use std::borrow::Cow;

use weighbridge_model::{Error, Limits, Place, Result};

use crate::source::Source;

/// Bytes that are read at once where a source is not mapped.
const STEP: u64 = 1 << 16;

/// Version and byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) big_endian: bool,
}

impl Version {
    /// The version that follows the magic number. Versions are small: one whose low half is 0 is of the other order.
    pub(super) fn of(source: &Source) -> Result<Self> {
        let bytes = source.window(4, 4)?;
        let little = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let big_endian = little & 0xffff == 0;
        let number = if big_endian { little.swap_bytes() } else { little };
        if !(1..=3).contains(&number) {
            let help = "versions 1 to 3 are read; llama.cpp's gguf scripts write the last of them";
            let what = format!("GGUF version {number}");
            return Err(Error::Unsupported { place: source.place(4), what, help: Some(help.into()) });
        }
        Ok(Version { number, big_endian })
    }

    /// Bytes of a count.
    pub(super) fn width(self) -> u64 {
        if self.number == 1 { 4 } else { 8 }
    }
}

/// A place in a source that moves on as things are read.
pub(super) struct Cursor<'a> {
    pub(super) source: &'a Source,
    pub(super) version: Version,
    at: u64,
    buffer: Cow<'a, [u8]>,
    buffer_at: u64,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(source: &'a Source, version: Version, at: u64) -> Self {
        Cursor { source, version, at, buffer: Cow::Borrowed(&[]), buffer_at: at }
    }

    /// The offset of what is read next.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn place(&self) -> Place {
        self.source.place(self.at)
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> u64 {
        self.source.len().saturating_sub(self.at)
    }

    /// The next `n` bytes, which the caller has bounded.
    pub(super) fn take(&mut self, n: u64) -> Result<&[u8]> {
        let inside = |c: &Self| self_range(c.at, c.buffer_at, n, c.buffer.len() as u64);
        if inside(self).is_none() {
            self.buffer = match n.max(STEP) {
                more if more <= self.left() => self.source.window(self.at, more)?,
                // Says what is missing where even `n` bytes are not there.
                _ => self.source.window(self.at, n.max(self.left()))?,
            };
            self.buffer_at = self.at;
        }
        let range = inside(self).expect("just brought in");
        self.at += n;
        Ok(&self.buffer[range])
    }

    /// Moves over `n` bytes.
    pub(super) fn skip(&mut self, n: u64) -> Result<()> {
        if n > self.left() {
            let what = format!("needs {n} bytes, and the file has {} left", self.left());
            return Err(Error::malformed(self.place(), what));
        }
        self.at += n;
        Ok(())
    }

    /// A number of `N` bytes, as little-endian bytes.
    pub(super) fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        if self.version.big_endian {
            bytes.reverse();
        }
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.number()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.number()?))
    }

    /// A number that is as wide as the version's counts.
    pub(super) fn wide(&mut self) -> Result<u64> {
        if self.version.number == 1 { Ok(self.u32()?.into()) } else { self.u64() }
    }

    /// How many of something follow, each of at least 9 bytes.
    pub(super) fn count(&mut self, what: &'static str, limits: &Limits) -> Result<u64> {
        let place = self.place();
        let count = self.wide()?;
        if count > self.left() / 9 {
            let what = format!("{count} {what} in the {} bytes that are left", self.left());
            return Err(Error::malformed(place, what));
        }
        if count > limits.items {
            return Err(Error::Limit { place, what, asked: count, allowed: limits.items });
        }
        Ok(count)
    }

    /// A string of at most `most` bytes; of a longer one, its length, with nothing of it kept.
    pub(super) fn text(&mut self, most: u64) -> Result<Result<String, u64>> {
        let len = self.wide()?;
        if len > most {
            self.skip(len)?;
            return Ok(Err(len));
        }
        Ok(Ok(String::from_utf8_lossy(self.take(len)?).into_owned()))
    }

    /// A key or a name: text of at most 64 KiB.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        const MOST: u64 = 1 << 16;
        let place = self.place();
        self.text(MOST)?.map_err(|len| {
            Error::malformed(place, format!("{what} of {len} bytes, where {MOST} are allowed"))
        })
    }
}

/// Where `n` bytes at `at` stand in a buffer of `len` bytes that begins at `start`.
fn self_range(at: u64, start: u64, n: u64, len: u64) -> Option<std::ops::Range<usize>> {
    let from = at.checked_sub(start)?;
    let to = from.checked_add(n).filter(|&to| to <= len)?;
    Some(from as usize..to as usize)
}
