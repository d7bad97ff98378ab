//! `weigh check FILE`: will it survive a narrower format, and is it sound.

use serde_json::{Map, Value as Json};
use weighbridge_judge::check::{Checked, Judged, check};
use weighbridge_model::dtype::{BF16, F16, FloatFormat, TF32};
use weighbridge_model::{Error, Model, Result, nearest_or_all};
use weighbridge_report::{json, sarif, text};

use super::stats::fail_with;
use crate::args::CheckArgs;
use crate::{input, printer, progress};

/// Whether nothing of the severity that is asked about was found.
pub fn run(args: &CheckArgs) -> Result<bool> {
    let targets = args.targets.iter().map(|name| target(name)).collect::<Result<Vec<_>>>()?;
    let opened = input::read(&args.input)?;
    let whole = &opened.model;
    let part = whole.weights_part().map(|p| p.key.clone());
    let picked = part.as_deref().map(|key| whole.select(key)).transpose()?;
    let model = picked.as_ref().unwrap_or(whole);
    if model.tensors.is_empty() && model.graph.is_none() {
        return Err(Error::Usage { what: format!("{} has no tensors to check", opened.file) });
    }
    let bar =
        progress::bar(model.tensors.iter().map(|t| t.bytes().saturating_mul(2)).fold(0, u64::saturating_add));
    let mut checked = check(model, &targets, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    checked.findings.extend(whole.findings.iter().cloned());
    let judged = activations(args, model, &targets, &mut checked)?;
    checked.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    if args.sarif {
        let files: Vec<&str> = args.input.files.iter().map(|file| without_key(file)).collect();
        printer::json(sarif::document(&files, model, &checked.findings))?;
    } else if args.input.json {
        printer::json(document(&opened.file, part.as_deref(), model, &checked, judged.as_deref()))?;
    } else {
        let page = text::check::page(&opened.file, model, &checked, judged.as_deref(), printer::width());
        printer::data(&page)?;
    }
    let failed = checked.findings.iter().any(|finding| args.fail_on.fails(finding.severity));
    fail_with(checked.failures.into_iter().map(|e| e.in_source(&opened.file)).collect())?;
    Ok(!failed)
}

/// The file of `FILE#KEY`.
fn without_key(file: &str) -> &str {
    match file.rsplit_once('#') {
        Some((name, _)) if !std::path::Path::new(file).exists() => name,
        _ => file,
    }
}

fn target(name: &str) -> Result<FloatFormat> {
    let known = [F16, BF16, TF32];
    known.into_iter().find(|format| format.name == name.trim()).ok_or_else(|| Error::NotFound {
        kind: "number format to judge for",
        name: name.to_owned(),
        near: nearest_or_all(name, known.iter().map(|format| format.name)),
    })
}

/// What a run shows, where one is asked for.
#[cfg(feature = "run")]
fn activations(
    args: &CheckArgs,
    model: &Model,
    targets: &[FloatFormat],
    checked: &mut Checked,
) -> Result<Option<Vec<Judged>>> {
    use weighbridge_judge::check::{Activation, activations};
    use weighbridge_run::{feed, figures, from_file, observe};

    use crate::engine::told;

    let run = &args.run;
    if run.inputs.is_none() && !run.random && run.shapes.is_empty() {
        return Ok(None);
    }
    let engine = crate::engine::open(&run.engine)?;
    let inputs = match &run.inputs {
        Some(path) => from_file(model, path)?,
        None => told(feed(model, &*engine, &crate::parse::shapes(&run.shapes)?.inputs, run.seed)?),
    };
    let observed = observe(model, &*engine, &inputs, targets)?;
    let Some(graph) = &model.graph else { return Ok(None) };
    let mut seen = Vec::with_capacity(inputs.len() + observed.len());
    for (name, array) in inputs.into_iter().filter(|(_, array)| array.dtype.is_float()) {
        let named = graph.inputs.iter().copied().find(|&id| graph.value(id).name == name);
        if let Some(value) = named {
            seen.push(Activation { value, measured: figures(array, targets)?, channels: Vec::new() });
        }
    }
    let observed = observed.into_iter().map(|o| Activation {
        value: o.value,
        measured: o.measured,
        channels: o.channels,
    });
    seen.extend(observed);
    let (judged, findings) = activations(model, seen);
    checked.findings.extend(findings);
    Ok(Some(judged))
}

/// Without engines nothing is run.
#[cfg(not(feature = "run"))]
fn activations(_: &CheckArgs, _: &Model, _: &[FloatFormat], _: &mut Checked) -> Result<Option<Vec<Judged>>> {
    Ok(None)
}

fn document(
    file: &str,
    part: Option<&str>,
    model: &Model,
    checked: &Checked,
    judged: Option<&[Judged]>,
) -> Map<String, Json> {
    let mut document = json::document(file, model);
    document.insert("part".into(), part.into());
    document.insert("findings".into(), checked.findings.iter().map(|f| json::finding(model, f)).collect());
    document
        .insert("precision".into(), checked.precision.iter().map(|p| json::precision(model, p)).collect());
    if let Some(judged) = judged {
        document.insert("activations".into(), judged.iter().map(json::activation).collect());
    }
    document
}
