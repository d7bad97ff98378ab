//! Caffe's layers as operators of ONNX: what each computes in its own framework, with the sizes that Caffe gives it.
//!
//! Caffe's shapes follow from the sizes of the inputs, by rules that are not ONNX's; they are followed here, so that
//! every size in the graph that is made is a number. Each blob is a value of its name, the last of those that share one;
//! those before it are `NAME@LAYER`.

mod activation;
mod arithmetic;
mod arrange;
mod convolution;
mod dense;
mod input;
mod keep;
mod layer;
mod missing;
mod net;
mod normalize;
mod ops;
mod pooling;
mod preprocess;
mod resize;
mod select;
mod ssd;
mod table;
mod weights;
mod work;

use std::collections::{HashMap, HashSet};

use weighbridge_model::{DType, Dim, Error, Graph, Model, Program, Result, TensorId, ValueId};

use super::{Choice, Lowered};
use crate::build::Builder;
use layer::Layer;
use net::{Net, Version};
use table::Fate;
use work::{Job, Work};

pub use preprocess::Preprocess;

/// The set of ONNX's operators that is used.
pub const OPSET: i64 = 17;

/// Which layers of a net are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Training.
    Train = 0,
    /// Use.
    #[default]
    Test = 1,
}

/// What is asked of a lowering.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Sizes of inputs that the net does not tell, or other ones than it tells.
    pub inputs: Vec<(String, Vec<u64>)>,
    /// The phase whose layers are taken.
    pub phase: Phase,
    /// Whether layers without a rule stay as nodes of the domain `caffe`.
    pub allow_unknown: bool,
    /// What is done to the data before it enters the net.
    pub preprocess: Preprocess,
}

/// Whether a model's graph is a net of Caffe's.
pub fn is_caffe(model: &Model) -> bool {
    model.graph.as_ref().is_some_and(|graph| graph.nodes.iter().any(|node| node.domain == "caffe"))
}

/// The net of `model` in ONNX's operators. Weights stay where they are. Layers are there by the phase, and by the level
/// and the stages in the net's own `state`, which stands in the model's metadata.
///
/// # Errors
/// [`Error::Refused`] with every layer that has no rule, or that does not fit its bottoms; inputs without sizes; a model
/// without a net.
pub fn lower(model: &Model, options: &Options) -> Result<Lowered> {
    let Some(graph) = model.graph.as_ref().filter(|_| is_caffe(model)) else {
        return Err(Error::Usage { what: "this model has no layers of Caffe's to be lowered".into() });
    };
    let net = Net::of(model, graph, options)?;
    let kept = unknown(&net, options)?;
    missing::check(&net, model)?;
    let mut lowered = Model {
        format: "onnx",
        origin: model.origin.clone(),
        files: model.files.clone(),
        findings: model.findings.clone(),
        ..Model::default()
    };
    let mut made =
        Graph { name: named(&graph.name), opsets: vec![(String::new(), OPSET)], ..Graph::default() };
    let mut work = Work {
        source: model,
        build: Builder::new(&mut lowered, &mut made),
        shapes: HashMap::new(),
        blobs: HashMap::new(),
        given: &options.inputs,
        shapeless: Vec::new(),
        optional: HashSet::new(),
        choices: Vec::new(),
        changed: Vec::new(),
        made: HashSet::new(),
        used: HashSet::new(),
    };
    outside(&mut work, graph, &net, options);
    let mut state = State { dropped: HashSet::new(), faults: Vec::new(), first: None, open: HashSet::new() };
    for at in 0..net.layers.len() {
        state.layer(&mut work, &net, at, options);
    }
    known_inputs(&work, options, &net)?;
    state.end()?;
    preprocess::apply(&mut work, &net, options)?;
    outputs(&mut work, &net, &state);
    let Work { choices, changed, used, .. } = work;
    if kept {
        made.opsets.push((keep::DOMAIN.to_owned(), 1));
    }
    made.program = Some(Box::new(Program {
        ir_version: Some(8),
        producer: "weighbridge".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        ..Program::default()
    }));
    lowered.graph = Some(made);
    let dropped = unused(model, &net, &used);
    Ok(Lowered { model: lowered, choices, changed, dropped })
}

