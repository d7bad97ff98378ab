//! Where data enters: Input, the layers that read data of a training set, DummyData, Parameter.

use weighbridge_model::{DType, Result, Role, Tensor, Value, ValueId, View};

use super::weights::Asked;
use super::work::Job;
use crate::build::in_memory;

/// Makes a top an input of the graph: of the shape that the user gave, otherwise of the net's.
fn given(job: &mut Job<'_, '_>, index: usize, shape: Option<Vec<u64>>, optional: bool) -> Result<()> {
    let (top, name) = (job.tops[index], job.layer.tops[index].clone());
    let asked = job.work.given.iter().find(|(input, _)| *input == name).map(|(_, shape)| shape.clone());
    if let (Some(asked), Some(shape)) = (&asked, &shape)
        && asked != shape
    {
        job.choose(format!("'{name}' is {asked:?} as asked, and not {shape:?}"));
    }
    match asked.or(shape) {
        Some(shape) => {
            job.check(&shape)?;
            job.work.set_shape(top, DType::F32, Some(shape));
        }
        None => {
            job.work.shapeless.push(name);
            job.work.set_shape(top, DType::F32, None);
        }
    }
    job.work.build.graph.inputs.push(top);
    if optional {
        job.work.optional.insert(top);
    }
    Ok(())
}

/// The shapes of a message, one each or one for all tops.
fn shapes(job: &Job<'_, '_>, message: &str) -> Result<Vec<Vec<u64>>> {
    let layer = job.layer;
    let shape = |value: &Value| -> Result<Vec<u64>> {
        let dims = match value.get("dim") {
            Some(Value::List(items)) => items.as_slice(),
            Some(one) => std::slice::from_ref(one),
            None => &[],
        };
        let size = |v: &Value| v.as_int().and_then(|n| u64::try_from(n).ok());
        dims.iter().map(size).collect::<Option<_>>().ok_or_else(|| {
            layer.malformed(format!("a shape of {dims:?}, which are no sizes: --input gives others"))
        })
    };
    layer.each(message, "shape").iter().map(shape).collect()
}

/// Input.
pub(super) fn input(job: &mut Job<'_, '_>) -> Result<()> {
    let shapes = match shapes(job, "input_param") {
        // A shape that the user gives instead need not make sense.
        Err(_) if job.layer.tops.iter().all(|t| job.work.given.iter().any(|(name, _)| name == t)) => Vec::new(),
        shapes => shapes?,
    };
    for i in 0..job.tops.len() {
        let shape = if shapes.len() == 1 { shapes.first() } else { shapes.get(i) };
        given(job, i, shape.cloned(), false)?;
    }
    Ok(())
}

/// MemoryData: images and a label for each.
pub(super) fn memory(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "memory_data_param";
    let [n, c, h, w] = ["batch_size", "channels", "height", "width"].map(|name| job.layer.count(SETTINGS, name));
    let shape = vec![n?, c?, h?, w?];
    let batch = vec![shape[0]];
    for i in 0..job.tops.len() {
        let shape = if i == 0 { shape.clone() } else { batch.clone() };
        given(job, i, Some(shape), i > 0)?;
    }
    Ok(())
}

/// Layers that read a data base, files or windows: what they hold is not known here, but for the size of a batch.
pub(super) fn data(job: &mut Job<'_, '_>) -> Result<()> {
    job.choose("reads data of its own: an input here");
    for i in 0..job.tops.len() {
        given(job, i, None, i > 0)?;
    }
    Ok(())
}

/// DummyData: what its filler makes, unless it is given.
pub(super) fn dummy(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "dummy_data_param";
    let mut shapes = shapes(job, SETTINGS)?;
    if shapes.is_empty() {
        let fields = ["num", "channels", "height", "width"].map(|name| job.layer.sizes(SETTINGS, name));
        let [n, c, h, w] = fields;
        let (n, c, h, w) = (n?, c?, h?, w?);
        shapes = n
            .iter()
            .zip(&c)
            .zip(&h)
            .zip(&w)
            .map(|(((&n, &c), &h), &w)| vec![n, c, h, w])
            .collect();
    }
    let fillers = job.layer.each(SETTINGS, "data_filler");
    for i in 0..job.tops.len() {
        let shape = if shapes.len() == 1 { shapes.first() } else { shapes.get(i) };
        given(job, i, shape.cloned(), i > 0)?;
        let filler = if fillers.len() == 1 { fillers.first() } else { fillers.get(i) };
        let kind = filler.and_then(|f| f.get("type")).and_then(Value::as_str).unwrap_or("constant");
        let value = filler.and_then(|f| f.get("value")).and_then(Value::as_float).unwrap_or(0.0);
        let top = job.tops[i];
        match job.work.shapes.get(&top).cloned() {
            Some(shape) if kind == "constant" => {
                job.choose(format!("'{}' is an input, {value} everywhere unless it is given", job.layer.tops[i]));
                constant(job, top, shape, value)?;
            }
            _ => job.choose(format!("'{}' is an input; Caffe fills it by '{kind}'", job.layer.tops[i])),
        }
    }
    Ok(())
}

/// A default for an input.
fn constant(job: &mut Job<'_, '_>, top: ValueId, shape: Vec<u64>, value: f64) -> Result<()> {
    let graph = &mut *job.work.build.graph;
    let name = graph.value(top).name.clone();
    let one = in_memory(&name, DType::F32, vec![1], (value as f32).to_le_bytes().to_vec())?;
    let view = View { offset: 0, strides: vec![0; shape.len()] };
    let tensor = Tensor::strided(name, DType::F32, shape, view, one.storage, &job.layer.place())?;
    let id = job.work.build.model.push(tensor.with_role(Role::Constant, false));
    job.work.build.graph.initializers.push((top, id));
    Ok(())
}

/// Parameter: a blob as a top.
pub(super) fn parameter(job: &mut Job<'_, '_>) -> Result<()> {
    const SETTINGS: &str = "parameter_param";
    let shape = shapes(job, SETTINGS)?.into_iter().next();
    let shape = match (shape, job.layer.blobs.first()) {
        (Some(shape), _) => shape,
        (None, Some(&id)) => job.work.source.tensor(id).shape.clone(),
        (None, None) => return Err(job.layer.malformed("a parameter without a shape")),
    };
    job.blobs(1)?;
    let asked = Asked { index: 0, shape: &shape, filler: (SETTINGS, "filler"), otherwise: 0.0 };
    let value = job.weight(&asked, &shape)?;
    job.finish(0, value)
}
