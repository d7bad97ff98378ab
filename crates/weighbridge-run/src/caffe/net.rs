//! The net that Caffe makes of a text for testing: layers that are there, wired by the names of their blobs.
//!
//! A layer may write over a blob that it reads; each time is a value of its own here. The last value of a blob is called
//! like it, those before `BLOB@LAYER` after the layers that make them. What is given from outside keeps its name, and
//! whatever is written over it has the layer's.

use std::collections::{HashMap, HashSet};

use weighbridge_model::layers::caffe_type;
use weighbridge_model::{Dim, Error, Graph, Model, Node, Result, TensorId, ValueId};

use super::data;
use super::phase::State;
use super::table::{self, Rule};

/// A layer that is there.
pub(super) struct Layer<'a> {
    pub(super) node: &'a Node,
    /// Its type in today's spelling.
    pub(super) kind: &'a str,
    /// The values that it reads.
    pub(super) bottoms: Vec<usize>,
    /// The values that it makes.
    pub(super) tops: Vec<usize>,
    /// Its weights.
    pub(super) blobs: Vec<TensorId>,
    /// What computes it.
    pub(super) rule: Rule,
}

/// A value that is given from outside.
pub(super) struct Input {
    /// The value.
    pub(super) value: usize,
    /// Its shape, as far as the text tells.
    pub(super) shape: Option<Vec<Dim>>,
}

/// A net at phase TEST.
pub(super) struct Net<'a> {
    pub(super) layers: Vec<Layer<'a>>,
    /// Names of all values.
    pub(super) names: Vec<String>,
    /// What is fed, of that which any layer reads.
    pub(super) inputs: Vec<Input>,
    /// What no layer reads.
    pub(super) outputs: Vec<usize>,
    /// Layers of types that are not known.
    pub(super) unknown: Vec<(String, String)>,
}

impl<'a> Net<'a> {
    /// The net of a model's graph.
    ///
    /// # Errors
    /// Layers that read what nothing before them gives: all of them.
    pub(super) fn of(model: &'a Model) -> Result<Net<'a>> {
        let graph = super::graph_of(model)?;
        let state = State::of(model);
        let nodes: Vec<&Node> = graph.nodes.iter().filter(|node| state.has(node)).collect();
        let mut wiring = Wiring::new(graph, &nodes);
        for node in nodes {
            wiring.layer(node);
        }
        wiring.finish()
    }
}

/// A value: the blob that it is a state of, and the layer that makes it.
struct Version<'a> {
    blob: &'a str,
    layer: Option<&'a str>,
    read: bool,
}

struct Wiring<'a> {
    graph: &'a Graph,
    given: HashMap<ValueId, TensorId>,
    /// Blobs that layers give, here or later.
    made: HashSet<&'a str>,
    versions: Vec<Version<'a>>,
    latest: HashMap<&'a str, usize>,
    layers: Vec<Layer<'a>>,
    inputs: Vec<Input>,
    missing: Vec<(String, String)>,
    unknown: Vec<(String, String)>,
}

