//! Layers of TensorFlow: names are parted by slashes, kernels have their outputs last.

use std::collections::HashMap;

use super::kind::{convolution, sizes};
use crate::{Node, Value};

/// Domain of the operators, and id of the format.
pub(super) const DOMAIN: &str = "tensorflow";

/// What freezing and reading add to the name of a variable.
const ADDED: &[&str] = &["/resource", "/ReadVariableOp", "/read"];

/// Operators whose tensors make a layer.
pub(super) const OPERATORS: &[&str] = &[
    "Conv2D",
    "Conv3D",
    "Conv2DBackpropInput",
    "Conv3DBackpropInputV2",
    "DepthwiseConv2dNative",
    "_FusedConv2D",
    "MatMul",
    "_FusedMatMul",
    "BatchMatMul",
    "BatchMatMulV2",
    "BatchMatMulV3",
    "FusedBatchNorm",
    "FusedBatchNormV2",
    "FusedBatchNormV3",
    "GatherV2",
    "Gather",
    "ResourceGather",
    "Einsum",
];

/// The layer that a tensor of this name belongs to, and what it is there.
pub(super) fn split(name: &str) -> (&str, &str) {
    let name = name.strip_suffix(":0").unwrap_or(name);
    let stem = ADDED.iter().fold(name, |name, end| name.strip_suffix(end).unwrap_or(name));
    stem.rsplit_once('/').unwrap_or(("", stem))
}

/// The kind of the layer that a node makes of a weight.
pub(super) fn of_node(node: &Node, weight: &[u64]) -> String {
    let stride = || {
        let all = node.attribute("strides").and_then(Value::as_list).unwrap_or(&[]);
        let channels_first =
            node.attribute("data_format").and_then(Value::as_str).is_some_and(|f| f.starts_with("NC"));
        let spatial = if channels_first { all.get(2..) } else { all.get(1..all.len().max(1) - 1) };
        sizes(Some(&Value::List(spatial.unwrap_or(&[]).to_vec())))
    };
    let transposed = node.attribute("transpose_b").and_then(Value::as_int) == Some(1)
        || node.attribute("adj_y").and_then(Value::as_int) == Some(1);
    match (node.op.as_str(), weight) {
        ("Conv2D" | "_FusedConv2D", [_, _, _, _]) => {
            format!("Conv2D{}", kernel(weight, stride(), Form::Plain))
        }
        ("Conv3D", [_, _, _, _, _]) => format!("Conv3D{}", kernel(weight, stride(), Form::Plain)),
        ("Conv2DBackpropInput", [_, _, _, _]) => {
            format!("Conv2DTranspose{}", kernel(weight, stride(), Form::Transposed))
        }
        ("Conv3DBackpropInputV2", [_, _, _, _, _]) => {
            format!("Conv3DTranspose{}", kernel(weight, stride(), Form::Transposed))
        }
        ("DepthwiseConv2dNative", [_, _, _, _]) => {
            format!("DepthwiseConv2D{}", kernel(weight, stride(), Form::Depthwise))
        }
        ("MatMul" | "_FusedMatMul" | "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3", &[a, b]) => {
            if transposed {
                format!("Linear {b}->{a}")
            } else {
                format!("Linear {a}->{b}")
            }
        }
        ("GatherV2" | "Gather" | "ResourceGather", [rows, columns]) => format!("Embedding {rows}x{columns}"),
        (op, [n]) if op.starts_with("FusedBatchNorm") => format!("BatchNorm {n}"),
        (op, shape) => format!("{op} {}", product(shape)).trim_end().to_owned(),
    }
}

/// How a kernel is used.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Transposed,
    Depthwise,
}

/// ` in->out kK [sS] [gG]` of a kernel `[spatial…, in, out]`, `[spatial…, out, in]` or `[spatial…, in, multiplier]`.
fn kernel(shape: &[u64], stride: Option<String>, form: Form) -> String {
    let [spatial @ .., a, b] = shape else { return String::new() };
    let (first, second, groups) = match form {
        Form::Plain | Form::Transposed => (*b, *a, 1),
        Form::Depthwise => (a.saturating_mul(*b), 1, *a),
    };
    let other: Vec<u64> = [first, second].into_iter().chain(spatial.iter().copied()).collect();
    convolution(&other, matches!(form, Form::Transposed), stride, groups)
}

fn product(shape: &[u64]) -> String {
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x")
}

/// Whether a layer is made of several operators, of which none tells its kind.
pub(super) fn is_compound(leaves: &HashMap<&str, &[u64]>) -> bool {
    let has = |name: &str| leaves.contains_key(name);
    has("recurrent_kernel") || has("depthwise_kernel") && has("pointwise_kernel")
}

