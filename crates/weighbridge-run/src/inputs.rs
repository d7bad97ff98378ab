//! What a model is run on: random values by declared type and shape, or arrays of a file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use weighbridge_formats::{ReadOptions, open};
use weighbridge_model::{DType, Dim, Error, Graph, Model, Node, Result, TensorId, ValueId};

use crate::Array;

/// Shapes of inputs that are told from outside, by name.
pub type Shapes = BTreeMap<String, Vec<u64>>;

/// The arrays of an `.npz` file (or of any other that is read) that are inputs of the model.
///
/// # Errors
/// An input that the file does not have; a failed read.
pub fn from_file(model: &Model, path: &Path) -> Result<Vec<(String, Array)>> {
    let file = open(&[path], None, &ReadOptions::default())?;
    let graph = graph_of(model)?;
    let take = |id: ValueId| {
        let name = &graph.value(id).name;
        let found =
            file.tensors.iter().find(|tensor| tensor.name == *name).ok_or_else(|| Error::NotFound {
                kind: "array for the input",
                name: name.clone(),
                near: file.tensors.iter().map(|tensor| tensor.name.clone()).collect(),
            })?;
        Ok((name.clone(), Array::of(found)?))
    };
    fed(graph).map(take).collect()
}

/// Random inputs: floating-point numbers normally distributed; whole numbers within the range of the `Gather` that they
/// feed, otherwise below 10; the same for the same seed everywhere.
///
/// # Errors
/// An input whose type or shape is not known: all of them, with what would help.
pub fn random(model: &Model, shapes: &Shapes, seed: u64) -> Result<Vec<(String, Array)>> {
    let graph = graph_of(model)?;
    let mut symbols: HashMap<&str, u64> = HashMap::new();
    let (mut inputs, mut reasons) = (Vec::new(), Vec::new());
    let unknown = shapes.keys().find(|name| fed(graph).all(|id| graph.value(id).name != **name));
    if let Some(name) = unknown {
        let near = fed(graph).map(|id| graph.value(id).name.clone()).collect();
        return Err(Error::NotFound { kind: "input", name: name.clone(), near });
    }
    // Sizes that are told for one input hold wherever their names stand.
    for (id, told) in fed(graph).filter_map(|id| Some((id, shapes.get(&graph.value(id).name)?))) {
        for (dim, size) in graph.value(id).shape.iter().flatten().zip(told) {
            if let Dim::Symbol(name) = dim {
                symbols.insert(name, *size);
            }
        }
    }
    for (id, position) in fed(graph).zip(1..) {
        let value = graph.value(id);
        let shape = match (shapes.get(&value.name), &value.shape) {
            (Some(told), _) => Ok(told.clone()),
            (None, Some(dims)) => sizes(dims, &symbols),
            (None, None) => Err("no shape".to_owned()),
        };
        match (shape, value.dtype) {
            (Ok(shape), Some(dtype)) => {
                let below = range(model, graph, id);
                match fill(dtype, shape, below, &mut Random(seed.wrapping_add(position << 32))) {
                    Some(array) => inputs.push((value.name.clone(), array)),
                    None => reasons.push((value.name.clone(), format!("{dtype} elements"))),
                }
            }
            (Err(why), _) => reasons.push((value.name.clone(), why)),
            (_, None) => reasons.push((value.name.clone(), "no tensor of a known type".to_owned())),
        }
    }
    if reasons.is_empty() {
        return Ok(inputs);
    }
    Err(Error::Refused {
        what: "no inputs can be made up".into(),
        reasons,
        help: Some("--input NAME=1,3,224,224 gives a shape, --inputs FILE.npz the values".into()),
    })
}

pub(crate) fn graph_of(model: &Model) -> Result<&Graph> {
    model
        .graph
        .as_ref()
        .filter(|graph| graph.program.is_some())
        .ok_or_else(|| Error::Usage { what: format!("{}: only ONNX graphs are executed", model.format) })
}

/// Inputs that no initializer gives.
pub(crate) fn fed(graph: &Graph) -> impl Iterator<Item = ValueId> {
    let given = |id: &ValueId| graph.initializers.iter().any(|(value, _)| value == id);
    graph.inputs.iter().copied().filter(move |id| !given(id))
}

/// Known sizes; a first one that is not known is the batch, 1.
fn sizes(dims: &[Dim], symbols: &HashMap<&str, u64>) -> Result<Vec<u64>, String> {
    let size = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Known(n) => Ok(*n),
        Dim::Symbol(name) => match symbols.get(name.as_str()) {
            Some(&n) => Ok(n),
            None if axis == 0 => Ok(1),
            None => Err(format!("size '{name}' is open")),
        },
        Dim::Unknown if axis == 0 => Ok(1),
        Dim::Unknown => Err(format!("size of dimension {axis} is open")),
    };
    dims.iter().enumerate().map(size).collect()
}

/// Whole numbers that `value` may have: below the size of what it picks from, the smallest where there are several.
fn range(model: &Model, graph: &Graph, value: ValueId) -> Option<u64> {
    let tensors: HashMap<ValueId, TensorId> = graph.initializers.iter().copied().collect();
    let (mut open, mut seen, mut below) = (vec![value], vec![value], None::<u64>);
    while let Some(value) = open.pop() {
        for node in graph.nodes.iter().filter(|node| node.inputs.contains(&Some(value))) {
            if passes(node) {
                let next = node.outputs.iter().flatten().filter(|id| !seen.contains(id)).copied();
                let next: Vec<ValueId> = next.collect();
                seen.extend(&next);
                open.extend(next);
            }
            if matches!(node.op.as_str(), "Gather" | "GatherElements")
                && node.inputs.get(1) == Some(&Some(value))
            {
                let data = node.inputs[0];
                let axis = node.attribute("axis").and_then(|axis| axis.as_int()).unwrap_or(0);
                let shape = data.and_then(|id| tensors.get(&id)).map(|&id| model.tensor(id).shape.clone());
                let size = shape.and_then(|shape| {
                    let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
                    shape.get(usize::try_from(axis).ok()?).copied()
                });
                below = [below, size].into_iter().flatten().min();
            }
        }
    }
    below
}

/// Whether a node hands its input's values on.
fn passes(node: &Node) -> bool {
    let handing_on =
        ["Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Concat"];
    handing_on.contains(&node.op.as_str())
}

fn fill(dtype: DType, shape: Vec<u64>, below: Option<u64>, random: &mut Random) -> Option<Array> {
    let count: u64 = shape.iter().product();
    let below = below.unwrap_or(10).max(1);
    let mut bytes = Vec::new();
    for _ in 0..count {
        match dtype {
            d if d.is_float() && !d.is_sub_byte() => {
                weighbridge_model::dtype::push(dtype, random.normal(), &mut bytes);
            }
            DType::Bool => bytes.push(random.below(2) as u8),
            DType::U8 => bytes.push(random.below(256) as u8),
            DType::I8 => bytes.push(random.below(256) as u8),
            DType::I16 | DType::U16 => bytes.extend((random.below(below) as u16).to_le_bytes()),
            DType::I32 | DType::U32 => bytes.extend((random.below(below) as u32).to_le_bytes()),
            DType::I64 | DType::U64 => bytes.extend(random.below(below).to_le_bytes()),
            _ => return None,
        }
    }
    Some(Array { dtype, shape, bytes })
}

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Normal enough, and the same on every machine: twelve uniform numbers have a variance of 1.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }
}
