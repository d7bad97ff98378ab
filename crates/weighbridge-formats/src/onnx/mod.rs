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
mod head;
mod node;
mod sniff;
mod tensor;
mod typed;
mod usage;
mod write;

use weighbridge_model::{Error, Model, Program, Result, Training};

use crate::format::ReadOptions;
use crate::protobuf::Message;
use crate::source::Source;
use graph::Reader;

pub use sniff::sniff;
pub use write::write;

/// Reads a model; its weights stay where they are.
///
/// # Errors
/// Where the bytes contradict themselves, with offset, tensor and node.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let message = Message::whole(source, options.limits.depth);
    let mut reader = Reader::new(source, options);
    let mut program = Program::default();
    let (mut graph, mut opsets, mut training, mut functions) = (None, Vec::new(), Vec::new(), Vec::new());
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => program.ir_version = Some(field.int()?),
            2 => program.producer = field.text()?,
            3 => program.producer_version = field.text()?,
            4 => program.domain = field.text()?,
            5 => program.model_version = Some(field.int()?),
            6 => program.doc = field.text()?,
            7 if graph.is_some() => {
                return Err(Error::malformed(field.place(), "a second graph, where a model has one"));
            }
            7 => graph = Some(field.message()?),
            8 => {
                reader.item(&field.place())?;
                opsets.push(opset(&field.message()?)?);
            }
            14 => reader.property(&mut program.properties, &field)?,
            20 => training.push(field.message()?),
            25 => functions.push(field.message()?),
            _ => reader.carry(&mut program.carried, &field)?,
        }
    }
    let Some(graph) = graph else {
        return Err(Error::malformed(
            message.place(),
            "a model without a graph, which is its one required part",
        ));
    };
    let mut graph = reader.outermost(&graph)?;
    graph.opsets = opsets;
    for info in &training {
        program.training.push(train(&mut reader, info)?);
    }
    for function in &functions {
        program.functions.push(reader.function(function)?);
    }
    program.tensors = reader.take_notes();
    let mut model = reader.finish();
    model.format = "onnx";
    model.origin = head::origin(&program);
    model.metadata.splice(0..0, head::metadata(&program, &graph));
    model.metadata.extend(head::training(&program));
    graph.program = Some(Box::new(program));
    model.graph = Some(graph);
    Ok(model)
}

/// `TrainingInfoProto`.
fn train(reader: &mut Reader, message: &Message<'_>) -> Result<Training> {
    let mut training = Training::default();
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => training.initialization = Some(reader.training(&field.message()?)?),
            2 => training.algorithm = Some(reader.training(&field.message()?)?),
            3 => reader.property(&mut training.initialization_binding, &field)?,
            4 => reader.property(&mut training.update_binding, &field)?,
            _ => reader.carry(&mut training.carried, &field)?,
        }
    }
    Ok(training)
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
