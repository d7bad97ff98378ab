//! What two models have in common, and layers over time: as JSON by the contract, and as text.

use serde_json::{Map, Value as Json, json};
use weighbridge_judge::diff::{Diff, Layer, Pair, Relation, Series};
use weighbridge_model::{Model, TensorId};

use crate::json::SCHEMA;
use crate::spark::sparkline;
use crate::style::{BAD, FAINT, GOOD, STRONG, WARN, paint};
use crate::table::{Cell, Table, clean, shorten};
use crate::units::{count, figure, plural, shape};
use crate::wrap;

/// Rows of a table that is not asked for as a whole.
const ROWS: usize = 40;
/// Columns of a distribution's picture.
const COLUMNS: usize = 12;
/// Columns of layers over time: what is always there, the figure of a step, and two distributions.
const FIXED: usize = 48;
const STEP: usize = 8;
const PICTURES: usize = 28;

/// In which order pairs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As in the first file.
    File,
    /// By the first one's name.
    Name,
    /// What changed most comes first.
    Change,
}

/// The pairs of a comparison in an order.
pub fn sorted<'a>(diff: &'a Diff, a: &Model, order: Order) -> Vec<&'a Pair> {
    let mut pairs: Vec<&Pair> = diff.pairs.iter().collect();
    let name = |p: &Pair| p.a.first().map_or("", |&id| a.tensor(id).name.as_str());
    match order {
        Order::File => {}
        Order::Name => pairs.sort_by(|x, y| name(x).cmp(name(y))),
        Order::Change => pairs.sort_by(|x, y| change(y).total_cmp(&change(x))),
    }
    pairs
}

/// How much a pair changed, relations that are no change below all others.
fn change(pair: &Pair) -> f64 {
    let relative = pair.figures.as_ref().map(|f| f.relative_change);
    match pair.relation {
        // What cannot be told is looked at first.
        Relation::Changed => relative.filter(|r| !r.is_nan()).unwrap_or(f64::INFINITY),
        _ => relative.map_or(-1.0, |r| r.min(1.0) - 1.0),
    }
}

/// The document of `weigh diff A B --json`.
pub fn document(
    diff: &Diff,
    series: Option<&Series>,
    a: &Model,
    b: &Model,
    order: Order,
) -> Map<String, Json> {
    let pairs: Vec<Json> = sorted(diff, a, order).into_iter().map(|p| pair(p, a, b)).collect();
    let aside = diff.aside.iter().map(|aside| {
        let (side, model) = if aside.of_a { ("a", a) } else { ("b", b) };
        json!({"side": side, "tensor": model.tensor(aside.tensor).name, "why": aside.why})
    });
    let prefixes = diff.prefixes.iter().map(|(a, b, n)| json!({"a": a, "b": b, "names": n}));
    let mut document = Map::new();
    document.insert("schema".into(), SCHEMA.into());
    document.insert("pairs".into(), pairs.into());
    document.insert("only_a".into(), names(&diff.only_a, a).into());
    document.insert("only_b".into(), names(&diff.only_b, b).into());
    document.insert("aside".into(), aside.collect::<Json>());
    document.insert("prefixes".into(), prefixes.collect::<Json>());
    if let Some(series) = series {
        document.insert("layers".into(), series.layers.iter().map(layer).collect::<Json>());
    }
    document.insert("ok".into(), diff.ok().into());
    document
}

fn names(ids: &[TensorId], model: &Model) -> Vec<String> {
    ids.iter().map(|&id| model.tensor(id).name.clone()).collect()
}

