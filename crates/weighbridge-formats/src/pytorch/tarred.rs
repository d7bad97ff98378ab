//! Tar checkpoints of torch before 0.2.
//!
//! | member | content |
//! |---|---|
//! | `sys_info` | a pickled dict about the machine that wrote |
//! | `storages` | pickled count; each: pickled `(key, device, class)`, int64 count of elements, elements; then a pickled list of `(key, key of the whole, offset, count)` for storages that are part of others |
//! | `tensors` | pickled count; each: pickled `(key, key of its storage, class)`, int32 number of dimensions, 4 bytes without meaning, then int64 each: sizes, strides, offset in the storage |
//! | `pickle` | the object: tensors and storages are persistent ids, their keys |
//!
//! All numbers are little-endian.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{DType, Error, Limits, Place, Result, Role, Storage, Tensor, View};

use super::names::storage_dtype;
use super::records::{Records, Verbatim, pickle_at, resolve_containers};
use crate::pickle::{Node, NodeId, Pickle};
use crate::source::Source;
use crate::tar::{self, Member};

/// A storage: part of the file, or of another storage.
#[derive(Debug, Clone)]
struct Stored {
    storage: Arc<dyn Storage>,
    dtype: DType,
    /// Elements of `storage` before it.
    first: u64,
    count: u64,
}

/// An opened tar checkpoint.
#[derive(Debug)]
pub struct Tarred {
    pickle: Verbatim,
    storages: HashMap<String, Stored>,
    tensors: HashMap<String, Tensor>,
}

impl Records for Tarred {
    fn place(&self, offset: usize) -> Place {
        self.pickle.place(offset)
    }

    fn within_pickle(&self, _: &[u8], range: Range<usize>) -> Result<Source> {
        self.pickle.part(range)
    }

    fn storage(&self, key: &str) -> Result<Arc<dyn Storage>> {
        self.storages.get(key).map(|s| s.storage.clone()).ok_or_else(|| {
            let what = format!("no storage '{}' in the tar's member 'storages'", key.escape_debug());
            Error::malformed(self.place(0), what)
        })
    }

    fn tensor(&self, key: &str) -> Option<Tensor> {
        if let Some(tensor) = self.tensors.get(key) {
            return Some(tensor.clone());
        }
        let s = self.storages.get(key)?;
        let view = View { offset: s.first, strides: vec![1] };
        let tensor = Tensor::strided("", s.dtype, vec![s.count], view, s.storage.clone(), &self.place(0));
        tensor.ok().map(|t| t.with_role(Role::Other, true))
    }
}

/// Finds everything in a tar checkpoint.
///
/// # Errors
/// A member that is missing or damaged.
pub fn open<'a>(source: &'a Source, limits: &Limits) -> Result<(Tarred, Cow<'a, [u8]>, Pickle)> {
    let members = tar::members(source, limits)?;
    let member = |name: &str| {
        members.iter().find(|m| m.name == name).ok_or_else(|| {
            let what = format!("a tar without the member '{name}' of a PyTorch checkpoint");
            Error::malformed(source.place(0), what)
        })
    };
    let storages = Run::new(source, member("storages")?, limits).storages()?;
    let tensors = Run::new(source, member("tensors")?, limits).tensors(&storages)?;
    let at = member("pickle")?;
    let (bytes, mut pickle) = pickle_at(source, at.at, at.at + at.len, limits)?;
    resolve_containers(&mut pickle);
    let pickle_at = Verbatim { source: source.clone(), at: at.at };
    Ok((Tarred { pickle: pickle_at, storages, tensors }, bytes, pickle))
}

/// A member that is gone through from its start.
struct Run<'a> {
    source: &'a Source,
    at: u64,
    end: u64,
    limits: &'a Limits,
}

impl<'a> Run<'a> {
    fn new(source: &'a Source, member: &Member, limits: &'a Limits) -> Self {
        Run { source, at: member.at, end: member.at + member.len, limits }
    }

    fn fault(&self, what: impl Into<String>) -> Error {
        Error::malformed(self.source.place(self.at), what)
    }

    fn pickle(&mut self) -> Result<Pickle> {
        let (_, pickle) = pickle_at(self.source, self.at, self.end, self.limits)?;
        self.at += pickle.len as u64;
        Ok(pickle)
    }

