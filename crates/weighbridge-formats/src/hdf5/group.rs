//! The links of a group, in whichever of the three ways they are kept.

use weighbridge_model::Result;

use super::bytes::Bytes;
use super::file::File;
use super::header::Message;
use super::{btree, heap};

/// Where a link leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An object of this file.
    Object(u64),
    /// A path, in this file or another: not followed.
    Elsewhere,
}

const LINK_INFO: u16 = 2;
const LINK: u16 = 6;
const SYMBOL_TABLE: u16 = 0x11;

/// The links of the group that these messages describe, by name; `None` where they describe no group.
pub fn links(file: &File, messages: &[Message]) -> Result<Option<Vec<(String, Target)>>> {
    let mut found = Vec::new();
    let mut is_group = false;
    for message in messages {
        match message.kind {
            SYMBOL_TABLE => symbols(file, message, &mut found)?,
            LINK => found.push(link(file, &mut message.bytes(file, "link"))?),
            LINK_INFO => dense(file, message, &mut found)?,
            // What a group without links has, if nothing else.
            0xa => {}
            _ => continue,
        }
        is_group = true;
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(is_group.then_some(found))
}

fn symbols(file: &File, message: &Message, found: &mut Vec<(String, Target)>) -> Result<()> {
    let mut bytes = message.bytes(file, "symbol table");
    let (tree, names) = (bytes.uint(file.offsets)?, bytes.uint(file.offsets)?);
    let names = heap::local(file, names)?;
    btree::v1(file, tree, 0, file.lengths, &mut |_, address| {
        let head = file.window(address, 8)?;
        let mut bytes = Bytes::new(&head, file.place(address), "symbol node");
        bytes.signature(b"SNOD")?;
        bytes.take(2)?;
        let count = u64::from(bytes.u16()?);
        let body = file.window(address.saturating_add(8), count * (2 * file.offsets as u64 + 24))?;
        let mut bytes = Bytes::new(&body, file.place(address), "symbol node");
        for _ in 0..count {
            let (name, object) = (bytes.uint(file.offsets)?, bytes.uint(file.offsets)?);
            let is_path = bytes.u32()? == 2;
            bytes.take(20)?;
            let name = names.get(usize::try_from(name).unwrap_or(usize::MAX)..);
            let name = name.ok_or_else(|| bytes.fault("a name outside of its heap"))?;
            let name = Bytes::new(name, file.place(address), "symbol name").text()?;
            found.push((name, if is_path { Target::Elsewhere } else { Target::Object(object) }));
        }
        Ok(())
    })
}

fn link(file: &File, bytes: &mut Bytes<'_>) -> Result<(String, Target)> {
    bytes.u8()?;
    let flags = bytes.u8()?;
    let kind = if flags & 8 != 0 { bytes.u8()? } else { 0 };
    bytes.take(if flags & 4 != 0 { 8 } else { 0 })?;
    bytes.take(if flags & 16 != 0 { 1 } else { 0 })?;
    let len = usize::try_from(bytes.uint(1 << (flags & 3))?).unwrap_or(usize::MAX);
    let name = String::from_utf8_lossy(bytes.take(len)?).into_owned();
    let target = if kind == 0 { Target::Object(bytes.uint(file.offsets)?) } else { Target::Elsewhere };
    Ok((name, target))
}

fn dense(file: &File, message: &Message, found: &mut Vec<(String, Target)>) -> Result<()> {
    let mut bytes = message.bytes(file, "link information");
    bytes.u8()?;
    let flags = bytes.u8()?;
    bytes.take(if flags & 1 != 0 { 8 } else { 0 })?;
    let (objects, names) = (bytes.uint(file.offsets)?, bytes.uint(file.offsets)?);
    if file.is_undefined(objects) {
        return Ok(());
    }
    let heap = heap::Fractal::open(file, objects)?;
    btree::v2(file, names, &mut |record| {
        // The hash of the name comes first.
        let object = heap.object(file, record.get(4..).unwrap_or_default())?;
        found.push(link(file, &mut Bytes::new(&object, file.place(objects), "link"))?);
        Ok(())
    })
}
