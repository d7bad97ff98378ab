//! The file: its superblock, and windows into it that are paid for.

use std::borrow::Cow;
use std::cell::Cell;

use weighbridge_model::{Error, Limits, Place, Result};

use super::bytes::Bytes;
use crate::source::Source;

/// What every HDF5 file has at byte 0, 512, 1024, 2048 and so on.
const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// An HDF5 file within a source.
#[derive(Debug)]
pub struct File {
    /// Where it is read from.
    pub source: Source,
    /// What it may ask for.
    pub limits: Limits,
    /// Bytes before the file, which its addresses do not count.
    pub base: u64,
    /// Bytes of an address.
    pub offsets: usize,
    /// Bytes of a length.
    pub lengths: usize,
    /// Address of the root group's header.
    pub root: u64,
    allowance: Cell<u64>,
    expansion: Cell<u64>,
}

/// Bytes of elements that need not be stored, whatever the file's size.
const UNSTORED: u64 = 16 << 20;

/// Where the signature stands, in a file that begins at `start`.
pub fn signature_at(source: &Source, start: u64) -> Result<Option<u64>> {
    let mut at = 0u64;
    while start.saturating_add(at) < source.len() && at <= 1 << 20 {
        if source.prefix(start + at, 8)?[..] == SIGNATURE[..] {
            return Ok(Some(start + at));
        }
        at = if at == 0 { 512 } else { at * 2 };
    }
    Ok(None)
}

impl File {
    /// Reads the superblock of the file that begins at `start`.
    ///
    /// # Errors
    /// No signature, versions and widths that are not known.
    pub fn open(source: &Source, start: u64, limits: &Limits) -> Result<Self> {
        let at = signature_at(source, start)?
            .ok_or_else(|| Error::malformed(source.place(0), "no signature of an HDF5 file"))?;
        let head = source.prefix(at, 128)?;
        let mut bytes = Bytes::new(&head, source.place(at), "superblock");
        bytes.take(8)?;
        let version = bytes.u8()?;
        let (offsets, lengths);
        match version {
            0 | 1 => {
                bytes.take(4)?;
                (offsets, lengths) = (bytes.u8()?, bytes.u8()?);
                bytes.take(if version == 0 { 9 } else { 13 })?;
            }
            2 | 3 => {
                (offsets, lengths) = (bytes.u8()?, bytes.u8()?);
                bytes.take(1)?;
            }
            _ => {
                let what = format!("an HDF5 superblock of version {version}");
                return Err(Error::unsupported(source.place(at), what));
            }
        }
        if ![2, 4, 8].contains(&offsets) || ![2, 4, 8].contains(&lengths) {
            return Err(bytes.fault(format!("addresses of {offsets} bytes and lengths of {lengths}")));
        }
        let (offsets, lengths) = (usize::from(offsets), usize::from(lengths));
        bytes.uint(offsets)?;
        bytes.take(offsets * if version < 2 { 4 } else { 2 })?;
        let root = bytes.uint(offsets)?;
        let allowance = source.len().saturating_mul(8).saturating_add(1 << 20);
        let allowance = Cell::new(allowance.min(limits.header_bytes.saturating_mul(4)));
        let most = source.len().saturating_mul(limits.inflate_ratio).saturating_add(UNSTORED);
        let (source, limits, expansion) = (source.clone(), *limits, Cell::new(most));
        Ok(File { source, limits, base: at, offsets, lengths, root, allowance, expansion })
    }

    /// Whether so many bytes may be made of what is stored elsewhere or not at all, after those before: all datasets
    /// together hold no more than the whole file could be inflated to.
    pub fn expands(&self, bytes: u64) -> bool {
        let left = self.expansion.get().checked_sub(bytes);
        self.expansion.set(left.unwrap_or(self.expansion.get()));
        left.is_some()
    }

    /// Whether an address stands for nothing.
    pub fn is_undefined(&self, address: u64) -> bool {
        address == u64::MAX >> (64 - 8 * self.offsets)
    }

    /// Where in the source an address is.
    pub fn at(&self, address: u64) -> u64 {
        self.base.saturating_add(address)
    }

    /// The place of an address, for errors.
    pub fn place(&self, address: u64) -> Place {
        self.source.place(self.at(address))
    }

    /// The bytes of a structure. Structures may refer to each other, so what is read is held against an allowance
    /// that grows with the file.
    pub fn window(&self, address: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        self.spend(address, len.saturating_add(8))?;
        self.source.window(self.at(address), len)
    }

    /// As [`File::window`], of fewer bytes at the end of the file.
    pub fn prefix(&self, address: u64, len: u64) -> Result<Cow<'_, [u8]>> {
        self.spend(address, len)?;
        self.source.prefix(self.at(address), len)
    }

    fn spend(&self, address: u64, cost: u64) -> Result<()> {
        match self.allowance.get().checked_sub(cost) {
            Some(left) => {
                self.allowance.set(left);
                Ok(())
            }
            None => {
                let what = "structures refer to the same bytes more often than any writer would";
                Err(Error::malformed(self.place(address), what))
            }
        }
    }
}
