//! Where the channels of a linear operator lie in its weight.

use weighbridge_model::storage::Channels;

/// Outputs of a convolution `[out, in/groups, kernel…]`, or of rows `[out, in]`.
pub fn conv_outputs(shape: &[u64]) -> Option<Channels> {
    Channels::of(shape, &[0])
}

/// Inputs of a convolution `[out, in/groups, kernel…]`, or of rows `[out, in]` with one group.
pub fn conv_inputs(shape: &[u64], groups: u64) -> Option<Channels> {
    Channels::of(&split(shape, groups)?, &[0, 2])
}

/// Outputs of a transposed convolution `[in, out/groups, kernel…]`.
pub fn transposed_outputs(shape: &[u64], groups: u64) -> Option<Channels> {
    Channels::of(&split(shape, groups)?, &[0, 2])
}

/// Inputs of a transposed convolution `[in, out/groups, kernel…]`.
pub fn transposed_inputs(shape: &[u64]) -> Option<Channels> {
    Channels::of(shape, &[0])
}

/// Outputs of columns `[…, in, out]`: MatMul's, Keras' and TensorFlow's kernels.
pub fn column_outputs(shape: &[u64]) -> Option<Channels> {
    Channels::of(shape, &[shape.len().checked_sub(1)?])
}

/// Inputs of columns `[…, in, out]`.
pub fn column_inputs(shape: &[u64]) -> Option<Channels> {
    Channels::of(shape, &[shape.len().checked_sub(2)?])
}

/// Outputs of a depthwise kernel `[height, width, in, multiplier]` as Keras and TensorFlow have it.
pub fn depthwise_outputs(shape: &[u64]) -> Option<Channels> {
    let rank = shape.len();
    Channels::of(shape, &[rank.checked_sub(2)?, rank - 1])
}

/// The first dimension in groups, and what each element's group has of it.
fn split(shape: &[u64], groups: u64) -> Option<Vec<u64>> {
    let (&first, rest) = shape.split_first()?;
    if groups == 0 || first % groups != 0 || rest.is_empty() {
        return None;
    }
    let mut split = vec![groups, first / groups];
    split.extend(rest);
    Some(split)
}
