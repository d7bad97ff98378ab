//! Resizing and sampling of images.

use super::Row;
use super::index::floats;
use crate::emit::pytorch::scope::{Ruled, Work};
use crate::emit::pytorch::text::{float, list, truth};

pub(super) const RULES: &[Row] =
    &[("Resize", resize), ("Upsample", upsample), ("GridSample", grid_sample), ("AffineGrid", affine_grid)];

/// torch's name of a linear interpolation over so many dimensions.
const LINEAR: [&str; 3] = ["linear", "bilinear", "trilinear"];

/// An expression of the sizes or scales of an input, and its numbers where they are known.
fn given(w: &mut Work<'_, '_>, index: usize) -> Ruled<Option<(String, Option<Vec<f64>>)>> {
    if !w.has(index) || w.known(index).dims == Some(vec![Some(0)]) {
        return Ok(None);
    }
    match w.floats(index)? {
        Some(numbers) if w.dtype(index).is_some_and(|t| t.is_integer()) => {
            Ok(Some((list(&numbers.iter().map(|&n| n as i64).collect::<Vec<_>>()), Some(numbers))))
        }
        Some(numbers) => Ok(Some((floats(&numbers), Some(numbers)))),
        None => Ok(Some((format!("{}.tolist()", w.x(index)?), None))),
    }
}

