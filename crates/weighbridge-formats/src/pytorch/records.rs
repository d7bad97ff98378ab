//! Where a PyTorch archive keeps its pickle and its storages.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{Error, Memory, Place, Result, Storage};

use crate::zip::{Archive, Entry};

/// An opened archive of `torch.save`.
pub struct Records {
    archive: Archive,
    /// The top folder with its slash; empty where there is none.
    root: String,
    /// Whether payloads are big-endian.
    pub big_endian: bool,
    /// The serialization version, as the file tells it.
    pub version: Option<String>,
    /// One storage a key, so that tied tensors share theirs.
    storages: RefCell<HashMap<String, Arc<dyn Storage>>>,
}

impl Records {
    /// Finds the one top folder and reads its small entries.
    ///
    /// # Errors
    /// Two pickles to choose from; a byte order that is neither.
    pub fn open(archive: Archive) -> Result<Self> {
        let mut roots = archive.entries().iter().filter_map(|e| {
            let root = e.name.strip_suffix("data.pkl")?;
            (root.is_empty() || root.find('/') == Some(root.len() - 1)).then_some((root, e))
        });
        let (root, pickle) = roots.next().expect("sniffed");
        if let Some((other, _)) = roots.next() {
            let what = format!("two roots, '{root}' and '{other}': which one is meant is anyone's guess");
            return Err(Error::malformed(archive.place(pickle, 0), what));
        }
        let root = root.to_owned();
        let small = |name: &str| -> Result<Option<String>> {
            let Some(entry) = archive.entry(&format!("{root}{name}")) else { return Ok(None) };
            if entry.size > 64 {
                return Err(Error::malformed(
                    archive.place(entry, 0),
                    "is longer than any that torch writes",
                ));
            }
            Ok(Some(String::from_utf8_lossy(&archive.read(entry)?).trim().to_owned()))
        };
        let big_endian = match small("byteorder")?.as_deref() {
            None | Some("little") => false,
            Some("big") => true,
            Some(other) => {
                let entry = archive.entry(&format!("{root}byteorder")).expect("was read");
                let what = format!("byte order '{}' is neither little nor big", other.escape_debug());
                return Err(Error::malformed(archive.place(entry, 0), what));
            }
        };
        let version = small("version")?;
        Ok(Records { root, big_endian, version, storages: RefCell::default(), archive })
    }

    fn pickle_entry(&self) -> &Entry {
        self.archive.entry(&format!("{}data.pkl", self.root)).expect("found on opening")
    }

    /// The pickle's bytes.
    ///
    /// # Errors
    /// Damage, or more than headers may have.
    pub fn pickle(&self) -> Result<Cow<'_, [u8]>> {
        self.archive.read(self.pickle_entry())
    }

    /// A place within the pickle.
    pub fn place(&self, offset: usize) -> Place {
        self.archive.place(self.pickle_entry(), offset as u64)
    }

    /// Whether the pickle's bytes have the checksum that the archive states.
    pub fn pickle_is_intact(&self, bytes: &[u8]) -> bool {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum() == self.pickle_entry().crc32
    }

    /// Bytes within the pickle as a storage: in the file itself where it is stored verbatim.
    ///
    /// # Errors
    /// As [`Archive::storage`].
    pub fn within_pickle(&self, bytes: &[u8], range: Range<usize>) -> Result<Arc<dyn Storage>> {
        if let Some(whole) = self.archive.stored_at(self.pickle_entry())? {
            return self.archive.source().storage(whole + range.start as u64, range.len() as u64);
        }
        Ok(Arc::new(Memory::new(&bytes[range])))
    }

    /// The storage of this key.
    ///
    /// # Errors
    /// No such entry; as [`Archive::storage`].
    pub fn storage(&self, key: &str) -> Result<Arc<dyn Storage>> {
        if let Some(storage) = self.storages.borrow().get(key) {
            return Ok(storage.clone());
        }
        let name = format!("{}data/{key}", self.root);
        let entry = self.archive.entry(&name).ok_or_else(|| {
            let what = format!("no entry '{}' for storage '{}'", name.escape_debug(), key.escape_debug());
            Error::malformed(self.place(0), what)
        })?;
        let storage = self.archive.storage(entry)?;
        self.storages.borrow_mut().insert(key.to_owned(), storage.clone());
        Ok(storage)
    }
}
