//! Boxes of detectors.

use weighbridge_model::DType;

use crate::infer::call::{Call, Outcome};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `NonMaxSuppression`: rows of batch, class and box, as many as are kept.
pub(in crate::infer) fn suppression(call: &mut Call<'_, '_>) -> Outcome {
    call.shape_of_rank(0, 3)?;
    call.shape_of_rank(1, 3)?;
    let none = call.number(2).is_some_and(|most| most.is(0)) || !call.has(2);
    let kept = if none { Size::from(0) } else { call.fresh() };
    Ok(vec![Fact::tensor(Some(DType::I64), Some(vec![kept, 3.into()]))])
}
