//! SavedModels, meta graphs and bare graphs: what stands around the nodes.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use weighbridge_model::{Error, Graph, Model, Result, Role, TensorId, Value, ValueId};

use super::bundle::{self, Keys};
use super::graph::{Reader, Template};
use super::settle::{self, Facts, Settler};
use super::{attribute, shape};
use crate::format::ReadOptions;
use crate::protobuf::Message;
use crate::source::Source;

/// Where a SavedModel keeps its variables, below its folder.
const VARIABLES: &str = "variables/variables.index";

/// The tag of the graph that is meant for inference.
const SERVE: &str = "serve";

/// Names and values of a signature's side.
type Side = Vec<(String, Info)>;

/// What a signature says of a tensor.
#[derive(Default)]
struct Info {
    name: String,
    dtype: i64,
    shape: shape::Shape,
}

/// A `MetaGraphDef`, its graph not read yet.
#[derive(Default)]
struct Meta<'a> {
    tags: Vec<String>,
    version: String,
    graph: Option<Message<'a>>,
    signatures: Vec<(String, Side, Side)>,
    objects: Option<Message<'a>>,
    assets: Vec<String>,
}

/// Reads a `SavedModel`.
///
/// # Errors
/// Messages that contradict themselves, a checkpoint that does.
pub(super) fn saved_model(source: &Source, options: &ReadOptions) -> Result<Model> {
    let message = Message::whole(source, options.limits.depth);
    let mut metas = Vec::new();
    for field in message.fields() {
        let field = field?;
        if field.number == 2 {
            metas.push(Meta::read(&field.message()?, options)?);
        }
    }
    let tags = metas.iter().map(|m| Value::List(m.tags.iter().cloned().map(Value::Str).collect())).collect();
    let chosen = metas.iter().position(|m| m.tags.iter().any(|t| t == SERVE)).unwrap_or(0);
    if metas.is_empty() {
        return Err(Error::malformed(message.place(), "a SavedModel without a graph"));
    }
    let index = source.folder().map(|folder| folder.join(VARIABLES));
    let mut model = metas.swap_remove(chosen).finish(index.as_deref(), options)?;
    model.origin = format!("SavedModel, {}", model.origin);
    model.metadata.insert(0, ("graphs".into(), Value::List(tags)));
    Ok(model)
}

/// Reads a `MetaGraphDef` of its own, as TensorFlow 1 writes it beside a checkpoint.
///
/// # Errors
/// As [`saved_model`].
pub(super) fn meta_graph(source: &Source, options: &ReadOptions) -> Result<Model> {
    let meta = Meta::read(&Message::whole(source, options.limits.depth), options)?;
    let index = source.path().filter(|p| p.extension().is_some_and(|e| e == "meta"));
    let index = index.map(|path| path.with_extension("index"));
    let mut model = meta.finish(index.as_deref(), options)?;
    model.origin = format!("MetaGraphDef, {}", model.origin);
    Ok(model)
}

/// Reads a bare `GraphDef`, whose weights are constants.
///
/// # Errors
/// As [`saved_model`].
pub(super) fn graph_def(source: &Source, options: &ReadOptions) -> Result<Model> {
    let mut reader = Reader::new(options.limits, Model::default());
    let template = reader.graph(&Message::whole(source, options.limits.depth))?;
    let (mut graph, functions) = whole(&mut reader, template, &Keys::default(), &HashMap::new())?;
    ends(&mut graph);
    let mut model = told(reader);
    add_functions(&mut model, functions);
    model.origin = "TensorFlow GraphDef".into();
    model.graph = Some(graph);
    Ok(model)
}

