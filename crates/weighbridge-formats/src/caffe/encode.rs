//! Messages in binary: settings by the numbers that the schema gives their names.

use weighbridge_model::Value;

use super::schema::{Entry, Kind, LAYER};
use super::settings::each;
use crate::protobuf::write::Draft;

/// Adds a layer's settings, of whatever generation it is read from; returns the names of those that have no place in a
/// layer of today, or are not whole.
pub(super) fn settings(out: &mut Draft, given: &[(String, Value)]) -> Vec<String> {
    let mut lost = Vec::new();
    let old = |key: &str| given.iter().find(|(k, _)| k == key).map_or(&[][..], |(_, v)| each(v));
    let is_text = |v: &Value| matches!(v, Value::Str(_));
    let names: &[Value] = if old("param").iter().all(is_text) { old("param") } else { &[] };
    // V1 has three lists where a layer of today has a list of three.
    let (rates, decays) = (old("blobs_lr"), old("weight_decay"));
    let params = names.len().max(rates.len()).max(decays.len());
    for i in 0..params {
        let parts = [("name", names), ("lr_mult", rates), ("decay_mult", decays)];
        let param = parts.iter().filter_map(|(name, list)| Some(((*name).to_owned(), list.get(i)?.clone())));
        entry(out, LAYER, "param", &Value::Map(param.collect()), &mut lost);
    }
    for (name, value) in given {
        match name.as_str() {
            "blobs_lr" | "weight_decay" => {}
            "param" if params > 0 => {}
            _ => entry(out, LAYER, name, value, &mut lost),
        }
    }
    lost
}

/// A field by its name, once for each of its values.
fn entry(out: &mut Draft, schema: &[Entry], name: &str, value: &Value, lost: &mut Vec<String>) {
    let known = schema.iter().find(|(_, n, _)| *n == name);
    let unnamed = || name.strip_prefix("field_").and_then(|n| n.parse::<u32>().ok());
    let written = each(value).iter().all(|value| match (known, unnamed()) {
        (Some((number, _, kind)), _) => one(out, *number, *kind, value, lost),
        // Of what a fork added, the width of a floating-point number is not known.
        (None, Some(number)) => match value {
            Value::Int(n) => {
                out.int(number, *n);
                true
            }
            Value::Str(text) => {
                out.bytes(number, text.as_bytes());
                true
            }
            _ => false,
        },
        _ => false,
    });
    if !written {
        lost.push(name.to_owned());
    }
}

/// A value of a known kind; false where it is of another.
fn one(out: &mut Draft, number: u32, kind: Kind, value: &Value, lost: &mut Vec<String>) -> bool {
    match (kind, value) {
        (Kind::Message(schema), Value::Map(fields)) => {
            let mut inner = Draft::default();
            fields.iter().for_each(|(name, value)| entry(&mut inner, schema, name, value, lost));
            out.message(number, inner);
        }
        (Kind::Text, Value::Str(text)) => out.bytes(number, text.as_bytes()),
        (Kind::Int, Value::Int(n)) => out.int(number, *n),
        (Kind::Bool, Value::Bool(b)) => out.int(number, i64::from(*b)),
        (Kind::Bool, Value::Int(n)) => out.int(number, i64::from(*n != 0)),
        (Kind::Float, value) => {
            let Some(x) = value.as_float() else { return false };
            out.float(number, x as f32);
        }
        (Kind::Enum(..), Value::Int(n)) => out.int(number, *n),
        (Kind::Enum(names, first), Value::Str(name)) => {
            let Some(at) = names.iter().position(|n| n == name) else { return false };
            out.int(number, at as i64 + first);
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(given: &[(String, Value)]) -> (Vec<u8>, Vec<String>) {
        let mut draft = Draft::default();
        let lost = settings(&mut draft, given);
        (draft.at_hand(), lost)
    }

    fn map(entries: &[(&str, Value)]) -> Value {
        Value::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect())
    }

    #[test]
    fn settings_are_written_by_number() {
        let kernel = map(&[("kernel_size", Value::Int(300)), ("bias_term", Value::Bool(false))]);
        let given = [("convolution_param".to_owned(), kernel), ("nobody's".to_owned(), Value::Int(1))];
        let (bytes, lost) = written(&given);
        // Field 106, five bytes: field 4 is 300, field 2 is 0.
        assert_eq!(bytes, [0xd2, 0x06, 5, 0x20, 0xac, 0x02, 0x10, 0]);
        assert_eq!(lost, ["nobody's"]);
    }

    #[test]
    fn lists_of_v1_become_a_list() {
        let rates = Value::List(vec![Value::Int(1), Value::Float(2.0)]);
        let (bytes, lost) = written(&[("blobs_lr".to_owned(), rates)]);
        let one = |x: f32| [&[0x32, 5, 0x1d][..], &x.to_le_bytes()].concat();
        assert_eq!(bytes, [one(1.0), one(2.0)].concat());
        assert!(lost.is_empty());
    }
}
