//! `PriorBox`: boxes of several sizes and ratios around the centre of each cell of a feature map.

use super::super::blob::{Blob, zeros};
use super::super::call::{Call, Tops};
use super::super::fault::Fault;

/// The top is `[1, 2, boxes × 4]`: corners, relative to the picture's size, and the variances of each. For each smallest
/// size come: the square of it; the square between it and the largest, where there is one; and the other ratios of its
/// area. Caffe cuts sizes down to whole numbers.
pub(in super::super) fn prior_box(call: &Call<'_>) -> Tops {
    let settings = call.settings("prior_box_param");
    let [.., height, width] = call.bottom(0)?.legacy()?;
    let smallest = settings.floats("min_size")?;
    let largest = settings.floats("max_size")?;
    if smallest.is_empty() || !largest.is_empty() && largest.len() != smallest.len() {
        return Err(format!("{} smallest and {} largest sizes", smallest.len(), largest.len()).into());
    }
    let ratios = ratios(&settings.floats("aspect_ratio")?, settings.truth("flip", true)?)?;
    let mut shapes: Vec<[f64; 2]> = Vec::new();
    for (i, min) in smallest.iter().map(|size| size.trunc()).enumerate() {
        shapes.push([min, min]);
        if let Some(max) = largest.get(i) {
            let between = (min * max.trunc()).sqrt();
            shapes.push([between, between]);
        }
        shapes.extend(ratios.iter().map(|ratio| [min * ratio.sqrt(), min / ratio.sqrt()]));
    }
    let variance = match settings.floats("variance")?.as_slice() {
        [] => [f64::from(0.1f32); 4],
        [one] => [*one; 4],
        [a, b, c, d] => [*a, *b, *c, *d],
        other => return Err(format!("{} variances", other.len()).into()),
    };
    let whole = settings.size("img_size", 0)?;
    let (rows, columns) = match (settings.size("img_h", whole)?, settings.size("img_w", whole)?) {
        (h, w) if h > 0 && w > 0 => (h as f64, w as f64),
        _ => {
            let [.., h, w] = call.bottom(1)?.legacy()?;
            (h as f64, w as f64)
        }
    };
    let step = settings.float("step", 0.0)?;
    let steps = (settings.float("step_h", step as f32)?, settings.float("step_w", step as f32)?);
    let (down, right) = match steps {
        (h, w) if h != 0.0 && w != 0.0 => (h, w),
        _ => (rows / height as f64, columns / width as f64),
    };
    let offset = settings.float("offset", 0.5)?;
    let all = [1, 2, height.saturating_mul(width).saturating_mul(shapes.len()).saturating_mul(4)];
    let mut data = zeros(&all)?;
    let (boxes, variances) = data.split_at_mut(all[2]);
    for (cell, boxes) in boxes.chunks_exact_mut(shapes.len() * 4).enumerate() {
        let x = ((cell % width) as f64 + offset) * right;
        let y = ((cell / width) as f64 + offset) * down;
        for (corners, [w, h]) in boxes.chunks_exact_mut(4).zip(&shapes) {
            corners.copy_from_slice(&[
                (x - w / 2.0) / columns,
                (y - h / 2.0) / rows,
                (x + w / 2.0) / columns,
                (y + h / 2.0) / rows,
            ]);
        }
    }
    if settings.truth("clip", false)? {
        boxes.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
    }
    variances.chunks_exact_mut(4).for_each(|each| each.copy_from_slice(&variance));
    Ok(vec![Blob::new(all.to_vec(), data)])
}

/// Ratios other than 1, each once and before its inverse. Those that differ by less than a millionth are the same.
fn ratios(told: &[f64], flip: bool) -> Result<Vec<f64>, Fault> {
    let mut ratios = vec![1.0];
    for &ratio in told {
        if ratio <= 0.0 || ratio.is_nan() {
            return Err(format!("an aspect ratio of {ratio}").into());
        }
        if ratios.iter().all(|known: &f64| (known - ratio).abs() >= 1e-6) {
            ratios.push(ratio);
            if flip {
                ratios.push(1.0 / ratio);
            }
        }
    }
    ratios.retain(|ratio| (ratio - 1.0).abs() >= 1e-6);
    Ok(ratios)
}
