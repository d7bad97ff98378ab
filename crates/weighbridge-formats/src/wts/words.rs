//! Words of a line as a storage: decoded as they are read, never kept.

use std::ops::Range;

use weighbridge_model::storage::ChunkVisitor;
use weighbridge_model::{DType, Error, Place, Result, Storage};

use crate::source::Source;

/// Words between two places that are noted where words differ in length.
const MARK: u64 = 1 << 16;
/// Bytes that are looked at together.
const WINDOW: u64 = 1 << 20;
/// Words that are decoded together.
const BATCH: u64 = 1 << 14;
/// Length of a usual word with the space behind it.
const PITCH: u64 = 9;

/// Where the words of a line stand.
#[derive(Debug)]
pub enum Places {
    /// Eight digits each, one space between.
    Even {
        /// The first digit.
        start: u64,
        /// Behind the last word.
        end: u64,
    },
    /// Anything else: the place of every [`MARK`]th word.
    Marked {
        /// In order.
        marks: Vec<u64>,
        /// Behind the last word.
        end: u64,
    },
}

impl Places {
    /// Finds `count` words behind `at`, all on one line. Even ones are found by arithmetic; that they are words is
    /// seen when they are read.
    ///
    /// # Errors
    /// A line of fewer or more words.
    pub fn find(source: &Source, at: u64, count: u64) -> Result<Places> {
        if let Some(even) = even(source, at, count)? {
            return Ok(even);
        }
        let (mut marks, mut found, mut end) = (Vec::new(), 0u64, at);
        let mut in_word = false;
        let mut window_at = at;
        'line: loop {
            let window = source.prefix(window_at, WINDOW)?;
            if window.is_empty() {
                break;
            }
            for (i, &byte) in window.iter().enumerate() {
                if byte == b'\n' {
                    break 'line;
                }
                let place = window_at + i as u64;
                if byte.is_ascii_whitespace() {
                    in_word = false;
                    continue;
                }
                if !in_word {
                    if found.is_multiple_of(MARK) {
                        marks.push(place);
                    }
                    found += 1;
                    in_word = true;
                }
                end = place + 1;
            }
            window_at += window.len() as u64;
        }
        if found == count {
            return Ok(Places::Marked { marks, end });
        }
        Err(Error::malformed(source.place(at), format!("the line has {found} words, and says {count}")))
    }

    /// Behind the last word.
    pub fn end(&self) -> u64 {
        match self {
            Places::Even { end, .. } | Places::Marked { end, .. } => *end,
        }
    }
}

/// Whether `count` words of eight digits, a space between, fill the line behind `at`.
fn even(source: &Source, at: u64, count: u64) -> Result<Option<Places>> {
    if count == 0 {
        return Ok(None);
    }
    let gap = source.prefix(at, 8)?;
    let Some(skip) = gap.iter().position(|&b| b != b' ').filter(|&n| n > 0) else { return Ok(None) };
    let start = at + skip as u64;
    let Some(end) = count.checked_mul(PITCH).and_then(|n| start.checked_add(n - 1)) else { return Ok(None) };
    if end > source.len() {
        return Ok(None);
    }
    // The line ends behind the last word, and words stand where they should at its ends and in between.
    let behind = source.prefix(end, 3)?;
    let ends = matches!(&behind[..], [] | [b'\n', ..] | [b'\r'] | [b'\r', b'\n', ..] | [b' ', b'\n', ..]);
    let step = (count / 64).max(1);
    for i in (0..count).step_by(step as usize).chain([count - 1]) {
        let word = source.window(start + i * PITCH, 8)?;
        let space = i + 1 == count || source.window(start + i * PITCH + 8, 1)?[0] == b' ';
        if !space || !word.iter().all(u8::is_ascii_hexdigit) {
            return Ok(None);
        }
    }
    Ok(ends.then_some(Places::Even { start, end }))
}

/// The words of a line, as little-endian numbers.
#[derive(Debug)]
pub struct Words {
    source: Source,
    dtype: DType,
    count: u64,
    places: Places,
}

impl Words {
    /// `count` words of `dtype` (F32 or F16) that stand at `places`.
    pub fn new(source: Source, dtype: DType, count: u64, places: Places) -> Self {
        Words { source, dtype, count, places }
    }

    fn width(&self) -> u64 {
        self.dtype.chunk_bytes() as u64
    }

    fn fault(&self, at: u64) -> Error {
        Error::malformed(self.source.place(at), "this is no word of hexadecimal digits")
    }

    /// Decodes `words` in order, a batch at a time: the number of the first, and their bytes.
    fn decode(&self, words: Range<u64>, each: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        match &self.places {
            Places::Even { start, .. } => {
                let mut out = Vec::new();
                let mut at = words.start;
                while at < words.end {
                    let n = BATCH.min(words.end - at);
                    let place = start + at * PITCH;
                    let text = self.source.window(place, n * PITCH - 1)?;
                    out.clear();
                    if let Some(bad) = decode_even(&text, &mut out) {
                        return Err(self.fault(place + bad as u64 * PITCH));
                    }
                    self.narrowed(place, &mut out)?;
                    each(at, &out)?;
                    at += n;
                }
                Ok(())
            }
            Places::Marked { marks, end } => self.decode_marked(marks, *end, words, each),
        }
    }

