//! Functions that the source gets where a rule asks for them: what takes more than a line of torch.

use std::collections::BTreeSet;

/// Every helper by its name, each in a file of its own.
pub(super) const HELPERS: &[(&str, &str)] = &[
    ("along", include_str!("along.py")),
    ("average_pool", include_str!("average_pool.py")),
    ("center_crop_pad", include_str!("center_crop_pad.py")),
    ("compress", include_str!("compress.py")),
    ("cosine_window", include_str!("cosine_window.py")),
    ("cumulative", include_str!("cumulative.py")),
    ("depth_to_space", include_str!("depth_to_space.py")),
    ("dequantize", include_str!("dequantize.py")),
    ("divide", include_str!("divide.py")),
    ("eye_like", include_str!("eye_like.py")),
    ("fit_transposed", include_str!("fit_transposed.py")),
    ("flatten", include_str!("flatten.py")),
    ("gather", include_str!("gather.py")),
    ("gather_elements", include_str!("gather_elements.py")),
    ("gather_nd", include_str!("gather_nd.py")),
    ("hardmax", include_str!("hardmax.py")),
    ("layer_norm", include_str!("layer_norm.py")),
    ("lp_normalize", include_str!("lp_normalize.py")),
    ("lp_pool", include_str!("lp_pool.py")),
    ("lrn", include_str!("lrn.py")),
    ("matmul_integer", include_str!("matmul_integer.py")),
    ("max_pool", include_str!("max_pool.py")),
    ("max_pool_places", include_str!("max_pool_places.py")),
    ("max_pool_with_indices", include_str!("max_pool_with_indices.py")),
    ("max_unpool", include_str!("max_unpool.py")),
    ("mean_variance_normalize", include_str!("mean_variance_normalize.py")),
    ("non_max_suppression", include_str!("non_max_suppression.py")),
    ("one_hot", include_str!("one_hot.py")),
    ("pad", include_str!("pad.py")),
    ("pad_same", include_str!("pad_same.py")),
    ("product", include_str!("product.py")),
    ("quantize", include_str!("quantize.py")),
    ("quantize_dynamically", include_str!("quantize_dynamically.py")),
    ("range_", include_str!("range_.py")),
    ("recurrent", include_str!("recurrent.py")),
    ("reduce_all", include_str!("reduce_all.py")),
    ("reshape", include_str!("reshape.py")),
    ("resize", include_str!("resize.py")),
    ("resize_weights", include_str!("resize_weights.py")),
    ("reverse_sequence", include_str!("reverse_sequence.py")),
    ("roi_align", include_str!("roi_align.py")),
    ("scatter_elements", include_str!("scatter_elements.py")),
    ("scatter_nd", include_str!("scatter_nd.py")),
    ("shrink", include_str!("shrink.py")),
    ("slice_", include_str!("slice_.py")),
    ("space_to_depth", include_str!("space_to_depth.py")),
    ("top_k", include_str!("top_k.py")),
    ("unique", include_str!("unique.py")),
    ("unsqueeze", include_str!("unsqueeze.py")),
    ("windows", include_str!("windows.py")),
];

/// The sources of these, in the order of their names.
pub(super) fn sources(wanted: &BTreeSet<&'static str>) -> String {
    let picked = HELPERS.iter().filter(|(name, _)| wanted.contains(name));
    picked.map(|(_, source)| format!("\n\n{source}")).collect()
}
