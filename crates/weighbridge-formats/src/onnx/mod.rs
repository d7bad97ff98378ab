//! ONNX: a `ModelProto`, with its tensors in it or in files beside it.
//!
//! Tensors are listed as a walk meets them: a graph's initializers, its sparse initializers, then what its
//! nodes hold in attributes, subgraphs where they stand; after the graph come training graphs and functions.
//! A tensor in an attribute is named `OUTPUT@ATTRIBUTE` after the node's first output, one of a list
//! `OUTPUT@ATTRIBUTE.INDEX`; a sparse tensor is the dense one that it stands for, with its parts beside it as
//! `NAME.values` and `NAME.indices`. Numbers that a `Constant` node holds as plain attributes are tensors too.
//!
//! What the reader notices:
//!
//! | code | severity | |
//! |---|---|---|
//! | O101 | error | initializers of one graph with the same name |
//! | O102 | error | nodes in a cycle |
//! | O103 | warning | a node that stands before one that it reads from |
//! | O104 | error | a value that nothing gives |
//! | O105 | info | initializers that nothing uses |
//! | O106 | error | a value that is given more than once |

mod check;
mod declare;
mod external;
mod graph;
mod node;
mod sniff;
mod tensor;
mod typed;
mod usage;

use weighbridge_model::{Error, Model, Result, Value};

use crate::format::ReadOptions;
use crate::protobuf::Message;
use crate::source::Source;
use graph::Reader;

pub use sniff::sniff;

/// Reads a model; its weights stay where they are.
///
/// # Errors
/// Where the bytes contradict themselves, with offset, tensor and node.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let message = Message::whole(source, options.limits.depth);
    let mut reader = Reader::new(source, options);
    let mut head = Head::default();
    let (mut graph, mut training, mut functions) = (None, Vec::new(), Vec::new());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => head.ir_version = Some(field.int()?),
            2 => head.producer = field.text()?,
            3 => head.producer_version = field.text()?,
            4 => head.domain = field.text()?,
            5 => head.model_version = Some(field.int()?),
            6 => head.doc_string = field.text()?,
            7 if graph.is_some() => {
                return Err(Error::malformed(field.place(), "a second graph, where a model has one"));
            }
            7 => graph = Some(field.message()?),
            8 => head.opsets.push(opset(&field.message()?)?),
            14 => {
                reader.item(&field.place())?;
                let (key, value) = graph::entry(&field.message()?)?;
                head.properties.push((key, Value::Str(value)));
            }
            20 => training.push(field.message()?),
            25 => functions.push(field.message()?),
            _ => {}
        }
    }
    let Some(graph) = graph else {
        return Err(Error::malformed(
            message.place(),
            "a model without a graph, which is its one required part",
        ));
    };
    let mut graph = reader.outermost(&graph)?;
    let mut steps = Vec::new();
    for info in &training {
        let mut bindings = [("initialization", Vec::new()), ("update", Vec::new())];
        for field in info.fields() {
            let field = field?;
            match field.number {
                // Initialization, and the algorithm's step.
                1 | 2 => reader.training(&field.message()?)?,
                // What becomes of the model's tensors: a name, and the output that it takes.
                3 | 4 => {
                    reader.item(&field.place())?;
                    let (key, value) = graph::entry(&field.message()?)?;
                    bindings[field.number as usize - 3].1.push((key, Value::Str(value)));
                }
                _ => {}
            }
        }
        let bindings = bindings.into_iter().map(|(kind, pairs)| (kind.to_owned(), Value::Map(pairs)));
        steps.push(Value::Map(bindings.collect()));
    }
    let functions =
        functions.iter().map(|f| reader.function(f).map(Value::Str)).collect::<Result<Vec<_>>>()?;
    graph.opsets.clone_from(&head.opsets);
    let mut model = reader.finish();
    model.format = "onnx";
    model.origin = head.origin();
    model.metadata.splice(0..0, head.metadata(&graph.name, functions));
    if !steps.is_empty() {
        model.metadata.push(("training_info".to_owned(), Value::List(steps)));
    }
    model.graph = Some(graph);
    Ok(model)
}

/// What stands beside the graph.
#[derive(Default)]
struct Head {
    ir_version: Option<i64>,
    producer: String,
    producer_version: String,
    domain: String,
    model_version: Option<i64>,
    doc_string: String,
    opsets: Vec<(String, i64)>,
    properties: Vec<(String, Value)>,
}

impl Head {
    fn origin(&self) -> String {
        let producer = format!("{} {}", self.producer.trim(), self.producer_version.trim());
        match (producer.trim(), self.ir_version) {
            ("", Some(version)) => format!("ONNX IR {version}"),
            ("", None) => "ONNX".to_owned(),
            (producer, _) => producer.to_owned(),
        }
    }

    fn metadata(self, graph: &str, functions: Vec<Value>) -> Vec<(String, Value)> {
        let shown = |domain: String| if domain.is_empty() { "ai.onnx".to_owned() } else { domain };
        let opsets = self.opsets.into_iter().map(|(d, v)| (shown(d), Value::Int(v))).collect();
        let text = |text: String| (!text.is_empty()).then_some(Value::Str(text));
        let list = |items: Vec<Value>| (!items.is_empty()).then_some(Value::List(items));
        let map = |items: Vec<_>| (!items.is_empty()).then_some(Value::Map(items));
        [
            ("producer", text(self.producer)),
            ("producer_version", text(self.producer_version)),
            ("ir_version", self.ir_version.map(Value::Int)),
            ("opset", map(opsets)),
            ("domain", text(self.domain)),
            ("model_version", self.model_version.map(Value::Int)),
            ("graph", text(graph.to_owned())),
            ("doc_string", text(self.doc_string)),
            ("metadata_props", map(self.properties)),
            ("functions", list(functions)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }
}

/// An operator set's domain and version.
fn opset(message: &Message<'_>) -> Result<(String, i64)> {
    let (mut domain, mut version) = (String::new(), 0);
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => domain = node::domain(field.text()?),
            2 => version = field.int()?,
            _ => {}
        }
    }
    Ok((domain, version))
}
