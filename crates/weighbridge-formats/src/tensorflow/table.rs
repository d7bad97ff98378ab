//! A sorted table of keys and values, as LevelDB lays it out: blocks of entries, an index of the blocks, a footer.
//!
//! | part | layout |
//! |---|---|
//! | entry | varints: bytes shared with the key before, further bytes of the key, bytes of the value; then both |
//! | block | entries, the offsets of restarts (u32 each), their count (u32) |
//! | after a block | one byte: 0 plain, 1 snappy; masked CRC-32C of the block and that byte (u32) |
//! | handle | varints: a block's offset and its length without what comes after |
//! | footer | 48 bytes: the handles of the meta index and the index, padding, 8 bytes of magic |

use std::borrow::Cow;

use weighbridge_model::{Error, Limits, Result};

use super::crc;
use crate::source::Source;

/// The last bytes of a table.
const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();

/// Length of the footer.
const FOOTER: u64 = 48;

/// What follows a block: its compression, and its checksum.
const TRAILER: u64 = 5;

/// Most bytes that snappy makes of one: a copy of 64 bytes takes 3.
const SNAPPY: u64 = 32;

/// Bytes of keys for each byte of the file. Keys share their beginnings, so that a few bytes may stand for a long one.
const KEYS: u64 = 64;

/// As many more bytes of keys, whatever the file's length.
const SLACK: u64 = 1 << 20;

/// An entry of a table.
#[derive(Debug)]
pub(super) struct Entry {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
}

/// Whether a file ends as a table does.
///
/// # Errors
/// A failed read.
pub(super) fn is_table(source: &Source) -> Result<bool> {
    let Some(at) = source.len().checked_sub(FOOTER) else { return Ok(false) };
    Ok(source.window(at + FOOTER - 8, 8)?[..] == MAGIC)
}

/// All entries, in the order of their keys.
///
/// # Errors
/// Checksums that do not match, blocks that leave the file, keys that are out of order or too long in all.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<Vec<Entry>> {
    if !is_table(source)? {
        return Err(Error::malformed(
            source.place(0),
            "no table of a checkpoint: it ends without the magic number",
        ));
    }
    let at = source.len() - FOOTER;
    let footer = source.window(at, FOOTER)?;
    let mut cursor = Cursor { bytes: &footer[..40], at: 0 };
    let fault = |what: String| Error::malformed(source.place(at), what);
    let mut number = || cursor.varint().ok_or_else(|| fault("a footer whose handles cannot be read".into()));
    let (_, _, offset, len) = (number()?, number()?, number()?, number()?);
    let mut reader = Reader {
        source,
        entries: Vec::new(),
        keys: source.len().saturating_mul(KEYS).saturating_add(SLACK).min(limits.header_bytes),
        blocks: source.len(),
        limits,
    };
    let index = reader.block(offset, len)?;
    let mut handles = Vec::new();
    reader.walk(&index, offset, &mut |_, _, value| {
        let mut cursor = Cursor { bytes: value, at: 0 };
        handles.push((cursor.varint(), cursor.varint()));
        Ok(())
    })?;
    for (block, len) in handles {
        let (Some(block), Some(len)) = (block, len) else {
            return Err(Error::malformed(
                source.place(offset),
                "an index entry that holds no handle of a block",
            ));
        };
        let bytes = reader.block(block, len)?;
        let mut found = Vec::new();
        let last = reader.entries.last().map(|e| e.key.clone());
        reader.walk(&bytes, block, &mut |reader, key, value| {
            let before = found.last().map(|e: &Entry| &e.key).or(last.as_ref());
            // A block that is named twice would come again and again.
            if before.is_some_and(|before| before.as_slice() >= key) {
                return Err(Error::malformed(source.place(block), "keys that are not in ascending order"));
            }
            reader.room(found.len(), block)?;
            found.push(Entry { key: key.to_vec(), value: value.to_vec() });
            Ok(())
        })?;
        reader.entries.append(&mut found);
    }
    Ok(reader.entries)
}

/// What is done with an entry: its key and its value.
type Visit<'v, 'a> = dyn FnMut(&mut Reader<'a>, &[u8], &[u8]) -> Result<()> + 'v;

struct Reader<'a> {
    source: &'a Source,
    entries: Vec<Entry>,
    /// Bytes of keys that may still come.
    keys: u64,
    /// Bytes of blocks that may still come, as they are in the file: those without entries could be named again and
    /// again.
    blocks: u64,
    limits: &'a Limits,
}

impl<'a> Reader<'a> {
    /// Whether one more entry may be kept.
    fn room(&self, more: usize, at: u64) -> Result<()> {
        let (asked, allowed) = ((self.entries.len() + more) as u64 + 1, self.limits.items);
        let place = || self.source.place(at);
        let limit = || Error::Limit { place: place(), what: "entries of a table", asked, allowed };
        if asked > allowed { Err(limit()) } else { Ok(()) }
    }

