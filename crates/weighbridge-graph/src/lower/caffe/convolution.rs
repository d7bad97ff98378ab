//! Convolution and Deconvolution, with any number of spatial axes; Im2col as the convolution that it is.

use weighbridge_model::{Result, Value, ValueId};

use super::weights::Asked;
use super::work::{Attributes, Job, ints};

const SETTINGS: &str = "convolution_param";

/// Sizes of windows along the spatial axes.
pub(super) struct Windows {
    kernel: Vec<u64>,
    stride: Vec<u64>,
    pad: Vec<u64>,
    dilation: Vec<u64>,
}

impl Windows {
    /// By the layer's settings, for `axes` spatial axes: `kernel_h` and `kernel_w`, one number for each axis, or one for
    /// all.
    fn of(job: &Job<'_, '_>, axes: usize) -> Result<Self> {
        let layer = job.layer;
        let each = |name: &str, h: &str, w: &str, otherwise: Option<u64>| -> Result<Vec<u64>> {
            let [h, w] = [h, w].map(|name| layer.maybe_int(SETTINGS, name));
            let given = layer.sizes(SETTINGS, name)?;
            let two = match (h?, w?) {
                (None, None) => None,
                (h, w) if axes == 2 => Some([h, w].map(|n| n.and_then(|n| u64::try_from(n).ok()).or(otherwise))),
                _ => return Err(layer.malformed(format!("{name}_h and {name}_w, with {axes} spatial axes"))),
            };
            if let Some(two) = two {
                return two.into_iter().map(|n| n.ok_or_else(|| layer.malformed("a kernel without a size"))).collect();
            }
            match (given.as_slice(), otherwise) {
                ([], Some(otherwise)) => Ok(vec![otherwise; axes]),
                ([], None) => Err(layer.malformed("a kernel without a size")),
                ([one], _) => Ok(vec![*one; axes]),
                (several, _) if several.len() == axes => Ok(several.to_vec()),
                (several, _) => {
                    Err(layer.malformed(format!("{name} has {} sizes, for {axes} spatial axes", several.len())))
                }
            }
        };
        let mut pad = each("pad", "pad_h", "pad_w", Some(0))?;
        if let Some(merged) = layer.padding {
            pad = vec![u64::try_from(merged).map_err(|_| layer.malformed("padding below 0"))?; axes];
        }
        let windows = Windows {
            kernel: each("kernel_size", "kernel_h", "kernel_w", None)?,
            stride: each("stride", "stride_h", "stride_w", Some(1))?,
            pad,
            dilation: each("dilation", "", "", Some(1))?,
        };
        let zero = [&windows.kernel, &windows.stride, &windows.dilation].into_iter().flatten().any(|&n| n == 0);
        if zero { Err(layer.malformed("a kernel, stride or dilation of 0")) } else { Ok(windows) }
    }

    /// How far a window reaches.
    fn extent(&self, i: usize) -> u64 {
        self.dilation[i].saturating_mul(self.kernel[i] - 1).saturating_add(1)
    }

    fn output(&self, i: usize, size: u64, transposed: bool) -> Option<u64> {
        let padding = self.pad[i].checked_mul(2)?;
        let size = match transposed {
            true => self.stride[i].checked_mul(size.checked_sub(1)?)?.checked_add(self.extent(i))?.checked_sub(padding)?,
            false => size.checked_add(padding)?.checked_sub(self.extent(i))? / self.stride[i] + 1,
        };
        Some(size).filter(|&n| n > 0)
    }

    fn outputs(&self, job: &Job<'_, '_>, sizes: &[u64], transposed: bool) -> Result<Vec<u64>> {
        let each = |(i, &size): (usize, &u64)| {
            self.output(i, size, transposed).ok_or_else(|| {
                let (extent, pad) = (self.extent(i), self.pad[i]);
                job.layer.malformed(format!("a kernel that reaches {extent}, on a size of {size} padded by {pad}"))
            })
        };
        sizes.iter().enumerate().map(each).collect()
    }

    fn attributes(&self) -> Attributes<'static> {
        let pads: Vec<u64> = self.pad.iter().chain(&self.pad).copied().collect();
        vec![
            ("kernel_shape", ints(&self.kernel)),
            ("strides", ints(&self.stride)),
            ("pads", ints(&pads)),
            ("dilations", ints(&self.dilation)),
        ]
    }
}

/// Convolution: weight `[out, in/group, …]`; each bottom gives the top of its place with the same weights.
pub(super) fn convolution(job: &mut Job<'_, '_>) -> Result<()> {
    linear(job, false)
}

