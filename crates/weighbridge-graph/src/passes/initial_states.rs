//! Recurrent layers that start from zero, as they do without being told.

use weighbridge_model::{Attribute, Tensor, ValueId};

use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};

pub(super) struct InitialStates;

/// `initial_h` and, of LSTM, `initial_c`.
const STATES: [usize; 2] = [5, 6];

impl Pass for InitialStates {
    fn name(&self) -> &'static str {
        "initial-states"
    }

    fn about(&self) -> &'static str {
        "Initial states of LSTM, GRU and RNN that are zero, whatever their sizes, are left out: zero is the default."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["LSTM", "GRU", "RNN"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let zero = |&slot: &usize| edit.input(id, slot).is_some_and(|state| is_zero(edit, state));
        let zeros: Vec<usize> = STATES.into_iter().filter(zero).collect();
        if zeros.is_empty() {
            return Look::No;
        }
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        zeros.into_iter().for_each(|slot| node.inputs[slot] = None);
        while node.inputs.last().is_some_and(Option::is_none) {
            node.inputs.pop();
        }
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}

/// States of more elements are not gone through.
const MOST: u64 = 1 << 20;

/// Whether all elements are +0: a constant, or one that was spread over a shape.
fn is_zero(edit: &Edit<'_, '_>, value: ValueId) -> bool {
    if let Some(constant) = edit.constant(value) {
        return zeros(constant);
    }
    if let Some((_, node)) = edit.made_by(value, "ConstantOfShape") {
        return match node.attributes.iter().find(|(name, _)| name == "value") {
            None => true,
            Some((_, Attribute::Tensor(spread))) => zeros(edit.model().tensor(*spread)),
            Some(_) => false,
        };
    }
    let spread = edit.made_by(value, "Expand").and_then(|(id, _)| edit.input(id, 0));
    spread.and_then(|spread| edit.constant(spread)).is_some_and(zeros)
}

fn zeros(tensor: &Tensor) -> bool {
    let mut all = tensor.count() <= MOST && tensor.dtype.is_real();
    let visited = all.then(|| {
        tensor.visit_values(0..tensor.count(), &mut |_, values| {
            all &= values.iter().all(|x| x.to_bits() == 0);
            Ok(())
        })
    });
    visited.is_some_and(|visited| visited.is_ok()) && all
}
