//! Layers whose weights are a matrix: InnerProduct and Embed.

use rayon::prelude::*;

use super::blob::{Blob, zeros};
use super::call::{Call, Tops};
use super::filler::Filler;

/// `InnerProduct`: what `axis` and the dimensions behind it hold, times the weights `[outputs, elements]` (transposed:
/// `[elements, outputs]`), and a bias.
pub(super) fn inner_product(call: &Call<'_>) -> Tops {
    let settings = call.settings("inner_product_param");
    let bottom = call.bottom(0)?;
    let axis = bottom.axis(settings.int("axis", 1)?)?;
    let outputs = settings.needed("num_output")?;
    let (rows, wide) = (bottom.outer(axis), bottom.inner(axis));
    let filler = |field| Filler("inner_product_param", field, 0.0);
    let transposed = settings.truth("transpose", false)?;
    let weight =
        call.weight(0, &if transposed { [wide, outputs] } else { [outputs, wide] }, filler("weight_filler"))?;
    let bias = if settings.truth("bias_term", true)? {
        Some(call.weight(1, &[outputs], filler("bias_filler"))?)
    } else {
        None
    };
    let mut shape = bottom.shape[..axis].to_vec();
    shape.push(outputs);
    let mut data = zeros(&shape)?;
    call.take(&[rows, outputs, wide])?;
    if !data.is_empty() && wide > 0 {
        for (row, out) in bottom.data.chunks_exact(wide).zip(data.chunks_exact_mut(outputs)) {
            if transposed {
                for (x, weight) in row.iter().zip(weight.chunks_exact(outputs)) {
                    out.iter_mut().zip(weight).for_each(|(y, w)| *y += x * f64::from(*w));
                }
            } else {
                out.par_iter_mut().zip(weight.par_chunks_exact(wide)).for_each(|(y, w)| *y = dot(row, w));
            }
        }
    }
    add(&mut data, bias.as_deref());
    Ok(vec![Blob::new(shape, data)])
}

/// `Embed`: the row of the weights `[rows, outputs]` that each element names, and a bias.
pub(super) fn embed(call: &Call<'_>) -> Tops {
    let settings = call.settings("embed_param");
    let bottom = call.bottom(0)?;
    let filler = |field| Filler("embed_param", field, 0.0);
    let (rows, outputs) = (settings.needed("input_dim")?, settings.needed("num_output")?);
    let weight = call.weight(0, &[rows, outputs], filler("weight_filler"))?;
    let bias = if settings.truth("bias_term", true)? {
        Some(call.weight(1, &[outputs], filler("bias_filler"))?)
    } else {
        None
    };
    let mut shape = bottom.shape.clone();
    shape.push(outputs);
    let mut data = zeros(&shape)?;
    for (&index, out) in bottom.data.iter().zip(data.chunks_exact_mut(outputs.max(1))) {
        let row = index.trunc();
        if !(0.0..rows as f64).contains(&row) {
            return Err(format!("row {index} of {rows}").into());
        }
        let row = &weight[row as usize * outputs..][..outputs];
        out.iter_mut().zip(row).for_each(|(y, w)| *y = f64::from(*w));
    }
    add(&mut data, bias.as_deref());
    Ok(vec![Blob::new(shape, data)])
}

fn add(data: &mut [f64], bias: Option<&[f32]>) {
    let Some(bias) = bias.filter(|bias| !bias.is_empty()) else { return };
    for out in data.chunks_exact_mut(bias.len()) {
        out.iter_mut().zip(bias).for_each(|(y, b)| *y += f64::from(*b));
    }
}

/// A sum of products, in four running sums: one would wait for itself.
fn dot(x: &[f64], w: &[f32]) -> f64 {
    let mut sums = [0.0; 4];
    let (xs, ws) = (x.chunks_exact(4), w.chunks_exact(4));
    let rest: f64 = xs.remainder().iter().zip(ws.remainder()).map(|(x, w)| x * f64::from(*w)).sum();
    for (x, w) in xs.zip(ws) {
        for (sum, (x, w)) in sums.iter_mut().zip(x.iter().zip(w)) {
            *sum += x * f64::from(*w);
        }
    }
    sums.iter().sum::<f64>() + rest
}
