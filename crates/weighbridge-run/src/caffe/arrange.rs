//! Layers that give the same elements another shape, place or company.

use super::blob::{Blob, count, zeros};
use super::call::{Call, Tops};
use super::fault::Fault;
use super::settings::ints_of;

/// `Split`: the bottom, as many times as there are tops.
pub(super) fn split(call: &Call<'_>) -> Tops {
    Ok(vec![call.bottom(0)?.clone(); call.layer.tops.len()])
}

/// `Flatten`: the dimensions from `axis` to `end_axis` as one.
pub(super) fn flatten(call: &Call<'_>) -> Tops {
    let settings = call.settings("flatten_param");
    let bottom = call.bottom(0)?;
    let (start, end) = (bottom.axis(settings.int("axis", 1)?)?, bottom.axis(settings.int("end_axis", -1)?)?);
    if end < start {
        return Err(format!("axes from {start} to {end}").into());
    }
    let mut shape = bottom.shape[..start].to_vec();
    shape.push(bottom.shape[start..=end].iter().product());
    shape.extend(&bottom.shape[end + 1..]);
    Ok(vec![bottom.reshaped(shape)])
}

/// `Reshape`: `num_axes` dimensions from `axis` on become those of `shape`, where 0 keeps the bottom's and -1 is what is
/// left.
pub(super) fn reshape(call: &Call<'_>) -> Tops {
    let settings = call.settings("reshape_param");
    let bottom = call.bottom(0)?;
    let told = settings.messages("shape").last();
    let dims = told.map(|shape| ints_of(shape, "dim")).transpose()?.unwrap_or_default();
    let axes = bottom.axes() as i64;
    let (axis, wide) = (settings.int("axis", 0)?, settings.int("num_axes", -1)?);
    let start = if axis < 0 { axis + axes + 1 } else { axis };
    let end = if wide == -1 { axes } else { start + wide };
    if wide < -1 || !(0..=axes).contains(&start) || end > axes {
        return Err(format!("{wide} axes from {axis} on of a blob of shape {:?}", bottom.shape).into());
    }
    let (start, end) = (start as usize, end as usize);
    let mut shape = bottom.shape[..start].to_vec();
    let mut open = None;
    for (at, &dim) in dims.iter().enumerate() {
        shape.push(match dim {
            0 => *bottom
                .shape
                .get(start + at)
                .ok_or_else(|| Fault::from(format!("no dimension {at} to keep")))?,
            -1 if open.is_none() => {
                open = Some(shape.len());
                1
            }
            dim => usize::try_from(dim).map_err(|_| Fault::from(format!("a shape of {dims:?}")))?,
        });
    }
    shape.extend(&bottom.shape[end..]);
    let known = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n > 0);
    let all = bottom.data.len();
    match (known, open) {
        (Some(known), Some(open)) if all.is_multiple_of(known) => shape[open] = all / known,
        (Some(known), None) if known == all => {}
        _ => return Err(format!("{all} elements of shape {:?} as {dims:?}", bottom.shape).into()),
    }
    Ok(vec![bottom.reshaped(shape)])
}

