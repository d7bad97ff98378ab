//! Tensors that no graph refers to any more are dropped, and the others numbered anew.

use weighbridge_model::{Attribute, Function, Graph, Model, SparseTensor, Tensor, TensorId};

use super::subgraphs_mut;

/// Keeps the tensors that some graph of the model refers to, in their order.
pub fn compact(model: &mut Model) {
    let Some(mut graph) = model.graph.take() else { return };
    let mut used = vec![false; model.tensors.len()];
    each_tensor(&mut graph, &mut |id| used[id.0 as usize] = true);
    // A Constant node's plain numbers are tensors that only names tell of.
    let mut names = std::collections::HashSet::new();
    plain_constants(&graph, &mut names);
    for tensor in &model.tensors {
        used[tensor.id.0 as usize] |= tensor.name.contains('@') && names.contains(tensor.name.as_str());
    }
    let mut place: Vec<Option<TensorId>> = Vec::with_capacity(used.len());
    let mut kept: Vec<Tensor> = Vec::new();
    for (tensor, used) in std::mem::take(&mut model.tensors).into_iter().zip(used) {
        let id = TensorId(kept.len() as u32);
        place.push(used.then_some(id));
        if used {
            kept.push(Tensor { id, ..tensor });
        }
    }
    model.tensors = kept;
    each_tensor(&mut graph, &mut |id| *id = place[id.0 as usize].expect("it is used"));
    if let Some(program) = &mut graph.program {
        program.tensors.retain_mut(|(id, _)| match place[id.0 as usize] {
            Some(now) => {
                *id = now;
                true
            }
            None => false,
        });
    }
    model.graph = Some(graph);
}

fn plain_constants(graph: &Graph, names: &mut std::collections::HashSet<String>) {
    for node in &graph.nodes {
        if let ("Constant", Some(Some(output))) = (node.op.as_str(), node.outputs.first()) {
            let output = &graph.value(*output).name;
            names.extend(node.attributes.iter().map(|(name, _)| format!("{output}@{name}")));
        }
        super::subgraphs(node).for_each(|inner| plain_constants(inner, names));
    }
    if let Some(program) = &graph.program {
        program.functions.iter().for_each(|function| plain_constants(&function.body, names));
        let training = program.training.iter().flat_map(|t| t.initialization.iter().chain(&t.algorithm));
        training.for_each(|graph| plain_constants(graph, names));
    }
}

/// Every place where a graph, or one that belongs to it, refers to a tensor.
fn each_tensor(graph: &mut Graph, visit: &mut dyn FnMut(&mut TensorId)) {
    graph.initializers.iter_mut().for_each(|(_, id)| visit(id));
    graph.sparse.iter_mut().for_each(|(_, sparse)| of_sparse(sparse, visit));
    for node in &mut graph.nodes {
        node.attributes.iter_mut().for_each(|(_, attribute)| of_attribute(attribute, visit));
        subgraphs_mut(node).for_each(|inner| each_tensor(inner, visit));
    }
    if let Some(program) = &mut graph.program {
        for Function { defaults, body, .. } in &mut program.functions {
            for (_, attribute) in defaults {
                of_attribute(attribute, visit);
                if let Attribute::Graph(inner) = attribute {
                    each_tensor(inner, visit);
                }
            }
            each_tensor(body, visit);
        }
        for training in &mut program.training {
            let graphs = training.initialization.iter_mut().chain(&mut training.algorithm);
            graphs.for_each(|graph| each_tensor(graph, visit));
        }
    }
}

fn of_sparse(sparse: &mut SparseTensor, visit: &mut dyn FnMut(&mut TensorId)) {
    sparse.dense.iter_mut().for_each(&mut *visit);
    visit(&mut sparse.values);
    visit(&mut sparse.indices);
}

fn of_attribute(attribute: &mut Attribute, visit: &mut dyn FnMut(&mut TensorId)) {
    match attribute {
        Attribute::Tensor(id) => visit(id),
        Attribute::Tensors(ids) => ids.iter_mut().for_each(visit),
        Attribute::Sparse(sparse) => of_sparse(sparse, visit),
        Attribute::Sparses(all) => all.iter_mut().for_each(|sparse| of_sparse(sparse, visit)),
        _ => {}
    }
}
