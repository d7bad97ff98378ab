//! Files of torch.save before 1.6, and of `_use_new_zipfile_serialization=False` since.
//!
//! | what | bytes |
//! |---|---|
//! | pickle | the magic number 0x1950a86a20f9469cfc6c |
//! | pickle | the protocol, 1001 |
//! | pickle | `sys_info`: a dict about the machine that wrote |
//! | pickle | the object, storages as persistent ids `('storage', class, key, device, count, view)` |
//! | pickle | the keys of the storages, in the order in which they follow |
//! | each key | int64 count of elements of the storage's class, then the elements |
//!
//! A storage is found only by going through those before it, whose widths are those of the classes in the
//! object's pickle. `view` is `(key, offset, count)` where the storage is part of another, otherwise None.
//! torch writes counts and elements little-endian on any machine, and very old versions in the machine's own order:
//! the counts, which the pickle states too, tell which it is.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{Error, Limits, Place, Result, Storage};

use super::names::storage_dtype;
use super::records::{Records, Verbatim, pickle_at, resolve_containers};
use crate::pickle::{Node, Pickle};
use crate::source::Source;

/// The magic number's digits: it is beyond `i64`.
const MAGIC: &str = "119547037146038801333356";

/// An opened legacy file.
#[derive(Debug)]
pub struct Legacy {
    pickle: Verbatim,
    big_endian: bool,
    storages: Storages,
}

/// Storages by key.
type Storages = HashMap<String, Arc<dyn Storage>>;

/// What the pickle says of a storage.
#[derive(Clone, Copy)]
struct Stated {
    width: u64,
    count: u64,
}

impl Records for Legacy {
    fn place(&self, offset: usize) -> Place {
        self.pickle.place(offset)
    }

    fn within_pickle(&self, _: &[u8], range: Range<usize>) -> Result<Source> {
        self.pickle.part(range)
    }

    fn storage(&self, key: &str) -> Result<Arc<dyn Storage>> {
        self.storages.get(key).cloned().ok_or_else(|| {
            let what = format!("storage '{}' is not among those that follow", key.escape_debug());
            Error::malformed(self.place(0), what)
        })
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }
}

/// Finds the object's pickle and all storages of the file that takes up `range`.
///
/// # Errors
/// Damage, with its place.
pub fn open<'a>(
    source: &'a Source,
    range: Range<u64>,
    limits: &Limits,
) -> Result<(Legacy, Cow<'a, [u8]>, Pickle)> {
    let mut at = range.start;
    let mut next = || -> Result<_> {
        let begins = at;
        let (bytes, pickle) = pickle_at(source, at, range.end, limits)?;
        at += pickle.len as u64;
        Ok((begins, at, bytes, pickle))
    };
    let (begins, _, _, magic) = next()?;
    if !matches!(magic.node(magic.root), Node::BigInt(digits) if **digits == *MAGIC) {
        return Err(Error::malformed(source.place(begins), "not the magic number of a legacy PyTorch file"));
    }
    let (begins, _, _, protocol) = next()?;
    if protocol.int(protocol.root) != Some(1001) {
        let what = "a legacy PyTorch file of another protocol than 1001, the only one there was";
        return Err(Error::malformed(source.place(begins), what));
    }
    next()?;
    let (object_at, _, bytes, mut object) = next()?;
    resolve_containers(&mut object);
    let (keys_at, data_at, _, keys) = next()?;
    let stated = stated(&object).map_err(|what| Error::malformed(source.place(object_at), what))?;
    let keys = keys
        .sequence(keys.root)
        .and_then(|items| items.iter().map(|&key| key_text(&keys, key)).collect::<Option<Vec<_>>>())
        .ok_or_else(|| {
            Error::malformed(source.place(keys_at), "the keys of storages are no list of strings")
        })?;
    let (storages, big_endian) = storages(source, data_at, range.end, &keys, &stated)?;
    let pickle = Verbatim { source: source.clone(), at: object_at };
    Ok((Legacy { pickle, big_endian, storages }, bytes, object))
}

/// A storage's key: text, in the earliest files a number.
fn key_text(pickle: &Pickle, id: crate::pickle::NodeId) -> Option<String> {
    match pickle.node(id) {
        Node::Str(key) => Some(key.to_string()),
        Node::Int(key) => Some(key.to_string()),
        _ => None,
    }
}

/// Widths and counts of all storages that the object refers to.
fn stated(object: &Pickle) -> Result<HashMap<String, Stated>, String> {
    let mut stated: HashMap<String, Stated> = HashMap::new();
    for pid in object.references() {
        let Some([word, class, key, _, count, ..]) = object.sequence(pid) else { continue };
        let (Some("storage"), Some((_, class)), Some(key)) =
            (object.str(*word), object.global(*class), key_text(object, *key))
        else {
            continue;
        };
        let dtype = storage_dtype(class);
        if dtype.is_none() && class != "UntypedStorage" {
            return Err(format!(
                "storage '{key}' is of class '{}', whose width is not known",
                class.escape_debug()
            ));
        }
        let width = dtype.map_or(1, |d| u64::from(d.bits() / 8).max(1));
        let count = object
            .int(*count)
            .and_then(|n| u64::try_from(n).ok())
            .ok_or_else(|| format!("storage '{key}' has a size that is no whole number"))?;
        let this = Stated { width, count };
        let first = *stated.entry(key.clone()).or_insert(this);
        if first.width != width && (first.count, count) != (0, 0) {
            return Err(format!(
                "storage '{key}' is told to be of elements of {} and of {width} bytes",
                first.width
            ));
        }
    }
    Ok(stated)
}

/// All storages by key, and whether they are big-endian.
fn storages(
    source: &Source,
    mut at: u64,
    end: u64,
    keys: &[String],
    stated: &HashMap<String, Stated>,
) -> Result<(Storages, bool)> {
    let mut storages: Storages = HashMap::with_capacity(keys.len());
    let mut order: Option<bool> = None;
    for key in keys {
        let fault = |what: String| Error::malformed(source.place(at), what);
        let Some(&Stated { width, count }) = stated.get(key) else {
            return Err(fault(format!("storage '{}' is one that no tensor uses", key.escape_debug())));
        };
        if at.checked_add(8).is_none_or(|n| n > end) {
            return Err(fault(format!("the file ends before storage '{}'", key.escape_debug())));
        }
        let head: [u8; 8] = source.window(at, 8)?[..].try_into().expect("eight bytes");
        let (little, big) = (u64::from_le_bytes(head) == count, u64::from_be_bytes(head) == count);
        let agrees = match order {
            Some(is_big) => {
                if is_big {
                    big
                } else {
                    little
                }
            }
            None => little || big,
        };
        if !agrees {
            let held = if order == Some(true) { i64::from_be_bytes(head) } else { i64::from_le_bytes(head) };
            let key = key.escape_debug();
            return Err(fault(format!("storage '{key}' should have {count} elements, and says {held}")));
        }
        if little != big {
            order = Some(big);
        }
        let bytes = count.saturating_mul(width);
        let left = end - at - 8;
        if bytes > left {
            let key = key.escape_debug();
            return Err(fault(format!("storage '{key}' has {bytes} bytes, and the file has {left} left")));
        }
        if storages.insert(key.clone(), source.storage(at + 8, bytes)?).is_some() {
            return Err(fault(format!("storage '{}' comes twice", key.escape_debug())));
        }
        at += 8 + bytes;
    }
    Ok((storages, order == Some(true)))
}
