//! A graph of ONNX's operators as a PyTorch module: source that depends on torch alone, and the state dict that it
//! loads.
//!
//! Adding an operator is a rule and its row in a family of `rules`; what takes more than a line of Python is a function
//! of its own in `helpers`, which the source gets where a rule asks for it.

mod helpers;
mod names;
mod order;
mod page;
mod rules;
mod scope;
mod text;
mod tree;
mod views;

use std::collections::HashMap;

use weighbridge_model::{Error, Graph, Model, Place, Result, Tensor, TensorId};

use scope::{Fault, Scope, Work};

/// What is to be written.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the module is called: any text, of which letters and digits are taken.
    pub class: String,
    /// Name of the file with the state dict, beside the source.
    pub weights: String,
    /// Whether that file is safetensors rather than PyTorch's own.
    pub safetensors: bool,
    /// Sentences for the module's description: what is done to inputs before they come here.
    pub notes: Vec<String>,
}

/// A tensor of the state dict.
#[derive(Debug, Clone)]
pub struct Written {
    /// Its key.
    pub key: String,
    /// The tensor of the model that it is, where there is one.
    pub from: Option<TensorId>,
    /// What was done to its dimensions.
    pub change: Option<&'static str>,
}

/// A module and its state dict.
#[derive(Debug)]
pub struct Emitted {
    /// Python.
    pub source: String,
    /// The state dict: tensors under their keys.
    pub weights: Model,
    /// Where each of them is from, in the same order.
    pub written: Vec<Written>,
}

/// The operators that have a rule, in the order of the table.
pub fn operators() -> impl Iterator<Item = &'static str> {
    rules::FAMILIES.iter().flat_map(|family| family.iter().map(|(op, _)| *op))
}

/// The module of a model whose graph is in ONNX's domain.
///
/// # Errors
/// [`Error::Refused`] with every node that cannot be expressed; a graph whose nodes make a circle; a constant that
/// cannot be read.
pub fn emit(model: &Model, options: &Options) -> Result<Emitted> {
    let place = || Place::source("the graph");
    let graph = model.graph.as_ref().ok_or_else(|| Error::Unsupported {
        place: place(),
        what: "a module is made of a graph, and this model has tensors alone".into(),
        help: Some("give the ONNX model, or Caffe's prototxt along with its caffemodel".into()),
    })?;
    let mut scope = Scope::new(model, graph);
    let inputs = inputs(&mut scope, graph);
    let table: HashMap<&str, rules::Rule> = rules::FAMILIES.iter().flat_map(|f| f.iter().copied()).collect();
    let mut refused: Vec<(String, String)> = Vec::new();
    for at in order::order(graph)? {
        let node = &graph.nodes[at];
        if scope.absorbed.contains(&at) {
            continue;
        }
        let rule = table.get(node.op.as_str()).filter(|_| matches!(&*node.domain, "" | "ai.onnx"));
        let done = match rule {
            Some(rule) => rule(&mut Work { scope: &mut scope, node }),
            None => Err(Fault::Cannot("there is no rule for this operator".into())),
        };
        match done {
            Ok(()) => {}
            Err(Fault::Failed(error)) => return Err(error.in_node(&node.name)),
            Err(Fault::Cannot(why)) => {
                refused.push((shown(graph, at), format!("{}: {why}", operator(graph, at))));
                // What reads it is judged all the same.
                for output in node.outputs.iter().flatten() {
                    scope.written[output.0 as usize].get_or_insert_with(|| "None".into());
                }
            }
        }
    }
    let mut outputs = Vec::with_capacity(graph.outputs.len());
    for &output in &graph.outputs {
        match scope.expression(output) {
            Ok(text) => outputs.push(text),
            Err(Fault::Failed(error)) => return Err(error),
            Err(Fault::Cannot(why)) => refused.push((graph.value(output).name.clone(), why)),
        }
    }
    if !refused.is_empty() {
        return Err(Error::Refused {
            what: "this graph cannot be written as a PyTorch module".into(),
            reasons: refused,
            help: None,
        });
    }
    scope.tree.finish();
    let source = page::page(&scope, &inputs, &outputs, options);
    let (weights, written) = weights(&scope);
    Ok(Emitted { source, weights, written })
}

/// Variables of the inputs that are not initializers.
fn inputs<'a>(scope: &mut Scope<'a>, graph: &'a Graph) -> Vec<page::Input<'a>> {
    let mut inputs = Vec::new();
    for &id in &graph.inputs {
        if !scope.constants.contains_key(&id) {
            inputs.push(page::Input { variable: scope.variable(id), value: graph.value(id) });
        }
    }
    inputs
}

/// The state dict.
fn weights(scope: &Scope<'_>) -> (Model, Vec<Written>) {
    let mut weights = Model { format: "pytorch", ..Model::default() };
    let mut written = Vec::with_capacity(scope.entries.len());
    for entry in &scope.entries {
        let above = scope.tree.key(entry.at);
        let key = if entry.suffix.is_empty() { above } else { format!("{above}.{}", entry.suffix) };
        weights.push(Tensor { name: key.clone(), in_state_dict: true, ..entry.tensor.clone() });
        written.push(Written { key, from: entry.from, change: entry.change });
    }
    (weights, written)
}

/// A node as people would name it: by its name, or by what it gives.
fn shown(graph: &Graph, at: usize) -> String {
    let node = &graph.nodes[at];
    if !node.name.is_empty() {
        return node.name.clone();
    }
    match node.outputs.iter().flatten().next() {
        Some(&output) => graph.value(output).name.clone(),
        None => format!("node {at}"),
    }
}

fn operator(graph: &Graph, at: usize) -> String {
    let node = &graph.nodes[at];
    if node.domain.is_empty() { node.op.clone() } else { format!("{}.{}", node.domain, node.op) }
}
