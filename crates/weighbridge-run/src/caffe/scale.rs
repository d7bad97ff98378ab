//! Scale and Bias: factors and summands that are spread over the dimensions around them.

use super::blob::Blob;
use super::call::{Call, Tops};
use super::fault::Fault;
use super::filler::Filler;

/// Where a blob lies within a larger one: elements before, in and behind it.
struct Spread {
    inner: usize,
    count: usize,
}

impl Spread {
    fn over(bottom: &Blob, axis: usize, shape: &[usize]) -> Result<Spread, Fault> {
        if bottom.shape.get(axis..axis + shape.len()) != Some(shape) {
            return Err(format!("a blob of {shape:?} over {:?} from axis {axis} on", bottom.shape).into());
        }
        Ok(Spread { inner: bottom.inner(axis + shape.len()), count: shape.iter().product() })
    }

    /// Changes each element by the one that is spread over it.
    fn apply(&self, data: &mut [f64], values: &[f64], f: impl Fn(f64, f64) -> f64) {
        for (row, out) in data.chunks_exact_mut(self.inner.max(1)).enumerate() {
            let value = values[row % self.count];
            out.iter_mut().for_each(|x| *x = f(*x, value));
        }
    }
}

/// The dimensions of the first bottom that a layer's own blob has: `num_axes` from `axis` on, all the rest for -1.
fn told(call: &Call<'_>, message: &'static str) -> Result<(usize, Vec<usize>), Fault> {
    let settings = call.settings(message);
    let bottom = call.bottom(0)?;
    let axes = settings.int("num_axes", 1)?;
    // A scalar lies anywhere.
    if axes == 0 {
        return Ok((0, Vec::new()));
    }
    let axis = bottom.axis(settings.int("axis", 1)?)?;
    let end = match axes {
        -1 => bottom.axes(),
        axes if axes > 0 => axis + axes as usize,
        axes => return Err(format!("num_axes of {axes}").into()),
    };
    let shape = bottom.shape.get(axis..end).ok_or_else(|| {
        Fault::from(format!("{axes} axes from {axis} on of a blob of shape {:?}", bottom.shape))
    })?;
    Ok((axis, shape.to_vec()))
}

/// The values that are spread: the second bottom, or a blob of weights.
fn spread(
    call: &Call<'_>,
    message: &'static str,
    otherwise: f32,
) -> Result<(Spread, Vec<f64>, Vec<usize>), Fault> {
    let bottom = call.bottom(0)?;
    if let Some(second) = call.bottoms.get(1) {
        let axis = call.settings(message).int("axis", 1)?;
        let axis = if second.axes() == 0 { 0 } else { bottom.axis(axis)? };
        let spread = Spread::over(bottom, axis, &second.shape)?;
        return Ok((spread, second.data.to_vec(), second.shape.clone()));
    }
    let (axis, shape) = told(call, message)?;
    let spread = Spread::over(bottom, axis, &shape)?;
    let values = weight(call, 0, &shape, Filler(message, "filler", otherwise))?;
    Ok((spread, values, shape))
}

fn weight(call: &Call<'_>, index: usize, shape: &[usize], filler: Filler) -> Result<Vec<f64>, Fault> {
    // A scalar is a list of one in some files.
    let found = call.weight(index, shape, filler);
    let found = if shape.is_empty() { found.or_else(|_| call.weight(index, &[1], filler)) } else { found };
    Ok(found?.into_iter().map(f64::from).collect())
}

/// `Scale`: times the second bottom or the first blob, and a bias of the same shape where it is asked for.
pub(super) fn scale(call: &Call<'_>) -> Tops {
    let (over, values, shape) = spread(call, "scale_param", 1.0)?;
    let bottom = call.bottom(0)?;
    let mut data = bottom.data.to_vec();
    over.apply(&mut data, &values, |x, scale| x * scale);
    if call.settings("scale_param").truth("bias_term", false)? {
        let filler = Filler("scale_param", "bias_filler", 0.0);
        let bias = weight(call, 2 - call.bottoms.len().min(2), &shape, filler)?;
        over.apply(&mut data, &bias, |x, bias| x + bias);
    }
    Ok(vec![Blob::new(bottom.shape.clone(), data)])
}

/// `Bias`: plus the second bottom or the first blob.
pub(super) fn bias(call: &Call<'_>) -> Tops {
    let (over, values, _) = spread(call, "bias_param", 0.0)?;
    let bottom = call.bottom(0)?;
    let mut data = bottom.data.to_vec();
    over.apply(&mut data, &values, |x, bias| x + bias);
    Ok(vec![Blob::new(bottom.shape.clone(), data)])
}
