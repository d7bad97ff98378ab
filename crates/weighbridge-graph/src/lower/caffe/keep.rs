//! Layers that stay what they are: nodes of the domain `caffe`, for an engine that has an operator of that name.

use weighbridge_model::{Attribute, DType, Node, Result, Value};

use super::work::Job;

/// The domain of layers that are kept.
pub(super) const DOMAIN: &str = "caffe";

/// A layer as a node of its own type, its settings as attributes: those of a message under `MESSAGE.NAME`.
pub(super) fn kept(job: &mut Job<'_, '_>) -> Result<()> {
    let sizes = job.bottoms.iter().all(|bottom| job.work.shapes.contains_key(bottom));
    let why = if sizes { "its type has no equal here" } else { "its bottoms have no sizes that are known" };
    kept_for(job, why)
}

/// As [`kept`], for this reason.
pub(super) fn kept_for(job: &mut Job<'_, '_>, why: &str) -> Result<()> {
    job.choose(format!("stays a node of the domain '{DOMAIN}': {why}"));
    let opsets = &mut job.work.build.graph.opsets;
    if opsets.iter().all(|(domain, _)| domain != DOMAIN) {
        opsets.push((DOMAIN.to_owned(), 1));
    }
    let mut attributes = Vec::new();
    for (name, attribute) in &job.layer.node().attributes {
        if let Attribute::Value(value) = attribute {
            flat(name, value, &mut attributes);
        }
    }
    let mut inputs: Vec<_> = job.bottoms.iter().copied().map(Some).collect();
    for &id in &job.layer.blobs {
        let tensor = job.work.source.tensor(id).clone();
        job.work.used.insert(id);
        inputs.push(Some(job.hold(tensor)));
    }
    for &top in &job.tops {
        job.work.made.insert(top);
        job.work.set_shape(top, DType::F32, None);
    }
    job.work.build.graph.nodes.push(Node {
        name: job.layer.name().to_owned(),
        domain: DOMAIN.to_owned(),
        op: job.layer.kind.to_owned(),
        inputs,
        outputs: job.tops.iter().copied().map(Some).collect(),
        attributes,
        ..Node::default()
    });
    Ok(())
}

/// A value as attributes that ONNX has; of what has no place there, such as runs of bytes, nothing.
fn flat(name: &str, value: &Value, attributes: &mut Vec<(String, Attribute)>) {
    let plain = match value {
        Value::Bool(b) => Value::Int(i64::from(*b)),
        Value::Int(_) | Value::Float(_) | Value::Str(_) => value.clone(),
        Value::Map(fields) => {
            fields.iter().for_each(|(field, value)| flat(&format!("{name}.{field}"), value, attributes));
            return;
        }
        Value::List(items) => {
            let numbers = items.iter().all(|v| matches!(v, Value::Int(_) | Value::Float(_)));
            let same = items
                .windows(2)
                .all(|pair| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]));
            match items.first() {
                Some(Value::Int(_) | Value::Float(_) | Value::Str(_)) if same => value.clone(),
                Some(_) if numbers => {
                    Value::List(items.iter().filter_map(Value::as_float).map(Value::Float).collect())
                }
                _ => {
                    for (i, item) in items.iter().enumerate() {
                        flat(&format!("{name}.{i}"), item, attributes);
                    }
                    return;
                }
            }
        }
        _ => return,
    };
    attributes.push((name.to_owned(), Attribute::Value(plain)));
}
