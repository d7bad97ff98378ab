//! Which Dense layers of a Keras model read a picture that was flattened, and how many channels that picture has.

use std::collections::HashMap;

use weighbridge_model::Value;

/// Classes that leave a picture's channels as they are.
const KEEP: &[&str] = &[
    "Activation",
    "ReLU",
    "LeakyReLU",
    "PReLU",
    "BatchNormalization",
    "Normalization",
    "Rescaling",
    "Dropout",
    "SpatialDropout2D",
    "MaxPooling2D",
    "AveragePooling2D",
    "ZeroPadding2D",
    "Cropping2D",
    "UpSampling2D",
    "Add",
    "Average",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
];

/// Models within models that are followed.
const DEEPEST: usize = 32;

/// What a layer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Channels last; how many, where that is certain.
    Picture(Option<u64>),
    /// A picture of so many channels, flattened.
    Flat(Option<u64>),
    /// Neither.
    Vector,
}

/// The Dense layers behind a Flatten by name, each with the channels of the picture where they are certain.
pub(super) fn behind(config: &Value) -> HashMap<String, Option<u64>> {
    let mut found = HashMap::new();
    network(config, DEEPEST, &mut found);
    found
}

fn network(model: &Value, depth: usize, found: &mut HashMap<String, Option<u64>>) {
    let config = model.get("config");
    let list = config.and_then(|c| c.get("layers").or(Some(c))).and_then(Value::as_list);
    let (Some(list), Some(depth)) = (list, depth.checked_sub(1)) else { return };
    let chain = model.get("class_name").and_then(Value::as_str) == Some("Sequential");
    let mut flows: Vec<Flow> = Vec::with_capacity(list.len());
    // Layers stand behind those that they read from.
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (i, layer) in list.iter().enumerate() {
        let class = layer.get("class_name").and_then(Value::as_str).unwrap_or_default();
        let setting = |name: &str| layer.get("config").and_then(|c| c.get(name));
        let name = setting("name").or_else(|| layer.get("name")).and_then(Value::as_str).unwrap_or_default();
        let given = ["batch_shape", "batch_input_shape"].iter().find_map(|s| setting(s)?.as_list());
        let input = if let Some(shape) = given.filter(|_| class == "InputLayer" || chain && i == 0) {
            match shape.len() {
                // Rows of numbers, which may or may not be channels elsewhere.
                3 => Flow::Picture(None),
                4.. => Flow::Picture(shape.last().and_then(number)),
                _ => Flow::Vector,
            }
        } else if chain {
            flows.last().copied().unwrap_or(Flow::Picture(None))
        } else {
            let mut names = Vec::new();
            layer.get("inbound_nodes").into_iter().for_each(|nodes| sources(nodes, DEEPEST, &mut names));
            let inputs: Vec<Option<Flow>> = names.iter().map(|n| Some(flows[*places.get(n)?])).collect();
            merge(&inputs)
        };
        let filters = setting("filters").and_then(number);
        let multiplier = setting("depth_multiplier").and_then(number).unwrap_or(1);
        let flow = match (class, input) {
            ("InputLayer", _) => input,
            ("Flatten", Flow::Picture(channels)) => Flow::Flat(channels),
            ("Flatten", _) => input,
            ("Reshape", _) => Flow::Flat(None),
            ("Dense", Flow::Picture(_)) => Flow::Picture(setting("units").and_then(number)),
            ("Dense", Flow::Flat(channels)) => {
                let of_name = found.entry(name.to_owned()).or_insert(channels);
                *of_name = of_name.filter(|c| Some(*c) == channels);
                Flow::Vector
            }
            ("Dense", Flow::Vector) => Flow::Vector,
            ("DepthwiseConv2D", Flow::Picture(Some(n))) => Flow::Picture(n.checked_mul(multiplier)),
            _ if filters.is_some() => Flow::Picture(filters),
            _ if KEEP.contains(&class) || class.starts_with("Global") => input,
            (_, Flow::Flat(_)) => Flow::Flat(None),
            _ => Flow::Picture(None),
        };
        network(layer, depth, found);
        places.insert(name, i);
        flows.push(flow);
    }
}