/// The kind of a layer by the names that Keras and TensorFlow's own layers give their variables, and their shapes.
pub(super) fn of_names(path: &str, leaves: &HashMap<&str, &[u64]>) -> Option<String> {
    let get = |names: &[&str]| names.iter().find_map(|n| leaves.get(n)).copied();
    let first = |shape: &[u64]| shape.first().copied().unwrap_or(0);
    let layer = path.rsplit('/').next().unwrap_or(path);
    if let Some(shape) = get(&["moving_mean", "moving_variance"]) {
        return Some(format!("BatchNorm {}", first(shape)));
    }
    if let Some(shape) = get(&["gamma"]).filter(|_| leaves.len() <= 2) {
        let name = if leaves.contains_key("beta") { "LayerNorm" } else { "RMSNorm" };
        return Some(format!("{name} {}", first(shape)));
    }
    if let Some(&[rows, columns]) = get(&["embeddings", "embedding"]) {
        return Some(format!("Embedding {rows}x{columns}"));
    }
    // Frozen, its variables bear the names of what reads them.
    let vectors =
        leaves.values().all(|s| s.len() == 1 && s[0] == first(leaves.values().next().map_or(&[], |s| s)));
    if vectors && leaves.len() > 2 && (layer.contains("batch_norm") || layer.starts_with("bn")) {
        return Some(format!("BatchNorm {}", first(leaves.values().next()?)));
    }
    let weight = get(&["kernel", "weights", "w", "W"]);
    if let (Some(&[input, wide]), Some(&[hidden, _])) = (weight, get(&["recurrent_kernel"])) {
        let name = match wide.checked_div(hidden) {
            Some(4) => "LSTM",
            Some(3) => "GRU",
            _ => "RNN",
        };
        return Some(format!("{name} {input}->{hidden}"));
    }
    let depthwise = get(&["depthwise_kernel", "depthwise_weights"]);
    match (depthwise, get(&["pointwise_kernel", "pointwise_weights"])) {
        (Some([h, w, input, _]), Some(&[.., output])) => {
            let both = [*h, *w, *input, output];
            return Some(format!("SeparableConv2D{}", kernel(&both, None, Form::Plain)));
        }
        (Some(shape @ [_, _, _, _]), _) => {
            return Some(format!("DepthwiseConv2D{}", kernel(shape, None, Form::Depthwise)));
        }
        _ => {}
    }
    let says = |words: &[&str]| words.iter().any(|w| layer.contains(w));
    match weight? {
        &[input, output] => Some(format!("Linear {input}->{output}")),
        // The projections of attention have a dimension of heads.
        shape @ [_, _, _] if says(&["query", "key", "value", "attention", "einsum"]) => {
            Some(format!("EinsumDense {}", product(shape)))
        }
        // One output for each input, as far as a shape can tell.
        shape @ [_, _, input, 1] if *input > 1 && says(&["dw", "depthwise"]) => {
            Some(format!("DepthwiseConv2D{}", kernel(shape, None, Form::Depthwise)))
        }
        shape @ ([_, _, _] | [_, _, _, _] | [_, _, _, _, _]) => {
            let (dims, form) =
                (shape.len() - 2, if says(&["transpose"]) { Form::Transposed } else { Form::Plain });
            let name = if matches!(form, Form::Transposed) { "Transpose" } else { "" };
            Some(format!("Conv{dims}D{name}{}", kernel(shape, None, form)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parted_at_slashes_and_freed_of_what_freezing_adds() {
        assert_eq!(split("net/c1/kernel"), ("net/c1", "kernel"));
        assert_eq!(split("net/c1/convolution/ReadVariableOp/resource"), ("net/c1", "convolution"));
        assert_eq!(split("w"), ("", "w"));
    }

    #[test]
    fn kinds_follow_from_the_names_of_variables() {
        let kind = |path: &str, leaves: &[(&'static str, &'static [u64])]| {
            of_names(path, &leaves.iter().copied().collect())
        };
        for (path, leaves, expected) in [
            ("c", &[("kernel", &[3, 3, 3, 8][..]), ("bias", &[8])][..], "Conv2D 3->8 k3"),
            ("t", &[("kernel", &[5, 8, 4])], "Conv1D 8->4 k5"),
            ("d", &[("kernel", &[800, 10]), ("bias", &[10])], "Linear 800->10"),
            ("b", &[("gamma", &[8]), ("beta", &[8]), ("moving_mean", &[8])], "BatchNorm 8"),
            ("n", &[("gamma", &[8]), ("beta", &[8])], "LayerNorm 8"),
            (
                "s",
                &[("depthwise_kernel", &[3, 3, 8, 1]), ("pointwise_kernel", &[1, 1, 8, 16])],
                "SeparableConv2D 8->16 k3",
            ),
            ("l", &[("kernel", &[4, 32]), ("recurrent_kernel", &[8, 32])], "LSTM 4->8"),
            ("conv_transpose", &[("kernel", &[2, 2, 16, 8])], "Conv2DTranspose 8->16 k2"),
        ] {
            assert_eq!(kind(path, leaves).as_deref(), Some(expected));
        }
    }
}
