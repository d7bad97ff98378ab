//! The header of an engine: its age by how it is laid out, its version, its sections.

use weighbridge_model::{Error, Result};

use crate::source::Source;

/// Most sections that a header may have: real ones have one or two.
const SECTIONS: u64 = 64;
/// Bytes of a header with sections, before those.
const HEAD: u64 = 64;
/// Bytes of a section's entry.
const ENTRY: u64 = 24;

/// Serialization numbers of which users told the version.
const SERIALIZATIONS: &[(u32, &str)] = &[(205, "8.2"), (213, "8.4"), (232, "8.5")];

/// A part of the engine.
#[derive(Debug)]
pub(super) struct Section {
    pub name: String,
    pub len: u64,
}

/// What the header says.
#[derive(Debug)]
pub(super) struct Header {
    pub magic: String,
    /// Product and version, as far as legible.
    pub version: Option<String>,
    /// Number of the serialization, in engines of before 8.6.
    pub serialization: Option<u32>,
    /// Where the engine begins in the source.
    pub at: u64,
    /// Length of the engine, its header included.
    pub len: u64,
    pub sections: Vec<Section>,
}

impl Header {
    /// Reads the header of the engine at `at`.
    pub fn read(source: &Source, at: u64) -> Result<Self> {
        let left = source.len().saturating_sub(at);
        let bytes = source.window(at, 28.min(left))?;
        let magic = String::from_utf8_lossy(&bytes[..4]).into_owned();
        let u32_at = |i: usize| bytes.get(i..i + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let u64_at = |i: usize| Some(u64::from(u32_at(i)?) | u64::from(u32_at(i + 4)?) << 32);
        let (Some(word), Some(long), Some(length)) = (u32_at(4), u64_at(8), u64_at(16)) else {
            return Err(Error::malformed(source.place(at), format!("an engine of {left} bytes")));
        };
        let mut header =
            Header { magic, version: None, serialization: None, at, len: left, sections: Vec::new() };
        if word != 0 {
            // A number, and the length of what follows the header.
            header.serialization = Some(word);
            header.len = long.saturating_add(20).min(u64::MAX - at);
        } else if let Some(number) = u32::try_from(long).ok().filter(|&n| u64::from(n) > SECTIONS) {
            header.serialization = Some(number);
            header.len = length;
        } else if long > SECTIONS {
            return Ok(header);
        } else {
            header.len = length;
            header.version = bytes.get(24..28).and_then(version);
        }
        if let Some(number) = header.serialization {
            let known = SERIALIZATIONS.iter().find(|(n, _)| *n == number);
            header.version = known.map(|(_, version)| format!("TensorRT {version}"));
        }
        // Old headers are known by hearsay: a length that leads nowhere says nothing there.
        if header.len > left {
            if header.version.is_none() {
                header.len = left;
                return Ok(header);
            }
            let what = format!("an engine of {} bytes, and the file has {left} left", header.len);
            return Err(Error::malformed(source.place(at), what));
        }
        if header.serialization.is_none() && header.version.is_some() {
            header.sections = sections(source, at, header.len, long)?;
        }
        Ok(header)
    }

    /// One past the engine's last byte.
    pub fn end(&self) -> u64 {
        self.at + self.len
    }

    /// Bytes of weights, where they have a section of their own.
    pub fn weights(&self) -> Option<u64> {
        self.sections.iter().find(|s| s.name == "WGHT").map(|s| s.len)
    }
}

/// The version of four bytes. Versions below 8 had another header, and TensorRT-RTX counts anew from 1.
fn version(bytes: &[u8]) -> Option<String> {
    let &[major, minor, patch, build] = bytes else { return None };
    let product = match major {
        0 => return None,
        1..=7 => "TensorRT-RTX",
        _ => "TensorRT",
    };
    Some(format!("{product} {major}.{minor}.{patch}.{build}"))
}

/// The sections by name; none where the header has none, or of a kind that is not known.
fn sections(source: &Source, at: u64, len: u64, count: u64) -> Result<Vec<Section>> {
    let table = source.prefix(at + HEAD.min(len), (count * ENTRY).min(len.saturating_sub(HEAD)))?;
    let mut found = Vec::new();
    for entry in table.as_chunks::<{ ENTRY as usize }>().0 {
        let long = |i: usize| (0..8).fold(0u64, |n, k| n | u64::from(entry[i + k]) << (8 * k));
        let name: Vec<u8> = entry[..4].iter().rev().copied().collect();
        let (place, bytes) = (long(8), long(16));
        let fits = place.checked_add(bytes).is_some_and(|end| place >= HEAD && end <= len);
        if !name.iter().all(u8::is_ascii_uppercase) || entry[4..8] != [0; 4] || !fits {
            return Ok(Vec::new());
        }
        let name = String::from_utf8_lossy(&name).into_owned();
        found.push(Section { name, len: bytes });
    }
    Ok(found)
}
