//! Convolutions.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::{Fact, show};
use crate::infer::size::Size;

use super::window::Window;

/// `Conv`, `DeformConv`: data `[batch, in, spatial…]`, weight `[out, in/group, kernel…]`.
pub(in crate::infer) fn conv(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = call.dtype(0).or(call.dtype(1));
    convolved(call, 1, dtype)
}

/// `ConvInteger`: sums are I32.
pub(in crate::infer) fn conv_integer(call: &mut Call<'_, '_>) -> Outcome {
    convolved(call, 1, Some(DType::I32))
}

/// `QLinearConv`: the weight is the fourth input, the result of the type of its zero point.
pub(in crate::infer) fn qlinear_conv(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = call.dtype(7);
    convolved(call, 3, dtype)
}

fn convolved(call: &mut Call<'_, '_>, weight_at: usize, dtype: Option<DType>) -> Outcome {
    let (Some(data), weight) = (call.shape_from_rank(0, 3)?, call.shape_from_rank(weight_at, 3)?) else {
        let shape = call.shape(weight_at).map(|weight| call.unknown_shape(weight.len()));
        return Ok(vec![Fact::tensor(dtype, shape)]);
    };
    let rank = data.len() - 2;
    if weight.is_some_and(|weight| weight.len() != data.len()) {
        let weight = show(weight.unwrap_or_default());
        return Err(format!("a weight of shape {weight} over data of shape {}", show(data)));
    }
    if weight.is_none() && call.ints("kernel_shape").is_none() {
        let mut shape = call.unknown_shape(data.len());
        shape[0] = data[0].clone();
        return Ok(vec![Fact::tensor(dtype, Some(shape))]);
    }
    let window = Window::of(call, weight.map(|weight| &weight[2..]), rank)?;
    if let Some(weight) = weight {
        let groups = call.int_or("group", 1);
        if let (Some(channels), Some(each)) = (data[1].known(), weight[1].known())
            && each.checked_mul(groups) != Some(channels)
        {
            return Err(format!(
                "{channels} channels, where the weight takes {each} in each of {groups} groups"
            ));
        }
    }
    let channels = call.open(weight.map(|weight| weight[0].clone()));
    let mut shape = vec![data[0].clone(), channels];
    shape.extend(window.counts(call, &data[2..])?);
    Ok(vec![Fact::tensor(dtype, Some(shape))])
}

/// `ConvTranspose`: weight `[in, out/group, kernel…]`.
pub(in crate::infer) fn conv_transpose(call: &mut Call<'_, '_>) -> Outcome {
    let dtype = call.dtype(0).or(call.dtype(1));
    let (Some(data), Some(weight)) = (call.shape_from_rank(0, 3)?, call.shape_from_rank(1, 3)?) else {
        let shape = call.shape(0).or(call.shape(1)).map(|shape| call.unknown_shape(shape.len()));
        return Ok(vec![Fact::tensor(dtype, shape)]);
    };
    let rank = data.len() - 2;
    let window = Window::of(call, Some(&weight[2..]), rank)?;
    let channels = call.open(weight[1].times(&call.int_or("group", 1).into()));
    let mut shape = vec![data[0].clone(), channels];
    let given = call.ints("output_shape").filter(|sizes| !sizes.is_empty());
    let extra = call.ints("output_padding").unwrap_or_default();
    for axis in 0..rank {
        let stride = Size::from(window.strides[axis]);
        let extra = Size::from(extra.get(axis).copied().unwrap_or(0));
        let size = match &given {
            // With or without batch and channels in front.
            Some(sizes) => sizes[sizes.len().saturating_sub(rank)..].get(axis).map(|&size| size.into()),
            None if window.is_same() => data[axis + 2].times(&stride),
            None => (|| {
                let (before, after) = window.padding(axis);
                let steps = data[axis + 2].minus(&1.into())?.times(&stride)?;
                let spread = steps.plus(&window.reach(axis)?)?.plus(&extra)?;
                spread.minus(&before.checked_add(after)?.into())
            })(),
        };
        shape.push(call.open(size));
    }
    Ok(vec![Fact::tensor(dtype, Some(shape))])
}

/// `CausalConvWithState`: of the data's shape, and the last positions: `[batch, channels, kernel - 1]`.
pub(in crate::infer) fn causal(call: &mut Call<'_, '_>) -> Outcome {
    let data = call.shape_of_rank(0, 3)?;
    let kept = call.shape_of_rank(1, 3)?.and_then(|weight| weight[2].minus(&1.into()));
    let state = data.map(|data| vec![data[0].clone(), data[1].clone(), call.open(kept)]);
    Ok(vec![Fact::tensor(call.dtype(0), data.map(<[Size]>::to_vec)), Fact::tensor(call.dtype(0), state)])
}

/// `Col2Im`: blocks `[batch, channels * block, count]` to an image of the given spatial shape.
pub(in crate::infer) fn col_to_image(call: &mut Call<'_, '_>) -> Outcome {
    let Some(image) = super::generate::shape_from(call, 1)? else {
        return Ok(vec![Fact::tensor(call.dtype(0), None)]);
    };
    let columns = call.shape_of_rank(0, 3)?;
    let block = call.elements(2).and_then(Size::product);
    let channels = columns.zip(block).and_then(|(columns, block)| columns[1].floor_div(&block));
    let mut shape = vec![call.open(columns.map(|columns| columns[0].clone())), call.open(channels)];
    shape.extend(image);
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}
