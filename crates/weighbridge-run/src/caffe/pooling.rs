//! Pooling over height and width, and SPP, which is a pyramid of it.

use rayon::prelude::*;

use super::blob::{Blob, count, zeros};
use super::call::{Call, Tops};
use super::fault::Fault;
use super::settings::Settings;

const MAX: usize = 0;
const AVE: usize = 1;
const STOCHASTIC: usize = 2;
/// Ways to pool, in the order of Caffe's enumeration.
const WAYS: [&str; 3] = ["MAX", "AVE", "STOCHASTIC"];

/// What there is to do along one dimension.
#[derive(Clone, Copy)]
struct Axis {
    size: usize,
    kernel: usize,
    stride: usize,
    pad: usize,
}

impl Axis {
    /// How many windows there are: rounded up unless told otherwise.
    fn windows(self, floor: bool) -> Result<usize, Fault> {
        let left = (self.size + 2 * self.pad).checked_sub(self.kernel);
        match (left, floor) {
            (Some(left), true) => Ok(left / self.stride + 1),
            (Some(left), false) => Ok(left.div_ceil(self.stride) + 1),
            (None, _) => {
                // Caffe rounds what is negative up to nothing, and then has one window.
                let over = self.kernel - self.size - 2 * self.pad;
                if over < self.stride && !floor {
                    Ok(1)
                } else {
                    Err(format!("a window of {} over {} padded by {}", self.kernel, self.size, self.pad)
                        .into())
                }
            }
        }
    }

    /// Whether the last of so many windows begins in the padding.
    fn starts_outside(self, windows: usize) -> bool {
        (windows - 1) * self.stride >= self.size + self.pad
    }

    /// The elements of a window.
    fn span(self, window: usize) -> std::ops::Range<usize> {
        let start = window * self.stride;
        let end = (start + self.kernel).saturating_sub(self.pad).min(self.size);
        start.saturating_sub(self.pad).min(end)..end
    }

    /// How many elements a window counts for an average: those in the padding too, but none beyond it. Not positive
    /// where the window begins there.
    fn counted(self, window: usize) -> f64 {
        let start = window * self.stride;
        (start + self.kernel).min(self.size + 2 * self.pad) as f64 - start as f64
    }
}

/// `Pooling`. The number of windows is rounded up (`round_mode` rounds down); where there is padding, one that begins
/// behind the picture is left out. MAX gives the positions as a second top, if there is one.
pub(super) fn pooling(call: &Call<'_>) -> Tops {
    let settings = call.settings("pooling_param");
    let bottom = call.bottom(0)?;
    let [.., height, width] = bottom.picture()?;
    let global = settings.truth("global_pooling", false)?;
    let way = settings.choice("pool", &WAYS, 0, MAX)?;
    let floor = settings.choice("round_mode", &["CEIL", "FLOOR"], 0, 0)? == 1
        || !settings.truth("ceil_mode", true)?;
    let kernel = if global { [height, width] } else { pair(&settings, "kernel_size", "kernel", None)? };
    let stride = pair(&settings, "stride", "stride", Some(1))?;
    let pad = pair(&settings, "pad", "pad", Some(0))?;
    if kernel.contains(&0) || stride.contains(&0) {
        return Err(format!("a window of {kernel:?} with a stride of {stride:?}").into());
    }
    if global && (stride != [1, 1] || pad != [0, 0]) {
        return Err("global pooling has a stride of 1 and no padding".into());
    }
    if pad != [0, 0] && (way == STOCHASTIC || pad[0] >= kernel[0] || pad[1] >= kernel[1]) {
        return Err(format!("a padding of {pad:?} around windows of {kernel:?}, {}", WAYS[way]).into());
    }
    let axis =
        |i: usize| Axis { size: [height, width][i], kernel: kernel[i], stride: stride[i], pad: pad[i] };
    let (top, mask) = pooled(call, bottom, way, [axis(0), axis(1)], floor)?;
    match call.layer.tops.len() {
        0 | 1 => Ok(vec![top]),
        _ if way == MAX => Ok(vec![top, mask.ok_or("a second top without positions")?]),
        _ => Err(format!("a second top, which {} pooling does not have", WAYS[way]).into()),
    }
}