impl<'a> Meta<'a> {
    fn read(message: &Message<'a>, options: &ReadOptions) -> Result<Meta<'a>> {
        let mut meta = Meta::default();
        for field in message.fields() {
            let field = field?;
            match field.number {
                1 => {
                    for field in field.message()?.fields() {
                        let field = field?;
                        match field.number {
                            4 => meta.tags.push(field.text()?),
                            5 => meta.version = field.text()?,
                            _ => {}
                        }
                    }
                }
                2 => meta.graph = Some(field.message()?),
                5 => {
                    let (name, signature) = attribute::entry(&field.message()?)?;
                    if let Some(signature) = signature {
                        let (inputs, outputs) = sides(&signature, options)?;
                        meta.signatures.push((name, inputs, outputs));
                    }
                }
                6 => {
                    for field in field.message()?.fields() {
                        let field = field?;
                        if field.number == 2 {
                            meta.assets.push(field.text()?);
                        }
                    }
                }
                7 => meta.objects = Some(field.message()?),
                _ => {}
            }
        }
        Ok(meta)
    }

    fn finish(self, index: Option<&Path>, options: &ReadOptions) -> Result<Model> {
        let mut model = Model::default();
        let mut keys = Keys::default();
        if let Some(index) = index.filter(|i| i.is_file()) {
            let index = Source::open(index, options.access)?;
            keys = bundle::read(&index, options, &mut model)?;
        }
        let weights = model.tensors.len();
        let trainable = match &self.objects {
            Some(objects) => variables(objects)?,
            None => HashMap::new(),
        };
        for tensor in model.tensors.iter_mut().filter(|t| t.role_guessed) {
            if let Some(&Some(trainable)) = trainable.get(&tensor.name) {
                let role = if trainable { Role::Parameter } else { Role::Buffer };
                (tensor.role, tensor.role_guessed) = (role, false);
            }
        }
        let mut reader = Reader::new(options.limits, model);
        let template = match &self.graph {
            Some(graph) => reader.graph(graph)?,
            None => Template::default(),
        };
        let restored = settle::restored(&mut reader, &template)?;
        let (mut graph, functions) = whole(&mut reader, template, &keys, &restored)?;
        let names: HashMap<&str, ValueId> =
            graph.values.iter().zip((0..).map(ValueId)).map(|(v, id)| (v.name.as_str(), id)).collect();
        let find = |info: &Info| names.get(info.name.strip_suffix(":0").unwrap_or(&info.name)).copied();
        let mut inputs: Vec<ValueId> =
            self.signatures.iter().flat_map(|s| s.1.iter().filter_map(|i| find(&i.1))).collect();
        let mut outputs: Vec<ValueId> =
            self.signatures.iter().flat_map(|s| s.2.iter().filter_map(|i| find(&i.1))).collect();
        dedup(&mut inputs);
        dedup(&mut outputs);
        (graph.inputs, graph.outputs) = (inputs, outputs);
        if graph.inputs.is_empty() && graph.outputs.is_empty() {
            ends(&mut graph);
        }
        let mut model = told(reader);
        // Shapes, axes and the names that restoring takes are the graph's, and not the model's state.
        for tensor in &mut model.tensors[weights..] {
            tensor.in_state_dict = !matches!(tensor.role, Role::Constant | Role::Other);
        }
        self.describe(&mut model, functions);
        model.graph = Some(graph);
        Ok(model)
    }

    fn describe(self, model: &mut Model, functions: Vec<String>) {
        let version = self.version.trim();
        model.origin = if version.is_empty() { "TensorFlow".into() } else { format!("TensorFlow {version}") };
        if !version.is_empty() {
            model.metadata.push(("tensorflow_version".into(), Value::Str(version.to_owned())));
        }
        let side = |side: &Side| {
            let info = |info: &Info| {
                Value::Map(vec![
                    ("tensor".into(), Value::Str(info.name.clone())),
                    ("dtype".into(), attribute::type_name(info.dtype)),
                    ("shape".into(), attribute::sizes(&info.shape)),
                ])
            };
            Value::Map(side.iter().map(|(name, i)| (name.clone(), info(i))).collect())
        };
        let signature = |(name, inputs, outputs): &(String, Side, Side)| {
            (
                name.clone(),
                Value::Map(vec![("inputs".into(), side(inputs)), ("outputs".into(), side(outputs))]),
            )
        };
        if !self.signatures.is_empty() {
            let signatures = self.signatures.iter().map(signature).collect();
            model.metadata.push(("signatures".into(), Value::Map(signatures)));
        }
        if !self.assets.is_empty() {
            let assets = self.assets.into_iter().map(Value::Str).collect();
            model.metadata.push(("assets".into(), Value::List(assets)));
        }
        add_functions(model, functions);
    }
}

fn add_functions(model: &mut Model, functions: Vec<String>) {
    if !functions.is_empty() {
        model
            .metadata
            .push(("functions".into(), Value::List(functions.into_iter().map(Value::Str).collect())));
    }
}

/// The graph with the functions that it calls, and the names of all functions; those that nothing calls are read for
/// the tensors in them.
fn whole(
    reader: &mut Reader<'_>,
    template: Template,
    keys: &Keys,
    restored: &HashMap<ValueId, String>,
) -> Result<(Graph, Vec<String>)> {
    let mut facts = Facts::new();
    let by_name: HashMap<String, TensorId> =
        keys.0.values().map(|&id| (reader.model.tensor(id).name.clone(), id)).collect();
    for node in &template.graph.nodes {
        let Some(names) = settle::variable_names(node) else { continue };
        let Some(value) = node.outputs.first().copied().flatten() else { continue };
        let by_key = restored.get(&value).and_then(|key| keys.0.get(key));
        let named = || names.iter().find_map(|n| keys.0.get(n).or_else(|| by_name.get(n)));
        if let Some(&id) = by_key.or_else(named) {
            facts.insert(value, id);
        }
    }
    let mut settler = Settler::new(reader);
    let graph = settler.settle(template, facts, 0)?;
    let placed: HashSet<String> = settler.placed.drain(..).collect();
    let functions = reader.order.clone();
    for name in functions.iter().filter(|n| !placed.contains(*n)) {
        if let Some(body) = reader.function(name)? {
            // Alone, so that what it does with its own constants is known.
            let mut body = Template::clone(&body);
            body.calls.clear();
            Settler::new(reader).settle(body, Facts::new(), 0)?;
        }
    }
    Ok((graph, functions))
}

/// The model, its constants and variables in the roles that their uses tell.
fn told(reader: Reader<'_>) -> Model {
    let Reader { mut model, uses, .. } = reader;
    for tensor in &mut model.tensors {
        match uses.get(&tensor.id) {
            Some(by) if tensor.role == Role::Constant => tensor.role = by.role(tensor),
            Some(super::usage::Use::Statistics) if tensor.role_guessed => {
                (tensor.role, tensor.role_guessed) = (Role::Buffer, false);
            }
            _ => {}
        }
    }
    model
}

/// Where a graph begins and ends, when nothing tells: placeholders, and what no node reads.
fn ends(graph: &mut Graph) {
    let read: HashSet<ValueId> =
        graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied()).collect();
    for node in &graph.nodes {
        let Some(value) = node.outputs.first().copied().flatten() else { continue };
        if matches!(node.op.as_str(), "Placeholder" | "PlaceholderWithDefault") {
            graph.inputs.push(value);
        } else if node.op != "Const" && !node.outputs.iter().flatten().any(|v| read.contains(v)) {
            graph.outputs.push(value);
        }
    }
}

