//! What TensorFlow's graphs and names of variables tell of weights.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Attribute, Graph, Model, Node, Role, TensorId, Value, ValueId};

use super::graph::Use;
use super::kinds::{Kind, Order};
use super::names::Slot;
use super::subject::Subject;

/// Operators between a convolution and a Flatten that leave its channels as they are; their first input is what they
/// change.
const KEEP: &[&str] = &[
    "Identity",
    "BiasAdd",
    "Relu",
    "Relu6",
    "Elu",
    "Selu",
    "LeakyRelu",
    "Tanh",
    "Sigmoid",
    "MaxPool",
    "AvgPool",
    "Pad",
    "PadV2",
    "Add",
    "AddV2",
    "Sub",
    "Mul",
    "FusedBatchNorm",
    "FusedBatchNormV2",
    "FusedBatchNormV3",
];

/// The uses of a model's tensors, also by the bodies of functions.
pub(super) fn uses(model: &Model, graph: &Graph) -> HashMap<TensorId, Use> {
    let mut found = HashMap::new();
    walk(model, graph, &mut found);
    found
}

fn walk(model: &Model, graph: &Graph, found: &mut HashMap<TensorId, Use>) {
    let given: HashMap<ValueId, TensorId> = graph.initializers.iter().copied().collect();
    let makers: HashMap<ValueId, &Node> =
        graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().map(move |&v| (v, n))).collect();
    for node in &graph.nodes {
        for (index, input) in node.inputs.iter().enumerate() {
            let Some(&tensor) = input.as_ref().and_then(|v| given.get(v)) else { continue };
            let Some((kind, slot, order)) = of_input(node, index) else { continue };
            let weight = &model.tensor(tensor).shape;
            let flattened = match (kind, weight.as_slice()) {
                (Kind::Linear, &[input, _]) if index == 1 => {
                    let channels = behind_picture(model, node, &given, &makers);
                    // A picture of one point is flattened in the same way everywhere.
                    channels.filter(|&channels| channels != input).map(Some)
                }
                _ => None,
            };
            // Variables stand in the order of their layers.
            let place = tensor.0 as usize;
            let this = Use { slot: Some(slot), kind, order, place, flattened, ..Use::default() };
            found.entry(tensor).or_insert(this);
        }
        for (_, attribute) in &node.attributes {
            if let Attribute::Graph(body) = attribute {
                walk(model, body, found);
            }
        }
    }
}

fn of_input(node: &Node, index: usize) -> Option<(Kind, Slot, Option<Order>)> {
    let turned =
        ["transpose_b", "adj_y"].iter().any(|name| node.attribute(name).and_then(Value::as_int) == Some(1));
    let keras = Some(Order::Keras);
    Some(match (node.op.as_str(), index) {
        ("Conv2D" | "_FusedConv2D" | "Conv3D", 1) => (Kind::Conv, Slot::Weight, keras),
        ("Conv2DBackpropInput" | "Conv3DBackpropInputV2", 1) => (Kind::Transposed, Slot::Weight, keras),
        ("DepthwiseConv2dNative", 1) => (Kind::Depthwise, Slot::Weight, keras),
        ("MatMul" | "_FusedMatMul" | "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3", 1) => {
            (Kind::Linear, Slot::Weight, Some(if turned { Order::Torch } else { Order::Keras }))
        }
        ("BiasAdd", 1) => (Kind::Unknown, Slot::Bias, None),
        ("FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3", 1) => (Kind::Norm, Slot::Weight, None),
        ("FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3", 2) => (Kind::Norm, Slot::Bias, None),
        ("FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3", 3) => (Kind::Norm, Slot::Mean, None),
        ("FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3", 4) => (Kind::Norm, Slot::Variance, None),
        ("GatherV2" | "Gather" | "ResourceGather", 0) => (Kind::Embedding, Slot::Weight, Some(Order::Torch)),
        _ => return None,
    })
}

/// The channels of the picture that a MatMul's input is reshaped from: those of the convolution before.
fn behind_picture(
    model: &Model,
    node: &Node,
    given: &HashMap<ValueId, TensorId>,
    makers: &HashMap<ValueId, &Node>,
) -> Option<u64> {
    let (mut at, mut reshaped) = (node, false);
    // As many operators as a few layers have; a circle ends.
    for _ in 0..32 {
        at = makers.get(&at.inputs.first().copied().flatten()?)?;
        let weight =
            || Some(model.tensor(*given.get(&at.inputs.get(1).copied().flatten()?)?).shape.as_slice());
        let first = at.attribute("data_format").and_then(Value::as_str).is_some_and(|f| f.starts_with("NC"));
        match at.op.as_str() {
            "Reshape" => reshaped = true,
            _ if first => return None,
            "Conv2D" | "_FusedConv2D" | "Conv3D" if reshaped => return weight()?.last().copied(),
            "DepthwiseConv2dNative" if reshaped => match weight()? {
                &[_, _, channels, each] => return channels.checked_mul(each),
                _ => return None,
            },
            op if KEEP.contains(&op) => {}
            _ => return None,
        }
    }
    None
}

/// Marks matrices that may stand behind a picture that is flattened, where the graph does not tell: among convolutions,
/// those with an input of a width that no other layer makes.
pub(super) fn suspect(subjects: &mut [Subject]) {
    let weight =
        |s: &Subject| s.slot == Slot::Weight && !matches!(s.role, Role::OptimizerState | Role::Other);
    let sizes = |s: &Subject| s.shape.iter().flatten().map(|d| d.unwrap_or(0)).collect::<Vec<u64>>();
    // How many layers make each width.
    let mut widths: HashMap<u64, usize> = HashMap::new();
    let mut convolved = false;
    for subject in subjects.iter().filter(|s| weight(s)) {
        let sizes = sizes(subject);
        convolved |= sizes.len() > 2;
        // Of a convolution's last two sizes either may be its outputs.
        let more = sizes.len().min(if sizes.len() > 2 { 2 } else { 1 });
        let made: HashSet<u64> = sizes[sizes.len() - more..].iter().copied().collect();
        made.into_iter().for_each(|width| *widths.entry(width).or_default() += 1);
    }
    for subject in subjects.iter_mut().filter(|s| convolved && weight(s) && s.flattened.is_none()) {
        let linear = matches!(subject.kind, Kind::Linear | Kind::Unknown);
        if let (true, &[input, output]) = (linear, sizes(subject).as_slice())
            && subject.order.is_some_and(|(order, _)| order == Order::Keras)
            && widths.get(&input).copied().unwrap_or(0) == usize::from(input == output)
        {
            subject.flattened = Some(None);
        }
    }
}
