//! Recurrent layers start from zeros where they are told nothing.

use weighbridge_model::{Attribute, ValueId};

use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};

/// Elements that are looked at for a number that is not 0.
const LOOKED: u64 = 1 << 20;

/// Nodes between a recurrent layer and what its zeros come from.
const STEPS: usize = 16;

pub(super) struct InitialStates;

impl Pass for InitialStates {
    fn name(&self) -> &'static str {
        "initial-states"
    }

    fn about(&self) -> &'static str {
        "An initial state of LSTM, GRU or RNN that is zeros throughout is left out, which says the same."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["LSTM", "GRU", "RNN"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let mut node = edit.node(id).clone();
        let states = if node.op == "LSTM" { 5..7 } else { 5..6 };
        let mut left_out = false;
        for slot in states {
            if edit.input(id, slot).is_some_and(|state| zeros(edit, state)) {
                node.inputs[slot] = None;
                left_out = true;
            }
        }
        if !left_out {
            return Look::No;
        }
        let told = node.inputs.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        node.inputs.truncate(told);
        let mut patch = Patch::new(edit);
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}

/// Whether a value is zeros, of whatever shape, none of them -0.
fn zeros(edit: &Edit<'_, '_>, mut value: ValueId) -> bool {
    for _ in 0..STEPS {
        if let Some(tensor) = edit.constant(value) {
            return zero(tensor);
        }
        let Some(id) = edit.producer(value).filter(|&id| edit.is_plain(id)) else { return false };
        let node = edit.node(id);
        match node.op.as_str() {
            "ConstantOfShape" => {
                return node.attributes.iter().all(|(_, attribute)| match attribute {
                    Attribute::Tensor(id) => zero(edit.model().tensor(*id)),
                    _ => false,
                });
            }
            "Expand" | "Tile" | "Slice" | "Gather" | "Split" | "Reshape" | "Squeeze" | "Unsqueeze"
            | "Transpose" | "Cast" | "Identity" => {}
            _ => return false,
        }
        match edit.input(id, 0) {
            Some(from) => value = from,
            None => return false,
        }
    }
    false
}

fn zero(tensor: &weighbridge_model::Tensor) -> bool {
    if tensor.count() > LOOKED || !tensor.dtype.is_real() {
        return false;
    }
    let mut all = true;
    let visited = tensor.visit_values(0..tensor.count(), &mut |_, values| {
        all &= values.iter().all(|x| x.to_bits() == 0);
        Ok(())
    });
    visited.is_ok() && all
}
