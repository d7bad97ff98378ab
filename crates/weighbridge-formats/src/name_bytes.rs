//! How many bytes of names a model's tensors may have: a name that is put together repeats what stands before it, and a
//! few bytes of a file may stand for a long one.

use weighbridge_model::{Error, Place, Result};

/// Most bytes of all names together.
const MOST: u64 = 16 << 20;

/// Bytes of names so far.
#[derive(Debug, Default)]
pub(crate) struct NameBytes(u64);

impl NameBytes {
    /// Counts a name that is about to be made or kept, of so many bytes.
    ///
    /// # Errors
    /// [`Error::Limit`] where names are too long in all.
    pub(crate) fn take(&mut self, len: usize, place: impl FnOnce() -> Place) -> Result<()> {
        self.0 = self.0.saturating_add(len as u64);
        match self.0 <= MOST {
            true => Ok(()),
            false => {
                let what = "bytes of names that are put together";
                Err(Error::Limit { place: place(), what, asked: self.0, allowed: MOST })
            }
        }
    }
}
