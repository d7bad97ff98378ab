//! rten, built in: an engine in Rust for F32 and small integers.
//!
//! It holds F16 and F64 as F32, and I64 and booleans as I32. The former makes a proof worthless and is told as lacking;
//! the latter changes nothing about indices and shapes below 2^31.

use std::path::Path;

use rten::{ModelOptions, Value};
use rten_tensor::prelude::*;
use weighbridge_graph::edit::subgraphs;
use weighbridge_model::{DType, Error, Graph, Model, Place, Result};

use crate::{Array, Engine, Session};

/// The engine.
pub struct Rten;

/// Types that it holds as they are, or without a loss for what they are used for.
fn native(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::I8 | DType::U8 | DType::I32 | DType::I64 | DType::Bool)
}

impl Engine for Rten {
    fn name(&self) -> String {
        "rten 0.27".to_owned()
    }

    fn lacks(&self, model: &Model) -> Vec<(String, String)> {
        let mut lacks = Vec::new();
        let mut note = |name: &str, dtype: DType| {
            if !native(dtype) {
                lacks.push((name.to_owned(), format!("{dtype}, which rten does not compute in")));
            }
        };
        model.tensors.iter().for_each(|tensor| note(&tensor.name, tensor.dtype));
        if let Some(graph) = &model.graph {
            graph.values.iter().for_each(|value| value.dtype.into_iter().for_each(|d| note(&value.name, d)));
            casts(graph, &mut note);
            wrong(graph, &mut lacks);
        }
        lacks.dedup_by(|a, b| a.0 == b.0);
        lacks
    }

    fn load(&self, path: &Path) -> Result<Box<dyn Session>> {
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(false);
        let model = options.load_file(path).map_err(|e| fault(&e.to_string()))?;
        Ok(Box::new(Loaded(model)))
    }
}

/// Types that nodes cast to; ONNX's numbers for F16, F64 and BF16.
fn casts(graph: &Graph, note: &mut impl FnMut(&str, DType)) {
    for node in &graph.nodes {
        let to = node.attribute("to").or_else(|| node.attribute("dtype")).and_then(|to| to.as_int());
        let to =
            [(10, DType::F16), (11, DType::F64), (16, DType::BF16)].into_iter().find(|(n, _)| Some(*n) == to);
        to.into_iter().for_each(|(_, dtype)| note(&node.name, dtype));
        subgraphs(node).for_each(|inner| casts(inner, note));
    }
}

/// Nodes that it computes otherwise than ONNX defines them.
fn wrong(graph: &Graph, lacks: &mut Vec<(String, String)>) {
    for node in &graph.nodes {
        if node.domain.is_empty() && node.op == "NonMaxSuppression" {
            let why = "NonMaxSuppression, for which rten takes the box around two boxes as their union, and of each box the \
                       best class alone";
            let name = if node.name.is_empty() { &node.op } else { &node.name };
            lacks.push((name.clone(), why.to_owned()));
        }
        subgraphs(node).for_each(|inner| wrong(inner, lacks));
    }
}

fn fault(what: &str) -> Error {
    Error::Unsupported {
        place: Place::source("rten"),
        what: what.to_owned(),
        help: Some("--ort names a library of ONNX Runtime, which executes more".into()),
    }
}

/// A model that rten has read.
struct Loaded(rten::Model);

impl Session for Loaded {
    fn run(&mut self, inputs: &[(String, Array)], wanted: &[String]) -> Result<Vec<Option<Array>>> {
        let id = |name: &str| self.0.node_id(name).map_err(|e| fault(&format!("'{name}': {e}")));
        let mut given = Vec::with_capacity(inputs.len());
        for (name, array) in inputs {
            given.push((id(name)?, value(array)?.into()));
        }
        let ids = wanted.iter().map(|name| id(name)).collect::<Result<Vec<_>>>()?;
        let outputs = self.0.run(given, &ids, None).map_err(|e| fault(&e.to_string()))?;
        Ok(outputs.iter().map(array).collect())
    }
}

fn value(array: &Array) -> Result<Value> {
    let shape: Vec<usize> = array.shape.iter().map(|&n| n as usize).collect();
    let whole = || array.values().map(|x| x as i32).collect::<Vec<i32>>();
    let made = match array.dtype {
        DType::F32 => Value::from_shape(shape, array.values().map(|x| x as f32).collect::<Vec<f32>>())
            .map_err(|e| e.to_string()),
        DType::I8 => {
            let elements: Vec<i8> = array.bytes.iter().map(|&byte| byte as i8).collect();
            Value::from_shape(shape, elements).map_err(|e| e.to_string())
        }
        DType::U8 => Value::from_shape(shape, array.bytes.clone()).map_err(|e| e.to_string()),
        DType::I32 | DType::I64 | DType::Bool => Value::from_shape(shape, whole()).map_err(|e| e.to_string()),
        other => Err(format!("no inputs of type {other}")),
    };
    made.map_err(|e| fault(&e))
}

/// The tensor in a value; `None` for a sequence.
fn array(value: &Value) -> Option<Array> {
    macro_rules! take {
        ($tensor:expr, $dtype:expr) => {{
            let bytes = $tensor.to_vec().into_iter().flat_map(|e| e.to_le_bytes()).collect();
            (shape_of($tensor.shape().as_ref()), $dtype, bytes)
        }};
    }
    let (shape, dtype, bytes) = match value {
        Value::FloatTensor(tensor) => take!(tensor, DType::F32),
        Value::Int32Tensor(tensor) => take!(tensor, DType::I32),
        Value::Int8Tensor(tensor) => take!(tensor, DType::I8),
        Value::UInt8Tensor(tensor) => take!(tensor, DType::U8),
        _ => return None,
    };
    Some(Array { dtype, shape, bytes })
}

fn shape_of(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&n| n as u64).collect()
}
