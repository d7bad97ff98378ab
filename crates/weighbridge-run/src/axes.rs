//! Along which dimension the channels of a value lie.

use std::collections::HashMap;

use weighbridge_model::{Graph, ValueId};

/// The dimension of a value's channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// The one after the batch's, as convolutions have them.
    Second,
    /// The last one, as matrix products have them.
    Last,
}

impl Axis {
    /// The dimension in a shape; `None` where that has none but a batch.
    pub(crate) fn of(self, shape: &[u64]) -> Option<usize> {
        let at = if self == Axis::Second { 1 } else { shape.len().checked_sub(1)? };
        (shape.len() >= 2 && at < shape.len()).then_some(at)
    }
}

/// The dimensions of values that are made by operators which have one for channels, or by those which change each element
/// of such a value by itself. Of others none is known.
pub(crate) fn axes(graph: &Graph) -> HashMap<ValueId, Axis> {
    let mut axes: HashMap<ValueId, Axis> = HashMap::new();
    for node in &graph.nodes {
        let taken = |at: usize| node.inputs.get(at).copied().flatten().and_then(|id| axes.get(&id).copied());
        let axis = match node.op.as_str() {
            "Conv"
            | "ConvTranspose"
            | "BatchNormalization"
            | "InstanceNormalization"
            | "GroupNormalization" => Some(Axis::Second),
            "Gemm" | "MatMul" | "LayerNormalization" | "RMSNormalization" => Some(Axis::Last),
            "Relu" | "LeakyRelu" | "PRelu" | "Clip" | "Elu" | "Selu" | "Gelu" | "Sigmoid" | "HardSigmoid"
            | "HardSwish" | "Swish" | "Mish" | "Tanh" | "Softplus" | "Exp" | "Sqrt" | "Abs" | "Neg"
            | "Identity" | "Dropout" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "Pow" => taken(0),
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" | "Sum" => taken(0).or_else(|| taken(1)),
            _ => None,
        };
        if let (Some(axis), Some(Some(output))) = (axis, node.outputs.first()) {
            axes.insert(*output, axis);
        }
    }
    axes
}
