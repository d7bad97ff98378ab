//! Normalisations.

use weighbridge_model::{DType, Tensor};

use super::Row;
use crate::build::in_memory;
use crate::emit::pytorch::scope::{Part, Ruled, Work};
use crate::emit::pytorch::text::{float, list, truth, tuple};
use crate::emit::pytorch::views::of_type;

pub(super) const RULES: &[Row] = &[
    ("BatchNormalization", batch_norm),
    ("InstanceNormalization", instance_norm),
    ("GroupNormalization", group_norm),
    ("LayerNormalization", layer_norm),
    ("RMSNormalization", rms_norm),
    ("LRN", lrn),
    ("LpNormalization", lp_norm),
    ("MeanVarianceNormalization", mean_variance_norm),
];

fn like(w: &mut Work<'_, '_>) {
    let (dtype, rank) = (w.dtype(0), w.rank(0));
    w.learn(0, dtype, rank);
}

/// Constants of these inputs, all of one dimension and floating point.
fn vectors(w: &Work<'_, '_>, indices: &[usize]) -> Option<Vec<Tensor>> {
    let usable = |t: &&Tensor| t.shape.len() == 1 && t.dtype.is_float() && t.count() > 0;
    indices.iter().map(|&i| w.constant(i).filter(usable).cloned()).collect()
}

/// `momentum` is ONNX's, the share of the old statistics; torch's is that of the new ones.
fn batch_norm(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    if w.int("training_mode", 0) != 0 || w.node.outputs.iter().skip(1).flatten().count() > 0 {
        return Err("it is in training mode".into());
    }
    if w.int("spatial", 1) == 0 {
        return Err("statistics for each element, as 'spatial' 0 has them".into());
    }
    let (x, epsilon, momentum) =
        (w.x(0)?, float(w.float("epsilon", f64::from(1e-5f32))), w.float("momentum", f64::from(0.9f32)));
    let class = match w.rank(0) {
        Some(2 | 3) => Some("nn.BatchNorm1d"),
        Some(4) => Some("nn.BatchNorm2d"),
        Some(5) => Some("nn.BatchNorm3d"),
        _ => None,
    };
    if let (Some(class), Some(parts)) = (class, vectors(w, &[1, 2, 3, 4])) {
        let [gamma, beta, mean, variance] = <[Tensor; 4]>::try_from(parts).expect("four were asked for");
        let momentum = f64::from(1.0 - momentum as f32);
        let told = if momentum as f32 == 1.0 - 0.9f32 {
            String::new()
        } else {
            format!(", momentum={}", float(momentum))
        };
        let eps = if epsilon == "1e-5" { String::new() } else { format!(", eps={epsilon}") };
        let made = format!("{class}({}{eps}{told}{})", gamma.shape[0], of_type(&gamma));
        let steps = in_memory("num_batches_tracked", DType::I64, vec![], vec![0; 8])?;
        let parts = vec![
            Part::of("weight", &gamma),
            Part::of("bias", &beta),
            Part::of("running_mean", &mean),
            Part::of("running_var", &variance),
            Part { made: true, ..Part::of("num_batches_tracked", &steps) },
        ];
        let module = w.module(&made, parts);
        return w.give(format!("{module}({x})"));
    }
    let (gamma, beta, mean, variance) = (w.x(1)?, w.x(2)?, w.x(3)?, w.x(4)?);
    w.give(format!("F.batch_norm({x}, {mean}, {variance}, {gamma}, {beta}, eps={epsilon})"))
}

fn instance_norm(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, epsilon) = (w.x(0)?, float(w.float("epsilon", f64::from(1e-5f32))));
    let class = match w.rank(0) {
        Some(3) => Some("nn.InstanceNorm1d"),
        Some(4) => Some("nn.InstanceNorm2d"),
        Some(5) => Some("nn.InstanceNorm3d"),
        _ => None,
    };
    if let (Some(class), Some(parts)) = (class, vectors(w, &[1, 2])) {
        let eps = if epsilon == "1e-5" { String::new() } else { format!(", eps={epsilon}") };
        let made = format!("{class}({}{eps}, affine=True{})", parts[0].shape[0], of_type(&parts[0]));
        let module = w.module(&made, vec![Part::of("weight", &parts[0]), Part::of("bias", &parts[1])]);
        return w.give(format!("{module}({x})"));
    }
    let (scale, bias) = (w.x(1)?, w.x(2)?);
    w.give(format!("F.instance_norm({x}, weight={scale}, bias={bias}, eps={epsilon})"))
}

