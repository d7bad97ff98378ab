//! Models made by hand, and what is matched of them.

mod carried;
mod rules;
mod traps;

use std::sync::Arc;

use super::*;
use crate::Transfer;
use weighbridge_model::{
    Attribute, DType, Dim, Graph, GraphValue, Memory, Module, Node, Place, Storage, Tensor, Value, ValueId,
};

/// Elements 0, 1, 2… from `from` on.
fn storage(count: u64, from: u64) -> Arc<dyn Storage> {
    let bytes: Vec<u8> = (from..from + count).flat_map(|i| (i as f32).to_le_bytes()).collect();
    Arc::new(Memory::new(bytes))
}

fn tensor(name: &str, shape: &[u64]) -> Tensor {
    let count = shape.iter().product();
    Tensor::contiguous(name, DType::F32, shape.to_vec(), storage(count, 0), &Place::default()).unwrap()
}

fn model(format: &'static str, tensors: &[(&str, &[u64])]) -> Model {
    let mut model = Model { format, ..Model::default() };
    for (name, shape) in tensors {
        model.push(tensor(name, shape));
    }
    weighbridge_model::roles::assign(&mut model);
    model
}

fn torch(tensors: &[(&str, &[u64])]) -> Model {
    model("pytorch", tensors)
}

/// Name, operator, inputs, output, attributes.
type NodeOf<'a> = (&'a str, &'a str, &'a [&'a str], &'a str, &'a [(&'a str, Value)]);

/// Nodes over values by name; the model's tensors are initializers.
fn graph(model: &mut Model, nodes: &[NodeOf<'_>]) {
    let mut graph = Graph::default();
    let value = |graph: &mut Graph, name: &str| {
        let known = graph.values.iter().position(|v| v.name == name);
        ValueId(known.unwrap_or_else(|| {
            graph.values.push(GraphValue {
                name: name.into(),
                shape: Some(vec![Dim::Unknown]),
                ..GraphValue::default()
            });
            graph.values.len() - 1
        }) as u32)
    };
    for tensor in &model.tensors {
        let id = value(&mut graph, &tensor.name);
        graph.initializers.push((id, tensor.id));
    }
    let domain = if model.format == "caffe" { "caffe" } else { "" };
    for (name, op, inputs, output, attributes) in nodes {
        let inputs = inputs.iter().map(|i| Some(value(&mut graph, i))).collect();
        let outputs = vec![Some(value(&mut graph, output))];
        let attributes = attributes.iter().map(|(k, v)| ((*k).into(), Attribute::Value(v.clone()))).collect();
        let (name, op, domain) = ((*name).into(), (*op).into(), domain.into());
        graph.nodes.push(Node { name, domain, op, inputs, outputs, attributes, ..Node::default() });
    }
    model.graph = Some(graph);
}

/// `target <- source by rule`, and faults.
fn matched(source: &Model, target: &Model, options: &Options) -> (Vec<String>, Vec<String>) {
    let found = Match::of(source, target, options);
    let name = |m: &Model, id: TensorId| m.tensor(id).name.clone();
    let pair = |p: &Pair| {
        let steps: String = p
            .steps
            .iter()
            .map(|s| match s {
                Step::Permute(axes) => format!(" {axes:?}"),
                Step::Reshape(shape) => format!(" as {shape:?}"),
            })
            .collect();
        format!("{} <- {} by {}{steps}", name(target, p.target), name(source, p.source), p.rule.id())
    };
    let pairs = found.pairs.iter().map(pair).collect();
    (pairs, found.faults.iter().map(|f| format!("{}: {}", f.name, f.why)).collect())
}

fn pairs(source: &Model, target: &Model) -> Vec<String> {
    let (pairs, faults) = matched(source, target, &Options::default());
    assert!(faults.is_empty(), "{faults:?}");
    pairs
}

fn faults(source: &Model, target: &Model) -> Vec<String> {
    matched(source, target, &Options::default()).1
}

fn keras(tensors: &[(&str, &[u64])], layers: &[(&str, &str, &str)]) -> Model {
    let mut model = model("keras", tensors);
    for (path, class, name) in layers {
        let attributes = vec![("name".to_owned(), Value::Str((*name).into()))];
        model.modules.push(Module { path: (*path).into(), class: (*class).into(), attributes });
    }
    model
}

/// All values of a tensor.
fn values(tensor: &Tensor) -> Vec<f64> {
    let mut all = Vec::new();
    let read = tensor.visit_values(0..tensor.count(), &mut |_, values| {
        all.extend_from_slice(values);
        Ok(())
    });
    read.unwrap();
    all
}

fn carried(source: &Model, target: &Model) -> Transfer {
    let found = Match::of(source, target, &Options::default());
    found.check(false).unwrap();
    Transfer::of(source).in_place_of(source, target, &[], &found).unwrap()
}