/// `SPP`: pooling into 1, 4, 16… windows over the whole picture, all flattened and put together.
pub(super) fn spp(call: &Call<'_>) -> Tops {
    let settings = call.settings("spp_param");
    let bottom = call.bottom(0)?;
    let [number, _, height, width] = bottom.picture()?;
    let way = settings.choice("pool", &WAYS, 0, MAX)?;
    let levels = settings.needed("pyramid_height")?;
    if levels == 0 || levels > 16 {
        return Err(format!("a pyramid of {levels} levels").into());
    }
    let mut parts = Vec::new();
    for level in 0..levels {
        let bins = 1usize << level;
        let axis = |size: usize| {
            let kernel = size.div_ceil(bins);
            Axis { size, kernel, stride: kernel, pad: (kernel * bins - size).div_ceil(2) }
        };
        let axes = [axis(height), axis(width)];
        if axes.iter().any(|axis| axis.pad >= axis.kernel) {
            return Err(format!("{bins} x {bins} windows over {height} x {width}").into());
        }
        parts.push(pooled(call, bottom, way, axes, false)?.0);
    }
    if let [part] = parts.as_slice() {
        return Ok(vec![part.clone()]);
    }
    let wide: usize = parts.iter().map(|part| part.inner(1)).sum();
    let mut data = Vec::with_capacity(count(&[number, wide])?);
    for image in 0..number {
        for part in &parts {
            let each = part.inner(1);
            data.extend_from_slice(&part.data[image * each..][..each]);
        }
    }
    Ok(vec![Blob::new(vec![number, wide], data)])
}

/// The windows of every channel, and for MAX where in its channel each was found; -1 for an empty window.
fn pooled(
    call: &Call<'_>,
    bottom: &Blob,
    way: usize,
    axes: [Axis; 2],
    floor: bool,
) -> Result<(Blob, Option<Blob>), Fault> {
    let [number, channels, height, width] = bottom.picture()?;
    let [vertical, horizontal] = axes;
    let mut windows = [vertical.windows(floor)?, horizontal.windows(floor)?];
    if vertical.pad > 0 || horizontal.pad > 0 {
        for (windows, axis) in windows.iter_mut().zip(axes) {
            *windows -= usize::from(axis.starts_outside(*windows));
        }
    }
    let shape = vec![number, channels, windows[0], windows[1]];
    let mut data = zeros(&shape)?;
    let mut mask = if way == MAX { zeros(&shape)? } else { Vec::new() };
    let within = |axis: Axis| axis.kernel.min(axis.size);
    call.take(&[data.len(), within(vertical), within(horizontal)])?;
    let (plane, each) = (height * width, windows[0] * windows[1]);
    let channel = |(from, to, mask): (&[f64], &mut [f64], &mut [f64])| {
        for (at, to) in to.iter_mut().enumerate() {
            let (row, column) = (at / windows[1], at % windows[1]);
            let (rows, columns) = (vertical.span(row), horizontal.span(column));
            let elements = rows.flat_map(|y| columns.clone().map(move |x| y * width + x));
            match way {
                MAX => {
                    (*to, mask[at]) = (f64::from(f32::MIN), -1.0);
                    for i in elements {
                        if from[i] > *to {
                            (*to, mask[at]) = (from[i], i as f64);
                        }
                    }
                }
                AVE => {
                    let counted = vertical.counted(row) * horizontal.counted(column);
                    *to = elements.map(|i| from[i]).sum::<f64>() / counted;
                }
                // The mean of what training picks: each element, as often as it is large.
                _ => {
                    let (mut sum, mut squares) = (f64::from(f32::MIN_POSITIVE), 0.0);
                    for i in elements {
                        (sum, squares) = (sum + from[i], squares + from[i] * from[i]);
                    }
                    *to = if sum > 0.0 { squares / sum } else { 0.0 };
                }
            }
        }
    };
    let planes = bottom.data.par_chunks_exact(plane).zip(data.par_chunks_exact_mut(each));
    if way == MAX {
        let planes = planes.zip(mask.par_chunks_exact_mut(each));
        planes.for_each(|((from, to), mask)| channel((from, to, mask)));
        return Ok((Blob::new(shape.clone(), data), Some(Blob::new(shape, mask))));
    }
    planes.for_each(|(from, to)| channel((from, to, &mut [])));
    Ok((Blob::new(shape, data), None))
}

/// A field for height and width: `NAME` for both, or `OLD_h` and `OLD_w`.
fn pair(
    settings: &Settings<'_>,
    name: &str,
    old: &str,
    otherwise: Option<usize>,
) -> Result<[usize; 2], Fault> {
    let (h, w) = (format!("{old}_h"), format!("{old}_w"));
    if settings.has(&h) || settings.has(&w) {
        let missing = otherwise.unwrap_or(0);
        return Ok([settings.size(&h, missing)?, settings.size(&w, missing)?]);
    }
    let size = match otherwise {
        Some(otherwise) => settings.size(name, otherwise)?,
        None => settings.needed(name)?,
    };
    Ok([size, size])
}
