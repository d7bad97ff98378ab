//! The order in which nodes can be gone through.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use weighbridge_model::{Attribute, Graph, Node, ValueId};

use super::Fault;
use super::engine::label;

/// What gives each value of a graph.
pub(super) struct Makers {
    /// The node that makes it.
    node: Vec<Option<usize>>,
    /// Whether it is an input or an initializer.
    given: Vec<bool>,
}

impl Makers {
    pub(super) fn of(graph: &Graph) -> Self {
        let mut makers =
            Makers { node: vec![None; graph.values.len()], given: vec![false; graph.values.len()] };
        let initializers = graph.initializers.iter().map(|(value, _)| value);
        let sparse = graph.sparse.iter().map(|(value, _)| value);
        for value in graph.inputs.iter().chain(initializers).chain(sparse) {
            makers.given[value.0 as usize] = true;
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            for output in node.outputs.iter().flatten() {
                makers.node[output.0 as usize].get_or_insert(index);
            }
        }
        makers
    }

    /// Whether the graph itself gives the value.
    pub(super) fn gives(&self, value: ValueId) -> bool {
        self.given[value.0 as usize] || self.node[value.0 as usize].is_some()
    }
}

/// Indices of nodes, each after those that it reads from; those of a cycle last, as they stand. With it, what is wrong:
/// cycles, and values that nothing gives (which a graph that has others around it may take from those: `is_inner`).
pub(super) fn order<'n, 'g: 'n>(
    graph: &'g Graph,
    makers: &Makers,
    names: impl Fn() -> &'n HashMap<&'g str, ValueId>,
    is_inner: bool,
) -> (Vec<usize>, Vec<Fault>) {
    let mut faults = Vec::new();
    // (maker, reader)
    let mut edges = Vec::new();
    for (reader, node) in graph.nodes.iter().enumerate() {
        for &value in node.inputs.iter().flatten() {
            match makers.node[value.0 as usize] {
                Some(maker) => edges.push((maker, reader)),
                None if makers.gives(value) || is_inner => {}
                None => faults.push(Fault {
                    node: label(graph, node),
                    what: format!("it reads '{}', which nothing gives", graph.value(value).name),
                    malformed: true,
                }),
            }
        }
        for inner in subgraphs(node) {
            for name in free(inner) {
                let maker = names().get(name).and_then(|value| makers.node[value.0 as usize]);
                edges.extend(maker.map(|maker| (maker, reader)));
            }
        }
    }
    let count = graph.nodes.len();
    if edges.iter().all(|(maker, reader)| maker < reader) {
        return ((0..count).collect(), faults);
    }
    edges.sort_unstable();
    let mut open = vec![0u32; count];
    edges.iter().for_each(|&(_, reader)| open[reader] += 1);
    let mut ready: BinaryHeap<Reverse<usize>> = (0..count).filter(|&n| open[n] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        let first = edges.partition_point(|&(maker, _)| maker < node);
        for &(_, reader) in edges[first..].iter().take_while(|&&(maker, _)| maker == node) {
            open[reader] -= 1;
            if open[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if let Some(stuck) = (0..count).find(|&n| open[n] > 0) {
        let left = count - order.len();
        let what = format!("it is one of {left} nodes that wait for each other in a cycle");
        faults.push(Fault { node: label(graph, &graph.nodes[stuck]), what, malformed: true });
        order.extend((0..count).filter(|&n| open[n] > 0));
    }
    (order, faults)
}

/// The graphs in a node's attributes.
pub(super) fn subgraphs(node: &Node) -> impl Iterator<Item = &Graph> {
    node.attributes.iter().flat_map(|(_, attribute)| match attribute {
        Attribute::Graph(graph) => std::slice::from_ref(&**graph),
        Attribute::Graphs(graphs) => graphs.as_slice(),
        _ => &[],
    })
}

/// Names of values that a graph does not give itself.
fn free(graph: &Graph) -> impl Iterator<Item = &str> {
    let makers = Makers::of(graph);
    let values = graph.values.iter().zip(0..);
    values.filter(move |(_, id)| !makers.gives(ValueId(*id))).map(|(value, _)| value.name.as_str())
}
