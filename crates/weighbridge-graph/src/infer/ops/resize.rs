//! Operators that give an image another size.

use crate::infer::call::{Call, Outcome, axes};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `Resize`: by scales or to sizes, of some axes from version 18 on.
pub(in crate::infer) fn resize(call: &mut Call<'_, '_>) -> Outcome {
    let Some(from) = call.shape(0) else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let at = match call.ints("axes") {
        Some(at) if !at.is_empty() => axes(&at, from.len())?,
        _ => (0..from.len()).collect(),
    };
    let (scales, sizes) = if call.version < 11 { (1, usize::MAX) } else { (2, 3) };
    let mut shape = from.to_vec();
    let counted = |call: &Call<'_, '_>, input: usize| call.dim(input, 0).is_none_or(|n| !n.is(0));
    if call.has(sizes) && counted(call, sizes) {
        let wanted = call.elements(sizes);
        if wanted.is_some_and(|wanted| wanted.len() != at.len()) {
            return Err(format!("{} sizes for {} axes", wanted.map_or(0, <[Size]>::len), at.len()));
        }
        match call.text("keep_aspect_ratio_policy") {
            None | Some("stretch") => {
                for (i, &axis) in at.iter().enumerate() {
                    shape[axis] = call.open(wanted.map(|wanted| wanted[i].clone()));
                }
            }
            Some(policy) => {
                let kept = kept_ratio(policy, from, &at, wanted);
                for (i, &axis) in at.iter().enumerate() {
                    shape[axis] = call.open(kept.as_ref().map(|kept| kept[i].clone()));
                }
            }
        }
    } else {
        let factors = call.fact(scales).floats();
        if factors.as_ref().is_some_and(|factors| factors.len() != at.len()) {
            return Err(format!("{} scales for {} axes", factors.map_or(0, |f| f.len()), at.len()));
        }
        for (i, &axis) in at.iter().enumerate() {
            shape[axis] = call.open(factors.as_ref().and_then(|factors| scaled(&from[axis], factors[i])));
        }
    }
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `Upsample`: by scales, which are attributes before version 9.
pub(in crate::infer) fn upsample(call: &mut Call<'_, '_>) -> Outcome {
    let Some(from) = call.shape(0) else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let one = |name: &str| call.float(name);
    let factors = match (call.floats("scales"), one("height_scale").zip(one("width_scale"))) {
        (Some(scales), _) => Some(scales),
        (None, Some((height, width))) => Some(vec![1.0, 1.0, height, width]),
        (None, None) => call.fact(1).floats(),
    };
    let factors = factors.filter(|factors| factors.len() == from.len());
    let sizes = from.iter().enumerate().map(|(axis, size)| scaled(size, factors.as_ref()?[axis]));
    let sizes: Vec<Option<Size>> = sizes.collect();
    let shape = sizes.into_iter().map(|size| call.open(size)).collect();
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `floor(size * factor)`, in single precision as it is computed.
fn scaled(size: &Size, factor: f64) -> Option<Size> {
    if let Some(n) = size.known() {
        return Some(Size::from((n as f32 * factor as f32).floor() as i64));
    }
    let inverse = 1.0 / factor;
    if factor.fract() == 0.0 && factor.abs() < 1e9 {
        return size.times(&(factor as i64).into());
    }
    (inverse.fract() == 0.0 && (1.0..1e9).contains(&inverse))
        .then(|| size.floor_div(&(inverse as i64).into()))?
}

/// Sizes under one scale for all axes: the smallest or the largest that the wanted sizes ask for, rounded half up.
fn kept_ratio(policy: &str, from: &[Size], at: &[usize], wanted: Option<&[Size]>) -> Option<Vec<Size>> {
    let sizes: Vec<f64> =
        at.iter().map(|&axis| from[axis].known().map(|n| n as f64)).collect::<Option<_>>()?;
    let ratios = sizes.iter().zip(wanted?).map(|(size, wanted)| wanted.known().map(|n| n as f64 / size));
    let ratios: Vec<f64> = ratios.collect::<Option<_>>()?;
    let scale = match policy {
        "not_larger" => ratios.into_iter().fold(f64::INFINITY, f64::min),
        _ => ratios.into_iter().fold(f64::NEG_INFINITY, f64::max),
    };
    Some(sizes.into_iter().map(|size| Size::from((size * scale + 0.5).floor() as i64)).collect())
}

/// `GridSample`: an element of each channel for each point of the grid, `[batch, points…, coordinates]`.
pub(in crate::infer) fn grid_sample(call: &mut Call<'_, '_>) -> Outcome {
    let (Some(data), Some(grid)) = (call.shape_from_rank(0, 3)?, call.shape_from_rank(1, 3)?) else {
        return Ok(vec![Fact::tensor(call.dtype(0), None)]);
    };
    let shape = [&data[..2], &grid[1..grid.len() - 1]].concat();
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `AffineGrid`: a point for each place of an image of the given size `[batch, channels, spatial…]`.
pub(in crate::infer) fn affine_grid(call: &mut Call<'_, '_>) -> Outcome {
    let shape = super::generate::shape_from(call, 1)?.filter(|size| size.len() > 2).map(|size| {
        let spatial = &size[2..];
        [&size[..1], spatial, &[Size::from(spatial.len() as i64)]].concat()
    });
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `CenterCropPad`: the given sizes, of some axes.
pub(in crate::infer) fn center_crop_pad(call: &mut Call<'_, '_>) -> Outcome {
    let Some(from) = call.shape(0) else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let at = match call.ints("axes") {
        Some(at) => axes(&at, from.len())?,
        None => (0..from.len()).collect(),
    };
    let mut shape = from.to_vec();
    for (i, axis) in at.into_iter().enumerate() {
        shape[axis] = call.open(call.elements(1).and_then(|sizes| sizes.get(i).cloned()));
    }
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `DepthToSpace`: blocks of channels become blocks of places.
pub(in crate::infer) fn depth_to_space(call: &mut Call<'_, '_>) -> Outcome {
    blocks(call, |size, block| size.times(block), |channels, all| channels.floor_div(all))
}

/// `SpaceToDepth`: the other way round.
pub(in crate::infer) fn space_to_depth(call: &mut Call<'_, '_>) -> Outcome {
    blocks(call, |size, block| size.floor_div(block), |channels, all| channels.times(all))
}

fn blocks(
    call: &mut Call<'_, '_>,
    place: fn(&Size, &Size) -> Option<Size>,
    channels: fn(&Size, &Size) -> Option<Size>,
) -> Outcome {
    let Some(from) = call.shape_of_rank(0, 4)? else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let block = Size::from(call.int_or("blocksize", 1));
    let depth = block.times(&block).and_then(|all| channels(&from[1], &all));
    let shape = vec![
        from[0].clone(),
        call.open(depth),
        call.open(place(&from[2], &block)),
        call.open(place(&from[3], &block)),
    ];
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}
