//! Tensors of strings: the bytes that hold them, and the strings themselves when they are asked for.

use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{Result, Storage, storage::ChunkVisitor};

use crate::protobuf::Message;
use crate::source::Source;

/// Bytes from the start that strings are looked for in.
const LOOK: u64 = 1 << 20;

/// How strings stand in their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// Entries of a repeated field of protobuf's, tags and lengths included.
    Fields,
    /// Their number as `i32`, as many offsets and the end, then the text: a buffer of TensorFlow Lite.
    Offsets,
}

/// A storage that knows its strings.
#[derive(Debug)]
pub(crate) struct Strings {
    bytes: Arc<dyn Storage>,
    form: Form,
}

impl Strings {
    pub(crate) fn of(bytes: Arc<dyn Storage>, form: Form) -> Arc<dyn Storage> {
        Arc::new(Strings { bytes, form })
    }
}

impl Storage for Strings {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    fn as_slice(&self) -> Option<&[u8]> {
        self.bytes.as_slice()
    }

    fn can_seek(&self) -> bool {
        self.bytes.can_seek()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.bytes.read_at(offset, buffer)
    }

    fn visit(&self, range: Range<u64>, visitor: &mut ChunkVisitor<'_>) -> Result<()> {
        self.bytes.visit(range, visitor)
    }

    fn base(&self) -> Option<&Arc<dyn Storage>> {
        Some(&self.bytes)
    }

    fn file_offset(&self) -> Option<u64> {
        self.bytes.file_offset()
    }

    fn strings(&self, most: usize) -> Result<Vec<String>> {
        let mut start = Vec::new();
        self.bytes.visit(0..self.len().min(LOOK), &mut |_, bytes| {
            start.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(match self.form {
            Form::Fields => fields(start, most),
            Form::Offsets => offsets(&start, most),
        })
    }
}

/// Up to the first that is not whole.
fn fields(bytes: Vec<u8>, most: usize) -> Vec<String> {
    let source = Source::memory("strings", bytes);
    let text = |range: Range<u64>| {
        let bytes = source.window(range.start, range.end - range.start).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let whole = Message::whole(&source, 0).fields().map_while(|field| text(field.ok()?.bytes().ok()?));
    whole.take(most).collect()
}

fn offsets(bytes: &[u8], most: usize) -> Vec<String> {
    let number = |at: usize| {
        let bytes = bytes.get(at.checked_mul(4)?..)?.first_chunk()?;
        usize::try_from(i32::from_le_bytes(*bytes)).ok()
    };
    let text = |i: usize| {
        let bytes = bytes.get(number(i + 1)?..number(i + 2)?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    (0..number(0).unwrap_or(0).min(most)).map_while(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_model::Memory;

    fn told(bytes: &[u8], form: Form) -> Vec<String> {
        Strings::of(Arc::new(Memory::new(bytes.to_vec())), form).strings(2).unwrap()
    }

    #[test]
    fn strings_are_told_up_to_what_is_not_whole() {
        assert_eq!(told(b"\x32\x02hi\x32\x00\x32\x01x", Form::Fields), ["hi", ""]);
        assert_eq!(told(b"\x32\x02hi\x32\x09no", Form::Fields), ["hi"]);
        let words = |n: i32, at: [i32; 3]| -> Vec<u8> {
            let head = [n, at[0], at[1], at[2]].map(i32::to_le_bytes).concat();
            [&head[..], b"abc"].concat()
        };
        assert_eq!(told(&words(2, [16, 17, 19]), Form::Offsets), ["a", "bc"]);
        assert_eq!(told(&words(2, [16, 17, 99]), Form::Offsets), ["a"]);
        assert!(told(&words(-1, [16, 17, 19]), Form::Offsets).is_empty());
        assert!(told(&words(i32::MAX, [17, 16, i32::MIN]), Form::Offsets).is_empty());
    }
}
