//! Deconvolution: the transpose of a convolution.

use rayon::prelude::*;

use super::blob::{Blob, count, zeros};
use super::call::{Call, Tops};
use super::convolution::{BIAS, WEIGHT, divides};
use super::window::{Window, channels};

/// Each input element adds its products with the kernel to the outputs of its window; what falls into the padding is
/// left out. Weights are `[channels, outputs / group, kernel…]`.
pub(super) fn deconvolution(call: &Call<'_>) -> Tops {
    let settings = call.settings("convolution_param");
    let (axis, spatial) = channels(call.bottom(0)?, &settings)?;
    let window = Window::of(&settings, spatial)?;
    let inputs = call.bottom(0)?.shape[axis];
    let outputs = settings.needed("num_output")?;
    let groups = settings.size("group", 1)?;
    divides(groups, inputs, outputs)?;
    let each = outputs / groups;
    let mut shape = vec![inputs, each];
    shape.extend(&window.size);
    let weight = call.weight(0, &shape, WEIGHT)?;
    let bias =
        if settings.truth("bias_term", true)? { Some(call.weight(1, &[outputs], BIAS)?) } else { None };
    let places = window.places()?;
    let one = |bottom: &Blob| {
        let windows = &bottom.shape[axis + 1..];
        let sizes = window.inputs(windows)?;
        let mut shape = bottom.shape[..axis].to_vec();
        shape.push(outputs);
        shape.extend(&sizes);
        let mut data = zeros(&shape)?;
        let (input, output) = (bottom.inner(axis + 1), count(&sizes)?);
        call.take(&[bottom.outer(axis), outputs, places, input, 1 + inputs / groups])?;
        if data.is_empty() || input == 0 {
            return Ok(Blob::new(shape, data));
        }
        let images = bottom.data.chunks_exact(inputs * input);
        for (image, out) in images.zip(data.chunks_exact_mut(outputs * output)) {
            out.par_chunks_exact_mut(output).enumerate().for_each(|(channel, out)| {
                let (group, within) = (channel / each, channel % each);
                let from = group * (inputs / groups)..(group + 1) * (inputs / groups);
                let mut sums = vec![0.0; input];
                for place in 0..places {
                    sums.fill(0.0);
                    for c in from.clone() {
                        let weight = f64::from(weight[(c * each + within) * places + place]);
                        let image = &image[c * input..][..input];
                        sums.iter_mut().zip(image).for_each(|(sum, x)| *sum += weight * x);
                    }
                    for (at, sum) in sums.iter().enumerate() {
                        if let Some(to) = window.element(at, windows, place, &sizes) {
                            out[to] += sum;
                        }
                    }
                }
                if let Some(bias) = &bias {
                    out.iter_mut().for_each(|x| *x += f64::from(bias[channel]));
                }
            });
        }
        Ok(Blob::new(shape, data))
    };
    call.bottoms.iter().map(one).collect()
}