impl<'a> Wiring<'a> {
    fn new(graph: &'a Graph, nodes: &[&'a Node]) -> Self {
        let tops = |node: &&'a Node| node.outputs.iter().flatten().map(|&id| blob(graph, id));
        let mut wiring = Wiring {
            graph,
            given: graph.initializers.iter().copied().collect(),
            made: nodes.iter().flat_map(tops).collect(),
            versions: Vec::new(),
            latest: HashMap::new(),
            layers: Vec::with_capacity(nodes.len()),
            inputs: Vec::new(),
            missing: Vec::new(),
            unknown: Vec::new(),
        };
        // Inputs that the net states; what layers read and nothing gives is told from them by having no shape.
        for &id in graph.inputs.iter().filter(|id| graph.value(**id).shape.is_some()) {
            let value = wiring.version(blob(graph, id), None);
            wiring.inputs.push(Input { value, shape: graph.value(id).shape.clone() });
        }
        wiring
    }

    fn version(&mut self, blob: &'a str, layer: Option<&'a str>) -> usize {
        let at = self.versions.len();
        self.versions.push(Version { blob, layer, read: false });
        self.latest.insert(blob, at);
        at
    }

    fn layer(&mut self, node: &'a Node) {
        let kind = caffe_type(&node.op);
        let rule = table::rule(kind);
        // The second top of this loss is the softmax that it is of.
        let softmax = kind == "SoftmaxWithLoss" && node.outputs.len() > 1;
        let rule = if softmax { table::rule("Softmax") } else { rule };
        let dropped = matches!(rule, Some(Rule::Dropped));
        let (mut bottoms, mut blobs) = (Vec::new(), Vec::new());
        for &id in node.inputs.iter().flatten() {
            if let Some(&tensor) = self.given.get(&id) {
                blobs.push(tensor);
            } else if let Some(value) = self.bottom(blob(self.graph, id), node, dropped) {
                bottoms.push(value);
            }
        }
        match rule {
            // Losses and the like read what nothing else may, and give what is of no use in testing.
            Some(Rule::Dropped) => {}
            Some(Rule::Data) => {
                for (index, top) in node.outputs.iter().flatten().enumerate() {
                    let value = self.version(blob(self.graph, *top), None);
                    self.inputs.push(Input { value, shape: data::shape(node, kind, index) });
                }
            }
            Some(rule) => {
                bottoms.iter().for_each(|&value| self.versions[value].read = true);
                let name = (!bottoms.is_empty()).then_some(node.name.as_str());
                if softmax {
                    bottoms.truncate(1);
                }
                let tops = node.outputs.iter().skip(usize::from(softmax)).flatten();
                let tops: Vec<&str> = tops.map(|&id| blob(self.graph, id)).collect();
                let tops =
                    tops.into_iter().enumerate().map(|(i, top)| self.top(top, i, node, name)).collect();
                self.layers.push(Layer { node, kind, bottoms, tops, blobs, rule });
            }
            None => {
                let known = "a layer of this type is not known";
                let kind = if kind.is_empty() { "(none)" } else { kind };
                self.unknown.push((node.name.clone(), format!("{kind}: {known}")));
                for &id in node.outputs.iter().flatten() {
                    self.version(blob(self.graph, id), Some(&node.name));
                }
            }
        }
    }

    /// A new value of a blob, which the layer writes over where it reads it in the same place alone.
    fn top(&mut self, top: &'a str, index: usize, node: &'a Node, layer: Option<&'a str>) -> usize {
        let mut bottoms = node.inputs.iter().flatten().filter(|id| !self.given.contains_key(id));
        let in_place = bottoms.nth(index).is_some_and(|&id| blob(self.graph, id) == top);
        if self.latest.contains_key(top) && !in_place {
            let why = format!("it gives '{top}', which is given already, and not in place");
            self.missing.push((node.name.clone(), why));
        }
        self.version(top, layer)
    }

    /// The latest value of a blob. What no layer gives at all comes from outside.
    fn bottom(&mut self, name: &'a str, node: &Node, dropped: bool) -> Option<usize> {
        if let Some(&value) = self.latest.get(name) {
            return Some(value);
        }
        if dropped {
            return None;
        }
        if self.made.contains(name) {
            let why = format!("it reads '{name}', which only layers after it give");
            self.missing.push((node.name.clone(), why));
            return None;
        }
        let value = self.version(name, None);
        self.inputs.push(Input { value, shape: None });
        Some(value)
    }

    fn finish(self) -> Result<Net<'a>> {
        if !self.missing.is_empty() {
            return Err(Error::Refused {
                what: "layers of this net do not fit together".into(),
                reasons: self.missing,
                help: Some("each bottom is a top of a layer before it, or an input of the net".into()),
            });
        }
        let outside: HashSet<&str> =
            self.versions.iter().filter(|v| v.layer.is_none()).map(|v| v.blob).collect();
        let name = |(at, version): (usize, &Version<'_>)| match version.layer {
            Some(layer) if self.latest[version.blob] != at || outside.contains(version.blob) => {
                format!("{}@{layer}", version.blob)
            }
            _ => version.blob.to_owned(),
        };
        let names = self.versions.iter().enumerate().map(name).collect();
        let made = self.layers.iter().flat_map(|layer| &layer.tops).copied();
        let outputs = made.filter(|&value| !self.versions[value].read).collect();
        let read = |input: &Input| self.versions[input.value].read;
        let inputs = self.inputs.into_iter().filter(read).collect();
        Ok(Net { layers: self.layers, names, inputs, outputs, unknown: self.unknown })
    }
}

/// The name of the blob that a value of the graph is a state of.
fn blob(graph: &Graph, id: ValueId) -> &str {
    let value = graph.value(id);
    let told = value.properties.iter().find(|(key, _)| key == "blob");
    told.map_or(value.name.as_str(), |(_, blob)| blob)
}
