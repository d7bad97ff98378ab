//! Data that a tensor keeps in another file: confined to the model's folder, each file opened once.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weighbridge_model::{Error, Place, Result, Storage};

use crate::source::{Access, Source};

/// What a tensor says of its data outside of the model.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) location: String,
    pub(super) offset: Option<String>,
    pub(super) length: Option<String>,
}

/// The files beside a model.
pub(super) struct External {
    folder: Option<PathBuf>,
    /// The model itself.
    linked: Option<PathBuf>,
    access: Access,
    sources: HashMap<String, Source>,
    /// Regions by file, offset and length: tensors that name the same bytes share a storage.
    regions: HashMap<(String, u64, u64), Arc<dyn Storage>>,
}

impl External {
    pub(super) fn beside(model: &Source, access: Access) -> Self {
        External {
            folder: model.folder(),
            linked: model.path().map(Path::to_owned),
            access,
            sources: HashMap::new(),
            regions: HashMap::new(),
        }
    }

    /// The files that were opened.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            self.sources.values().filter_map(|s| s.path().map(Path::to_owned)).collect();
        files.sort();
        files
    }

    /// The `bytes` of a tensor. `place` is where the tensor stands in the model.
    pub(super) fn storage(&mut self, entry: &Entry, bytes: u64, place: &Place) -> Result<Arc<dyn Storage>> {
        let offset = number(entry.offset.as_deref(), "offset", place)?.unwrap_or(0);
        if let Some(length) = number(entry.length.as_deref(), "length", place)?
            && length != bytes
        {
            let what =
                format!("its external data has a length of {length} bytes, and its shape asks for {bytes}");
            return Err(Error::malformed(place.clone(), what));
        }
        let key = (entry.location.clone(), offset, bytes);
        if let Some(region) = self.regions.get(&key) {
            return Ok(region.clone());
        }
        let source = self.source(&entry.location, place)?;
        if offset.checked_add(bytes).is_none_or(|end| end > source.len()) {
            let (name, len) = (source.name(), source.len());
            let what = format!("needs {bytes} bytes at offset {offset} of {name}, which has {len}");
            return Err(Error::malformed(place.clone(), what));
        }
        let region = source.storage(offset, bytes)?;
        self.regions.insert(key, region.clone());
        Ok(region)
    }

    fn source(&mut self, location: &str, place: &Place) -> Result<Source> {
        if let Some(source) = self.sources.get(location) {
            return Ok(source.clone());
        }
        let path = self.confined(location, place)?;
        let source = Source::open(&path, self.access)?;
        self.sources.insert(location.to_owned(), source.clone());
        Ok(source)
    }

    /// The path of `location`, which stays within the model's folder even where links lead elsewhere.
    fn confined(&self, location: &str, place: &Place) -> Result<PathBuf> {
        let refuse = |what: String| Err(Error::malformed(place.clone(), what));
        if location.is_empty() {
            return refuse("its data is external, and no location is given".to_owned());
        }
        let drive = location.as_bytes().get(1) == Some(&b':');
        if location.starts_with('/') || location.contains(['\\', '\0']) || drive {
            return refuse(format!("external data at {location:?}, which is no relative path with slashes"));
        }
        if location.split('/').any(|part| part == "..") {
            return refuse(format!("external data at {location:?}, which leaves the model's folder"));
        }
        let Some(folder) = &self.folder else {
            let what =
                format!("its data is in {location:?}, and a model in memory has no folder to find it in");
            return Err(Error::Unsupported {
                place: place.clone(),
                what,
                help: Some("open the model by its path".to_owned()),
            });
        };
        let path = folder.join(location);
        let io = |path: &Path, cause: io::Error| Error::Io {
            cause: io::Error::new(cause.kind(), format!("external data in {}: {cause}", path.display())),
            place: place.clone(),
        };
        // Caches keep models as links to files in a folder of their own: beside the model is also beside what
        // its link leads to.
        let linked = self.linked.as_ref().and_then(|l| l.canonicalize().ok());
        let root = folder.canonicalize().map_err(|cause| io(folder, cause))?;
        let real = path.canonicalize().map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => {
                io(&path, io::Error::new(io::ErrorKind::NotFound, "no such file; keep it beside the model"))
            }
            _ => io(&path, cause),
        })?;
        let beside_link = linked.is_some_and(|l| real.parent() == l.parent());
        if !real.starts_with(&root) && !beside_link {
            let real = real.display();
            return refuse(format!(
                "external data at {location:?} is a link to {real}, outside of the model's folder"
            ));
        }
        // What is opened is what was checked; a folder named as a bare path keeps its short form in messages.
        Ok(real)
    }
}

fn number(text: Option<&str>, key: &str, place: &Place) -> Result<Option<u64>> {
    let parse = |text: &str| {
        text.parse().map_err(|_| {
            Error::malformed(
                place.clone(),
                format!("external data with {key} {text:?}, which is no number of bytes"),
            )
        })
    };
    text.map(parse).transpose()
}