/// Scale and bias are one for each channel from version 21 on, and one for each group before.
fn group_norm(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, groups) = (w.x(0)?, w.int("num_groups", 1));
    let epsilon = float(w.float("epsilon", f64::from(1e-5f32)));
    if let Some(parts) = vectors(w, &[1, 2]).filter(|_| w.scope.opset >= 21) {
        let eps = if epsilon == "1e-5" { String::new() } else { format!(", eps={epsilon}") };
        let made = format!("nn.GroupNorm({groups}, {}{eps}{})", parts[0].shape[0], of_type(&parts[0]));
        let module = w.module(&made, vec![Part::of("weight", &parts[0]), Part::of("bias", &parts[1])]);
        return w.give(format!("{module}({x})"));
    }
    let (scale, bias) = (w.x(1)?, w.x(2)?);
    let repeated = |t: &str| match w.scope.opset >= 21 {
        true => t.to_owned(),
        false => format!("{t}.repeat_interleave({x}.shape[1] // {groups})"),
    };
    w.give(format!("F.group_norm({x}, {groups}, {}, {}, {epsilon})", repeated(&scale), repeated(&bias)))
}

fn layer_norm(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, axis) = (w.x(0)?, w.int("axis", -1));
    let epsilon = float(w.float("epsilon", f64::from(1e-5f32)));
    let statistics = w.wants(1) || w.wants(2);
    let rank = w.rank(0).map(|r| r as i64);
    let behind = if axis < 0 { axis.checked_neg() } else { rank.map(|r| r - axis) };
    let usable = |t: &&Tensor| t.dtype.is_float() && behind == Some(t.shape.len() as i64) && t.count() > 0;
    let weight = w.constant(1).filter(usable).cloned();
    let bias = w.constant(2).filter(usable).cloned();
    if let (Some(weight), false) = (weight, statistics)
        && (bias.is_some() || !w.has(2))
    {
        let shape = if let [one] = weight.shape.as_slice() { one.to_string() } else { tuple(&weight.shape) };
        let eps = if epsilon == "1e-5" { String::new() } else { format!(", eps={epsilon}") };
        let without = if bias.is_none() { format!(", bias={}", truth(false)) } else { String::new() };
        let made = format!("nn.LayerNorm({shape}{eps}{without}{})", of_type(&weight));
        let parts =
            std::iter::once(Part::of("weight", &weight)).chain(bias.as_ref().map(|b| Part::of("bias", b)));
        let module = w.module(&made, parts.collect());
        return w.give(format!("{module}({x})"));
    }
    let (scale, bias) = (w.x(1)?, w.x_or_none(2)?);
    let help = w.help("layer_norm");
    let outputs = w.node.outputs.len().clamp(1, 3);
    let tail = match outputs {
        1 => "[0]",
        2 => "[:2]",
        _ => "",
    };
    w.give_first(outputs, format!("{help}({x}, {scale}, {bias}, {axis}, {epsilon}){tail}"))
}

fn rms_norm(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, axis) = (w.x(0)?, w.int("axis", -1));
    let (scale, epsilon) = (w.x(1)?, float(w.float("epsilon", f64::from(1e-5f32))));
    w.give(format!("F.rms_norm({x}, {x}.shape[{axis}:], eps={epsilon}) * {scale}"))
}

/// ONNX's window has the odd channel behind, torch's before: alike where the size is odd.
fn lrn(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, size) = (w.x(0)?, w.int("size", 1));
    let (alpha, beta) = (float(w.float("alpha", f64::from(1e-4f32))), float(w.float("beta", 0.75)));
    let k = float(w.float("bias", 1.0));
    if size % 2 == 1 && size > 0 {
        let made = format!("nn.LocalResponseNorm({size}, alpha={alpha}, beta={beta}, k={k})");
        let module = w.module(&made, Vec::new());
        return w.give(format!("{module}({x})"));
    }
    let help = w.help("lrn");
    w.give(format!("{help}({x}, {size}, {alpha}, {beta}, {k})"))
}

/// Where the norm is 0, so is the result.
fn lp_norm(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, axis, p) = (w.x(0)?, w.int("axis", -1), w.int("p", 2));
    let help = w.help("lp_normalize");
    w.give(format!("{help}({x}, {axis}, {p})"))
}

fn mean_variance_norm(w: &mut Work<'_, '_>) -> Ruled {
    like(w);
    let (x, axes) = (w.x(0)?, list(&w.int_list("axes").unwrap_or_else(|| vec![0, 2, 3])));
    let help = w.help("mean_variance_normalize");
    w.give(format!("{help}({x}, {axes})"))
}
