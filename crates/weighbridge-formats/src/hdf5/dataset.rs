//! A dataset: its type, its shape, and a storage over its elements.

use std::sync::Arc;

use weighbridge_model::{Error, Result, Storage};

use super::bytes::Bytes;
use super::chunks::{self, Index};
use super::datatype::{self, Datatype};
use super::file::File;
use super::filters::{self, Filter};
use super::header::Message;
use super::storage::{Chunked, Filled};
use crate::refused::Refused;

const SPACE: u16 = 1;
const DATATYPE: u16 = 3;
const OLD_FILL: u16 = 4;
const FILL: u16 = 5;
const EXTERNAL: u16 = 7;
const LAYOUT: u16 = 8;
const FILTERS: u16 = 0xb;

/// Largest row of chunks that is held in memory.
const SLAB: u64 = 48 << 20;

/// What would have to be done to data that is stored in a way that is not read.
const HELP: &str = "rewrite the file with h5repack, without such filters";

/// A dataset.
#[derive(Debug)]
pub struct Dataset {
    pub datatype: Datatype,
    pub shape: Vec<u64>,
    pub storage: Arc<dyn Storage>,
    /// How its elements are kept, where that is worth a word.
    pub kept: Option<String>,
}

/// The dataset that these messages describe; `None` where they describe none.
pub fn dataset(file: &File, messages: &[Message]) -> Result<Option<Dataset>> {
    let of = |kind| messages.iter().find(|m: &&Message| m.kind == kind);
    let (Some(space), Some(datatype), Some(layout)) = (of(SPACE), of(DATATYPE), of(LAYOUT)) else {
        return Ok(None);
    };
    let datatype = datatype::of_message(file, datatype)?;
    if space.shared {
        return Err(Error::unsupported(file.place(space.address), "a shape in a heap of shared messages"));
    }
    let space = datatype::space(file, &mut space.bytes(file, "shape"))?;
    let shape = if space.null { vec![0] } else { space.dims.clone() };
    let place = || file.place(layout.address);
    let bytes = shape.iter().try_fold(datatype.size, |n, &d| n.checked_mul(d));
    let bytes = bytes.filter(|&b| b <= i64::MAX as u64);
    let bytes =
        bytes.ok_or_else(|| Error::malformed(place(), format!("shape {shape:?} cannot be counted")))?;
    let refuse = |what: String| -> Arc<dyn Storage> { Arc::new(Refused::new(bytes, place(), what, HELP)) };
    let filters = match of(FILTERS) {
        Some(message) => filters::read(&mut message.bytes(file, "filters"))?,
        None => Vec::new(),
    };
    let fill = fill(file, of(FILL), of(OLD_FILL), datatype.size)?;
    let unwritten = || -> Result<Arc<dyn Storage>> {
        if bytes > SLAB || !file.expands(bytes) {
            return Ok(refuse(format!("{bytes} bytes that were never written")));
        }
        let fill = fill.clone().unwrap_or_else(|| vec![0; datatype.size.min(bytes) as usize]);
        Ok(Arc::new(Filled::new(fill, bytes)))
    };
    let mut kept = (!filters.is_empty()).then(|| filters::describe(&filters));
    let storage = if of(EXTERNAL).is_some() {
        refuse("elements in files of their own".into())
    } else if bytes == 0 {
        file.source.storage(0, 0)?
    } else {
        match parse(file, layout)? {
            Layout::Compact(at, len) if len >= bytes => file.source.storage(at, bytes)?,
            Layout::Compact(_, len) => {
                return Err(Error::malformed(place(), format!("{len} bytes for {bytes} bytes of elements")));
            }
            Layout::Contiguous(address) if file.is_undefined(address) => unwritten()?,
            Layout::Contiguous(address) => file.source.storage(file.at(address), bytes)?,
            Layout::Other(what) => refuse(what),
            Layout::Chunked { dims, index, address } => {
                kept.get_or_insert_with(|| format!("chunks of {dims:?}"));
                let shape = chunks::Shape::new(&space.dims, &space.most, dims, datatype.size)
                    .ok_or_else(|| Error::malformed(place(), "chunks that do not fit their dataset"))?;
                if file.is_undefined(address) {
                    unwritten()?
                } else if let Some(unknown) = filters.iter().find_map(Filter::unread) {
                    refuse(format!("chunks under the filter {unknown}"))
                } else if shape.slab_bytes().is_none_or(|n| n > SLAB) {
                    refuse(format!("chunks of {:?} elements, too large to be read", shape.chunk))
                } else {
                    let filtered = !filters.is_empty();
                    let chunks = chunks::read(file, &shape, &index, address, filtered)?;
                    let stored = chunks.iter().map(|c| c.size).fold(0u64, u64::saturating_add);
                    let most = stored.saturating_mul(file.limits.inflate_ratio).saturating_add(16 << 20);
                    if bytes > most || !file.expands(bytes) {
                        refuse(format!("{bytes} bytes of elements, of which {stored} are stored"))
                    } else {
                        Arc::new(Chunked::new(file, shape, chunks, filters, fill, bytes))
                    }
                }
            }
        }
    };
    Ok(Some(Dataset { datatype, shape, storage, kept }))
}

