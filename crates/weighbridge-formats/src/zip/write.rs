//! Writes zip archives of stored entries, each aligned to 64 bytes.
//!
//! An entry's checksum stands before its data and is known after it: it is put in when the data has passed. Sizes
//! are known beforehand. Beyond 4 GiB the zip64 extra field has sizes and offsets.

use weighbridge_model::Result;

use crate::output::Output;

/// Where payloads are aligned to, as PyTorch does: a mapped payload can then be used in place.
const ALIGNMENT: u64 = 64;
/// The extra field that PyTorch pads with.
const PADDING: [u8; 2] = *b"FB";
const ZIP64: u16 = 1;
const NEEDS_ZIP64: u64 = u32::MAX as u64;
/// 1980-01-01, the earliest that the format can say: the same input gives the same bytes.
const DATE: u16 = 0x21;

/// Size of the local header of an entry that begins at `at`, padding included.
fn local_len(name: &str, len: u64, at: u64) -> (u64, u64) {
    let fixed = 30 + name.len() as u64 + if len >= NEEDS_ZIP64 { 20 } else { 0 };
    // A padding field takes four bytes itself.
    let end = (at + fixed + 4).next_multiple_of(ALIGNMENT);
    (end - at, end - at - fixed - 4)
}

fn central_len(name: &str, len: u64, at: u64) -> u64 {
    46 + name.len() as u64 + if len >= NEEDS_ZIP64 || at >= NEEDS_ZIP64 { 28 } else { 0 }
}

/// Size of an archive of these entries (names and sizes).
pub fn archive_len<'a>(entries: impl Iterator<Item = (&'a str, u64)>) -> u64 {
    let (mut at, mut central, mut count) = (0, 0, 0u64);
    for (name, len) in entries {
        central += central_len(name, len, at);
        at += local_len(name, len, at).0 + len;
        count += 1;
    }
    at + central + if is_large(count, central, at) { 76 } else { 0 } + 22
}

fn is_large(count: u64, central: u64, at: u64) -> bool {
    count >= u64::from(u16::MAX) || central >= NEEDS_ZIP64 || at >= NEEDS_ZIP64
}

struct Written {
    name: String,
    len: u64,
    crc: u32,
    at: u64,
}

/// An archive that is being written from the start of a file.
#[derive(Default)]
pub struct Archive {
    entries: Vec<Written>,
}

impl Archive {
    /// Writes an entry of `len` bytes: `content` hands all of them to the output and to the function that it is
    /// given.
    ///
    /// # Errors
    /// A failed write.
    pub fn entry(
        &mut self,
        output: &mut Output<'_>,
        name: &str,
        len: u64,
        content: impl FnOnce(&mut Output<'_>, &mut dyn FnMut(&[u8])) -> Result<()>,
    ) -> Result<()> {
        let at = output.at();
        let (_, padding) = local_len(name, len, at);
        let large = len >= NEEDS_ZIP64;
        let mut head = b"PK\x03\x04".to_vec();
        put_common(&mut head, large, 0, len);
        head.extend((name.len() as u16).to_le_bytes());
        let extra = 4 + padding + if large { 20 } else { 0 };
        head.extend((extra as u16).to_le_bytes());
        head.extend(name.as_bytes());
        if large {
            put_zip64(&mut head, &[len, len]);
        }
        head.extend(PADDING);
        head.extend((padding as u16).to_le_bytes());
        head.resize(head.len() + padding as usize, b'Z');
        output.bytes(&head)?;
        let mut crc = flate2::Crc::new();
        content(output, &mut |bytes| crc.update(bytes))?;
        let crc = crc.sum();
        output.patch(at + 14, &crc.to_le_bytes())?;
        self.entries.push(Written { name: name.to_owned(), len, crc, at });
        Ok(())
    }

    /// Writes an entry that is at hand.
    ///
    /// # Errors
    /// A failed write.
    pub fn bytes(&mut self, output: &mut Output<'_>, name: &str, bytes: &[u8]) -> Result<()> {
        self.entry(output, name, bytes.len() as u64, |output, each| {
            each(bytes);
            output.bytes(bytes)
        })
    }

    /// Writes the directory.
    ///
    /// # Errors
    /// A failed write.
    pub fn finish(self, output: &mut Output<'_>) -> Result<()> {
        let start = output.at();
        for entry in &self.entries {
            let large = entry.len >= NEEDS_ZIP64 || entry.at >= NEEDS_ZIP64;
            let mut head = b"PK\x01\x02".to_vec();
            head.extend(45u16.to_le_bytes());
            put_common(&mut head, large, entry.crc, if large { NEEDS_ZIP64 } else { entry.len });
            head.extend((entry.name.len() as u16).to_le_bytes());
            head.extend((if large { 28u16 } else { 0 }).to_le_bytes());
            // No comment, the first disk, no attributes.
            head.extend([0; 10]);
            head.extend((if large { u32::MAX } else { entry.at as u32 }).to_le_bytes());
            head.extend(entry.name.as_bytes());
            if large {
                put_zip64(&mut head, &[entry.len, entry.len, entry.at]);
            }
            output.bytes(&head)?;
        }
        let (central, count) = (output.at() - start, self.entries.len() as u64);
        let mut end = Vec::new();
        if is_large(count, central, start) {
            end.extend(b"PK\x06\x06");
            end.extend(44u64.to_le_bytes());
            end.extend([45, 0, 45, 0]);
            end.extend([0; 8]);
            for n in [count, count, central, start] {
                end.extend(n.to_le_bytes());
            }
            end.extend(b"PK\x06\x07");
            end.extend([0; 4]);
            end.extend((start + central).to_le_bytes());
            end.extend(1u32.to_le_bytes());
        }
        end.extend(b"PK\x05\x06");
        end.extend([0; 4]);
        let count = count.min(u64::from(u16::MAX)) as u16;
        end.extend(count.to_le_bytes());
        end.extend(count.to_le_bytes());
        end.extend((central.min(NEEDS_ZIP64) as u32).to_le_bytes());
        end.extend((start.min(NEEDS_ZIP64) as u32).to_le_bytes());
        end.extend([0; 2]);
        output.bytes(&end)
    }
}

/// What a local header and the directory have in common: version, flags (names are UTF-8), method, date, checksum,
/// sizes.
fn put_common(head: &mut Vec<u8>, large: bool, crc: u32, len: u64) {
    let version: u16 = if large { 45 } else { 20 };
    let len = if large { u32::MAX } else { len as u32 };
    head.extend(version.to_le_bytes());
    head.extend(0x0800u16.to_le_bytes());
    head.extend([0; 4]);
    head.extend(DATE.to_le_bytes());
    head.extend(crc.to_le_bytes());
    head.extend(len.to_le_bytes());
    head.extend(len.to_le_bytes());
}

fn put_zip64(head: &mut Vec<u8>, numbers: &[u64]) {
    head.extend(ZIP64.to_le_bytes());
    head.extend((8 * numbers.len() as u16).to_le_bytes());
    numbers.iter().for_each(|n| head.extend(n.to_le_bytes()));
}
