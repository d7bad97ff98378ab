//! Relu and Clip in a row.

use weighbridge_model::{DType, Value};

use super::identity::handed_on;
use super::{Look, Pass};
use crate::build::in_memory;
use crate::edit::{Edit, NodeId, Patch};

pub(super) struct Clips;

impl Pass for Clips {
    fn name(&self) -> &'static str {
        "clips"
    }

    fn about(&self) -> &'static str {
        "A Relu of what is at least 0 already goes; two Clips with constant bounds become one, as do Relu and Clip."
    }

    fn operators(&self) -> &'static [&'static str] {
        &["Relu", "Clip"]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(between), Some(output)) = (edit.input(id, 0), edit.output(id, 0)) else { return Look::No };
        let Some(first) = edit.producer(between).filter(|&first| edit.is_plain(first)) else {
            return Look::No;
        };
        let (Some(a), Some(b)) = (bounds(edit, first), bounds(edit, id)) else { return Look::No };
        // What comes of both: the first's bounds, clipped by the second's.
        let both = (clipped(a.0, b), clipped(a.1, b));
        if both == a {
            return handed_on(edit, id, between, output);
        }
        let Some(x) = edit.input(first, 0).filter(|_| edit.is_private(between)) else { return Look::No };
        if both == b {
            let mut patch = Patch::new(edit);
            let mut node = edit.node(id).clone();
            node.inputs[0] = Some(x);
            patch.rewrite(id, node);
            return Look::Patch(patch);
        }
        let dtype = edit.dtype(x).filter(|dtype| matches!(dtype, DType::F32 | DType::F64 | DType::F16));
        let Some(dtype) = dtype.filter(|_| edit.opset >= 11 && !edit.is_function()) else {
            return Look::Refused("bounds of this version are attributes, or their type is not known".into());
        };
        let mut patch = Patch::new(edit);
        let mut node = edit.node(id).clone();
        node.op = "Clip".into();
        node.inputs = vec![Some(x)];
        node.attributes.clear();
        for (name, bound) in [("min", both.0), ("max", both.1)] {
            node.inputs.push(bound.is_finite().then(|| {
                let mut bytes = Vec::new();
                weighbridge_model::dtype::push(dtype, bound, &mut bytes);
                let name = format!("{}_{name}", edit.value(output).name);
                patch.constant(in_memory(&name, dtype, vec![], bytes).expect("one element"))
            }));
        }
        patch.rewrite(id, node);
        Look::Patch(patch)
    }
}

fn clipped(bound: f64, by: (f64, f64)) -> f64 {
    bound.max(by.0).min(by.1)
}

/// Constant bounds, in order; infinite where there is none.
fn bounds(edit: &Edit<'_, '_>, id: NodeId) -> Option<(f64, f64)> {
    let node = edit.node(id);
    if node.op == "Relu" {
        return Some((0.0, f64::INFINITY));
    }
    if node.op != "Clip" {
        return None;
    }
    let bound = |name: &str, slot: usize, none: f64| match (node.attribute(name), edit.input(id, slot)) {
        (Some(value), _) => Value::as_float(value),
        (None, Some(input)) => edit.numbers(input)?.first().copied(),
        (None, None) => Some(none),
    };
    let (low, high) = (bound("min", 1, f64::NEG_INFINITY)?, bound("max", 2, f64::INFINITY)?);
    (low <= high).then_some((low, high))
}
