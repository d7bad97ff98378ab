//! Heaps: local ones for the names of old groups, fractal ones for links and attributes, global ones for text.

use weighbridge_model::{Error, Result};

use super::bytes::Bytes;
use super::file::File;

/// The data of the local heap at `address`.
pub fn local(file: &File, address: u64) -> Result<Vec<u8>> {
    let head = file.window(address, 8 + (2 * file.lengths + file.offsets) as u64)?;
    let mut bytes = Bytes::new(&head, file.place(address), "local heap");
    bytes.signature(b"HEAP")?;
    bytes.take(4)?;
    let len = bytes.uint(file.lengths)?;
    bytes.take(file.lengths)?;
    let at = bytes.uint(file.offsets)?;
    Ok(file.window(at, len)?.into_owned())
}

/// The object `index` of the global heap collection at `address`.
pub fn global(file: &File, address: u64, index: u32) -> Result<Vec<u8>> {
    let head = file.window(address, 8 + file.lengths as u64)?;
    let mut bytes = Bytes::new(&head, file.place(address), "global heap");
    bytes.signature(b"GCOL")?;
    bytes.take(4)?;
    let len = bytes.uint(file.lengths)?;
    let window = file.window(address, len)?;
    let mut bytes = Bytes::new(&window, file.place(address), "global heap");
    bytes.take(8 + file.lengths)?;
    while bytes.rest().len() >= 8 + file.lengths {
        let found = bytes.u16()?;
        bytes.take(6)?;
        let size = usize::try_from(bytes.uint(file.lengths)?).unwrap_or(usize::MAX);
        if found == 0 {
            break;
        }
        let data = bytes.take(size)?;
        if u32::from(found) == index {
            return Ok(data.to_vec());
        }
        let padding = (size.wrapping_neg() % 8).min(bytes.rest().len());
        bytes.take(padding)?;
    }
    Err(bytes.fault(format!("object {index} is missing")))
}

/// A fractal heap, whose objects are found by their ids.
#[derive(Debug)]
pub struct Fractal {
    width: u64,
    start: u64,
    largest: u64,
    offset_bytes: usize,
    length_bytes: usize,
    root: u64,
    rows: u64,
}

impl Fractal {
    /// Reads the heap's header.
    pub fn open(file: &File, address: u64) -> Result<Self> {
        let head = file.window(address, 26 + (12 * file.lengths + 3 * file.offsets) as u64)?;
        let mut bytes = Bytes::new(&head, file.place(address), "fractal heap");
        bytes.signature(b"FRHP")?;
        bytes.take(3)?;
        let filtered = bytes.u16()?;
        bytes.u8()?;
        let managed = u64::from(bytes.u32()?);
        bytes.take(10 * file.lengths + 2 * file.offsets)?;
        let width = u64::from(bytes.u16()?);
        let (start, largest) = (bytes.uint(file.lengths)?, bytes.uint(file.lengths)?);
        let bits = bytes.u16()?;
        bytes.u16()?;
        let root = bytes.uint(file.offsets)?;
        let rows = u64::from(bytes.u16()?);
        if filtered != 0 {
            return Err(Error::unsupported(file.place(address), "a fractal heap that is compressed"));
        }
        let powers = width.is_power_of_two() && start.is_power_of_two() && largest.is_power_of_two();
        if !powers || bits > 64 || start > largest || largest > 1 << 32 {
            let what = format!("{width} blocks of {start} to {largest} bytes, of 2^{bits}");
            return Err(bytes.fault(what));
        }
        let bytes_of = |n: u64| (n.max(1).ilog2() / 8 + 1) as usize;
        Ok(Fractal {
            width,
            start,
            largest,
            offset_bytes: usize::from(bits).div_ceil(8),
            length_bytes: bytes_of(largest).min(bytes_of(managed)),
            root,
            rows,
        })
    }

    /// The object of this id.
    pub fn object(&self, file: &File, id: &[u8]) -> Result<Vec<u8>> {
        let mut bytes = Bytes::new(id, file.place(self.root), "heap id");
        let flags = bytes.u8()?;
        match flags >> 4 & 3 {
            0 => {}
            2 => {
                let len = usize::from(flags & 15) + 1;
                return Ok(bytes.take(len)?.to_vec());
            }
            _ => return Err(Error::unsupported(file.place(self.root), "a huge object in a fractal heap")),
        }
        let (offset, len) = (bytes.uint(self.offset_bytes)?, bytes.uint(self.length_bytes)?);
        let (block, within, size) = self.block(file, offset)?;
        if within.saturating_add(len) > size {
            return Err(bytes.fault("an object that leaves its block"));
        }
        Ok(file.window(block.saturating_add(within), len)?.into_owned())
    }

    /// Size of the blocks in a row.
    fn size(&self, row: u64) -> u64 {
        self.start.checked_shl(row.saturating_sub(1) as u32).unwrap_or(u64::MAX)
    }

    /// The direct block that holds `offset`: its address, the offset within it, and its size.
    fn block(&self, file: &File, offset: u64) -> Result<(u64, u64, u64)> {
        let (mut address, mut rows, mut offset) = (self.root, self.rows, offset);
        if rows == 0 {
            return Ok((address, offset, self.start.max(self.largest)));
        }
        let direct = u64::from(self.largest.ilog2() - self.start.ilog2()) + 2;
        for _ in 0..64 {
            let fault = |what: &str| Error::malformed(file.place(address), format!("fractal heap: {what}"));
            let mut row = 0;
            while row < rows && row < 64 && offset >= self.size(row).saturating_mul(self.width) {
                offset -= self.size(row).saturating_mul(self.width);
                row += 1;
            }
            if row >= rows || row >= 64 {
                return Err(fault("an object beyond its blocks"));
            }
            let column = offset / self.size(row);
            let within = offset % self.size(row);
            let prefix = (5 + file.offsets + self.offset_bytes) as u64;
            let entry = prefix + (row * self.width + column) * file.offsets as u64;
            let head = file.window(address, 4)?;
            Bytes::new(&head, file.place(address), "fractal heap block").signature(b"FHIB")?;
            let window = file.window(address.saturating_add(entry), file.offsets as u64)?;
            let child = Bytes::new(&window, file.place(address), "fractal heap block").uint(file.offsets)?;
            if row < direct {
                return Ok((child, within, self.size(row)));
            }
            rows = u64::from((self.size(row) / self.start / self.width).max(1).ilog2()) + 1;
            (address, offset) = (child, within);
        }
        Err(Error::malformed(file.place(address), "fractal heap: blocks without end"))
    }
}
