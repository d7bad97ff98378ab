//! Steps of training: the domain `ai.onnx.preview.training`.

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;

/// `Momentum`, `Adam`, `Adagrad`: after rate and step come tensors, their gradients and what is remembered of those; new
/// tensors and memories come out.
pub(in crate::infer) fn optimizer(call: &mut Call<'_, '_>) -> Outcome {
    let remembered = if call.node.op == "Adam" { 2 } else { 1 };
    let count = call.inputs.len().saturating_sub(2) / (remembered + 2);
    // Gradients are not among the results.
    let kept = (0..count).chain(2 * count..(2 + remembered) * count);
    Ok(kept.map(|i| call.fact(2 + i).clone().without_elements()).collect())
}

/// `Gradient`: one of the shape of each tensor in `xs`, which are the first inputs.
pub(in crate::infer) fn gradient(call: &mut Call<'_, '_>) -> Outcome {
    let count = call.node.outputs.len();
    Ok((0..count).map(|i: usize| -> Fact { call.fact(i).clone().without_elements() }).collect())
}
