//! Pooling, and SPP, which pools by levels.
//!
//! Caffe rounds the number of windows up, and takes the last one away only where there is padding and it would begin in
//! it. ONNX rounds down once padding is given for each side, so that rounding is made explicit here: the rows that the
//! last window reaches beyond the end are padding of that side. A window that lies wholly beyond the end has no place in
//! ONNX's operators; rows of padding are then added before.

use weighbridge_model::{DType, Result, Value, ValueId};

use super::work::{Attributes, Job, ints};

const SETTINGS: &str = "pooling_param";

/// What an empty window's maximum is: the lowest finite number.
const LOWEST: f64 = f32::MIN as f64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Max,
    Average,
    Stochastic,
}

/// Windows along one axis.
#[derive(Debug, Clone, Copy)]
struct Axis {
    size: u64,
    kernel: u64,
    stride: u64,
    pad: u64,
    /// How many windows.
    count: u64,
}

impl Axis {
    fn new(size: u64, kernel: u64, stride: u64, pad: u64, ceil: bool) -> Option<Self> {
        let room = size.checked_add(2 * pad)?.checked_sub(kernel)?;
        let count = if ceil { room.div_ceil(stride) } else { room / stride } + 1;
        Some(Axis { size, kernel, stride, pad, count })
    }

    /// Whether the last window begins in the padding behind the end.
    fn begins_in_padding(&self) -> bool {
        (self.count - 1) * self.stride >= self.size + self.pad
    }

    /// Rows that the last window reaches beyond the end.
    fn after(&self) -> u64 {
        ((self.count - 1) * self.stride + self.kernel).saturating_sub(self.size + self.pad)
    }

    /// Whether the last window has no element at all.
    fn is_empty_at_end(&self) -> bool {
        self.after() >= self.kernel
    }

    /// By window: what its average is divided by along this axis, and how many elements it has.
    fn divisors(&self) -> Vec<(i64, i64)> {
        let (size, pad, kernel) = (self.size as i64, self.pad as i64, self.kernel as i64);
        let each = |i: u64| {
            let start = (i * self.stride) as i64 - pad;
            let end = (start + kernel).min(size + pad);
            (end - start, (end.min(size) - start.max(0)).max(0))
        };
        (0..self.count).map(each).collect()
    }
}

/// Pooling over the last two of four axes.
pub(super) fn pooling(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let method = method(job, SETTINGS)?;
    let &[_, _, height, width] = shape.as_slice() else {
        return Err(layer.malformed(format!("a bottom of {} axes, and pooling takes four", shape.len())));
    };
    let global = layer.flag(SETTINGS, "global_pooling", false)?;
    let size = |name: &str, both: &str, otherwise: u64| -> Result<u64> {
        match layer.maybe_int(SETTINGS, name)? {
            Some(n) => u64::try_from(n).map_err(|_| layer.malformed(format!("{name} is {n}"))),
            None => layer.size(SETTINGS, both, otherwise),
        }
    };
    let stride = [size("stride_h", "stride", 1)?, size("stride_w", "stride", 1)?];
    let mut pad = [size("pad_h", "pad", 0)?, size("pad_w", "pad", 0)?];
    if let Some(merged) = layer.padding {
        pad = [u64::try_from(merged).map_err(|_| layer.malformed("padding below 0"))?; 2];
    }
    let kernel = [size("kernel_h", "kernel_size", 0)?, size("kernel_w", "kernel_size", 0)?];
    let kernel = if global { [height, width] } else { kernel };
    if global && (pad != [0, 0] || stride != [1, 1]) {
        return Err(layer.malformed("global pooling with a padding or a stride"));
    }
    let floor = layer.choice(SETTINGS, "round_mode", &["CEIL", "FLOOR"], 0)? == "FLOOR"
        || !layer.flag(SETTINGS, "ceil_mode", true)?;
    let windows = Windows::new(job, [height, width], kernel, stride, pad, !floor)?;
    if method == Method::Max && job.tops.len() > 1 {
        return with_mask(job, x, &windows);
    }
    if global && !windows.is_padded() {
        let op = match method {
            Method::Max => Some("GlobalMaxPool"),
            Method::Average => Some("GlobalAveragePool"),
            Method::Stochastic => None,
        };
        if let Some(op) = op {
            let y = job.emit(op, &[x], vec![], vec![shape[0], shape[1], 1, 1])?;
            return job.finish(0, y);
        }
    }
    let y = pool(job, method, x, &windows)?;
    job.finish(0, y)
}

fn method(job: &Job<'_, '_>, message: &str) -> Result<Method> {
    Ok(match job.layer.choice(message, "pool", &["MAX", "AVE", "STOCHASTIC"], 0)? {
        "MAX" => Method::Max,
        "AVE" => Method::Average,
        _ => Method::Stochastic,
    })
}

/// Windows along height and width.
struct Windows([Axis; 2]);

