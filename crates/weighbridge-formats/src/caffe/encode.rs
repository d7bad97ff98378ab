//! Messages in binary: settings by the numbers that the schema gives their names.

use weighbridge_model::Value;

use super::schema::{Entry, Kind, LAYER};
use super::settings::each;

/// A number of seven bits a byte, the lowest first.
pub(super) fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// A field's number and how its value is written: 0 as a varint, 2 behind its length, 5 in four bytes.
fn tag(out: &mut Vec<u8>, number: u32, wire: u64) {
    varint(out, u64::from(number) << 3 | wire);
}

/// The beginning of a field of so many bytes.
pub(super) fn head(out: &mut Vec<u8>, number: u32, len: u64) {
    tag(out, number, 2);
    varint(out, len);
}

/// A field of bytes.
pub(super) fn bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    head(out, number, bytes.len() as u64);
    out.extend(bytes);
}

/// A field of a whole number.
pub(super) fn int(out: &mut Vec<u8>, number: u32, n: i64) {
    tag(out, number, 0);
    varint(out, n as u64);
}

/// `BlobShape`.
pub(super) fn shape(dims: impl Iterator<Item = u64>) -> Vec<u8> {
    let (mut packed, mut out) = (Vec::new(), Vec::new());
    dims.for_each(|n| varint(&mut packed, n));
    if !packed.is_empty() {
        bytes(&mut out, 1, &packed);
    }
    out
}

/// A layer's settings, of whatever generation it is read from; and the names of those that have no place in a layer of
/// today, or are not whole.
pub(super) fn settings(given: &[(String, Value)]) -> (Vec<u8>, Vec<String>) {
    let (mut out, mut lost) = (Vec::new(), Vec::new());
    let old = |key: &str| given.iter().find(|(k, _)| k == key).map_or(&[][..], |(_, v)| each(v));
    let is_text = |v: &Value| matches!(v, Value::Str(_));
    let names: &[Value] = if old("param").iter().all(is_text) { old("param") } else { &[] };
    // V1 has three lists where a layer of today has a list of three.
    let (rates, decays) = (old("blobs_lr"), old("weight_decay"));
    let params = names.len().max(rates.len()).max(decays.len());
    for i in 0..params {
        let parts = [("name", names), ("lr_mult", rates), ("decay_mult", decays)];
        let param = parts.iter().filter_map(|(name, list)| Some(((*name).to_owned(), list.get(i)?.clone())));
        entry(&mut out, LAYER, "param", &Value::Map(param.collect()), &mut lost);
    }
    for (name, value) in given {
        match name.as_str() {
            "blobs_lr" | "weight_decay" => {}
            "param" if params > 0 => {}
            _ => entry(&mut out, LAYER, name, value, &mut lost),
        }
    }
    (out, lost)
}

/// A field by its name, once for each of its values.
fn entry(out: &mut Vec<u8>, schema: &[Entry], name: &str, value: &Value, lost: &mut Vec<String>) {
    let known = schema.iter().find(|(_, n, _)| *n == name);
    let unnamed = || name.strip_prefix("field_").and_then(|n| n.parse::<u32>().ok());
    let written = each(value).iter().all(|value| match (known, unnamed()) {
        (Some((number, _, kind)), _) => one(out, *number, *kind, value, lost),
        // Of what a fork added, the width of a floating-point number is not known.
        (None, Some(number)) => match value {
            Value::Int(n) => {
                int(out, number, *n);
                true
            }
            Value::Str(text) => {
                bytes(out, number, text.as_bytes());
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
fn one(out: &mut Vec<u8>, number: u32, kind: Kind, value: &Value, lost: &mut Vec<String>) -> bool {
    match (kind, value) {
        (Kind::Message(schema), Value::Map(fields)) => {
            let mut inner = Vec::new();
            fields.iter().for_each(|(name, value)| entry(&mut inner, schema, name, value, lost));
            bytes(out, number, &inner);
        }
        (Kind::Text, Value::Str(text)) => bytes(out, number, text.as_bytes()),
        (Kind::Int, Value::Int(n)) => int(out, number, *n),
        (Kind::Bool, Value::Bool(b)) => int(out, number, i64::from(*b)),
        (Kind::Bool, Value::Int(n)) => int(out, number, i64::from(*n != 0)),
        (Kind::Float, value) => {
            let Some(x) = value.as_float() else { return false };
            tag(out, number, 5);
            out.extend((x as f32).to_le_bytes());
        }
        (Kind::Enum(..), Value::Int(n)) => int(out, number, *n),
        (Kind::Enum(names, first), Value::Str(name)) => {
            let Some(at) = names.iter().position(|n| n == name) else { return false };
            int(out, number, at as i64 + first);
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, Value)]) -> Value {
        Value::Map(entries.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect())
    }

    #[test]
    fn settings_are_written_by_number() {
        let kernel = map(&[("kernel_size", Value::Int(300)), ("bias_term", Value::Bool(false))]);
        let given = [("convolution_param".to_owned(), kernel), ("nobody's".to_owned(), Value::Int(1))];
        let (bytes, lost) = settings(&given);
        // Field 106, five bytes: field 4 is 300, field 2 is 0.
        assert_eq!(bytes, [0xd2, 0x06, 5, 0x20, 0xac, 0x02, 0x10, 0]);
        assert_eq!(lost, ["nobody's"]);
    }

    #[test]
    fn lists_of_v1_become_a_list() {
        let rates = Value::List(vec![Value::Int(1), Value::Float(2.0)]);
        let (bytes, lost) = settings(&[("blobs_lr".to_owned(), rates)]);
        let one = |x: f32| [&[0x32, 5, 0x1d][..], &x.to_le_bytes()].concat();
        assert_eq!(bytes, [one(1.0), one(2.0)].concat());
        assert!(lost.is_empty());
    }
}
