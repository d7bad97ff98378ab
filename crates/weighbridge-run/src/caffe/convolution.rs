//! Convolution and Im2col, over any number of spatial dimensions.

use rayon::prelude::*;

use super::blob::{Blob, count, zeros};
use super::call::{Call, Tops};
use super::fault::Fault;
use super::filler::Filler;
use super::window::{Window, channels};

/// How weights and biases are filled.
pub(super) const WEIGHT: Filler = Filler("convolution_param", "weight_filler", 0.0);
pub(super) const BIAS: Filler = Filler("convolution_param", "bias_filler", 0.0);

/// Windows that are gathered at a time.
const GATHERED: usize = 32;
/// Outputs that are computed beside each other: channels, and windows.
const ROWS: usize = 4;
const WIDE: usize = 4;

/// Each output channel is, over the windows, the sum of the products of its kernel with the input channels of its group,
/// and a bias. Weights are `[outputs, channels / group, kernel…]`.
pub(super) fn convolution(call: &Call<'_>) -> Tops {
    convolved(call, None)
}

/// A convolution with as many groups as channels, as forks have it under a name of its own.
pub(super) fn depthwise(call: &Call<'_>) -> Tops {
    let bottom = call.bottom(0)?;
    let (axis, _) = channels(bottom, &call.settings("convolution_param"))?;
    convolved(call, Some(bottom.shape[axis]))
}

fn convolved(call: &Call<'_>, groups: Option<usize>) -> Tops {
    let settings = call.settings("convolution_param");
    let (axis, spatial) = channels(call.bottom(0)?, &settings)?;
    let window = Window::of(&settings, spatial)?;
    let inputs = call.bottom(0)?.shape[axis];
    let outputs = settings.needed("num_output")?;
    let groups = groups.map_or_else(|| settings.size("group", 1), Ok)?;
    divides(groups, inputs, outputs)?;
    let mut shape = vec![outputs, inputs / groups];
    shape.extend(&window.size);
    let weight = call.weight(0, &shape, WEIGHT)?;
    let bias =
        if settings.truth("bias_term", true)? { Some(call.weight(1, &[outputs], BIAS)?) } else { None };
    let one = |bottom: &Blob| {
        let sizes = window.outputs(&bottom.shape[axis + 1..])?;
        let mut shape = bottom.shape[..axis].to_vec();
        shape.push(outputs);
        shape.extend(&sizes);
        let mut data = zeros(&shape)?;
        call.take(&[data.len(), weight.len() / outputs.max(1)])?;
        let job = Job { window: &window, input: &bottom.shape[axis + 1..], sizes: &sizes };
        let (places, windows) = (bottom.inner(axis + 1), count(&sizes)?);
        let (image_in, image_out) = (inputs * places, outputs * windows);
        if data.is_empty() {
            return Ok(Blob::new(shape, data));
        }
        // Blocks of a group's channels, so that two threads share the work of one image.
        let each = outputs / groups;
        let block = each.div_ceil(rayon::current_num_threads()).next_multiple_of(ROWS).min(each);
        let kernel = weight.len() / outputs;
        for (image, out) in bottom.data.chunks_exact(image_in).zip(data.chunks_exact_mut(image_out)) {
            let groups = out.par_chunks_mut(each * windows).enumerate();
            groups.for_each(|(group, out)| {
                let size = inputs / (outputs / each) * places;
                let image = &image[group * size..][..size];
                out.par_chunks_mut(block * windows).enumerate().for_each(|(at, out)| {
                    let first = group * each + at * block;
                    let weight = &weight[first * kernel..][..out.len() / windows * kernel];
                    job.fill(image, weight, kernel, out);
                    if let Some(bias) = &bias {
                        for (row, bias) in out.chunks_exact_mut(windows).zip(&bias[first..]) {
                            row.iter_mut().for_each(|x| *x += f64::from(*bias));
                        }
                    }
                });
            });
        }
        Ok(Blob::new(shape, data))
    };
    call.bottoms.iter().map(one).collect()
}

/// Whether groups divide both sides.
pub(super) fn divides(groups: usize, inputs: usize, outputs: usize) -> Result<(), Fault> {
    if outputs == 0 {
        return Err("num_output of 0".into());
    }
    if groups == 0 || !inputs.is_multiple_of(groups) || !outputs.is_multiple_of(groups) {
        return Err(format!("{groups} groups of {inputs} channels and {outputs} outputs").into());
    }
    Ok(())
}

