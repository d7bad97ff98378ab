//! Simplifies ONNX models and tells in a line of JSON what was done to each, without running them.
//!
//!     cargo run -p weighbridge-graph --example simplify -- [--only PASS]… [--pin x=1,3,224,224] IN OUT [IN OUT]…

use std::path::Path;

use serde_json::{Value, json};
use weighbridge_formats::{Carry, ReadOptions, WriteOptions, by_id, open};
use weighbridge_graph::infer::{Pins, pin};
use weighbridge_graph::passes::{Choice, simplify};
use weighbridge_model::Result;

fn main() -> Result<()> {
    let (mut choice, mut pins, mut files) = (Choice::default(), Pins::default(), Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--only" => choice.only.push(args.next().unwrap_or_default()),
            "--pin" => pins.add(&args.next().unwrap_or_default())?,
            _ => files.push(arg),
        }
    }
    for pair in files.chunks_exact(2) {
        let line = one(&pair[0], &pair[1], &choice, &pins);
        println!("{}", line.unwrap_or_else(|error| json!({ "error": error.to_string() })));
    }
    Ok(())
}

fn one(from: &str, to: &str, choice: &Choice, pins: &Pins) -> Result<Value> {
    let mut model = open(&[Path::new(from)], Some(by_id("onnx")?), &ReadOptions::default())?;
    if let Some(graph) = &mut model.graph {
        pin(graph, pins)?;
    }
    let start = std::time::Instant::now();
    let report = simplify(&mut model, choice)?;
    let seconds = start.elapsed().as_secs_f64();
    let plan = by_id("onnx")?.plan(&model, Path::new(to), &WriteOptions::default())?;
    plan.write(&[], Carry { force: true, sync: false }, &|_| {})?;
    let (before, after) = report.nodes();
    let applied: Vec<Value> = report.applied.iter().map(|a| json!([a.pass, a.count])).collect();
    let refused: Vec<Value> = report.refused.iter().map(|r| json!([r.pass, r.node, r.why])).collect();
    Ok(json!({
        "before": before, "after": after, "seconds": seconds, "operators": report.after,
        "applied": applied, "refused": refused,
    }))
}
