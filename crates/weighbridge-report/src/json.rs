//! The JSON contract, key by key. A figure that is undefined or not finite is `null`.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};
use weighbridge_judge::Precision;
use weighbridge_judge::check::Judged;
use weighbridge_measure::{Histogram, Measured, Number, Summary};
use weighbridge_model::layers::Layer;
use weighbridge_model::{Finding, Layout, Model, Tensor, Value, storage};

/// Version of the contract: rises when a key goes or changes its meaning.
pub const SCHEMA: u64 = 1;

/// The head of every document: schema, file and format.
pub fn document(file: &str, model: &Model) -> Map<String, Json> {
    let mut map = Map::new();
    map.insert("schema".into(), SCHEMA.into());
    map.insert("file".into(), file.into());
    map.insert("format".into(), model.format.into());
    map
}

/// A piece of metadata. Tensors become their names; objects are told by class.
pub fn value(model: &Model, v: &Value) -> Json {
    match v {
        Value::Null => Json::Null,
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::BigInt(digits) => digits.as_str().into(),
        Value::Float(x) => (*x).into(),
        Value::Str(s) => s.as_str().into(),
        Value::Bytes(n) => json!({ "bytes": n }),
        Value::List(items) => items.iter().map(|i| value(model, i)).collect(),
        Value::Map(entries) => object(model, entries),
        Value::Tensor(id) => json!({ "tensor": model.tensors.get(id.0 as usize).map(|t| t.name.as_str()) }),
        Value::Object { class, state } => json!({ "class": class, "state": value(model, state) }),
        _ => Json::Null,
    }
}

/// An ordered map of metadata.
pub fn object(model: &Model, entries: &[(String, Value)]) -> Json {
    Json::Object(entries.iter().map(|(k, v)| (k.clone(), value(model, v))).collect())
}

/// Numbers for storages in order of first appearance: equal where bytes are shared.
pub fn storage_numbers(model: &Model) -> Vec<usize> {
    let mut seen = HashMap::new();
    model
        .tensors
        .iter()
        .map(|t| {
            let next = seen.len();
            *seen.entry(storage::identity(&t.storage)).or_insert(next)
        })
        .collect()
}

/// What `ls` says of a tensor.
pub fn listing(tensor: &Tensor, storage: usize, sha256: Option<&str>) -> Map<String, Json> {
    let mut map = Map::new();
    map.insert("name".into(), tensor.name.as_str().into());
    map.insert("dtype".into(), tensor.dtype.name().into());
    map.insert("shape".into(), tensor.shape.clone().into());
    map.insert("role".into(), tensor.role.as_str().into());
    map.insert("bytes".into(), tensor.bytes().into());
    map.insert("storage".into(), storage.into());
    map.insert("offset".into(), tensor.storage_offset().into());
    let in_file = tensor.storage.file_offset().map(|o| o + tensor.storage_offset());
    map.insert("file_offset".into(), in_file.into());
    if let Layout::Quantized { scales, zero_points, axis, .. } = &tensor.layout {
        map.insert("quantized".into(), json!({ "scales": scales, "zero_points": zero_points, "axis": axis }));
    }
    if let Layout::Blocks { scheme } = tensor.layout {
        map.insert("blocks".into(), json!({ "elements": scheme.elements(), "bytes": scheme.bytes() }));
    }
    if let Some(sha256) = sha256 {
        map.insert("sha256".into(), sha256.into());
    }
    map
}

fn number(n: Option<Number>) -> Json {
    match n {
        Some(Number::Int(i)) => match (i64::try_from(i), u64::try_from(i)) {
            (Ok(i), _) => i.into(),
            (_, Ok(u)) => u.into(),
            _ => Json::Null,
        },
        Some(Number::Float(x)) => x.into(),
        None => Json::Null,
    }
}

