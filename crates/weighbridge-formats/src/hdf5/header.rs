//! Object headers of both versions: the messages that describe a group or a dataset.

use std::collections::HashSet;

use weighbridge_model::Result;

use super::bytes::Bytes;
use super::file::File;

/// A message of an object header.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its type.
    pub kind: u16,
    /// Whether its body refers to another object's message.
    pub shared: bool,
    /// Its body.
    pub body: Vec<u8>,
    /// Address of its body.
    pub address: u64,
}

impl Message {
    /// Reads the body.
    pub fn bytes<'a>(&'a self, file: &File, what: &'static str) -> Bytes<'a> {
        Bytes::new(&self.body, file.place(self.address), what)
    }
}

/// Type of the message that continues a header elsewhere.
const CONTINUATION: u16 = 0x10;

/// All messages of the object at `address`, continuations followed.
pub fn messages(file: &File, address: u64) -> Result<Vec<Message>> {
    let head = file.prefix(address, 40)?;
    let mut bytes = Bytes::new(&head, file.place(address), "object header");
    let mut found = Vec::new();
    let mut blocks = Vec::new();
    let ordered;
    let new = bytes.rest().starts_with(b"OHDR");
    if new {
        bytes.take(5)?;
        let flags = bytes.u8()?;
        bytes.take(if flags & 0x20 != 0 { 16 } else { 0 })?;
        bytes.take(if flags & 0x10 != 0 { 4 } else { 0 })?;
        let len = bytes.uint(1 << (flags & 3))?;
        ordered = flags & 4 != 0;
        blocks.push((address + (head.len() - bytes.rest().len()) as u64, len));
    } else {
        let version = bytes.u8()?;
        if version != 1 {
            return Err(bytes.fault(format!("version {version} is not known")));
        }
        bytes.take(7)?;
        ordered = false;
        blocks.push((address.saturating_add(16), u64::from(bytes.u32()?)));
    }
    let mut seen = HashSet::new();
    while let Some((at, len)) = blocks.pop() {
        if !seen.insert(at) {
            return Err(bytes.fault("it continues in a circle"));
        }
        block(file, (at, len), new, ordered, &mut found, &mut blocks)?;
    }
    Ok(found)
}

fn block(
    file: &File,
    (at, len): (u64, u64),
    new: bool,
    ordered: bool,
    found: &mut Vec<Message>,
    blocks: &mut Vec<(u64, u64)>,
) -> Result<()> {
    let window = file.window(at, len)?;
    let mut bytes = Bytes::new(&window, file.place(at), "object header");
    let overhead = if !new { 8 } else { 4 + if ordered { 2 } else { 0 } };
    while bytes.rest().len() >= overhead {
        let kind = if new { u16::from(bytes.u8()?) } else { bytes.u16()? };
        let size = usize::from(bytes.u16()?);
        let flags = bytes.u8()?;
        bytes.take(overhead - if new { 4 } else { 5 })?;
        let address = at + (window.len() - bytes.rest().len()) as u64;
        let body = bytes.take(size)?;
        if kind == CONTINUATION {
            let mut body = Bytes::new(body, file.place(address), "header continuation");
            let (to, len) = (body.uint(file.offsets)?, body.uint(file.lengths)?);
            // A new one begins with a signature and ends with a checksum.
            blocks.push(if new { (to.saturating_add(4), len.saturating_sub(8)) } else { (to, len) });
        } else if kind != 0 {
            found.push(Message { kind, shared: flags & 2 != 0, body: body.to_vec(), address });
        }
    }
    Ok(())
}
