//! What the layer that takes a value makes of its channels: a channel that is lost counts as much as that layer's weights let it.

use std::collections::HashMap;

use weighbridge_measure::ByChannel;
use weighbridge_model::storage::Channels;
use weighbridge_model::{Model, Node, TensorId, ValueId};

/// The error of a layer's inputs below which its outputs do not show it: 1 % RMS, which are 40 dB.
const SHOWN: f64 = 1e-4;

/// Operators that change each element by itself, or pick among neighbours: what comes out of a channel is that channel's.
const ALONE: &[&str] = &[
    "Relu",
    "LeakyRelu",
    "Clip",
    "HardSigmoid",
    "Sigmoid",
    "Tanh",
    "Elu",
    "Gelu",
    "Identity",
    "Dropout",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
];

/// Readers of values, and tensors that are given.
pub(super) struct Consumers<'a> {
    model: &'a Model,
    readers: HashMap<ValueId, Vec<&'a Node>>,
    given: HashMap<ValueId, TensorId>,
}

impl<'a> Consumers<'a> {
    pub(super) fn of(model: &'a Model) -> Self {
        let (mut readers, mut given) = (HashMap::<_, Vec<&Node>>::new(), HashMap::new());
        if let Some(graph) = &model.graph {
            for node in &graph.nodes {
                node.inputs.iter().flatten().for_each(|&id| readers.entry(id).or_default().push(node));
            }
            given.extend(graph.constants());
        }
        Consumers { model, readers, given }
    }

    /// Of the channels `lost` of `value` those whose error the layers that take it would show; all of them where it is not
    /// known what takes it.
    pub(super) fn shown(&self, value: ValueId, channels: &ByChannel, lost: Vec<u64>) -> Vec<u64> {
        let Some(weights) = self.weights(value, channels.channels.len()) else { return lost };
        let energy = |at: usize, by: &[f64]| channels.rms(at).powi(2) * by[at];
        let whole: Vec<f64> =
            weights.iter().map(|by| (0..by.len()).map(|at| energy(at, by)).sum::<f64>()).collect();
        let shows = |at: &u64| {
            let noise = channels.channels[*at as usize].energy_lost();
            weights.iter().zip(&whole).any(|(by, whole)| energy(*at as usize, by) * noise >= SHOWN * whole)
        };
        lost.into_iter().filter(shows).collect()
    }

    /// For each layer that takes a value, directly or through what leaves channels alone, the energy of its weights for
    /// each input channel. `None` where something else takes it.
    fn weights(&self, value: ValueId, count: usize) -> Option<Vec<Vec<f64>>> {
        /// Nodes between a value and the layers that take it.
        const FAR: usize = 16;
        let (mut open, mut found) = (vec![value], Vec::new());
        for _ in 0..FAR {
            let Some(value) = open.pop() else { break };
            for node in self.readers.get(&value)? {
                if ALONE.contains(&node.op.as_str()) {
                    open.extend(node.outputs.iter().flatten());
                } else {
                    found.push(self.by_input(node, count)?);
                }
            }
        }
        (open.is_empty() && !found.is_empty()).then_some(found)
    }

    /// The sums of squares of a layer's weights by input channel.
    fn by_input(&self, node: &Node, count: usize) -> Option<Vec<f64>> {
        let int = |name: &str, other| node.attribute(name).and_then(|v| v.as_int()).unwrap_or(other);
        let weight = self.model.tensor(*self.given.get(&node.inputs.get(1).copied().flatten()?)?);
        let along = match node.op.as_str() {
            "Conv" if int("group", 1) == 1 => 1,
            "Gemm" => usize::from(int("transB", 0) != 0),
            "MatMul" if weight.shape.len() == 2 => 0,
            _ => return None,
        };
        if weight.shape.get(along).copied() != Some(count as u64) {
            return None;
        }
        let channels = Channels::of(&weight.shape, &[along])?;
        let mut sums = vec![0.0; count];
        let visited = weight.visit_values(0..weight.count(), &mut |first, values| {
            (first..).zip(values).for_each(|(at, x)| sums[channels.at(at)] += x * x);
            Ok(())
        });
        visited.ok().map(|()| sums)
    }
}
