//! BatchNorm, LRN, MVN, Normalize.

use weighbridge_model::{Result, Value, ValueId};

use super::weights::{Asked, shaped};
use super::work::{Job, ints};

/// BatchNorm: three blobs, of which mean and variance are sums that the third divides; no scale and no shift, unless it
/// is NVCaffe's.
pub(super) fn batch_norm(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "batch_norm_param";
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let eps = layer.float(SETTINGS, "eps", 1e-5)?;
    let channels = if shape.len() < 2 { 1 } else { shape[1] };
    let global = layer.flag(SETTINGS, "use_global_stats", true)?;
    let affine = layer.flag(SETTINGS, "scale_bias", false)?;
    job.choose(format!("eps {:e}, inside of the square root", eps as f32));
    if !global {
        let y = by_batch(job, x, eps)?;
        return job.finish(0, y);
    }
    job.blobs(if affine { 5 } else { 3 })?;
    let factor = match layer.blobs.get(2) {
        Some(&id) => job.number(id)?,
        None => 0.0,
    };
    // Caffe divides in single precision, by multiplying with the inverse.
    let scale = if factor == 0.0 { 0.0 } else { 1.0 / factor };
    if !layer.blobs.is_empty() {
        job.choose(match factor {
            0.0 => "factor 0: mean and variance are 0".to_owned(),
            1.0 => "factor 1: mean and variance as they are".to_owned(),
            factor => format!("mean and variance divided by the factor {}", factor as f32),
        });
    }
    let size = [channels];
    let mut held = Vec::with_capacity(4);
    for index in [0, 1] {
        let asked = Asked { index, shape: &size, filler: ("", ""), otherwise: 0.0 };
        let mut tensor = job.tensor(&asked)?;
        if scale != 1.0 {
            tensor = job.scaled(&tensor, scale)?;
            job.work
                .changed
                .push((tensor.name.clone(), "divided by the layer's factor, rounded once".to_owned()));
        }
        held.push(tensor);
    }
    let [scale, shift] = match affine {
        true => [(3, 1.0), (4, 0.0)].map(|(index, otherwise)| {
            let asked = Asked { index, shape: &size, filler: (SETTINGS, "scale_filler"), otherwise };
            job.weight(&asked, &size)
        }),
        false => {
            let count = usize::try_from(channels).unwrap_or(0);
            [job.floats("scale", &size, &vec![1.0; count]), job.floats("shift", &size, &vec![0.0; count])]
        }
    };
    let inputs = [x, scale?, shift?];
    let held: Vec<ValueId> = held.into_iter().map(|tensor| job.hold(tensor)).collect();
    let inputs = [&inputs[..], &held].concat();
    // A bottom without channels has one statistic for all of it.
    let (whole, flat) = (shape.len() < 2, [shape.iter().product(), 1]);
    let inputs = if whole { [&[job.reshape(x, &flat)?], &inputs[1..]].concat() } else { inputs };
    let given = if whole { flat.to_vec() } else { shape.clone() };
    let y = job.emit("BatchNormalization", &inputs, vec![("epsilon", Value::Float(eps))], given)?;
    let y = job.reshape(y, &shape)?;
    job.finish(0, y)
}

/// Forks' BN, of those that give it four blobs: scale, shift, mean and variance as they are.
pub(super) fn bn(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let (4, [_, channels, ..]) = (layer.blobs.len(), shape.as_slice()) else {
        return Err(layer.unsupported(format!(
            "{} blobs and a bottom of {shape:?}: forks agree on what BN computes where it has four, and channels",
            layer.blobs.len()
        )));
    };
    let eps = layer.float("bn_param", "eps", 1e-5)?;
    job.choose(format!(
        "blobs are scale, shift, mean and variance; eps {:e}, inside of the square root",
        eps as f32
    ));
    let size = [*channels];
    let mut inputs = vec![x];
    for index in 0..4 {
        let stored = &job.work.source.tensor(layer.blobs[index]).shape;
        // Forks write them as [1, C, 1, 1].
        let asked: &[u64] = if stored.iter().product::<u64>() == size[0] { &stored.clone() } else { &size };
        let asked = Asked { index, shape: asked, filler: ("bn_param", ""), otherwise: 0.0 };
        inputs.push(job.weight(&asked, &size)?);
    }
    let y = job.emit("BatchNormalization", &inputs, vec![("epsilon", Value::Float(eps))], shape)?;
    job.finish(0, y)
}

/// With the statistics of what is at hand.
fn by_batch(job: &mut Job<'_, '_>, x: ValueId, eps: f64) -> Result<ValueId> {
    job.choose("use_global_stats: false: normalized by the batch at hand, in TEST too");
    let rank = job.shape(x).len();
    let axes: Vec<usize> = (0..rank).filter(|&axis| axis != 1).collect();
    let mean = job.reduce("ReduceMean", x, &axes, true)?;
    let centered = job.binary("Sub", x, mean)?;
    let squares = job.binary("Mul", centered, centered)?;
    let variance = job.reduce("ReduceMean", squares, &axes, true)?;
    let variance = job.with_number("Add", variance, "eps", eps)?;
    let deviation = job.unary("Sqrt", variance, vec![])?;
    job.binary("Div", centered, deviation)
}

