//! TensorFlow Lite models (`.tflite`, LiteRT): a flatbuffer of subgraphs, whose tensors refer to buffers.
//!
//! Source of the facts: the schema's slot numbers and enumerations, as the converter writes them.
//!
//! | table | slots that are read |
//! |---|---|
//! | model | 0 version, 1 operator codes, 2 subgraphs, 3 description, 4 buffers, 6 metadata, 7 signatures |
//! | subgraph | 0 tensors, 1 inputs, 2 outputs, 3 operators, 4 name |
//! | tensor | 0 shape, 1 type, 2 buffer, 3 name, 4 quantization, 5 is a variable, 6 sparsity |
//! | quantization | 2 scales, 3 zero points, 4 and 5 details, 6 dimension |
//! | buffer | 0 bytes; or 1 offset and 2 size, for bytes behind the flatbuffer (models of more than 2 GB) |
//! | operator | 0 code, 1 inputs, 2 outputs, 3 and 4 options, 5 custom options, 11 and 12 further options |
//! | operator code | 0 builtin (one byte), 1 custom name, 2 version, 3 builtin |
//!
//! Tensors without bytes are values of the graph, not weights.

mod graph;
mod operators;
mod options;
mod sparse;
mod tensor;

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_model::{Error, Limits, Model, Result, Storage, Value};

use crate::flatbuffer::{Flat, Table};
use crate::format::{Confidence, ReadOptions};
use crate::source::Source;

/// Identifier of the schema, four bytes into the file.
const IDENTIFIER: &[u8; 4] = b"TFL3";

/// Looks for the identifier.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    Ok((source.prefix(4, 4)?[..] == IDENTIFIER[..]).then_some(Confidence::Certain))
}

/// Where buffers stand; one storage for each, made when first asked for.
struct Buffers<'a> {
    source: &'a Source,
    places: Vec<(u64, u64)>,
    storages: HashMap<u32, Arc<dyn Storage>>,
    /// Elements that sparse tensors may still have.
    elements: u64,
}

/// Elements of sparse tensors for each byte of the file: real ones have one in ten, or more.
const EXPANSION: u64 = 64;
/// As many more whatever is stored.
const SLACK: u64 = 1 << 22;

impl<'a> Buffers<'a> {
    fn read(source: &'a Source, root: &Table<'_>) -> Result<Self> {
        let mut places = Vec::new();
        for buffer in root.tables(4)? {
            let buffer = buffer?;
            // Offsets of 0 and 1 are what the writer puts there before it knows better.
            let beyond = (buffer.u64(1)?, buffer.u64(2)?);
            places.push(match buffer.bytes(0)? {
                Some(inside) if inside.1 > 0 => inside,
                _ if beyond.0 > 1 => beyond,
                _ => (0, 0),
            });
        }
        let elements = source.len().saturating_mul(EXPANSION).saturating_add(SLACK);
        Ok(Buffers { source, places, storages: HashMap::new(), elements })
    }

    /// The bytes of a buffer; `None` where it has none.
    fn get(&mut self, index: u32) -> Result<Option<Arc<dyn Storage>>> {
        let Some(&(at, len)) = self.places.get(index as usize) else {
            let what = format!("buffer {index} of {}", self.places.len());
            return Err(Error::malformed(self.source.place(0), what));
        };
        if len == 0 {
            return Ok(None);
        }
        if let Some(storage) = self.storages.get(&index) {
            return Ok(Some(storage.clone()));
        }
        let storage = self.source.storage(at, len)?;
        self.storages.insert(index, storage.clone());
        Ok(Some(storage))
    }
}

/// Reads the tensors that have bytes, by subgraph and index, and the operators of the first subgraph, with the bodies of
/// its control flow, as the graph.
///
/// # Errors
/// Offsets that leave the file, indices of nothing, tensors larger than their buffers.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    if sniff(source)?.is_none() {
        return Err(Error::malformed(source.place(4), "no identifier of a TensorFlow Lite model (TFL3)"));
    }
    let flat = Flat::new(source, allowance(&options.limits));
    let root = flat.root()?;
    let mut buffers = Buffers::read(source, &root)?;
    let codes = operators::codes(&root)?;
    let mut model = Model::default();
    let (mut graphs, mut subgraphs) = (Vec::new(), Vec::new());
    let count = root.tables(2)?.count();
    for (number, subgraph) in root.tables(2)?.enumerate() {
        let subgraph = subgraph?;
        let values = tensor::read(&subgraph, &mut buffers, &mut model, &options.limits)?;
        let found = graph::read(&subgraph, values, &codes, count)?;
        let graph = &found.graph;
        graph::tell_roles(graph, &mut model);
        let name = if graph.name.is_empty() { format!("subgraph {number}") } else { graph.name.clone() };
        subgraphs.push((name, Value::Int(graph.nodes.len() as i64)));
        graphs.push(found);
    }
    model.graph = graph::nested(graphs, options.limits.depth);
    describe(&root, &mut model, subgraphs)?;
    Ok(model)
}

/// What may be walked, in bytes: enough for the headers of any model that the limits allow.
fn allowance(limits: &Limits) -> u64 {
    limits.header_bytes.saturating_mul(4)
}

fn describe(root: &Table<'_>, model: &mut Model, subgraphs: Vec<(String, Value)>) -> Result<()> {
    let version = root.u32(0)?;
    model.origin = format!("TensorFlow Lite, schema {version}");
    let mut add = |key: &str, value| model.metadata.push((key.to_owned(), value));
    add("version", Value::Int(i64::from(version)));
    if let Some(text) = root.text(3)?.filter(|t| !t.is_empty()) {
        add("description", Value::Str(text));
    }
    if subgraphs.len() > 1 {
        add("operators of subgraphs", Value::Map(subgraphs));
    }
    let lengths: Vec<u64> =
        root.tables(4)?.map(|b| Ok(b?.bytes(0)?.map_or(0, |(_, len)| len))).collect::<Result<_>>()?;
    let mut entries = Vec::new();
    for entry in root.tables(6)? {
        let entry = entry?;
        let bytes = lengths.get(entry.u32(1)? as usize).copied().unwrap_or(0);
        entries.push((entry.text(0)?.unwrap_or_default(), Value::Bytes(bytes)));
    }
    if !entries.is_empty() {
        add("metadata", Value::Map(entries));
    }
    let mut signatures = Vec::new();
    for signature in root.tables(7)? {
        let signature = signature?;
        let side = |slot| -> Result<Value> {
            let names = signature.tables(slot)?.map(|m| Ok(Value::Str(m?.text(0)?.unwrap_or_default())));
            Ok(Value::List(names.collect::<Result<_>>()?))
        };
        let key = signature.text(2)?.unwrap_or_default();
        signatures.push((key, Value::Map(vec![("inputs".into(), side(0)?), ("outputs".into(), side(1)?)])));
    }
    if !signatures.is_empty() {
        add("signatures", Value::Map(signatures));
    }
    Ok(())
}
