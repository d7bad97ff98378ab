//! InnerProduct and Embed.

use weighbridge_model::{DType, Result, Value};

use super::weights::Asked;
use super::work::Job;

/// InnerProduct: what lies from `axis` on is one vector; weight `[out, in]`, or `[in, out]` where it is transposed.
pub(super) fn inner_product(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "inner_product_param";
    let (x, before) = job.single()?;
    let layer = job.layer;
    let axis = layer.axis(layer.int(SETTINGS, "axis", 1)?, before.len())?;
    let outputs = layer.count(SETTINGS, "num_output")?;
    let transposed = layer.flag(SETTINGS, "transpose", false)?;
    let bias = layer.flag(SETTINGS, "bias_term", true)?;
    job.blobs(1 + usize::from(bias))?;
    let (rows, length) = (before[..axis].iter().product(), before[axis..].iter().product());
    let shape = if transposed { [length, outputs] } else { [outputs, length] };
    let asked = Asked { index: 0, shape: &shape, filler: (SETTINGS, "weight_filler"), otherwise: 0.0 };
    let mut inputs = vec![job.weight(&asked, &shape)?];
    if bias {
        let shape = [outputs];
        let asked = Asked { index: 1, shape: &shape, filler: (SETTINGS, "bias_filler"), otherwise: 0.0 };
        inputs.push(job.weight(&asked, &shape)?);
    }
    let flat = match before.len() {
        2 if axis == 1 => x,
        _ => job.emit("Flatten", &[x], vec![("axis", Value::Int(axis as i64))], vec![rows, length])?,
    };
    inputs.insert(0, flat);
    let attributes = if transposed { vec![] } else { vec![("transB", Value::Int(1))] };
    let y = job.emit("Gemm", &inputs, attributes, vec![rows, outputs])?;
    let mut after = before[..axis].to_vec();
    after.push(outputs);
    let y = job.reshape(y, &after)?;
    job.finish(0, y)
}

/// Embed: rows of a table, by numbers that are whole.
pub(super) fn embed(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "embed_param";
    let (x, before) = job.single()?;
    let (rows, width) = (job.layer.count(SETTINGS, "input_dim")?, job.layer.count(SETTINGS, "num_output")?);
    let bias = job.layer.flag(SETTINGS, "bias_term", true)?;
    job.blobs(1 + usize::from(bias))?;
    let shape = [rows, width];
    let asked = Asked { index: 0, shape: &shape, filler: (SETTINGS, "weight_filler"), otherwise: 0.0 };
    let table = job.weight(&asked, &shape)?;
    let index = job.cast(x, DType::I64)?;
    let mut after = before;
    after.push(width);
    let mut y = job.emit("Gather", &[table, index], vec![], after)?;
    if bias {
        let shape = [width];
        let asked = Asked { index: 1, shape: &shape, filler: (SETTINGS, "bias_filler"), otherwise: 0.0 };
        let bias = job.weight(&asked, &shape)?;
        y = job.binary("Add", y, bias)?;
    }
    job.finish(0, y)
}