/// LRN: across channels as ONNX has it; within a channel by an average of squares, where `k` is 1 whatever it says.
pub(super) fn lrn(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "lrn_param";
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let size = layer.size(SETTINGS, "local_size", 5)?;
    let [alpha, beta, k] =
        [("alpha", 1.0), ("beta", 0.75), ("k", 1.0)].map(|(n, d)| layer.float(SETTINGS, n, d));
    let (alpha, beta, k) = (alpha?, beta?, k?);
    if size % 2 == 0 {
        return Err(layer.malformed(format!("local_size is {size}, and Caffe takes odd ones")));
    }
    if shape.len() != 4 {
        return Err(layer.malformed(format!("a bottom of {} axes, and LRN takes four", shape.len())));
    }
    if layer.choice(SETTINGS, "norm_region", &["ACROSS_CHANNELS", "WITHIN_CHANNEL"], 0)? == "ACROSS_CHANNELS"
    {
        job.choose(format!("alpha {} divided by the {size} channels, k {}", alpha as f32, k as f32));
        let attributes = vec![
            ("alpha", Value::Float(alpha)),
            ("beta", Value::Float(beta)),
            ("bias", Value::Float(k)),
            ("size", Value::Int(size as i64)),
        ];
        let y = job.unary("LRN", x, attributes)?;
        return job.finish(0, y);
    }
    let told = if k == 1.0 { "" } else { ", whatever k says" };
    job.choose(format!(
        "within a channel: alpha {} by the mean over {size} by {size}, k 1{told}",
        alpha as f32
    ));
    let squares = job.binary("Mul", x, x)?;
    let attributes = vec![
        ("kernel_shape", ints(&[size; 2])),
        ("strides", ints(&[1, 1])),
        ("pads", ints(&[size / 2; 4])),
        ("count_include_pad", Value::Int(1)),
    ];
    let mean = job.emit("AveragePool", &[squares], attributes, shape)?;
    let sum = job.with_number("Mul", mean, "alpha", alpha)?;
    let sum = job.with_number("Add", sum, "one", 1.0)?;
    let factor = job.with_number("Pow", sum, "beta", -beta)?;
    let y = job.binary("Mul", x, factor)?;
    job.finish(0, y)
}

/// MVN: less its mean, and divided by its deviation, to which eps is added outside of the square root.
pub(super) fn mvn(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "mvn_param";
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let variance = layer.flag(SETTINGS, "normalize_variance", true)?;
    let across = layer.flag(SETTINGS, "across_channels", false)?;
    let eps = layer.float(SETTINGS, "eps", 1e-9)?;
    if shape.len() > 4 {
        return Err(layer.malformed(format!("a bottom of {} axes, and MVN takes four at most", shape.len())));
    }
    // Sizes that are not there are 1.
    let mut four = shape.clone();
    four.resize(4, 1);
    let x = job.reshape(x, &four)?;
    let axes: &[usize] = if across { &[1, 2, 3] } else { &[2, 3] };
    let mean = job.reduce("ReduceMean", x, axes, true)?;
    let mut y = job.binary("Sub", x, mean)?;
    if variance {
        job.choose(format!("eps {:e}, outside of the square root", eps as f32));
        let squares = job.binary("Mul", y, y)?;
        let mean = job.reduce("ReduceMean", squares, axes, true)?;
        let deviation = job.unary("Sqrt", mean, vec![])?;
        let deviation = job.with_number("Add", deviation, "eps", eps)?;
        y = job.binary("Div", y, deviation)?;
    }
    let y = job.reshape(y, &shape)?;
    job.finish(0, y)
}

/// SSD's Normalize: divided by its length, to whose square eps is added, then scaled.
pub(super) fn normalize(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "norm_param";
    let (x, shape) = job.single()?;
    let layer = job.layer;
    let across = layer.flag(SETTINGS, "across_spatial", true)?;
    let shared = layer.flag(SETTINGS, "channel_shared", true)?;
    let eps = layer.float(SETTINGS, "eps", 1e-10)?;
    if shape.len() < 2 || shape.len() > 4 {
        return Err(layer.malformed(format!("a bottom of {} axes", shape.len())));
    }
    job.choose(format!("eps {:e}, inside of the square root", eps as f32));
    job.blobs(1)?;
    let size = if shared { vec![] } else { vec![shape[1]] };
    let asked = Asked { index: 0, shape: &size, filler: (SETTINGS, "scale_filler"), otherwise: 1.0 };
    let scale = job.tensor(&asked)?;
    let mut wide = vec![1; shape.len() - 1];
    wide[0] = if shared { 1 } else { shape[1] };
    let scale = shaped(scale, &wide)?;
    let scale = job.hold(scale);
    let axes: Vec<usize> = if across { (1..shape.len()).collect() } else { vec![1] };
    let squares = job.binary("Mul", x, x)?;
    let sum = job.reduce("ReduceSum", squares, &axes, true)?;
    let sum = job.with_number("Add", sum, "eps", eps)?;
    let length = job.unary("Sqrt", sum, vec![])?;
    let unit = job.binary("Div", x, length)?;
    let y = job.binary("Mul", unit, scale)?;
    job.finish(0, y)
}
