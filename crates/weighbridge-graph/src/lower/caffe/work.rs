//! What a rule works with: one layer's bottoms and tops as values of the graph that is made, their shapes, and ways to
//! add nodes and constants.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{
    DType, Dim, GraphValue, Model, Result, Value, ValueId, element_count,
};

use super::super::Choice;
use super::layer::Layer;
use super::net::Version;
use crate::build::Builder;

/// Most elements of a blob: Caffe counts them in 31 bits.
const MOST: u64 = i32::MAX as u64;

/// Most elements of a constant that is computed here.
const MOST_COMPUTED: u64 = 1 << 26;

/// The graph that is made, and what is known of it.
pub(super) struct Work<'a> {
    /// The model of the net.
    pub(super) source: &'a Model,
    pub(super) build: Builder<'a>,
    /// Shapes of the values whose sizes are known.
    pub(super) shapes: HashMap<ValueId, Vec<u64>>,
    /// The values that stand for blobs.
    pub(super) blobs: HashMap<Version, ValueId>,
    /// Shapes that the user gave.
    pub(super) given: &'a [(String, Vec<u64>)],
    /// Names of inputs whose shapes are not known.
    pub(super) shapeless: Vec<String>,
    /// Inputs of data layers, which stay only where something reads them.
    pub(super) optional: HashSet<ValueId>,
    pub(super) choices: Vec<Choice>,
    pub(super) changed: Vec<(String, String)>,
    /// Tensors of the source that the graph holds.
    pub(super) used: HashSet<weighbridge_model::TensorId>,
}

impl Work<'_> {
    /// A value of this name, where the names of blobs are taken first.
    pub(super) fn named(&mut self, name: &str) -> ValueId {
        self.build.value(name)
    }

    pub(super) fn set_shape(&mut self, value: ValueId, dtype: DType, shape: Option<Vec<u64>>) {
        let known: &mut GraphValue = &mut self.build.graph.values[value.0 as usize];
        known.dtype = Some(dtype);
        if let Some(shape) = shape {
            known.shape = Some(shape.iter().map(|&n| Dim::Known(n)).collect());
            self.shapes.insert(value, shape);
        }
    }
}

/// A layer that is being lowered.
pub(super) struct Job<'w, 'a> {
    pub(super) work: &'w mut Work<'a>,
    pub(super) layer: &'w Layer<'a>,
    /// The values of its bottoms.
    pub(super) bottoms: Vec<ValueId>,
    /// The values of its tops.
    pub(super) tops: Vec<ValueId>,
}

/// Attributes of a node.
pub(super) type Attributes<'n> = Vec<(&'n str, Value)>;

/// Whole numbers as an attribute.
pub(super) fn ints<T: TryInto<i64> + Copy>(numbers: &[T]) -> Value {
    Value::List(numbers.iter().map(|&n| Value::Int(n.try_into().unwrap_or(i64::MAX))).collect())
}

