//! Filters that chunks went through when they were written: deflate, shuffle and Fletcher-32 are undone.

use flate2::{Decompress, FlushDecompress, Status};
use weighbridge_model::Result;

use super::bytes::Bytes;

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    id: u16,
    name: String,
    values: Vec<u32>,
}

impl Filter {
    /// Its name, where it is none that is undone.
    pub fn unread(&self) -> Option<String> {
        match self.id {
            1..=3 => None,
            _ => Some(self.name()),
        }
    }

    fn name(&self) -> String {
        match self.id {
            1 => "gzip".into(),
            2 => "shuffle".into(),
            3 => "fletcher32".into(),
            4 => "szip".into(),
            5 => "nbit".into(),
            6 => "scale-offset".into(),
            id if self.name.is_empty() => id.to_string(),
            id => format!("{} ({id})", self.name),
        }
    }
}

/// The names of filters in their order.
pub fn describe(filters: &[Filter]) -> String {
    filters.iter().map(Filter::name).collect::<Vec<_>>().join(", ")
}

/// Reads a filter pipeline.
pub fn read(bytes: &mut Bytes<'_>) -> Result<Vec<Filter>> {
    let version = bytes.u8()?;
    let count = bytes.u8()?;
    bytes.take(if version == 1 { 6 } else { 0 })?;
    let mut filters = Vec::new();
    for _ in 0..count {
        let id = bytes.u16()?;
        let len = if version == 1 || id >= 256 { usize::from(bytes.u16()?) } else { 0 };
        bytes.u16()?;
        let values = usize::from(bytes.u16()?);
        let len = if version == 1 { len.next_multiple_of(8) } else { len };
        let name = String::from_utf8_lossy(bytes.take(len)?).trim_end_matches('\0').to_owned();
        let numbers = (0..values).map(|_| bytes.u32()).collect::<Result<Vec<_>>>()?;
        bytes.take(if version == 1 && values % 2 == 1 { 4 } else { 0 })?;
        filters.push(Filter { id, name, values: numbers });
    }
    Ok(filters)
}

/// Undoes filters, last first, leaving out those that `mask` says were not applied. At most `most` bytes come out of
/// any of them.
pub fn undo(filters: &[Filter], mask: u32, bytes: Vec<u8>, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = bytes;
    for (i, filter) in filters.iter().enumerate().rev() {
        if i < 32 && mask & 1 << i != 0 {
            continue;
        }
        bytes = match filter.id {
            1 => inflate(&bytes, most)?,
            2 => unshuffle(bytes, filter.values.first().map_or(1, |&w| w as usize)),
            3 => {
                let end = bytes.len().checked_sub(4).ok_or("no room for its checksum")?;
                let stated = u32::from_le_bytes([bytes[end], bytes[end + 1], bytes[end + 2], bytes[end + 3]]);
                bytes.truncate(end);
                let found = fletcher32(&bytes);
                if found != stated {
                    return Err(format!("Fletcher-32 is {found:08x}, and {stated:08x} is stated: damaged"));
                }
                bytes
            }
            _ => return Err(format!("the filter {} is not read", filter.name())),
        };
    }
    Ok(bytes)
}

/// Inflates a zlib stream of at most `most` bytes.
fn inflate(bytes: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(most.min(bytes.len().saturating_mul(1040)));
    let status = Decompress::new(true)
        .decompress_vec(bytes, &mut out, FlushDecompress::Finish)
        .map_err(|e| format!("cannot be inflated: {e}"))?;
    match status {
        Status::StreamEnd => Ok(out),
        _ => Err(format!("inflates to something else than {most} bytes")),
    }
}

/// Puts together the bytes of each element, of which all first bytes stand first, then all second ones.
fn unshuffle(bytes: Vec<u8>, width: usize) -> Vec<u8> {
    let Some(count) = bytes.len().checked_div(width).filter(|&n| width > 1 && n > 1) else { return bytes };
    let mut out = bytes.clone();
    for plane in 0..width {
        for element in 0..count {
            out[element * width + plane] = bytes[plane * count + element];
        }
    }
    out
}

/// Fletcher's checksum over 16-bit words, big-endian ones as HDF5 sums them.
fn fletcher32(bytes: &[u8]) -> u32 {
    let (mut low, mut high) = (0u32, 0u32);
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map(|&b| [b, 0]);
    for word in words.iter().copied().chain(last) {
        low = (low + u32::from(u16::from_be_bytes(word))) % 65535;
        high = (high + low) % 65535;
    }
    // A sum is only ever 0 where all words were; otherwise it is written as 65535.
    let folded = |sum: u32| if sum == 0 && bytes.iter().any(|&b| b != 0) { 65535 } else { sum };
    folded(high) << 16 | folded(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_bytes_come_together_and_what_is_left_over_stays() {
        assert_eq!(unshuffle(vec![1, 3, 5, 2, 4, 6, 9], 2), [1, 2, 3, 4, 5, 6, 9]);
    }

    #[test]
    fn a_checksum_that_disagrees_is_damage() {
        let filters = [Filter { id: 3, name: String::new(), values: vec![] }];
        let mut bytes = vec![1, 2, 3, 4];
        bytes.extend(fletcher32(&bytes).to_le_bytes());
        assert_eq!(undo(&filters, 0, bytes.clone(), 8).unwrap(), [1, 2, 3, 4]);
        bytes[0] = 9;
        assert!(undo(&filters, 0, bytes, 8).unwrap_err().contains("damaged"));
    }
}
