//! The layers of a net from its graph, which `graph` made of such: names of tops as they were, and blobs apart from
//! bottoms.

use std::collections::HashMap;

use weighbridge_model::{Attribute, Graph, Node, TensorId, ValueId};

use super::graph::BLOB;
use super::net::Layer;

/// A layer, and what its blobs are according to the graph.
pub(super) struct Wired {
    pub(super) layer: Layer,
    /// The blobs in order; of one whose tensor is not in the model, its name.
    pub(super) blobs: Vec<Result<TensorId, String>>,
}

/// All layers in order.
pub(super) fn layers(graph: &Graph) -> Vec<Wired> {
    let given: HashMap<ValueId, TensorId> = graph.initializers.iter().copied().collect();
    let mut wiring = Wiring { graph, given, names: HashMap::new() };
    for &input in &graph.inputs {
        wiring.names.insert(input, wiring.graph.values[input.0 as usize].name.clone());
    }
    graph.nodes.iter().map(|node| wiring.layer(node)).collect()
}

struct Wiring<'a> {
    graph: &'a Graph,
    given: HashMap<ValueId, TensorId>,
    /// What the net calls the values that flow.
    names: HashMap<ValueId, String>,
}

impl Wiring<'_> {
    fn layer(&mut self, node: &Node) -> Wired {
        let mut layer = Layer { name: node.name.clone(), kind: node.op.clone(), ..Layer::default() };
        let mut blobs = Vec::new();
        for value in node.inputs.iter().flatten() {
            match (self.given.get(value), self.names.get(value)) {
                (Some(&tensor), _) => blobs.push(Ok(tensor)),
                (None, Some(name)) => layer.bottoms.push(name.clone()),
                // Nothing gives it: a blob whose tensor stayed behind.
                (None, None) => blobs.push(Err(self.graph.values[value.0 as usize].name.clone())),
            }
        }
        for &value in node.outputs.iter().flatten() {
            let known = &self.graph.values[value.0 as usize];
            let blob = known.properties.iter().find(|(key, _)| key == BLOB).map(|(_, name)| name);
            let name = blob.unwrap_or(&known.name).clone();
            self.names.insert(value, name.clone());
            layer.tops.push(name);
        }
        let plain = |(name, attribute): &(String, Attribute)| match attribute {
            Attribute::Value(value) => Some((name.clone(), value.clone())),
            _ => None,
        };
        layer.settings = node.attributes.iter().filter_map(plain).collect();
        Wired { layer, blobs }
    }
}
