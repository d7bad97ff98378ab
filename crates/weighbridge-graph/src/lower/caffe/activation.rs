//! Functions of one element: rectifiers, sigmoids, and the like.

use weighbridge_model::{DType, Result, Value, ValueId};

use super::weights::Asked;
use super::work::Job;

/// A layer that is one operator of ONNX without attributes.
fn plain(job: &mut Job<'_, '_>, op: &str) -> Result<()> {
    let (x, _) = job.single()?;
    let y = job.unary(op, x, vec![])?;
    job.finish(0, y)
}

pub(super) fn sigmoid(job: &mut Job<'_, '_>) -> Result<()> {
    plain(job, "Sigmoid")
}

pub(super) fn tanh(job: &mut Job<'_, '_>) -> Result<()> {
    plain(job, "Tanh")
}

pub(super) fn absolute(job: &mut Job<'_, '_>) -> Result<()> {
    plain(job, "Abs")
}

/// BNLL: `log(1 + exp(x))`.
pub(super) fn softplus(job: &mut Job<'_, '_>) -> Result<()> {
    plain(job, "Softplus")
}

pub(super) fn relu(job: &mut Job<'_, '_>) -> Result<()> {
    let slope = job.layer.float("relu_param", "negative_slope", 0.0)?;
    if slope == 0.0 {
        return plain(job, "Relu");
    }
    let (x, _) = job.single()?;
    let y = job.unary("LeakyRelu", x, vec![("alpha", Value::Float(slope))])?;
    job.finish(0, y)
}

/// `min(max(x, 0) + slope * min(x, 0), threshold)`, the threshold 6 unless told.
pub(super) fn relu6(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "relu6_param";
    let (x, _) = job.single()?;
    let slope = job.layer.float(SETTINGS, "negative_slope", 0.0)?;
    let most = job.layer.float(SETTINGS, "threshold", 6.0)?;
    if slope == 0.0 {
        let y = between(job, x, 0.0, most)?;
        return job.finish(0, y);
    }
    let y = job.unary("LeakyRelu", x, vec![("alpha", Value::Float(slope))])?;
    let most = job.scalar("threshold", most)?;
    let y = job.binary("Min", y, most)?;
    job.finish(0, y)
}

pub(super) fn clip(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "clip_param";
    let (x, _) = job.single()?;
    for bound in ["min", "max"] {
        if !job.layer.has(SETTINGS, bound) {
            return Err(job.layer.malformed(format!("{SETTINGS}.{bound} is missing")));
        }
    }
    let (least, most) = (job.layer.float(SETTINGS, "min", 0.0)?, job.layer.float(SETTINGS, "max", 0.0)?);
    let y = between(job, x, least, most)?;
    job.finish(0, y)
}

fn between(job: &mut Job<'_, '_>, x: ValueId, least: f64, most: f64) -> Result<ValueId> {
    let shape = job.shape(x);
    let (least, most) = (job.scalar("least", least)?, job.scalar("most", most)?);
    job.emit("Clip", &[x, least, most], vec![], shape)
}

/// PReLU: a slope for each channel, or one for all.
pub(super) fn prelu(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "prelu_param";
    let (x, shape) = job.single()?;
    if shape.len() < 2 {
        return Err(job.layer.malformed(format!("a bottom of {} axes, and PReLU takes two", shape.len())));
    }
    let shared = job.layer.flag(SETTINGS, "channel_shared", false)?;
    job.blobs(1)?;
    let size = if shared { vec![] } else { vec![shape[1]] };
    let mut wide = vec![1; shape.len() - 1];
    wide[0] = if shared { 1 } else { shape[1] };
    let asked = Asked { index: 0, shape: &size, filler: (SETTINGS, "filler"), otherwise: 0.25 };
    let slope = job.weight(&asked, &wide)?;
    let y = job.emit("PRelu", &[x, slope], vec![], shape)?;
    job.finish(0, y)
}

pub(super) fn elu(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, _) = job.single()?;
    let alpha = job.layer.float("elu_param", "alpha", 1.0)?;
    let y = job.unary("Elu", x, vec![("alpha", Value::Float(alpha))])?;
    job.finish(0, y)
}

/// Swish: `x * sigmoid(beta * x)`.
pub(super) fn swish(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, _) = job.single()?;
    let beta = job.layer.float("swish_param", "beta", 1.0)?;
    let scaled = job.with_number("Mul", x, "beta", beta)?;
    let gate = job.unary("Sigmoid", scaled, vec![])?;
    let y = job.binary("Mul", x, gate)?;
    job.finish(0, y)
}

/// Forks' `x * tanh(log(1 + exp(x)))`.
pub(super) fn mish(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, _) = job.single()?;
    let soft = job.unary("Softplus", x, vec![])?;
    let gate = job.unary("Tanh", soft, vec![])?;
    let y = job.binary("Mul", x, gate)?;
    job.finish(0, y)
}

/// Forks' `x * clip(x/6 + 1/2, 0, 1)`.
pub(super) fn hard_swish(job: &mut Job<'_, '_>) -> Result<()> {
    job.choose("x * clip(x/6 + 0.5, 0, 1): no layer of BVLC's, taken as MobileNet v3 has it");
    plain(job, "HardSwish")
}

/// Forks' `clip(alpha*x + beta, 0, 1)`.
pub(super) fn hard_sigmoid(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, _) = job.single()?;
    let layer = job.layer;
    // One fork spells its message so, others otherwise.
    let spelled = ["hardsigmoid_param", "hard_sigmoid_param", "hsigmoid_param"];
    let message = spelled.into_iter().find(|m| layer.node().attribute(m).is_some()).unwrap_or(spelled[0]);
    let short = layer.kind == "HSigmoid";
    let alpha = layer.float(message, "alpha", if short { 1.0 / 6.0 } else { 0.2 })?;
    let beta = layer.float(message, "beta", 0.5)?;
    job.choose(format!("clip({}*x + {}, 0, 1): no layer of BVLC's", alpha as f32, beta as f32));
    let y = job.unary("HardSigmoid", x, vec![("alpha", Value::Float(alpha)), ("beta", Value::Float(beta))])?;
    job.finish(0, y)
}

/// Threshold: 1 above, 0 elsewhere.
pub(super) fn threshold(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, shape) = job.single()?;
    let bound = job.layer.float("threshold_param", "threshold", 0.0)?;
    let bound = job.scalar("threshold", bound)?;
    let above = job.emit_as("Greater", &[x, bound], vec![], DType::Bool, Some(shape))?;
    let y = job.cast(above, DType::F32)?;
    job.finish(0, y)
}

/// Softmax along one axis.
pub(super) fn softmax(job: &mut Job<'_, '_>) -> Result<()> {
    along(job, "Softmax")
}

pub(super) fn log_softmax(job: &mut Job<'_, '_>) -> Result<()> {
    along(job, "LogSoftmax")
}

fn along(job: &mut Job<'_, '_>, op: &str) -> Result<()> {
    let (x, shape) = job.single()?;
    let axis = job.layer.axis(job.layer.int("softmax_param", "axis", 1)?, shape.len())?;
    let y = job.unary(op, x, vec![("axis", Value::Int(axis as i64))])?;
    job.finish(0, y)
}
