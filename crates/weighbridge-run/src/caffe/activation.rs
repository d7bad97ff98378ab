//! Layers that make each element from one: activations and elementary functions.

use super::blob::Blob;
use super::call::{Call, Tops};
use super::fault::Fault;
use super::filler::Filler;

/// Applies a function to every element.
fn each(call: &Call<'_>, f: impl Fn(f64) -> f64) -> Tops {
    Ok(vec![call.bottom(0)?.map(f)])
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `log(1 + e^x)`, without an infinity on the way.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `x` above zero and `slope x` below it; NaN stays what it is.
fn rectified(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

/// `ReLU`: negative values times `negative_slope`, 0 unless told.
pub(super) fn relu(call: &Call<'_>) -> Tops {
    let slope = call.settings("relu_param").float("negative_slope", 0.0)?;
    each(call, |x| rectified(x, slope))
}

/// `ReLU6`: no more than `threshold`, 6 unless told, and below zero times `negative_slope`, 0 unless told.
pub(super) fn relu6(call: &Call<'_>) -> Tops {
    let settings = call.settings("relu6_param");
    let slope = settings.float("negative_slope", 0.0)?;
    let most = settings.float("threshold", 6.0)?;
    each(call, |x| rectified(x, slope).min(most))
}

/// `PReLU`: negative values times a slope, one for all channels or one for each.
pub(super) fn prelu(call: &Call<'_>) -> Tops {
    let bottom = call.bottom(0)?;
    let channels = *bottom.shape.get(1).ok_or("a blob without channels")?;
    let shared = call.settings("prelu_param").truth("channel_shared", false)?;
    let quarter = Filler("prelu_param", "filler", 0.25);
    let slopes = if shared {
        call.weight(0, &[], quarter).or_else(|_| call.weight(0, &[1], quarter))?
    } else {
        call.weight(0, &[channels], quarter)?
    };
    let spatial = bottom.inner(2).max(1);
    let mut data = bottom.data.to_vec();
    for (row, out) in data.chunks_exact_mut(spatial).enumerate() {
        let slope = f64::from(slopes[if shared { 0 } else { row % channels }]);
        out.iter_mut().for_each(|x| *x = rectified(*x, slope));
    }
    Ok(vec![Blob::new(bottom.shape.clone(), data)])
}

/// `ELU`: `alpha (e^x - 1)` below zero.
pub(super) fn elu(call: &Call<'_>) -> Tops {
    let alpha = call.settings("elu_param").float("alpha", 1.0)?;
    each(call, |x| if x > 0.0 { x } else { alpha * x.exp_m1() })
}

/// `Sigmoid`.
pub(super) fn sigmoids(call: &Call<'_>) -> Tops {
    each(call, sigmoid)
}

/// `TanH`.
pub(super) fn tanh(call: &Call<'_>) -> Tops {
    each(call, f64::tanh)
}

/// `AbsVal`.
pub(super) fn abs(call: &Call<'_>) -> Tops {
    each(call, f64::abs)
}

/// `BNLL`: `log(1 + e^x)`.
pub(super) fn bnll(call: &Call<'_>) -> Tops {
    each(call, softplus)
}

/// `Swish`: `x · sigmoid(beta x)`.
pub(super) fn swish(call: &Call<'_>) -> Tops {
    let beta = call.settings("swish_param").float("beta", 1.0)?;
    each(call, |x| x * sigmoid(beta * x))
}

/// `Mish`: `x · tanh(log(1 + e^x))`.
pub(super) fn mish(call: &Call<'_>) -> Tops {
    each(call, |x| x * softplus(x).tanh())
}

/// `HardSwish`: `x · clamp(x + 3, 0, 6) / 6`.
pub(super) fn hard_swish(call: &Call<'_>) -> Tops {
    each(call, |x| x * (x + 3.0).clamp(0.0, 6.0) / 6.0)
}

/// Forks' `clamp(alpha x + beta, 0, 1)`; alpha is a sixth in `HSigmoid` and 0.2 in `HardSigmoid` unless told.
pub(super) fn hard_sigmoid(call: &Call<'_>) -> Tops {
    let messages = ["hardsigmoid_param", "hard_sigmoid_param", "hsigmoid_param"];
    let told = messages.into_iter().find(|message| call.layer.node.attribute(message).is_some());
    let settings = call.settings(told.unwrap_or("hardsigmoid_param"));
    let usual = if call.layer.kind == "HSigmoid" { 1.0 / 6.0 } else { 0.2 };
    let (alpha, beta) = (settings.float("alpha", usual)?, settings.float("beta", 0.5)?);
    each(call, |x| (alpha * x + beta).clamp(0.0, 1.0))
}

/// `Threshold`: 1 above it, otherwise 0.
pub(super) fn threshold(call: &Call<'_>) -> Tops {
    let threshold = call.settings("threshold_param").float("threshold", 0.0)?;
    each(call, |x| f64::from(u8::from(x > threshold)))
}

/// `Clip`: between `min` and `max`.
pub(super) fn clip(call: &Call<'_>) -> Tops {
    let settings = call.settings("clip_param");
    if !settings.has("min") || !settings.has("max") {
        return Err("min and max are not told".into());
    }
    let (min, max) = (settings.float("min", 0.0)?, settings.float("max", 0.0)?);
    each(call, |x| x.min(max).max(min))
}

/// `Power`: `(shift + scale x)^power`.
pub(super) fn power(call: &Call<'_>) -> Tops {
    let settings = call.settings("power_param");
    let (power, scale) = (settings.float("power", 1.0)?, settings.float("scale", 1.0)?);
    let shift = settings.float("shift", 0.0)?;
    each(call, |x| {
        let base = shift + scale * x;
        if power == 1.0 { base } else { base.powf(power) }
    })
}

/// The natural logarithm of a base; -1 stands for e.
fn log_of(base: f64) -> Result<f64, Fault> {
    match base {
        -1.0 => Ok(1.0),
        base if base > 0.0 => Ok(base.ln()),
        base => Err(format!("a base of {base}").into()),
    }
}

/// `Exp`: `base^(shift + scale x)`.
pub(super) fn exp(call: &Call<'_>) -> Tops {
    let settings = call.settings("exp_param");
    let log = log_of(settings.float("base", -1.0)?)?;
    let (scale, shift) = (settings.float("scale", 1.0)?, settings.float("shift", 0.0)?);
    each(call, |x| (log * (shift + scale * x)).exp())
}

/// `Log`: the logarithm of `shift + scale x` to the base.
pub(super) fn log(call: &Call<'_>) -> Tops {
    let settings = call.settings("log_param");
    let log = log_of(settings.float("base", -1.0)?)?;
    let (scale, shift) = (settings.float("scale", 1.0)?, settings.float("shift", 0.0)?);
    each(call, |x| (shift + scale * x).ln() / log)
}

/// `Dropout` drops nothing in testing. A fork's `scale_train: false` leaves the scaling for then.
pub(super) fn dropout(call: &Call<'_>) -> Tops {
    let settings = call.settings("dropout_param");
    if settings.truth("scale_train", true)? {
        return Ok(vec![call.bottom(0)?.clone()]);
    }
    let kept = 1.0 - settings.float("dropout_ratio", 0.5)?;
    each(call, |x| x * kept)
}

/// `Softmax` along an axis.
pub(super) fn softmax(call: &Call<'_>) -> Tops {
    along(call, |values| {
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        values.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let sum: f64 = values.iter().sum();
        values.iter_mut().for_each(|x| *x /= sum);
    })
}

/// `LogSoftmax`, a fork's: the logarithm of it.
pub(super) fn log_softmax(call: &Call<'_>) -> Tops {
    along(call, |values| {
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log = values.iter().map(|x| (x - largest).exp()).sum::<f64>().ln() + largest;
        values.iter_mut().for_each(|x| *x -= log);
    })
}

/// Changes the values along `axis`, 1 unless told.
fn along(call: &Call<'_>, change: impl Fn(&mut [f64])) -> Tops {
    let bottom = call.bottom(0)?;
    let axis = bottom.axis(call.settings("softmax_param").int("axis", 1)?)?;
    let (size, inner) = (bottom.shape[axis], bottom.inner(axis + 1));
    let mut data = bottom.data.to_vec();
    let mut values = vec![0.0; size];
    for block in data.chunks_exact_mut((size * inner).max(1)) {
        for i in 0..inner {
            values.iter_mut().zip(block[i..].iter().step_by(inner)).for_each(|(x, y)| *x = *y);
            change(&mut values);
            block[i..].iter_mut().step_by(inner).zip(&values).for_each(|(x, y)| *x = *y);
        }
    }
    Ok(vec![Blob::new(bottom.shape.clone(), data)])
}
