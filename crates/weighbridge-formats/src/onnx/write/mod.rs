//! Writes a model that has an ONNX graph: the file, and one beside it for tensors where that is asked for or needed.
//!
//! Every tensor's elements are written as `raw_data` or as external data, whichever field they came from; strings stay
//! strings. Nothing is read for it but the lengths of strings.

mod external;
mod graph;
mod node;
mod tensor;

use std::collections::HashMap;
use std::path::Path;

use weighbridge_model::{Error, Graph, Model, Program, Result, Tensor, TensorId, TensorNotes};

use crate::plan::{FilePlan, Plan, WriteOptions};
use crate::protobuf::write::Draft;
use external::External;

/// Most bytes of one message: readers count them in 31 bits.
const LARGEST: u64 = i32::MAX as u64;

/// Tensors from this size on stand outside where a model is too large for one file.
const OUTSIDE: u64 = 1024;

/// Plans the files for `model` at `path`.
///
/// # Errors
/// [`Error::Unsupported`] for a model without an ONNX graph; [`Error::Refused`] with every tensor that ONNX cannot
/// carry or that is not what the graph takes.
pub fn write(model: &Model, path: &Path, options: &WriteOptions) -> Result<Plan> {
    let Some((graph, program)) = model.graph.as_ref().and_then(|g| Some((g, g.program.as_deref()?))) else {
        return Err(Error::Refused {
            what: "an ONNX file is a graph, and this model has none of ONNX's operators".into(),
            reasons: Vec::new(),
            help: Some("--into net.onnx puts the tensors into the graph of another file".into()),
        });
    };
    let mut plan = Plan::default();
    plan.kept.extend(model.tensors.iter().map(|t| t.name.clone()));
    let build = |outside: Option<u64>| {
        let mut writer = Writer {
            model,
            in_attributes: model
                .tensors
                .iter()
                .filter(|t| t.name.contains('@'))
                .map(|t| (&*t.name, t))
                .collect(),
            notes: program.tensors.iter().map(|(id, notes)| (*id, notes)).collect(),
            external: outside.map(|least| External::new(path, least)),
            within: false,
            refused: Vec::new(),
        };
        let draft = writer.whole(graph, program)?;
        if writer.refused.is_empty() {
            return Ok((draft, writer.external));
        }
        Err(Error::Refused {
            what: "ONNX cannot carry these tensors".into(),
            reasons: writer.refused,
            help: Some("--dtype f32 dequantizes, and a graph takes tensors as it declares them".into()),
        })
    };
    let (mut draft, mut external) = build(options.external)?;
    if draft.len() > LARGEST && options.external.is_none() {
        (draft, external) = build(Some(OUTSIDE))?;
    }
    if draft.len() > LARGEST {
        return Err(Error::Refused {
            what: format!("{} bytes in one message, where ONNX stops at 2 GB", draft.len()),
            reasons: Vec::new(),
            help: Some("--external puts tensors into a file of their own".into()),
        });
    }
    plan.files.extend(external.and_then(External::file));
    plan.files.push(FilePlan {
        path: path.to_owned(),
        len: Some(draft.len()),
        content: Box::new(move |output| draft.write(output)),
    });
    Ok(plan)
}

/// Writes one model.
struct Writer<'a> {
    model: &'a Model,
    /// Tensors that may stand for the plain numbers of a `Constant` node.
    in_attributes: HashMap<&'a str, &'a Tensor>,
    notes: HashMap<TensorId, &'a TensorNotes>,
    external: Option<External>,
    /// Whether tensors stay in the message: runtimes look outside for initializers and constants alone.
    within: bool,
    refused: Vec<(String, String)>,
}

impl Writer<'_> {
    /// `ModelProto`.
    fn whole(&mut self, graph: &Graph, program: &Program) -> Result<Draft> {
        let mut draft = Draft::default();
        if let Some(version) = program.ir_version {
            draft.int(1, version);
        }
        draft.text(2, &program.producer);
        draft.text(3, &program.producer_version);
        draft.text(4, &program.domain);
        if let Some(version) = program.model_version {
            draft.int(5, version);
        }
        draft.text(6, &program.doc);
        draft.message(7, self.graph(graph)?);
        graph::opsets(&mut draft, 8, &graph.opsets);
        graph::properties(&mut draft, 14, &program.properties);
        self.within = true;
        for training in &program.training {
            let mut info = Draft::default();
            for (number, graph) in [(1, &training.initialization), (2, &training.algorithm)] {
                if let Some(graph) = graph {
                    info.message(number, self.graph(graph)?);
                }
            }
            graph::properties(&mut info, 3, &training.initialization_binding);
            graph::properties(&mut info, 4, &training.update_binding);
            training.carried.iter().for_each(|field| info.encoded(field));
            draft.message(20, info);
        }
        for function in &program.functions {
            draft.message(25, self.function(function)?);
        }
        program.carried.iter().for_each(|field| draft.encoded(field));
        Ok(draft)
    }
}
