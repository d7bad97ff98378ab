//! Layers that move elements and change none: Flatten, Reshape, Permute, Concat, Slice, Split, Crop, Tile, and forks'
//! Reorg, ShuffleChannel, PixelShuffle.

use weighbridge_model::{DType, Result, Value};

use super::work::Job;

/// What gives its bottom as it is.
pub(super) fn same(job: &mut Job<'_, '_>) -> Result<()> {
    let x = job.bottom(0)?;
    job.finish(0, x)
}

/// Split: as many tops as are named, each the bottom.
pub(super) fn split(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, _) = job.single()?;
    (0..job.tops.len()).try_for_each(|i| job.finish(i, x))
}

/// Flatten: the axes from `axis` to `end_axis` become one.
pub(super) fn flatten(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "flatten_param";
    let (x, shape) = job.single()?;
    let axis = |name, otherwise| job.layer.axis(job.layer.int(SETTINGS, name, otherwise)?, shape.len());
    let (start, end) = (axis("axis", 1)?, axis("end_axis", -1)?);
    if start > end {
        return Err(job.layer.malformed(format!("axes {start} to {end}")));
    }
    let mut after = shape[..start].to_vec();
    after.push(shape[start..=end].iter().product());
    after.extend(&shape[end + 1..]);
    let y = job.reshape(x, &after)?;
    job.finish(0, y)
}

/// Reshape: 0 copies the size of its place, -1 takes what is left; only the axes from `axis` on, `num_axes` of them.
pub(super) fn reshape(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "reshape_param";
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let wanted: Vec<i64> = match layer.setting(SETTINGS, "shape").and_then(|s| s.get("dim")) {
        Some(Value::List(items)) => items.iter().filter_map(Value::as_int).collect(),
        Some(one) => one.as_int().into_iter().collect(),
        None => Vec::new(),
    };
    let axis = layer.int(SETTINGS, "axis", 0)?;
    let start = if axis < 0 { axis + shape.len() as i64 + 1 } else { axis };
    let start = usize::try_from(start).ok().filter(|&s| s <= shape.len());
    let start = start.ok_or_else(|| layer.malformed(format!("axis {axis}, of {} axes", shape.len())))?;
    let axes = layer.int(SETTINGS, "num_axes", -1)?;
    let end = if axes < 0 { shape.len() } else { start + axes as usize };
    if end > shape.len() || axes < -1 {
        return Err(layer.malformed(format!("{axes} axes from {start} on, of {}", shape.len())));
    }
    let mut middle = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, &size) in wanted.iter().enumerate() {
        middle.push(match size {
            0 => *shape.get(start + i).ok_or_else(|| {
                layer.malformed(format!("a size of 0 in place {i}, which copies an axis that is not there"))
            })?,
            -1 if open.replace(i).is_none() => 1,
            n if n > 0 => n as u64,
            n => return Err(layer.malformed(format!("a size of {n} in {wanted:?}"))),
        });
    }
    let mut after = [&shape[..start], &middle, &shape[end..]].concat();
    job.check(&after)?;
    if let Some(open) = open {
        let (all, others) = (shape.iter().product::<u64>(), after.iter().product::<u64>());
        if others == 0 || all % others != 0 {
            return Err(layer.malformed(format!("{shape:?} cannot become {wanted:?}")));
        }
        after[start + open] = all / others;
    }
    let y = job.reshape(x, &after)?;
    job.finish(0, y)
}

/// Permute: axes that the order leaves out follow in theirs.
pub(super) fn permute(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, shape) = job.single()?;
    let mut order: Vec<usize> = Vec::with_capacity(shape.len());
    for axis in job.layer.sizes("permute_param", "order")? {
        let axis = job.layer.axis(axis as i64, shape.len())?;
        if order.contains(&axis) {
            return Err(job.layer.malformed(format!("axis {axis} stands in the order twice")));
        }
        order.push(axis);
    }
    let rest: Vec<usize> = (0..shape.len()).filter(|axis| !order.contains(axis)).collect();
    order.extend(rest);
    let y = job.transpose(x, &order)?;
    job.finish(0, y)
}

