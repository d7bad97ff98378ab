//! Layers of forks that change the size of planes: Interp, Upsample.

use weighbridge_model::{DType, Result, Value, ValueId};

use super::work::Job;

/// Interp: bilinear, the corners of both planes one upon the other.
pub(super) fn interp(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "interp_param";
    let layer = job.layer;
    let x = job.bottom(0)?;
    let shape = job.shape(x);
    let &[batch, channels, height, width] = shape.as_slice() else {
        return Err(layer.malformed(format!("a bottom of {} axes, of four", shape.len())));
    };
    let (begin, end) = (layer.int(SETTINGS, "pad_beg", 0)?, layer.int(SETTINGS, "pad_end", 0)?);
    if begin > 0 || end > 0 {
        return Err(layer.malformed("padding above 0, where it only takes away"));
    }
    // What is taken away at either side.
    let (begin, end) = (begin.unsigned_abs(), end.unsigned_abs());
    let inner = |size: u64| {
        let rest = size.checked_sub(begin + end).filter(|&n| n > 0);
        rest.ok_or_else(|| layer.malformed(format!("{begin} and {end} to be taken from {size}")))
    };
    let (rows, columns) = (inner(height)?, inner(width)?);
    let shrink = layer.size(SETTINGS, "shrink_factor", 1)?;
    let zoom = layer.size(SETTINGS, "zoom_factor", 1)?;
    let (has_shrink, has_zoom) = (layer.has(SETTINGS, "shrink_factor"), layer.has(SETTINGS, "zoom_factor"));
    let scaled = |size: u64| {
        let small = (size - 1) / shrink.max(1) + 1;
        small + (small - 1) * (zoom.max(1) - 1)
    };
    let (to_rows, to_columns) = match (job.bottoms.get(1), has_shrink || has_zoom) {
        (Some(&like), _) => match job.shape(like).as_slice() {
            &[_, _, h, w] => (h, w),
            other => return Err(layer.malformed(format!("a second bottom of {} axes", other.len()))),
        },
        (None, true) => (scaled(rows), scaled(columns)),
        (None, false) => (layer.count(SETTINGS, "height")?, layer.count(SETTINGS, "width")?),
    };
    job.choose(format!("[{rows}, {columns}] to [{to_rows}, {to_columns}]: bilinear, corners aligned"));
    let x = job.slice(x, 2, begin, height - end)?;
    let x = job.slice(x, 3, begin, width - end)?;
    let y = resized(job, x, &[batch, channels, to_rows, to_columns], "linear", "align_corners")?;
    job.finish(0, y)
}

fn resized(job: &mut Job<'_, '_>, x: ValueId, sizes: &[u64], mode: &str, corners: &str) -> Result<ValueId> {
    if job.shape(x) == sizes {
        return Ok(x);
    }
    let name = |text: &str| Value::Str(text.to_owned());
    let mut attributes = vec![("mode", name(mode)), ("coordinate_transformation_mode", name(corners))];
    if mode == "nearest" {
        attributes.push(("nearest_mode", name("floor")));
    }
    let wanted = job.dims("sizes", sizes)?;
    let y = job.emit("Resize", &[x, wanted], attributes, sizes.to_vec())?;
    // Neither a region of interest nor scales.
    let node = job.work.build.graph.nodes.last_mut().expect("just made");
    node.inputs.splice(1..1, [None, None]);
    Ok(y)
}

/// Upsample: with one bottom each element as a block of equal ones; with two (SegNet's), each back where a pooling found
/// it, by that pooling's mask.
pub(super) fn upsample(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "upsample_param";
    let layer = job.layer;
    let x = job.bottom(0)?;
    let shape = job.shape(x);
    let &[batch, channels, height, width] = shape.as_slice() else {
        return Err(layer.malformed(format!("a bottom of {} axes, of four", shape.len())));
    };
    let scale = layer.size(SETTINGS, "scale", if job.bottoms.len() > 1 { 2 } else { 1 })?;
    let along = |name: &str| Ok(layer.maybe_int(SETTINGS, name)?.and_then(|n| u64::try_from(n).ok()));
    let size = |by: Option<u64>, to: Option<u64>, size: u64| to.unwrap_or(size.saturating_mul(by.unwrap_or(scale)));
    let rows = size(along("scale_h")?, along("upsample_h")?, height);
    let columns = size(along("scale_w")?, along("upsample_w")?, width);
    let sizes = [batch, channels, rows, columns];
    if sizes.contains(&0) {
        return Err(layer.malformed(format!("a top of {sizes:?}")));
    }
    let Some(&mask) = job.bottoms.get(1) else {
        job.choose(format!("[{height}, {width}] to [{rows}, {columns}]: nearest"));
        let y = resized(job, x, &sizes, "nearest", "asymmetric")?;
        return job.finish(0, y);
    };
    if job.shape(mask) != shape {
        return Err(layer.malformed(format!("a mask of {:?}, for {shape:?}", job.shape(mask))));
    }
    job.choose(format!("each element back to its place in a plane of [{rows}, {columns}], zeros elsewhere"));
    let (planes, from, to) = (batch * channels, height * width, rows * columns);
    job.check(&sizes)?;
    let updates = job.reshape(x, &[planes, from])?;
    let mask = job.reshape(mask, &[planes, from])?;
    let places = job.cast(mask, DType::I64)?;
    let (zero, flat) = (job.scalar("zero", 0.0)?, job.dims("planes", &[planes, to])?);
    let zeros = job.emit("Expand", &[zero, flat], vec![], vec![planes, to])?;
    let y = job.emit("ScatterElements", &[zeros, places, updates], vec![("axis", Value::Int(1))], vec![planes, to])?;
    let y = job.reshape(y, &sizes)?;
    job.finish(0, y)
}
