//! One Transpose for two in a row.

use weighbridge_model::{Attribute, Value};

use super::identity::handed_on;
use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};
use crate::eval::permutation;

pub(super) struct Transposes;

impl Pass for Transposes {
    fn name(&self) -> &'static str {
        "transposes"
    }

    fn about(&self) -> &'static str {
        "Two Transposes in a row become one, or none where the second takes the first back."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Transpose"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(between), Some(output)) = (edit.input(id, 0), edit.output(id, 0)) else { return Look::No };
        let Some((first, _)) = edit.made_by(between, "Transpose") else { return Look::No };
        let Some(x) = edit.input(first, 0) else { return Look::No };
        let rank = edit.ints(id, "perm").or_else(|| edit.ints(first, "perm")).map(|perm| perm.len());
        let Some(rank) = rank.or_else(|| edit.rank(x)) else {
            return Look::Refused("the number of dimensions is not known".into());
        };
        let of = |id: NodeId| {
            let perm = edit.ints(id, "perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
            permutation(&perm, rank)
        };
        let (Some(p), Some(q)) = (of(first), of(id)) else { return Look::No };
        let both: Vec<usize> = q.iter().map(|&axis| p[axis]).collect();
        if both.iter().zip(0..).all(|(&axis, at)| axis == at) {
            return handed_on(edit, id, x, output);
        }
        if !edit.is_private(between) {
            return Look::No;
        }
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        node.inputs[0] = Some(x);
        let perm = Value::List(both.into_iter().map(|axis| Value::Int(axis as i64)).collect());
        node.attributes = vec![("perm".into(), Attribute::Value(perm))];
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}
