//! `weigh simplify IN.onnx -o OUT.onnx`: what the passes did and left, and whether the result computes the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use weighbridge_formats::{Access, Carry, ReadOptions, WriteOptions, by_id, open};
use weighbridge_graph::infer::pin as pin_inputs;
use weighbridge_graph::passes::{Choice, PASSES, Report, simplify};
use weighbridge_model::{Model, Result};
use weighbridge_report::json::SCHEMA;
use weighbridge_report::table::{Cell, Table, clean};

use super::proof::{Proof, prove};
use crate::args::SimplifyArgs;
use crate::{parse, printer, progress};

/// Places that are told of without being asked.
const TOLD: usize = 5;

/// Whether the result computes the same, as far as that was seen.
pub fn run(args: &SimplifyArgs) -> Result<bool> {
    if args.list_passes {
        return list(args.json).map(|()| true);
    }
    let file = args.file.as_ref().expect("clap asks for it");
    let read = ReadOptions { access: Access { no_mmap: args.no_mmap }, ..ReadOptions::default() };
    let before = open(&[file], Some(by_id("onnx")?), &read)?;
    printer::findings(&before.findings);
    let mut after = before.clone();
    pin(&mut after, args)?;
    let also = [(args.fold_bn, "fold-bn"), (args.reparameterize, "reparameterize")];
    let also = also.into_iter().filter(|(asked, _)| *asked).map(|(_, pass)| pass.to_owned()).collect();
    let choice = Choice { only: args.only.clone(), keep: args.keep.clone(), also };
    let report = simplify(&mut after, &choice).map_err(|e| e.in_source(&file.display().to_string()))?;
    let mut files = Vec::new();
    let mut plan = None;
    let how = Carry { force: args.force, sync: args.sync };
    if let Some(output) = &args.output {
        let external = args.external.as_deref().map(parse::bytes).transpose()?;
        let options = WriteOptions { external, ..WriteOptions::default() };
        let planned = by_id("onnx")?.plan(&after, output, &options)?;
        planned.check(&before.files, how)?;
        files.extend(planned.files.iter().map(|f| f.path.display().to_string()));
        plan = Some(planned);
    }
    let proof = prove(&before, &after, args)?;
    let differs = matches!(proof, Proof::Differs(_));
    if let Some(plan) = plan.filter(|_| !differs && !args.dry_run) {
        let bar = progress::bar(plan.bytes());
        plan.write(&before.files, how, &|bytes| bar.inc(bytes))?;
        bar.finish_and_clear();
    }
    if args.json {
        printer::json(document(&report, &proof, &files, args.dry_run))?;
    } else {
        print(&report, args)?;
        proof.tell();
    }
    Ok(!differs)
}

/// Gives inputs the shapes that are asked for.
fn pin(model: &mut Model, args: &SimplifyArgs) -> Result<()> {
    let pins = parse::shapes(&args.shapes)?;
    match &mut model.graph {
        Some(graph) => pin_inputs(graph, &pins),
        None => Ok(()),
    }
}

fn list(as_json: bool) -> Result<()> {
    if as_json {
        let each = PASSES
            .iter()
            .map(|pass| json!({"pass": pass.name(), "about": pass.about(), "by_default": pass.by_default()}));
        let mut document = Map::new();
        document.insert("schema".into(), SCHEMA.into());
        document.insert("passes".into(), each.collect());
        return printer::json(document);
    }
    let mut text = String::new();
    for pass in PASSES {
        let asked = if pass.by_default() { "" } else { " (only where asked for)" };
        text += &format!("{}{asked}\n    {}\n", pass.name(), pass.about());
    }
    printer::data(&text)
}

/// Nodes of each operator before and after.
fn operators(report: &Report) -> BTreeMap<&str, (usize, usize)> {
    let mut all: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    report.before.iter().for_each(|(op, n)| all.entry(op).or_default().0 = *n);
    report.after.iter().for_each(|(op, n)| all.entry(op).or_default().1 = *n);
    all
}

fn document(report: &Report, proof: &Proof, files: &[String], dry_run: bool) -> Map<String, Json> {
    let (before, after) = report.nodes();
    let mut document = Map::new();
    document.insert("schema".into(), SCHEMA.into());
    document.insert("nodes".into(), json!({"before": before, "after": after}));
    let each = operators(report).into_iter();
    let each = each.map(|(op, (before, after))| json!({"op": op, "before": before, "after": after}));
    document.insert("operators".into(), each.collect());
    let each = report.applied.iter().map(|a| json!({"pass": a.pass, "count": a.count}));
    document.insert("passes".into(), each.collect());
    let each = report.refused.iter().map(|r| json!({"pass": r.pass, "node": r.node, "why": r.why}));
    document.insert("refused".into(), each.collect());
    let (state, text) = match proof {
        Proof::Same(text) => ("same", text),
        Proof::Differs(text) => ("differs", text),
        Proof::None(text) => ("not verified", text),
    };
    document.insert("verified".into(), json!({"result": state, "what": text}));
    let written = if matches!(proof, Proof::Differs(_)) { &[] } else { files };
    document.insert("files".into(), written.to_vec().into());
    document.insert("dry_run".into(), dry_run.into());
    document
}

fn print(report: &Report, args: &SimplifyArgs) -> Result<()> {
    let mut table = Table::new(&[("operator", false), ("before", true), ("after", true), ("", false)]);
    let mut rows: Vec<_> = operators(report).into_iter().collect();
    rows.sort_by_key(|(op, (before, after))| (std::cmp::Reverse(*before.max(after)), *op));
    let told = |before: usize, after: usize| match after as i64 - before as i64 {
        0 => String::new(),
        n => format!("{n:+}"),
    };
    for (op, (before, after)) in rows {
        let row = [clean(op), before.to_string(), after.to_string(), told(before, after)];
        table.row(row.into_iter().map(Cell::from).collect());
    }
    let (before, after) = report.nodes();
    let row = ["all".to_owned(), before.to_string(), after.to_string(), told(before, after)];
    table.row(row.into_iter().map(Cell::from).collect());
    let mut text = table.render(printer::width());
    for applied in &report.applied {
        text += &format!("{:>6} {}\n", applied.count, applied.pass);
    }
    let shown = if args.verbose { usize::MAX } else { TOLD };
    for refusal in report.refused.iter().take(shown) {
        text += &format!("left: {} at '{}': {}\n", refusal.pass, clean(&refusal.node), clean(&refusal.why));
    }
    if report.refused.len() > shown {
        text += &format!("left: {} more, see -v\n", report.refused.len() - shown);
    }
    printer::data(&text)
}
