//! Nodes that only change a shape, and do not.

use super::identity::handed_on;
use super::{Look, Pass};
use crate::edit::{Edit, NodeId, same_shape};

pub(super) struct SameShape;

impl Pass for SameShape {
    fn name(&self) -> &'static str {
        "same-shape"
    }

    fn about(&self) -> &'static str {
        "Reshape, Flatten, Squeeze, Unsqueeze, Expand, Slice with steps of 1, Pad with nothing, Tile by 1, Resize by 1 \
         and Transpose that leaves elements in order go, where the result has the shape of what they read."
    }

    fn operators(&self) -> &'static [&'static str] {
        &[
            "Reshape",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Expand",
            "Slice",
            "Pad",
            "Tile",
            "Resize",
            "Upsample",
            "Transpose",
        ]
    }

    fn look(&self, edit: &Edit<'_, '_>, id: NodeId) -> Look {
        let (Some(x), Some(output)) = (edit.input(id, 0), edit.output(id, 0)) else { return Look::No };
        let same = match (edit.shape(x), edit.shape(output)) {
            (Some(a), Some(b)) => same_shape(a, b),
            _ => false,
        };
        let nothing = match edit.node(id).op.as_str() {
            "Slice" => whole_slice(edit, id, same),
            "Pad" => edit.ints_or_input(id, "pads", 1).is_some_and(|pads| pads.iter().all(|&n| n == 0)),
            "Tile" => {
                edit.input(id, 1).and_then(|r| edit.integers(r)).is_some_and(|r| r.iter().all(|&n| n == 1))
            }
            "Transpose" => in_order(edit, id, same),
            "Resize" | "Upsample" => resize_by_1(edit, id, same),
            _ => same,
        };
        if nothing { handed_on(edit, id, x, output) } else { Look::No }
    }
}

fn whole_slice(edit: &Edit<'_, '_>, id: NodeId, same: bool) -> bool {
    let steps = match edit.input(id, 4) {
        None => Some(Vec::new()),
        Some(steps) => edit.integers(steps),
    };
    if steps.is_none_or(|steps| steps.iter().any(|&n| n != 1)) {
        return false;
    }
    let (starts, ends) = (edit.ints_or_input(id, "starts", 1), edit.ints_or_input(id, "ends", 2));
    let from_front = starts.is_some_and(|starts| starts.iter().all(|&n| n == 0));
    // Runtimes take this for as far as it goes.
    let to_end = ends.is_some_and(|ends| ends.iter().all(|&n| n >= i64::from(i32::MAX)));
    same || from_front && to_end
}

fn in_order(edit: &Edit<'_, '_>, id: NodeId, same: bool) -> bool {
    let Some(perm) = edit.ints(id, "perm") else {
        return edit.input(id, 0).and_then(|x| edit.rank(x)).is_some_and(|rank| rank < 2);
    };
    if perm.iter().zip(0..).all(|(&axis, at)| axis == at) {
        return true;
    }
    same && moves_ones(edit, id)
}

/// Whether a Transpose moves dimensions of 1 only, and so leaves all elements in order.
pub(super) fn moves_ones(edit: &Edit<'_, '_>, id: NodeId) -> bool {
    let (Some(perm), Some(shape)) = (edit.ints(id, "perm"), edit.input(id, 0).and_then(|x| edit.shape(x)))
    else {
        return false;
    };
    let one = |axis: i64| {
        usize::try_from(axis).ok().and_then(|a| shape.get(a)).is_some_and(|n| n.known() == Some(1))
    };
    let moved: Vec<i64> = perm.iter().copied().filter(|&axis| !one(axis)).collect();
    perm.len() == shape.len() && moved.is_sorted()
}

fn resize_by_1(edit: &Edit<'_, '_>, id: NodeId, same: bool) -> bool {
    let node = edit.node(id);
    let text =
        |name: &str| node.attribute(name).and_then(weighbridge_model::Value::as_str).unwrap_or_default();
    if text("coordinate_transformation_mode") == "tf_crop_and_resize"
        || text("mode") == "cubic" && edit.int(id, "exclude_outside") == Some(1)
    {
        return false;
    }
    let scales = match (node.op.as_str(), edit.opset) {
        ("Upsample", _) | (_, ..=10) => edit.input(id, 1),
        _ => edit.input(id, 2),
    };
    let scales = scales.and_then(|scales| edit.numbers(scales)).filter(|scales| !scales.is_empty());
    match scales {
        Some(scales) => scales.iter().all(|&x| x == 1.0),
        // Sizes that are those of the input are scales of 1.
        None => same && edit.input(id, 3).is_some(),
    }
}
