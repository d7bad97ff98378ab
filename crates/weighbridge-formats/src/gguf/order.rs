//! Blocks in big-endian files: there are two kinds, and nothing in the file tells which.
//!
//! A big-endian machine keeps the numbers within a block in its own order, and `gguf_convert_endian.py` swaps them so.
//! `gguf-py`'s writer takes blocks, and BF16, as bytes, and leaves them as its little-endian machine made them. Scales
//! tell: those of one model are of like size, and in the wrong order their exponents are anything.

use std::sync::Arc;

use weighbridge_model::{DType, Finding, Result, Severity, Storage};

/// Blocks of a tensor that are looked at, and tensors.
const BLOCKS: u64 = 64;
const TENSORS: usize = 16;

/// Whether the blocks look as if they were in little-endian order; not where that is undecided.
///
/// # Errors
/// A failed read.
pub(super) fn blocks_are_little(tensors: &[(Option<DType>, &Arc<dyn Storage>)]) -> Result<bool> {
    let (mut little, mut big) = (0u32, 0u32);
    let looked_at = tensors.iter().filter_map(|(dtype, storage)| Some((Number::of((*dtype)?)?, storage)));
    for (number, storage) in looked_at.take(TENSORS) {
        let len = storage.len() / number.every * number.every;
        let mut bytes = vec![0; len.min(number.every * BLOCKS) as usize];
        storage.read_at(0, &mut bytes)?;
        for block in bytes.chunks_exact(number.every as usize) {
            let pair = [block[number.at], block[number.at + 1]];
            little += u32::from(number.is_usual(u16::from_le_bytes(pair)));
            big += u32::from(number.is_usual(u16::from_be_bytes(pair)));
        }
    }
    Ok(little > big)
}

/// A number of 16 bits that comes again every so many bytes.
struct Number {
    at: usize,
    every: u64,
    /// Where its exponent begins.
    mantissa: u32,
    exponents: std::ops::RangeInclusive<u16>,
}

impl Number {
    fn of(dtype: DType) -> Option<Number> {
        match dtype {
            // Weights: magnitudes from 2^-24 to 8.
            DType::BF16 => Some(Number { at: 0, every: 2, mantissa: 7, exponents: 103..=130 }),
            // Scales: from 2^-13 to 1/4.
            DType::Block(block) => {
                let scale = block.fields().iter().find(|f| f.width == 2 && f.count <= 2)?;
                Some(Number { at: scale.at, every: block.bytes(), mantissa: 10, exponents: 2..=12 })
            }
            _ => None,
        }
    }

    fn is_usual(&self, bits: u16) -> bool {
        self.exponents.contains(&((bits & 0x7fff) >> self.mantissa))
    }
}

/// Says what was found.
pub(super) fn finding() -> Finding {
    Finding::new(
        "G104",
        Severity::Info,
        "the file is big-endian, and its blocks are little-endian, as gguf-py leaves them",
        "they are read so; a big-endian machine would take their scales for other numbers",
    )
}
