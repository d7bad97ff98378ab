//! The file beside the model that holds tensors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use weighbridge_model::storage::identity;
use weighbridge_model::{Layout, Role, Tensor};

use crate::plan::FilePlan;

/// Shapes, axes and bounds up to this size stay within: runtimes infer shapes from them before they look outside.
const FIXED: u64 = 1 << 13;

/// Tensors from this size on begin a page, so that runtimes can map them.
const LARGE: u64 = 1 << 16;
const PAGE: u64 = 4096;
const ALIGNED: u64 = 64;

/// Where a tensor's bytes are: its storage, the first element, and how many bytes.
type Region = (usize, u64, u64);

/// Tensors that stand outside of the model's message.
pub(super) struct External {
    path: PathBuf,
    /// Smaller ones stay within.
    least: u64,
    tensors: Vec<(u64, Tensor)>,
    /// Bytes that are written once.
    regions: HashMap<Region, u64>,
    len: u64,
}

impl External {
    /// Beside the model at `path`, for tensors of at least `least` bytes.
    pub(super) fn new(path: &Path, least: u64) -> Self {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".data");
        External { path: beside.into(), least, tensors: Vec::new(), regions: HashMap::new(), len: 0 }
    }

    /// What the model calls the file.
    pub(super) fn location(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Where a tensor will stand; `None` where it is too small.
    pub(super) fn place(&mut self, tensor: &Tensor) -> Option<u64> {
        let bytes = tensor.bytes();
        let fixed = tensor.role == Role::Constant || tensor.dtype.is_integer();
        if bytes < self.least.max(1) || fixed && bytes <= FIXED {
            return None;
        }
        let region = match &tensor.layout {
            Layout::Strided(view) if view.is_contiguous(&tensor.shape) => {
                Some((identity(&tensor.storage), tensor.storage_offset(), bytes))
            }
            _ => None,
        };
        // A storage that re-reads another one has its identity, and other bytes.
        let region = region.filter(|_| tensor.storage.base().is_none());
        if let Some(&at) = region.as_ref().and_then(|region| self.regions.get(region)) {
            return Some(at);
        }
        let at = self.len.next_multiple_of(if bytes >= LARGE { PAGE } else { ALIGNED });
        self.len = at + bytes;
        self.tensors.push((at, tensor.clone()));
        self.regions.extend(region.map(|region| (region, at)));
        Some(at)
    }

    /// The file; `None` where nothing is in it.
    pub(super) fn file(self) -> Option<FilePlan> {
        let External { path, tensors, len, .. } = self;
        (!tensors.is_empty()).then(|| FilePlan {
            path,
            len: Some(len),
            content: Box::new(move |output| {
                tensors.iter().try_for_each(|(at, tensor)| {
                    output.bytes(&vec![0; (at - output.at()) as usize])?;
                    output.elements(tensor, &mut |_| {})
                })
            }),
        })
    }
}