/// Elements at places that `strides` tell, for a shape whose dimensions they belong to.
fn gather(data: &[f64], shape: &[usize], strides: &[usize], offset: usize) -> Result<Vec<f64>, Fault> {
    let mut gathered = Vec::with_capacity(count(shape)?);
    let mut index = vec![0; shape.len()];
    let mut at = offset;
    for _ in 0..count(shape)? {
        gathered.push(data[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Ok(gathered)
}

fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// SSD's `Permute`: dimensions in the order that is told, those that are not behind them.
pub(super) fn permute(call: &Call<'_>) -> Tops {
    let bottom = call.bottom(0)?;
    let mut order = call.settings("permute_param").sizes("order")?;
    order.extend((0..bottom.axes()).filter(|axis| !order.contains(axis)).collect::<Vec<_>>());
    if order.len() != bottom.axes() || order.iter().any(|&axis| axis >= bottom.axes()) {
        return Err(format!("an order of {order:?} over {} dimensions", bottom.axes()).into());
    }
    let from = strides(&bottom.shape);
    let shape: Vec<usize> = order.iter().map(|&axis| bottom.shape[axis]).collect();
    let steps: Vec<usize> = order.iter().map(|&axis| from[axis]).collect();
    let data = gather(&bottom.data, &shape, &steps, 0)?;
    Ok(vec![Blob::new(shape, data)])
}

/// `Crop`: from `axis` on the sizes of the second bottom, beginning at the offsets.
pub(super) fn crop(call: &Call<'_>) -> Tops {
    let settings = call.settings("crop_param");
    let (bottom, like) = (call.bottom(0)?, call.bottom(1)?);
    let axis = bottom.axis(settings.int("axis", 2)?)?;
    let offsets = settings.sizes("offset")?;
    if offsets.len() > 1 && axis + offsets.len() != bottom.axes() {
        return Err(format!("{} offsets from axis {axis} on", offsets.len()).into());
    }
    let (mut shape, mut begin) = (bottom.shape.clone(), 0);
    let steps = strides(&bottom.shape);
    for i in axis..bottom.axes() {
        let offset = match offsets.as_slice() {
            [] => 0,
            [one] => *one,
            several => several[i - axis],
        };
        let size = like.shape.get(i).copied().unwrap_or(0);
        if size == 0 || offset + size > bottom.shape[i] {
            let (have, want) = (&bottom.shape, &like.shape);
            return Err(format!("{want:?} out of {have:?}, {offset} into dimension {i}").into());
        }
        (shape[i], begin) = (size, begin + offset * steps[i]);
    }
    let data = gather(&bottom.data, &shape, &steps, begin)?;
    Ok(vec![Blob::new(shape, data)])
}

/// The axis of Concat and Slice; the older field counts from the start alone.
fn axis_of(call: &Call<'_>, message: &'static str, old: &str) -> Result<usize, Fault> {
    let settings = call.settings(message);
    let axis = if settings.has("axis") { settings.int("axis", 1)? } else { settings.int(old, 1)? };
    call.bottom(0)?.axis(axis)
}

/// `Concat` along an axis.
pub(super) fn concat(call: &Call<'_>) -> Tops {
    let axis = axis_of(call, "concat_param", "concat_dim")?;
    let first = call.bottom(0)?;
    let mut shape = first.shape.clone();
    shape[axis] = 0;
    for bottom in &call.bottoms {
        let same = |(i, (a, b)): (usize, (&usize, &usize))| i == axis || a == b;
        if bottom.axes() != first.axes() || !first.shape.iter().zip(&bottom.shape).enumerate().all(same) {
            let (a, b) = (&first.shape, &bottom.shape);
            return Err(format!("bottoms of shapes {a:?} and {b:?} along axis {axis}").into());
        }
        shape[axis] += bottom.shape[axis];
    }
    let mut data = Vec::with_capacity(count(&shape)?);
    for row in 0..first.outer(axis) {
        for bottom in &call.bottoms {
            let wide = bottom.inner(axis);
            data.extend_from_slice(&bottom.data[row * wide..][..wide]);
        }
    }
    Ok(vec![Blob::new(shape, data)])
}

/// `Slice` along an axis: at the points, or into equal parts.
pub(super) fn slice(call: &Call<'_>) -> Tops {
    let axis = axis_of(call, "slice_param", "slice_dim")?;
    let bottom = call.bottom(0)?;
    let (size, tops) = (bottom.shape[axis], call.layer.tops.len());
    let mut points = call.settings("slice_param").sizes("slice_point")?;
    if points.is_empty() && tops > 0 && size.is_multiple_of(tops) {
        points = (1..tops).map(|i| i * (size / tops)).collect();
    }
    points.insert(0, 0);
    points.push(size);
    if points.len() != tops + 1 || points.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(format!("{size} along axis {axis} cut at {points:?} for {tops} tops").into());
    }
    let inner = bottom.inner(axis + 1);
    let part = |pair: &[usize]| {
        let mut shape = bottom.shape.clone();
        shape[axis] = pair[1] - pair[0];
        let rows = bottom.data.chunks_exact(size * inner);
        Blob::new(shape, rows.flat_map(|row| &row[pair[0] * inner..pair[1] * inner]).copied().collect())
    };
    Ok(points.windows(2).map(part).collect())
}

/// `Tile`: an axis that many times.
pub(super) fn tile(call: &Call<'_>) -> Tops {
    let settings = call.settings("tile_param");
    let bottom = call.bottom(0)?;
    let axis = bottom.axis(settings.int("axis", 1)?)?;
    let tiles = settings.needed("tiles")?;
    let mut shape = bottom.shape.clone();
    shape[axis] = shape[axis].saturating_mul(tiles);
    let mut data = Vec::with_capacity(count(&shape)?);
    for row in bottom.data.chunks_exact(bottom.inner(axis)) {
        (0..tiles).for_each(|_| data.extend_from_slice(row));
    }
    Ok(vec![Blob::new(shape, data)])
}

/// `ShuffleChannel`: channel `i` of group `g` goes to place `i groups + g`.
pub(super) fn shuffle_channel(call: &Call<'_>) -> Tops {
    let bottom = call.bottom(0)?;
    let group = call.settings("shuffle_channel_param").size("group", 1)?;
    let channels = *bottom.shape.get(1).ok_or("a blob without channels")?;
    if group == 0 || !channels.is_multiple_of(group) {
        return Err(format!("{group} groups of {channels} channels").into());
    }
    let (number, each, plane) = (bottom.shape[0], channels / group, bottom.inner(2));
    let shape = [number, each, group, plane];
    let steps = [channels * plane, plane, each * plane, 1];
    Ok(vec![Blob::new(bottom.shape.clone(), gather(&bottom.data, &shape, &steps, 0)?)])
}

/// `BatchReindex`: the images that the second bottom names.
pub(super) fn batch_reindex(call: &Call<'_>) -> Tops {
    let (bottom, indices) = (call.bottom(0)?, call.bottom(1)?);
    let images = *bottom.shape.first().ok_or("a blob without dimensions")?;
    let mut shape = bottom.shape.clone();
    shape[0] = indices.data.len();
    let each = bottom.inner(1);
    let mut data = Vec::with_capacity(count(&shape)?);
    for &index in indices.data.iter() {
        if !(0.0..images as f64).contains(&index) {
            return Err(format!("image {index} of {images}").into());
        }
        data.extend_from_slice(&bottom.data[index as usize * each..][..each]);
    }
    Ok(vec![Blob::new(shape, data)])
}

/// `Filter`: of every bottom but the last, the images where that one is not 0.
pub(super) fn filter(call: &Call<'_>) -> Tops {
    let [bottoms @ .., selector] = call.bottoms.as_slice() else {
        return Err("no bottom that selects".into());
    };
    let chosen: Vec<usize> = (0..selector.data.len()).filter(|&i| selector.data[i] != 0.0).collect();
    let one = |bottom: &Blob| {
        if bottom.shape.first() != Some(&selector.data.len()) {
            let (a, b) = (&bottom.shape, &selector.shape);
            return Err(Fault::from(format!("images of {a:?} selected by {b:?}")));
        }
        let mut shape = bottom.shape.clone();
        shape[0] = chosen.len();
        let each = bottom.inner(1);
        let images = chosen.iter().flat_map(|i| &bottom.data[i * each..][..each]);
        Ok(Blob::new(shape, images.copied().collect()))
    };
    bottoms.iter().map(one).collect()
}

/// The `padding` of 2013, which the convolution after it has for itself since: zeros around the picture.
pub(super) fn padding(call: &Call<'_>) -> Tops {
    let bottom = call.bottom(0)?;
    let [number, channels, height, width] = bottom.picture()?;
    let pad = call.settings("").size("pad", 0)?;
    let shape = vec![number, channels, height + 2 * pad, width + 2 * pad];
    let mut data = zeros(&shape)?;
    let plane = data.len() / (number * channels);
    for (from, to) in bottom.data.chunks_exact(height * width).zip(data.chunks_exact_mut(plane)) {
        for (row, from) in from.chunks_exact(width).enumerate() {
            to[(row + pad) * (width + 2 * pad) + pad..][..width].copy_from_slice(from);
        }
    }
    Ok(vec![Blob::new(shape, data)])
}