/// Deconvolution: weight `[in, out/group, …]`, output `stride*(in-1) + dilation*(kernel-1) + 1 - 2*pad`.
pub(super) fn deconvolution(job: &mut Job<'_, '_>) -> Result<()> {
    linear(job, true)
}

fn linear(job: &mut Job<'_, '_>, transposed: bool) -> Result<()> {
    let layer = job.layer;
    let first = job.bottom(0)?;
    let shape = job.shape(first);
    let axis = layer.axis(layer.int(SETTINGS, "axis", 1)?, shape.len())?;
    let (channels, spatial) = (shape[axis], &shape[axis + 1..]);
    let windows = Windows::of(job, spatial.len())?;
    let outputs = layer.count(SETTINGS, "num_output")?;
    let group = match layer.kind.contains("Depthwise") && !layer.has(SETTINGS, "group") {
        true => {
            job.choose(format!("one group for each of {channels} channels"));
            channels
        }
        false => layer.size(SETTINGS, "group", 1)?,
    };
    if group == 0 || channels % group != 0 || outputs % group != 0 {
        let what = format!("{channels} channels to {outputs} in {group} groups, which do not divide both");
        return Err(layer.malformed(what));
    }
    let bias = layer.flag(SETTINGS, "bias_term", true)?;
    job.blobs(1 + usize::from(bias))?;
    let mut weight = if transposed { vec![channels, outputs / group] } else { vec![outputs, channels / group] };
    weight.extend(&windows.kernel);
    let asked = Asked { index: 0, shape: &weight, filler: (SETTINGS, "weight_filler"), otherwise: 0.0 };
    let mut weights = vec![job.weight(&asked, &weight)?];
    if bias {
        let shape = [outputs];
        let asked = Asked { index: 1, shape: &shape, filler: (SETTINGS, "bias_filler"), otherwise: 0.0 };
        weights.push(job.weight(&asked, &shape)?);
    }
    let mut attributes = windows.attributes();
    attributes.push(("group", Value::Int(group as i64)));
    let op = if transposed { "ConvTranspose" } else { "Conv" };
    for i in 0..job.bottoms.len() {
        let x = job.bottoms[i];
        if job.shape(x) != shape {
            return Err(layer.malformed("bottoms of different shapes, which have the weights in common"));
        }
        let sizes = windows.outputs(job, spatial, transposed)?;
        let y = each(job, op, x, axis, outputs, sizes, &weights, attributes.clone())?;
        job.finish(i, y)?;
    }
    Ok(())
}

/// One bottom. Axes before that of the channels are a batch together.
#[expect(clippy::too_many_arguments, reason = "two names for what one call passes on")]
fn each(
    job: &mut Job<'_, '_>,
    op: &str,
    x: ValueId,
    axis: usize,
    outputs: u64,
    sizes: Vec<u64>,
    weights: &[ValueId],
    attributes: Attributes<'_>,
) -> Result<ValueId> {
    let before = job.shape(x);
    let mut folded = vec![before[..axis].iter().product()];
    folded.extend(&before[axis..]);
    let x = job.reshape(x, &folded)?;
    let mut shape = vec![folded[0], outputs];
    shape.extend(&sizes);
    let y = job.emit(op, &[&[x], weights].concat(), attributes, shape)?;
    let mut unfolded = before[..axis].to_vec();
    unfolded.push(outputs);
    unfolded.extend(sizes);
    job.reshape(y, &unfolded)
}

/// Im2col: each place of a window is a channel of its own, which a convolution with single ones picks.
pub(super) fn im2col(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, shape) = job.single()?;
    let axis = job.layer.axis(job.layer.int(SETTINGS, "axis", 1)?, shape.len())?;
    let (channels, spatial) = (shape[axis], &shape[axis + 1..]);
    let windows = Windows::of(job, spatial.len())?;
    let places: u64 = windows.kernel.iter().fold(1, |n, &k| n.saturating_mul(k));
    let outputs = channels.saturating_mul(places);
    let mut weight = vec![outputs, 1];
    weight.extend(&windows.kernel);
    job.computed(&[outputs, places])?;
    let sizes = windows.outputs(job, spatial, false)?;
    let ones: Vec<f32> = (0..outputs * places)
        .map(|i| if i / places % places == i % places { 1.0 } else { 0.0 })
        .collect();
    let weights = [job.floats("picks", &weight, &ones)?];
    let mut attributes = windows.attributes();
    attributes.push(("group", Value::Int(channels as i64)));
    let y = each(job, "Conv", x, axis, outputs, sizes, &weights, attributes)?;
    job.finish(0, y)
}