/// A graph must have a name.
fn named(name: &str) -> String {
    if name.is_empty() { "net".to_owned() } else { name.to_owned() }
}

/// Whether there are layers without a rule; refused with all of them, unless that is allowed.
fn unknown(net: &Net<'_>, options: &Options) -> Result<bool> {
    let unknown: Vec<&Layer<'_>> = net.layers.iter().filter(|l| table::fate(l.kind).is_none()).collect();
    if unknown.is_empty() || options.allow_unknown {
        return Ok(!unknown.is_empty());
    }
    let reason = |layer: &&Layer<'_>| {
        (
            layer.name().to_owned(),
            format!("type {}, which has no equal in ONNX that is known here", layer.kind),
        )
    };
    Err(Error::Refused {
        what: "layers that cannot be expressed".into(),
        reasons: unknown.iter().map(reason).collect(),
        help: Some(
            "--allow-unknown keeps them as nodes of the domain 'caffe', for an engine that has such operators".into(),
        ),
    })
}

/// Inputs by the net's own fields.
fn outside(work: &mut Work<'_>, graph: &Graph, net: &Net<'_>, options: &Options) {
    for &(version, id) in &net.inputs {
        let value = graph.value(id);
        let asked =
            options.inputs.iter().find(|(name, _)| *name == value.name).map(|(_, shape)| shape.clone());
        let known = |dim: &Dim| if let Dim::Known(n) = dim { Some(*n) } else { None };
        let stated =
            value.shape.as_ref().and_then(|dims| dims.iter().map(known).collect::<Option<Vec<u64>>>());
        let input = work.named(&net.names[version.0]);
        if asked.is_none() && stated.is_none() {
            work.shapeless.push(value.name.clone());
        }
        work.set_shape(input, DType::F32, asked.or(stated));
        work.blobs.insert(version, input);
        work.build.graph.inputs.push(input);
    }
}

/// Every size that the user gave belongs to an input, and every input has sizes.
fn known_inputs(work: &Work<'_>, options: &Options, net: &Net<'_>) -> Result<()> {
    let names: Vec<&str> =
        work.build.graph.inputs.iter().map(|&id| work.build.graph.value(id).name.as_str()).collect();
    for (name, _) in &options.inputs {
        if !names.contains(&name.as_str()) {
            let near = weighbridge_model::nearest_or_all(name, names.iter().copied());
            return Err(Error::NotFound { kind: "input", name: name.clone(), near });
        }
    }
    let used: HashSet<ValueId> =
        net.reads.iter().flatten().filter_map(|version| work.blobs.get(version).copied()).collect();
    let needed = work.build.graph.inputs.iter().filter(|id| used.contains(id));
    let needed: HashSet<&str> = needed.map(|&id| work.build.graph.value(id).name.as_str()).collect();
    let lacking: Vec<&str> =
        work.shapeless.iter().map(String::as_str).filter(|name| needed.contains(name)).collect();
    // A label that only a loss reads needs none.
    let lacking: Vec<&&str> = lacking.iter().filter(|name| !is_idle(work, name)).collect();
    match lacking.as_slice() {
        [] => Ok(()),
        names => {
            let each = names.iter().map(|n| format!("--input {n}=1,3,224,224")).collect::<Vec<_>>().join(" ");
            Err(Error::Usage {
                what: format!("the net does not tell the sizes of its inputs: give them, as in {each}"),
            })
        }
    }
}

/// Whether an input is one of a data layer that no node reads.
fn is_idle(work: &Work<'_>, name: &str) -> bool {
    let graph = &*work.build.graph;
    let input = graph.inputs.iter().find(|&&id| graph.value(id).name == name);
    input.is_some_and(|id| {
        work.optional.contains(id) && !graph.nodes.iter().any(|n| n.inputs.contains(&Some(*id)))
    })
}

