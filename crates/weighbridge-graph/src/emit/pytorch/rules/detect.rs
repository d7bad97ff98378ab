//! Heads of detectors: suppression of overlapping boxes, pooling of regions.

use weighbridge_model::DType;

use super::Row;
use crate::emit::pytorch::scope::{Ruled, Work};
use crate::emit::pytorch::text::{float, truth};

pub(super) const RULES: &[Row] = &[("NonMaxSuppression", non_max_suppression), ("RoiAlign", roi_align)];

fn non_max_suppression(w: &mut Work<'_, '_>) -> Ruled {
    let (boxes, scores) = (w.x(0)?, w.x(1)?);
    w.learn(0, Some(DType::I64), Some(2));
    let mut most = "0".to_owned();
    if let Some(n) = w.ints(2)? {
        most = n.first().copied().unwrap_or(0).to_string();
    } else if w.has(2) {
        most = format!("int({})", w.x(2)?);
    }
    let number = |w: &mut Work<'_, '_>, index: usize, otherwise: &str| -> Ruled<String> {
        match w.floats(index)? {
            Some(x) => Ok(float(x.first().copied().unwrap_or(0.0))),
            None if w.has(index) => Ok(format!("float({})", w.x(index)?)),
            None => Ok(otherwise.to_owned()),
        }
    };
    let (overlap, least) = (number(w, 3, "0.0")?, number(w, 4, "None")?);
    let center = truth(w.int("center_point_box", 0) != 0);
    let help = w.help("non_max_suppression");
    w.give(format!("{help}({boxes}, {scores}, {most}, {overlap}, {least}, center_point_box={center})"))
}

fn roi_align(w: &mut Work<'_, '_>) -> Ruled {
    let (x, boxes, batch, dtype) = (w.x(0)?, w.x(1)?, w.x(2)?, w.dtype(0));
    w.learn(0, dtype, Some(4));
    let otherwise = if w.scope.opset >= 16 { "half_pixel" } else { "output_half_pixel" };
    let half = w.word("coordinate_transformation_mode", otherwise) == "half_pixel";
    let mode = w.word("mode", "avg");
    if !["avg", "max"].contains(&mode) {
        return Err(format!("mode is '{mode}': avg and max are known").into());
    }
    let help = w.help("roi_align");
    w.give(format!(
        "{help}({x}, {boxes}, {batch}, ({}, {}), {}, {}, \"{mode}\", half_pixel={})",
        w.int("output_height", 1),
        w.int("output_width", 1),
        w.int("sampling_ratio", 0),
        float(w.float("spatial_scale", 1.0)),
        truth(half)
    ))
}
