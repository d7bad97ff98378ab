//! Zip archives, read lazily: the central directory at once, payloads as storages.
//!
//! Source of the format facts: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5. Knows nothing of tensors.

mod inflate;
pub(crate) mod write;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_model::{Error, Limits, Place, Result, Storage};

use crate::source::Source;
use inflate::Inflating;

const LOCAL: &[u8; 4] = b"PK\x03\x04";
const CENTRAL: &[u8; 4] = b"PK\x01\x02";
const END: &[u8; 4] = b"PK\x05\x06";
const END64: &[u8; 4] = b"PK\x06\x06";
const LOCATOR64: &[u8; 4] = b"PK\x06\x07";

/// Most inflated bytes per deflated byte of an entry that is kept in memory: pickles reach about 10, and
/// deflate could reach 1032.
const HEADER_RATIO: u64 = 64;
/// Entries of up to this size are kept in memory whatever their ratio.
const HEADER_FLOOR: u64 = 16 << 20;

/// One member of an archive, as its central directory describes it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Path within the archive; `/` between folders.
    pub name: String,
    /// Length of the contents in bytes.
    pub size: u64,
    /// CRC-32 of the contents, as stated.
    pub crc32: u32,
    compressed: u64,
    deflated: bool,
    /// Where its local header stands in the source.
    header: u64,
}

/// An opened archive.
#[derive(Debug)]
pub struct Archive {
    source: Source,
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    directory: u64,
    limits: Limits,
}

/// Where the central directory stands.
struct Directory {
    at: u64,
    len: u64,
    count: u64,
    /// Bytes before the archive, which its own offsets do not count.
    base: u64,
}

impl Archive {
    /// Reads the central directory.
    ///
    /// # Errors
    /// No end record (not a zip, or a truncated one), records that contradict each other, names that occur
    /// twice, encryption, and methods other than stored and deflated.
    pub fn open(source: &Source, limits: &Limits) -> Result<Self> {
        let directory = find_directory(source)?;
        if directory.count > limits.items {
            return Err(Error::Limit {
                place: source.place(directory.at),
                what: "entries in a zip archive",
                asked: directory.count,
                allowed: limits.items,
            });
        }
        if directory.len > limits.header_bytes {
            return Err(Error::Limit {
                place: source.place(directory.at),
                what: "bytes of zip directory",
                asked: directory.len,
                allowed: limits.header_bytes,
            });
        }
        let bytes = source.window(directory.at, directory.len)?;
        let mut archive = Archive {
            source: source.clone(),
            entries: Vec::with_capacity(directory.count.min(directory.len / 46) as usize),
            index: HashMap::new(),
            directory: directory.at,
            limits: *limits,
        };
        let mut at = 0usize;
        for _ in 0..directory.count {
            let place = source.place(directory.at + at as u64);
            let (entry, used) = central_entry(&bytes[at..], directory.base, &place)?;
            at += used;
            if archive.index.insert(entry.name.clone(), archive.entries.len()).is_some() {
                // Readers differ in which one they take; that is how files smuggle content past checks.
                return Err(Error::malformed(place, format!("two zip entries are named '{}'", entry.name)));
            }
            archive.entries.push(entry);
        }
        Ok(archive)
    }

