//! What subgraphs take from the graphs around them, which they do by name.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Attribute, Graph, Node, ValueId};

/// The subgraphs that a node holds.
pub fn subgraphs(node: &Node) -> impl Iterator<Item = &Graph> {
    node.attributes.iter().flat_map(|(_, attribute)| match attribute {
        Attribute::Graph(graph) => std::slice::from_ref(&**graph),
        Attribute::Graphs(graphs) => graphs.as_slice(),
        _ => &[],
    })
}

/// As [`subgraphs`].
pub fn subgraphs_mut(node: &mut Node) -> impl Iterator<Item = &mut Graph> {
    node.attributes.iter_mut().flat_map(|(_, attribute)| match attribute {
        Attribute::Graph(graph) => std::slice::from_mut(&mut **graph),
        Attribute::Graphs(graphs) => graphs.as_mut_slice(),
        _ => &mut [],
    })
}

/// Values that a graph gives to itself.
pub(super) fn given(graph: &Graph) -> Vec<bool> {
    let mut given = vec![false; graph.values.len()];
    let made = graph.nodes.iter().flat_map(|node| node.outputs.iter().flatten());
    let initializers = graph.initializers.iter().map(|(value, _)| value);
    let sparse = graph.sparse.iter().map(|(value, _)| value);
    for value in graph.inputs.iter().chain(made).chain(initializers).chain(sparse) {
        given[value.0 as usize] = true;
    }
    given
}

/// Names that a graph reads and does not give, those of the graphs within it included.
pub fn free_names(graph: &Graph) -> HashSet<String> {
    let given = given(graph);
    let own: HashSet<&str> =
        graph.values.iter().zip(&given).filter(|(_, given)| **given).map(|(v, _)| v.name.as_str()).collect();
    let mut free = HashSet::new();
    let read = graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten()).chain(&graph.outputs);
    for value in read.filter(|value| !given[value.0 as usize]) {
        free.insert(graph.value(*value).name.clone());
    }
    for inner in graph.nodes.iter().flat_map(subgraphs) {
        free.extend(free_names(inner).into_iter().filter(|name| !own.contains(name.as_str())));
    }
    free
}

/// The values of a graph by name, if any of its nodes holds a subgraph.
pub(super) fn by_name(graph: &Graph, nodes: &[Node]) -> HashMap<String, ValueId> {
    if nodes.iter().all(|node| subgraphs(node).next().is_none()) {
        return HashMap::new();
    }
    let named = graph.values.iter().zip(0..);
    named.map(|(value, id)| (value.name.clone(), ValueId(id))).collect()
}

/// Values that the subgraphs of a node read, each once, in order.
pub(super) fn of(node: &Node, named: &HashMap<String, ValueId>) -> Vec<ValueId> {
    if named.is_empty() {
        return Vec::new();
    }
    let free: HashSet<String> = subgraphs(node).flat_map(free_names).collect();
    let mut values: Vec<ValueId> = free.iter().filter_map(|name| named.get(name).copied()).collect();
    values.sort_unstable();
    values
}

/// Lets the subgraphs of a node read `new` where they read `old`; false, and nothing done, where one has a value of its
/// own of that name.
pub(super) fn rename(node: &mut Node, old: &str, new: &str) -> bool {
    if subgraphs(node).any(|graph| takes(graph, old) && gives(graph, new)) {
        return false;
    }
    subgraphs_mut(node).for_each(|graph| rename_free(graph, old, new));
    true
}

fn takes(graph: &Graph, name: &str) -> bool {
    free_names(graph).contains(name)
}

fn gives(graph: &Graph, name: &str) -> bool {
    let given = given(graph);
    graph.values.iter().zip(given).any(|(value, given)| given && value.name == name)
        || graph.nodes.iter().flat_map(subgraphs).any(|graph| gives(graph, name))
}

fn rename_free(graph: &mut Graph, old: &str, new: &str) {
    let given = given(graph);
    if graph.values.iter().zip(&given).any(|(value, given)| *given && value.name == old) {
        return;
    }
    for (value, _) in graph.values.iter_mut().zip(given).filter(|(value, given)| !given && value.name == old)
    {
        value.name = new.to_owned();
    }
    graph.nodes.iter_mut().flat_map(subgraphs_mut).for_each(|graph| rename_free(graph, old, new));
}
