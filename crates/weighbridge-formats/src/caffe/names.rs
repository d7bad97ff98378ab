//! What a layer's blobs are called: by its type and their order, which is all that Caffe knows them by.

use weighbridge_model::Role;
use weighbridge_model::layers::caffe_type;

/// A blob's last name segment and its role; `None` for a role that nothing tells.
pub(super) type Name = (String, Option<Role>);

/// The name of blob `index` of `blobs`, in a layer of this type that reads `bottoms` blobs.
pub(super) fn blob_name(kind: &str, bottoms: usize, blobs: usize, index: usize) -> Name {
    let names: &[&str] = match caffe_type(kind) {
        "InnerProduct" | "Embed" => &["weight", "bias"],
        // A scale that comes from a second bottom is no blob.
        "Scale" if bottoms > 1 => &["bias"],
        "Scale" => &["weight", "bias"],
        "Bias" => &["bias"],
        "PReLU" | "Normalize" | "Parameter" => &["weight"],
        // NVCaffe's goes on with a scale and a bias.
        "BatchNorm" => &["running_mean", "running_var", "factor", "weight", "bias"],
        "BN" if blobs == 4 => &["weight", "bias", "running_mean", "running_var"],
        "BN" if blobs == 2 => &["weight", "bias"],
        // Caffe's own names within its recurrent layers.
        "LSTM" if blobs == 3 => &["W_xc", "b_c", "W_hc"],
        "LSTM" if blobs == 4 => &["W_xc", "b_c", "W_xc_static", "W_hc"],
        "RNN" if blobs == 5 => &["W_xh", "b_h", "W_hh", "W_ho", "b_o"],
        "RNN" if blobs == 6 => &["W_xh", "b_h", "W_xh_static", "W_hh", "W_ho", "b_o"],
        // Depthwise ones of forks too.
        kind if kind.contains("Convolution") || kind.contains("Deconvolution") => &["weight", "bias"],
        _ => &[],
    };
    match names.get(index) {
        Some(&name @ ("running_mean" | "running_var" | "factor")) => (name.to_owned(), Some(Role::Buffer)),
        Some(&name) => (name.to_owned(), Some(Role::Parameter)),
        None => (format!("blob{index}"), None),
    }
}

/// The name of a blob within its model.
pub(super) fn full(layer: &str, leaf: &str) -> String {
    if layer.is_empty() { leaf.to_owned() } else { format!("{layer}.{leaf}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: &str, bottoms: usize, blobs: usize) -> Vec<String> {
        (0..blobs).map(|i| blob_name(kind, bottoms, blobs, i).0).collect()
    }

    #[test]
    fn blobs_are_named_by_type_and_order() {
        assert_eq!(names("conv", 1, 2), ["weight", "bias"]);
        assert_eq!(names("INNER_PRODUCT", 1, 3), ["weight", "bias", "blob2"]);
        assert_eq!(names("BatchNorm", 1, 3), ["running_mean", "running_var", "factor"]);
        assert_eq!(names("Scale", 1, 2), ["weight", "bias"]);
        assert_eq!(names("Scale", 2, 1), ["bias"]);
        assert_eq!(names("ConvolutionDepthwise", 1, 1), ["weight"]);
        assert_eq!(names("LSTM", 2, 3), ["W_xc", "b_c", "W_hc"]);
        assert_eq!(names("Mine", 1, 2), ["blob0", "blob1"]);
        assert_eq!(blob_name("BatchNorm", 1, 3, 2).1, Some(Role::Buffer));
        assert_eq!(blob_name("Mine", 1, 1, 0).1, None);
    }
}
