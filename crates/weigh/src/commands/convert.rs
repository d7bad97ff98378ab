//! `weigh convert IN… -o OUT`: what arrives, what changes, what stays behind; then the files.

use std::path::{Path, PathBuf};

use weighbridge_convert::{CastOptions, Rename, Transfer, rename_map};
use weighbridge_formats::{Carry, FORMATS, Format, Plan, WriteOptions, by_id, check_target};
use weighbridge_model::{DType, Error, Model, Result, Role, Tensor};
use weighbridge_report::table::clean;
use weighbridge_report::units;

use super::account::{Account, Told};
use super::into::matched;
use super::lower::lowered;
use super::{emit, fold, manifest, precision};
use crate::args::ConvertArgs;
use crate::{input, parse, printer, progress};

/// Normalizations that are told of when they stay.
pub(super) const NAMED: usize = 20;

pub fn run(args: &ConvertArgs) -> Result<()> {
    if emit::is_source(args) {
        return emit::run(args);
    }
    if let Some(to) = &args.precision.precision {
        return precision::run(args, to);
    }
    let (format, variant) = target(args)?;
    let opened = input::read(&args.input)?;
    printer::findings(&opened.model.findings);
    let (model, part) = weights(&opened.model, args.all)?;
    let (model, told) = match args.into.is_none() && format.id == "onnx" {
        true => lowered(model, &args.lower)?,
        false => (model, Told::default()),
    };
    let whole = args.into.is_none() && model.graph.as_ref().is_some_and(|graph| graph.program.is_some());
    let mut epsilon = args.fold_bn;
    let (model, told) = match epsilon.take_if(|_| whole && format.id == "onnx") {
        // The graph has to change with its weights.
        Some(epsilon) => fold::folded(model, epsilon, told)?,
        None => (model, told),
    };
    let mut transfer = Transfer::of(&model);
    norms(&mut transfer, &model, args, epsilon)?;
    edit(&mut transfer, args)?;
    let target = match &args.into {
        Some(into) => {
            let found = matched(&transfer, &model, into, args)?;
            cast(&mut transfer, args, |t| found.uses(t))?;
            transfer = found.apply(&transfer)?;
            Some(found)
        }
        None => {
            cast(&mut transfer, args, |_| true)?;
            None
        }
    };
    let in_graph = format.graph && model.graph.is_some();
    if transfer.moved.is_empty() && !in_graph {
        return Err(Error::Usage { what: "no tensor is left to write".into() });
    }
    let bytes = |text: &Option<String>| text.as_deref().map(parse::bytes).transpose();
    let options =
        WriteOptions { shard_bytes: bytes(&args.shard)?, external: bytes(&args.external)?, variant };
    let written = match &target {
        Some(into) => transfer.model_into(&into.target),
        None if in_graph => transfer.in_graph(&model)?,
        None => transfer.model(&model),
    };
    let plan = format.plan(&written, &args.output, &options)?;
    let account = Account::of(&transfer, plan, &opened.model, part.as_deref()).with(told, &written);
    agree(args, &transfer, &account.plan)?;
    let how = Carry { force: args.force, sync: args.sync };
    let mut inputs = opened.model.files.clone();
    inputs.extend(target.iter().flat_map(|t| t.files.clone()).chain(args.rename_map.clone()));
    account.plan.check(&inputs, how)?;
    if let Some(manifest) = &args.manifest {
        check_target(manifest, &inputs, how)?;
    }
    if !args.dry_run {
        let bar = progress::bar(account.plan.bytes());
        let started = std::time::Instant::now();
        account.plan.write(&inputs, how, &|bytes| bar.inc(bytes))?;
        bar.finish_and_clear();
        if let Some(path) = &args.manifest {
            manifest::write(path, &transfer, &account.plan, args)?;
        }
        let seconds = started.elapsed().as_secs_f64();
        if account.plan.bytes() > 1 << 30 {
            let speed = account.plan.bytes() as f64 / seconds;
            printer::note(&format!("{seconds:.1} s, {}/s", units::bytes(speed as u64)));
        }
    }
    if args.input.json { printer::json(account.json(args.dry_run)) } else { account.print(args.dry_run) }
}