fn pair(pair: &Pair, a: &Model, b: &Model) -> Json {
    // One name where there is one, a list where several tensors make one.
    let side = |ids: &[TensorId], model| -> Json {
        match names(ids, model).as_slice() {
            [one] => one.clone().into(),
            several => several.to_vec().into(),
        }
    };
    let mut entry = json!({
        "a": side(&pair.a, a),
        "b": side(&pair.b, b),
        "relation": pair.relation.as_str(),
        "max_abs": pair.figures.as_ref().map(|f| f.max_abs),
        "max_rel": pair.figures.as_ref().map(|f| f.max_rel),
        "cosine": pair.figures.as_ref().map(|f| f.cosine),
        "guess": pair.guess,
        "ok": pair.ok,
    });
    if !pair.why.is_empty() {
        entry["why"] = pair.why.clone().into();
    }
    if let Some(figures) = &pair.figures {
        entry["count"] = figures.count.into();
        entry["unequal"] = figures.unequal.into();
        entry["relative_change"] = figures.relative_change.into();
        if let Some((at, was, is)) = &figures.first {
            entry["off"] = figures.off.into();
            entry["first"] = json!({"index": at, "expected": was, "found": is});
        }
        if let Some(steps) = figures.steps {
            entry["steps"] = steps.into();
        }
        if let Some(sqnr) = figures.sqnr_db {
            entry["sqnr_db"] = sqnr.into();
        }
    }
    entry
}

/// The document of `weigh diff E1 E2 E3… --json`.
pub fn series_document(series: &Series, files: &[String], ok: bool) -> Map<String, Json> {
    let mut document = Map::new();
    document.insert("schema".into(), SCHEMA.into());
    document.insert("files".into(), files.to_vec().into());
    document.insert("layers".into(), series.layers.iter().map(layer).collect::<Json>());
    document.insert("missing".into(), series.missing.clone().into());
    document.insert("ok".into(), ok.into());
    document
}

fn layer(layer: &Layer) -> Json {
    json!({
        "layer": layer.path,
        "buffers": layer.buffers,
        "tensors": layer.tensors,
        "change": layer.change,
        "steps": layer.steps,
        "wasserstein": layer.shift.as_ref().map(|s| s.wasserstein),
        "kolmogorov_smirnov": layer.shift.as_ref().map(|s| s.kolmogorov_smirnov),
    })
}

/// A comparison as text: what is worth looking at, or all of it.
pub fn text(diff: &Diff, a: &Model, b: &Model, order: Order, all: bool, width: usize) -> String {
    let mut text = String::new();
    for (ours, theirs, n) in &diff.prefixes {
        let names = plural(*n as u64, "name");
        let shown = |p: &str| if p.is_empty() { "nothing".to_owned() } else { format!("'{}'", clean(p)) };
        let told = format!("{} in {names} of A where B has {}: seen through", shown(ours), shown(theirs));
        text += &faint(&told, 4, width);
    }
    let worth = |p: &&Pair| all || p.relation == Relation::Changed || p.guess && p.relation != Relation::Same;
    let listed: Vec<&Pair> = sorted(diff, a, order).into_iter().filter(worth).collect();
    if !listed.is_empty() {
        let most = if all { usize::MAX } else { ROWS };
        text += &table(&listed[..listed.len().min(most)], a, b, width);
        if listed.len() > most {
            let more = format!("… and {} more; --all shows them", listed.len() - most);
            text += &format!("{}\n", paint(FAINT, &more));
        }
    }
    for (ids, model, side) in [(&diff.only_a, a, "A"), (&diff.only_b, b, "B")] {
        let most = if all { usize::MAX } else { ROWS };
        for &id in ids.iter().take(most) {
            let tensor = model.tensor(id);
            let told = format!("{} {} {}", clean(&tensor.name), tensor.dtype, shape(&tensor.shape));
            text += &format!("{} {told}\n", paint(BAD, &format!("only in {side}")));
        }
        if ids.len() > most {
            text +=
                &format!("{}\n", paint(FAINT, &format!("… and {} more only in {side}", ids.len() - most)));
        }
    }
    if all {
        for aside in &diff.aside {
            let (side, model) = if aside.of_a { ("A", a) } else { ("B", b) };
            let name = clean(&model.tensor(aside.tensor).name);
            text += &faint(&format!("aside in {side}: {name}: {}", clean(&aside.why)), 4, width);
        }
    }
    text + &summary(diff, a, b, width)
}

