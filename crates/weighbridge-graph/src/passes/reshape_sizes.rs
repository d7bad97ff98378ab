//! A Reshape whose shape is computed is told it in numbers, 0 and -1.

use super::{Look, Pass, sizes};
use crate::edit::{Edit, NodeId, Patch, Size};

pub(super) struct ReshapeSizes;

impl Pass for ReshapeSizes {
    fn name(&self) -> &'static str {
        "reshape-sizes"
    }

    fn about(&self) -> &'static str {
        "The computed shape of a Reshape becomes a constant with 0 for sizes that stay and -1 for one that is not known, \
         where symbolic inference shows that this is the same."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Reshape"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(x), Some(shape), Some(output)) = (edit.input(id, 0), edit.input(id, 1), edit.output(id, 0))
        else {
            return Look::No;
        };
        if edit.constant(shape).is_some() || edit.is_function() {
            return Look::No;
        }
        if edit.int(id, "allowzero") == Some(1) {
            return Look::Refused("allowzero".into());
        }
        // What is asked for says as much as what comes of it, where a -1 stands in it.
        let asked = edit.fact(shape).integers.as_deref();
        let to = edit
            .shape(output)
            .or_else(|| asked.filter(|a| a.iter().all(|s| s.known().is_none_or(|n| n > 0))));
        let told = to.map(|to| sizes::told(edit.shape(x), to));
        let literal = || asked.and_then(|asked| literal(edit.shape(x), asked));
        let list = match told {
            Some(Ok(list)) => list,
            Some(Err(why)) => match literal() {
                Some(list) => list,
                None => return Look::Refused(why),
            },
            None => match literal() {
                Some(list) => list,
                None => return Look::Refused("its result's shape is not known".into()),
            },
        };
        let mut patch = Patch::new(edit);
        let constant = patch.integers(&edit.value(shape).name, vec![list.len() as u64], &list);
        let mut node = edit.node(id).clone();
        node.inputs[1] = Some(constant);
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}

/// What is asked for, with its own 0 and -1, where other sizes are numbers or stay.
fn literal(from: Option<&[Size]>, asked: &[Size]) -> Option<Vec<i64>> {
    let list: Option<Vec<i64>> = asked
        .iter()
        .enumerate()
        .map(|(axis, size)| match size {
            Size::Known(n) => Some(*n),
            size => from?.get(axis)?.same(size).then_some(0),
        })
        .collect();
    let list = list?;
    match list.iter().filter(|&&n| n == -1).count() {
        0 | 1 => Some(list),
        _ => None,
    }
}
