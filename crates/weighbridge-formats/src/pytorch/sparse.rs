//! Sparse tensors as the dense ones that they stand for.

use std::sync::Arc;

use weighbridge_model::storage::{Pattern, Sparse};
use weighbridge_model::{Layout, Place, Tensor, View};

/// The dense tensor of these parts, read on demand; or why there is none.
///
/// Compressed columns are the compressed rows of the transpose, seen through a view that transposes again.
pub fn dense(
    layout: &str,
    parts: Vec<Tensor>,
    shape: Vec<u64>,
    coalesced: bool,
    place: &Place,
) -> Result<Tensor, String> {
    let mut parts = parts.into_iter();
    let (Some(first), Some(second), third) = (parts.next(), parts.next(), parts.next()) else {
        return Err("it lacks a part".into());
    };
    let values = third.as_ref().unwrap_or(&second);
    let dtype = values.dtype;
    let (pattern, values, is_transposed) = match (layout, third) {
        ("sparse_coo", None) => (Pattern::Coordinates { indices: first, coalesced }, second, false),
        (_, Some(values)) => {
            let is_transposed = matches!(layout, "sparse_csc" | "sparse_bsc");
            let values = if is_transposed { transposed_blocks(values) } else { values };
            let block = match *values.shape {
                [_, height, width] if matches!(layout, "sparse_bsr" | "sparse_bsc") => [height, width],
                _ => [1, 1],
            };
            (Pattern::Rows { starts: first, columns: second, block }, values, is_transposed)
        }
        _ => return Err("its parts are of another layout".into()),
    };
    let (stored, view) = match (shape.as_slice(), is_transposed) {
        (&[rows, columns], true) => {
            let strides = vec![1, i64::try_from(rows).map_err(|_| "it has too many rows")?];
            (vec![columns, rows], View { offset: 0, strides })
        }
        _ => (shape.clone(), View::contiguous(&shape, 0)),
    };
    let storage = Arc::new(Sparse::new(stored, pattern, values)?);
    Tensor::strided("", dtype, shape, view, storage, place).map_err(|e| e.to_string())
}

/// `[n, height, width]` seen as `[n, width, height]`.
fn transposed_blocks(mut values: Tensor) -> Tensor {
    if let (3, Layout::Strided(view)) = (values.shape.len(), &mut values.layout) {
        values.shape.swap(1, 2);
        view.strides.swap(1, 2);
    }
    values
}
