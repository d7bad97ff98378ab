//! Normalizations and losses.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome, axis};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `BatchNormalization`: statistics are as those that come in.
pub(in crate::infer) fn batch(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).clone().without_elements();
    let statistics = |input: usize| Fact::tensor(call.dtype(input), call.shape(input).map(<[Size]>::to_vec));
    let (mean, variance) = (statistics(3), statistics(4));
    Ok(vec![data, mean.clone(), variance.clone(), mean, variance])
}

/// `LayerNormalization`: statistics have size 1 from `axis` on.
pub(in crate::infer) fn layer(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).clone().without_elements();
    let dtype = DType::from_onnx(call.int_or("stash_type", 1));
    let statistics = statistics(call, call.int_or("axis", -1))?;
    Ok(vec![data, Fact::tensor(dtype, statistics.clone()), Fact::tensor(dtype, statistics)])
}

/// `SkipLayerNormalization` of `com.microsoft`: the fourth output is the sum that was normalized.
pub(in crate::infer) fn skip_layer(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.fact(0).clone().without_elements();
    let statistics = Fact::tensor(Some(DType::F32), statistics(call, -1)?);
    Ok(vec![data.clone(), statistics.clone(), statistics, data])
}

fn statistics(call: &Call<'_, '_>, from: i64) -> Result<Option<Vec<Size>>, String> {
    let Some(data) = call.shape(0) else { return Ok(None) };
    let at = axis(from, data.len())?;
    Ok(Some(data.iter().enumerate().map(|(i, size)| if i < at { size.clone() } else { 1.into() }).collect()))
}

/// `NegativeLogLikelihoodLoss`: one number, or one for each target.
pub(in crate::infer) fn likelihood_loss(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![loss(call)])
}

/// `SoftmaxCrossEntropyLoss`: the same, and the logarithms of all probabilities.
pub(in crate::infer) fn entropy_loss(call: &mut Call<'_, '_>) -> Outcome {
    Ok(vec![loss(call), call.fact(0).clone().without_elements()])
}

fn loss(call: &Call<'_, '_>) -> Fact {
    let shape = match call.text("reduction").unwrap_or("mean") {
        "none" => call.shape(1).map(<[Size]>::to_vec),
        _ => Some(Vec::new()),
    };
    Fact::tensor(call.dtype(0), shape)
}
