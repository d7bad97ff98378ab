//! Whether attributes are of the kind that their operators define.
//!
//! Over all operators of ONNX's own domain in all versions, an attribute of one name is of one kind, but for those that are
//! left out here (`p`, `seed`, `to`, `value`, and the typed values of `Constant`).

use weighbridge_model::{Attribute, Value};

use super::call::Call;
use super::table;

/// Whole numbers.
const INT: &[&str] = &[
    "align_corners",
    "allowzero",
    "antialias",
    "axis",
    "batch_axis",
    "batch_dims",
    "block_size",
    "blocksize",
    "broadcast",
    "ceil_mode",
    "center_point_box",
    "chunk_size",
    "count_include_pad",
    "detect_negative",
    "detect_positive",
    "dtype",
    "end",
    "exclude_outside",
    "exclusive",
    "fmod",
    "group",
    "hidden_size",
    "ignore_index",
    "input_forget",
    "interleaved",
    "inverse",
    "is_causal",
    "is_test",
    "k",
    "keepdims",
    "kv_num_heads",
    "largest",
    "layout",
    "linear_before_reset",
    "new_axis",
    "noop_with_empty_axes",
    "num_groups",
    "num_heads",
    "num_outputs",
    "num_scan_inputs",
    "offset_group",
    "onesided",
    "output_dtype",
    "output_height",
    "output_width",
    "periodic",
    "q_num_heads",
    "reverse",
    "rotary_embedding_dim",
    "sample_size",
    "sampling_ratio",
    "saturate",
    "select_last_index",
    "size",
    "softmax_precision",
    "sorted",
    "spatial",
    "start",
    "stash_type",
    "storage_order",
    "time_axis",
    "training_mode",
    "transA",
    "transB",
    "upper",
];

/// Numbers.
const FLOAT: &[&str] = &[
    "alpha",
    "beta",
    "bias",
    "clip",
    "cubic_coeff_a",
    "epsilon",
    "extrapolation_value",
    "gamma",
    "height_scale",
    "high",
    "lambd",
    "low",
    "max",
    "mean",
    "min",
    "momentum",
    "ratio",
    "scale",
    "softcap",
    "spatial_scale",
    "width_scale",
];

/// Text.
const STRING: &[&str] = &[
    "activation",
    "approximate",
    "auto_pad",
    "case_change_action",
    "coordinate_transformation_mode",
    "direction",
    "equation",
    "keep_aspect_ratio_policy",
    "mode",
    "nearest_mode",
    "padding_mode",
    "reduction",
    "round_mode",
];

/// Lists of whole numbers.
const INTS: &[&str] = &[
    "axes",
    "consumed_inputs",
    "dilations",
    "directions",
    "ends",
    "kernel_shape",
    "output_padding",
    "output_shape",
    "paddings",
    "pads",
    "perm",
    "pooled_shape",
    "scan_input_axes",
    "scan_input_directions",
    "scan_output_axes",
    "scan_output_directions",
    "shape",
    "split",
    "starts",
    "strides",
];

/// Lists of numbers.
const FLOATS: &[&str] = &["activation_alpha", "activation_beta", "scales"];

/// Graphs.
const GRAPH: &[&str] = &["body", "else_branch", "then_branch"];

/// A kind: its name, the names of its attributes, and whether an attribute is of it.
type Kind = (&'static str, &'static [&'static str], fn(&Attribute) -> bool);

const KINDS: &[Kind] = &[
    ("a whole number", INT, |a| matches!(a, Attribute::Value(Value::Int(_)))),
    ("a floating-point number", FLOAT, |a| matches!(a, Attribute::Value(Value::Float(_)))),
    ("text", STRING, |a| matches!(a, Attribute::Value(Value::Str(_)))),
    ("a list of whole numbers", INTS, |a| is_list(a, INTS_NUMBER, |item| matches!(item, Value::Int(_)))),
    ("a list of floating-point numbers", FLOATS, |a| {
        is_list(a, FLOATS_NUMBER, |item| matches!(item, Value::Float(_)))
    }),
    ("a graph", GRAPH, |a| matches!(a, Attribute::Graph(_))),
];

/// Numbers of lists in ONNX's `AttributeProto.AttributeType`.
const FLOATS_NUMBER: i64 = 6;
const INTS_NUMBER: i64 = 7;

fn is_list(attribute: &Attribute, number: i64, is_item: fn(&Value) -> bool) -> bool {
    match attribute {
        Attribute::Value(Value::List(items)) => items.iter().all(is_item),
        Attribute::EmptyList { kind } => *kind == number,
        _ => false,
    }
}

/// What is wrong with the attributes of a node; nothing is known of operators of other domains and of unknown ones.
pub(super) fn odd(call: &Call<'_, '_>) -> Vec<String> {
    let node = call.node;
    if !node.domain.is_empty() || table::rule("", &node.op).is_none() {
        return Vec::new();
    }
    let mut odd = Vec::new();
    for (name, attribute) in &node.attributes {
        // Within a function, what a caller gives; and what is too long to be read.
        if matches!(attribute, Attribute::Reference { .. } | Attribute::Opaque { .. }) {
            continue;
        }
        let kind = KINDS.iter().find(|(_, names, _)| names.contains(&name.as_str()));
        if let Some((kind, _, is_right)) = kind
            && !is_right(attribute)
        {
            odd.push(format!("its attribute '{name}' is not {kind}, as {} defines it", node.op));
        }
    }
    odd
}