/// The fill value, where one is stored.
fn fill(file: &File, new: Option<&Message>, old: Option<&Message>, size: u64) -> Result<Option<Vec<u8>>> {
    let value = |bytes: &mut Bytes<'_>| -> Result<Option<Vec<u8>>> {
        let len = u64::from(bytes.u32()?);
        (len == size && size > 0).then(|| bytes.take(len as usize).map(<[u8]>::to_vec)).transpose()
    };
    if let Some(message) = new.filter(|m| !m.shared) {
        let mut bytes = message.bytes(file, "fill value");
        return match bytes.u8()? {
            3 => match bytes.u8()? & 0x20 {
                0 => Ok(None),
                _ => value(&mut bytes),
            },
            version => {
                bytes.take(2)?;
                let defined = bytes.u8()? != 0;
                if defined || version == 1 { value(&mut bytes) } else { Ok(None) }
            }
        };
    }
    match old.filter(|m| !m.shared) {
        Some(message) => value(&mut message.bytes(file, "fill value")),
        None => Ok(None),
    }
}

enum Layout {
    /// Within the header: where in the source, and how many bytes.
    Compact(u64, u64),
    Contiguous(u64),
    Chunked {
        dims: Vec<u64>,
        index: Index,
        address: u64,
    },
    Other(String),
}

fn parse(file: &File, message: &Message) -> Result<Layout> {
    let mut bytes = message.bytes(file, "data layout");
    let at = |bytes: &Bytes<'_>| {
        file.at(message.address).saturating_add((message.body.len() - bytes.rest().len()) as u64)
    };
    let version = bytes.u8()?;
    if version < 3 {
        let rank = usize::from(bytes.u8()?);
        let class = bytes.u8()?;
        bytes.take(5)?;
        let address = if class == 0 { 0 } else { bytes.uint(file.offsets)? };
        let mut dims = (0..rank).map(|_| bytes.u32().map(u64::from)).collect::<Result<Vec<_>>>()?;
        return Ok(match class {
            0 => {
                let len = u64::from(bytes.u32()?);
                Layout::Compact(at(&bytes), len)
            }
            1 => Layout::Contiguous(address),
            2 => {
                // The last one is the element's size.
                dims.pop();
                Layout::Chunked { dims, index: Index::BTree1, address }
            }
            _ => Layout::Other(format!("a layout of class {class}")),
        });
    }
    let class = bytes.u8()?;
    Ok(match class {
        0 => {
            let len = u64::from(bytes.u16()?);
            Layout::Compact(at(&bytes), len)
        }
        1 => Layout::Contiguous(bytes.uint(file.offsets)?),
        2 if version == 3 => {
            let rank = usize::from(bytes.u8()?);
            let address = bytes.uint(file.offsets)?;
            let dims = (1..rank).map(|_| bytes.u32().map(u64::from)).collect::<Result<Vec<_>>>()?;
            Layout::Chunked { dims, index: Index::BTree1, address }
        }
        2 => {
            let flags = bytes.u8()?;
            let (rank, width) = (usize::from(bytes.u8()?), usize::from(bytes.u8()?));
            let mut dims = (0..rank).map(|_| bytes.uint(width)).collect::<Result<Vec<_>>>()?;
            dims.pop();
            let index = match bytes.u8()? {
                1 if flags & 2 != 0 => {
                    let (size, mask) = (bytes.uint(file.lengths)?, bytes.u32()?);
                    Index::Single(Some((size, mask)))
                }
                1 => Index::Single(None),
                2 => Index::Implicit,
                3 => {
                    bytes.take(1)?;
                    Index::FixedArray
                }
                4 => {
                    bytes.take(5)?;
                    Index::ExtensibleArray
                }
                5 => {
                    bytes.take(6)?;
                    Index::BTree2
                }
                other => return Ok(Layout::Other(format!("a chunk index of type {other}"))),
            };
            Layout::Chunked { dims, index, address: bytes.uint(file.offsets)? }
        }
        3 => Layout::Other("a virtual dataset, over other files".into()),
        _ => Layout::Other(format!("a layout of class {class}")),
    })
}
