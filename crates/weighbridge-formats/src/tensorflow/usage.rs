//! What a tensor is for, told by the operators that read it.

use weighbridge_model::{Layout, Role, Tensor};

/// How an operator uses an input, from the weakest evidence to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// What training and saving take.
    Training,
    /// A number among others; shapes and axes too.
    Data,
    /// Running statistics.
    Statistics,
    /// Weights, biases, scale and shift of a normalization.
    Weight,
}

/// How operator `op` uses its input number `slot`; `None` where it only hands it on.
pub(super) fn of(op: &str, slot: usize) -> Option<Use> {
    Some(match (op, slot) {
        (op, 0) if passes(op) => return None,
        (op, _) if op.starts_with("Apply") || op.starts_with("ResourceApply") => Use::Training,
        ("SaveV2" | "RestoreV2" | "MergeV2Checkpoints" | "Assign" | "AssignVariableOp", _) => Use::Training,
        ("Conv2D" | "Conv3D" | "DepthwiseConv2dNative" | "_FusedConv2D" | "QuantizedConv2D", 1) => {
            Use::Weight
        }
        ("Conv2DBackpropInput" | "Conv3DBackpropInputV2" | "Dilation2D", 1) => Use::Weight,
        ("MatMul" | "BatchMatMul" | "BatchMatMulV2" | "BatchMatMulV3" | "_FusedMatMul", 0..=2) => Use::Weight,
        ("SparseMatMul" | "QuantizedMatMul" | "SparseTensorDenseMatMul", _) => Use::Weight,
        ("BiasAdd" | "BiasAddV1" | "XlaConvV2", 1) => Use::Weight,
        ("GatherV2" | "Gather" | "ResourceGather", 0) => Use::Weight,
        ("Einsum", _) => Use::Weight,
        ("FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3", 1 | 2) => Use::Weight,
        ("FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3", 3 | 4) => Use::Statistics,
        ("BlockLSTM" | "BlockLSTMV2" | "LSTMBlockCell" | "GRUBlockCell" | "CudnnRNNV3", 3..) => Use::Weight,
        _ => Use::Data,
    })
}

/// Whether an operator's output is its first input, as far as weights are concerned.
pub(super) fn passes(op: &str) -> bool {
    matches!(
        op,
        "Identity"
            | "ReadVariableOp"
            | "Enter"
            | "RefEnter"
            | "Snapshot"
            | "StopGradient"
            | "Cast"
            | "DisableCopyOnRead"
            | "PreventGradient"
            | "EnsureShape"
    )
}

impl Use {
    /// The role of a constant that is used so.
    pub(super) fn role(self, tensor: &Tensor) -> Role {
        let trained = tensor.dtype.is_float();
        let fills = matches!(&tensor.layout, Layout::Strided(view) if view.strides.iter().all(|&s| s == 0));
        match self {
            Use::Weight if trained => Role::Parameter,
            Use::Weight if tensor.dtype.is_integer() && tensor.dtype.bits() <= 8 => Role::Packed,
            Use::Statistics => Role::Buffer,
            Use::Training => Role::Other,
            // What batch normalization was folded into, and biases that are added.
            Use::Data if trained && tensor.count() > 1 && !fills => Role::Parameter,
            _ => Role::Constant,
        }
    }
}
