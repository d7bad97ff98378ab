//! One Concat for a Concat of Concats.

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
        let mut inputs = Vec::new();
        let mut merged = false;
        for input in &edit.node(id).inputs {
            let within = input.filter(|&v| edit.is_private(v)).and_then(|v| edit.made_by(v, "Concat"));
            match within {
                Some((inner, node)) if axis.is_some() && edit.int(inner, "axis") == axis => {
                    inputs.extend_from_slice(&node.inputs);
                    merged = true;
                }
                _ => inputs.push(*input),
            }
        }
        if !merged {
            return Look::No;
        }
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        node.inputs = inputs;
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}
