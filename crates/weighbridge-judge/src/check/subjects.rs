//! What there is to judge: tensors as they will run, with their output channels.

use std::collections::{HashMap, HashSet};

use weighbridge_graph::fold::{Does, Fold, Found, linear};
use weighbridge_model::layers::layers;
use weighbridge_model::storage::Channels;
use weighbridge_model::{Error, Model, Node, Tensor, TensorId, ValueId};

/// Operators that take limits and masks.
const LIMITED: &[&str] = &["Where", "Clip", "Min", "Max", "Pad", "Add", "Sub"];

/// Operators whose constants are what is put somewhere, or numbers of a computation, and no layer's weights: that all
/// of one are equal says nothing.
const FILLED: &[&str] = &[
    "ScatterND",
    "ScatterElements",
    "Scatter",
    "Where",
    "Pad",
    "Concat",
    "Expand",
    "Tile",
    "Clip",
    "Min",
    "Max",
    "Resize",
    "Upsample",
    "Equal",
    "Less",
    "Greater",
    "Slice",
    "Pow",
    "Mod",
    "Range",
    "OneHot",
];

/// A tensor as it will run.
pub(super) struct Subject {
    /// The tensor, folded where something folds into it; its id is the model's.
    pub tensor: Tensor,
    /// What was folded in.
    pub folded: Option<String>,
    /// The node that takes it.
    pub node: Option<String>,
    /// Which output an element belongs to, of weights.
    pub outputs: Option<Channels>,
    /// The folded bias, an element for each output.
    pub bias: Option<Vec<f64>>,
    /// The weight beside which it is a bias, where the graph or folding tells.
    pub weight: Option<TensorId>,
    /// Whether its node takes it as a limit or a mask.
    pub limit: bool,
    /// Whether its node takes it as what is put somewhere, and not as a weight.
    pub fill: bool,
}

/// The tensors of `model` as they will run; what folds into others is left out.
pub(super) fn subjects(model: &Model, found: &Found, failures: &mut Vec<Error>) -> Vec<Subject> {
    let mut gone: HashSet<TensorId> = HashSet::new();
    let mut folded: HashMap<TensorId, Subject> = HashMap::new();
    for fold in found.folds.iter().filter(|f| !f.after.is_empty() || !f.before.is_empty()) {
        match subject(model, fold) {
            Ok((weight, bias)) => {
                gone.extend(fold.tensors());
                folded.insert(fold.weight, weight);
                // Without a bias or a shift, what folding makes of the bias is zeros.
                if let Some(id) = fold.bias.or_else(|| shift(fold)) {
                    folded.insert(id, bias);
                }
            }
            Err(error) => failures.push(error),
        }
    }
    let users = Users::of(model);
    let mut subjects = Vec::with_capacity(model.tensors.len());
    for tensor in model.tensors.iter().filter(|t| t.in_state_dict || model.graph.is_some()) {
        if let Some(subject) = folded.remove(&tensor.id) {
            subjects.push(subject);
        } else if !gone.contains(&tensor.id) {
            let node = users.node(tensor).map(|node| node.name.clone()).filter(|name| !name.is_empty());
            let outputs = users.outputs(model, tensor);
            let limit = users.node(tensor).is_some_and(|node| LIMITED.contains(&node.op.as_str()));
            let fill = users.node(tensor).is_some_and(|node| FILLED.contains(&node.op.as_str()));
            subjects.push(Subject {
                tensor: tensor.clone(),
                folded: None,
                node,
                outputs,
                bias: None,
                weight: users.weight(tensor),
                limit,
                fill,
            });
        }
    }
    subjects
}

/// The folded weight and bias.
fn subject(model: &Model, fold: &Fold) -> Result<(Subject, Subject), Error> {
    let names: Vec<String> = fold.before.iter().chain(&fold.after).map(|s| format!("'{}'", s.name)).collect();
    let guess = if fold.guessed { ", a guess by names" } else { "" };
    let told = Some(format!("with {} folded in{guess}", names.join(" and ")));
    let node = fold.node.map(|_| fold.name.clone()).filter(|name| !name.is_empty());
    let old = model.tensor(fold.weight);
    let weight = fold.folded_weight(model)?.with_role(old.role, old.role_guessed);
    let bias = fold.folded_bias(model)?;
    let id = fold.bias.or_else(|| shift(fold)).unwrap_or(fold.weight);
    let weight = Subject {
        tensor: Tensor { id: fold.weight, in_state_dict: true, ..weight },
        folded: told.clone(),
        node: node.clone(),
        outputs: Some(fold.outputs.clone()),
        bias: Some(fold.bias_values(model)?),
        weight: None,
        limit: false,
        fill: false,
    };
    let tensor = Tensor { id, in_state_dict: true, name: model.tensor(id).name.clone(), ..bias };
    Ok((
        weight,
        Subject {
            tensor,
            folded: told,
            node,
            outputs: None,
            bias: None,
            weight: Some(fold.weight),
            limit: false,
            fill: false,
        },
    ))
}