fn table(pairs: &[&Pair], a: &Model, b: &Model, width: usize) -> String {
    let mut table =
        Table::new(&[("A", false), ("B", false), ("relation", false), ("max abs", true), ("relative", true)]);
    let mut text = String::new();
    let mut notes = Vec::new();
    for pair in pairs {
        let side = |ids: &[TensorId], model: &Model| match ids {
            [] => String::new(),
            [one] => model.tensor(*one).name.clone(),
            [one, rest @ ..] => format!("{} + {}", model.tensor(*one).name, rest.len()),
        };
        let style = match (pair.relation, pair.ok) {
            (Relation::Changed, false) => BAD,
            (Relation::Changed, true) => WARN,
            _ => GOOD,
        };
        let mut relation = pair.relation.as_str().to_owned();
        if pair.guess {
            relation += " (guess)";
        }
        let number = |x: Option<f64>| x.map(figure).unwrap_or_default();
        table.row(vec![
            Cell::from(side(&pair.a, a)),
            // Only the first column gives way by itself.
            Cell::from(shorten(&clean(&side(&pair.b, b)), width / 3)),
            Cell::styled(relation, style),
            Cell::from(number(pair.figures.as_ref().map(|f| f.max_abs))),
            Cell::from(number(pair.figures.as_ref().map(|f| f.relative_change))),
        ]);
        notes.push(&pair.why);
    }
    let rendered = table.render(width);
    let mut lines = rendered.lines();
    text += lines.next().unwrap_or_default();
    text.push('\n');
    for (line, note) in lines.zip(notes) {
        text += line;
        text.push('\n');
        if !note.is_empty() {
            text += &faint(&format!("    {}", clean(note)), 4, width);
        }
    }
    text
}

/// `102 of 102 explained: 60 same, 40 folded…`
fn summary(diff: &Diff, a: &Model, b: &Model, width: usize) -> String {
    let tensors = |relation: Relation| -> usize {
        diff.pairs.iter().filter(|p| p.relation == relation).map(|p| p.a.len()).sum()
    };
    let changed = tensors(Relation::Changed);
    let explained: usize = Relation::ALL.into_iter().filter(|r| *r != Relation::Changed).map(tensors).sum();
    let total = explained + changed + diff.only_a.len();
    let mut parts: Vec<String> = Relation::ALL
        .into_iter()
        .map(|relation| (tensors(relation), relation))
        .filter(|(n, _)| *n > 0)
        .map(|(n, relation)| format!("{n} {}", relation.as_str()))
        .collect();
    for (n, side) in [(diff.only_a.len(), "A"), (diff.only_b.len(), "B")] {
        if n > 0 {
            parts.push(format!("{n} only in {side}"));
        }
    }
    let style = if diff.ok() { GOOD } else { BAD };
    let head = paint(style, &format!("{explained} of {total} tensors of A explained"));
    let told = parts.join(", ");
    let taken = format!("{explained} of {total} tensors of A explained: ").len();
    let mut text = format!("{head}: {}\n", wrap::lines(&told, taken, 4, width).join("\n"));
    if let Some((pair, steps)) = coarsest(diff) {
        let name = pair.a.first().map_or("", |&id| &a.tensor(id).name);
        let sqnr = pair.figures.as_ref().and_then(|f| f.sqnr_db);
        let sqnr = sqnr.map(|db| format!(", {db:.1} dB")).unwrap_or_default();
        text += &format!("largest error of codes: {steps:.2} steps{sqnr}, in {}\n", clean(name));
    }
    let aside = |of_a| diff.aside.iter().filter(|x| x.of_a == of_a).count();
    for (n, side, model) in [(aside(true), "A", a), (aside(false), "B", b)] {
        if n > 0 {
            let first = diff.aside.iter().find(|x| x.of_a == (side == "A"));
            let example = first.map(|x| format!("{} {}", clean(&model.tensor(x.tensor).name), clean(&x.why)));
            let told = format!("set aside in {side}: {n} ({}…)", example.unwrap_or_default());
            text += &faint(&told, 4, width);
        }
    }
    text
}

/// A sentence in lines of this width, all but the first indented.
fn faint(text: &str, indent: usize, width: usize) -> String {
    let blanks = text.len() - text.trim_start().len();
    let lines = wrap::lines(text, blanks, indent, width);
    let first = " ".repeat(blanks);
    lines
        .iter()
        .enumerate()
        .map(|(i, line)| {
            let line = if i == 0 { format!("{first}{line}") } else { line.clone() };
            format!("{}\n", paint(FAINT, &line))
        })
        .collect()
}

