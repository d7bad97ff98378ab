//! What rows come to together: `Softmax`, `LogSoftmax`, `LayerNormalization`.

use weighbridge_model::Value;

use super::array::Data;
use super::{Array, Call, Evaluate, at};

pub(super) fn operator(op: &str) -> Option<Evaluate> {
    match op {
        "Softmax" | "LogSoftmax" => Some(softmax),
        "LayerNormalization" => Some(layer_norm),
        _ => None,
    }
}

fn floats(array: &Array) -> Result<&[f64], String> {
    match &array.data {
        Data::Floats(all) => Ok(all),
        Data::Ints(_) => Err("whole numbers".into()),
    }
}

/// Exponentials that sum to 1: along one axis, or before version 13 over all from it on.
fn softmax(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let x = call.input(0)?;
    let whole = call.opset < 13;
    let axis = at(call.int("axis").unwrap_or(if whole { 1 } else { -1 }), x.shape.len())?;
    let size: usize = if whole { x.shape[axis..].iter().product() } else { x.shape[axis] };
    let step: usize = if whole { 1 } else { x.shape[axis + 1..].iter().product() };
    let mut all = floats(x)?.to_vec();
    let logarithm = call.node.op == "LogSoftmax";
    for start in (0..all.len()).filter(|i| (i / step).is_multiple_of(size.max(1))) {
        let places = (0..size).map(|k| start + k * step);
        let most = places.clone().map(|i| all[i]).fold(f64::NEG_INFINITY, f64::max);
        if !most.is_finite() {
            return Err("a softmax of numbers that are not finite".into());
        }
        let sum: f64 = places.clone().map(|i| libm::exp(all[i] - most)).sum();
        for i in places {
            let x = all[i] - most;
            all[i] = if logarithm { x - libm::log(sum) } else { libm::exp(x) / sum };
        }
    }
    Ok(vec![Array::floats(x.dtype, x.shape.clone(), all)])
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, over all dimensions from `axis` on.
fn layer_norm(call: &Call<'_>) -> Result<Vec<Array>, String> {
    let (x, scale, bias) = (call.input(0)?, call.input(1)?, call.optional(2));
    if call.node.outputs.iter().skip(1).any(Option::is_some) {
        return Err("means and deviations are asked for as well".into());
    }
    let axis = at(call.int("axis").unwrap_or(-1), x.shape.len())?;
    let size: usize = x.shape[axis..].iter().product();
    let epsilon = call.node.attribute("epsilon").and_then(Value::as_float).unwrap_or(1e-5);
    let scale = floats(scale)?;
    let bias = bias.map(floats).transpose()?;
    if scale.len() != size || bias.is_some_and(|bias| bias.len() != size) || size == 0 {
        return Err(format!("a scale or a bias that is not of {size} elements"));
    }
    let mut all = floats(x)?.to_vec();
    for row in all.chunks_exact_mut(size) {
        let mean = row.iter().sum::<f64>() / size as f64;
        let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / size as f64;
        let by = 1.0 / (variance + epsilon).sqrt();
        for (i, x) in row.iter_mut().enumerate() {
            *x = (*x - mean) * by * scale[i] + bias.map_or(0.0, |bias| bias[i]);
        }
    }
    let result = Array::floats(x.dtype, x.shape.clone(), all);
    if result.has_infinite() && !x.has_infinite() {
        return Err(format!("it would overflow {}", x.dtype));
    }
    Ok(vec![result])
}

#[cfg(test)]
mod tests {
    use weighbridge_model::{DType, Node};

    use super::*;

    fn run(op: &str, opset: i64, inputs: &[&Array]) -> Vec<f64> {
        let node = Node { op: op.into(), ..Node::default() };
        let inputs = inputs.iter().map(|&i| Some(i)).collect();
        let call = Call { node: &node, opset, inputs, tensor: &|_| None };
        floats(&operator(op).unwrap()(&call).unwrap()[0]).unwrap().to_vec()
    }

    fn array(shape: &[usize], elements: &[f64]) -> Array {
        Array::floats(DType::F64, shape.to_vec(), elements.to_vec())
    }

    #[test]
    fn softmax_is_along_one_axis_and_over_the_rest_before_version_13() {
        let x = array(&[1, 2, 2], &[0.0, 0.0, 5.0, 5.0]);
        assert_eq!(run("Softmax", 13, &[&x]), [0.5; 4]);
        let old = run("Softmax", 11, &[&x]);
        assert!((old.iter().sum::<f64>() - 1.0).abs() < 1e-12 && old[2] > 0.49);
        assert!((run("LogSoftmax", 13, &[&x])[0] - 0.5f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn layer_norm_has_mean_0_and_deviation_1_before_its_scale() {
        let x = array(&[2, 2], &[1.0, 3.0, -4.0, 4.0]);
        let got = run("LayerNormalization", 17, &[&x, &array(&[2], &[1.0, 2.0]), &array(&[2], &[0.5, 0.0])]);
        for (got, wanted) in got.iter().zip([-0.5, 2.0, -0.5, 2.0]) {
            assert!((got - wanted).abs() < 1e-4, "{got} for {wanted}");
        }
    }
}