/// The tensor in whose place a bias comes that was not there before.
fn shift(fold: &Fold) -> Option<TensorId> {
    fold.after.iter().rev().find_map(|step| match step.does {
        Does::Norm { beta, mean, .. } => Some(beta.unwrap_or(mean)),
        Does::Scale { shift, .. } => shift,
        Does::Subtract(id) | Does::SubtractFrom(id) => Some(id),
        Does::Divide(_) => None,
    })
}

/// Who takes a tensor: nodes, or layers where there is no graph.
struct Users<'a> {
    nodes: HashMap<TensorId, (&'a Node, usize)>,
    given: HashMap<ValueId, TensorId>,
    kinds: HashMap<TensorId, String>,
}

impl<'a> Users<'a> {
    fn of(model: &'a Model) -> Self {
        let mut users = Users { nodes: HashMap::new(), given: HashMap::new(), kinds: HashMap::new() };
        if let Some(graph) = &model.graph {
            let given: HashMap<_, TensorId> = graph.constants().into_iter().collect();
            users.given.clone_from(&given);
            for node in &graph.nodes {
                for (at, value) in node.inputs.iter().enumerate() {
                    if let Some(&id) = value.as_ref().and_then(|value| given.get(value)) {
                        users.nodes.entry(id).or_insert((node, at));
                    }
                }
            }
        }
        for layer in layers(model) {
            users.kinds.extend(layer.tensors.iter().map(|&id| (id, layer.kind.clone())));
        }
        users
    }

    fn node(&self, tensor: &Tensor) -> Option<&'a Node> {
        self.nodes.get(&tensor.id).map(|(node, _)| *node)
    }

    /// The weight of the node that takes this as its bias.
    fn weight(&self, tensor: &Tensor) -> Option<TensorId> {
        let (node, at) = self.nodes.get(&tensor.id)?;
        if *at != 2 || !matches!(node.op.as_str(), "Conv" | "ConvTranspose" | "Gemm") {
            return None;
        }
        node.inputs.get(1).copied().flatten().and_then(|value| self.given.get(&value).copied())
    }

    /// The output channels of a weight: by its node, otherwise by its layer's kind and its own name.
    fn outputs(&self, model: &Model, tensor: &Tensor) -> Option<Channels> {
        let shape = &tensor.shape;
        if shape.len() < 2 {
            return None;
        }
        if let Some((node, at)) = self.nodes.get(&tensor.id) {
            let int = |name: &str, other| node.attribute(name).and_then(|v| v.as_int()).unwrap_or(other);
            return match (node.op.as_str(), at) {
                ("Conv", 1) => linear::conv_outputs(shape),
                ("ConvTranspose", 1) => {
                    linear::transposed_outputs(shape, u64::try_from(int("group", 1)).ok()?)
                }
                ("Gemm", 1) if int("transB", 0) != 0 => linear::conv_outputs(shape),
                ("Gemm" | "MatMul", 1) => linear::column_outputs(shape),
                _ if node.domain == "caffe" => linear::conv_outputs(shape),
                _ => None,
            };
        }
        if model.graph.as_ref().is_some_and(|graph| graph.program.is_some()) {
            return None;
        }
        let kind = self.kinds.get(&tensor.id).map_or("", String::as_str);
        if kind.starts_with("Embedding") {
            return None;
        }
        match tensor.name.rsplit(['.', '/']).next() {
            Some("weight") if kind.starts_with("ConvTranspose") => None,
            Some("weight") => linear::conv_outputs(shape),
            Some("kernel" | "kernel:0") => linear::column_outputs(shape),
            _ => None,
        }
    }
}