impl<'a> Job<'_, 'a> {
    /// The value of a bottom.
    ///
    /// # Errors
    /// Where the layer has fewer.
    pub(super) fn bottom(&self, index: usize) -> Result<ValueId> {
        self.bottoms.get(index).copied().ok_or_else(|| {
            self.layer.malformed(format!("it has {} bottoms, and takes at least {}", self.bottoms.len(), index + 1))
        })
    }

    /// The shape of a value: rules run where those of all bottoms are known.
    pub(super) fn shape(&self, value: ValueId) -> Vec<u64> {
        self.work.shapes.get(&value).cloned().unwrap_or_default()
    }

    /// The only bottom and its shape.
    pub(super) fn single(&self) -> Result<(ValueId, Vec<u64>)> {
        if let n @ 2.. = self.bottoms.len() {
            return Err(self.layer.malformed(format!("it has {n} bottoms, and takes one")));
        }
        let bottom = self.bottom(0)?;
        Ok((bottom, self.shape(bottom)))
    }

    /// Says what a reader should know.
    pub(super) fn choose(&mut self, choice: impl Into<String>) {
        let (layer, kind) = (self.layer.name().to_owned(), self.layer.kind.to_owned());
        self.work.choices.push(Choice { layer, kind, choice: choice.into() });
    }

    /// A new value `LAYER/STEP`.
    fn value(&mut self, step: &str) -> ValueId {
        let wanted = format!("{}/{step}", self.layer.name());
        self.work.named(&wanted)
    }

    /// Holds the size of a blob against what Caffe can count.
    pub(super) fn check(&self, shape: &[u64]) -> Result<()> {
        match element_count(shape) {
            Some(count) if count <= MOST => Ok(()),
            _ => Err(self.layer.malformed(format!("a blob of {shape:?} has more elements than Caffe counts"))),
        }
    }

    /// A node with one output of this type and shape.
    pub(super) fn emit_as(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        attributes: Attributes<'_>,
        dtype: DType,
        shape: Option<Vec<u64>>,
    ) -> Result<ValueId> {
        if let Some(shape) = &shape {
            self.check(shape)?;
        }
        let output = self.value(&op.to_lowercase());
        self.work.set_shape(output, dtype, shape);
        let inputs = inputs.iter().copied().map(Some).collect();
        self.work.build.node(op, inputs, vec![output], attributes);
        Ok(output)
    }

    /// A node with one output of single precision.
    pub(super) fn emit(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        attributes: Attributes<'_>,
        shape: Vec<u64>,
    ) -> Result<ValueId> {
        self.emit_as(op, inputs, attributes, DType::F32, Some(shape))
    }

    /// A node with several outputs.
    pub(super) fn emit_many(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        attributes: Attributes<'_>,
        outputs: Vec<(DType, Option<Vec<u64>>)>,
    ) -> Result<Vec<ValueId>> {
        let mut values = Vec::with_capacity(outputs.len());
        for (dtype, shape) in outputs {
            if let Some(shape) = &shape {
                self.check(shape)?;
            }
            let value = self.value(&op.to_lowercase());
            self.work.set_shape(value, dtype, shape);
            values.push(value);
        }
        let inputs = inputs.iter().copied().map(Some).collect();
        self.work.build.node(op, inputs, values.clone(), attributes);
        Ok(values)
    }

    /// Makes a value the top of this index: what gives the value gives the top, unless it is a bottom or an input.
    pub(super) fn finish(&mut self, index: usize, value: ValueId) -> Result<()> {
        let Some(&top) = self.tops.get(index) else {
            let tops = self.tops.len();
            return Err(self.layer.malformed(format!("it has {tops} tops, and gives at least {}", index + 1)));
        };
        let known = &self.work.build.graph.values[value.0 as usize];
        let (dtype, shape, dims) =
            (known.dtype.unwrap_or(DType::F32), self.work.shapes.get(&value).cloned(), known.shape.clone());
        self.work.set_shape(top, dtype, shape);
        self.work.build.graph.values[top.0 as usize].shape = dims;
        let name = match index {
            0 => self.layer.name().to_owned(),
            more => format!("{}/{more}", self.layer.name()),
        };
        let graph = &mut *self.work.build.graph;
        let giver = graph.nodes.iter_mut().rev().take(NODES_OF_A_LAYER).find(|n| n.outputs.contains(&Some(value)));
        let own = value.0 > top.0;
        match giver.filter(|_| own) {
            Some(node) => {
                node.outputs.iter_mut().filter(|o| **o == Some(value)).for_each(|o| *o = Some(top));
                node.name = name;
                let renamed = |id: &mut Option<ValueId>| {
                    if *id == Some(value) {
                        *id = Some(top);
                    }
                };
                // Other nodes of the layer may read it too.
                graph.nodes.iter_mut().rev().take(NODES_OF_A_LAYER).for_each(|n| n.inputs.iter_mut().for_each(renamed));
                if value.0 as usize == graph.values.len() - 1 {
                    graph.values.pop();
                }
            }
            None => {
                let node = self.work.build.node("Identity", vec![Some(value)], vec![top], vec![]);
                node.name = name;
            }
        }
        Ok(())
    }

    /// A constant of whole numbers, which shapes and axes are.
    pub(super) fn integers(&mut self, step: &str, numbers: &[i64]) -> Result<ValueId> {
        let name = format!("{}/{step}", self.layer.name());
        let shape = vec![numbers.len() as u64];
        let value = self.work.build.integers(&name, shape.clone(), numbers)?;
        self.work.shapes.insert(value, shape);
        Ok(value)
    }

    /// Sizes as a constant.
    pub(super) fn dims(&mut self, step: &str, sizes: &[u64]) -> Result<ValueId> {
        let numbers: Vec<i64> = sizes.iter().map(|&n| n as i64).collect();
        self.integers(step, &numbers)
    }

    /// A constant of single precision.
    pub(super) fn floats(&mut self, step: &str, shape: &[u64], numbers: &[f32]) -> Result<ValueId> {
        let name = format!("{}/{step}", self.layer.name());
        let value = self.work.build.floats(&name, shape.to_vec(), numbers)?;
        self.work.shapes.insert(value, shape.to_vec());
        Ok(value)
    }

    /// A number as a constant without dimensions.
    pub(super) fn scalar(&mut self, step: &str, number: f64) -> Result<ValueId> {
        self.floats(step, &[], &[number as f32])
    }

    /// Holds the size of a constant that is to be computed against a bound.
    pub(super) fn computed(&self, shape: &[u64]) -> Result<()> {
        match element_count(shape) {
            Some(count) if count <= MOST_COMPUTED => Ok(()),
            _ => Err(self.layer.unsupported(format!(
                "a constant of {shape:?} would have to be computed, more than {MOST_COMPUTED} elements"
            ))),
        }
    }
}

/// More than any rule makes for one top.
const NODES_OF_A_LAYER: usize = 64;
