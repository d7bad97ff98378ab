//! JSON text in containers, as metadata.

use serde_json::Value as Json;
use weighbridge_model::Value;

/// A JSON document as metadata, keys in order.
pub(crate) fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(x)) if !n.is_u64() => Value::Float(x),
            _ => Value::BigInt(n.to_string()),
        },
        Json::String(s) => Value::Str(s),
        Json::Array(items) => Value::List(items.into_iter().map(value).collect()),
        Json::Object(entries) => Value::Map(entries.into_iter().map(|(k, v)| (k, value(v))).collect()),
    }
}
