//! The layers of a net that are there for a phase, in order, wired by the names of blobs as Caffe wires them.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Error, Graph, Model, Node, Place, Result, TensorId, Value, ValueId, nearest};

use super::layer::Layer;
use super::{Options, Phase};

/// A blob in one state: what a layer gives under a name that others may give too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Version(pub(super) usize);

/// A net for one phase.
#[derive(Debug)]
pub(super) struct Net<'a> {
    pub(super) layers: Vec<Layer<'a>>,
    /// For each layer the versions that it reads and gives.
    pub(super) reads: Vec<Vec<Version>>,
    pub(super) gives: Vec<Vec<Version>>,
    /// What each version is called.
    pub(super) names: Vec<String>,
    /// Versions that are given from outside by the net's own fields.
    pub(super) inputs: Vec<(Version, ValueId)>,
    /// Layers that are left out.
    pub(super) out: Vec<&'a Node>,
}

impl<'a> Net<'a> {
    /// The net of a model's `graph`, whose operators are Caffe's.
    ///
    /// # Errors
    /// [`Error::Refused`] with each bottom that no layer before gives and each top that one before gives already;
    /// rules that contradict each other.
    pub(super) fn of(model: &Model, graph: &'a Graph, options: &Options) -> Result<Self> {
        let state = State::of(model, options.phase);
        let tensors: HashMap<ValueId, TensorId> = graph.initializers.iter().copied().collect();
        let blob = |id: ValueId| {
            let value = graph.value(id);
            let noted = value.properties.iter().find(|(key, _)| key == "blob").map(|(_, name)| name);
            noted.unwrap_or(&value.name).clone()
        };
        let (mut layers, mut out) = (Vec::new(), Vec::new());
        for node in &graph.nodes {
            let blobs = node.inputs.iter().flatten().filter_map(|id| tensors.get(id).copied());
            let bottoms = node.inputs.iter().flatten().filter(|id| !tensors.contains_key(id));
            let tops = node.outputs.iter().flatten();
            let bottoms = bottoms.map(|&id| blob(id)).collect();
            let layer = Layer::new(node, bottoms, tops.map(|&id| blob(id)).collect(), blobs.collect());
            match is_there(&layer, &state)? {
                true => layers.push(layer),
                false => out.push(node),
            }
        }
        let layers = without_padding(layers)?;
        // What the reader takes for an input since nothing gives it, is none here unless the net says so.
        let asked = |name: &str| options.inputs.iter().any(|(input, _)| input == name);
        let stated = |id: &&ValueId| graph.value(**id).doc != UNSTATED || asked(&graph.value(**id).name);
        let stated = graph.inputs.iter().filter(stated);
        let mut wiring = Wiring::default();
        let inputs: Vec<(Version, ValueId)> = stated.map(|&id| (wiring.make(&blob(id), None), id)).collect();
        wiring.wire(&layers)?;
        let names = wiring.names(&layers);
        Ok(Net { layers, reads: wiring.reads, gives: wiring.gives, names, inputs, out })
    }
}

/// The text on a graph's input that no layer gives and that the net does not state.
pub(super) const UNSTATED: &str = "no layer gives it";

/// What rules are held against.
struct State<'a> {
    phase: Phase,
    level: i64,
    stages: &'a [Value],
}

impl<'a> State<'a> {
    /// The level and the stages that the net's text has.
    fn of(model: &'a Model, phase: Phase) -> Self {
        let own = model.metadata("state");
        let level = own.and_then(|state| items(state.get("level")).last()).and_then(Value::as_int);
        State { phase, level: level.unwrap_or(0), stages: items(own.and_then(|state| state.get("stage"))) }
    }

    /// Whether a rule is met: all that it names.
    fn meets(&self, rule: &Value) -> bool {
        let all = |name: &str| items(rule.get(name));
        let is_phase = |value: &Value| match value {
            Value::Str(name) => name == self.phase.name(),
            Value::Int(number) => *number == self.phase as i64,
            _ => false,
        };
        let number = |name: &str| all(name).last().and_then(Value::as_int);
        let has = |stage: &Value| self.stages.iter().any(|met| met.as_str() == stage.as_str());
        all("phase").last().is_none_or(is_phase)
            && number("min_level").is_none_or(|least| self.level >= least)
            && number("max_level").is_none_or(|most| self.level <= most)
            && all("stage").iter().all(has)
            && !all("not_stage").iter().any(has)
    }
}

/// A field's values, of which a text may have any number.
fn items(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::List(items)) => items.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => &[],
    }
}

/// Whether a layer is there: any of `include`, none of `exclude`.
fn is_there(layer: &Layer<'_>, state: &State<'_>) -> Result<bool> {
    let rules = |name: &str| items(layer.node().attribute(name));
    let (include, exclude) = (rules("include"), rules("exclude"));
    if !include.is_empty() && !exclude.is_empty() {
        return Err(layer.malformed("it has both include and exclude, of which Caffe takes one"));
    }
    if include.is_empty() {
        return Ok(!exclude.iter().any(|rule| state.meets(rule)));
    }
    Ok(include.iter().any(|rule| state.meets(rule)))
}