    fn decode_marked(
        &self,
        marks: &[u64],
        end: u64,
        words: Range<u64>,
        each: &mut dyn FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mark = (words.start / MARK) as usize;
        let (mut index, mut at) = (mark as u64 * MARK, marks.get(mark).copied().unwrap_or(end));
        let mut first = words.start;
        let mut out = Vec::new();
        let (mut value, mut digits, mut word_at) = (0u32, 0u32, at);
        // One byte more than there are, so that the last word ends too.
        while at <= end && index < words.end {
            let window = self.source.prefix(at, WINDOW.min(end - at))?;
            let last = window.is_empty();
            let bytes: &[u8] = if last { b" " } else { &window };
            for (i, &byte) in bytes.iter().enumerate() {
                if byte.is_ascii_whitespace() {
                    if digits == 0 {
                        continue;
                    }
                    if index >= words.start && index < words.end {
                        out.extend(value.to_le_bytes());
                        if out.len() as u64 == 4 * BATCH {
                            self.narrowed(word_at, &mut out)?;
                            each(first, &out)?;
                            first = index + 1;
                            out.clear();
                        }
                    }
                    index += 1;
                    (value, digits) = (0, 0);
                    continue;
                }
                let digit = char::from(byte).to_digit(16).filter(|_| digits < 8);
                let digit = digit.ok_or_else(|| self.fault(at + i as u64))?;
                if digits == 0 {
                    word_at = at + i as u64;
                }
                value = value << 4 | digit;
                digits += 1;
            }
            at += bytes.len() as u64;
            if last {
                break;
            }
        }
        if !out.is_empty() {
            self.narrowed(word_at, &mut out)?;
            each(first, &out)?;
        }
        Ok(())
    }

    /// Words of F16 have the value in their lower half.
    fn narrowed(&self, at: u64, words: &mut Vec<u8>) -> Result<()> {
        if self.dtype != DType::F16 {
            return Ok(());
        }
        let mut narrow = Vec::with_capacity(words.len() / 2);
        for word in words.as_chunks::<4>().0 {
            let value = u16::try_from(u32::from_le_bytes(*word)).map_err(|_| {
                Error::malformed(self.source.place(at), "a word of more than 16 bits for an F16")
            })?;
            narrow.extend(value.to_le_bytes());
        }
        *words = narrow;
        Ok(())
    }
}

impl Storage for Words {
    fn len(&self) -> u64 {
        self.count * self.width()
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.visit(offset..offset.saturating_add(buffer.len() as u64), &mut |at, bytes| {
            let at = (at - offset) as usize;
            buffer[at..at + bytes.len()].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        if range.start > range.end || range.end > self.len() {
            let what = format!("bytes {}..{} asked of {} words", range.start, range.end, self.count);
            return Err(Error::malformed(Place::source(self.source.name()), what));
        }
        let width = self.width();
        self.decode(range.start / width..range.end.div_ceil(width), &mut |first, bytes| {
            let at = first * width;
            let from = range.start.saturating_sub(at) as usize;
            let to = (range.end - at).min(bytes.len() as u64) as usize;
            visitor(at + from as u64, &bytes[from..to])
        })
    }
}

/// Decodes words of eight digits with one byte of white space between; the number of one that is none, if any.
fn decode_even(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let (pitched, last) = text.split_at(text.len() - 8);
    let mut wrong = 0;
    let pitched = pitched.as_chunks::<{ PITCH as usize }>().0;
    let words = pitched.iter().map(|word| {
        wrong |= u64::from(word[8] != b' ');
        u64::from_le_bytes(word[..8].try_into().expect("eight digits"))
    });
    let last = u64::from_le_bytes(last.try_into().expect("eight digits"));
    let mut bad = 0;
    for digits in words.chain([last]) {
        bad |= not_hexadecimal(digits);
        out.extend(value(digits).to_le_bytes());
    }
    if wrong | bad == 0 {
        return None;
    }
    // Which one, is looked for only now.
    let is_bad = |word: &[u8; 9]| word[8] != b' ' || !word[..8].iter().all(u8::is_ascii_hexdigit);
    Some(pitched.iter().position(is_bad).unwrap_or(pitched.len()))
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Nonzero where one of eight characters is no hexadecimal digit.
#[inline(always)]
fn not_hexadecimal(text: u64) -> u64 {
    // Sums stay within their byte, as bytes above 127 are told apart first.
    let low = text & !HIGH;
    let digit = low ^ (0x30 * ONES);
    let above_nine = (digit + (0x80 - 10) * ONES) & HIGH;
    let letter = (low | (0x20 * ONES)) ^ (0x60 * ONES);
    let above_f = (letter + (0x80 - 7) * ONES) & HIGH;
    let below_a = !(letter + 0x7f * ONES) & HIGH;
    (text & HIGH) | (above_nine & (above_f | below_a))
}

/// The number that eight hexadecimal digits are, the first the highest.
#[inline(always)]
fn value(text: u64) -> u32 {
    // A letter's low half is its value less 9, and it has bit 6 where a digit has none.
    let nibbles = (text & (0x0f * ONES)) + ((text >> 6) & ONES) * 9;
    // The first character stands lowest: bytes are paired with the earlier one higher.
    let pairs = (nibbles << 4 | nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs << 8 | pairs >> 16) & 0x0000_ffff_0000_ffff;
    ((quads << 16) | (quads >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_told_from_all_other_bytes() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut text = *b"0aF9dE3c";
                text[place] = byte;
                let told = not_hexadecimal(u64::from_le_bytes(text)) != 0;
                assert_eq!(told, !byte.is_ascii_hexdigit(), "{byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn words_are_big_endian() {
        for (text, expected) in
            [(b"3f800000", 0x3f80_0000), (b"DeadBeef", 0xdead_beef), (b"01234567", 0x0123_4567)]
        {
            assert_eq!(value(u64::from_le_bytes(*text)), expected);
        }
    }
}
