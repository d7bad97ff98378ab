//! TensorRT engines (`.engine`, `.plan`, `.trt`): which TensorRT built them, for what, and what they are made of.
//!
//! Source of the facts: engines that TensorRT-RTX 1.7 built; what NVIDIA and users tell of others (issue 3073 of
//! NVIDIA/TensorRT: the version stands at byte 24 since 8.6, a number of the serialization at byte 8 before).
//! Numbers are little-endian.
//!
//! | since | bytes | what |
//! |---|---|---|
//! | 8.6 | 4 | `ftrt`; `vtrt` of TensorRT-RTX |
//! | | 4, 8, 8 | 0; number of sections; length of the engine |
//! | | 4 | version: major, minor, patch, build |
//! | | 4, 28 | magic again where there are sections by name; of those the bytes at 56 are the weights' |
//! | | 24 each | sections: name (four letters, last first), place, length |
//! | 8.0 | 4, 4, 8, 8 | `ptrt` or `ftrt`; 0; number of the serialization; length |
//! | before | 4, 4, 8 | `ptrt`; number of the serialization; length of what follows |
//!
//! Ultralytics puts a length and a JSON document before the engine. What follows the header is documented nowhere:
//! weights are in there, in whatever order and type the kernels want, without names.

mod header;
mod legible;

use weighbridge_model::{Error, Finding, Model, Result, Severity, Value};

use crate::format::{Confidence, ReadOptions};
use crate::source::Source;
use header::Header;

/// What engines begin with.
const MAGICS: [&[u8; 4]; 3] = [b"ptrt", b"ftrt", b"vtrt"];

/// Longest JSON document before an engine that is looked for.
const LONGEST_JSON: u64 = 1 << 24;

/// Looks for a magic, at the start or behind a JSON document.
///
/// # Errors
/// A failed read.
pub fn sniff(source: &Source) -> Result<Option<Confidence>> {
    Ok(engine_at(source)?.map(|_| Confidence::Certain))
}

/// Where the engine begins.
fn engine_at(source: &Source) -> Result<Option<u64>> {
    let head = source.prefix(0, 5)?;
    let is_magic = |bytes: &[u8]| MAGICS.iter().any(|m| bytes == &m[..]);
    if head.get(..4).is_some_and(is_magic) {
        return Ok(Some(0));
    }
    let [a, b, c, d, b'{'] = *head else { return Ok(None) };
    let at = 4 + u64::from(u32::from_le_bytes([a, b, c, d]));
    Ok((at <= LONGEST_JSON && is_magic(&source.prefix(at, 4)?)).then_some(at))
}

/// Reads the header, and what else is legible. There are no tensors: an engine does not name its weights.
///
/// # Errors
/// Engines that are shorter than their header says.
pub fn read(source: &Source, options: &ReadOptions) -> Result<Model> {
    let Some(at) = engine_at(source)? else {
        return Err(Error::malformed(source.place(0), "no magic of a TensorRT engine (ptrt, ftrt, vtrt)"));
    };
    let mut model = Model::default();
    let header = Header::read(source, at)?;
    model.origin = match &header.version {
        Some(version) => format!("TensorRT engine, built by {version}"),
        None => "TensorRT engine of a version that is not legible".into(),
    };
    let bytes = |n: u64| Value::Bytes(n);
    let mut add = |key: &str, value| model.metadata.push((key.to_owned(), value));
    add("magic", Value::Str(header.magic.clone()));
    if let Some(version) = &header.version {
        add("version", Value::Str(version.clone()));
    }
    if let Some(number) = header.serialization {
        add("serialization", Value::Int(i64::from(number)));
    }
    add("engine", bytes(header.len));
    if !header.sections.is_empty() {
        let sections = header.sections.iter().map(|s| (s.name.clone(), bytes(s.len)));
        add("sections", Value::Map(sections.collect()));
    }
    if let Some(len) = header.weights() {
        add("weights", bytes(len));
    }
    for (key, value) in legible::facts(source, &header)? {
        add(key, value);
    }
    if at > 0 {
        let json = source.window(4, (at - 4).min(options.limits.header_bytes))?;
        match serde_json::from_slice(&json) {
            Ok(serde_json::Value::Object(entries)) => model
                .metadata
                .extend(entries.into_iter().map(|(key, value)| (key, crate::json::value(value)))),
            Ok(other) => add("json", crate::json::value(other)),
            Err(e) => {
                return Err(Error::malformed(source.place(4), format!("before the engine, no JSON: {e}")));
            }
        }
    }
    model.findings.push(Finding::new(
        "E101",
        Severity::Info,
        "weights inside an engine are not named in the file, so that none are listed",
        "look at the model that it was built from",
    ));
    let extra = source.len() - header.end();
    if extra > 0 {
        let message = format!("{extra} bytes after the engine, which is as long as its header says");
        let help = "an engine that was written over a longer one, or with something appended: build it again";
        model.findings.push(Finding::new("E102", Severity::Warning, message, help));
    }
    Ok(model)
}
