//! A graph whose tensors have moved to other places of a model.

use std::collections::HashMap;

use weighbridge_model::{Attribute, Graph, TensorId};

/// The graph with its tensors' new ids. A value whose tensor stays behind is one that nothing gives.
pub(crate) fn moved(graph: &Graph, ids: &HashMap<TensorId, TensorId>) -> Graph {
    let mut graph = graph.clone();
    follow(&mut graph, ids);
    graph
}

fn follow(graph: &mut Graph, ids: &HashMap<TensorId, TensorId>) {
    graph.initializers.retain_mut(|(_, tensor)| match ids.get(tensor) {
        Some(&id) => {
            *tensor = id;
            true
        }
        None => false,
    });
    for (_, attribute) in graph.nodes.iter_mut().flat_map(|node| &mut node.attributes) {
        match attribute {
            Attribute::Tensor(tensor) => match ids.get(tensor) {
                Some(&id) => *tensor = id,
                None => *attribute = Attribute::Opaque("a tensor that was left behind".into()),
            },
            Attribute::Graph(inner) => follow(inner, ids),
            _ => {}
        }
    }
}
