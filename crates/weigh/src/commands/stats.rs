//! `weigh stats FILE`: figures of every tensor.

use weighbridge_measure::{Measured, Number, Options, measure};
use weighbridge_model::{Error, Result, Tensor};
use weighbridge_report::spark::sparkline;
use weighbridge_report::style::{BAD, DRAW};
use weighbridge_report::table::{Cell, Table};
use weighbridge_report::{json, units};

use crate::args::{StatsArgs, StatsOrder};
use crate::{input, printer, progress};

pub fn run(args: &StatsArgs) -> Result<()> {
    let opened = input::read(&args.input)?;
    let model = &opened.model;
    let (tensors, hidden) = input::pick(model, &args.pick)?;
    let options = Options { histogram: args.hist || !args.input.json, ..Options::default() };
    let bar = progress::bar(tensors.iter().map(|t| t.bytes()).fold(0, u64::saturating_add));
    let measured = measure(&tensors, &options, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let mut rows: Vec<(&Tensor, Result<Measured>)> = tensors.into_iter().zip(measured).collect();
    sort(&mut rows, args.sort);
    printer::findings(&model.findings);
    let mut failures = Vec::new();
    let mut rows_read = Vec::with_capacity(rows.len());
    for (tensor, measured) in rows {
        match measured {
            Ok(measured) => rows_read.push((tensor, measured)),
            Err(error) => failures.push(error.in_source(&opened.file)),
        }
    }
    if args.input.json {
        let storages = json::storage_numbers(model);
        let mut document = json::document(&opened.file, model);
        let list = rows_read.iter().map(|(t, m)| {
            let mut map = json::listing(t, storages[t.id.0 as usize], None);
            json::figures(&mut map, t, m);
            serde_json::Value::Object(map)
        });
        document.insert("tensors".into(), list.collect());
        printer::json(document)?;
    } else {
        printer::data(&table(&rows_read, if args.hist { 50 } else { 10 }).render(printer::width()))?;
        if hidden > 0 {
            printer::note(&format!("{hidden} more outside of the state_dict: --all shows them"));
        }
    }
    fail_with(failures)
}

/// All failures are told; the last one becomes the exit status.
pub fn fail_with(mut failures: Vec<Error>) -> Result<()> {
    let last = failures.pop();
    failures.iter().for_each(printer::error);
    last.map_or(Ok(()), Err)
}

fn sort(rows: &mut [(&Tensor, Result<Measured>)], order: StatsOrder) {
    let figure = |m: &Result<Measured>, f: &dyn Fn(&weighbridge_measure::Summary) -> f64| {
        m.as_ref().ok().and_then(|m| m.summary.as_ref()).map_or(f64::NEG_INFINITY, f)
    };
    let by = |rows: &mut [(&Tensor, Result<Measured>)], f: &dyn Fn(&weighbridge_measure::Summary) -> f64| {
        rows.sort_by(|a, b| figure(&b.1, f).total_cmp(&figure(&a.1, f)));
    };
    match order {
        StatsOrder::File => {}
        StatsOrder::Name => rows.sort_by(|a, b| a.0.name.cmp(&b.0.name)),
        StatsOrder::Count => rows.sort_by_key(|(t, _)| std::cmp::Reverse(t.count())),
        StatsOrder::AbsMax => by(rows, &|s| s.abs_max.map_or(f64::NEG_INFINITY, Number::to_f64)),
        StatsOrder::Std => by(rows, &|s| s.std()),
        StatsOrder::Zero => by(rows, &|s| s.zero as f64),
        StatsOrder::Nan => by(rows, &|s| (s.nan + s.inf) as f64),
    }
}

/// With histograms of so many columns.
fn table(rows: &[(&Tensor, Measured)], columns: usize) -> Table {
    let mut table = Table::new(&[
        ("name", false),
        ("dtype", false),
        ("count", true),
        ("min", true),
        ("max", true),
        ("mean", true),
        ("std", true),
        ("zero", true),
        ("nan", true),
        ("inf", true),
        ("|x|", false),
    ]);
    for (tensor, measured) in rows {
        let name = if tensor.name.is_empty() { "(unnamed)" } else { &tensor.name };
        let mut cells: Vec<Cell> =
            vec![name.into(), tensor.dtype.name().into(), units::count(tensor.count()).into()];
        if let Some(s) = &measured.summary {
            let number = |n: Option<Number>| n.map_or("-".to_owned(), |n| units::figure(n.to_f64()));
            let some = s.min.is_some();
            let figure = |x: f64| if some { units::figure(x) } else { "-".to_owned() };
            cells.push(number(s.min).into());
            cells.push(number(s.max).into());
            cells.push(figure(s.mean).into());
            cells.push(figure(s.std()).into());
            cells.push(s.zero.to_string().into());
            for bad in [s.nan, s.inf] {
                let style = if bad > 0 { BAD } else { Default::default() };
                cells.push(Cell::styled(bad.to_string(), style));
            }
            if let Some(h) = &measured.histogram {
                cells.push(Cell::styled(sparkline(&h.counts, columns), DRAW));
            }
        }
        table.row(cells);
    }
    table
}