    /// All entries, in the directory's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this name.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.index.get(name).map(|&i| &self.entries[i])
    }

    /// What the archive is read from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Where in the source an entry's contents stand verbatim; `None` where they are deflated.
    ///
    /// # Errors
    /// As [`Archive::storage`].
    pub fn stored_at(&self, entry: &Entry) -> Result<Option<u64>> {
        if entry.deflated { Ok(None) } else { self.payload(entry).map(Some) }
    }

    /// A place within an entry's contents, for errors.
    pub fn place(&self, entry: &Entry, offset: u64) -> Place {
        Place::at(format!("{}: {}", self.source.name(), entry.name), offset)
    }

    /// The contents as a storage: the file's own bytes where stored, inflated in passing where deflated.
    ///
    /// # Errors
    /// A local header that is missing or tells another name, contents that leave the archive, and sizes
    /// that no deflated stream of that length can have.
    pub fn storage(&self, entry: &Entry) -> Result<Arc<dyn Storage>> {
        let at = self.payload(entry)?;
        if !entry.deflated {
            return self.source.storage(at, entry.size);
        }
        let most = entry.compressed.saturating_mul(self.limits.inflate_ratio);
        if entry.size > most {
            return Err(Error::Limit {
                place: self.place(entry, 0),
                what: "inflated bytes",
                asked: entry.size,
                allowed: most,
            });
        }
        let raw = self.source.storage(at, entry.compressed)?;
        Ok(Arc::new(Inflating::new(raw, entry.size, entry.crc32, self.place(entry, 0))))
    }

    /// The whole contents of a small entry.
    ///
    /// # Errors
    /// As [`Archive::storage`]; and where the entry is larger than headers may be.
    pub fn read(&self, entry: &Entry) -> Result<Cow<'_, [u8]>> {
        if entry.size > self.limits.header_bytes {
            return Err(Error::Limit {
                place: self.place(entry, 0),
                what: "bytes to keep in memory",
                asked: entry.size,
                allowed: self.limits.header_bytes,
            });
        }
        if !entry.deflated {
            return self.source.window(self.payload(entry)?, entry.size);
        }
        let allowed = entry.compressed.saturating_mul(HEADER_RATIO).max(HEADER_FLOOR);
        if entry.size > allowed {
            return Err(Error::Limit {
                place: self.place(entry, 0),
                what: "inflated bytes to keep in memory",
                asked: entry.size,
                allowed,
            });
        }
        let storage = self.storage(entry)?;
        // Grown as it comes: the stated size is only believed as far as the stream bears it out.
        let mut bytes = Vec::new();
        storage.visit(0..entry.size, &mut |_, chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(Cow::Owned(bytes))
    }

    /// Offset of an entry's contents: after its *local* header, whose extra field differs from the
    /// directory's (writers pad there to align).
    fn payload(&self, entry: &Entry) -> Result<u64> {
        let place = self.source.place(entry.header);
        let header = self.source.window(entry.header, 30)?;
        if &header[..4] != LOCAL {
            let what = format!("no local header for zip entry '{}'", entry.name);
            return Err(Error::malformed(place, what));
        }
        let (name_len, extra_len) = (u16_at(&header, 26), u16_at(&header, 28));
        let name = self.source.window(entry.header + 30, u64::from(name_len))?;
        if decode_name(&name) != entry.name {
            let what = format!("the local header of zip entry '{}' tells another name", entry.name);
            return Err(Error::malformed(place, what));
        }
        let at = entry.header + 30 + u64::from(name_len) + u64::from(extra_len);
        if at.checked_add(entry.compressed).is_none_or(|end| end > self.directory) {
            let what = format!("zip entry '{}' of {} bytes leaves the archive", entry.name, entry.compressed);
            return Err(Error::malformed(place, what));
        }
        Ok(at)
    }
}

