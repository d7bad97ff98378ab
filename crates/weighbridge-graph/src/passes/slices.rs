//! One Slice for two in a row along different dimensions.

use super::{Look, Pass};
use crate::edit::{Edit, NodeId, Patch};
use crate::eval::index;

pub(super) struct Slices;

/// Bounds of a slice, one for each axis that it names.
#[derive(Clone, Default)]
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Vec<i64>,
    steps: Vec<i64>,
}

impl Pass for Slices {
    fn name(&self) -> &'static str {
        "slices"
    }

    fn about(&self) -> &'static str {
        "Two Slices in a row with constant bounds along different dimensions become one."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Slice"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        if edit.opset < 10 || edit.is_function() {
            return Look::No;
        }
        let Some(between) = edit.input(id, 0) else { return Look::No };
        let Some((first, _)) = edit.made_by(between, "Slice") else { return Look::No };
        // The first goes once all that read it are slices themselves.
        let readers = if edit.uses(between) <= 16 { edit.consumers(between) } else { Vec::new() };
        let sliced = |&reader: &NodeId| {
            edit.is_plain(reader) && edit.node(reader).op == "Slice" && edit.input(reader, 0) == Some(between)
        };
        if readers.is_empty() || edit.is_output(between) || !readers.iter().all(sliced) {
            return Look::No;
        }
        let (Some(x), Some(rank)) = (edit.input(first, 0), edit.rank(between)) else { return Look::No };
        let (Some(a), Some(b)) = (bounds(edit, first, rank), bounds(edit, id, rank)) else {
            return Look::Refused("bounds that are computed".into());
        };
        if b.axes.iter().any(|axis| a.axes.contains(axis)) {
            return Look::Refused("both are along the same dimension".into());
        }
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        node.inputs = vec![Some(x)];
        let name = &edit.value(between).name;
        for (what, a, b) in [
            ("starts", a.starts, b.starts),
            ("ends", a.ends, b.ends),
            ("axes", a.axes, b.axes),
            ("steps", a.steps, b.steps),
        ] {
            let all: Vec<i64> = a.into_iter().chain(b).collect();
            node.inputs.push(Some(patch.integers(&format!("{name}_{what}"), vec![all.len() as u64], &all)));
        }
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}

fn bounds(edit: &Edit<'_, '_>, id: NodeId, rank: usize) -> Option<Bounds> {
    let given = |slot: usize| edit.input(id, slot).map(|value| edit.integers(value));
    let starts = given(1)??;
    let ends = given(2)??;
    let axes = match given(3) {
        Some(axes) => axes?,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match given(4) {
        Some(steps) => steps?,
        None => vec![1; starts.len()],
    };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return None;
    }
    let axes = axes.iter().map(|&axis| index(axis, rank).map(|axis| axis as i64)).collect::<Option<_>>()?;
    Some(Bounds { starts, ends, axes, steps })
}
