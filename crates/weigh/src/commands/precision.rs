//! `weigh convert NET.onnx --precision f16 -o MIXED.onnx`: the same graph, most of it in 16 bits.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use weighbridge_formats::{Carry, WriteOptions, by_id};
use weighbridge_graph::infer::{self, infer};
use weighbridge_graph::precision::{Mixed, Options, mixed};
#[cfg(feature = "run")]
use weighbridge_judge::check::lost_channels;
use weighbridge_judge::keep::{Policy, Seen, keep};
#[cfg(feature = "run")]
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::{DType, Error, Model, Result, ValueId};
use weighbridge_report::json::SCHEMA;
use weighbridge_report::table::clean;
use weighbridge_report::units;
#[cfg(feature = "run")]
use weighbridge_run::{feed, from_file, observe};

use super::lower::lowered;
use crate::args::ConvertArgs;
#[cfg(feature = "run")]
use crate::engine;
use crate::{input, parse, printer, progress};

/// Kept nodes that the text lists for each reason.
const NAMED: usize = 3;

pub fn run(args: &ConvertArgs, precision: &str) -> Result<()> {
    let to = match precision.to_lowercase().as_str() {
        "f16" | "fp16" | "float16" => DType::F16,
        "bf16" | "bfloat16" => DType::BF16,
        _ => {
            let near = ["f16", "bf16"].map(str::to_owned).to_vec();
            return Err(Error::NotFound { kind: "precision", name: precision.to_owned(), near });
        }
    };
    let opened = input::read(&args.input)?;
    printer::findings(&opened.model.findings);
    let files = opened.model.files.clone();
    let (model, _) = lowered(opened.model, &args.lower)?;
    let types = types(&model);
    let wanted = &args.precision;
    let policy = Policy { to, keep_unsafe: wanted.keep_unsafe, allow_overflow: args.allow_overflow };
    let seen = if wanted.keep_unsafe { seen(&model, args, to)? } else { Vec::new() };
    let bar = progress::bar(model.tensors.iter().map(|t| t.bytes()).fold(0, u64::saturating_add));
    let kept = keep(&model, &seen, &policy, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let typed = mixed(&model, &types, &kept?, &Options { to, io: wanted.io })?;

    let external = args.external.as_deref().map(parse::bytes).transpose()?;
    let options = WriteOptions { external, ..WriteOptions::default() };
    let plan = by_id("onnx")?.plan(&typed.model, &args.output, &options)?;
    let how = Carry { force: args.force, sync: args.sync };
    plan.check(&files, how)?;
    if !args.dry_run {
        let bar = progress::bar(plan.bytes());
        plan.write(&files, how, &|bytes| bar.inc(bytes))?;
        bar.finish_and_clear();
    }
    let written: Vec<String> = plan.files.iter().map(|f| f.path.display().to_string()).collect();
    if args.input.json {
        printer::json(document(&typed, to, written, args.dry_run))
    } else {
        print(&typed, to, &written, args.dry_run)
    }
}

/// What the activations are, on the inputs that are given, otherwise on random ones.
#[cfg(feature = "run")]
fn seen(model: &Model, args: &ConvertArgs, to: DType) -> Result<Vec<Seen>> {
    let wanted = &args.precision;
    let engine = engine::open(&wanted.engine)?;
    let inputs = match &wanted.inputs {
        Some(path) => from_file(model, path)?,
        None => engine::told(feed(model, &*engine, &parse::shapes(&args.lower.shapes)?.inputs, 0)?),
    };
    let formats: Vec<FloatFormat> = FloatFormat::of(to).into_iter().collect();
    let observed = observe(model, &*engine, &inputs, &formats)?;
    let seen = observed.into_iter().filter_map(|observed| {
        let summary = observed.measured.summary?;
        let lost_channels = observed.channels.first().map_or(0, |channels| lost_channels(channels).len());
        Some(Seen {
            value: observed.value,
            abs_max: summary.abs_max?.to_f64(),
            sqnr_db: observed.measured.survival.first()?.sqnr_db(),
            count: summary.count,
            lost_channels,
        })
    });
    Ok(seen.collect())
}

/// Without engines, weights and operators alone tell what is unsafe.
#[cfg(not(feature = "run"))]
fn seen(_: &Model, _: &ConvertArgs, _: DType) -> Result<Vec<Seen>> {
    Ok(Vec::new())
}

/// The types of the values of the outermost graph.
fn types(model: &Model) -> Vec<Option<DType>> {
    let Some(graph) = &model.graph else { return Vec::new() };
    let facts = infer(model, graph, &infer::Options::default());
    (0..).map(ValueId).take(graph.values.len()).map(|id| facts.of(id).dtype()).collect()
}

fn document(typed: &Mixed, to: DType, files: Vec<String>, dry_run: bool) -> serde_json::Map<String, Json> {
    let kept: Vec<Json> =
        typed.kept.iter().map(|k| json!({"node": k.node, "op": k.op, "why": k.why})).collect();
    let document = json!({
        "schema": SCHEMA,
        "precision": {
            "to": to.name(),
            "narrow_nodes": typed.narrow,
            "kept": kept,
            "casts": typed.casts,
            "saturated": typed.saturated,
        },
        "files": files,
        "dry_run": dry_run,
    });
    match document {
        Json::Object(map) => map,
        _ => unreachable!("an object was written"),
    }
}

fn print(typed: &Mixed, to: DType, files: &[String], dry_run: bool) -> Result<()> {
    let mut text = format!("{:8} {}\n", to.name().to_lowercase(), units::plural(typed.narrow as u64, "node"));
    text += &format!("f32      {}\n", units::plural(typed.kept.len() as u64, "node"));
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for kept in &typed.kept {
        reasons.entry(&kept.why).or_default().push(format!("{} ({})", kept.node, kept.op));
    }
    for (why, nodes) in reasons {
        let more =
            if nodes.len() > NAMED { format!(" and {} more", nodes.len() - NAMED) } else { String::new() };
        let named = nodes.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        text += &format!("  {}{more}: {}\n", clean(&named), clean(why));
    }
    text += &format!("casts    {}\n", typed.casts);
    if !typed.saturated.is_empty() {
        text += &format!(
            "limited  {}: limits and masks beyond the range became its ends\n",
            clean(&typed.saturated.join(", "))
        );
    }
    for file in files {
        text += &format!("{}  {}\n", if dry_run { "would be" } else { "file   " }, clean(file));
    }
    printer::data(&text)
}
