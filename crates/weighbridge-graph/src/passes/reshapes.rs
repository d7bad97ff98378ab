//! One Reshape for several nodes in a row that only change the shape.

use super::identity::handed_on;
use super::{Look, Pass, sizes};
use crate::edit::{Edit, NodeId, Patch, same_shape};

pub(super) struct Reshapes;

const RESHAPES: [&str; 4] = ["Reshape", "Flatten", "Squeeze", "Unsqueeze"];

impl Pass for Reshapes {
    fn name(&self) -> &'static str {
        "reshapes"
    }

    fn about(&self) -> &'static str {
        "Reshape, Flatten, Squeeze and Unsqueeze in a row become one Reshape, or none where the first shape comes back, if \
         the last shape can be told in numbers, 0 for what stays and one -1."
    }

    fn operators(&self) -> &'static [&'static str] {
        &RESHAPES
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(between), Some(output)) = (edit.input(id, 0), edit.output(id, 0)) else { return Look::No };
        let first = edit.producer(between).filter(|&first| edit.is_plain(first));
        let Some(first) = first.filter(|&first| RESHAPES.contains(&edit.node(first).op.as_str())) else {
            return Look::No;
        };
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
