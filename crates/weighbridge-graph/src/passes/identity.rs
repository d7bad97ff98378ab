//! Nodes that hand on what they read.

use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};

pub(super) struct Identity;

impl Pass for Identity {
    fn name(&self) -> &'static str {
        "identity"
    }

    fn about(&self) -> &'static str {
        "Identity, Dropout of inference, and Concat, Sum, Max, Min and Mean of one input go, unless they give a graph's \
         output under its own name."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Identity", "Dropout", "Concat", "Sum", "Max", "Min", "Mean"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let node = edit.node(id);
        match node.op.as_str() {
            "Identity" => {}
            "Dropout" => {
                if edit.output(id, 1).is_some_and(|mask| edit.uses(mask) > 0) {
                    return Look::Refused("its mask is read".into());
                }
                if edit.opset < 7 && edit.int(id, "is_test") != Some(1) {
                    return Look::Refused("it drops while it trains".into());
                }
                let training = edit.input(id, 2).map(|mode| edit.integers(mode));
                if training.is_some_and(|mode| mode.is_none_or(|mode| mode != [0])) {
                    return Look::Refused("it may be training".into());
                }
            }
            _ if node.inputs.len() != 1 => return Look::No,
            _ => {}
        }
        let (Some(x), Some(output)) = (edit.input(id, 0), edit.output(id, 0)) else { return Look::No };
        handed_on(edit, id, x, output)
    }
}

/// Lets everything that reads `output` read `x`, where the node of `output` can go for it.
pub(super) fn handed_on(
    edit: &Edit<'_, '_>,
    id: NodeId,
    x: weighbridge_model::ValueId,
    output: weighbridge_model::ValueId,
) -> Look {
    if edit.is_output(output) && (edit.producer(x).is_none() || edit.is_output(x)) {
        // One node must stand between a graph's output and what has another name; Identity is the simplest.
        if edit.node(id).op == "Identity" {
            return Look::No;
        }
    }
    Look::Patch(Patch::replacing(edit, output, x))
}
