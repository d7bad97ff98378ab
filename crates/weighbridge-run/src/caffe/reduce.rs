//! Layers that make few numbers of many: Reduction and ArgMax.

use std::cmp::Ordering;

use super::blob::{Blob, zeros};
use super::call::{Call, Tops};

/// `Reduction`: all dimensions from `axis` on as one number, times a coefficient.
pub(super) fn reduction(call: &Call<'_>) -> Tops {
    let settings = call.settings("reduction_param");
    let bottom = call.bottom(0)?;
    let axis = bottom.axis(settings.int("axis", 0)?)?;
    let operation = settings.choice("operation", &["SUM", "ASUM", "SUMSQ", "MEAN"], 1, 0)?;
    let mut coefficient = settings.float("coeff", 1.0)?;
    let wide = bottom.inner(axis);
    let sum = |row: &[f64]| -> f64 {
        match operation {
            1 => row.iter().map(|x| x.abs()).sum(),
            2 => row.iter().map(|x| x * x).sum(),
            _ => row.iter().sum(),
        }
    };
    if operation == 3 {
        coefficient /= wide as f64;
    }
    let data = bottom.data.chunks_exact(wide.max(1)).map(|row| sum(row) * coefficient).collect();
    Ok(vec![Blob::new(bottom.shape[..axis].to_vec(), data)])
}

/// `ArgMax`: where the `top_k` largest values of each image are, or of each place along `axis`; the later one where two
/// are equal. `out_max_val` gives the values: beside the positions, or with an axis instead of them.
pub(super) fn argmax(call: &Call<'_>) -> Tops {
    let settings = call.settings("argmax_param");
    let bottom = call.bottom(0)?;
    let (top, values) = (settings.size("top_k", 1)?, settings.truth("out_max_val", false)?);
    let axis = if settings.has("axis") { Some(bottom.axis(settings.int("axis", 0)?)?) } else { None };
    let (size, inner) = match axis {
        Some(axis) => (bottom.shape[axis], bottom.inner(axis + 1)),
        None => (bottom.inner(1), 1),
    };
    if top == 0 || top > size {
        return Err(format!("the largest {top} of {size}").into());
    }
    let shape = match axis {
        Some(axis) => {
            let mut shape = bottom.shape.clone();
            shape[axis] = top;
            shape
        }
        None => {
            let mut shape = vec![1; bottom.axes().max(3)];
            shape[0] = *bottom.shape.first().ok_or("a blob without dimensions")?;
            (shape[1], shape[2]) = (1 + usize::from(values), top);
            shape
        }
    };
    let mut data = zeros(&shape)?;
    let rows = data.len() / (bottom.data.len() / size).max(1);
    call.take(&[bottom.data.len(), 32])?;
    let mut order: Vec<usize> = Vec::with_capacity(size);
    for (block, out) in bottom.data.chunks_exact(size * inner).zip(data.chunks_exact_mut(rows * inner)) {
        for i in 0..inner {
            let value = |at: usize| block[at * inner + i];
            order.clear();
            order.extend(0..size);
            order.sort_by(|&a, &b| descending(value(a), value(b)).then(b.cmp(&a)));
            for (j, &at) in order[..top].iter().enumerate() {
                match (axis, values) {
                    (Some(_), true) => out[j * inner + i] = value(at),
                    (None, true) => (out[j], out[top + j]) = (at as f64, value(at)),
                    (_, false) => out[j * inner + i] = at as f64,
                }
            }
        }
    }
    Ok(vec![Blob::new(shape, data)])
}

/// The larger value first, either zero the same; NaN where it falls.
pub(super) fn descending(a: f64, b: f64) -> Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| b.total_cmp(&a))
}
