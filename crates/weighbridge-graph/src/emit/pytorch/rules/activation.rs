//! Activations, and what is alike: clipping, Softmax.

use super::Row;
use crate::emit::pytorch::scope::{Part, Ruled, Work};
use crate::emit::pytorch::text::float;
use crate::emit::pytorch::views::squeezed;

pub(super) const RULES: &[Row] = &[
    ("Relu", |w| plain(w, "F.relu")),
    ("Sigmoid", |w| plain(w, "torch.sigmoid")),
    ("Tanh", |w| plain(w, "torch.tanh")),
    ("HardSwish", |w| plain(w, "F.hardswish")),
    ("Mish", |w| plain(w, "F.mish")),
    ("Softsign", |w| plain(w, "F.softsign")),
    ("LeakyRelu", |w| with(w, "F.leaky_relu", "alpha", 0.01)),
    ("Elu", |w| with(w, "F.elu", "alpha", 1.0)),
    ("Celu", |w| with(w, "F.celu", "alpha", 1.0)),
    ("Softplus", softplus),
    ("Gelu", gelu),
    ("Selu", selu),
    ("Swish", swish),
    ("HardSigmoid", hard_sigmoid),
    ("ThresholdedRelu", thresholded_relu),
    ("Shrink", shrink),
    ("PRelu", prelu),
    ("Clip", clip),
    ("Softmax", |w| softmax(w, "F.softmax")),
    ("LogSoftmax", |w| softmax(w, "F.log_softmax")),
    ("Hardmax", hardmax),
];

/// The output is like the input.
fn like(w: &mut Work<'_, '_>) {
    let (dtype, rank) = (w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
}

fn plain(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    like(w);
    let x = w.x(0)?;
    w.give(format!("{function}({x})"))
}

fn with(w: &mut Work<'_, '_>, function: &str, name: &str, otherwise: f64) -> Ruled {
    like(w);
    let (x, alpha) = (w.x(0)?, float(w.float(name, otherwise)));
    w.give(format!("{function}({x}, {alpha})"))
}

/// torch takes the input itself from a threshold on; at 20, its usual one, double precision still sees a difference.
fn softplus(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let x = w.x(0)?;
    w.give(format!("F.softplus({x}, threshold=40.0)"))
}

fn gelu(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let x = w.x(0)?;
    match w.word("approximate", "none") {
        "none" => w.give(format!("F.gelu({x})")),
        "tanh" => w.give(format!("F.gelu({x}, approximate=\"tanh\")")),
        other => Err(format!("approximate is '{other}', of which nothing is known").into()),
    }
}

/// `gamma * (max(0, x) + min(0, alpha * (exp(x) - 1)))`, which is what `F.elu` times gamma is.
fn selu(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let x = w.x(0)?;
    let (alpha, gamma) =
        (w.float("alpha", f64::from(1.673_263_2_f32)), w.float("gamma", f64::from(1.050_701_f32)));
    w.give(format!("{} * F.elu({x}, {})", float(gamma), float(alpha)))
}

fn swish(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, alpha) = (w.x(0)?, w.float("alpha", 1.0));
    if alpha == 1.0 {
        w.give(format!("F.silu({x})"))
    } else {
        w.give(format!("{x} * torch.sigmoid({} * {x})", float(alpha)))
    }
}

fn hard_sigmoid(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, alpha, beta) = (w.x(0)?, w.float("alpha", f64::from(0.2f32)), w.float("beta", 0.5));
    w.give(format!("torch.clamp({} * {x} + {}, 0.0, 1.0)", float(alpha), float(beta)))
}

fn thresholded_relu(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, alpha) = (w.x(0)?, float(w.float("alpha", 1.0)));
    w.give(format!("torch.where({x} > {alpha}, {x}, 0.0)"))
}

fn shrink(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, lambd, bias) = (w.x(0)?, float(w.float("lambd", 0.5)), float(w.float("bias", 0.0)));
    let help = w.help("shrink");
    w.give(format!("{help}({x}, {lambd}, {bias})"))
}

/// nn.PReLU has a slope for all, or one for each channel, which is dimension 1.
fn prelu(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let x = w.x(0)?;
    if let (Some(slope), Some(rank)) = (w.constant(1), w.rank(0)) {
        let (slope, count) = (slope.clone(), slope.count());
        let per_channel = slope.shape.len() + 1 == rank && slope.shape.first() == Some(&count);
        if slope.dtype.is_float() && rank >= 2 && (count == 1 && slope.shape.len() <= rank || per_channel) {
            let part = Part { change: Some("one slope a channel"), ..Part::of("weight", &squeezed(&slope)) };
            let part = if slope.shape.len() == 1 { Part { change: None, ..part } } else { part };
            let module = w.module(&format!("nn.PReLU({count})"), vec![part]);
            return w.give(format!("{module}({x})"));
        }
    }
    let slope = w.operand(1)?;
    w.give(format!("torch.where({x} < 0, {slope} * {x}, {x})"))
}

fn clip(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let x = w.x(0)?;
    let mut bounds = Vec::new();
    for (index, name) in [(1, "min"), (2, "max")] {
        let bound = match w.node.attribute(name).and_then(weighbridge_model::Value::as_float) {
            Some(bound) => Some(float(bound)),
            None if w.has(index) => Some(w.operand(index)?),
            None => None,
        };
        bounds.push(bound);
    }
    match (bounds[0].as_deref(), bounds[1].as_deref()) {
        (None, None) => w.give(x),
        (Some("0.0"), Some("6.0")) => w.give(format!("F.relu6({x})")),
        (Some(low), None) => w.give(format!("torch.clamp({x}, min={low})")),
        (None, Some(high)) => w.give(format!("torch.clamp({x}, max={high})")),
        // torch takes two numbers or two tensors.
        (Some(low), Some(high)) => w.give(format!("torch.clamp(torch.clamp({x}, min={low}), max={high})")),
    }
}

/// Before version 13, over all dimensions from the axis on, taken as one.
fn softmax(w: &mut Work<'_, '_>, function: &str) -> Ruled {
    like(w);
    let (x, rank) = (w.x(0)?, w.rank(0));
    if w.scope.opset >= 13 {
        let axis = w.axis(w.int("axis", -1), rank);
        return w.give(format!("{function}({x}, dim={axis})"));
    }
    let axis = w.axis(w.int("axis", 1), rank);
    match rank {
        Some(rank) if axis == rank as i64 - 1 => w.give(format!("{function}({x}, dim={axis})")),
        _ if axis == -1 => w.give(format!("{function}({x}, dim=-1)")),
        _ => w.give(format!("{function}({x}.flatten({axis}), dim=-1).reshape({x}.shape)")),
    }
}

fn hardmax(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let x = w.x(0)?;
    let help = w.help("hardmax");
    match w.scope.opset >= 13 {
        true => {
            let axis = w.int("axis", -1);
            w.give(format!("{help}({x}, {axis})"))
        }
        false => {
            let axis = w.int("axis", 1);
            w.give(format!("{help}({x}.flatten({axis}), -1).reshape({x}.shape)"))
        }
    }
}