/// A group of channels that a kernel passes over.
struct Job<'a> {
    window: &'a Window,
    /// Spatial sizes of the input.
    input: &'a [usize],
    /// How many windows there are in each of those.
    sizes: &'a [usize],
}

impl Job<'_> {
    /// The outputs of the kernels `weight`, of `kernel` elements each, over the channels in `image`.
    fn fill(&self, image: &[f64], weight: &[f32], kernel: usize, out: &mut [f64]) {
        let places: usize = self.window.size.iter().product();
        let (plane, windows) = (self.input.iter().product::<usize>(), self.sizes.iter().product::<usize>());
        let mut gathered = vec![0.0; kernel * GATHERED];
        let mut at = vec![None; places * GATHERED];
        for first in (0..windows).step_by(GATHERED) {
            let wide = GATHERED.min(windows - first);
            for (place, row) in at.chunks_exact_mut(GATHERED).enumerate() {
                for (window, at) in row[..wide].iter_mut().enumerate() {
                    *at = self.window.element(first + window, self.sizes, place, self.input);
                }
                row[wide..].fill(None);
            }
            for (channel, rows) in gathered.chunks_exact_mut(places * GATHERED).enumerate() {
                let channel = &image[channel * plane..][..plane];
                for (x, at) in rows.iter_mut().zip(&at) {
                    *x = at.map_or(0.0, |at| channel[at]);
                }
            }
            for (rows, out) in weight.chunks(ROWS * kernel).zip(out.chunks_mut(ROWS * windows)) {
                products(rows, kernel, &gathered, wide, |row, window, sum| {
                    out[row * windows + first + window] = sum;
                });
            }
        }
    }
}

/// The products of up to [`ROWS`] kernels with the windows that are gathered, each handed to `give`.
fn products(
    rows: &[f32],
    kernel: usize,
    gathered: &[f64],
    wide: usize,
    mut give: impl FnMut(usize, usize, f64),
) {
    let count = rows.len() / kernel;
    // Where fewer rows are left, the last one is computed again.
    let row = |i: usize| &rows[i.min(count - 1) * kernel..][..kernel];
    let kernels: [&[f32]; ROWS] = std::array::from_fn(row);
    for first in (0..wide).step_by(WIDE) {
        let mut sums = [[0.0; WIDE]; ROWS];
        for (k, x) in gathered.chunks_exact(GATHERED).enumerate() {
            let x = &x[first..first + WIDE];
            for (sums, kernel) in sums.iter_mut().zip(&kernels) {
                let weight = f64::from(kernel[k]);
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum += weight * x;
                }
            }
        }
        for (row, sums) in sums.iter().enumerate().take(count) {
            for (window, &sum) in sums.iter().enumerate().take(wide - first) {
                give(row, first + window, sum);
            }
        }
    }
}

/// `Im2col`: the elements of each window as channels of their own, `[…, channels × kernel, windows…]`.
pub(super) fn im2col(call: &Call<'_>) -> Tops {
    let settings = call.settings("convolution_param");
    let one = |bottom: &Blob| {
        let (axis, spatial) = channels(bottom, &settings)?;
        let window = Window::of(&settings, spatial)?;
        let input = &bottom.shape[axis + 1..];
        let (sizes, places) = (window.outputs(input)?, window.places()?);
        let mut shape = bottom.shape[..axis].to_vec();
        shape.push(bottom.shape[axis].saturating_mul(places));
        shape.extend(&sizes);
        let mut data = zeros(&shape)?;
        call.take(&[data.len()])?;
        let (plane, windows) = (bottom.inner(axis + 1), count(&sizes)?);
        if windows > 0 && plane > 0 {
            for (row, out) in data.chunks_exact_mut(windows).enumerate() {
                let (channel, place) = (row / places, row % places);
                let channel = &bottom.data[channel * plane..][..plane];
                for (output, x) in out.iter_mut().enumerate() {
                    *x = window.element(output, &sizes, place, input).map_or(0.0, |at| channel[at]);
                }
            }
        }
        Ok(Blob::new(shape, data))
    };
    call.bottoms.iter().map(one).collect()
}
