//! B-trees of both versions: version 1 under old groups and chunks, version 2 under new ones.

use weighbridge_model::Result;

use super::bytes::Bytes;
use super::file::File;

/// Visits the leaves of a version 1 tree: each key of `key` bytes, with the address below it.
pub fn v1(
    file: &File,
    address: u64,
    kind: u8,
    key: usize,
    visit: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    node_v1(file, address, kind, key, None, visit)
}

fn node_v1(
    file: &File,
    address: u64,
    kind: u8,
    key: usize,
    level: Option<u8>,
    visit: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let head = file.window(address, 8 + 2 * file.offsets as u64)?;
    let mut bytes = Bytes::new(&head, file.place(address), "B-tree node");
    bytes.signature(b"TREE")?;
    let (found, this) = (bytes.u8()?, bytes.u8()?);
    if found != kind || level.is_some_and(|l| l != this) {
        return Err(bytes.fault(format!("type {found} and level {this} are not what belongs here")));
    }
    let entries = usize::from(bytes.u16()?);
    let len = entries * (key + file.offsets);
    let body = file.window(address.saturating_add(head.len() as u64), len as u64)?;
    let mut bytes = Bytes::new(&body, file.place(address), "B-tree node");
    for _ in 0..entries {
        let key_bytes = bytes.take(key)?;
        let child = bytes.uint(file.offsets)?;
        match this.checked_sub(1) {
            None => visit(key_bytes, child)?,
            Some(below) => node_v1(file, child, kind, key, Some(below), visit)?,
        }
    }
    Ok(())
}

/// What the nodes of a version 2 tree have in common.
struct Shape {
    kind: u8,
    node: u64,
    record: usize,
    /// Bytes of the number of records in a child.
    count: usize,
    /// Bytes of the number of records below a child, for each depth.
    below: Vec<usize>,
}

/// Deepest tree that is followed; each level multiplies by dozens.
const DEPTH: u16 = 12;

/// Visits the records of a version 2 tree of the type `kind`, in order.
pub fn v2(file: &File, address: u64, visit: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let head = file.window(address, 22 + (file.offsets + file.lengths) as u64)?;
    let mut bytes = Bytes::new(&head, file.place(address), "B-tree header");
    bytes.signature(b"BTHD")?;
    bytes.u8()?;
    let kind = bytes.u8()?;
    let node = u64::from(bytes.u32()?);
    let record = usize::from(bytes.u16()?);
    let depth = bytes.u16()?;
    bytes.take(2)?;
    let root = bytes.uint(file.offsets)?;
    let count = u64::from(bytes.u16()?);
    if record == 0 || node < 10 + record as u64 || depth > DEPTH {
        return Err(bytes.fault(format!("nodes of {node} bytes, records of {record}, depth {depth}")));
    }
    if file.is_undefined(root) {
        return Ok(());
    }
    let width = |most: u64| (most.max(1).ilog2() / 8 + 1) as usize;
    let leaf = (node - 10) / record as u64;
    let mut shape = Shape { kind, node, record, count: width(leaf), below: vec![0] };
    let mut most = leaf;
    for level in 1..depth {
        let pointer = file.offsets + shape.count + shape.below[usize::from(level) - 1];
        let here = node.saturating_sub(10 + pointer as u64) / (record + pointer) as u64;
        most = most.saturating_mul(here + 1).saturating_add(here);
        shape.below.push(width(most).min(8));
    }
    node_v2(file, &shape, root, count, depth, visit)
}

fn node_v2(
    file: &File,
    shape: &Shape,
    address: u64,
    count: u64,
    depth: u16,
    visit: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let window = file.window(address, shape.node)?;
    let mut bytes = Bytes::new(&window, file.place(address), "B-tree node");
    bytes.signature(if depth == 0 { b"BTLF" } else { b"BTIN" })?;
    bytes.u8()?;
    if bytes.u8()? != shape.kind {
        return Err(bytes.fault("another type than its tree's"));
    }
    let mut records = (0..count).map(|_| bytes.take(shape.record)).collect::<Result<Vec<_>>>()?.into_iter();
    if depth == 0 {
        return records.try_for_each(visit);
    }
    for _ in 0..=count {
        let child = bytes.uint(file.offsets)?;
        let below = bytes.uint(shape.count)?;
        bytes.take(shape.below.get(usize::from(depth) - 1).copied().unwrap_or(0))?;
        node_v2(file, shape, child, below, depth - 1, visit)?;
        if let Some(record) = records.next() {
            visit(record)?;
        }
    }
    Ok(())
}
