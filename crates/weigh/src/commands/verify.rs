//! `weigh verify A… B`: whether two models compute the same.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};
use weighbridge_formats::{Access, ReadOptions, by_id, open};
use weighbridge_model::{Error, Model, Result};
use weighbridge_report::json::SCHEMA;
use weighbridge_report::table::{Cell, Table, clean};
use weighbridge_run::{Comparison, Options, Side, Verdict, from_file, verify_sides};

use super::lower::in_state;
use crate::args::VerifyArgs;
use crate::{engine, parse, printer};

/// Inner values that a table lists.
const LISTED: usize = 20;

/// Whether the outputs agree.
pub fn run(args: &VerifyArgs) -> Result<bool> {
    let (files_a, files_b) = sides(args)?;
    let format = args.format.as_deref().map(by_id).transpose()?;
    let read = ReadOptions { access: Access { no_mmap: args.no_mmap }, ..ReadOptions::default() };
    let (a, b) = (open(&files_a, format, &read)?, open(&files_b, format, &read)?);
    let (a, b) = (in_state(a, &args.state), in_state(b, &args.state));
    fits(&a)?;
    fits(&b)?;
    let engine = |model| engine::open_for(model, &args.engine);
    let (engine_a, engine_b) = (engine(&a)?, engine(&b)?);
    let given = args.inputs.as_deref().map(|path| from_file(&a, path)).transpose()?;
    let options = Options {
        tolerance: args.tolerance,
        seed: args.seed,
        shapes: parse::shapes(&args.shapes)?.inputs,
        inner: !args.outputs_only,
        time: args.time,
    };
    let (side_a, side_b) = (Side { model: &a, engine: &*engine_a }, Side { model: &b, engine: &*engine_b });
    let verdict = verify_sides(side_a, side_b, given, &options)?;
    if args.json {
        printer::json(document(&verdict))?;
    } else {
        print(&verdict)?;
    }
    engine::tell_guessed(&verdict.guessed);
    if verdict.insensitive {
        printer::note(
            "the outputs hardly depend on the inputs: that they agree says little about the weights",
        );
    }
    Ok(verdict.ok)
}

/// The files of each side: the last one is the second model's, unless that is told apart.
fn sides(args: &VerifyArgs) -> Result<(Vec<&Path>, Vec<&Path>)> {
    let files: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
    match (files.as_slice(), args.with.as_slice()) {
        ([a @ .., b], []) if !a.is_empty() => Ok((a.to_vec(), vec![*b])),
        (_, []) => Err(Error::Usage { what: "two models are compared: name the second one too".into() }),
        (a, b) => Ok((a.to_vec(), b.iter().map(PathBuf::as_path).collect())),
    }
}

/// Whether the weights of a pair of files belong to its net; Caffe would refuse what this does.
fn fits(model: &Model) -> Result<()> {
    let wrong = model.findings.iter().filter(|f| matches!(f.code, "C103" | "C104"));
    let reasons: Vec<_> = wrong.map(|f| (f.node.clone().unwrap_or_default(), f.message.clone())).collect();
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Error::Refused { what: "these weights are not this net's".into(), reasons, help: None })
}

fn document(verdict: &Verdict) -> Map<String, Json> {
    let list = |compared: &[Comparison]| -> Json {
        let each = compared.iter().map(|c| {
            let mut entry = json!({
                "name": c.name,
                "max_abs": c.max_abs,
                "max_rel": c.max_rel,
                "max_ulp": c.max_ulp,
                "cosine": c.cosine,
                "ok": c.ok,
            });
            if let Some(noise) = c.noise {
                entry["noise"] = noise.into();
            }
            if let Some(why) = &c.why {
                entry["why"] = why.clone().into();
            }
            entry
        });
        each.collect()
    };
    let mut document = Map::new();
    document.insert("schema".into(), SCHEMA.into());
    document.insert("outputs".into(), list(&verdict.outputs));
    document.insert("inner".into(), list(&verdict.inner));
    if let Some(first) = &verdict.first_divergence {
        let first = json!({"node": first.node, "op": first.op, "tensor": first.tensor});
        document.insert("first_divergence".into(), first);
    }
    let guessed = verdict.guessed.iter().map(|(name, shape)| json!({"name": name, "shape": shape}));
    document.insert("guessed_shapes".into(), guessed.collect());
    document.insert("insensitive".into(), verdict.insensitive.into());
    document.insert("engines".into(), verdict.engines.clone().into());
    if let Some(times) = &verdict.times {
        document.insert("seconds".into(), json!({"a": times.a, "b": times.b}));
    }
    document.insert("ok".into(), verdict.ok.into());
    document
}

fn print(verdict: &Verdict) -> Result<()> {
    let mut table = Table::new(&[
        ("value", false),
        ("max abs", true),
        ("max rel", true),
        ("ULP", true),
        ("cosine", true),
        ("", false),
    ]);
    let differing = verdict.inner.iter().filter(|c| !c.ok).take(LISTED);
    for compared in verdict.outputs.iter().chain(differing) {
        table.row(vec![
            Cell::from(clean(&compared.name)),
            Cell::from(format!("{:.3e}", compared.max_abs)),
            Cell::from(format!("{:.3e}", compared.max_rel)),
            Cell::from(compared.max_ulp.map(|ulp| ulp.to_string()).unwrap_or_default()),
            Cell::from(format!("{:.9}", compared.cosine)),
            Cell::from(match (&compared.why, compared.ok) {
                (Some(why), _) => clean(why),
                (None, true) => "same".to_owned(),
                (None, false) => match compared.noise {
                    Some(noise) if compared.within_noise() => {
                        format!("differs by no more than its rounding ({noise:.0e})")
                    }
                    _ => "differs".to_owned(),
                },
            }),
        ]);
    }
    let mut text = table.render(printer::width());
    let same = verdict.inner.iter().filter(|c| c.ok).count();
    text += &format!("inner values of the same name: {} of {} the same\n", same, verdict.inner.len());
    if let Some(first) = &verdict.first_divergence {
        let named = format!("{} ({}), by '{}'", first.node, first.op, first.tensor);
        text += &format!("first to differ: {}\n", clean(&named));
    }
    if let Some(times) = &verdict.times {
        text += &format!("a run takes {:.2} ms and {:.2} ms\n", times.a * 1e3, times.b * 1e3);
    }
    let says = if verdict.ok { "the same" } else { "not the same" };
    text += &format!("{says}, on {}\n", verdict.engines.join(", "));
    printer::data(&text)
}
