//! `Pad`.

use crate::infer::call::{Call, Numbers, Outcome, axes};
use crate::infer::fact::{Fact, show};
use crate::infer::size::Size;

/// `Pad`: sizes before and after, of all axes or from version 18 on of some; attributes before version 11.
pub(in crate::infer) fn pad(call: &mut Call<'_, '_>) -> Outcome {
    let Some(from) = call.shape(0) else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let attribute = call.ints("pads").or_else(|| call.ints("paddings"));
    let pads: Option<Vec<Size>> = match call.has(1) {
        true => call.elements(1).map(<[Size]>::to_vec),
        false => attribute.map(|pads| pads.into_iter().map(Size::from).collect()),
    };
    let at = match call.numbers(3, "axes") {
        Numbers::Known(at) => Some(axes(&at, from.len())?),
        Numbers::Absent => Some((0..from.len()).collect()),
        Numbers::Unknown(_) => None,
    };
    let (Some(pads), Some(at)) = (pads, at) else {
        let shape = call.unknown_shape(from.len());
        return Ok(vec![Fact::tensor(call.dtype(0), Some(shape))]);
    };
    if pads.len() != 2 * at.len() {
        return Err(format!("pads {} for {} axes", show(&pads), at.len()));
    }
    let mut shape = from.to_vec();
    for (i, &axis) in at.iter().enumerate() {
        let padded = from[axis].plus(&pads[i]).and_then(|size| size.plus(&pads[at.len() + i]));
        shape[axis] = call.open(padded);
    }
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}