fn dedup(values: &mut Vec<ValueId>) {
    let mut seen = HashSet::new();
    values.retain(|v| seen.insert(*v));
}

/// The inputs and outputs of a `SignatureDef`.
fn sides(message: &Message<'_>, options: &ReadOptions) -> Result<(Side, Side)> {
    let (mut inputs, mut outputs) = (Side::new(), Side::new());
    for field in message.fields() {
        let field = field?;
        if !matches!(field.number, 1 | 2) {
            continue;
        }
        let (name, value) = attribute::entry(&field.message()?)?;
        let mut info = Info::default();
        for field in value.iter().flat_map(Message::fields) {
            let field = field?;
            match field.number {
                1 => info.name = field.text()?,
                2 => info.dtype = field.int()?,
                3 => info.shape = shape::read(&field.message()?, &options.limits)?,
                _ => {}
            }
        }
        if field.number == 1 { inputs.push((name, info)) } else { outputs.push((name, info)) }
    }
    // Maps are written in any order.
    inputs.sort_by(|a, b| a.0.cmp(&b.0));
    outputs.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((inputs, outputs))
}

/// Whether variables are trainable, by name; `None` where two of a name differ.
fn variables(objects: &Message<'_>) -> Result<HashMap<String, Option<bool>>> {
    let mut found: HashMap<String, Option<bool>> = HashMap::new();
    for node in objects.fields() {
        let node = node?;
        if node.number != 1 {
            continue;
        }
        for field in node.message()?.fields() {
            let field = field?;
            if field.number != 7 {
                continue;
            }
            let (mut name, mut trainable) = (String::new(), false);
            for field in field.message()?.fields() {
                let field = field?;
                match field.number {
                    3 => trainable = field.int()? != 0,
                    6 => name = field.text()?,
                    _ => {}
                }
            }
            let entry = found.entry(name).or_insert(Some(trainable));
            if *entry != Some(trainable) {
                *entry = None;
            }
        }
    }
    Ok(found)
}
