//! A graph whose tensors have moved to other places of a model.

use std::collections::HashMap;

use weighbridge_model::{Attribute, Graph, SparseTensor, TensorId};

/// The graph with its tensors' new ids. What refers to a tensor that stays behind is left out: a value that nothing
/// gives, an attribute that a node no longer has. So is what stood beside the graph in its file.
pub(crate) fn moved(graph: &Graph, ids: &HashMap<TensorId, TensorId>) -> Graph {
    let mut graph = Graph { program: None, ..graph.clone() };
    follow(&mut graph, ids);
    graph
}

fn follow(graph: &mut Graph, ids: &HashMap<TensorId, TensorId>) {
    graph.initializers.retain_mut(|(_, tensor)| renumber(tensor, ids));
    graph.sparse.retain_mut(|(_, tensor)| renumber_sparse(tensor, ids));
    for node in &mut graph.nodes {
        node.attributes.retain_mut(|(_, attribute)| match attribute {
            Attribute::Tensor(tensor) => renumber(tensor, ids),
            Attribute::Tensors(tensors) => tensors.iter_mut().all(|tensor| renumber(tensor, ids)),
            Attribute::Sparse(tensor) => renumber_sparse(tensor, ids),
            Attribute::Sparses(tensors) => tensors.iter_mut().all(|tensor| renumber_sparse(tensor, ids)),
            Attribute::Graph(inner) => {
                follow(inner, ids);
                true
            }
            Attribute::Graphs(inner) => {
                inner.iter_mut().for_each(|inner| follow(inner, ids));
                true
            }
            _ => true,
        });
    }
}

fn renumber(tensor: &mut TensorId, ids: &HashMap<TensorId, TensorId>) -> bool {
    let id = ids.get(tensor);
    *tensor = id.copied().unwrap_or(*tensor);
    id.is_some()
}

fn renumber_sparse(tensor: &mut SparseTensor, ids: &HashMap<TensorId, TensorId>) -> bool {
    tensor.dense = tensor.dense.and_then(|id| ids.get(&id).copied());
    renumber(&mut tensor.values, ids) && renumber(&mut tensor.indices, ids)
}