/// What is known while the layers are gone through.
struct State {
    /// Layers that are left out.
    dropped: HashSet<usize>,
    /// Layers that could not be lowered, with the reason.
    faults: Vec<(String, String)>,
    /// The fault alone, where there is one.
    first: Option<Error>,
    /// Versions that nothing gives, since their layer could not be lowered.
    open: HashSet<Version>,
}

impl State {
    fn layer<'a>(&mut self, work: &mut Work<'a>, net: &Net<'a>, at: usize, options: &Options) {
        let layer = &net.layers[at];
        let (reads, gives) = (&net.reads[at], &net.gives[at]);
        let drop = |work: &mut Work<'a>, choice: String| {
            let (layer, kind) = (layer.name().to_owned(), layer.kind.to_owned());
            work.choices.push(Choice { layer, kind, choice });
        };
        let rule = match table::fate(layer.kind) {
            Some(Fate::Lowered(rule)) => rule,
            Some(Fate::Dropped(why)) => {
                self.dropped.insert(at);
                self.open.extend(gives);
                return drop(work, format!("left out: {why}"));
            }
            Some(Fate::Softmax) if layer.tops.len() < 2 => {
                self.dropped.insert(at);
                self.open.extend(gives);
                let scores = layer.bottoms.first().cloned().unwrap_or_default();
                return drop(
                    work,
                    format!("left out: a loss, for training; '{scores}' are scores before the softmax"),
                );
            }
            Some(Fate::Softmax) => loss_softmax,
            None => keep::kept,
        };
        if reads.iter().any(|version| self.open.contains(version)) {
            self.open.extend(gives);
            return;
        }
        let bottoms: Vec<ValueId> = reads.iter().map(|version| work.blobs[version]).collect();
        let tops: Vec<ValueId> = gives.iter().map(|version| work.named(&net.names[version.0])).collect();
        work.blobs.extend(gives.iter().copied().zip(tops.iter().copied()));
        let sized = bottoms.iter().all(|bottom| work.shapes.contains_key(bottom));
        // Where a bottom's sizes are open, so are all that follow from them.
        let no_sizes = !sized && !bottoms.is_empty();
        let rule = if no_sizes && options.allow_unknown { keep::kept } else { rule };
        let nodes = work.build.graph.nodes.len();
        let mut job = Job { work, layer, bottoms, tops: tops.clone() };
        let done = match no_sizes && !options.allow_unknown {
            true => job.sizeless(),
            false => rule(&mut job).and_then(|()| job.gives_all(&tops)),
        };
        let done = match done {
            // What its rule had made of it until then is read by nothing, and goes.
            Err(Error::Unsupported { what, .. }) if options.allow_unknown => {
                job.work.build.graph.nodes.truncate(nodes);
                job.work.made.retain(|made| !tops.contains(made));
                keep::kept_for(&mut job, &what)
            }
            done => done,
        };
        let left = gives.iter().zip(&tops).filter(|(_, top)| !job.work.made.contains(top));
        self.open.extend(left.map(|(version, _)| *version));
        if let Err(fault) = done {
            self.open.extend(gives);
            self.faults.push((layer.name().to_owned(), told(&fault)));
            self.first.get_or_insert(fault);
            return;
        }
        let stays = job.work.build.graph.nodes.last().is_some_and(|node| node.domain == keep::DOMAIN);
        let ignored = if table::fate(layer.kind).is_some() && !stays { layer.ignored() } else { Vec::new() };
        let said = ignored.iter().filter(|name| !preprocess::tells(name));
        let said: Vec<&str> = said.map(String::as_str).collect();
        if !said.is_empty() {
            job.choose(format!("settings that are not known here, and so do nothing: {}", said.join(", ")));
        }
    }

    fn end(&mut self) -> Result<()> {
        match (self.faults.len(), self.first.take()) {
            (0, _) | (_, None) => Ok(()),
            (1, Some(fault)) => Err(fault),
            _ => Err(Error::Refused {
                what: "layers that cannot be expressed".into(),
                reasons: std::mem::take(&mut self.faults),
                help: None,
            }),
        }
    }
}