/// The format to write, and which way: by name, or by the extension of the output.
fn target(args: &ConvertArgs) -> Result<(&'static Format, Option<&'static str>)> {
    let writable = || FORMATS.iter().filter(|f| f.write.is_some());
    let extensions: Vec<String> =
        writable().flat_map(|f| f.extensions).map(|extension| format!(".{extension}")).collect();
    let to = args.to.as_deref().map(|to| to.split_once(':').map_or((to, None), |(id, v)| (id, Some(v))));
    let format = match to {
        Some((id, _)) => by_id(id)?,
        None => {
            let extension = args.output.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            let named = |f: &&Format| f.extensions.contains(&extension.as_str());
            writable().find(named).or_else(|| FORMATS.iter().find(named)).ok_or_else(|| Error::Usage {
                what: format!(
                    "{}: no format that is written has this extension; {} have, and .py",
                    args.output.display(),
                    extensions.join(", ")
                ),
            })?
        }
    };
    if format.write.is_none() {
        let what = format!("{} is not written; {} are", format.name, extensions.join(", "));
        return Err(Error::Usage { what });
    }
    let variant = to.and_then(|(_, variant)| variant).map(|id| format.variant(id)).transpose()?;
    Ok((format, variant))
}

/// The part that holds the weights, as every command takes it, unless `all` is asked for.
pub(super) fn weights(model: &Model, all: bool) -> Result<(Model, Option<String>)> {
    match model.weights_part().filter(|_| !all) {
        Some(part) => Ok((model.select(&part.key)?, Some(part.key.clone()))),
        None => Ok((model.clone(), None)),
    }
}

/// What is asked for of normalizations, before anything has another name; `fold` where they are to be folded.
fn norms(
    transfer: &mut Transfer,
    model: &Model,
    args: &ConvertArgs,
    fold: Option<Option<f64>>,
) -> Result<()> {
    if args.normalize_bn && transfer.normalize_bn(model)? == 0 {
        printer::note("--normalize-bn finds no BatchNorm layer of Caffe with a factor other than 1");
    }
    let Some(epsilon) = fold else { return Ok(()) };
    if epsilon.is_some_and(|e| !(e >= 0.0 && e.is_finite())) {
        return Err(Error::Usage { what: "--fold-bn=EPSILON takes a number of at least 0".into() });
    }
    let mut source = model.clone();
    for moved in &transfer.moved {
        source.tensors[moved.source.id.0 as usize] = moved.target.clone();
    }
    let (folded, left) = transfer.fold_bn(&source, epsilon)?;
    for stays in left.iter().take(NAMED) {
        printer::note(&format!("'{}' is not folded: {}", clean(&stays.name), clean(&stays.why)));
    }
    if left.len() > NAMED {
        printer::note(&format!("and {} more are not", left.len() - NAMED));
    }
    match folded {
        0 => Err(Error::Usage { what: "--fold-bn finds nothing to fold".into() }),
        _ => Ok(()),
    }
}

fn edit(transfer: &mut Transfer, args: &ConvertArgs) -> Result<()> {
    if !args.select.is_empty() {
        let select = input::globs(&args.select)?;
        unmet(&args.select, transfer)?;
        transfer.retain("not selected", |t| select.is_match(&t.name));
    }
    if !args.drop.is_empty() {
        let drop = input::globs(&args.drop)?;
        unmet(&args.drop, transfer)?;
        transfer.retain("dropped as asked", |t| !drop.is_match(&t.name));
    }
    if args.drop_optimizer {
        transfer.retain("optimizer state", |t| t.role != Role::OptimizerState);
    }
    for glob in &args.transpose {
        let which = input::globs(std::slice::from_ref(glob))?;
        let count = transfer.permute(&[1, 0], |t| which.is_match(&t.name))?;
        met(count, glob)?;
    }
    for rule in &args.permute {
        let (glob, axes) = permutation(rule)?;
        let which = input::globs(&[glob])?;
        let count = transfer.permute(&axes, |t| which.is_match(&t.name))?;
        met(count, rule)?;
    }
    for prefix in &args.strip_prefix {
        met(transfer.strip_prefix(prefix), prefix)?;
    }
    if !args.rename.is_empty() {
        let rules = args.rename.iter().map(|r| Rename::parse(r)).collect::<Result<Vec<_>>>()?;
        for (used, rule) in transfer.rename(&rules).into_iter().zip(&args.rename) {
            met(used, rule)?;
        }
    }
    if let Some(file) = &args.rename_map {
        let text = std::fs::read_to_string(file).map_err(|e| Error::io(file.display().to_string(), e))?;
        let unmet = transfer.rename_by_map(&rename_map(&text)?);
        if let Some(first) = unmet.first() {
            printer::note(&format!("{} names of the map are no tensor's, '{first}' among them", unmet.len()));
        }
    }
    Ok(())
}