    /// A block's content, its checksum held against it.
    fn block(&mut self, offset: u64, len: u64) -> Result<Cow<'a, [u8]>> {
        let source = self.source;
        let place = || source.place(offset);
        let left = self.source.len().saturating_sub(offset);
        if len.checked_add(TRAILER).is_none_or(|whole| whole > left) {
            let what = format!("a block of {len} bytes, and the file has {left} left");
            return Err(Error::malformed(place(), what));
        }
        let allowed = self.limits.header_bytes;
        let too_large = |asked| Error::Limit { place: place(), what: "bytes of a block", asked, allowed };
        if len > allowed {
            return Err(too_large(len));
        }
        let rest = self.blocks.checked_sub(len + TRAILER).ok_or_else(|| {
            Error::malformed(place(), "blocks that are longer in all than the file: some are named again")
        });
        self.blocks = rest?;
        let whole = self.source.window(offset, len + TRAILER)?;
        let (content, checksum) = whole.split_at(len as usize + 1);
        let (said, is) =
            (u32::from_le_bytes([checksum[0], checksum[1], checksum[2], checksum[3]]), crc::masked(content));
        if said != is {
            let what = format!("the block's checksum is {said:08x}, and its bytes give {is:08x}");
            return Err(Error::malformed(place(), what));
        }
        match content[len as usize] {
            0 => Ok(match whole {
                Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..len as usize]),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(len as usize);
                    Cow::Owned(bytes)
                }
            }),
            1 => {
                let content = &content[..len as usize];
                let fault = |e: snap::Error| Error::malformed(place(), format!("a snappy block: {e}"));
                let expanded = snap::raw::decompress_len(content).map_err(fault)? as u64;
                if expanded > len.saturating_mul(SNAPPY) {
                    let what = format!("{len} bytes of snappy cannot hold the {expanded} that they promise");
                    return Err(Error::malformed(place(), what));
                }
                if expanded > allowed {
                    return Err(too_large(expanded));
                }
                Ok(Cow::Owned(snap::raw::Decoder::new().decompress_vec(content).map_err(fault)?))
            }
            other => {
                Err(Error::malformed(place(), format!("a block of compression {other}, which is not known")))
            }
        }
    }

    /// Goes through a block's entries.
    fn walk(&mut self, block: &[u8], at: u64, visit: &mut Visit<'_, 'a>) -> Result<()> {
        let source = self.source;
        let fault = |what: &str| Error::malformed(source.place(at), format!("a block {what}"));
        let (rest, count) = block.split_last_chunk().ok_or_else(|| fault("without restarts"))?;
        let restarts = u64::from(u32::from_le_bytes(*count)) * 4;
        let Some(end) = (rest.len() as u64).checked_sub(restarts) else {
            return Err(fault("with more restarts than it has bytes"));
        };
        let mut cursor = Cursor { bytes: &rest[..end as usize], at: 0 };
        let mut key: Vec<u8> = Vec::new();
        while cursor.at < cursor.bytes.len() {
            let mut number = || cursor.varint().ok_or_else(|| fault("whose entry cannot be read"));
            let (shared, further, value) = (number()?, number()?, number()?);
            let (Some(further), true) = (cursor.take(further), shared <= key.len() as u64) else {
                return Err(fault("whose key leaves it"));
            };
            key.truncate(shared as usize);
            key.extend_from_slice(further);
            let Some(left) = self.keys.checked_sub(key.len() as u64) else {
                let allowed = self.limits.header_bytes;
                let place = source.place(at);
                return Err(Error::Limit {
                    place,
                    what: "bytes of keys",
                    asked: allowed.saturating_add(1),
                    allowed,
                });
            };
            self.keys = left;
            let value = cursor.take(value).ok_or_else(|| fault("whose value leaves it"))?;
            visit(self, &key, value)?;
        }
        Ok(())
    }
}

/// Numbers and runs of bytes, one after another.
pub(super) struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    /// The next varint; `None` where there is none of up to 64 bits.
    pub fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63 || byte < 2)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len))?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A table of one block of these entries.
    pub(in super::super) fn table(entries: &[(&[u8], &[u8])], snappy: bool) -> Vec<u8> {
        let block = |entries: &[(&[u8], &[u8])]| {
            let mut bytes = Vec::new();
            for (key, value) in entries {
                bytes.extend([0, key.len() as u8, value.len() as u8]);
                bytes.extend_from_slice(key);
                bytes.extend_from_slice(value);
            }
            bytes.extend([0, 0, 0, 0, 1, 0, 0, 0]);
            bytes
        };
        let mut file = Vec::new();
        let mut put = |content: Vec<u8>| {
            let mut content =
                if snappy { snap::raw::Encoder::new().compress_vec(&content).unwrap() } else { content };
            let handle = [file.len() as u8, content.len() as u8];
            content.push(u8::from(snappy));
            let checksum = crc::masked(&content).to_le_bytes();
            file.extend(content);
            file.extend(checksum);
            handle
        };
        let data = put(block(entries));
        let index = put(block(&[(b"\xff", &data)]));
        let mut footer = vec![0; 48];
        footer[2..4].copy_from_slice(&index);
        footer[40..].copy_from_slice(&MAGIC);
        file.extend(footer);
        file
    }

    fn keys(bytes: Vec<u8>) -> Result<Vec<Vec<u8>>> {
        let entries = read(&Source::memory("x.index", bytes), &Limits::default())?;
        Ok(entries.into_iter().map(|e| e.key).collect())
    }

    #[test]
    fn entries_come_in_order_plain_and_compressed() {
        for snappy in [false, true] {
            let bytes = table(&[(b"", b"h"), (b"a", b"1"), (b"b", b"2")], snappy);
            assert_eq!(keys(bytes).unwrap(), [&b""[..], b"a", b"b"]);
        }
    }

    #[test]
    fn damage_is_named() {
        let good = table(&[(b"", b"h"), (b"a", b"1")], false);
        let mut bad = good.clone();
        bad[4] ^= 1;
        assert!(keys(bad).unwrap_err().to_string().contains("checksum"));
        assert!(
            keys(table(&[(b"b", b""), (b"a", b"")], false)).unwrap_err().to_string().contains("ascending")
        );
        assert!(keys(good[..good.len() - 1].to_vec()).unwrap_err().to_string().contains("magic"));
    }
}
