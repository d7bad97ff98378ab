//! An If whose condition is constant is its branch.

use weighbridge_model::{Attribute, Result};

use super::{Pass, Report};
use crate::edit::Edit;

pub(super) struct InlineIf;

impl Pass for InlineIf {
    fn name(&self) -> &'static str {
        "inline-if"
    }

    fn about(&self) -> &'static str {
        "An If whose condition is a constant is replaced by the nodes of the branch that it takes."
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, report: &mut Report) -> Result<usize> {
        let mut count = 0;
        for id in edit.nodes() {
            if !edit.has(id) || edit.node(id).op != "If" || !edit.node(id).domain.is_empty() {
                continue;
            }
            let condition = edit.input(id, 0).and_then(|condition| edit.integers(condition));
            let Some([taken]) = condition.as_deref() else { continue };
            let wanted = if *taken != 0 { "then_branch" } else { "else_branch" };
            let branch = edit.node(id).attributes.iter().find_map(|(name, attribute)| match attribute {
                Attribute::Graph(graph) if name == wanted => Some((**graph).clone()),
                _ => None,
            });
            let Some(branch) = branch.filter(|branch| branch.outputs.len() == edit.node(id).outputs.len())
            else {
                continue;
            };
            let label = edit.label(id);
            match edit.inline(id, branch) {
                Ok(()) => count += 1,
                Err(why) => report.left(self.name(), label, why),
            }
        }
        Ok(count)
    }
}