/// V0's layers of padding go into the convolution or pooling that reads them.
fn without_padding(layers: Vec<Layer<'_>>) -> Result<Vec<Layer<'_>>> {
    let mut kept: Vec<Layer<'_>> = Vec::with_capacity(layers.len());
    let mut padded: HashMap<String, (String, i64)> = HashMap::new();
    for mut layer in layers {
        if layer.kind == "padding" {
            let ([bottom], [top]) = (layer.bottoms.as_slice(), layer.tops.as_slice()) else {
                return Err(layer.malformed("padding takes one bottom and gives one top"));
            };
            padded.insert(top.clone(), (bottom.clone(), layer.int("padding_param", "pad", 0)?));
            continue;
        }
        for bottom in &mut layer.bottoms {
            let Some((unpadded, pad)) = padded.get(bottom) else { continue };
            if !matches!(layer.kind, "Convolution" | "Pooling") {
                let place = Place::source("a net of V0").node(layer.node().name.clone());
                let what = format!("padding before a layer of type {}, which has none", layer.kind);
                return Err(Error::malformed(place, what));
            }
            bottom.clone_from(unpadded);
            layer.padding = Some(*pad);
        }
        for top in &layer.tops {
            padded.remove(top);
        }
        kept.push(layer);
    }
    Ok(kept)
}

#[derive(Default)]
struct Wiring {
    /// By version: its blob's name, and the layer that gives it, where that has bottoms.
    versions: Vec<(String, Option<usize>)>,
    latest: HashMap<String, Version>,
    reads: Vec<Vec<Version>>,
    gives: Vec<Vec<Version>>,
}

impl Wiring {
    fn make(&mut self, name: &str, layer: Option<usize>) -> Version {
        let version = Version(self.versions.len());
        self.versions.push((name.to_owned(), layer));
        self.latest.insert(name.to_owned(), version);
        version
    }

    fn wire(&mut self, layers: &[Layer<'_>]) -> Result<()> {
        let mut wrong: Vec<(String, String)> = Vec::new();
        // Where a name is given first, for those that are read too early.
        let mut given: HashMap<&str, &str> = HashMap::new();
        for layer in layers {
            for top in &layer.tops {
                given.entry(top).or_insert(layer.name());
            }
        }
        for (at, layer) in layers.iter().enumerate() {
            let mut reads = Vec::with_capacity(layer.bottoms.len());
            for bottom in &layer.bottoms {
                match self.latest.get(bottom.as_str()) {
                    Some(&version) => reads.push(version),
                    None => wrong.push((layer.name().to_owned(), missing(bottom, &given, &self.latest))),
                }
            }
            self.reads.push(reads);
            let from = (!layer.bottoms.is_empty()).then_some(at);
            let mut gives = Vec::with_capacity(layer.tops.len());
            for (i, top) in layer.tops.iter().enumerate() {
                if self.latest.contains_key(top.as_str()) && layer.bottoms.get(i) != Some(top) {
                    let what = format!(
                        "it gives '{top}', which a layer before gives already; only a layer that reads it in the \
                         same place may write over it"
                    );
                    wrong.push((layer.name().to_owned(), what));
                }
                gives.push(self.make(top, from));
            }
            self.gives.push(gives);
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Error::Refused {
            what: "layers of this net do not fit together".into(),
            reasons: wrong,
            help: Some("each bottom is a top of a layer before it, or an input of the net".into()),
        })
    }

    /// The last version of a blob is called like it, those before after their layers too. What is given from outside
    /// keeps its name.
    fn names(&self, layers: &[Layer<'_>]) -> Vec<String> {
        let outside: HashSet<&str> = self
            .versions
            .iter()
            .filter(|(_, layer)| layer.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        let name = |(at, (name, layer)): (usize, &(String, Option<usize>))| match layer {
            Some(layer) if self.latest[name] != Version(at) || outside.contains(name.as_str()) => {
                format!("{name}@{}", layers[*layer].name())
            }
            _ => name.clone(),
        };
        self.versions.iter().enumerate().map(name).collect()
    }
}

/// Why a bottom is not there.
fn missing(bottom: &str, given: &HashMap<&str, &str>, latest: &HashMap<String, Version>) -> String {
    if let Some(layer) = given.get(bottom) {
        return format!(
            "it reads '{bottom}', which layer '{layer}' gives only there or later: a net has no cycles"
        );
    }
    // Looking for near names takes time for each: in small nets only.
    let near = match latest.len() {
        0..=1000 => {
            let mut names: Vec<&str> = latest.keys().map(String::as_str).collect();
            names.sort_unstable();
            nearest(bottom, names.into_iter())
        }
        _ => Vec::new(),
    };
    let near: Vec<String> = near.iter().map(|n| format!("'{n}'")).collect();
    let near = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
    format!("it reads '{bottom}', which no layer gives{near}")
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Phase::Train => "TRAIN",
            Phase::Test => "TEST",
        }
    }
}
