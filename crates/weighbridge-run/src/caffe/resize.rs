//! Layers of forks that change height and width: Interp, Upsample, Reorg, PixelShuffle.

use super::blob::{Blob, zeros};
use super::call::{Call, Tops};
use super::fault::Fault;

/// DeepLab's `Interp`: bilinear, corners on corners, over the bottom without `pad_beg` and `pad_end` (not positive) at
/// its sides. The size is told, by factors or by a second bottom.
pub(super) fn interp(call: &Call<'_>) -> Tops {
    let settings = call.settings("interp_param");
    let bottom = call.bottom(0)?;
    let [number, channels, height, width] = bottom.picture()?;
    let (begin, end) = (settings.int("pad_beg", 0)?, settings.int("pad_end", 0)?);
    if begin > 0 || end > 0 {
        return Err(
            format!("a padding of {begin} and {end}, of which only what is not positive is known").into()
        );
    }
    let cut = (-begin) as usize;
    let left = |size: usize| {
        let left = size as i64 + begin + end;
        usize::try_from(left).ok().filter(|&n| n > 0).ok_or(Fault::from("a padding that takes all"))
    };
    let (rows, columns) = (left(height)?, left(width)?);
    let (shrink, zoom) = (settings.size("shrink_factor", 1)?, settings.size("zoom_factor", 1)?);
    if shrink == 0 || zoom == 0 {
        return Err("a factor of 0".into());
    }
    let (shrinks, zooms) = (settings.has("shrink_factor"), settings.has("zoom_factor"));
    let factored = |size: usize| {
        let size = (size - 1) / shrink + 1;
        size.saturating_add((size - 1).saturating_mul(zoom - 1))
    };
    let told = settings.has("height") && settings.has("width");
    let (out_rows, out_columns) = if shrinks != zooms || shrinks && !told {
        (factored(rows), factored(columns))
    } else if told {
        (settings.size("height", 0)?, settings.size("width", 0)?)
    } else if call.bottoms.len() == 2 {
        let [.., height, width] = call.bottom(1)?.picture()?;
        (height, width)
    } else {
        return Err("no size is told".into());
    };
    if out_rows == 0 || out_columns == 0 {
        return Err("a size of 0".into());
    }
    let shape = vec![number, channels, out_rows, out_columns];
    let mut data = zeros(&shape)?;
    let ratio = |from: usize, to: usize| if to > 1 { (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
    let (down, right) = (ratio(rows, out_rows), ratio(columns, out_columns));
    // The element before a place, the one behind it, and how far the place is from the first.
    let between = |place: f64, size: usize| {
        let first = (place as usize).min(size - 1);
        (first, (first + 1).min(size - 1), place - first as f64)
    };
    let planes = bottom.data.chunks_exact(height * width);
    for (from, to) in planes.zip(data.chunks_exact_mut(out_rows * out_columns)) {
        for (y, row) in to.chunks_exact_mut(out_columns).enumerate() {
            let (top, below, dy) = between(y as f64 * down, rows);
            for (x, out) in row.iter_mut().enumerate() {
                let (left, beside, dx) = between(x as f64 * right, columns);
                let at = |row: usize, column: usize| from[(row + cut) * width + column + cut];
                let upper = (1.0 - dx) * at(top, left) + dx * at(top, beside);
                let lower = (1.0 - dx) * at(below, left) + dx * at(below, beside);
                *out = (1.0 - dy) * upper + dy * lower;
            }
        }
    }
    Ok(vec![Blob::new(shape, data)])
}

/// `Upsample`: with a second bottom, SegNet's, which puts each element where the pooling's mask says; without one,
/// every element `scale` by `scale` times.
pub(super) fn upsample(call: &Call<'_>) -> Tops {
    let settings = call.settings("upsample_param");
    let bottom = call.bottom(0)?;
    let [number, channels, height, width] = bottom.picture()?;
    let scale = settings.size("scale", if call.bottoms.len() > 1 { 2 } else { 1 })?;
    let (down, right) = (settings.size("scale_h", scale)?, settings.size("scale_w", scale)?);
    let Some(mask) = call.bottoms.get(1) else {
        let shape = vec![number, channels, height.saturating_mul(down), width.saturating_mul(right)];
        let mut data = zeros(&shape)?;
        let wide = shape[3].max(1);
        for (row, out) in data.chunks_exact_mut(wide).enumerate() {
            let (plane, row) = (row / shape[2], row % shape[2]);
            let from = &bottom.data[(plane * height + row / down) * width..][..width];
            out.iter_mut().enumerate().for_each(|(x, y)| *y = from[x / right]);
        }
        return Ok(vec![Blob::new(shape, data)]);
    };
    if mask.shape != bottom.shape {
        return Err(format!("a mask of shape {:?} for {:?}", mask.shape, bottom.shape).into());
    }
    let (h, w) = (settings.size("upsample_h", 0)?, settings.size("upsample_w", 0)?);
    let (h, w) = if h > 0 && w > 0 {
        (h, w)
    } else {
        let less = |name: &str| settings.truth(name, false).map(usize::from);
        let less = (less("pad_out_h")?, less("pad_out_w")?);
        (
            height.saturating_mul(down).saturating_sub(less.0),
            width.saturating_mul(right).saturating_sub(less.1),
        )
    };
    let shape = vec![number, channels, h, w];
    let mut data = zeros(&shape)?;
    let planes = bottom.data.chunks_exact(height * width).zip(mask.data.chunks_exact(height * width));
    for ((from, mask), to) in planes.zip(data.chunks_exact_mut((h * w).max(1))) {
        for (x, &at) in from.iter().zip(mask) {
            let place = (at >= 0.0).then(|| to.get_mut(at as usize)).flatten();
            *place.ok_or_else(|| Fault::from(format!("a mask of {at} for {h} x {w}")))? = *x;
        }
    }
    Ok(vec![Blob::new(shape, data)])
}

/// `Reorg` of YOLO v2, whose elements go where Darknet's own indices send them: those of a blob with `stride²` fewer
/// channels, although the shape it is given has as many more.
pub(super) fn reorg(call: &Call<'_>) -> Tops {
    let settings = call.settings("reorg_param");
    let bottom = call.bottom(0)?;
    let [number, channels, height, width] = bottom.picture()?;
    let stride = settings.needed("stride")?;
    let reverse = settings.truth("reverse", false)?;
    let square = stride.checked_mul(stride).filter(|&n| n > 0).ok_or("a stride of 0, or beyond all sizes")?;
    let fits = channels.is_multiple_of(square)
        && (reverse || height.is_multiple_of(stride) && width.is_multiple_of(stride));
    if !fits {
        return Err(format!("a stride of {stride} over a blob of shape {:?}", bottom.shape).into());
    }
    let shape = if reverse {
        vec![number, channels / square, height * stride, width * stride]
    } else {
        vec![number, channels * square, height / stride, width / stride]
    };
    let mut data = zeros(&shape)?;
    let few = channels / square;
    for (at, &x) in bottom.data.iter().enumerate() {
        let (column, row) = (at % width, at / width % height);
        let (channel, image) = (at / (width * height) % channels, at / (width * height * channels));
        let (c, offset) = (channel % few, channel / few);
        let (x2, y2) = (column * stride + offset % stride, row * stride + offset / stride);
        let spread = ((image * few + c) * height * stride + y2) * width * stride + x2;
        if reverse {
            data[spread] = x;
        } else {
            data[at] = bottom.data[spread];
        }
    }
    Ok(vec![Blob::new(shape, data)])
}

/// `PixelShuffle`: `factor²` channels become one that is `factor` times as high and as wide.
pub(super) fn pixel_shuffle(call: &Call<'_>) -> Tops {
    let settings = call.settings("pixel_shuffle_param");
    let bottom = call.bottom(0)?;
    let [number, channels, height, width] = bottom.picture()?;
    let factor = settings.size("upscale_factor", 1)?;
    let square = factor.checked_mul(factor).filter(|&n| n > 0 && channels.is_multiple_of(n));
    let square =
        square.ok_or_else(|| Fault::from(format!("a factor of {factor} over {channels} channels")))?;
    let shape = vec![number, channels / square, height * factor, width * factor];
    let mut data = zeros(&shape)?;
    for (at, x) in bottom.data.iter().enumerate() {
        let (column, row) = (at % width, at / width % height);
        let channel = at / (width * height);
        let (out, within) = (channel / square, channel % square);
        let (y, x2) = (row * factor + within / factor, column * factor + within % factor);
        data[(out * height * factor + y) * width * factor + x2] = *x;
    }
    Ok(vec![Blob::new(shape, data)])
}
