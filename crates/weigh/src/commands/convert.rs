//! `weigh convert IN… -o OUT`: what arrives, what changes, what stays behind; then the files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::{Map, Value as Json, json};
use weighbridge_convert::into::Rule;
use weighbridge_convert::{CastOptions, Moved, Rename, Transfer, rename_map};
use weighbridge_formats::{
    Carry, Change, FORMATS, Format, Plan, ReadOptions, WriteOptions, by_id, check_target, open,
};
use weighbridge_graph::lower::{Choice, Lowered};
use weighbridge_measure::{Options, measure, sha256};
use weighbridge_model::{DType, Error, Model, Result, Role, Tensor};
use weighbridge_report::table::clean;
use weighbridge_report::{json as figures, units};

use super::into::matched;
use super::lower::lowered;
use super::{emit, fold, precision};
use crate::args::ConvertArgs;
use crate::{input, printer, progress};

/// Lines of each kind in the account; the JSON has all.
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
        true => match lowered(&model, &args.lower)? {
            Some(Lowered { model, choices, changed, dropped }) => {
                (model, Told { choices, changed, dropped, ..Told::default() })
            }
            None => (model, Told::default()),
        },
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
    let size = |text: &Option<String>| text.as_deref().map(size).transpose();
    let options = WriteOptions { shard_bytes: size(&args.shard)?, external: size(&args.external)?, variant };
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
        if let Some(manifest) = &args.manifest {
            write_manifest(manifest, &transfer, &account.plan, args)?;
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
    let most = args.shard.as_deref().map(size).transpose()?;
    let bytes = transfer.moved.iter().map(|m| m.target.bytes()).filter(|&n| n > 0);
    let several = bytes.clone().count() > 1;
    let files = plan.files.iter().filter(|f| f.path.extension().is_none_or(|e| e != "json"));
    if several && files.count() == 1 && most.is_some_and(|most| bytes.fold(0, u64::saturating_add) > most) {
        return Err(Error::Usage { what: "this format has no shards: leave --shard out".into() });
    }
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
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

/// Bytes: `500MB`, `2GiB`, `1000`.
pub(crate) fn size(text: &str) -> Result<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1u64,
        "K" | "KB" => 1000,
        "M" | "MB" => 1_000_000,
        "G" | "GB" => 1_000_000_000,
        "T" | "TB" => 1_000_000_000_000,
        "KIB" => 1 << 10,
        "MIB" => 1 << 20,
        "GIB" => 1 << 30,
        "TIB" => 1 << 40,
        _ => 0,
    };
    match number.parse::<f64>() {
        Ok(n) if n > 0.0 && factor > 0 => Ok((n * factor as f64) as u64),
        _ => Err(Error::Usage { what: format!("'{text}' is no size: write 500MB, 5GB or 2GiB") }),
    }
}

/// What a lowering and a fold tell beside the model.
#[derive(Default)]
pub(super) struct Told {
    pub(super) choices: Vec<Choice>,
    pub(super) changed: Vec<(String, String)>,
    pub(super) added: Vec<(String, String)>,
    pub(super) dropped: Vec<(String, String)>,
}

/// What was or would be done.
#[derive(Default)]
pub(super) struct Account {
    pub(super) kept: Vec<String>,
    /// How many of the changed have another name, and are the same bit for bit.
    pub(super) renamed: u64,
    pub(super) changed: Vec<Change>,
    pub(super) dropped: Vec<Change>,
    /// Names in the output, names of the sources, and by what they were matched; empty without `--into`.
    matched: Vec<(String, String, Rule)>,
    /// What was chosen where a net became a graph of other operators.
    pub(super) choices: Vec<Choice>,
    pub(super) plan: Plan,
}

