//! What a model takes and gives, whatever domain its graph is in.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{DType, Dim, Error, Graph, Model, Node, Result, ValueId};

use crate::caffe;

/// Most values that are looked through for what an input picks from.
const FOLLOWED: usize = 4096;

/// A model from outside.
#[derive(Debug, Clone, Default)]
pub struct Interface {
    /// What has to be given, in order.
    pub inputs: Vec<Input>,
    /// Names of what it gives, in order.
    pub outputs: Vec<String>,
    /// What makes values, in order.
    pub steps: Vec<Step>,
}

/// Something that has to be given.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// Element type; `None` for what is no tensor of a known one.
    pub dtype: Option<DType>,
    /// Shape, as far as it is declared.
    pub shape: Option<Vec<Dim>>,
    /// The number of rows that its whole numbers pick from.
    pub below: Option<u64>,
}

/// A node, and the values that it makes.
#[derive(Debug, Clone)]
pub struct Step {
    /// The node's name.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Names of the values.
    pub values: Vec<String>,
}

impl Interface {
    /// The interface of a model with an ONNX graph, or of a Caffe net at phase TEST.
    ///
    /// # Errors
    /// A model without a graph that is executed; a net whose layers do not fit together.
    pub fn of(model: &Model) -> Result<Self> {
        match &model.graph {
            Some(graph) if graph.program.is_some() => Ok(onnx(model, graph)),
            Some(graph) if caffe::is_caffe(graph) => caffe::interface(model),
            _ => Err(Error::Usage {
                what: format!("{}: only ONNX graphs and Caffe nets are executed", model.format),
            }),
        }
    }

    /// Names of the values that its nodes make.
    pub(crate) fn made(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().flat_map(|step| step.values.iter().map(String::as_str))
    }
}

fn onnx(model: &Model, graph: &Graph) -> Interface {
    let name = |id: ValueId| graph.value(id).name.clone();
    let readers = readers(graph);
    let given: HashSet<ValueId> = graph.initializers.iter().map(|(value, _)| *value).collect();
    let input = |&id: &ValueId| {
        let value = graph.value(id);
        let whole = value.dtype.is_some_and(|dtype| !dtype.is_float());
        let below = if whole { range(model, graph, &readers, id) } else { None };
        Input { name: name(id), dtype: value.dtype, shape: value.shape.clone(), below }
    };
    let step = |node: &Node| Step {
        node: node.name.clone(),
        op: node.op.clone(),
        values: node.outputs.iter().flatten().map(|&id| name(id)).collect(),
    };
    Interface {
        inputs: graph.inputs.iter().filter(|id| !given.contains(id)).map(input).collect(),
        outputs: graph.outputs.iter().map(|&id| name(id)).collect(),
        steps: graph.nodes.iter().map(step).collect(),
    }
}

/// The nodes that read a value.
type Readers<'a> = HashMap<ValueId, Vec<&'a Node>>;

fn readers(graph: &Graph) -> Readers<'_> {
    let mut readers = Readers::new();
    for node in &graph.nodes {
        for &value in node.inputs.iter().flatten() {
            readers.entry(value).or_default().push(node);
        }
    }
    readers
}

/// Whole numbers that `value` may have: below the size of what it picks from, the smallest where there are several.
fn range(model: &Model, graph: &Graph, readers: &Readers<'_>, value: ValueId) -> Option<u64> {
    let (mut open, mut seen, mut below) = (vec![value], HashSet::from([value]), None::<u64>);
    while let Some(value) = open.pop().filter(|_| seen.len() < FOLLOWED) {
        for node in readers.get(&value).into_iter().flatten() {
            if passes(node) {
                open.extend(node.outputs.iter().flatten().filter(|&&id| seen.insert(id)));
            }
            if matches!(node.op.as_str(), "Gather" | "GatherElements")
                && node.inputs.get(1) == Some(&Some(value))
            {
                let data = node.inputs[0];
                let axis = node.attribute("axis").and_then(|axis| axis.as_int()).unwrap_or(0);
                let given = data.and_then(|id| graph.initializers.iter().find(|(value, _)| *value == id));
                let shape = given.map(|&(_, id)| model.tensor(id).shape.clone());
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
