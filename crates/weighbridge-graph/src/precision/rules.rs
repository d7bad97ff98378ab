//! What ONNX's operators ask of their floating-point operands, where that is not one type for all.
//!
//! From the type constraints of ONNX's operator schemas, opsets 7 to 28.

use weighbridge_model::{Attribute, Node};

use crate::random::is_random;

/// The type that an operand is taken or given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// The type that the node computes in.
    Computed,
    /// F32, whatever the node computes in.
    Wide,
    /// Whatever it is: the node does not compute with it.
    Any,
}

/// How a node may be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It computes in F32 alone, for this reason.
    Stays(&'static str),
    /// It may compute in either type.
    Typed,
}

const NO_KERNEL: &str = "ONNX defines it for F32, not for 16 bits";
const NOT_ONNX: &str = "an operator outside of ONNX's default domain";
const SUBGRAPH: &str = "it has subgraphs, which stay in F32";
const CONTAINER: &str = "a sequence or an optional value, whose elements keep their type";
const RANDOM: &str = "other types draw other random numbers";
const CODES: &str = "scales and codes of a quantization are made for F32";

/// The rule for `node` in opset `version` of the default domain.
pub(super) fn rule(node: &Node, version: i64) -> Rule {
    if !matches!(node.domain.as_str(), "" | "ai.onnx") {
        return Rule::Stays(NOT_ONNX);
    }
    let graphs = |(_, a): &(String, Attribute)| matches!(a, Attribute::Graph(_) | Attribute::Graphs(_));
    if node.attributes.iter().any(graphs) {
        return Rule::Stays(SUBGRAPH);
    }
    match node.op.as_str() {
        "NonMaxSuppression" | "TfIdfVectorizer" | "MelWeightMatrix" | "EyeLike" | "BitCast" => {
            Rule::Stays(NO_KERNEL)
        }
        "Celu" | "Range" => Rule::Stays(NO_KERNEL),
        "CumSum" if version < 14 => Rule::Stays(NO_KERNEL),
        "IsInf" if version < 20 => Rule::Stays(NO_KERNEL),
        // Since opset 12 a ratio of its own type; since 10 no attribute of the kind.
        op if is_random(op) => Rule::Stays(RANDOM),
        "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" | "QLinearConv" | "QLinearMatMul" => {
            Rule::Stays(CODES)
        }
        "SequenceConstruct" | "SequenceEmpty" | "SequenceInsert" | "SequenceErase" | "SequenceAt"
        | "SequenceLength" | "SplitToSequence" | "ConcatFromSequence" | "Optional" | "OptionalGetElement"
        | "OptionalHasElement" | "LinearAttention" => Rule::Stays(CONTAINER),
        _ => Rule::Typed,
    }
}

/// The type of input `at`.
pub(super) fn input(node: &Node, at: usize) -> Operand {
    match (node.op.as_str(), at) {
        ("Shape" | "Size" | "Cast", _) | ("CastLike", 0) => Operand::Any,
        ("OneHot", 0 | 1) => Operand::Any,
        // Scales; opset 10 has them second.
        ("Resize", 1) if node.inputs.len() == 2 => Operand::Wide,
        ("Resize", 2) | ("Upsample", 1) => Operand::Wide,
        ("Dropout", 1) => Operand::Wide,
        _ => Operand::Computed,
    }
}

/// The type of output `at`.
pub(super) fn output(node: &Node, at: usize) -> Operand {
    match (node.op.as_str(), at) {
        // Means and deviations are kept in the type of `stash_type`, F32 unless told.
        ("LayerNormalization", 1 | 2) => Operand::Wide,
        _ => Operand::Computed,
    }
}

/// Whether a node hands values on, so that its own type costs nothing and only casts around it count.
pub(super) fn neutral(node: &Node) -> bool {
    const NEUTRAL: &[&str] = &[
        "Identity",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Transpose",
        "Slice",
        "Gather",
        "GatherElements",
        "GatherND",
        "Concat",
        "Split",
        "Expand",
        "Tile",
        "Pad",
        "Relu",
        "LeakyRelu",
        "Clip",
        "MaxPool",
        "Dropout",
        "DepthToSpace",
        "SpaceToDepth",
        "Where",
        "Max",
        "Min",
        "Neg",
        "Abs",
    ];
    NEUTRAL.contains(&node.op.as_str())
}

/// Whether operands of this operator may be limits or masks, of which only the size beside all others counts.
pub(super) fn takes_limits(op: &str) -> bool {
    matches!(
        op,
        "Where"
            | "Clip"
            | "Min"
            | "Max"
            | "Pad"
            | "Add"
            | "Sub"
            | "ConstantOfShape"
            | "ScatterND"
            | "Greater"
            | "Less"
            | "Equal"
    )
}
