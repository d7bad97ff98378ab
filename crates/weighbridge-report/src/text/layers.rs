//! The table of layers: repeated blocks on one line, the worst member shown.

use std::collections::HashMap;

use weighbridge_judge::{Precision, Verdict};
use weighbridge_measure::{Number, Summary};
use weighbridge_model::layers::{Block, Layer, collapse};
use weighbridge_model::{Role, TensorId, roles};

use super::{Report, verdict_style};
use crate::spark::sparkline;
use crate::style::{DRAW, FAINT};
use crate::table::{Cell, Table};
use crate::units;

pub(super) fn table(report: &Report<'_>) -> Option<Table> {
    if report.layers.is_empty() {
        return None;
    }
    let mut table = Table::new(&[
        ("layer", false),
        ("kind", false),
        ("params", true),
        ("min", true),
        ("max", true),
        ("std", true),
        ("|x|", false),
        ("f16", true),
        ("bf16", true),
    ]);
    let mut verdicts = Verdicts::new();
    for p in report.precision {
        verdicts.entry(p.tensor).or_default().push(p);
    }
    for block in collapse(report.layers) {
        table.row(row(report, &verdicts, &block));
    }
    Some(table)
}

/// Judgements by the tensor they are on.
type Verdicts<'a> = HashMap<TensorId, Vec<&'a Precision>>;

fn row(report: &Report<'_>, verdicts: &Verdicts<'_>, block: &Block) -> Vec<Cell> {
    let worst = worst_member(report, verdicts, block);
    let first = &report.layers[block.members[0]];
    let mut path = if block.path.is_empty() { "(root)".to_owned() } else { block.path.clone() };
    if block.members.len() > 1 {
        path += &format!(" ×{}", block.members.len());
    }
    let params: u64 = block
        .members
        .iter()
        .flat_map(|&i| &report.layers[i].tensors)
        .map(|&id| report.model.tensor(id))
        .filter(|t| t.role == Role::Parameter)
        .map(|t| t.count())
        .sum();
    let kind = if first.guessed { format!("{} ?", first.kind) } else { first.kind.clone() };
    let mut cells: Vec<Cell> = vec![path.into(), Cell::styled(kind, FAINT), units::count(params).into()];
    match main_tensor(report, worst).and_then(|id| Some((id, summary(report, id)?))) {
        Some((id, s)) => {
            let number = |n: Option<Number>| n.map_or("-".to_owned(), |n| units::figure(n.to_f64()));
            cells.extend([number(s.min).into(), number(s.max).into(), units::figure(s.std()).into()]);
            let histogram = report.measured[id.0 as usize].as_ref().and_then(|m| m.histogram.as_ref());
            let spark = histogram.map(|h| sparkline(&h.counts, 10)).unwrap_or_default();
            cells.push(Cell::styled(spark, DRAW));
        }
        None => cells.extend(["", "", "", ""].map(Cell::from)),
    }
    for target in ["f16", "bf16"] {
        cells.push(verdict(verdicts, worst, target));
    }
    cells
}

fn of_layer<'a>(
    verdicts: &'a Verdicts<'a>,
    layer: &'a Layer,
    target: &'a str,
) -> impl Iterator<Item = &'a Precision> {
    let all = layer.tensors.iter().filter_map(|id| verdicts.get(id)).flatten().copied();
    all.filter(move |p| p.target == target)
}

/// Worse verdicts are larger, then fewer decibels.
fn badness(p: &Precision) -> (Verdict, f64) {
    (p.verdict, -p.sqnr_db.unwrap_or(f64::INFINITY))
}

fn worst<'a>(verdicts: impl Iterator<Item = &'a Precision>) -> Option<&'a Precision> {
    verdicts.max_by(|a, b| {
        let (a, b) = (badness(a), badness(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    })
}

fn worst_member<'a>(report: &'a Report<'_>, verdicts: &Verdicts<'_>, block: &Block) -> &'a Layer {
    let layers = || block.members.iter().map(|&i| &report.layers[i]);
    let scored = layers().filter_map(|l| worst(of_layer(verdicts, l, "f16")).map(|p| (l, badness(p))));
    scored
        .max_by(|a, b| a.1.0.cmp(&b.1.0).then(a.1.1.total_cmp(&b.1.1)))
        .map_or_else(|| &report.layers[block.members[0]], |(l, _)| l)
}

/// The tensor that a layer's figures are of: its largest parameter, `weight` before others of its size.
fn main_tensor(report: &Report<'_>, layer: &Layer) -> Option<TensorId> {
    let tensors = layer.tensors.iter().map(|&id| report.model.tensor(id));
    tensors
        .filter(|t| t.role != Role::Packed)
        .max_by_key(|t| {
            let is_weight = roles::split(&t.name).1 == "weight";
            (t.role == Role::Parameter, t.count(), is_weight, std::cmp::Reverse(t.id))
        })
        .map(|t| t.id)
}

fn summary<'a>(report: &'a Report<'_>, id: TensorId) -> Option<&'a Summary> {
    report.measured[id.0 as usize].as_ref()?.summary.as_ref()
}

fn verdict(verdicts: &Verdicts<'_>, layer: &Layer, target: &str) -> Cell {
    let Some(p) = worst(of_layer(verdicts, layer, target)) else { return Cell::default() };
    let text = match p.sqnr_db {
        _ if p.survival.overflow > 0 => "overflow".to_owned(),
        Some(db) => format!("{db:.0} dB"),
        None => "exact".to_owned(),
    };
    Cell::styled(text, verdict_style(p.verdict))
}
