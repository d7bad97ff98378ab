//! Layers that combine bottoms element by element: Eltwise and Axpy.

use super::blob::Blob;
use super::call::{Call, Tops};

const PROD: usize = 0;
const SUM: usize = 1;

/// `Eltwise`: the product, the sum (each bottom times its coefficient) or the maximum of any number of bottoms.
pub(super) fn eltwise(call: &Call<'_>) -> Tops {
    let settings = call.settings("eltwise_param");
    let operation = settings.choice("operation", &["PROD", "SUM", "MAX"], 0, SUM)?;
    let mut coefficients = settings.floats("coeff")?;
    if !coefficients.is_empty() && (operation != SUM || coefficients.len() != call.bottoms.len()) {
        let (coefficients, bottoms) = (coefficients.len(), call.bottoms.len());
        return Err(format!(
            "{coefficients} coefficients for {bottoms} bottoms, of which only sums have any"
        )
        .into());
    }
    coefficients.resize(call.bottoms.len(), 1.0);
    let first = call.bottom(0)?;
    let mut data: Vec<f64> = first.data.iter().map(|x| x * coefficients[0]).collect();
    for (bottom, coefficient) in call.bottoms.iter().zip(&coefficients).skip(1) {
        if bottom.shape != first.shape {
            return Err(format!("bottoms of shapes {:?} and {:?}", first.shape, bottom.shape).into());
        }
        let pairs = data.iter_mut().zip(bottom.data.iter());
        match operation {
            PROD => pairs.for_each(|(y, x)| *y *= x),
            SUM => pairs.for_each(|(y, x)| *y += x * coefficient),
            _ => pairs.for_each(|(y, x)| *y = y.max(*x)),
        }
    }
    Ok(vec![Blob::new(first.shape.clone(), data)])
}

/// `Axpy`, of squeeze-and-excitation nets: the second bottom, each channel of each image times its value in the first,
/// plus the third.
pub(super) fn axpy(call: &Call<'_>) -> Tops {
    let (scale, x, y) = (call.bottom(0)?, call.bottom(1)?, call.bottom(2)?);
    if x.shape != y.shape || x.axes() < 2 || scale.data.len() != x.outer(2) {
        return Err(format!("bottoms of shapes {:?}, {:?} and {:?}", scale.shape, x.shape, y.shape).into());
    }
    let spatial = x.inner(2).max(1);
    let mut data = y.data.to_vec();
    for ((out, x), scale) in
        data.chunks_exact_mut(spatial).zip(x.data.chunks_exact(spatial)).zip(scale.data.iter())
    {
        out.iter_mut().zip(x).for_each(|(y, x)| *y += scale * x);
    }
    Ok(vec![Blob::new(y.shape.clone(), data)])
}
