//! One Reshape for several nodes in a row that only change the shape.

use super::identity::handed_on;
use super::same_shape::moves_ones;
use super::{Look, Pass, sizes};
use crate::edit::{Edit, NodeId, Patch, same_shape};

pub(super) struct Reshapes;

/// Operators that change the shape alone; Transpose does where it moves dimensions of 1 only.
const RESHAPES: [&str; 5] = ["Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"];

/// Whether a node changes the shape alone.
pub(super) fn only_reshapes(edit: &Edit<'_, '_>, id: NodeId) -> bool {
    let op = edit.node(id).op.as_str();
    RESHAPES.contains(&op) && (op != "Transpose" || moves_ones(edit, id))
}

impl Pass for Reshapes {
    fn name(&self) -> &'static str {
        "reshapes"
    }

    fn about(&self) -> &'static str {
        "Reshape, Flatten, Squeeze, Unsqueeze and Transposes of dimensions of 1 in a row become one Reshape, or none where the first shape comes back, if \
         the last shape can be told in numbers, 0 for what stays and one -1."
    }

    fn operators(&self) -> &'static [&'static str] {
        &RESHAPES
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(between), Some(output)) = (edit.input(id, 0), edit.output(id, 0)) else { return Look::No };
        let first =
            edit.producer(between).filter(|&first| edit.is_plain(first) && only_reshapes(edit, first));
        let Some(first) = first.filter(|_| only_reshapes(edit, id)) else { return Look::No };
        let Some(x) = edit.input(first, 0) else { return Look::No };
        let Some(to) = edit.shape(output) else {
            return Look::Refused("its result's shape is not known".into());
        };
        if edit.shape(x).is_some_and(|from| same_shape(from, to)) {
            return handed_on(edit, id, x, output);
        }
        // What others read stays, and nothing is won.
        if !edit.is_private(between) || edit.opset < 5 || edit.is_function() {
            return Look::No;
        }
        let list = match sizes::told(edit.shape(x), to) {
            Ok(list) => list,
            Err(why) => return Look::Refused(format!("the two do not compose: {why}")),
        };
        let mut patch = Patch::new(edit);
        let shape =
            patch.integers(&format!("{}_shape", edit.value(output).name), vec![list.len() as u64], &list);
        let mut node = edit.node(id).clone();
        node.op = "Reshape".into();
        node.inputs = vec![Some(x), Some(shape)];
        node.attributes.clear();
        node.attribute_docs.clear();
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}
