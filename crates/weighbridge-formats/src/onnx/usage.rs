//! What a tensor is for, told by the operators that read it.

use weighbridge_model::{Node, Role, Tensor};

/// How an operator uses an input, from the weakest evidence to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Use {
    /// Handed on.
    Passed,
    /// A shape, indices, axes, bounds, scales and zero points: part of the computation.
    Fixed,
    /// A number among others.
    Data,
    /// Running statistics.
    Statistics,
    /// Codes of quantized weights.
    Codes,
    /// Scale and shift of a normalization.
    Affine,
    /// Weights and biases.
    Weight,
}

/// How `node` uses its input number `slot`.
pub(super) fn of(node: &Node, slot: usize) -> Use {
    match (node.op.as_str(), slot) {
        ("Conv" | "ConvTranspose", 1 | 2) => Use::Weight,
        ("DeformConv", 1 | 3) => Use::Weight,
        ("Gemm" | "FusedGemm" | "Attention" | "FusedConv", 1 | 2) => Use::Weight,
        ("MatMul" | "FusedMatMul", _) => Use::Weight,
        ("LSTM" | "GRU" | "RNN", 1..=3) | ("LSTM", 7) => Use::Weight,
        ("LSTM" | "GRU" | "RNN", 4..) => Use::Fixed,
        ("PRelu", 1) => Use::Weight,
        ("BatchNormalization", 1 | 2) => Use::Affine,
        ("BatchNormalization", 3 | 4) => Use::Statistics,
        (
            "InstanceNormalization"
            | "LayerNormalization"
            | "GroupNormalization"
            | "RMSNormalization"
            | "SimplifiedLayerNormalization",
            1 | 2,
        ) => Use::Affine,
        ("SkipLayerNormalization" | "SkipSimplifiedLayerNormalization", 2..) => Use::Affine,
        ("ConvInteger" | "MatMulInteger", 0 | 1) => Use::Codes,
        ("QLinearConv", 3 | 8) | ("QLinearMatMul", 0 | 3) | ("DequantizeLinear", 0) => Use::Codes,
        ("MatMulNBits" | "GatherBlockQuantized", 1..=3) => Use::Codes,
        ("ConvInteger" | "MatMulInteger" | "QLinearConv" | "QLinearMatMul", _) => Use::Fixed,
        ("QuantizeLinear" | "DequantizeLinear", 1..) => Use::Fixed,
        ("Gather" | "GatherElements" | "GatherND" | "Scatter" | "ScatterElements" | "ScatterND", 1) => {
            Use::Fixed
        }
        (
            "Reshape" | "Slice" | "Expand" | "Tile" | "Unsqueeze" | "Squeeze" | "Pad" | "Resize" | "Upsample"
            | "TopK" | "Split" | "SplitToSequence" | "Clip" | "Dropout" | "CumSum" | "Trilu" | "DFT"
            | "NonMaxSuppression" | "RoiAlign" | "GridSample" | "AffineGrid" | "CenterCropPad" | "STFT",
            1..,
        ) => Use::Fixed,
        ("ConstantOfShape" | "Range" | "OneHot" | "EyeLike" | "If" | "Bernoulli", _) => Use::Fixed,
        ("Loop", 0 | 1) | ("Where" | "Compress", 0) | ("Compress", 1) => Use::Fixed,
        (op, 1) if op.starts_with("Reduce") => Use::Fixed,
        ("Identity", _) => Use::Passed,
        _ => Use::Data,
    }
}

impl Use {
    /// The role of a tensor that is used so. `inline` tensors stand in a `Constant` node, while others do not, as
    /// writers put numbers that nobody trained; only a weight's slot speaks against that.
    pub(super) fn role(self, tensor: &Tensor, inline: bool) -> Role {
        let trained = tensor.dtype.is_float();
        match self {
            Use::Weight if trained => Role::Parameter,
            Use::Affine if trained && !inline => Role::Parameter,
            Use::Weight | Use::Codes if !trained && tensor.dtype.is_integer() => Role::Packed,
            Use::Codes => Role::Packed,
            Use::Statistics if !inline => Role::Buffer,
            Use::Passed | Use::Data if trained && tensor.count() > 1 && !inline => Role::Parameter,
            _ => Role::Constant,
        }
    }
}
