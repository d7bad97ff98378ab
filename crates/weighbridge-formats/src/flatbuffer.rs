//! The wire format of FlatBuffers: tables, vectors and strings that refer to each other by offsets. Knows no schema:
//! slots get their meaning from whoever walks.
//!
//! | what | bytes |
//! |---|---|
//! | file | `u32` offset of the root table, then four bytes of identifier |
//! | table | `i32` distance back to its vtable, then its fields |
//! | vtable | `u16` its own length, `u16` length of the table, then a `u16` a slot: the field's place in the table, or 0 |
//! | reference | `u32` distance forward, from where it stands |
//! | vector, string | `u32` count, then the elements |
//!
//! References may meet: many tables may share a vtable, a vector or a string. What a hostile file could repeat without
//! end that way is held against an allowance that grows with the file.

use std::cell::Cell;

use weighbridge_model::{Error, Place, Result};

use crate::source::Source;

/// What looking at a table costs, in bytes of the allowance: about what the smallest useful one takes.
const TABLE_COST: u64 = 16;

/// A buffer being walked.
#[derive(Debug)]
pub struct Flat<'a> {
    source: &'a Source,
    allowance: Cell<u64>,
}

impl<'a> Flat<'a> {
    /// A walk of the whole source.
    pub fn new(source: &'a Source, most: u64) -> Self {
        Flat { source, allowance: Cell::new(source.len().saturating_add(4096).min(most)) }
    }

    /// The root table.
    pub fn root(&self) -> Result<Table<'_>> {
        self.table(self.follow(0)?)
    }

    fn fixed<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let bytes = self.source.window(at, N as u64)?;
        Ok(<[u8; N]>::try_from(&bytes[..]).unwrap_or([0; N]))
    }

    fn follow(&self, at: u64) -> Result<u64> {
        let distance = u32::from_le_bytes(self.fixed(at)?);
        let to = at + u64::from(distance);
        if distance == 0 || to >= self.source.len() {
            return Err(self.fault(at, format!("a reference {distance} bytes forward leads nowhere")));
        }
        Ok(to)
    }

    fn fault(&self, at: u64, what: impl Into<String>) -> Error {
        Error::malformed(self.source.place(at), what)
    }

    fn spend(&self, at: u64, cost: u64) -> Result<()> {
        match self.allowance.get().checked_sub(cost) {
            Some(left) => {
                self.allowance.set(left);
                Ok(())
            }
            None => Err(self.fault(at, "tables refer to the same parts more often than any writer would")),
        }
    }

    fn table(&self, at: u64) -> Result<Table<'_>> {
        self.spend(at, TABLE_COST)?;
        let back = i64::from(i32::from_le_bytes(self.fixed(at)?));
        let vtable = (at as i64).checked_sub(back).and_then(|v| u64::try_from(v).ok());
        let vtable = vtable.ok_or_else(|| self.fault(at, "its vtable stands before the file"))?;
        let head: [u8; 4] = self.fixed(vtable)?;
        let vtable_len = u16::from_le_bytes([head[0], head[1]]);
        let len = u16::from_le_bytes([head[2], head[3]]);
        if vtable_len < 4 || !vtable_len.is_multiple_of(2) || len < 4 {
            return Err(self.fault(vtable, format!("a vtable of {vtable_len} bytes for a table of {len}")));
        }
        self.source.window(vtable, u64::from(vtable_len))?;
        self.source.window(at, u64::from(len))?;
        Ok(Table { flat: self, at, len, vtable, vtable_len })
    }
}

/// A table, whose bounds and vtable have been checked.
#[derive(Debug, Clone, Copy)]
pub struct Table<'a> {
    flat: &'a Flat<'a>,
    at: u64,
    len: u16,
    vtable: u64,
    vtable_len: u16,
}

impl<'a> Table<'a> {
    /// The place of its first byte, for errors.
    pub fn place(&self) -> Place {
        self.flat.source.place(self.at)
    }

    /// Where the field in `slot` stands; `None` where it has its default.
    fn field(&self, slot: u16, width: u16) -> Result<Option<u64>> {
        let entry = 4 + u32::from(slot) * 2;
        if entry + 2 > u32::from(self.vtable_len) {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(self.flat.fixed(self.vtable + u64::from(entry))?);
        if offset == 0 {
            return Ok(None);
        }
        if offset < 4 || u32::from(offset) + u32::from(width) > u32::from(self.len) {
            let what = format!("field {slot} stands at byte {offset} of a table of {} bytes", self.len);
            return Err(self.flat.fault(self.at, what));
        }
        Ok(Some(self.at + u64::from(offset)))
    }

    fn scalar<const N: usize>(&self, slot: u16) -> Result<Option<[u8; N]>> {
        self.field(slot, N as u16)?.map(|at| self.flat.fixed(at)).transpose()
    }

    /// A byte, or 0.
    pub fn u8(&self, slot: u16) -> Result<u8> {
        Ok(self.scalar::<1>(slot)?.map_or(0, |b| b[0]))
    }

    /// An `f32`, or 0.
    pub fn f32(&self, slot: u16) -> Result<f32> {
        Ok(self.scalar(slot)?.map_or(0.0, f32::from_le_bytes))
    }

    /// An `i32`, or what its default is.
    pub fn i32(&self, slot: u16, default: i32) -> Result<i32> {
        Ok(self.scalar(slot)?.map_or(default, i32::from_le_bytes))
    }

    /// A `u32`, or 0.
    pub fn u32(&self, slot: u16) -> Result<u32> {
        Ok(self.scalar(slot)?.map_or(0, u32::from_le_bytes))
    }

    /// A `u64`, or 0.
    pub fn u64(&self, slot: u16) -> Result<u64> {
        Ok(self.scalar(slot)?.map_or(0, u64::from_le_bytes))
    }

    /// The table that a field refers to.
    pub fn table(&self, slot: u16) -> Result<Option<Table<'a>>> {
        let Some(at) = self.field(slot, 4)? else { return Ok(None) };
        self.flat.table(self.flat.follow(at)?).map(Some)
    }

