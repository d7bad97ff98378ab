//! Where a zip archive of `torch.save` keeps its pickle and its storages.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{Error, Finding, Limits, Place, Result, Severity, Storage};

use super::records::Records;
use crate::pickle::{self, Pickle};
use crate::source::Source;
use crate::zip::{Archive, Entry};

/// One pickle of an opened archive, with the folder of its storages.
pub struct Saved<'a> {
    archive: &'a Archive,
    /// The top folder with its slash; empty where there is none.
    root: String,
    /// `data`: the pickle is `data.pkl`, its storages are below `data/`.
    pickle: &'static str,
    big_endian: bool,
    /// The serialization version, as the file tells it.
    pub version: Option<String>,
    /// One storage a key, so that tied tensors share theirs.
    storages: RefCell<HashMap<String, Arc<dyn Storage>>>,
}

impl<'a> Saved<'a> {
    /// Finds the one top folder and reads its small entries.
    ///
    /// # Errors
    /// Two pickles to choose from; a byte order that is neither.
    pub fn open(archive: &'a Archive) -> Result<Self> {
        let mut roots = archive.entries().iter().filter_map(|e| {
            let root = e.name.strip_suffix("data.pkl")?;
            (root.is_empty() || root.find('/') == Some(root.len() - 1)).then_some((root, e))
        });
        let Some((root, pickle)) = roots.next() else {
            return Err(Error::malformed(archive.source().place(0), "a zip archive without a data.pkl"));
        };
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
        Ok(Saved { root, pickle: "data", big_endian, version, storages: RefCell::default(), archive })
    }

    /// The archive's other pickle: `constants.pkl`, with its storages below `constants/`.
    pub fn constants(&self) -> Option<Self> {
        self.archive.entry(&format!("{}constants.pkl", self.root))?;
        Some(Saved {
            root: self.root.clone(),
            version: self.version.clone(),
            pickle: "constants",
            storages: RefCell::default(),
            ..*self
        })
    }

    /// The archive.
    pub fn archive(&self) -> &'a Archive {
        self.archive
    }

    /// The top folder with its slash.
    pub fn root(&self) -> &str {
        &self.root
    }

    fn pickle_entry(&self) -> &Entry {
        self.archive.entry(&format!("{}{}.pkl", self.root, self.pickle)).expect("found on opening")
    }

    /// The pickle's bytes.
    ///
    /// # Errors
    /// Damage, or more than headers may have.
    pub fn pickle(&self) -> Result<Cow<'_, [u8]>> {
        self.archive.read(self.pickle_entry())
    }

    /// Reads the pickle's tree from its bytes.
    ///
    /// # Errors
    /// A pickle that cannot be interpreted.
    pub fn interpret(&self, bytes: &[u8], limits: &Limits) -> Result<Pickle> {
        pickle::read(bytes, limits).map_err(|fault| Error::malformed(self.place(fault.offset), fault.what))
    }

    /// A finding where the pickle's bytes have another checksum than the archive states.
    pub fn damage(&self, bytes: &[u8]) -> Option<Finding> {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        (crc.sum() != self.pickle_entry().crc32).then(|| {
            Finding::new(
                "F102",
                Severity::Warning,
                format!("the checksum of {}.pkl does not match: it was damaged, or saved without checksums", self.pickle),
                "compare the file with its source; torch.serialization.set_crc32_options(False) saves without",
            )
        })
    }
}

impl Records for Saved<'_> {
    fn place(&self, offset: usize) -> Place {
        self.archive.place(self.pickle_entry(), offset as u64)
    }

    fn big_endian(&self) -> bool {
        self.big_endian
    }

    fn within_pickle(&self, bytes: &[u8], range: Range<usize>) -> Result<Source> {
        let source = self.archive.source();
        if let Some(whole) = self.archive.stored_at(self.pickle_entry())? {
            return source.part(source.name(), whole + range.start as u64, range.len() as u64);
        }
        Ok(Source::memory(source.name(), &bytes[range]))
    }

    fn storage(&self, key: &str) -> Result<Arc<dyn Storage>> {
        if let Some(storage) = self.storages.borrow().get(key) {
            return Ok(storage.clone());
        }
        let name = format!("{}{}/{key}", self.root, self.pickle);
        let entry = self.archive.entry(&name).ok_or_else(|| {
            let what = format!("no entry '{}' for storage '{}'", name.escape_debug(), key.escape_debug());
            Error::malformed(self.place(0), what)
        })?;
        let storage = self.archive.storage(entry)?;
        self.storages.borrow_mut().insert(key.to_owned(), storage.clone());
        Ok(storage)
    }
}