/// The axis of Concat or Slice, which older nets give as the dimension of four.
fn axis(job: &Job<'_, '_>, settings: &str, old: &str, rank: usize) -> Result<usize> {
    match job.layer.maybe_int(settings, old)? {
        Some(_) if job.layer.has(settings, "axis") => {
            Err(job.layer.malformed(format!("both axis and {old}, of which Caffe takes one")))
        }
        Some(dim) => job.layer.axis(dim, rank),
        None => job.layer.axis(job.layer.int(settings, "axis", 1)?, rank),
    }
}

pub(super) fn concat(job: &mut Job<'_, '_>) -> Result<()> {
    let x = job.bottom(0)?;
    let rank = job.shape(x).len();
    let axis = axis(job, "concat_param", "concat_dim", rank)?;
    if job.bottoms.len() == 1 {
        return job.finish(0, x);
    }
    let y = job.concat(&job.bottoms.clone(), axis)?;
    job.finish(0, y)
}

/// Slice: at the points that are given, otherwise into equal parts.
pub(super) fn slice(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "slice_param";
    let (x, shape) = job.single()?;
    let axis = axis(job, SETTINGS, "slice_dim", shape.len())?;
    let mut points = job.layer.sizes(SETTINGS, "slice_point")?;
    let (length, tops) = (shape[axis], job.tops.len() as u64);
    let fault = |what: String| Err(job.layer.malformed(what));
    if points.is_empty() {
        if tops == 0 || length % tops != 0 {
            return fault(format!("{length} rows into {tops} equal parts"));
        }
        points = (1..tops).map(|i| i * (length / tops)).collect();
    }
    if points.len() as u64 + 1 != tops {
        return fault(format!("{} slice points for {tops} tops", points.len()));
    }
    let bounds = [&[0], points.as_slice(), &[length]].concat();
    let sizes: Option<Vec<u64>> =
        bounds.windows(2).map(|pair| pair[1].checked_sub(pair[0]).filter(|&n| n > 0)).collect();
    let Some(sizes) = sizes else { return fault(format!("slice points {points:?} of {length} rows")) };
    if sizes.len() == 1 {
        return job.finish(0, x);
    }
    let outputs = sizes.iter().map(|&n| {
        let mut part = shape.clone();
        part[axis] = n;
        (DType::F32, Some(part))
    });
    let outputs = outputs.collect();
    let sizes = job.dims("sizes", &sizes)?;
    let parts = job.emit_many("Split", &[x, sizes], vec![("axis", Value::Int(axis as i64))], outputs)?;
    parts.into_iter().enumerate().try_for_each(|(i, part)| job.finish(i, part))
}

/// Crop: to the sizes of the second bottom from `axis` on, from an offset for each of these axes or one for all.
pub(super) fn crop(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "crop_param";
    let (mut x, like) = (job.bottom(0)?, job.bottom(1)?);
    let (shape, like) = (job.shape(x), job.shape(like));
    let layer = job.layer;
    let start = layer.axis(layer.int(SETTINGS, "axis", 2)?, shape.len())?;
    let offsets = layer.sizes(SETTINGS, "offset")?;
    if like.len() != shape.len() {
        return Err(layer.malformed(format!("bottoms of {} and {} axes", shape.len(), like.len())));
    }
    let offsets = match offsets.as_slice() {
        [] => vec![0; shape.len() - start],
        [one] => vec![*one; shape.len() - start],
        many if many.len() == shape.len() - start => many.to_vec(),
        many => {
            let what = format!("{} offsets for {} axes", many.len(), shape.len() - start);
            return Err(layer.malformed(what));
        }
    };
    for (axis, offset) in (start..).zip(offsets) {
        let end = offset.saturating_add(like[axis]);
        if end > shape[axis] {
            let what = format!(
                "axis {axis} has {}, and {} are to be left from {offset} on",
                shape[axis], like[axis]
            );
            return Err(layer.malformed(what));
        }
        x = job.slice(x, axis, offset, end)?;
    }
    job.finish(0, x)
}

