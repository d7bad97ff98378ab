//! Numbers of one structure, one after another, never past its end.

use weighbridge_model::{Error, Place, Result};

/// Reads a run of bytes from its front.
#[derive(Debug, Clone)]
pub struct Bytes<'a> {
    rest: &'a [u8],
    place: Place,
    what: &'static str,
}

impl<'a> Bytes<'a> {
    /// Reads `bytes`, which are `what` at `place`.
    pub fn new(bytes: &'a [u8], place: Place, what: &'static str) -> Self {
        Bytes { rest: bytes, place, what }
    }

    /// An error at this structure.
    pub fn fault(&self, what: impl std::fmt::Display) -> Error {
        Error::malformed(self.place.clone(), format!("{}: {what}", self.what))
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(|| self.fault("is cut short"))?;
        self.rest = rest;
        Ok(head)
    }

    /// A little-endian number of `n` bytes, at most 8.
    pub fn uint(&mut self, n: usize) -> Result<u64> {
        let bytes = self.take(n.min(8))?;
        Ok(bytes.iter().rev().fold(0, |number, &b| number << 8 | u64::from(b)))
    }

    /// A byte.
    pub fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Result<u16> {
        Ok(self.uint(2)? as u16)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32> {
        Ok(self.uint(4)? as u32)
    }

    /// Holds the next bytes against a signature.
    pub fn signature(&mut self, wanted: &[u8; 4]) -> Result<()> {
        let found = self.take(4)?;
        if found == wanted {
            return Ok(());
        }
        Err(self.fault(format!("signature {} is missing", String::from_utf8_lossy(wanted))))
    }

    /// Text that a zero ends, and the zero.
    pub fn text(&mut self) -> Result<String> {
        let end =
            self.rest.iter().position(|&b| b == 0).ok_or_else(|| self.fault("a name without an end"))?;
        let text = String::from_utf8_lossy(&self.rest[..end]).into_owned();
        self.take(end + 1)?;
        Ok(text)
    }
}
