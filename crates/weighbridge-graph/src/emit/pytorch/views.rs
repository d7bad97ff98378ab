//! Tensors seen in another order or without dimensions of size one: nothing is read.

use weighbridge_model::{DType, Layout, Tensor, View};

use super::text;

/// Dimensions in another order.
pub(super) fn transposed(tensor: &Tensor, order: &[usize]) -> Tensor {
    let mut turned = tensor.clone();
    if let Layout::Strided(view) = &tensor.layout {
        turned.shape = order.iter().map(|&i| tensor.shape[i]).collect();
        turned.layout = Layout::Strided(View {
            offset: view.offset,
            strides: order.iter().map(|&i| view.strides[i]).collect(),
        });
    }
    turned
}

/// One dimension, of a tensor that has one at most that is larger than one.
pub(super) fn squeezed(tensor: &Tensor) -> Tensor {
    let mut flat = tensor.clone();
    if let Layout::Strided(view) = &tensor.layout {
        let kept = tensor.shape.iter().position(|&n| n != 1);
        flat.shape = vec![kept.map_or(1, |i| tensor.shape[i])];
        let strides = vec![kept.map_or(1, |i| view.strides[i])];
        flat.layout = Layout::Strided(View { offset: view.offset, strides });
    }
    flat
}

/// With dimensions of size one at these places of the result, which are in order; `None` where there is no such place.
pub(super) fn unsqueezed(tensor: &Tensor, axes: &[i64]) -> Option<Tensor> {
    let Layout::Strided(view) = &tensor.layout else { return None };
    let (mut shape, mut strides) = (tensor.shape.clone(), view.strides.clone());
    for &axis in axes {
        let at = usize::try_from(axis).ok().filter(|&at| at <= shape.len())?;
        shape.insert(at, 1);
        strides.insert(at, 1);
    }
    let layout = Layout::Strided(View { offset: view.offset, strides });
    Some(Tensor { shape, layout, ..tensor.clone() })
}

/// The argument that gives a module's tensors their type; nothing for single precision.
pub(super) fn of_type(tensor: &Tensor) -> String {
    match text::dtype(tensor.dtype) {
        Some(name) if tensor.dtype != DType::F32 => format!(", dtype={name}"),
        _ => String::new(),
    }
}