impl Account {
    fn of(transfer: &Transfer, mut plan: Plan, whole: &Model, part: Option<&str>) -> Self {
        let mut changed: Vec<Change> = std::mem::take(&mut plan.changed);
        let written: HashSet<String> = changed.iter().map(|c| c.tensor.clone()).collect();
        let mut renamed = 0;
        for moved in &transfer.moved {
            let mut whys = moved.changes.clone();
            if moved.source.name != moved.target.name {
                let by = moved.matched.map(|rule| format!(", matched by {}", rule.told()));
                whys.insert(0, format!("was '{}'{}", moved.source.name, by.unwrap_or_default()));
                renamed += u64::from(whys.len() == 1 && !written.contains(&moved.target.name));
            }
            if !whys.is_empty() {
                changed.push(Change::new(&moved.target.name, whys.join("; ")));
            }
        }
        let altered: HashSet<&str> = changed.iter().map(|c| c.tensor.as_str()).collect();
        let kept = std::mem::take(&mut plan.kept);
        let kept = kept.into_iter().filter(|name| !altered.contains(name.as_str())).collect();
        let mut dropped: Vec<Change> =
            transfer.left.iter().map(|(name, why)| Change::new(name, why)).collect();
        if let Some(part) = part {
            let others = whole.parts.iter().filter(|p| p.key != part);
            dropped.extend(others.map(|p| {
                let tensors = units::plural(p.tensors.len() as u64, "tensor");
                Change::new(
                    format!("#{}", p.key),
                    format!("{tensors} of another part: --all takes them along"),
                )
            }));
        }
        dropped.append(&mut plan.dropped);
        let of = |m: &Moved| m.matched.map(|rule| (m.target.name.clone(), m.source.name.clone(), rule));
        let matched = transfer.moved.iter().filter_map(of).collect();
        Account { kept, renamed, changed, dropped, matched, choices: Vec::new(), plan }
    }

    /// With what a lowering and a fold did before.
    fn with(mut self, told: Told, written: &Model) -> Self {
        let altered: HashSet<&str> =
            told.changed.iter().chain(&told.added).map(|(name, _)| name.as_str()).collect();
        let constants = written.tensors.iter().filter(|t| t.role == Role::Constant).map(|t| t.name.as_str());
        let constants: HashSet<&str> =
            if told.choices.is_empty() { HashSet::new() } else { constants.collect() };
        self.plan.added.extend(
            self.kept
                .iter()
                .filter(|name| constants.contains(name.as_str()))
                .map(|name| Change::new(name, "a constant of the operators")),
        );
        self.kept.retain(|name| !altered.contains(name.as_str()) && !constants.contains(name.as_str()));
        self.plan.added.extend(told.added.into_iter().map(|(name, why)| Change::new(name, why)));
        self.changed.extend(told.changed.into_iter().map(|(name, why)| Change::new(name, why)));
        self.dropped.extend(told.dropped.into_iter().map(|(name, why)| Change::new(name, why)));
        self.choices = told.choices;
        self
    }

    pub(super) fn json(&self, dry_run: bool) -> Map<String, Json> {
        let list = |changes: &[Change]| -> Json {
            changes.iter().map(|c| json!({"tensor": c.tensor, "why": c.why})).collect()
        };
        let mut document = Map::new();
        document.insert("schema".into(), figures::SCHEMA.into());
        document.insert("kept".into(), self.kept.clone().into());
        document.insert("changed".into(), list(&self.changed));
        document.insert("added".into(), list(&self.plan.added));
        document.insert("dropped".into(), list(&self.dropped));
        if !self.matched.is_empty() {
            let pair = |(tensor, source, rule): &(String, String, Rule)| json!({"tensor": tensor, "source": source, "by": rule.id()});
            document.insert("matched".into(), self.matched.iter().map(pair).collect());
        }
        if !self.choices.is_empty() {
            let choice = |c: &Choice| json!({"layer": c.layer, "type": c.kind, "choice": c.choice});
            document.insert("choices".into(), self.choices.iter().map(choice).collect());
        }
        let files = self.plan.files.iter().map(|f| f.path.display().to_string());
        document.insert("files".into(), files.collect());
        document.insert("dry_run".into(), dry_run.into());
        document
    }

