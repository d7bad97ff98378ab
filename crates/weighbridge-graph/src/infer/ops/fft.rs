//! Fourier transforms. The last dimension holds real and imaginary parts, or real ones alone.

use crate::infer::call::{Call, Outcome, axis};
use crate::infer::fact::Fact;
use crate::infer::size::Size;

/// `DFT`: the axis is an attribute before version 20.
pub(in crate::infer) fn dft(call: &mut Call<'_, '_>) -> Outcome {
    let Some(from) = call.shape_from_rank(0, 2)? else { return Ok(vec![Fact::tensor(call.dtype(0), None)]) };
    let at = match call.version {
        ..20 => Some(call.int_or("axis", 1)),
        _ if call.has(2) => call.number(2).and_then(Size::known),
        _ => Some(-2),
    };
    let one_sided = call.int_or("onesided", 0) != 0;
    let inverse = call.int_or("inverse", 0) != 0;
    let mut shape = from.to_vec();
    let last = shape.len() - 1;
    let parts = Size::from(if one_sided && inverse { 1 } else { 2 });
    let Some(at) = at else {
        // Whichever axis it is, its size stays unless a length or a half is asked for.
        if one_sided || call.has(1) {
            shape = call.unknown_shape(shape.len());
        }
        shape[last] = parts;
        return Ok(vec![Fact::tensor(call.dtype(0), Some(shape))]);
    };
    let at = axis(at, shape.len())?;
    let length = match call.has(1) {
        true => call.number(1).cloned(),
        // A one-sided spectrum is that of twice as many, less two.
        false if one_sided && inverse => from[at].minus(&1.into()).and_then(|half| half.times(&2.into())),
        false => Some(from[at].clone()),
    };
    let bins = if one_sided && !inverse { length.and_then(|length| half(&length)) } else { length };
    shape[at] = call.open(bins);
    shape[last] = parts;
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `STFT`: signal `[batch, length, 1 or 2]`, step, window, frame length; gives `[batch, frames, bins, 2]`.
pub(in crate::infer) fn stft(call: &mut Call<'_, '_>) -> Outcome {
    let signal = call.shape_from_rank(0, 2)?;
    let length = signal.map(|signal| signal[1].clone());
    let frame = match (call.has(3), call.has(2)) {
        (true, _) => call.number(3).cloned(),
        (false, true) => call.dim(2, 0),
        (false, false) => length.clone(),
    };
    let frames = (|| {
        let free = length?.minus(frame.as_ref()?)?;
        free.floor_div(call.number(1)?)?.plus(&1.into())
    })();
    let bins = if call.int_or("onesided", 1) != 0 { frame.as_ref().and_then(half) } else { frame };
    let shape = vec![
        call.open(signal.map(|signal| signal[0].clone())),
        call.open(frames),
        call.open(bins),
        Size::from(2),
    ];
    Ok(vec![Fact::tensor(call.dtype(0), Some(shape))])
}

/// `floor(length / 2) + 1`: the bins of a spectrum that is its own mirror.
fn half(length: &Size) -> Option<Size> {
    length.floor_div(&2.into())?.plus(&1.into())
}
