#![no_main]

//! Files of TensorFlow. The checksums of a table's blocks are made to fit first: nothing would come past them otherwise.

const MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57_u64.to_le_bytes();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    if bytes.ends_with(&MAGIC) && bytes.len() >= 48 {
        mend(&mut bytes);
    }
    weighbridge_fuzz::look_at("tensorflow", &bytes);
});

/// Puts the right checksums after the index and the blocks that it names.
fn mend(bytes: &mut [u8]) {
    let footer = bytes[bytes.len() - 48..].to_vec();
    let mut at = 0;
    let numbers: Vec<Option<u64>> = (0..4).map(|_| varint(&footer, &mut at)).collect();
    let [_, _, Some(offset), Some(len)] = numbers[..] else { return };
    let Some(index) = seal(bytes, offset, len) else { return };
    at = 0;
    for _ in 0..256 {
        let [Some(_), Some(further), Some(value)] = [0; 3].map(|_| varint(&index, &mut at)) else { return };
        let Some(start) = usize::try_from(further).ok().and_then(|n| at.checked_add(n)) else { return };
        let mut within = start;
        let handle = (varint(&index, &mut within), varint(&index, &mut within));
        let (Some(block), Some(len)) = handle else { return };
        seal(bytes, block, len);
        at = start.saturating_add(value as usize);
    }
}

/// Writes the checksum of a block; returns what the block holds.
fn seal(bytes: &mut [u8], offset: u64, len: u64) -> Option<Vec<u8>> {
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?.checked_add(1)?;
    let content = bytes.get(start..end)?.to_vec();
    let mut crc = !0u32;
    for &byte in &content {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    let masked = (!crc).rotate_right(15).wrapping_add(0xa282_ead8);
    bytes.get_mut(end..end.checked_add(4)?)?.copy_from_slice(&masked.to_le_bytes());
    Some(content)
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