impl Windows {
    fn new(
        job: &mut Job<'_, '_>,
        sizes: [u64; 2],
        kernel: [u64; 2],
        stride: [u64; 2],
        pad: [u64; 2],
        ceil: bool,
    ) -> Result<Self> {
        let layer = job.layer;
        if kernel.contains(&0) || stride.contains(&0) {
            return Err(layer.malformed("a kernel or stride of 0"));
        }
        if pad[0] >= kernel[0] || pad[1] >= kernel[1] {
            return Err(layer.malformed(format!("a padding of {pad:?}, which is not below the kernel's {kernel:?}")));
        }
        let axis = |i: usize| {
            Axis::new(sizes[i], kernel[i], stride[i], pad[i], ceil).ok_or_else(|| {
                layer.malformed(format!("a kernel of {} on a size of {} padded by {}", kernel[i], sizes[i], pad[i]))
            })
        };
        let mut axes = [axis(0)?, axis(1)?];
        let mut clipped = false;
        if pad != [0, 0] {
            for axis in &mut axes {
                if axis.begins_in_padding() {
                    (axis.count, clipped) = (axis.count - 1, true);
                }
                if axis.count == 0 || axis.begins_in_padding() {
                    return Err(layer.malformed("windows that begin behind the end"));
                }
            }
        }
        let counts = |ceil: bool| {
            [0, 1].map(|i| Axis::new(sizes[i], kernel[i], stride[i], pad[i], ceil).map_or(0, |a| a.count))
        };
        let counted = [axes[0].count, axes[1].count];
        if ceil && counted != counts(false) {
            let reach = axes.iter().any(Axis::is_empty_at_end);
            let how = if reach { ", the last window without any element (ONNX and PyTorch would clip it)" } else { "" };
            job.choose(format!("{sizes:?} pooled to {counted:?}: rounded up{how}"));
        }
        if clipped {
            job.choose(format!("{sizes:?} pooled to {counted:?}: the window that begins in the padding is clipped"));
        }
        Ok(Windows(axes))
    }

    fn each<T>(&self, of: impl Fn(&Axis) -> T) -> [T; 2] {
        [of(&self.0[0]), of(&self.0[1])]
    }

    fn counts(&self) -> [u64; 2] {
        self.each(|a| a.count)
    }

    /// Whether a window reaches beyond the data.
    fn is_padded(&self) -> bool {
        self.0.iter().any(|a| a.pad > 0 || a.after() > 0)
    }

    /// Windows of operators that take padding: `x` as it is, or padded where a window would be empty.
    fn applied(&self, job: &mut Job<'_, '_>, x: ValueId, fill: f64) -> Result<(ValueId, Attributes<'static>, bool)> {
        let (before, after) = (self.each(|a| a.pad), self.each(|a| a.after()));
        let outside = self.0.iter().any(Axis::is_empty_at_end);
        let (x, pads) = match outside {
            true => {
                let before = [0, 0, before[0], before[1]];
                (job.pad(x, &before, &[0, 0, after[0], after[1]], fill)?, [0; 4])
            }
            false => (x, [before[0], before[1], after[0], after[1]]),
        };
        let (kernel, stride) = (self.each(|a| a.kernel), self.each(|a| a.stride));
        let mut attributes = vec![("kernel_shape", ints(&kernel)), ("strides", ints(&stride))];
        if pads != [0; 4] {
            attributes.push(("pads", ints(&pads)));
        }
        Ok((x, attributes, outside))
    }

    fn output(&self, job: &Job<'_, '_>, x: ValueId) -> Vec<u64> {
        let shape = job.shape(x);
        vec![shape[0], shape[1], self.0[0].count, self.0[1].count]
    }
}

fn pool(job: &mut Job<'_, '_>, method: Method, x: ValueId, windows: &Windows) -> Result<ValueId> {
    match method {
        Method::Max => {
            let shape = windows.output(job, x);
            let (x, attributes, _) = windows.applied(job, x, LOWEST)?;
            job.emit("MaxPool", &[x], attributes, shape)
        }
        Method::Average => average(job, x, windows),
        Method::Stochastic => stochastic(job, x, windows),
    }
}

/// The second top is where each maximum stands in its plane, as a number; -1 for an empty window.
fn with_mask(job: &mut Job<'_, '_>, x: ValueId, windows: &Windows) -> Result<()> {
    job.choose("the second top counts from the beginning of each plane, as Caffe's does");
    let shape = windows.output(job, x);
    let (padded, attributes, outside) = windows.applied(job, x, LOWEST)?;
    let outputs = vec![(DType::F32, Some(shape.clone())), (DType::I64, Some(shape.clone()))];
    let given = job.emit_many("MaxPool", &[padded], attributes, outputs)?;
    let sizes = job.shape(padded);
    let (height, width) = (sizes[2] as i64, sizes[3] as i64);
    let whole = |job: &mut Job<'_, '_>, op: &str, a: ValueId, step: &str, n: i64| {
        let n = job.integers(step, &[n])?;
        job.emit_as(op, &[a, n], vec![], DType::I64, Some(shape.clone()))
    };
    let mut at = whole(job, "Mod", given[1], "plane", height * width)?;
    if outside {
        // From the padded plane to the one that was given.
        let [before_h, before_w] = windows.each(|a| a.pad as i64);
        let row = whole(job, "Div", at, "width", width)?;
        let row = whole(job, "Sub", row, "above", before_h)?;
        let row = whole(job, "Mul", row, "inner_width", windows.0[1].size as i64)?;
        let column = whole(job, "Mod", at, "width", width)?;
        let column = whole(job, "Sub", column, "left", before_w)?;
        at = job.emit_as("Add", &[row, column], vec![], DType::I64, Some(shape.clone()))?;
    }
    let mut mask = job.cast(at, DType::F32)?;
    if outside {
        let lowest = job.scalar("lowest", LOWEST)?;
        let none = job.scalar("none", -1.0)?;
        let empty = job.emit_as("Equal", &[given[0], lowest], vec![], DType::Bool, Some(shape.clone()))?;
        mask = job.emit("Where", &[empty, none, mask], vec![], shape)?;
    }
    job.finish(1, mask)?;
    job.finish(0, given[0])
}