/// Tile: the bottom so many times along an axis.
pub(super) fn tile(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, mut shape) = job.single()?;
    let axis = job.layer.axis(job.layer.int("tile_param", "axis", 1)?, shape.len())?;
    let tiles = job.layer.count("tile_param", "tiles")?;
    let mut repeats = vec![1; shape.len()];
    repeats[axis] = tiles;
    shape[axis] = shape[axis].saturating_mul(tiles);
    let repeats = job.dims("repeats", &repeats)?;
    let y = job.emit("Tile", &[x, repeats], vec![], shape)?;
    job.finish(0, y)
}

/// The four sizes of the only bottom.
fn four(job: &Job<'_, '_>) -> Result<(weighbridge_model::ValueId, [u64; 4])> {
    let (x, shape) = job.single()?;
    let sizes = <[u64; 4]>::try_from(shape.as_slice());
    Ok((x, sizes.map_err(|_| job.layer.malformed(format!("a bottom of {} axes, of four", shape.len())))?))
}

/// YOLO's Reorg: blocks of space become channels, in darknet's order, which reads the bottom as one of fewer channels
/// and larger planes; `reverse` undoes it where the sizes are those of such a top.
pub(super) fn reorg(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, [n, c, h, w]) = four(job)?;
    let s = job.layer.count("reorg_param", "stride")?;
    let reverse = job.layer.flag("reorg_param", "reverse", false)?;
    let square = s.checked_mul(s).filter(|&n| n > 0 && c % n == 0);
    let Some(square) = square.filter(|_| reverse || h % s == 0 && w % s == 0) else {
        return Err(job.layer.malformed(format!("a stride of {s} for [{n}, {c}, {h}, {w}]")));
    };
    let few = c / square;
    if reverse {
        job.choose("in darknet's order, whose blocks are the outer part of a channel's number");
        let attributes = vec![("blocksize", Value::Int(s as i64)), ("mode", Value::Str("DCR".to_owned()))];
        let y = job.emit(
            "DepthToSpace",
            &[x],
            attributes,
            vec![n, few, h.saturating_mul(s), w.saturating_mul(s)],
        )?;
        return job.finish(0, y);
    }
    job.choose("in darknet's order, which is not that of SpaceToDepth");
    let x = job.reshape(x, &[n, few, h, s, w, s])?;
    let x = job.transpose(x, &[0, 3, 5, 1, 2, 4])?;
    let y = job.reshape(x, &[n, c * square, h / s, w / s])?;
    job.finish(0, y)
}

/// ShuffleChannel: channels of all groups in turn.
pub(super) fn shuffle_channel(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, [n, c, h, w]) = four(job)?;
    let group = job.layer.size("shuffle_channel_param", "group", 1)?;
    if group == 0 || c % group != 0 {
        return Err(job.layer.malformed(format!("{c} channels in {group} groups")));
    }
    let x = job.reshape(x, &[n, group, c / group, h * w])?;
    let x = job.transpose(x, &[0, 2, 1, 3])?;
    let y = job.reshape(x, &[n, c, h, w])?;
    job.finish(0, y)
}

/// Forks' PixelShuffle: channels become blocks of space.
pub(super) fn pixel_shuffle(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, [n, c, h, w]) = four(job)?;
    let s = job.layer.count("pixelshuffle_param", "upscale_factor")?;
    if c % (s * s) != 0 {
        return Err(job.layer.malformed(format!("{c} channels, for blocks of {s} by {s}")));
    }
    let attributes = vec![("blocksize", Value::Int(s as i64)), ("mode", Value::Str("CRD".to_owned()))];
    let y = job.emit("DepthToSpace", &[x], attributes, vec![n, c / (s * s), h * s, w * s])?;
    job.finish(0, y)
}
