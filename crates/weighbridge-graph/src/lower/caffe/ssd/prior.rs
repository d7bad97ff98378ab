//! PriorBox: boxes that depend on sizes alone, and so a constant here.

use weighbridge_model::Result;

use crate::lower::caffe::work::Job;

const SETTINGS: &str = "prior_box_param";

/// Boxes of one place, by width and height, in Caffe's order: for each `min_size` the square of it, that of the geometric
/// mean with its `max_size`, and one for each aspect ratio. Sizes are whole numbers in Caffe, whatever is written.
fn boxes(job: &mut Job<'_, '_>) -> Result<Vec<(f32, f32)>> {
    let layer = job.layer;
    let (least, most) = (layer.floats(SETTINGS, "min_size")?, layer.floats(SETTINGS, "max_size")?);
    if least.is_empty() || !most.is_empty() && most.len() != least.len() {
        return Err(layer.malformed(format!("{} min_size and {} max_size", least.len(), most.len())));
    }
    let flip = layer.flag(SETTINGS, "flip", true)?;
    let mut ratios: Vec<f32> = vec![1.0];
    for ratio in layer.floats(SETTINGS, "aspect_ratio")? {
        let ratio = ratio as f32;
        if ratios.iter().any(|r| f64::from((ratio - r).abs()) < 1e-6) {
            continue;
        }
        ratios.push(ratio);
        if flip {
            ratios.push((1.0 / f64::from(ratio)) as f32);
        }
    }
    if least.iter().chain(&most).any(|size| size.fract() != 0.0) {
        job.choose("min_size and max_size cut to whole numbers, as Caffe does");
    }
    let mut found = Vec::new();
    for (i, size) in least.iter().map(|size| size.trunc()).enumerate() {
        found.push((size as f32, size as f32));
        if let Some(largest) = most.get(i) {
            let side = (size * largest.trunc()).sqrt() as f32;
            found.push((side, side));
        }
        for &ratio in ratios.iter().filter(|r| f64::from((**r - 1.0).abs()) >= 1e-6) {
            // sqrt is one of single precision there.
            let root = ratio.sqrt();
            found.push((size as f32 * root, size as f32 / root));
        }
    }
    Ok(found)
}

/// PriorBox: `[1, 2, boxes * 4]`, boxes in the first row as fractions of the image, variances in the second.
pub(in crate::lower::caffe) fn prior_box(job: &mut Job<'_, '_>) -> Result<()> {
    let layer = job.layer;
    let plane = |shape: &[u64]| match shape {
        &[_, _, h, w] if h > 0 && w > 0 => Ok((h, w)),
        other => Err(layer.malformed(format!("a bottom of {other:?}, where four sizes belong"))),
    };
    let first = job.bottom(0)?;
    let (rows, columns) = plane(&job.shape(first))?;
    let size = |name: &str, both: &str| -> Result<Option<u64>> {
        match (layer.maybe_int(SETTINGS, name)?, layer.maybe_int(SETTINGS, both)?) {
            (None, None) => Ok(None),
            (one, both) => {
                let n = one.or(both).and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0);
                n.map(Some).ok_or_else(|| layer.malformed(format!("{name} is no size")))
            }
        }
    };
    let image = match (size("img_h", "img_size")?, size("img_w", "img_size")?) {
        (Some(h), Some(w)) => (h, w),
        _ => plane(&job.shape(job.bottom(1)?))?,
    };
    let step = |name: &str| -> Result<f64> {
        let one = layer.float(SETTINGS, name, 0.0)?;
        if one > 0.0 { Ok(one) } else { layer.float(SETTINGS, "step", 0.0) }
    };
    let (mut down, mut across) = (step("step_h")? as f32, step("step_w")? as f32);
    if down == 0.0 || across == 0.0 {
        (down, across) = (image.0 as f32 / rows as f32, image.1 as f32 / columns as f32);
    }
    let offset = layer.float(SETTINGS, "offset", 0.5)? as f32;
    let clip = layer.flag(SETTINGS, "clip", false)?;
    let variances = match layer.floats(SETTINGS, "variance")?.as_slice() {
        [] => [0.1; 4],
        [one] => [*one as f32; 4],
        four if four.len() == 4 => std::array::from_fn(|i| four[i] as f32),
        other => return Err(layer.malformed(format!("{} variances, of one or four", other.len()))),
    };
    let boxes = boxes(job)?;
    let count = (rows * columns).saturating_mul(boxes.len() as u64);
    let shape = [1, 2, count.saturating_mul(4)];
    job.computed(&shape)?;
    let mut numbers = Vec::with_capacity(count as usize * 8);
    for row in 0..rows {
        for column in 0..columns {
            let (x, y) = ((column as f32 + offset) * across, (row as f32 + offset) * down);
            for &(width, height) in &boxes {
                let side = |center: f32, size: f32, sign: f64, image: u64| {
                    ((f64::from(center) + sign * f64::from(size) / 2.0) / image as f64) as f32
                };
                let corners = [
                    side(x, width, -1.0, image.1),
                    side(y, height, -1.0, image.0),
                    side(x, width, 1.0, image.1),
                    side(y, height, 1.0, image.0),
                ];
                numbers.extend(corners.map(|c| if clip { c.clamp(0.0, 1.0) } else { c }));
            }
        }
    }
    for _ in 0..count {
        numbers.extend(variances);
    }
    job.choose(format!("{count} boxes for planes of [{rows}, {columns}] in an image of {image:?}: a constant"));
    let value = job.floats("boxes", &shape, &numbers)?;
    job.finish(0, value)
}
