//! Large tensors, seen in another way: nothing of them is read.

use std::sync::Arc;

use weighbridge_model::storage::Cast;
use weighbridge_model::{Class, Layout, Place, Tensor, View};

use crate::edit::{Edit, NodeId};
use crate::eval::{bounds, dtype, reshaped};

/// What a node makes of a tensor, where that is a view of it or a cast.
pub(super) fn of(edit: &Edit<'_, '_>, id: NodeId, tensor: &Tensor) -> Option<Tensor> {
    let node = edit.node(id);
    match node.op.as_str() {
        "Identity" => Some(tensor.clone()),
        "Transpose" => transposed(edit, id, tensor),
        "Slice" => sliced(edit, id, tensor),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" => {
            let shape = shape_after(edit, id, tensor)?;
            with_shape(tensor, shape)
        }
        "Cast" => {
            let to = dtype(edit.int(id, "to")?)?;
            // Others truncate or round in ways of their own; narrowing to F16 may overflow.
            let exact = tensor.dtype.class() == Class::Float && to.class() == Class::Float;
            if !exact || to.bits() < tensor.dtype.bits() {
                return None;
            }
            remade(tensor, Arc::new(Cast::new(tensor.clone(), to)), to, tensor.shape.clone())
        }
        _ => None,
    }
}

fn remade(
    tensor: &Tensor,
    storage: Arc<dyn weighbridge_model::Storage>,
    dtype: weighbridge_model::DType,
    shape: Vec<u64>,
) -> Option<Tensor> {
    let made = Tensor::contiguous("", dtype, shape, storage, &Place::source("a fold")).ok()?;
    Some(made.with_role(tensor.role, tensor.role_guessed))
}

fn viewed(tensor: &Tensor, shape: Vec<u64>, view: View) -> Option<Tensor> {
    // Several elements in a byte are only read in the order they stand in.
    if tensor.dtype.is_sub_byte() && !view.is_contiguous(&shape) {
        return None;
    }
    Some(Tensor { shape, layout: Layout::Strided(view), ..tensor.clone() })
}

fn strided(tensor: &Tensor) -> Option<&View> {
    if let Layout::Strided(view) = &tensor.layout { Some(view) } else { None }
}

fn transposed(edit: &Edit<'_, '_>, id: NodeId, tensor: &Tensor) -> Option<Tensor> {
    let view = strided(tensor)?;
    let rank = tensor.shape.len();
    let perm = edit.ints(id, "perm").unwrap_or_else(|| (0..rank as i64).rev().collect());
    let perm = crate::eval::permutation(&perm, rank)?;
    let shape = perm.iter().map(|&axis| tensor.shape[axis]).collect();
    let strides = perm.iter().map(|&axis| view.strides[axis]).collect();
    viewed(tensor, shape, View { offset: view.offset, strides })
}

fn sliced(edit: &Edit<'_, '_>, id: NodeId, tensor: &Tensor) -> Option<Tensor> {
    let view = strided(tensor)?;
    let starts = edit.ints_or_input(id, "starts", 1)?;
    let ends = edit.ints_or_input(id, "ends", 2)?;
    let count = starts.len();
    let axes = edit.ints_or_input(id, "axes", 3).unwrap_or_else(|| (0..count as i64).collect());
    let steps = edit.ints_or_input(id, "steps", 4).unwrap_or_else(|| vec![1; count]);
    if ends.len() != count || axes.len() != count || steps.len() != count {
        return None;
    }
    let (mut shape, mut strides) = (tensor.shape.clone(), view.strides.clone());
    let mut offset = i64::try_from(view.offset).ok()?;
    for i in 0..count {
        let axis = crate::eval::index(axes[i], shape.len())?;
        let (first, taken) = bounds(i64::try_from(tensor.shape[axis]).ok()?, starts[i], ends[i], steps[i])?;
        offset = offset.checked_add(first.checked_mul(view.strides[axis])?)?;
        strides[axis] = strides[axis].checked_mul(steps[i])?;
        shape[axis] = taken as u64;
    }
    viewed(tensor, shape, View { offset: u64::try_from(offset).ok()?, strides })
}

fn shape_after(edit: &Edit<'_, '_>, id: NodeId, tensor: &Tensor) -> Option<Vec<u64>> {
    let from: Vec<usize> = tensor.shape.iter().map(|&n| n as usize).collect();
    if tensor.count() == 0 {
        return None;
    }
    let asked = match edit.node(id).op.as_str() {
        "Reshape" => edit.ints_or_input(id, "shape", 1)?,
        // These give their result's shape exactly, and it is inferred from constants alone.
        _ => edit.known_shape(edit.output(id, 0)?)?.iter().map(|&n| n as i64).collect(),
    };
    let shape = reshaped(&from, &asked, edit.int(id, "allowzero") == Some(1)).ok()?;
    Some(shape.into_iter().map(|n| n as u64).collect())
}

fn with_shape(tensor: &Tensor, shape: Vec<u64>) -> Option<Tensor> {
    if weighbridge_model::element_count(&shape)? != tensor.count() {
        return None;
    }
    let view = strided(tensor)?;
    if view.is_contiguous(&tensor.shape) {
        let offset = view.offset;
        return viewed(tensor, shape.clone(), View::contiguous(&shape, offset));
    }
    // The elements in order are a storage of their own; F64 in between is exact for floats alone.
    if tensor.dtype.class() != Class::Float || tensor.dtype.is_sub_byte() {
        return None;
    }
    remade(tensor, Arc::new(Cast::new(tensor.clone(), tensor.dtype)), tensor.dtype, shape)
}
