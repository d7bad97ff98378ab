//! The graph of a net, in Caffe's own operators.
//!
//! Caffe knows blobs by name, and a layer may write over one that it reads. Here every top is a value of its own: the
//! last of a name, which is what Caffe's blob holds in the end, is called so, and those before it `NAME@LAYER` after the
//! layer that makes them. What is given from outside keeps its name, since it is fed by that. A bottom is the latest
//! value of its name before it that can exist together with its layer: `include` and `exclude` say which layers are
//! there for training and which for testing, and a layer that is there for both reads what testing has.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Attribute, Graph, GraphValue, Model, Node, Value, ValueId};

use super::net::{Layer, Net, dims};
use super::settings::each;

/// The property of a value that is not called like its blob: that blob's name.
pub(super) const BLOB: &str = "blob";

/// The text on an input that the net reads and does not state.
const UNSTATED: &str = "no layer gives it";

/// When a layer is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Both,
    Train,
    Test,
}

/// The latest values of a name: for layers of training, and for those of testing.
#[derive(Debug, Clone, Copy, Default)]
struct Latest {
    train: Option<ValueId>,
    test: Option<ValueId>,
}

impl Latest {
    fn read(self, phase: Phase) -> Option<ValueId> {
        match phase {
            Phase::Train => self.train.or(self.test),
            Phase::Test | Phase::Both => self.test.or(self.train),
        }
    }
}

#[derive(Default)]
struct Builder {
    graph: Graph,
    latest: HashMap<String, Latest>,
    used: HashSet<ValueId>,
    /// Values that layers make: which, after what layer, and whether they are there in testing.
    made: Vec<(ValueId, String, bool)>,
    /// Names of what is given from outside.
    given: HashSet<String>,
}

/// The graph of a net whose tensors are in `model`.
pub(super) fn build(net: &Net, model: &Model) -> Graph {
    let mut builder = Builder::default();
    builder.graph.name.clone_from(&net.name);
    for (name, shape) in &net.inputs {
        let value = builder.make(name, None, Phase::Both);
        builder.graph.values[value.0 as usize].shape = shape.as_deref().map(dims);
        builder.graph.inputs.push(value);
    }
    let mut outputs = Vec::new();
    for layer in &net.layers {
        builder.layer(layer, model, &mut outputs);
    }
    builder.tell_apart();
    let used = std::mem::take(&mut builder.used);
    builder.graph.outputs = outputs.into_iter().filter(|value| !used.contains(value)).collect();
    builder.graph
}

impl Builder {
    fn value(&mut self, name: String) -> ValueId {
        self.graph.values.push(GraphValue { name, ..GraphValue::default() });
        ValueId(self.graph.values.len() as u32 - 1)
    }

    /// A new value of this name, made by `layer` or given from outside.
    fn make(&mut self, name: &str, layer: Option<&Layer>, phase: Phase) -> ValueId {
        let value = self.value(name.to_owned());
        match layer.filter(|layer| !layer.bottoms.is_empty()) {
            Some(layer) => self.made.push((value, layer.name.clone(), phase != Phase::Train)),
            None => drop(self.given.insert(name.to_owned())),
        }
        let latest = self.latest.entry(name.to_owned()).or_default();
        if phase != Phase::Test {
            latest.train = Some(value);
        }
        if phase != Phase::Train {
            latest.test = Some(value);
        }
        value
    }

    /// Names the values of one blob after the layers that make them, but for the last; of those that are there in
    /// testing, where any is.
    fn tell_apart(&mut self) {
        let mut last: HashMap<String, ValueId> = HashMap::new();
        for in_testing in [false, true] {
            for (value, _, _) in self.made.iter().filter(|(_, _, testing)| *testing || !in_testing) {
                last.insert(self.graph.value(*value).name.clone(), *value);
            }
        }
        for (value, layer, _) in &self.made {
            let known = &mut self.graph.values[value.0 as usize];
            if last[&known.name] != *value || self.given.contains(&known.name) {
                known.properties.push((BLOB.to_owned(), known.name.clone()));
                known.name = format!("{}@{layer}", known.name);
            }
        }
    }

    fn layer(&mut self, layer: &Layer, model: &Model, outputs: &mut Vec<ValueId>) {
        let phase = phase(layer);
        let mut inputs = Vec::with_capacity(layer.bottoms.len() + layer.blobs.len());
        for bottom in &layer.bottoms {
            let known = self.latest.get(bottom.as_str()).and_then(|latest| latest.read(phase));
            // What no layer before gives comes from outside.
            let value = known.unwrap_or_else(|| {
                let value = self.make(bottom, None, Phase::Both);
                self.graph.values[value.0 as usize].doc = UNSTATED.to_owned();
                self.graph.inputs.push(value);
                value
            });
            self.used.insert(value);
            inputs.push(Some(value));
        }
        for &blob in &layer.blobs {
            let value = self.value(model.tensor(blob).name.clone());
            self.graph.initializers.push((value, blob));
            inputs.push(Some(value));
        }
        let made: Vec<ValueId> = layer.tops.iter().map(|top| self.make(top, Some(layer), phase)).collect();
        outputs.extend(&made);
        let attributes = layer.settings.iter().map(|(k, v)| (k.clone(), Attribute::Value(v.clone())));
        self.graph.nodes.push(Node {
            name: layer.name.clone(),
            domain: "caffe".to_owned(),
            op: layer.kind.clone(),
            inputs,
            outputs: made.into_iter().map(Some).collect(),
            attributes: attributes.collect(),
            ..Node::default()
        });
    }
}

/// When a layer is there, as far as its rules speak of phases alone.
fn phase(layer: &Layer) -> Phase {
    let of = |key: &str| layer.settings.iter().find(|(k, _)| k == key).map_or(&[][..], |(_, v)| each(v));
    let names = |rules: &[Value], phase: &str| {
        rules.iter().any(|r| r.get("phase").and_then(Value::as_str) == Some(phase))
    };
    let only = |rules: &[Value]| match (names(rules, "TRAIN"), names(rules, "TEST")) {
        (true, false) => Phase::Train,
        (false, true) => Phase::Test,
        _ => Phase::Both,
    };
    match only(of("include")) {
        Phase::Both => match only(of("exclude")) {
            Phase::Train => Phase::Test,
            Phase::Test => Phase::Train,
            Phase::Both => Phase::Both,
        },
        phase => phase,
    }
}