fn find_directory(source: &Source) -> Result<Directory> {
    // The end record is 22 bytes and a comment of at most 65535.
    let tail_at = source.len().saturating_sub(22 + 0xffff);
    let tail = source.prefix(tail_at, 22 + 0xffff)?;
    let found = (0..(tail.len() + 1).saturating_sub(22))
        .rev()
        .find(|&i| &tail[i..i + 4] == END && i + 22 + usize::from(u16_at(&tail, i + 20)) <= tail.len());
    let Some(i) = found else {
        let what = "no zip end record: not a zip archive, or one that was cut off";
        return Err(Error::malformed(source.place(source.len()), what));
    };
    let end_at = tail_at + i as u64;
    let end = &tail[i..i + 22];
    let place = source.place(end_at);
    let (mut count, mut len, mut at) =
        (u64::from(u16_at(end, 10)), u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    if u16_at(end, 4) != 0 && u16_at(end, 4) != 0xffff {
        return Err(Error::unsupported(place, "a zip archive in several volumes"));
    }
    let mut directory_end = end_at;
    if end_at >= 20 {
        let locator = source.window(end_at - 20, 20)?;
        if &locator[..4] == LOCATOR64 {
            let stated = u64_at(&locator, 8);
            // With bytes before the archive the stated place is off by as much; the record then stands
            // right before its locator, where every known writer puts it.
            let end64_at = [stated, end_at.saturating_sub(20 + 56)]
                .into_iter()
                .find(|&at| source.window(at, 56).is_ok_and(|w| &w[..4] == END64))
                .ok_or_else(|| {
                    Error::malformed(place.clone(), "the zip64 end record is not where it should be")
                })?;
            let end64 = source.window(end64_at, 56)?;
            (count, len, at) = (u64_at(&end64, 32), u64_at(&end64, 40), u64_at(&end64, 48));
            directory_end = end64_at;
        }
    }
    let base = directory_end.checked_sub(len).and_then(|start| start.checked_sub(at)).ok_or_else(|| {
        let what = format!("a zip directory of {len} bytes at {at} does not fit before its end record");
        Error::malformed(place.clone(), what)
    })?;
    if count > len / 46 {
        let what = format!("{count} zip entries do not fit in a directory of {len} bytes");
        return Err(Error::malformed(place, what));
    }
    Ok(Directory { at: base + at, len, count, base })
}

/// Parses a directory record; also how many bytes it takes.
fn central_entry(bytes: &[u8], base: u64, place: &Place) -> Result<(Entry, usize)> {
    let malformed = |what: &str| Error::malformed(place.clone(), what);
    if bytes.len() < 46 || &bytes[..4] != CENTRAL {
        return Err(malformed("a zip directory record is missing"));
    }
    let (name_len, extra_len, comment_len) =
        (usize::from(u16_at(bytes, 28)), usize::from(u16_at(bytes, 30)), usize::from(u16_at(bytes, 32)));
    let used = 46 + name_len + extra_len + comment_len;
    if used > bytes.len() {
        return Err(malformed("a zip directory record is cut off"));
    }
    let name = decode_name(&bytes[46..46 + name_len]);
    let mut compressed = u64::from(u32_at(bytes, 20));
    let mut size = u64::from(u32_at(bytes, 24));
    let mut header = u64::from(u32_at(bytes, 42));
    zip64_extra(&bytes[46 + name_len..46 + name_len + extra_len], [&mut size, &mut compressed, &mut header])
        .ok_or_else(|| malformed("a zip64 extra field is too short"))?;
    if u16_at(bytes, 8) & 1 != 0 {
        let what = format!("zip entry '{name}' is encrypted");
        return Err(Error::unsupported(place.clone(), what));
    }
    let deflated = match u16_at(bytes, 10) {
        0 => false,
        8 => true,
        method => {
            let what = format!("zip entry '{name}' is compressed by method {method}; 0 and 8 are read");
            return Err(Error::unsupported(place.clone(), what));
        }
    };
    if !deflated && size != compressed {
        return Err(malformed("a stored zip entry states two sizes"));
    }
    let header = header.checked_add(base).ok_or_else(|| malformed("a zip entry lies beyond any file"))?;
    Ok((Entry { name, size, crc32: u32_at(bytes, 16), compressed, deflated, header }, used))
}

/// Takes 64-bit values, in their fixed order, for the fields that are all ones; `None` if they are missing.
fn zip64_extra(mut extra: &[u8], fields: [&mut u64; 3]) -> Option<()> {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let body = extra.get(4..4 + len)?;
        if id == 1 {
            let mut at = 0;
            for field in fields {
                if *field == u64::from(u32::MAX) {
                    *field = u64::from_le_bytes(body.get(at..at + 8)?.try_into().ok()?);
                    at += 8;
                }
            }
            return Some(());
        }
        extra = &extra[4 + len..];
    }
    Some(())
}

fn decode_name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