    /// How many there are, held against the bytes left: each takes some 20.
    fn count(&mut self) -> Result<u64> {
        let pickle = self.pickle()?;
        let left = self.end - self.at;
        match pickle.int(pickle.root).and_then(|n| u64::try_from(n).ok()) {
            Some(n) if n <= left => Ok(n),
            Some(n) => Err(self.fault(format!("a count of {n}, where {left} bytes are left"))),
            None => Err(self.fault("a count that is no whole number")),
        }
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        if self.end - self.at < N as u64 {
            return Err(self.fault("the tar's member ends too early"));
        }
        let bytes = self.source.window(self.at, N as u64)?;
        self.at += N as u64;
        Ok(bytes[..].try_into().expect("as many bytes"))
    }

    fn whole(&mut self, what: &str) -> Result<u64> {
        let n = i64::from_le_bytes(self.bytes()?);
        u64::try_from(n).map_err(|_| self.fault(format!("a negative {what}: {n}")))
    }

    fn storages(mut self) -> Result<HashMap<String, Stored>> {
        let mut storages = HashMap::new();
        for _ in 0..self.count()? {
            let head = self.pickle()?;
            let Some(&[name, _, class]) = head.sequence(head.root) else {
                return Err(self.fault("a storage without its key, device and class"));
            };
            let class = head.global(class).map(|(_, name)| name).unwrap_or_default();
            let (Some(key), Some(dtype)) = (key(&head, name), storage_dtype(class)) else {
                return Err(self.fault(format!("a storage of class '{}'", class.escape_debug())));
            };
            let count = self.whole("count")?;
            let len = count.saturating_mul(u64::from(dtype.bits() / 8).max(1));
            let left = self.end - self.at;
            if len > left {
                return Err(self.fault(format!("storage '{key}' has {len} bytes, and {left} are left")));
            }
            let storage = self.source.storage(self.at, len)?;
            self.at += len;
            storages.insert(key, Stored { storage, dtype, first: 0, count });
        }
        let views = self.pickle()?;
        for &view in views.sequence(views.root).unwrap_or_default() {
            let parts = match views.sequence(view) {
                Some(&[target, root, offset, count]) => {
                    let whole = |id| views.int(id).and_then(|n| u64::try_from(n).ok());
                    key(&views, target).zip(key(&views, root)).zip(whole(offset).zip(whole(count)))
                }
                _ => None,
            };
            let Some(((target, root), (first, count))) = parts else {
                return Err(self.fault("a view of a storage without its keys, offset and count"));
            };
            let part = storages.get(&root).and_then(|root| {
                let end = first.checked_add(count)?;
                (end <= root.count).then(|| Stored { first: root.first + first, count, ..root.clone() })
            });
            let Some(part) = part else {
                return Err(
                    self.fault(format!("storage '{target}' leaves storage '{root}', which it is part of"))
                );
            };
            storages.insert(target, part);
        }
        Ok(storages)
    }

    fn tensors(mut self, storages: &HashMap<String, Stored>) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for _ in 0..self.count()? {
            let head = self.pickle()?;
            let names = match head.sequence(head.root) {
                Some(&[name, storage, _]) => key(&head, name).zip(key(&head, storage)),
                _ => None,
            };
            let Some((name, storage)) = names else {
                return Err(self.fault("a tensor without its key, storage and class"));
            };
            let stored = storages
                .get(&storage)
                .ok_or_else(|| self.fault(format!("a tensor over storage '{storage}', which is not here")))?;
            let dims = i32::from_le_bytes(self.bytes()?);
            let _no_meaning: [u8; 4] = self.bytes()?;
            let dims = usize::try_from(dims)
                .ok()
                .filter(|&n| n <= self.limits.dims)
                .ok_or_else(|| self.fault(format!("a tensor of {dims} dimensions")))?;
            let shape = (0..dims).map(|_| self.whole("size")).collect::<Result<Vec<_>>>()?;
            let strides =
                (0..dims).map(|_| self.bytes().map(i64::from_le_bytes)).collect::<Result<Vec<_>>>()?;
            let offset = self.whole("storage offset")?.saturating_add(stored.first);
            let place = self.source.place(self.at);
            let view = View { offset, strides };
            let tensor = Tensor::strided("", stored.dtype, shape, view, stored.storage.clone(), &place)?;
            tensors.insert(name, tensor);
        }
        Ok(tensors)
    }
}

/// A key: a number, or its digits.
fn key(pickle: &Pickle, id: NodeId) -> Option<String> {
    match pickle.node(id) {
        Node::Str(key) => Some(key.to_string()),
        Node::Int(key) => Some(key.to_string()),
        _ => None,
    }
}
