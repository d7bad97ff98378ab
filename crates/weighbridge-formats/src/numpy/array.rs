//! One `.npy`, wherever it stands: in a file, stored in an archive, or deflated there.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::storage::{Memory, PerUnit};
use weighbridge_model::{
    ChunkVisitor, DType, Error, Layout, Limits, Place, Result, Storage, Tensor, View, element_count,
};

use super::{MAGIC, header};
use crate::source::Source;
use crate::zip::{Archive, Entry};

/// Longest header that is read; NumPy itself takes 10,000 bytes unless it is told to trust the file.
const MAX_HEADER: u64 = 1 << 20;

/// What is read first: nearly every header ends within it.
const FIRST: u64 = 512;

/// Where the bytes of a `.npy` are.
pub struct Bytes<'a> {
    /// All that could belong to it.
    storage: Arc<dyn Storage>,
    /// Where it begins in a source, if it stands there as it is.
    direct: Option<(&'a Source, u64)>,
    place: Place,
}

impl<'a> Bytes<'a> {
    /// The rest of a file.
    pub fn file(source: &'a Source, at: u64) -> Self {
        let at = at.min(source.len());
        let storage = source.storage(at, source.len() - at).expect("the rest of a source lies within it");
        Bytes { storage, direct: Some((source, at)), place: source.place(at) }
    }

    /// An entry of an archive.
    ///
    /// # Errors
    /// As [`Archive::storage`].
    pub fn entry(archive: &'a Archive, entry: &Entry) -> Result<Self> {
        let direct = archive.stored_at(entry)?.map(|at| (archive.source(), at));
        Ok(Bytes { storage: archive.storage(entry)?, direct, place: archive.place(entry, 0) })
    }

    fn place(&self, offset: u64) -> Place {
        Place { offset: self.place.offset.map(|o| o.saturating_add(offset)), ..self.place.clone() }
    }

    /// Up to so many of the first bytes.
    fn prefix(&self, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.storage.visit(0..len.min(self.storage.len()), &mut |_, chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(bytes)
    }

    fn part(&self, offset: u64, len: u64) -> Result<Arc<dyn Storage>> {
        match self.direct {
            Some((source, at)) => source.storage(at + offset, len),
            None => Ok(Arc::new(Part { inner: self.storage.clone(), offset, len })),
        }
    }
}

/// An array, and how far it reaches.
pub struct Array {
    pub tensor: Tensor,
    pub version: String,
    /// Bytes of header and elements.
    pub len: u64,
}

/// Reads an array's header.
///
/// # Errors
/// No `.npy`, a header that contradicts itself or the bytes there are, a type that holds no numbers.
pub fn read(name: &str, bytes: &Bytes<'_>, limits: &Limits) -> Result<Array> {
    let malformed = |offset: u64, what: String| Error::malformed(bytes.place(offset).tensor(name), what);
    let mut head = bytes.prefix(FIRST)?;
    if !head.starts_with(MAGIC) {
        return Err(malformed(0, "no .npy: it does not begin with \\x93NUMPY".into()));
    }
    let (Some(&major), Some(&minor)) = (head.get(6), head.get(7)) else {
        return Err(malformed(6, "cut off within the .npy header".into()));
    };
    let wide = match major {
        1 => false,
        2 | 3 => true,
        _ => {
            let what = format!("version {major}.{minor} of .npy; 1, 2 and 3 are read");
            return Err(Error::unsupported(bytes.place(6).tensor(name), what));
        }
    };
    let start = if wide { 12 } else { 10 };
    let len = match head.get(8..start) {
        Some(&[a, b]) => u64::from(u16::from_le_bytes([a, b])),
        Some(&[a, b, c, d]) => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => return Err(malformed(8, "cut off within the .npy header".into())),
    };
    let start = start as u64;
    let left = bytes.storage.len().saturating_sub(start);
    if len > left {
        return Err(malformed(8, format!("a .npy header of {len} bytes, and {left} are left: cut off")));
    }
    let allowed = MAX_HEADER.min(limits.header_bytes);
    if len > allowed {
        return Err(Error::Limit {
            place: bytes.place(8),
            what: "bytes of .npy header",
            asked: len,
            allowed,
        });
    }
    if start + len > head.len() as u64 {
        head = bytes.prefix(start + len)?;
    }
    let text = head
        .get(start as usize..(start + len) as usize)
        .ok_or_else(|| malformed(start, "cut off within the .npy header".into()))?;
    let header = header::read(text, &bytes.place(start).tensor(name), limits)?;
    let data = start + len;
    let size = element_count(&header.shape).and_then(|n| n.checked_mul(header.element.width));
    let left = bytes.storage.len() - data;
    let Some(size) = size.filter(|&size| size <= left) else {
        let needs = size.map_or("more bytes than can be counted".to_owned(), |n| format!("{n} bytes"));
        let what = format!("{} {:?} takes {needs}, and {left} are left", header.element.dtype, header.shape);
        return Err(malformed(data, what));
    };
    let tensor = tensor(name, header, bytes.part(data, size)?, &bytes.place(data))?;
    Ok(Array { tensor, version: format!("{major}.{minor}"), len: data + size })
}

fn tensor(name: &str, header: header::Header, raw: Arc<dyn Storage>, place: &Place) -> Result<Tensor> {
    let header::Header { element, fortran, shape } = header;
    let storage = match element.swapped {
        0 => raw,
        width => Arc::new(PerUnit::swapped(raw, width)),
    };
    if element.dtype == DType::Str {
        // Text is listed, and hashed where its bytes stand in logical order.
        let in_order = !fortran || shape.len() < 2;
        let storage: Arc<dyn Storage> = if in_order { storage } else { Arc::new(Memory::new(Vec::new())) };
        let mut tensor = Tensor::contiguous(name, DType::Str, shape, storage, place)?;
        tensor.layout = Layout::Opaque;
        return Ok(tensor);
    }
    let mut view = View::contiguous(&shape, 0);
    if fortran {
        let mut stride = 1i64;
        for (to, &n) in view.strides.iter_mut().zip(&shape) {
            *to = stride;
            stride = stride.saturating_mul(n.max(1).min(i64::MAX as u64) as i64);
        }
    }
    Tensor::strided(name, element.dtype, shape, view, storage, place)
}

/// Part of a storage that has no addresses.
#[derive(Debug)]
struct Part {
    inner: Arc<dyn Storage>,
    offset: u64,
    len: u64,
}

impl Storage for Part {
    fn len(&self) -> u64 {
        self.len
    }

    fn can_seek(&self) -> bool {
        self.inner.can_seek()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read_at(self.offset.saturating_add(offset), buffer)
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        let inner = self.offset.saturating_add(range.start)..self.offset.saturating_add(range.end);
        self.inner.visit(inner, &mut |at, chunk| visitor(at - self.offset, chunk))
    }
}
