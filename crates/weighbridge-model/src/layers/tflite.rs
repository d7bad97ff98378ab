//! TensorFlow Lite's layers: which of an operator's tensors is the weight, and what it and the operator show.

use std::collections::HashMap;

use super::kind::{convolution, sizes};
use crate::{Dim, Graph, Model, Node, Role, TensorId, Value, ValueId, element_count};

/// Domain of the builtin operators.
pub(super) const DOMAIN: &str = "tflite";

/// Whether an operator only hands a tensor on in another form: what uses its result uses the tensor.
pub(super) fn hands_on(node: &Node) -> bool {
    node.domain == DOMAIN && matches!(node.op.as_str(), "DEQUANTIZE" | "DENSIFY")
}

/// Whether an operator runs other subgraphs, which use its tensors in its stead.
pub(super) fn is_control(node: &Node) -> bool {
    const OPERATORS: &[&str] = &["IF", "WHILE", "CALL", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE"];
    node.domain == DOMAIN && OPERATORS.contains(&node.op.as_str())
}

/// Values of a body that are tensors of the operator that runs it. What a loop changes is not.
pub(super) fn given(
    node: &Node,
    body: &Graph,
    tensors: &HashMap<ValueId, TensorId>,
) -> HashMap<ValueId, TensorId> {
    if !is_control(node) {
        return HashMap::new();
    }
    // The first input of a choice is what it depends on.
    let operands = node.inputs.iter().skip(usize::from(node.op == "IF"));
    let is_loop = node.op.ends_with("WHILE");
    let pairs = body.inputs.iter().enumerate().zip(operands);
    let kept = pairs.filter(|&((i, value), _)| !is_loop || body.outputs.get(i) == Some(value));
    kept.filter_map(|((_, value), operand)| Some((*value, *tensors.get(operand.as_ref()?)?))).collect()
}

/// The weight among the tensors that an operator uses: of those that are no shapes and indices, the first with the
/// most dimensions.
pub(super) fn weight(model: &Model, used: &[TensorId]) -> Option<TensorId> {
    let dims = |id: &TensorId| model.tensor(*id).shape.len();
    let mut best: Option<TensorId> = None;
    for id in used.iter().filter(|&&id| model.tensor(id).role != Role::Constant) {
        if best.is_none_or(|b| dims(&b) < dims(id)) {
            best = Some(*id);
        }
    }
    best
}

/// Kind and sizes of the layer that an operator makes of a weight of this shape.
pub(super) fn kind(node: &Node, graph: &Graph, weight: &[u64]) -> String {
    let stride = || sizes(node.attribute("strides"));
    match (node.op.as_str(), weight) {
        ("CONV_2D", &[out, height, width, within]) => {
            let input = channels(graph, node, 0).filter(|c| within > 0 && c % within == 0).unwrap_or(within);
            let groups = input.checked_div(within).unwrap_or(1);
            format!("Conv2d{}", convolution(&[out, within, height, width], false, stride(), groups))
        }
        ("DEPTHWISE_CONV_2D", &[_, height, width, out]) => {
            let times = node.attribute("depth_multiplier").and_then(Value::as_int).unwrap_or(1).max(1) as u64;
            let text = convolution(&[out, out / times, height, width], false, stride(), 1);
            match times {
                1 => format!("DepthwiseConv2d {out}{}", text.trim_start_matches(&format!(" {out}->{out}"))),
                _ => format!("DepthwiseConv2d{text}"),
            }
        }
        ("TRANSPOSE_CONV", &[out, height, width, input]) => {
            format!("ConvTranspose2d{}", convolution(&[input, out, height, width], true, stride(), 1))
        }
        ("CONV_3D", &[depth, height, width, input, out]) => {
            format!("Conv3d{}", convolution(&[out, input, depth, height, width], false, stride(), 1))
        }
        ("CONV_3D_TRANSPOSE", &[depth, height, width, out, input]) => {
            format!("ConvTranspose3d{}", convolution(&[input, out, depth, height, width], true, stride(), 1))
        }
        ("FULLY_CONNECTED", &[out, input]) => format!("Linear {input}->{out}"),
        ("BATCH_MATMUL", &[.., a, b]) => {
            let transposed = matches!(node.attribute("adj_y"), Some(Value::Bool(true)));
            let (input, out) = if transposed { (b, a) } else { (a, b) };
            format!("MatMul {input}->{out}")
        }
        ("GATHER" | "EMBEDDING_LOOKUP", &[rows, columns]) => format!("Embedding {rows}x{columns}"),
        ("PRELU", shape) => format!("PReLU {}", element_count(shape).unwrap_or(0)),
        ("LSTM", &[rows, width]) => format!("LSTM {}->{}", width.saturating_sub(rows / 4), rows / 4),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", &[hidden, input]) => format!("LSTM {input}->{hidden}"),
        ("BIDIRECTIONAL_SEQUENCE_LSTM", &[hidden, input]) => format!("bidirectional LSTM {input}->{hidden}"),
        ("RNN" | "UNIDIRECTIONAL_SEQUENCE_RNN", &[hidden, input]) => format!("RNN {input}->{hidden}"),
        ("BIDIRECTIONAL_SEQUENCE_RNN", &[hidden, input]) => format!("bidirectional RNN {input}->{hidden}"),
        (op @ ("ADD" | "SUB" | "MUL" | "DIV"), shape) => {
            format!("{}{} {}", &op[..1], op[1..].to_ascii_lowercase(), element_count(shape).unwrap_or(0))
        }
        (op, _) => op.to_owned(),
    }
}

/// Channels of a node's input: its last dimension.
fn channels(graph: &Graph, node: &Node, input: usize) -> Option<u64> {
    let &ValueId(value) = node.inputs.get(input)?.as_ref()?;
    match graph.values.get(value as usize)?.shape.as_ref()?.last()? {
        Dim::Known(n) => Some(*n),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attribute;

    fn node(op: &str, attributes: &[(&str, Value)]) -> Node {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), Attribute::Value(v.clone())));
        Node { domain: DOMAIN.into(), op: op.into(), attributes: attributes.collect(), ..Node::default() }
    }

    #[test]
    fn kinds_tell_sizes_in_the_order_of_other_formats() {
        let two = Value::List(vec![Value::Int(2), Value::Int(2)]);
        let strides = ("strides", two);
        for (node, weight, expected) in [
            (node("CONV_2D", std::slice::from_ref(&strides)), &[16u64, 3, 3, 8][..], "Conv2d 8->16 k3 s2"),
            (node("DEPTHWISE_CONV_2D", &[]), &[1, 3, 5, 8], "DepthwiseConv2d 8 k3x5"),
            (
                node("DEPTHWISE_CONV_2D", &[("depth_multiplier", Value::Int(2))]),
                &[1, 3, 3, 8],
                "DepthwiseConv2d 4->8 k3",
            ),
            (node("TRANSPOSE_CONV", &[]), &[16, 3, 3, 8], "ConvTranspose2d 8->16 k3"),
            (node("FULLY_CONNECTED", &[]), &[10, 64], "Linear 64->10"),
            (node("BATCH_MATMUL", &[("adj_y", Value::Bool(true))]), &[10, 64], "MatMul 64->10"),
            (node("CONV_2D", &[]), &[1], "CONV_2D"),
            (node("MUL", &[]), &[1, 1, 8], "Mul 8"),
        ] {
            assert_eq!(kind(&node, &Graph::default(), weight), expected);
        }
    }
}
