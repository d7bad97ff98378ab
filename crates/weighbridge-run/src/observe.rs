//! What the values of a graph are while it runs.

use std::collections::HashSet;
use std::sync::Arc;

use weighbridge_measure::{ByChannel, Level, Measured, Number, Options, by_channel, measure};
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::storage::Channels;
use weighbridge_model::{Error, Memory, Model, Place, Result, Tensor, ValueId};

use crate::axes::{Axis, axes};
use crate::{Array, Engine};

/// Values that are taken from one run: the memory for all of a large network's at once may not be there.
const AT_ONCE: usize = 48;

/// A value that a node makes, and its figures over a run.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The value, in the model's graph.
    pub value: ValueId,
    /// Its figures.
    pub measured: Measured,
    /// What each format does to each of its channels; empty where it is not known which dimension they have.
    pub channels: Vec<ByChannel>,
}

/// Runs `model` on `inputs`, and measures each floating-point tensor that a node makes, in the order of nodes, with what
/// each of `formats` does to it.
///
/// # Errors
/// A model without an ONNX graph; what the engine says against it.
pub fn observe(
    model: &Model,
    engine: &dyn Engine,
    inputs: &[(String, Array)],
    formats: &[FloatFormat],
) -> Result<Vec<Observed>> {
    let graph = model
        .graph
        .as_ref()
        .ok_or_else(|| Error::Usage { what: format!("{}: only graphs are run", model.format) })?;
    let own: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    let made: Vec<ValueId> = graph
        .nodes
        .iter()
        .filter(|node| node.op != "Constant")
        .flat_map(|node| node.outputs.iter().flatten().copied())
        .filter(|&id| !graph.value(id).name.is_empty())
        .collect();
    let name = |id: &ValueId| graph.value(*id).name.clone();
    let inner: Vec<String> = made.iter().filter(|id| !own.contains(id)).map(name).collect();
    let mut session = engine.open(model, &inner)?;
    let axes = axes(graph);
    let mut observed = Vec::with_capacity(made.len());
    for some in made.chunks(AT_ONCE) {
        let names: Vec<String> = some.iter().map(name).collect();
        for (&value, array) in some.iter().zip(session.run(inputs, &names)?) {
            if let Some(array) = array.filter(|array| array.dtype.is_float()) {
                let tensor = tensor(array)?;
                let measured = of_tensor(&tensor, formats)?;
                let channels = channels(&tensor, axes.get(&value).copied(), &measured, formats)?;
                observed.push(Observed { value, measured, channels });
            }
        }
    }
    Ok(observed)
}

/// The figures of an array, with what each of `formats` does to it.
///
/// # Errors
/// None but of memory.
pub fn figures(array: Array, formats: &[FloatFormat]) -> Result<Measured> {
    of_tensor(&tensor(array)?, formats)
}

fn tensor(array: Array) -> Result<Tensor> {
    let place = Place::source("what an engine gave");
    Tensor::contiguous("", array.dtype, array.shape, Arc::new(Memory::new(array.bytes)), &place)
}

fn of_tensor(tensor: &Tensor, formats: &[FloatFormat]) -> Result<Measured> {
    let options = Options { survival: formats, ..Options::default() };
    measure(&[tensor], &options, &|_| {}).remove(0)
}

/// What each format does to the channels along an axis.
fn channels(
    tensor: &Tensor,
    axis: Option<Axis>,
    measured: &Measured,
    formats: &[FloatFormat],
) -> Result<Vec<ByChannel>> {
    let along = axis.and_then(|axis| axis.of(&tensor.shape));
    let Some(channels) = along.and_then(|along| Channels::of(&tensor.shape, &[along])) else {
        return Ok(Vec::new());
    };
    let largest = measured.summary.as_ref().and_then(|s| s.abs_max).map_or(0.0, Number::to_f64);
    let one = |format: &FloatFormat| by_channel(tensor, &channels, *format, largest, Level::detect());
    Ok(formats.iter().map(one).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}
