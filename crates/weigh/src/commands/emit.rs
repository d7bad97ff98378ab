//! `weigh convert IN… -o NET.py`: a graph as source code, with its weights beside it.

use std::collections::HashSet;
use std::path::Path;

use weighbridge_formats::{Carry, Change, FilePlan, Plan, WriteOptions, by_id};
use weighbridge_graph::emit::pytorch::{self, Emitted};
use weighbridge_model::{Error, Model, Result};

use super::account::Account;
use super::convert::weights;
use super::fold;
use super::lower::lowered;
use crate::args::ConvertArgs;
use crate::{input, printer, progress};

/// Whether the output is source code.
pub(super) fn is_source(args: &ConvertArgs) -> bool {
    args.to.is_none() && args.output.extension().is_some_and(|e| e.eq_ignore_ascii_case("py"))
}

pub(super) fn run(args: &ConvertArgs) -> Result<()> {
    refuse_others(args)?;
    let opened = input::read(&args.input)?;
    printer::findings(&opened.model.findings);
    let (model, _) = weights(&opened.model, args.all)?;
    let (model, told) = lowered(model, &args.lower)?;
    let (model, told) = match args.fold_bn {
        Some(epsilon) => fold::folded(model, epsilon, told)?,
        None => (model, told),
    };
    let safetensors = match args.weights.as_deref() {
        None | Some("pytorch" | "pth") => false,
        Some("safetensors") => true,
        Some(other) => {
            let what = format!("--weights {other}: pytorch and safetensors are written beside a module");
            return Err(Error::Usage { what });
        }
    };
    let beside = args.output.with_extension(if safetensors { "safetensors" } else { "pth" });
    let notes =
        told.choices.iter().map(|c| c.choice.clone()).filter(|c| c.starts_with("preprocessing")).collect();
    let emitted = pytorch::emit(&model, &options(&args.output, &beside, safetensors, notes))?;
    let format = by_id(if safetensors { "safetensors" } else { "pytorch" })?;
    let mut plan = format.plan(&emitted.weights, &beside, &WriteOptions::default())?;
    let mut account = account(&model, &emitted, &mut plan);
    plan.files.push(source(&args.output, emitted.source));
    let how = Carry { force: args.force, sync: args.sync };
    plan.check(&opened.model.files, how)?;
    if !args.dry_run {
        let bar = progress::bar(plan.bytes());
        plan.write(&opened.model.files, how, &|bytes| bar.inc(bytes))?;
        bar.finish_and_clear();
    }
    account.plan = plan;
    account.told(told);
    if args.input.json { printer::json(account.json(args.dry_run)) } else { account.print(args.dry_run) }
}

/// A module takes its tensors as the graph has them: options that change or leave out some are for other outputs.
fn refuse_others(args: &ConvertArgs) -> Result<()> {
    let lists = [
        ("--select", !args.select.is_empty()),
        ("--drop", !args.drop.is_empty()),
        ("--drop-optimizer", args.drop_optimizer),
        ("--strip-prefix", !args.strip_prefix.is_empty()),
        ("--rename", !args.rename.is_empty()),
        ("--rename-map", args.rename_map.is_some()),
        ("--transpose", !args.transpose.is_empty()),
        ("--permute", !args.permute.is_empty()),
        ("--into", args.into.is_some()),
        ("--normalize-bn", args.normalize_bn),
        ("--dtype", args.dtype.is_some()),
        ("--shard", args.shard.is_some()),
        ("--external", args.external.is_some()),
        ("--manifest", args.manifest.is_some()),
    ];
    let given: Vec<&str> = lists.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    if given.is_empty() {
        return Ok(());
    }
    let what = format!("{}: not with a module, which takes tensors as the graph has them", given.join(", "));
    Err(Error::Usage { what })
}

fn options(output: &Path, beside: &Path, safetensors: bool, notes: Vec<String>) -> pytorch::Options {
    let text = |name: Option<&std::ffi::OsStr>| name.unwrap_or_default().to_string_lossy().into_owned();
    pytorch::Options {
        class: text(output.file_stem()),
        weights: text(beside.file_name()),
        safetensors,
        notes,
    }
}

/// The source as the last of the files: it refers to the weights.
fn source(path: &Path, text: String) -> FilePlan {
    FilePlan {
        path: path.to_owned(),
        len: Some(text.len() as u64),
        content: Box::new(move |output| output.bytes(text.as_bytes())),
    }
}

/// What became of each tensor.
fn account(model: &Model, emitted: &Emitted, plan: &mut Plan) -> Account {
    let mut account = Account::default();
    let mut used = HashSet::new();
    plan.kept.clear();
    for written in &emitted.written {
        let Some(from) = written.from else {
            plan.added.push(Change::new(&written.key, "a buffer that torch's module has"));
            continue;
        };
        used.insert(from);
        let name = &model.tensor(from).name;
        let was = (*name != written.key).then(|| format!("was '{name}'"));
        account.renamed += u64::from(was.is_some() && written.change.is_none());
        let whys: Vec<String> = was.into_iter().chain(written.change.map(str::to_owned)).collect();
        match whys.is_empty() {
            true => account.kept.push(written.key.clone()),
            false => account.changed.push(Change::new(&written.key, whys.join("; "))),
        }
    }
    let left = model.tensors.iter().filter(|t| t.in_state_dict && !used.contains(&t.id));
    account.dropped.extend(left.map(|t| Change::new(&t.name, "stands in the source, or is not used")));
    account
}
