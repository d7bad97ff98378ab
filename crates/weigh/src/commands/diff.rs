//! `weigh diff A B`: what two models have in common; `weigh diff A B C…`: layers over time.

use std::path::Path;

use weighbridge_judge::diff::{Options, Relation, diff, over_time};
use weighbridge_model::{Error, Model, Result};
use weighbridge_report::diff::{Order, document, series_document, series_text, text};

use super::convert::weights;
use crate::args::{DiffArgs, DiffOrder, InputArgs};
use crate::{input, printer};

/// Whether nothing differs.
pub fn run(args: &DiffArgs) -> Result<bool> {
    if args.tolerance.is_nan() || args.tolerance < 0.0 {
        return Err(Error::Usage { what: format!("--tolerance {}: a number from 0 on", args.tolerance) });
    }
    let models: Vec<Model> = args.models.iter().map(|name| open(name, args)).collect::<Result<_>>()?;
    match models.as_slice() {
        [a, b] => two(a, b, args),
        several => many(several, args),
    }
}

fn two(a: &Model, b: &Model, args: &DiffArgs) -> Result<bool> {
    let found = diff(a, b, &Options { tolerance: args.tolerance })?;
    let changed = found.pairs.iter().filter(|p| p.relation == Relation::Changed).count();
    // One network at two times, rather than one that was damaged here and there, or two networks.
    let one =
        2 * changed >= found.pairs.len() && found.pairs.len() >= found.only_a.len() + found.only_b.len();
    let series = (changed > 0 && one).then(|| over_time(&[a, b])).transpose()?;
    let series = series.filter(|series| !series.layers.is_empty());
    let order = order(args);
    if args.json {
        printer::json(document(&found, series.as_ref(), a, b, order))?;
    } else {
        let mut shown = text(&found, a, b, order, args.all, printer::width());
        if let Some(series) = &series {
            shown = format!("{}\n{shown}", series_text(series, args.all, printer::width()));
        }
        printer::data(&shown)?;
    }
    Ok(found.ok())
}

fn many(models: &[Model], args: &DiffArgs) -> Result<bool> {
    let series = over_time(&models.iter().collect::<Vec<_>>())?;
    let still = series.layers.iter().all(|l| l.change.is_some_and(|change| change <= args.tolerance));
    let ok = still && series.missing.is_empty();
    if args.json {
        printer::json(series_document(&series, &args.models, ok))?;
    } else {
        printer::data(&series_text(&series, args.all, printer::width()))?;
    }
    Ok(ok)
}

fn order(args: &DiffArgs) -> Order {
    match args.sort {
        DiffOrder::File => Order::File,
        DiffOrder::Name => Order::Name,
        DiffOrder::Change => Order::Change,
    }
}

/// The weights of `FILE[#KEY]` or `FILE,FILE[#KEY]`. A file whose own name has the comma is taken as it is.
fn open(name: &str, args: &DiffArgs) -> Result<Model> {
    let whole = name.rsplit_once('#').map_or(name, |(file, _)| file);
    let files: Vec<String> = if Path::new(name).exists() || Path::new(whole).exists() {
        vec![name.to_owned()]
    } else {
        name.split(',').map(str::to_owned).collect()
    };
    let input = InputArgs { files, format: args.format.clone(), no_mmap: args.no_mmap, json: args.json };
    let opened = input::read(&input)?;
    printer::findings(&opened.model.findings);
    let (model, part) = match opened.selected {
        Some(_) => (opened.model, None),
        None => weights(&opened.model, false)?,
    };
    if let Some(part) = part {
        printer::note(&format!("{name}: the part '{part}' is compared; {name}#KEY names another"));
    }
    if model.tensors.is_empty() {
        return Err(Error::Usage { what: format!("{name} has no tensors to compare") });
    }
    Ok(model)
}