/// Adds what `stats` says of a tensor; complex, string and opaque tensors carry a count and no figures.
pub fn figures(map: &mut Map<String, Json>, tensor: &Tensor, measured: &Measured) {
    let Some(s) = &measured.summary else {
        map.insert("count".into(), tensor.count().into());
        return;
    };
    let Summary { count, nan, inf, zero, .. } = *s;
    for (key, n) in [("count", count), ("nan", nan), ("inf", inf), ("zero", zero)] {
        map.insert(key.into(), n.into());
    }
    let extremes = [
        ("min", s.min),
        ("max", s.max),
        ("abs_min", s.abs_min),
        ("abs_min_nonzero", s.abs_min_nonzero),
        ("abs_max", s.abs_max),
    ];
    for (key, n) in extremes {
        map.insert(key.into(), number(n));
    }
    let finite = count > nan + inf;
    map.insert("mean".into(), finite.then_some(s.mean).into());
    map.insert("std".into(), finite.then(|| s.std()).into());
    let blocks = matches!(tensor.layout, Layout::Blocks { .. });
    map.insert("figures_of".into(), if blocks { "dequantized" } else { "stored" }.into());
    if let Some(h) = &measured.histogram {
        histogram(map, h);
    }
}

fn histogram(map: &mut Map<String, Json>, h: &Histogram) {
    map.insert(
        "histogram".into(),
        json!({ "of": "abs", "low": h.low, "high": h.high, "counts": h.counts.to_vec() }),
    );
    let exponents: Map<String, Json> = h.exponents().map(|(e, n)| (e.to_string(), n.into())).collect();
    map.insert("exponents".into(), Json::Object(exponents));
}

/// What the report says of a layer.
pub fn layer(model: &Model, layer: &Layer) -> Json {
    let names: Vec<&str> = layer.tensors.iter().map(|&id| model.tensor(id).name.as_str()).collect();
    json!({ "path": layer.path, "kind": layer.kind, "guessed": layer.guessed, "tensors": names })
}

/// A verdict for one tensor and target.
pub fn precision(model: &Model, p: &Precision) -> Json {
    let mut row = json!({
        "tensor": model.tensor(p.tensor).name,
        "target": p.target,
        "granularity": if p.channel.is_some() { "channel" } else { "tensor" },
        "overflow": p.survival.overflow,
        "to_zero": p.survival.to_zero,
        "subnormal": p.survival.subnormal,
        "sqnr_db": p.sqnr_db,
        "max_abs_error": p.survival.max_abs_error,
        "max_rel_error": p.survival.max_rel_error,
        "verdict": p.verdict.as_str(),
        "energy_lost": p.survival.energy_lost(),
        "why": p.why,
    });
    if let Some(channel) = p.channel {
        row["channel"] = channel.into();
    }
    if let Some(folded) = &p.folded {
        row["folded"] = folded.as_str().into();
    }
    row
}

/// What a target makes of an activation.
pub fn activation(judged: &Judged) -> Json {
    let summary = judged.measured.summary.as_ref();
    let survival = &judged.survival;
    let mut row = json!({
        "value": judged.value,
        "target": survival.format.name,
        "min": number(summary.and_then(|s| s.min)),
        "max": number(summary.and_then(|s| s.max)),
        "abs_max": number(summary.and_then(|s| s.abs_max)),
        "overflow": survival.overflow,
        "to_zero": survival.to_zero,
        "subnormal": survival.subnormal,
        "below_subnormal": judged.share(survival.to_zero),
        "below_normal": judged.share(survival.subnormal),
        "sqnr_db": survival.sqnr_db(),
        "lost_channels": judged.lost,
        "verdict": judged.verdict.as_str(),
    });
    for (key, name) in [("node", &judged.node), ("op", &judged.op)] {
        if let Some(name) = name {
            row[key] = name.as_str().into();
        }
    }
    row
}

/// A finding.
pub fn finding(model: &Model, f: &Finding) -> Json {
    let mut map = Map::new();
    map.insert("code".into(), f.code.into());
    map.insert("severity".into(), f.severity.as_str().into());
    for (key, name) in [("tensor", &f.tensor), ("node", &f.node)] {
        if let Some(name) = name {
            map.insert(key.into(), name.as_str().into());
        }
    }
    if let Some(target) = f.target {
        map.insert("target".into(), target.into());
    }
    map.insert("message".into(), f.message.as_str().into());
    map.insert("figures".into(), f.figures.iter().map(|(k, v)| ((*k).to_owned(), value(model, v))).collect());
    map.insert("help".into(), f.help.as_str().into());
    Json::Object(map)
}
