//! Layers that pick whole items of a batch: BatchReindex, Filter.

use weighbridge_model::{DType, Dim, Result, Value};

use super::work::Job;

/// BatchReindex: items of the first bottom by the numbers in the second.
pub(super) fn batch_reindex(job: &mut Job<'_, '_>) -> Result<()> {
    let (x, index) = (job.bottom(0)?, job.bottom(1)?);
    let (mut shape, order) = (job.shape(x), job.shape(index));
    let [count] = order.as_slice() else {
        return Err(job.layer.malformed(format!("a second bottom of {order:?}, of one axis")));
    };
    let Some(first) = shape.first_mut() else { return Err(job.layer.malformed("a bottom without axes")) };
    *first = *count;
    let index = job.cast(index, DType::I64)?;
    let y = job.emit("Gather", &[x, index], vec![("axis", Value::Int(0))], shape)?;
    job.finish(0, y)
}

/// Filter: of each bottom but the last the items for which the last is not 0.
pub(super) fn filter(job: &mut Job<'_, '_>) -> Result<()> {
    let Some((&selector, bottoms)) = job.bottoms.split_last() else {
        return Err(job.layer.malformed("no bottoms"));
    };
    let bottoms = bottoms.to_vec();
    let count: u64 = job.shape(selector).iter().product();
    let selector = job.reshape(selector, &[count])?;
    let chosen = job.cast(selector, DType::Bool)?;
    for (i, x) in bottoms.into_iter().enumerate() {
        let shape = job.shape(x);
        if shape.first() != Some(&count) {
            return Err(job.layer.malformed(format!("a bottom of {shape:?}, for a selector of {count}")));
        }
        let y = job.emit_as("Compress", &[x, chosen], vec![("axis", Value::Int(0))], DType::F32, None)?;
        let mut dims: Vec<Dim> = shape.into_iter().map(Dim::Known).collect();
        dims[0] = Dim::Symbol(format!("{}_items", job.layer.name()));
        job.work.build.graph.values[y.0 as usize].shape = Some(dims);
        job.finish(i, y)?;
    }
    Ok(())
}
