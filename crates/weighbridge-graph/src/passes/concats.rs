//! One Concat for a Concat of Concats.

use weighbridge_model::ValueId;

use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};

pub(super) struct Concats;

impl Pass for Concats {
    fn name(&self) -> &'static str {
        "concats"
    }

    fn about(&self) -> &'static str {
        "A Concat that another one along the same axis alone reads becomes part of it."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Concat"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let axis = edit.int(id, "axis");
        let along = |other: NodeId| axis.is_some() && edit.int(other, "axis") == axis;
        let within = |value: ValueId| {
            let made = edit.made_by(value, "Concat").filter(|_| edit.is_private(value));
            made.filter(|(inner, _)| along(*inner)).map(|(_, node)| node)
        };
        // The last of a chain takes all of it at once.
        let next = edit.output(id, 0).and_then(|output| edit.sole_consumer(output));
        if next.is_some_and(|next| edit.node(next).op == "Concat" && edit.is_plain(next) && along(next)) {
            return Look::No;
        }
        let mut inputs = Vec::new();
        let mut open: Vec<Option<ValueId>> = edit.node(id).inputs.iter().rev().copied().collect();
        while let Some(input) = open.pop() {
            match input.and_then(within) {
                Some(node) => open.extend(node.inputs.iter().rev()),
                None => inputs.push(input),
            }
        }
        if inputs.len() == edit.node(id).inputs.len() {
            return Look::No;
        }
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        node.inputs = inputs;
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}
