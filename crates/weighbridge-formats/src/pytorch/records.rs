//! What a pickle of tensors refers to: storages by key, wherever a container keeps them.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use weighbridge_model::{Error, Limits, Place, Result, Storage, Tensor};

use crate::pickle::{self, Node, Pickle};
use crate::source::Source;

/// First window in which a pickle is looked for, where bytes have to be read.
const FIRST_WINDOW: u64 = 64 << 10;

/// Where a container keeps its pickle and its storages.
pub trait Records {
    /// A place within the pickle.
    fn place(&self, offset: usize) -> Place;

    /// Bytes within the pickle: in the file itself where they stand there verbatim.
    ///
    /// # Errors
    /// Where the file does not reach that far.
    fn within_pickle(&self, bytes: &[u8], range: Range<usize>) -> Result<Source>;

    /// The storage of this key, one for each key, so that tied tensors share theirs.
    ///
    /// # Errors
    /// No such storage; damage.
    fn storage(&self, key: &str) -> Result<Arc<dyn Storage>>;

    /// Whether storages are big-endian.
    fn big_endian(&self) -> bool {
        false
    }

    /// The tensor that the container keeps outside of the pickle under this key.
    fn tensor(&self, key: &str) -> Option<Tensor> {
        let _ = key;
        None
    }
}

/// A pickle that stands verbatim in a source.
#[derive(Debug, Clone)]
pub struct Verbatim {
    /// The source.
    pub source: Source,
    /// Where the pickle begins.
    pub at: u64,
}

impl Verbatim {
    /// A place within the pickle.
    pub fn place(&self, offset: usize) -> Place {
        self.source.place(self.at + offset as u64)
    }

    /// Bytes within the pickle.
    ///
    /// # Errors
    /// Past the end.
    pub fn part(&self, range: Range<usize>) -> Result<Source> {
        self.source.part(self.source.name(), self.at + range.start as u64, range.len() as u64)
    }
}

/// A bare pickle: everything is within it.
#[derive(Debug)]
pub struct Bare(pub Verbatim);

impl Records for Bare {
    fn place(&self, offset: usize) -> Place {
        self.0.place(offset)
    }

    fn within_pickle(&self, _: &[u8], range: Range<usize>) -> Result<Source> {
        self.0.part(range)
    }

    fn storage(&self, key: &str) -> Result<Arc<dyn Storage>> {
        let what =
            format!("storage '{}' is outside of the pickle, and nothing else is here", key.escape_debug());
        Err(Error::malformed(self.place(0), what))
    }
}

/// The pickle that begins at `at` and ends before `end`, with the bytes that it was read from.
///
/// # Errors
/// What is no pickle; one that is cut off.
pub fn pickle_at<'a>(
    source: &'a Source,
    at: u64,
    end: u64,
    limits: &Limits,
) -> Result<(Cow<'a, [u8]>, Pickle)> {
    let left = end.min(source.len()).saturating_sub(at);
    // Mapped bytes cost nothing until they are looked at; others are read as far as it takes.
    let is_mapped = matches!(source.prefix(at, 0)?, Cow::Borrowed(_));
    let most = if is_mapped { left } else { left.min(limits.header_bytes) };
    let mut len = if is_mapped { most } else { most.min(FIRST_WINDOW) };
    loop {
        let bytes = source.window(at, len)?;
        match pickle::read(&bytes, limits) {
            Ok(pickle) => return Ok((bytes, pickle)),
            Err(fault) if len == most => {
                return Err(Error::malformed(source.place(at + fault.offset as u64), fault.what));
            }
            Err(_) => len = len.saturating_mul(8).min(most),
        }
    }
}

/// Puts classes in the place of references to them: whole modules were saved with their source code, as
/// `('module', class, file, code)`, in tar files without the word.
pub fn resolve_containers(pickle: &mut Pickle) {
    pickle.resolve(|pickle, id| {
        let class = match pickle.sequence(id)? {
            [class, _, _] => *class,
            [word, class, ..] if pickle.str(*word) == Some("module") => *class,
            _ => return None,
        };
        match pickle.node(class) {
            Node::Global(class) => Some(Node::Global(class.clone())),
            _ => None,
        }
    });
}