/// Averages are over a window as far as it reaches into the padding, and no further.
fn average(job: &mut Job<'_, '_>, x: ValueId, windows: &Windows) -> Result<ValueId> {
    let divisors = windows.each(Axis::divisors);
    let kernel = windows.each(|a| a.kernel as i64);
    let all = |wanted: &dyn Fn(usize, (i64, i64)) -> bool| {
        divisors.iter().enumerate().all(|(axis, each)| each.iter().all(|&d| wanted(axis, d)))
    };
    let whole = all(&|axis, (divisor, _)| divisor == kernel[axis]);
    let of_elements = all(&|_, (divisor, elements)| divisor == elements && elements > 0);
    let shape = windows.output(job, x);
    let (x, mut attributes, _) = windows.applied(job, x, 0.0)?;
    if of_elements || whole {
        if windows.is_padded() {
            attributes.push(("count_include_pad", Value::Int(i64::from(!of_elements))));
        }
        return job.emit("AveragePool", &[x], attributes, shape);
    }
    job.choose("an average over the padding within, divided by the part of the window that is within it");
    attributes.push(("count_include_pad", Value::Int(1)));
    let y = job.emit("AveragePool", &[x], attributes, shape)?;
    let [rows, columns] = windows.counts();
    job.computed(&[rows, columns])?;
    let (area, [down, across]) = ((kernel[0] * kernel[1]) as f64, &divisors);
    let factor = |(h, w): (&(i64, i64), &(i64, i64))| (area / (h.0 * w.0) as f64) as f32;
    let factors: Vec<f32> = down.iter().flat_map(|h| across.iter().map(move |w| factor((h, w)))).collect();
    let factors = job.floats("divisors", &[1, 1, rows, columns], &factors)?;
    job.binary("Mul", y, factors)
}

/// What Caffe expects of a choice by size when it tests: the sum of squares over the sum.
fn stochastic(job: &mut Job<'_, '_>, x: ValueId, windows: &Windows) -> Result<ValueId> {
    if windows.0.iter().any(|a| a.pad > 0) {
        return Err(job.layer.malformed("stochastic pooling with a padding"));
    }
    job.choose("stochastic: the weighted mean that Caffe gives in TEST, sum(x*x) / sum(x)");
    let area = windows.0.iter().map(|a| a.kernel as f64).product();
    let sum = |job: &mut Job<'_, '_>, x: ValueId| {
        let shape = windows.output(job, x);
        let (x, mut attributes, _) = windows.applied(job, x, 0.0)?;
        attributes.push(("count_include_pad", Value::Int(1)));
        let mean = job.emit("AveragePool", &[x], attributes, shape)?;
        job.with_number("Mul", mean, "area", area)
    };
    let squares = job.binary("Mul", x, x)?;
    let squares = sum(job, squares)?;
    let plain = sum(job, x)?;
    let plain = job.with_number("Add", plain, "least", f64::from(f32::MIN_POSITIVE))?;
    job.binary("Div", squares, plain)
}

/// SPP: at each level twice as many windows along both axes, all flattened side by side.
pub(super) fn spatial_pyramid(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, shape) = job.single()?;
    let method = method(job, "spp_param")?;
    let levels = job.layer.count("spp_param", "pyramid_height")?;
    let &[batch, channels, height, width] = shape.as_slice() else {
        return Err(job.layer.malformed(format!("a bottom of {} axes, and SPP takes four", shape.len())));
    };
    if levels > 16 || 1u64 << (levels - 1) > height.min(width) {
        return Err(job.layer.malformed(format!("{levels} levels on {height} by {width}")));
    }
    let mut parts = Vec::new();
    for level in 0..levels {
        let bins = 1u64 << level;
        let kernel = [height.div_ceil(bins), width.div_ceil(bins)];
        let pad = [kernel[0] * bins - height, kernel[1] * bins - width].map(|rest| rest.div_ceil(2));
        let windows = Windows::new(job, [height, width], kernel, kernel, pad, true)?;
        let pooled = pool(job, method, x, &windows)?;
        let [rows, columns] = windows.counts();
        parts.push(job.reshape(pooled, &[batch, channels * rows * columns])?);
    }
    let y = if parts.len() == 1 { parts[0] } else { job.concat(&parts, 1)? };
    job.finish(0, y)
}
