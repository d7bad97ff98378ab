//! Caffe's layers: their kinds in today's spelling, and what a kind and its blobs show of a layer.

use super::kind::{convolution, sizes};
use crate::{Node, Value, element_count};

/// A layer type in today's spelling. Files before 2014 have `conv` or `CONVOLUTION` for `Convolution`; every other
/// type is already spelled so, or somebody's own.
pub fn caffe_type(kind: &str) -> &str {
    let old = OLD.iter().find(|(_, v1, v0)| *v1 == kind || !v0.is_empty() && *v0 == kind);
    old.map_or(kind, |(now, _, _)| now)
}

/// Types today, in V1's enumeration, and as V0 had them in text; in the order of V1's numbers.
const OLD: &[(&str, &str, &str)] = &[
    ("", "NONE", ""),
    ("Accuracy", "ACCURACY", "accuracy"),
    ("BNLL", "BNLL", "bnll"),
    ("Concat", "CONCAT", "concat"),
    ("Convolution", "CONVOLUTION", "conv"),
    ("Data", "DATA", "data"),
    ("Dropout", "DROPOUT", "dropout"),
    ("EuclideanLoss", "EUCLIDEAN_LOSS", "euclidean_loss"),
    ("Flatten", "FLATTEN", "flatten"),
    ("HDF5Data", "HDF5_DATA", "hdf5_data"),
    ("HDF5Output", "HDF5_OUTPUT", "hdf5_output"),
    ("Im2col", "IM2COL", "im2col"),
    ("ImageData", "IMAGE_DATA", "images"),
    ("InfogainLoss", "INFOGAIN_LOSS", "infogain_loss"),
    ("InnerProduct", "INNER_PRODUCT", "innerproduct"),
    ("LRN", "LRN", "lrn"),
    ("MultinomialLogisticLoss", "MULTINOMIAL_LOGISTIC_LOSS", "multinomial_logistic_loss"),
    ("Pooling", "POOLING", "pool"),
    ("ReLU", "RELU", "relu"),
    ("Sigmoid", "SIGMOID", "sigmoid"),
    ("Softmax", "SOFTMAX", "softmax"),
    ("SoftmaxWithLoss", "SOFTMAX_LOSS", "softmax_loss"),
    ("Split", "SPLIT", "split"),
    ("TanH", "TANH", "tanh"),
    ("WindowData", "WINDOW_DATA", "window_data"),
    ("Eltwise", "ELTWISE", ""),
    ("Power", "POWER", ""),
    ("SigmoidCrossEntropyLoss", "SIGMOID_CROSS_ENTROPY_LOSS", ""),
    ("HingeLoss", "HINGE_LOSS", ""),
    ("MemoryData", "MEMORY_DATA", ""),
    ("ArgMax", "ARGMAX", ""),
    ("Threshold", "THRESHOLD", ""),
    ("DummyData", "DUMMY_DATA", ""),
    ("Slice", "SLICE", ""),
    ("MVN", "MVN", ""),
    ("AbsVal", "ABSVAL", ""),
    ("Silence", "SILENCE", ""),
    ("ContrastiveLoss", "CONTRASTIVE_LOSS", ""),
    ("Exp", "EXP", ""),
    ("Deconvolution", "DECONVOLUTION", ""),
];

/// The name of a type in V1's enumeration.
pub fn caffe_v1_type(number: i64) -> Option<&'static str> {
    OLD.get(usize::try_from(number).ok()?).map(|(_, v1, _)| *v1)
}

/// A setting of a layer: in the message of its kind, or, before there were such messages, beside the name.
pub fn caffe_setting<'a>(node: &'a Node, message: &str, name: &str) -> Option<&'a Value> {
    node.attribute(message).and_then(|m| m.get(name)).or_else(|| node.attribute(name))
}

/// The kind with its sizes. `weight` is the shape of the first blob.
pub(super) fn kind(node: &Node, weight: &[u64]) -> String {
    let kind = caffe_type(&node.op);
    let int = |message, name| caffe_setting(node, message, name).and_then(Value::as_int);
    let count = || element_count(weight).unwrap_or(0);
    match kind {
        _ if is_convolution(kind) && weight.len() >= 3 => {
            let groups = int("convolution_param", "group").and_then(|g| u64::try_from(g).ok()).unwrap_or(1);
            let transposed = kind.contains("Deconvolution");
            format!("{kind}{}", convolution(weight, transposed, stride(node), groups))
        }
        "InnerProduct" => match weight {
            [.., a, b] => {
                let transposed = caffe_setting(node, "inner_product_param", "transpose");
                let (input, output) = if transposed == Some(&Value::Bool(true)) { (a, b) } else { (b, a) };
                format!("{kind} {input}->{output}")
            }
            _ => kind.to_owned(),
        },
        "Embed" => match weight {
            [.., rows, columns] => format!("{kind} {rows}x{columns}"),
            _ => kind.to_owned(),
        },
        "LSTM" | "RNN" => match weight {
            [rows, input] => format!("{kind} {input}->{}", if kind == "LSTM" { rows / 4 } else { *rows }),
            _ => kind.to_owned(),
        },
        "BatchNorm" | "BN" | "Scale" | "Bias" | "PReLU" | "Normalize" => format!("{kind} {}", count()),
        "" => "layer without a type".to_owned(),
        _ => kind.to_owned(),
    }
}

/// Whether a type is a convolution's: the two of Caffe, or a fork's depthwise one.
fn is_convolution(kind: &str) -> bool {
    kind.contains("Convolution") || kind.contains("Deconvolution")
}

fn stride(node: &Node) -> Option<String> {
    let setting = |name| caffe_setting(node, "convolution_param", name);
    match (setting("stride_h"), setting("stride_w")) {
        (None, None) => sizes(setting("stride")),
        (h, w) => {
            let size = |v: Option<&Value>| v.and_then(Value::as_int).unwrap_or(1);
            sizes(Some(&Value::List(vec![Value::Int(size(h)), Value::Int(size(w))])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_types_have_todays_names() {
        for (old, now) in
            [("conv", "Convolution"), ("SOFTMAX_LOSS", "SoftmaxWithLoss"), ("Mine", "Mine"), ("", "")]
        {
            assert_eq!(caffe_type(old), now);
        }
        assert_eq!((caffe_v1_type(39), caffe_v1_type(40)), (Some("DECONVOLUTION"), None));
        assert_eq!((caffe_v1_type(14), caffe_v1_type(35)), (Some("INNER_PRODUCT"), Some("ABSVAL")));
    }
}