fn resize(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let first = w.scope.opset < 11;
    let (scales, sizes) = if first { (given(w, 1)?, None) } else { (given(w, 2)?, given(w, 3)?) };
    let mode = w.word("mode", "nearest");
    let position = w.word("coordinate_transformation_mode", if first { "asymmetric" } else { "half_pixel" });
    let nearest = w.word("nearest_mode", if first { "floor" } else { "round_prefer_floor" });
    let axes = w.int_list("axes");
    let policy = w.word("keep_aspect_ratio_policy", "stretch");
    let (antialias, outside) = (w.int("antialias", 0) != 0, w.int("exclude_outside", 0) != 0);
    for (name, value, known) in [
        ("mode", mode, &["nearest", "linear", "cubic"][..]),
        (
            "coordinate_transformation_mode",
            position,
            &[
                "half_pixel",
                "half_pixel_symmetric",
                "pytorch_half_pixel",
                "align_corners",
                "asymmetric",
                "tf_crop_and_resize",
            ],
        ),
        ("nearest_mode", nearest, &["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
        ("keep_aspect_ratio_policy", policy, &["stretch", "not_larger", "not_smaller"]),
    ] {
        if !known.contains(&value) {
            return Err(format!("{name} is '{value}', of which nothing is known").into());
        }
    }
    // torch's own interpolation, where it is the same: both sizes of images, and no other axis changed.
    if let (Some(rank @ 3..=5), None, "stretch", false) = (rank, &axes, policy, antialias) {
        let at = match (mode, position, nearest) {
            ("linear", "half_pixel" | "pytorch_half_pixel", _) => {
                Some((LINEAR[rank - 3], ", align_corners=False"))
            }
            ("linear", "align_corners", _) => Some((LINEAR[rank - 3], ", align_corners=True")),
            ("nearest", "asymmetric", "floor") => Some(("nearest", "")),
            _ => None,
        };
        let batch = |numbers: &[f64]| numbers.len() == rank && numbers[..2] == [1.0, 1.0];
        if let Some((mode, corners)) = at {
            if let Some((_, Some(numbers))) = &scales
                && batch(numbers)
                // Numbers that single precision has exactly leave no doubt of the size.
                && numbers[2..].iter().all(|s| s.fract() == 0.0 || (1.0 / s).fract() == 0.0)
                && numbers[2..].iter().all(|s| *s >= 1.0)
            {
                let factors: Vec<String> = numbers[2..].iter().map(|&s| float(s)).collect();
                let factors = if factors.iter().all(|f| *f == factors[0]) {
                    factors[0].clone()
                } else {
                    format!("({})", factors.join(", "))
                };
                return w
                    .give(format!("F.interpolate({x}, scale_factor={factors}, mode=\"{mode}\"{corners})"));
            }
            let dims = w.known(0).dims.unwrap_or_default();
            let kept = |numbers: &[f64]| {
                numbers.len() == rank && (0..2).all(|i| dims[i].is_some_and(|n| n as f64 == numbers[i]))
            };
            if let Some((_, Some(numbers))) = &sizes
                && kept(numbers)
                // One pixel out of many is taken elsewhere by the half-pixel rule of PyTorch.
                && numbers[2..].iter().all(|n| *n > 1.0)
            {
                let sizes: Vec<i64> = numbers[2..].iter().map(|&n| n as i64).collect();
                let size = crate::emit::pytorch::text::tuple(&sizes);
                return w.give(format!("F.interpolate({x}, size={size}, mode=\"{mode}\"{corners})"));
            }
        }
    }
    let mut arguments = format!("mode=\"{mode}\", position=\"{position}\"");
    match (&scales, &sizes) {
        (_, Some((sizes, _))) => arguments += &format!(", sizes={sizes}"),
        (Some((scales, _)), None) => arguments += &format!(", scales={scales}"),
        (None, None) => return Err("it has neither scales nor sizes".into()),
    }
    if mode == "nearest" {
        arguments += &format!(", nearest=\"{nearest}\"");
    }
    if let Some(axes) = axes {
        arguments += &format!(", axes={}", list(&axes));
    }
    if policy != "stretch" {
        arguments += &format!(", policy=\"{policy}\"");
    }
    if mode == "cubic" {
        arguments += &format!(", cubic={}", float(w.float("cubic_coeff_a", -0.75)));
    }
    if antialias {
        arguments += &format!(", antialias={}", truth(true));
    }
    if outside {
        arguments += &format!(", exclude_outside={}", truth(true));
    }
    if position == "tf_crop_and_resize" {
        let (region, _) = given(w, 1)?.ok_or("it has no region to crop")?;
        arguments += &format!(", region={region}, outside={}", float(w.float("extrapolation_value", 0.0)));
    }
    let help = w.help("resize");
    w.scope.helpers.insert("resize_weights");
    w.give(format!("{help}({x}, {arguments})"))
}

/// As Resize was first: from the upper left corner.
fn upsample(w: &mut Work<'_, '_>) -> Ruled {
    let (x, dtype, rank) = (w.x(0)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let told: Option<Vec<f64>> = w
        .node
        .attribute("scales")
        .and_then(|v| v.as_list()?.iter().map(weighbridge_model::Value::as_float).collect());
    let scales = match told {
        Some(numbers) => floats(&numbers),
        None => given(w, 1)?.ok_or("it has no scales")?.0,
    };
    let mode = match w.word("mode", "nearest") {
        "nearest" => "nearest",
        "linear" | "bilinear" => "linear",
        other => return Err(format!("mode is '{other}', of which nothing is known").into()),
    };
    let help = w.help("resize");
    w.scope.helpers.insert("resize_weights");
    w.give(format!(
        "{help}({x}, mode=\"{mode}\", position=\"asymmetric\", scales={scales}, nearest=\"floor\")"
    ))
}

fn grid_sample(w: &mut Work<'_, '_>) -> Ruled {
    let (x, grid, dtype, rank) = (w.x(0)?, w.x(1)?, w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
    let mode = match w.word("mode", "linear") {
        "linear" | "bilinear" => "bilinear",
        "nearest" => "nearest",
        "cubic" | "bicubic" => "bicubic",
        other => return Err(format!("mode is '{other}', of which nothing is known").into()),
    };
    let padding = w.word("padding_mode", "zeros");
    if !["zeros", "border", "reflection"].contains(&padding) {
        return Err(format!("padding_mode is '{padding}', of which nothing is known").into());
    }
    let corners = truth(w.int("align_corners", 0) != 0);
    w.give(format!(
        "F.grid_sample({x}, {grid}, mode=\"{mode}\", padding_mode=\"{padding}\", align_corners={corners})"
    ))
}

fn affine_grid(w: &mut Work<'_, '_>) -> Ruled {
    let (theta, size) = (w.x(0)?, w.list(1)?);
    let corners = truth(w.int("align_corners", 0) != 0);
    w.give(format!("F.affine_grid({theta}, {size}, align_corners={corners})"))
}