/// What several inputs have in common. Of none, and of one that is not known, anything may be true.
fn merge(inputs: &[Option<Flow>]) -> Flow {
    match inputs {
        [Some(first), rest @ ..] if rest.iter().all(|flow| *flow == Some(*first)) => *first,
        [] => Flow::Flat(None),
        _ if inputs.iter().any(|flow| matches!(flow, None | Some(Flow::Flat(_)))) => Flow::Flat(None),
        _ => Flow::Picture(None),
    }
}

/// The layers that `inbound_nodes` names: `{"keras_history": [NAME, …]}` of Keras 3, `[NAME, 0, 0, {}]` before.
fn sources<'a>(nodes: &'a Value, depth: usize, found: &mut Vec<&'a str>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match nodes {
        Value::Map(entries) => {
            for (key, value) in entries {
                match (key.as_str(), value.as_list()) {
                    ("keras_history", Some([Value::Str(name), ..])) => found.push(name),
                    _ => sources(value, depth, found),
                }
            }
        }
        Value::List(items) => match items.as_slice() {
            [Value::Str(name), Value::Int(_), Value::Int(_), rest @ ..] => {
                found.push(name);
                rest.iter().for_each(|item| sources(item, depth, found));
            }
            _ => items.iter().for_each(|item| sources(item, depth, found)),
        },
        _ => {}
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_int().and_then(|n| u64::try_from(n).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Str(text.into())
    }

    fn map(entries: Vec<(&str, Value)>) -> Value {
        Value::Map(entries.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    /// A layer of this class and name that reads from others, as Keras 2 or 3 writes that.
    fn layer(class: &str, name: &str, from: &[&str], keras: u8, settings: &[(&str, i64)]) -> Value {
        let from = from.iter().map(|from| match keras {
            2 => Value::List(vec![text(from), Value::Int(0), Value::Int(0), map(vec![])]),
            _ => map(vec![("keras_history", Value::List(vec![text(from), Value::Int(0), Value::Int(0)]))]),
        });
        let mut config: Vec<_> = settings.iter().map(|(k, v)| (*k, Value::Int(*v))).collect();
        config.push(("name", text(name)));
        let nodes = Value::List(vec![Value::List(from.collect())]);
        map(vec![("class_name", text(class)), ("config", map(config)), ("inbound_nodes", nodes)])
    }

    #[test]
    fn a_graph_of_layers_is_followed() {
        for keras in [2, 3] {
            let of = |class: &str, name: &str, from: &[&str], settings: &[(&str, i64)]| {
                layer(class, name, from, keras, settings)
            };
            let layers = Value::List(vec![
                of("Conv2D", "a", &["in"], &[("filters", 4)]),
                of("Conv2D", "b", &["in"], &[("filters", 4)]),
                of("Add", "sum", &["a", "b"], &[]),
                of("DepthwiseConv2D", "dw", &["sum"], &[("depth_multiplier", 2)]),
                of("Flatten", "flat", &["dw"], &[]),
                of("Dropout", "drop", &["flat"], &[]),
                of("Dense", "first", &["drop"], &[("units", 3)]),
                of("Dense", "second", &["first"], &[("units", 3)]),
                of("Concatenate", "both", &["a", "sum"], &[]),
                of("Flatten", "all", &["both"], &[]),
                of("Dense", "third", &["all"], &[("units", 3)]),
                of("GlobalAveragePooling2D", "mean", &["a"], &[]),
                of("Dense", "fourth", &["mean"], &[("units", 3)]),
            ]);
            let config = map(vec![("layers", layers)]);
            let found = behind(&map(vec![("class_name", text("Functional")), ("config", config)]));
            assert_eq!(
                (found.get("first"), found.get("third")),
                (Some(&Some(8)), Some(&None)),
                "Keras {keras}"
            );
            assert_eq!((found.get("second"), found.get("fourth")), (None, None), "Keras {keras}");
        }
    }
}
