//! A net from its text: the same layers as in binary, whatever else stands in them.

use weighbridge_model::{Error, Limits, Model, Place, Result, Value};

use super::binary::{Reader, in_layer, type_of};
use super::blob::Blob;
use super::net::{Layer, Net, Version};
use super::settings::each;
use super::text;
use crate::source::Source;

/// The net that a text message describes, and the tensors in it, of which most texts have none.
pub(super) fn read(source: &Source, limits: &Limits) -> Result<(Net, Model)> {
    let (fields, place) = (text::read(source)?, &source.place(0));
    let mut reader = Reader::new(source.len(), limits);
    let (mut shapes, mut dims) = (Vec::new(), Vec::new());
    let ints = |value: &Value| each(value).iter().filter_map(Value::as_int).collect::<Vec<_>>();
    for (name, value) in fields {
        match name.as_str() {
            "name" => reader.net.name = word(&value),
            "input" => reader.net.inputs.extend(each(&value).iter().map(|v| (word(v), None))),
            "input_dim" => dims = ints(&value),
            "input_shape" => {
                shapes = each(&value).iter().map(|v| v.get("dim").map_or(vec![], ints)).collect()
            }
            "layer" | "layers" => {
                let current = name == "layer";
                let items = match value {
                    Value::List(items) => items,
                    single => vec![single],
                };
                for item in items {
                    let Value::Map(fields) = item else {
                        return Err(Error::malformed(place.clone(), format!("a {name} that is no message")));
                    };
                    reader.text_layer(fields, current, place)?;
                }
            }
            _ => reader.net.other.push((name, value)),
        }
    }
    reader.net.shape_inputs(shapes, &dims);
    Ok((reader.net, reader.blobs.finish()))
}

/// What stands where text belongs, as text.
fn word(value: &Value) -> String {
    match value {
        Value::Str(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        // A field that comes twice where one belongs: the last one counts.
        Value::List(items) => items.last().map(word).unwrap_or_default(),
        _ => String::new(),
    }
}

impl Reader {
    fn text_layer(&mut self, fields: Vec<(String, Value)>, current: bool, place: &Place) -> Result<()> {
        let mut version = if current { Version::Current } else { Version::V1 };
        let (mut layer, mut blobs, mut other) = (Layer::default(), Vec::new(), Vec::new());
        let mut take = |layer: &mut Layer, name: String, value: Value| match name.as_str() {
            "name" => layer.name = word(&value),
            "type" => layer.kind = word(&value),
            "bottom" => layer.bottoms = each(&value).iter().map(word).collect(),
            "top" => layer.tops = each(&value).iter().map(word).collect(),
            "blobs" => match value {
                Value::List(items) => blobs.extend(items),
                single => blobs.push(single),
            },
            _ => other.push((name, value)),
        };
        for (name, value) in fields {
            match value {
                Value::Map(inner) if name == "layer" && !current => {
                    version = Version::V0;
                    inner.into_iter().for_each(|(name, value)| take(&mut layer, name, value));
                }
                value => take(&mut layer, name, value),
            }
        }
        if version == Version::V1 && layer.kind.is_empty() {
            layer.kind = type_of(0);
        }
        layer.settings = other;
        self.one_more(place)?;
        let read = self.blobs.of_layer(&mut layer, &blobs, |blob, name, _| Blob::of_text(blob, name, place));
        read.map_err(|error| in_layer(error, &layer.name))?;
        self.net.seen(version);
        self.net.layers.push(layer);
        Ok(())
    }
}
