//! Messages put together for writing: small fields as bytes at hand, large runs as what will stream them.

use std::sync::Arc;

use weighbridge_model::{Result, Storage};

use crate::output::Output;

/// Writes a run of bytes of known length.
pub type Stream = Arc<dyn Fn(&mut Output<'_>) -> Result<()> + Send + Sync>;

enum Piece {
    Bytes(Vec<u8>),
    Stream(Stream),
}

/// A message that is being put together. Lengths are known before anything is written, as every message's has to
/// stand before it.
#[derive(Default)]
pub struct Draft {
    pieces: Vec<Piece>,
    len: u64,
    /// How many of them stream.
    streamed: u64,
}

impl Draft {
    /// How many bytes it will take.
    pub fn len(&self) -> u64 {
        self.len
    }

    fn bytes_at_hand(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_vec())),
        }
    }

    fn tag(&mut self, number: u32, wire: u64) {
        self.varint(u64::from(number) << 3 | wire);
    }

    fn varint(&mut self, mut value: u64) {
        let mut bytes = [0; 10];
        let mut len = 0;
        loop {
            bytes[len] = value as u8 & 0x7f | if value > 0x7f { 0x80 } else { 0 };
            len += 1;
            value >>= 7;
            if value == 0 {
                break;
            }
        }
        self.bytes_at_hand(&bytes[..len]);
    }

    /// Adds a whole number.
    pub fn int(&mut self, number: u32, value: i64) {
        self.tag(number, 0);
        self.varint(value as u64);
    }

    /// Adds a single-precision number.
    pub fn float(&mut self, number: u32, value: f32) {
        self.tag(number, 5);
        self.bytes_at_hand(&value.to_le_bytes());
    }

    /// Adds whole numbers as one packed field, unless there are none.
    pub fn packed(&mut self, number: u32, values: impl Iterator<Item = u64>) {
        let mut inner = Draft::default();
        values.for_each(|value| inner.varint(value));
        if inner.len > 0 {
            self.message(number, inner);
        }
    }

    /// Adds a run of bytes.
    pub fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, 2);
        self.varint(bytes.len() as u64);
        self.bytes_at_hand(bytes);
    }

    /// Adds text, unless it is empty.
    pub fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// Adds a message.
    pub fn message(&mut self, number: u32, message: Draft) {
        self.tag(number, 2);
        self.varint(message.len);
        for piece in message.pieces {
            match piece {
                Piece::Bytes(bytes) => self.bytes_at_hand(&bytes),
                stream => self.pieces.push(stream),
            }
        }
        // Bytes at hand have been counted; what streams has not.
        self.len += message.streamed;
        self.streamed += message.streamed;
    }

    /// Adds a run of `len` bytes that `stream` will write.
    pub fn stream(&mut self, number: u32, len: u64, stream: Stream) {
        self.tag(number, 2);
        self.varint(len);
        self.append(len, stream);
    }

    /// Adds whole fields, tags included, that a storage holds.
    pub fn encoded(&mut self, storage: &Arc<dyn Storage>) {
        self.append(storage.len(), copy(storage));
    }

    fn append(&mut self, len: u64, stream: Stream) {
        self.pieces.push(Piece::Stream(stream));
        self.len += len;
        self.streamed += len;
    }

    /// Writes it, without a tag or a length of its own.
    ///
    /// # Errors
    /// A failed read or write.
    pub fn write(&self, output: &mut Output<'_>) -> Result<()> {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Bytes(bytes) => output.bytes(bytes),
            Piece::Stream(stream) => stream(output),
        })
    }
}

#[cfg(test)]
impl Draft {
    /// Its bytes, where nothing streams.
    pub(crate) fn at_hand(self) -> Vec<u8> {
        let bytes = |piece| match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Stream(_) => panic!("streams"),
        };
        self.pieces.into_iter().flat_map(bytes).collect()
    }
}

fn copy(storage: &Arc<dyn Storage>) -> Stream {
    let storage = storage.clone();
    Arc::new(move |output| storage.visit(0..storage.len(), &mut |_, bytes| output.bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weighbridge_model::Memory;

    fn written(draft: &Draft) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m");
        let mut output = Output::create(&path, &|_| {}).unwrap();
        draft.write(&mut output).unwrap();
        output.commit(false).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len() as u64, draft.len());
        bytes
    }

    #[test]
    fn every_kind_of_field_is_written() {
        let mut draft = Draft::default();
        draft.int(1, 150);
        draft.int(1, -1);
        draft.float(2, 1.0);
        draft.text(3, "");
        draft.text(3, "hi");
        draft.packed(4, [1, 300].into_iter());
        draft.packed(4, [].into_iter());
        let mut expected = vec![8, 0x96, 1, 8];
        expected.extend([0xff; 9]);
        expected.extend([1, 0x15, 0, 0, 0x80, 0x3f, 0x1a, 2, b'h', b'i', 0x22, 3, 1, 0xac, 2]);
        assert_eq!(written(&draft), expected);
    }

    #[test]
    fn lengths_count_what_streams_within() {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new([7; 200]));
        let mut inner = Draft::default();
        inner.stream(1, storage.len(), copy(&storage));
        let mut outer = Draft::default();
        outer.message(2, inner);
        let mut whole = Draft::default();
        whole.message(3, outer);
        let bytes = written(&whole);
        assert_eq!(bytes[..9], [0x1a, 206, 1, 0x12, 203, 1, 0x0a, 200, 1]);
        assert_eq!(bytes[9..], [7; 200]);
    }
}
