//! A storage that is there and cannot be read: listed, and refused with its reason when it is measured.

use std::ops::Range;

use weighbridge_model::{ChunkVisitor, Error, Place, Result, Storage};

/// Bytes that are stored in a way that is not read.
#[derive(Debug)]
pub(crate) struct Refused {
    len: u64,
    place: Place,
    what: String,
    help: &'static str,
}

impl Refused {
    /// Stands for `len` bytes that `what` keeps from being read.
    pub fn new(len: u64, place: Place, what: impl Into<String>, help: &'static str) -> Self {
        Refused { len, place, what: what.into(), help }
    }
}

impl Storage for Refused {
    fn len(&self) -> u64 {
        self.len
    }

    fn visit(&self, _: Range<u64>, _: &mut ChunkVisitor<'_>) -> Result<()> {
        Err(Error::Unsupported {
            place: self.place.clone(),
            what: self.what.clone(),
            help: Some(self.help.to_owned()),
        })
    }
}
