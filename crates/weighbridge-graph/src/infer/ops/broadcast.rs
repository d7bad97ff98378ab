//! Shapes that are broadcast to each other, and elements along with them.

use crate::infer::call::{Call, small};
use crate::infer::fact::{Elements, show};
use crate::infer::size::Size;

impl<'c> Call<'c, '_> {
    /// The shape that these are broadcast to; `None` where one of them is not known.
    ///
    /// # Errors
    /// Shapes that cannot be.
    pub(super) fn broadcast(&mut self, shapes: &[Option<&[Size]>]) -> Result<Option<Vec<Size>>, String> {
        let Some(shapes) = shapes.iter().copied().collect::<Option<Vec<&[Size]>>>() else { return Ok(None) };
        let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
        let mut result = vec![Size::from(1); rank];
        for shape in &shapes {
            for (to, size) in result[rank - shape.len()..].iter_mut().zip(*shape) {
                let broadcast = to.broadcast(size).map_err(|what| {
                    let all: Vec<String> = shapes.iter().map(|shape| show(shape)).collect();
                    format!("shapes {}: {what}", all.join(" and "))
                })?;
                *to = self.open(broadcast);
            }
        }
        Ok(Some(result))
    }

    /// The shape that these inputs are broadcast to.
    ///
    /// # Errors
    /// Shapes that cannot be.
    pub(super) fn broadcast_inputs(&mut self, inputs: &[usize]) -> Result<Option<Vec<Size>>, String> {
        let shapes: Vec<Option<&'c [Size]>> = inputs.iter().map(|&i| self.shape(i)).collect();
        self.broadcast(&shapes)
    }

    /// Elements of an input as they are broadcast to a small shape.
    pub(super) fn spread(&self, input: usize, to: &[Size]) -> Option<Elements> {
        let tensor = self.fact(input).as_tensor();
        let (from, to) = (small(tensor.shape.as_ref()?)?, small(to)?);
        let indices = spread_indices(&from, &to);
        match tensor.elements.as_ref()? {
            Elements::Whole(of) => {
                let spread: Option<_> = indices.iter().map(|&i| of.get(i).cloned()).collect();
                spread.map(Elements::Whole)
            }
            Elements::Real(of) => {
                let spread: Option<_> = indices.iter().map(|&i| of.get(i).copied()).collect();
                spread.map(Elements::Real)
            }
        }
    }
}

/// For each element of shape `to`, the index of the one of shape `from` that stands there.
pub(super) fn spread_indices(from: &[usize], to: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; to.len()];
    let mut stride = 1;
    for (axis, &size) in from.iter().enumerate().rev() {
        if let Some(at) = (axis + to.len()).checked_sub(from.len()) {
            strides[at] = if size == 1 { 0 } else { stride };
        }
        stride *= size;
    }
    indices(to, &strides)
}

/// Offsets of all elements of a shape in row-major order, given the stride of each dimension.
pub(super) fn indices(shape: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut all = vec![0];
    for (&size, &stride) in shape.iter().zip(strides) {
        all = all.iter().flat_map(|&at| (0..size).map(move |i| at + i * stride)).collect();
    }
    all
}

/// Row-major strides.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}
