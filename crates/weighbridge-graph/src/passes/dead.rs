//! What nothing reads.

use weighbridge_model::Result;

use super::{Pass, Report};
use crate::edit::Edit;

pub(super) struct Dead;

impl Pass for Dead {
    fn name(&self) -> &'static str {
        "dead"
    }

    fn about(&self) -> &'static str {
        "Nodes and initializers that lead to no output go. Initializers that are inputs stay."
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, _: &mut Report) -> Result<usize> {
        Ok(edit.remove_dead() + edit.remove_unread_initializers())
    }
}
