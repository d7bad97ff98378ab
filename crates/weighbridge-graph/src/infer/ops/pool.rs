//! Poolings.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

use super::window::Window;

/// `MaxPool`, `AveragePool`, `LpPool`; the second output of the first are indices.
pub(in crate::infer) fn pool(call: &mut Call<'_, '_>) -> Outcome {
    let Some(data) = call.shape_from_rank(0, 3)? else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let window = Window::of(call, None, data.len() - 2)?;
    let mut shape = data[..2].to_vec();
    shape.extend(window.counts(call, &data[2..])?);
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape.clone())), Fact::tensor(Some(DType::I64), Some(shape))])
}

/// `GlobalAveragePool` and the like: spatial dimensions become 1.
pub(in crate::infer) fn global(call: &mut Call<'_, '_>) -> Outcome {
    let shape = call.shape_from_rank(0, 2)?.map(|data| {
        let mut shape = vec![Size::from(1); data.len()];
        shape[..2].clone_from_slice(&data[..2]);
        shape
    });
    Ok(vec![Fact::tensor(call.dtype(0), shape)])
}

/// `MaxUnpool`: the shape is an input, or what a pooling without remainder was over.
pub(in crate::infer) fn unpool(call: &mut Call<'_, '_>) -> Outcome {
    if call.has(2) {
        let shape = super::generate::shape_from(call, 2)?;
        return Ok(vec![Fact::tensor(call.dtype(0), shape)]);
    }
    let Some(data) = call.shape_from_rank(0, 3)? else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let window = Window::of(call, None, data.len() - 2)?;
    let mut shape = data[..2].to_vec();
    for (axis, size) in data[2..].iter().enumerate() {
        let (before, after) = window.padding(axis);
        let all = size
            .minus(&1.into())
            .and_then(|steps| steps.times(&window.strides[axis].into()))
            .and_then(|steps| steps.plus(&window.kernel[axis]))
            .and_then(|size| size.minus(&before.checked_add(after)?.into()));
        shape.push(call.open(all));
    }
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `MaxRoiPool`: a result of `pooled_shape` for each region, `[regions, 5]`.
pub(in crate::infer) fn roi_pool(call: &mut Call<'_, '_>) -> Outcome {
    let sizes = call.ints("pooled_shape").unwrap_or_default();
    regions(call, sizes)
}

/// `RoiAlign`: a result of `output_height` by `output_width` for each region, `[regions, 4]`.
pub(in crate::infer) fn roi_align(call: &mut Call<'_, '_>) -> Outcome {
    let sizes = vec![call.int_or("output_height", 1), call.int_or("output_width", 1)];
    regions(call, sizes)
}

fn regions(call: &mut Call<'_, '_>, sizes: Vec<i64>) -> Outcome {
    let (count, channels) = (call.dim(1, 0), call.dim(0, 1));
    let mut shape = vec![call.open(count), call.open(channels)];
    shape.extend(sizes.into_iter().map(Size::from));
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}