impl Job<'_, '_> {
    /// Every top is given by something, but for a loss.
    fn gives_all(&self, tops: &[ValueId]) -> Result<()> {
        match tops.iter().filter(|top| self.work.made.contains(top)).count() {
            given if given == tops.len() || self.layer.kind == "SoftmaxWithLoss" => Ok(()),
            given => {
                Err(self.layer.malformed(format!("it has {} tops, and its type gives {given}", tops.len())))
            }
        }
    }

    /// A layer whose bottoms have no sizes: of an input, which is told elsewhere, or of a number of rows that depends on
    /// values.
    fn sizeless(&mut self) -> Result<()> {
        let from_input = self.bottoms.iter().filter(|b| !self.work.shapes.contains_key(b)).all(|&bottom| {
            let graph = &*self.work.build.graph;
            graph.inputs.contains(&bottom) || graph.value(bottom).shape.is_none()
        });
        if from_input && !self.work.shapeless.is_empty() {
            for &top in &self.tops.clone() {
                self.work.set_shape(top, DType::F32, None);
            }
            return Ok(());
        }
        Err(self
            .layer
            .unsupported("its bottom's number of rows depends on values, and its own sizes on that"))
    }
}

/// SoftmaxWithLoss with a second top, which is the softmax.
fn loss_softmax(job: &mut Job<'_, '_>) -> Result<()> {
    job.choose("the loss is left out; its second top is the softmax");
    let (x, tops) = (job.bottom(0)?, job.tops.clone());
    (job.bottoms, job.tops) = (vec![x], vec![tops[1]]);
    activation::softmax(job)
}

/// An error without its place, which is told beside it.
fn told(fault: &Error) -> String {
    match fault {
        Error::Malformed { what, .. } | Error::Unsupported { what, .. } => what.clone(),
        other => other.to_string(),
    }
}

/// What no layer reads is given; and every value between is told with its type.
fn outputs(work: &mut Work<'_>, net: &Net<'_>, state: &State) {
    let read = (0..net.layers.len()).filter(|at| {
        // What only goes to a loss or an accuracy is given; what is silenced is not.
        !state.dropped.contains(at) || net.layers[*at].kind == "Silence"
    });
    let read: HashSet<Version> = read.flat_map(|at| net.reads[at].iter().copied()).collect();
    let graph = &mut *work.build.graph;
    let inputs: HashSet<ValueId> = graph.inputs.iter().copied().collect();
    let given: HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().copied()).collect();
    let held: HashSet<ValueId> = graph.initializers.iter().map(|(id, _)| *id).collect();
    for version in net.gives.iter().flatten().filter(|v| !read.contains(v)) {
        if let Some(value) = work.blobs.get(version).filter(|v| given.contains(v)) {
            graph.outputs.push(*value);
        }
    }
    let used: HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
    let optional = &work.optional;
    graph.inputs.retain(|id| used.contains(id) || !optional.contains(id));
    let outputs: HashSet<ValueId> = graph.outputs.iter().copied().collect();
    let between = |id: &ValueId| !inputs.contains(id) && !outputs.contains(id) && !held.contains(id);
    let told = |id: &ValueId| graph.value(*id).shape.is_some();
    let nodes = graph.nodes.iter().flat_map(|n| n.outputs.iter().flatten().copied());
    graph.declared = nodes.filter(|id| between(id) && told(id)).collect();
}

/// Tensors of the source that the graph does not hold.
fn unused(model: &Model, net: &Net<'_>, used: &HashSet<TensorId>) -> Vec<(String, String)> {
    let there: HashSet<TensorId> = net.layers.iter().flat_map(|l| l.blobs.iter().copied()).collect();
    let why = |id: TensorId| match there.contains(&id) {
        true => "the layer does not use it",
        false if net.out.is_empty() => "no layer of the net takes it",
        false => "its layer is not there in this phase, or no layer takes it",
    };
    let left = model.tensors.iter().filter(|t| !used.contains(&t.id));
    left.map(|t| (t.name.clone(), why(t.id).to_owned())).collect()
}