    pub(super) fn print(&self, dry_run: bool) -> Result<()> {
        let kept = self.kept.len() as u64 + self.renamed;
        let mut text = format!("kept     {}", units::plural(kept, "tensor"));
        if self.renamed > 0 {
            text += &format!(", {} of them under another name", self.renamed);
        }
        text.push('\n');
        let mut rules: BTreeMap<Rule, u64> = BTreeMap::new();
        self.matched.iter().for_each(|(_, _, rule)| *rules.entry(*rule).or_default() += 1);
        for (rule, count) in rules {
            text += &format!("matched  {} by {}\n", units::plural(count, "tensor"), rule.told());
        }
        // A dry run is asked for to see which is which.
        let most = if dry_run && !self.matched.is_empty() { usize::MAX } else { NAMED };
        for (head, changes) in
            [("changed", &self.changed), ("added", &self.plan.added), ("dropped", &self.dropped)]
        {
            let groups = by_reason(changes);
            for (why, names) in groups.iter().take(most) {
                text += &format!("{head:7}  {}: {}\n", clean(&named(names)), clean(why));
            }
            if groups.len() > most {
                let more: usize = groups[most..].iter().map(|(_, names)| names.len()).sum();
                text += &format!("{head:7}  and {more} more (--json lists all)\n");
            }
        }
        let layer = |c: &Choice| match c.layer.as_str() {
            "" => "the net".to_owned(),
            layer => format!("{layer} ({})", c.kind),
        };
        let choices: Vec<Change> = self.choices.iter().map(|c| Change::new(layer(c), &c.choice)).collect();
        for (choice, layers) in by_reason(&choices) {
            text += &format!("chosen   {}: {}\n", clean(&named(&layers)), clean(choice));
        }
        let head = if dry_run { "would be" } else { "file   " };
        for file in &self.plan.files {
            let len = file.len.map(|n| format!("  {}", units::bytes(n))).unwrap_or_default();
            text += &format!("{head}  {}{len}\n", clean(&file.path.display().to_string()));
        }
        printer::data(&text)
    }
}

/// Names of one reason together, in the order of the first.
fn by_reason(changes: &[Change]) -> Vec<(&str, Vec<&str>)> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for change in changes {
        let place = *places.entry(&change.why).or_insert(groups.len());
        if place == groups.len() {
            groups.push((&change.why, Vec::new()));
        }
        groups[place].1.push(&change.tensor);
    }
    groups
}

/// The first few of many names.
fn named(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let first = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{first} and {} more", names.len() - SHOWN) } else { first }
}

/// Each tensor on both sides, the written ones read back.
fn write_manifest(path: &Path, transfer: &Transfer, plan: &Plan, args: &ConvertArgs) -> Result<()> {
    let last = plan.files.last().expect("a plan has a file");
    // The last file leads to the others, where it is not one of several alike.
    let paths: Vec<&Path> =
        plan.files.iter().map(|f| &*f.path).filter(|p| p.extension() == last.path.extension()).collect();
    let written = open(&paths, None, &ReadOptions::default())?;
    let sources: Vec<&Tensor> = transfer.moved.iter().map(|m| &m.source).collect();
    let by_name: HashMap<&str, &Tensor> = written.tensors.iter().map(|t| (t.name.as_str(), t)).collect();
    let mut targets = Vec::with_capacity(sources.len());
    for moved in &transfer.moved {
        // A .npy names its one array nowhere.
        if let ([_], [only]) = (transfer.moved.as_slice(), written.tensors.as_slice()) {
            targets.push(only);
            continue;
        }
        // Where a format spells a name otherwise, order tells.
        let nth =
            written.tensors.get(targets.len()).filter(|_| written.tensors.len() == transfer.moved.len());
        let found = by_name.get(moved.target.name.as_str()).copied().or(nth);
        targets.push(found.ok_or_else(|| Error::NotFound {
            kind: "tensor in the written file",
            name: moved.target.name.clone(),
            near: Vec::new(),
        })?);
    }
    let sides = [side(&sources)?, side(&targets)?];
    let [source, target] = sides.map(Vec::into_iter);
    let tensors: Json = source.zip(target).map(|(s, t)| json!({"source": s, "target": t})).collect();
    let document = json!({
        "schema": figures::SCHEMA,
        "inputs": args.input.files,
        "files": plan.files.iter().map(|f| f.path.display().to_string()).collect::<Vec<_>>(),
        "tensors": tensors,
    });
    let text = serde_json::to_string_pretty(&document).expect("JSON of plain values") + "\n";
    let mut output = weighbridge_formats::output::Output::create(path, &|_| {})?;
    output.bytes(text.as_bytes())?;
    output.commit(args.sync)
}

fn side(tensors: &[&Tensor]) -> Result<Vec<Json>> {
    let hashes = sha256(tensors, &|_| {})?;
    let measured = measure(tensors, &Options::default(), &|_| {});
    let mut list = Vec::with_capacity(tensors.len());
    for ((tensor, hash), measured) in tensors.iter().zip(hashes).zip(measured) {
        let mut entry = figures::listing(tensor, tensor.id.0 as usize, hash.as_deref());
        figures::figures(&mut entry, tensor, &measured?);
        list.push(Json::Object(entry));
    }
    Ok(list)
}
