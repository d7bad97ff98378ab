//! The stream of before 1.6: five pickles in a row, then the storages. The module that reads it has the table.

use super::storages::Stored;
use crate::output::Output;
use crate::pickle::write::Pickler;
use weighbridge_model::Result;

/// The magic number 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// Everything before the storages.
pub(super) fn head(object: &[u8], storages: &[Stored]) -> Vec<u8> {
    let pickle = |push: &dyn Fn(&mut Pickler)| {
        let mut out = Pickler::new();
        push(&mut out);
        out.finish()
    };
    let mut head = pickle(&|o| o.long(&MAGIC));
    head.extend(pickle(&|o| o.int(PROTOCOL)));
    head.extend(pickle(&system));
    head.extend(object);
    head.extend(pickle(&|o| {
        o.list(|o| (0..storages.len()).for_each(|key| o.text(&key.to_string())));
    }));
    head
}

/// What torch notes of the machine, as it stands in a file of any of today's.
fn system(out: &mut Pickler) {
    out.dict(|o| {
        o.text("protocol_version");
        o.int(PROTOCOL);
        o.text("little_endian");
        o.yes();
        o.text("type_sizes");
        o.dict(|o| {
            for (name, size) in [("short", 2), ("int", 4), ("long", 4)] {
                o.text(name);
                o.int(size);
            }
        });
    });
}

/// Bytes of the storages behind the head.
pub(super) fn data_len(storages: &[Stored]) -> u64 {
    storages.iter().fold(0, |sum: u64, s| sum.saturating_add(8).saturating_add(s.tensor.bytes()))
}

/// Writes the storages, each behind its count.
pub(super) fn data(storages: &[Stored], output: &mut Output<'_>) -> Result<()> {
    storages.iter().try_for_each(|stored| {
        output.bytes(&stored.count().to_le_bytes())?;
        output.elements(&stored.tensor, &mut |_| {})
    })
}
