//! Layers: tensors that belong together, with the kind of layer they make up.
//!
//! The kind is told by the class of a pickled module, by the operator of a graph, or else guessed from
//! names and shapes; a guess is marked as one.

mod blocks;
mod caffe;
mod keras;
mod kind;
mod tensorflow;
mod tflite;

use std::collections::HashMap;

pub use blocks::{Block, collapse};
pub use caffe::{caffe_setting, caffe_type, caffe_v1_type};

use crate::{Model, Role, TensorId, roles};

/// A layer of a network.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Dotted module path, wrappers left out; the node's name where only a graph tells.
    pub path: String,
    /// Kind and sizes: `Conv2d 3->64 k7 s2`.
    pub kind: String,
    /// Whether the kind was inferred from names and shapes.
    pub guessed: bool,
    /// Its tensors, in file order.
    pub tensors: Vec<TensorId>,
}

/// Last segments that make a tensor part of the layer named by what stands before them.
fn layer_path<'a>(model: &Model, name: &'a str) -> &'a str {
    if model.format == tensorflow::DOMAIN {
        return tensorflow::split(name).0;
    }
    // bitsandbytes keeps `x.weight.absmax` and `x.weight.quant_state.…` beside `x.weight`.
    let name = name.find(".weight.").map_or(name, |at| &name[..at + ".weight".len()]);
    roles::split(name).0
}

/// The layers of a model in file order: parameters, buffers and packed codes of its `state_dict`.
pub fn layers(model: &Model) -> Vec<Layer> {
    let relevant = |id: &TensorId| {
        let t = model.tensor(*id);
        t.in_state_dict && matches!(t.role, Role::Parameter | Role::Buffer | Role::Packed)
    };
    let ids: Vec<TensorId> = model.tensors.iter().map(|t| t.id).filter(relevant).collect();
    let ddp = roles::is_data_parallel(ids.iter().map(|&id| model.tensor(id).name.as_str()));
    let by_graph = kind::graph_users(model);
    let modules: HashMap<&str, usize> =
        model.modules.iter().enumerate().map(|(i, m)| (m.path.as_str(), i)).collect();

    let classes: HashMap<&str, &str> = match model.format {
        "keras" => model.modules.iter().map(|m| (m.path.as_str(), m.class.as_str())).collect(),
        _ => HashMap::new(),
    };

    let mut groups: Vec<(String, String, Vec<TensorId>)> = Vec::new();
    let mut index: HashMap<String, usize> = HashMap::new();
    for id in ids {
        let name = &model.tensor(id).name;
        let node_path = by_graph.get(&id).map(|user| user.path.as_str());
        let told = by_graph.get(&id).filter(|user| user.tells_path());
        let raw = match (layer_path(model, name), node_path) {
            _ if told.is_some() => node_path.unwrap_or_default(),
            _ if model.format == "keras" => keras::layer_path(name, &classes),
            ("", Some(path)) => path,
            // Tensors of a bare dict that no module would name so: each by itself.
            ("", None) if !modules.contains_key("") && !kind::is_usual_leaf(name) => name,
            (path, _) => path,
        };
        let at = *index.entry(raw.to_owned()).or_insert_with(|| {
            groups.push((raw.to_owned(), roles::unwrapped(raw, ddp).into_owned(), Vec::new()));
            groups.len() - 1
        });
        groups[at].2.push(id);
    }
    let mut before = kind::Before::first(model);
    groups
        .into_iter()
        .map(|(raw, path, tensors)| {
            let module = modules.get(raw.as_str()).map(|&i| &model.modules[i]);
            let user = tensors.iter().find_map(|id| by_graph.get(id));
            let (kind, guessed) = kind::of(model, module, user, &path, &tensors, &mut before);
            Layer { path, kind, guessed, tensors }
        })
        .collect()
}