/// Casts the tensors that `which` picks, where that is asked for.
fn cast(transfer: &mut Transfer, args: &ConvertArgs, which: impl Fn(&Tensor) -> bool) -> Result<()> {
    if let Some(dtype) = &args.dtype {
        let to = dtype.to_uppercase().parse::<DType>().map_err(|()| Error::NotFound {
            kind: "type",
            name: dtype.clone(),
            near: ["f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2"].map(str::to_owned).to_vec(),
        })?;
        let bar = progress::bar(transfer.moved.iter().map(|m| m.target.bytes()).fold(0, u64::saturating_add));
        let options = CastOptions { to, allow_overflow: args.allow_overflow };
        let cast = transfer.cast(options, which, &|bytes| bar.inc(bytes));
        bar.finish_and_clear();
        cast?;
    }
    Ok(())
}

/// Notes the globs that no tensor's name matches.
fn unmet(globs: &[String], transfer: &Transfer) -> Result<()> {
    for glob in globs {
        let which = input::globs(std::slice::from_ref(glob))?;
        if !transfer.moved.iter().any(|m| which.is_match(&m.target.name)) {
            printer::note(&format!("'{glob}' fits no tensor"));
        }
    }
    Ok(())
}

/// What is asked for and what is planned must go together before anything is written.
fn agree(args: &ConvertArgs, transfer: &Transfer, plan: &Plan) -> Result<()> {
    if let Some(manifest) = &args.manifest {
        let folder_of = |path: &Path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let place = |path: &Path| Some((folder_of(path).canonicalize().ok()?, path.file_name()?.to_owned()));
        if place(manifest).is_none() {
            let cause = std::io::Error::new(std::io::ErrorKind::NotFound, "no such folder");
            return Err(Error::io(folder_of(manifest).display().to_string(), cause));
        }
        if plan.files.iter().any(|f| place(&f.path) == place(manifest)) {
            let what = format!("{} is what is written: name another manifest", manifest.display());
            return Err(Error::Usage { what });
        }
    }
    let most = args.shard.as_deref().map(parse::bytes).transpose()?;
    let bytes = transfer.moved.iter().map(|m| m.target.bytes()).filter(|&n| n > 0);
    let several = bytes.clone().count() > 1;
    let files = plan.files.iter().filter(|f| f.path.extension().is_none_or(|e| e != "json"));
    if several && files.count() == 1 && most.is_some_and(|most| bytes.fold(0, u64::saturating_add) > most) {
        return Err(Error::Usage { what: "this format has no shards: leave --shard out".into() });
    }
    Ok(())
}

/// A rule that does nothing is a mistake in it.
fn met(count: usize, rule: &str) -> Result<()> {
    match count {
        0 => Err(Error::Usage { what: format!("'{rule}' fits no tensor") }),
        _ => Ok(()),
    }
}

fn permutation(rule: &str) -> Result<(String, Vec<usize>)> {
    let usage = || Error::Usage { what: format!("'{rule}': write GLOB=AXES, as in 'conv*.weight=3,2,0,1'") };
    let (glob, axes) = rule.rsplit_once('=').ok_or_else(usage)?;
    let axes = axes.split(',').map(|a| a.trim().parse().map_err(|_| usage())).collect::<Result<_>>()?;
    Ok((glob.to_owned(), axes))
}
