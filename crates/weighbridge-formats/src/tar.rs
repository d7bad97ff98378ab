//! Tar archives, read lazily: headers at once, contents where they are. Knows nothing of tensors.
//!
//! | offset | bytes | |
//! |---|---|---|
//! | 0 | 100 | name, up to a zero byte |
//! | 124 | 12 | size of the contents in octal, or in binary where the first bit is set |
//! | 148 | 8 | sum of the header's bytes in octal, these eight counted as spaces |
//! | 156 | 1 | kind: `0` or zero a file, `5` a folder, `x` and `g` pax records, `L` a long name |
//! | 257 | 5 | `ustar` |
//! | 345 | 155 | what the name continues, in ustar |
//!
//! Headers and contents begin on multiples of 512. Source of the facts: POSIX.1-2017, pax, "ustar Interchange
//! Format"; the GNU tar manual for `L` and for binary sizes.

use weighbridge_model::{Error, Limits, Result};

use crate::source::Source;

const BLOCK: u64 = 512;
/// Longest name or set of pax records that is read.
const LONGEST: u64 = 1 << 16;

/// A member: its name, and where its contents stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Path within the archive, without a leading `./`.
    pub name: String,
    /// Offset of the contents in the source.
    pub at: u64,
    /// Their length.
    pub len: u64,
}

/// Whether these bytes begin a tar archive.
pub fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// All regular files, in order.
///
/// # Errors
/// A header that is damaged, contents that leave the source.
pub fn members(source: &Source, limits: &Limits) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    let (mut long_name, mut pax_size): (Option<String>, Option<u64>) = (None, None);
    let mut at = 0;
    while at < source.len() {
        let fault = |what: String| Error::malformed(source.place(at), what);
        let header = source.window(at, BLOCK).map_err(|_| fault("a tar header is cut off".into()))?;
        if header.iter().all(|&b| b == 0) {
            break;
        }
        check_sum(&header).ok_or_else(|| fault("a tar header whose checksum does not match".into()))?;
        let stated = number(&header[124..136]).ok_or_else(|| fault("a tar size that is no number".into()))?;
        let kind = header[156];
        let len = match kind {
            b'x' | b'g' | b'L' | b'K' => stated,
            _ => pax_size.take().unwrap_or(stated),
        };
        let begin = at + BLOCK;
        if begin.checked_add(len).is_none_or(|end| end > source.len()) {
            let left = source.len() - begin;
            return Err(fault(format!("a tar member of {len} bytes, where {left} are left")));
        }
        match kind {
            b'x' | b'g' | b'L' if len > LONGEST => {
                return Err(fault(format!("{len} bytes of name or pax records")));
            }
            b'L' => long_name = Some(text(&source.window(begin, len)?)),
            b'x' => {
                let records = source.window(begin, len)?;
                long_name = pax(&records, "path").map(str::to_owned).or(long_name);
                pax_size = pax(&records, "size").and_then(|s| s.parse().ok());
            }
            0 | b'0' | b'7' => {
                let name = long_name.take().unwrap_or_else(|| full_name(&header));
                if members.len() as u64 >= limits.items {
                    let (asked, allowed) = (members.len() as u64 + 1, limits.items);
                    return Err(Error::Limit {
                        place: source.place(at),
                        what: "members of a tar",
                        asked,
                        allowed,
                    });
                }
                let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
                members.push(Member { name, at: begin, len });
            }
            _ => long_name = None,
        }
        at = begin + len.div_ceil(BLOCK) * BLOCK;
    }
    Ok(members)
}

fn full_name(header: &[u8]) -> String {
    let (name, prefix) = (text(&header[..100]), text(&header[345..500]));
    // GNU tar has other things there, after `ustar` and two spaces.
    if prefix.is_empty() || &header[257..263] != b"ustar\0" { name } else { format!("{prefix}/{name}") }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let (first, rest) = field.split_first()?;
        return rest
            .iter()
            .try_fold(u64::from(first & 0x7f), |n, &b| n.checked_mul(256)?.checked_add(b.into()));
    }
    let digits: Vec<u8> = field.iter().copied().skip_while(|b| *b == b' ').collect();
    let end = digits.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(digits.len());
    digits[..end].iter().try_fold(0u64, |n, &b| match b {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(u64::from(b - b'0')),
        _ => None,
    })
}

fn check_sum(header: &[u8]) -> Option<()> {
    let stated = number(&header[148..156])?;
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(i, &b)| u64::from(if (148..156).contains(&i) { b' ' } else { b }))
        .sum();
    (sum == stated).then_some(())
}

/// The value of a pax record, `LENGTH KEY=VALUE\n`; later ones win.
fn pax<'a>(mut records: &'a [u8], key: &str) -> Option<&'a str> {
    let mut found = None;
    while let Some(space) = records.iter().position(|&b| b == b' ') {
        let len: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let record = records.get(space + 1..len)?;
        let record = std::str::from_utf8(record).ok()?;
        if let Some((k, v)) = record.trim_end_matches('\n').split_once('=')
            && k == key
        {
            found = Some(v);
        }
        records = &records[len..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, kind: u8, size: &[u8]) -> Vec<u8> {
        let mut block = vec![0u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[124..124 + size.len()].copy_from_slice(size);
        block[156] = kind;
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].fill(b' ');
        let sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn list(bytes: Vec<u8>) -> Result<Vec<Member>> {
        members(&Source::memory("t", bytes), &Limits::default())
    }

    #[test]
    fn names_and_places_with_long_names_and_pax_sizes() {
        let mut tar = header("././@LongLink", b'L', b"00000000006\0");
        tar.extend([b"a/b/c\0".as_slice(), &[0; 506]].concat());
        tar.extend(header("a", b'0', b"00000000003\0"));
        tar.extend([b"xyz".as_slice(), &[0; 509]].concat());
        tar.extend(header("pax", b'x', b"00000000012\0"));
        tar.extend([b"10 size=2\n".as_slice(), &[0; 502]].concat());
        tar.extend(header("./b", b'0', b"00000000000\0"));
        tar.extend([b"pq".as_slice(), &[0; 510]].concat());
        tar.extend([0; 1024]);
        let place = |name: &str, at, len| Member { name: name.into(), at, len };
        assert_eq!(list(tar).unwrap(), [place("a/b/c", 1536, 3), place("b", 3584, 2)]);
    }

    #[test]
    fn damage_is_said() {
        let mut bad = header("a", b'0', b"00000000003\0");
        bad[0] = b'b';
        assert!(list(bad).unwrap_err().to_string().contains("checksum"));
        // A size in binary, of 2^62 bytes.
        let huge = header("a", b'0', &[0x80, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]);
        assert!(list(huge).unwrap_err().to_string().contains("are left"));
        let over = header("a", b'0', &[0x80, 0, 0xff, 0, 0x40, 0, 0, 0, 0, 0, 0, 0]);
        assert!(list(over).unwrap_err().to_string().contains("no number"));
        assert!(list(vec![1; 100]).unwrap_err().to_string().contains("cut off"));
    }
}
