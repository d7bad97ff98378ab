//! Prints what is inferred of each value of ONNX models, a line of JSON a model.
//!
//!     cargo run -p weighbridge-graph --example infer -- [--ignore-declared] [--pin x=1,3,224,224] FILE…

use std::path::Path;

use serde_json::{Map, Value, json};
use weighbridge_formats::{ReadOptions, open};
use weighbridge_graph::infer::{Elements, Fact, Facts, Options, Pins, Size, infer, pin};
use weighbridge_model::{Graph, Result};

fn main() -> Result<()> {
    let mut options = Options::default();
    let (mut pins, mut files) = (Pins::default(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--ignore-declared" => options.ignore_declared = true,
            "--pin" => pins.add(&args.next().unwrap_or_default())?,
            _ => files.push(arg),
        }
    }
    for file in files {
        let line = one(&file, &options, &pins).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        println!("{line}");
    }
    Ok(())
}

fn one(file: &str, options: &Options, pins: &Pins) -> Result<Value> {
    let mut model = open(&[Path::new(file)], None, &ReadOptions::default())?;
    let Some(mut graph) = model.graph.take() else { return Ok(json!({ "error": "no graph" })) };
    pin(&mut graph, pins)?;
    let start = std::time::Instant::now();
    let facts = infer(&model, &graph, options);
    let seconds = start.elapsed().as_secs_f64();
    let faults: Vec<String> = facts.faults.iter().map(ToString::to_string).collect();
    Ok(json!({ "values": values(&graph, &facts), "faults": faults, "seconds": seconds }))
}

fn values(graph: &Graph, facts: &Facts) -> Value {
    let named = graph.values.iter().zip(&facts.graph.values);
    Value::Object(named.map(|(value, fact)| (value.name.clone(), shown(fact))).collect::<Map<_, _>>())
}

fn shown(fact: &Fact) -> Value {
    match fact {
        Fact::Tensor(tensor) => json!({
            "kind": "tensor",
            "dtype": tensor.dtype.map(|dtype| dtype.name()),
            "shape": tensor.shape.as_ref().map(|shape| sizes(shape)),
            "elements": match &tensor.elements {
                Some(Elements::Whole(of)) => Some(sizes(of)),
                Some(Elements::Real(of)) => Some(json!(of.to_vec())),
                None => None,
            },
        }),
        Fact::Sequence { of, items } => json!({
            "kind": "sequence",
            "of": shown(of),
            "items": items.as_ref().map(|items| items.iter().map(shown).collect::<Vec<_>>()),
        }),
        Fact::Optional(of) => json!({ "kind": "optional", "of": shown(of) }),
        Fact::Map { key, value } => {
            json!({ "kind": "map", "key": key.map(|key| key.name()), "of": shown(value) })
        }
        _ => Value::Null,
    }
}

/// Known sizes as numbers, others as text.
fn sizes(sizes: &[Size]) -> Value {
    sizes.iter().map(|size| size.known().map_or_else(|| json!(size.to_string()), Value::from)).collect()
}