/// The quantized pair whose error is the most of a step.
fn coarsest(diff: &Diff) -> Option<(&Pair, f64)> {
    let quantized = diff.pairs.iter().filter(|p| p.relation == Relation::Quantized);
    let steps = quantized.filter_map(|p| Some((p, p.figures.as_ref()?.steps?)));
    steps.max_by(|x, y| x.1.total_cmp(&y.1))
}

/// Layers over time as text, the one that moved furthest first.
pub fn series_text(series: &Series, all: bool, width: usize) -> String {
    let steps = series.layers.first().map_or(0, |l| l.steps.len());
    let several = steps > 1;
    // Figures of each step, then pictures of distributions, only where there is room beside what is always there.
    let (figures, pictures) =
        if several { (FIXED + STEP * steps, FIXED + STEP * steps + PICTURES) } else { (0, FIXED + PICTURES) };
    let (figures, pictures) = (figures <= width, pictures <= width);
    let mut header = vec![("layer", false), ("change", true)];
    if several {
        header.extend(figures.then_some(("from one to the next", true)));
        header.push(("over time", false));
    }
    header.extend([("W1", true), ("KS", true)]);
    if pictures {
        header.extend([("before", false), ("after", false)]);
    }
    let mut table = Table::new(&header);
    let moved: Vec<&Layer> = series.layers.iter().filter(|l| all || l.change != Some(0.0)).collect();
    // One scale for all rows.
    let top = moved.iter().flat_map(|l| &l.steps).flatten().fold(0.0, |top: f64, x| top.max(*x));
    for layer in moved.iter().take(if all { usize::MAX } else { ROWS }) {
        let number = |x: Option<f64>| x.map_or("?".to_owned(), figure);
        let name = if layer.path.is_empty() { layer.tensors.join(", ") } else { layer.path.clone() };
        let name = if layer.buffers { format!("{name} (buffers)") } else { name };
        let mut row = vec![Cell::from(name), Cell::styled(number(layer.change), STRONG)];
        if several {
            let steps: Vec<String> = layer.steps.iter().map(|s| number(*s)).collect();
            let heights: Vec<u64> = layer
                .steps
                .iter()
                .map(|s| (s.unwrap_or(0.0) / if top > 0.0 { top } else { 1.0 } * 1e6) as u64)
                .collect();
            if figures {
                row.push(Cell::from(steps.join(" ")));
            }
            row.push(Cell::from(bars(&heights)));
        }
        let shift = layer.shift.as_ref();
        row.push(Cell::from(shift.and_then(|s| s.wasserstein).map(figure).unwrap_or_default()));
        row.push(Cell::from(shift.map(|s| figure(s.kolmogorov_smirnov)).unwrap_or_default()));
        if pictures {
            row.push(Cell::from(shift.map(|s| sparkline(&s.first, COLUMNS)).unwrap_or_default()));
            row.push(Cell::from(shift.map(|s| sparkline(&s.second, COLUMNS)).unwrap_or_default()));
        }
        table.row(row);
    }
    let mut text = table.render(width);
    let still = series.layers.iter().filter(|l| l.change == Some(0.0)).count();
    text += &format!(
        "{} moved, {} did not\n",
        plural((series.layers.len() - still) as u64, "layer"),
        count(still as u64)
    );
    if !series.missing.is_empty() {
        let names = series.missing.iter().take(5).map(|n| clean(n)).collect::<Vec<_>>().join(", ");
        let told = format!("{} not in all of them: {names}", plural(series.missing.len() as u64, "tensor"));
        text += &format!("{}\n", paint(WARN, &told));
    }
    text
}

/// Bars by one scale for all rows, of which `1e6` is the top.
fn bars(heights: &[u64]) -> String {
    let mut scaled = heights.to_vec();
    // The picture's own top is taken out again.
    scaled.push(1_000_000);
    let picture = sparkline(&scaled, scaled.len());
    picture.chars().take(heights.len()).collect()
}
