//! The header: parsed strictly, since readers that are lax in different ways read different models.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use weighbridge_model::{DType, Error, Limits, Result, Value, element_count, nearest};

use crate::source::Source;

/// What the header tells of one tensor; offsets from the end of the header.
#[derive(Debug)]
pub struct Entry {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<u64>,
    pub begin: u64,
    pub end: u64,
}

/// A header, in its own order.
#[derive(Debug, Default)]
pub struct Header {
    pub entries: Vec<Entry>,
    pub metadata: Vec<(String, Value)>,
}

/// The value of one key, as JSON has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

#[derive(Default)]
struct Raw {
    tensors: Vec<(String, Info)>,
    metadata: Vec<(String, String)>,
}

struct Strings(Vec<(String, String)>);

/// Parses the header's text.
///
/// # Errors
/// JSON that is none or has a key twice, dtypes that do not exist, shapes that disagree with their bytes.
pub fn parse(text: &[u8], source: &Source, limits: &Limits) -> Result<Header> {
    // Padding: writers fill up with spaces to align the data.
    let raw: Raw = serde_json::from_slice(text).map_err(|e| {
        let line_start =
            text.split_inclusive(|&b| b == b'\n').take(e.line().saturating_sub(1)).map(<[u8]>::len);
        let at = line_start.sum::<usize>() + e.column();
        Error::malformed(source.place(8 + at as u64), format!("the safetensors header: {e}"))
    })?;
    let metadata = raw.metadata.into_iter().map(|(k, v)| (k, Value::Str(v))).collect();
    let mut header = Header { entries: Vec::with_capacity(raw.tensors.len()), metadata };
    for (name, info) in raw.tensors {
        let place = source.place(8).tensor(&name);
        let malformed = |what: String| Error::malformed(place.clone(), what);
        let dtype: DType = info.dtype.parse().map_err(|_| {
            let near = nearest(&info.dtype, DType::ALL.iter().map(|d| d.name()));
            let near = if near.is_empty() {
                String::new()
            } else {
                format!("; the nearest known: {}", near.join(", "))
            };
            Error::unsupported(place.clone(), format!("dtype '{}'{near}", info.dtype.escape_debug()))
        })?;
        if info.shape.len() > limits.dims {
            let (asked, allowed) = (info.shape.len() as u64, limits.dims as u64);
            return Err(Error::Limit { place, what: "dimensions", asked, allowed });
        }
        let (begin, end) = info.data_offsets;
        if begin > end {
            return Err(malformed(format!("its data ends at {end}, before it begins at {begin}")));
        }
        let needed = element_count(&info.shape).and_then(|n| dtype.packed_bytes(n));
        if needed != Some(end - begin) {
            let shape = info.shape;
            let needs = needed.map_or("more bytes than can be counted".to_owned(), |n| format!("{n} bytes"));
            return Err(malformed(format!(
                "{dtype} {shape:?} takes {needs}, and its data has {}",
                end - begin
            )));
        }
        header.entries.push(Entry { name, dtype, shape: info.shape, begin, end });
    }
    Ok(header)
}

/// Refuses data that overlaps, that leaves holes, and that does not end where the file does.
pub fn check_offsets(entries: &[Entry], source: &Source, data: u64) -> Result<()> {
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by_key(|e| (e.begin, e.end));
    let len = source.len() - data;
    let mut at = 0;
    let mut before: Option<&Entry> = None;
    for entry in order {
        let place = source.place(data + entry.begin.min(len)).tensor(&entry.name);
        if entry.end > len {
            let what = format!("its data ends at byte {} of {len}: cut off, or a wrong header", entry.end);
            return Err(Error::malformed(place, what));
        }
        if entry.begin < at {
            let other = before.map_or("the header", |e| &e.name);
            return Err(Error::malformed(place, format!("its data overlaps that of '{other}'")));
        }
        if entry.begin > at {
            let what = format!("{} bytes before its data belong to no tensor", entry.begin - at);
            return Err(Error::malformed(place, what));
        }
        (at, before) = (entry.end, Some(entry));
    }
    if at != len {
        let what = format!("{} bytes after the last tensor belong to none", len - at);
        return Err(Error::malformed(source.place(data + at), what));
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a key for each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
                let mut raw = Raw::default();
                let mut seen = HashSet::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(serde::de::Error::custom(format!(
                            "the key '{}' occurs twice",
                            key.escape_debug()
                        )));
                    }
                    if key == "__metadata__" {
                        raw.metadata = map.next_value::<Strings>()?.0;
                    } else {
                        raw.tensors.push((key, map.next_value()?));
                    }
                }
                Ok(raw)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Strings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Strings(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