    /// The vector that a field refers to, of elements of `width` bytes: where its elements stand, and how many there are.
    fn vector(&self, slot: u16, width: u64) -> Result<Option<(u64, u64)>> {
        let Some(at) = self.field(slot, 4)? else { return Ok(None) };
        let at = self.flat.follow(at)?;
        let count = u64::from(u32::from_le_bytes(self.flat.fixed(at)?));
        let left = self.flat.source.len() - (at + 4);
        if count.checked_mul(width).is_none_or(|bytes| bytes > left) {
            let what = format!("a vector of {count} elements of {width} bytes, and the file has {left} left");
            return Err(self.flat.fault(at, what));
        }
        Ok(Some((at + 4, count)))
    }

    /// Where a vector of bytes stands in the source, and its length.
    pub fn bytes(&self, slot: u16) -> Result<Option<(u64, u64)>> {
        self.vector(slot, 1)
    }

    /// A string; bytes that are no UTF-8 become U+FFFD.
    pub fn text(&self, slot: u16) -> Result<Option<String>> {
        let Some((at, len)) = self.vector(slot, 1)? else { return Ok(None) };
        self.flat.spend(at, len)?;
        Ok(Some(String::from_utf8_lossy(&self.flat.source.window(at, len)?).into_owned()))
    }

    fn numbers<const N: usize, T>(&self, slot: u16, read: fn([u8; N]) -> T) -> Result<Vec<T>> {
        let Some((at, count)) = self.vector(slot, N as u64)? else { return Ok(Vec::new()) };
        self.flat.spend(at, count * N as u64)?;
        let bytes = self.flat.source.window(at, count * N as u64)?;
        Ok(bytes.as_chunks::<N>().0.iter().map(|&b| read(b)).collect())
    }

    /// Where a vector of elements of `width` bytes stands in the source, and how many there are.
    pub fn elements(&self, slot: u16, width: u64) -> Result<Option<(u64, u64)>> {
        let found = self.vector(slot, width)?;
        if let Some((at, count)) = found {
            self.flat.spend(at, count * width)?;
        }
        Ok(found)
    }

    /// A vector of `i32`; empty where there is none.
    pub fn i32s(&self, slot: u16) -> Result<Vec<i32>> {
        self.numbers(slot, i32::from_le_bytes)
    }

    /// A vector of `i64`; empty where there is none.
    pub fn i64s(&self, slot: u16) -> Result<Vec<i64>> {
        self.numbers(slot, i64::from_le_bytes)
    }

    /// A vector of `f32`; empty where there is none.
    pub fn f32s(&self, slot: u16) -> Result<Vec<f32>> {
        self.numbers(slot, f32::from_le_bytes)
    }

    /// The tables that a vector refers to, one after another.
    pub fn tables(&self, slot: u16) -> Result<impl Iterator<Item = Result<Table<'a>>> + use<'a>> {
        let (at, count) = self.vector(slot, 4)?.unwrap_or((0, 0));
        let flat = self.flat;
        Ok((0..count).map(move |i| flat.table(flat.follow(at + 4 * i)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root table with an `i32` of 7 in slot 0 and, in slot 2, a vector of `i32` that states `count` elements.
    fn bytes(count: u32) -> Vec<u8> {
        let mut bytes = vec![16, 0, 0, 0, 10, 0, 12, 0, 4, 0, 0, 0, 8, 0, 0, 0];
        bytes.extend(12i32.to_le_bytes());
        bytes.extend(7i32.to_le_bytes());
        bytes.extend(4u32.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(9i32.to_le_bytes());
        bytes
    }

    #[test]
    fn fields_are_read_and_absent_ones_have_their_default() {
        let source = Source::memory("m", bytes(1));
        let flat = Flat::new(&source, 1 << 20);
        let root = flat.root().unwrap();
        assert_eq!(root.i32(0, 3).unwrap(), 7);
        assert_eq!(root.i32(1, 3).unwrap(), 3);
        assert_eq!(root.i32(9, 3).unwrap(), 3);
        assert_eq!(root.i32s(2).unwrap(), [9]);
    }

    #[test]
    fn a_vector_beyond_the_file_is_refused() {
        let source = Source::memory("m", bytes(2));
        let flat = Flat::new(&source, 1 << 20);
        let error = flat.root().unwrap().i32s(2).unwrap_err().to_string();
        assert!(error.contains("a vector of 2 elements of 4 bytes, and the file has 4 left"), "{error}");
    }

    #[test]
    fn what_is_repeated_is_paid_for() {
        let source = Source::memory("m", bytes(1));
        let flat = Flat::new(&source, 64);
        let root = flat.root().unwrap();
        let failed = (0..100).find_map(|_| root.i32s(2).err()).unwrap().to_string();
        assert!(failed.contains("more often than any writer would"), "{failed}");
    }
}
