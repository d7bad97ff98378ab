//! The report that `weigh FILE` prints.

pub mod check;
mod layers;
mod magnitudes;
mod nodes;

use std::collections::{BTreeMap, HashSet};

use weighbridge_judge::{Precision, Verdict};
use weighbridge_measure::Measured;
use weighbridge_model::layers::Layer;
use weighbridge_model::{Finding, Layout, Model, Role, Severity, Tensor, Value, roles, storage};

use crate::style::{BAD, FAINT, GOOD, STRONG, WARN, paint};
use crate::table::clean;
use crate::units;

/// Everything that the report draws; nothing of it is measured here.
pub struct Report<'a> {
    /// The file as the user named it.
    pub file: &'a str,
    /// The whole file.
    pub whole: &'a Model,
    /// The part of it that holds the weights, which all else is about.
    pub model: &'a Model,
    /// The part's key, where the file has parts.
    pub part: Option<&'a str>,
    /// Layers of the part.
    pub layers: &'a [Layer],
    /// Figures by tensor id of `model`; `None` where a tensor could not be measured.
    pub measured: &'a [Option<Measured>],
    /// Verdicts, by tensor and target.
    pub precision: &'a [Precision],
    /// What to look at, most severe first.
    pub findings: &'a [Finding],
}

/// Findings that are shown before the rest is only counted.
const SHOWN: usize = 10;

/// Draws the report.
pub fn render(report: &Report<'_>, width: usize) -> String {
    let mut out = String::new();
    head(report, &mut out);
    let table = layers::table(report);
    if let Some(table) = table {
        section(&mut out, "Layers");
        out += &table.render(width);
        if report.layers.iter().any(|l| l.guessed) {
            out += &paint(FAINT, "? marks a kind or role guessed from names and shapes\n");
        }
        let codes = |t: &Tensor| t.in_state_dict && matches!(t.layout, Layout::Quantized { .. });
        if report.model.tensors.iter().any(codes) {
            out += &paint(FAINT, "figures of quantized tensors are those of their codes\n");
        }
    } else if let Some(table) = report.model.graph.as_ref().and_then(nodes::table) {
        section(&mut out, "Layers");
        out += &table.render(width);
    }
    if let Some(picture) = magnitudes::picture(report, width) {
        section(&mut out, "Magnitudes of all weights, by power of two");
        out += &picture;
    }
    survival(report, &mut out);
    findings(report, &mut out);
    out
}

fn section(out: &mut String, title: &str) {
    *out += &format!("\n{}\n", paint(STRONG, title));
}

fn head(report: &Report<'_>, out: &mut String) {
    let Report { whole, model, .. } = report;
    *out += &format!("{}  {}\n", paint(STRONG, &clean(report.file)), clean(&whole.origin));
    let tensors: Vec<&Tensor> = model.tensors.iter().filter(|t| t.in_state_dict).collect();
    // Tied tensors are one, as in torch's parameters().
    let mut seen = HashSet::new();
    let place = |t: &Tensor| (storage::identity(&t.storage), t.storage_offset(), t.shape.clone());
    let distinct: Vec<&Tensor> =
        tensors.iter().copied().filter(|t| t.count() == 0 || seen.insert(place(t))).collect();
    let total = |role: Role| {
        distinct.iter().filter(|t| t.role == role).map(|t| t.count()).fold(0, u64::saturating_add)
    };
    let mut counts = vec![format!("{} parameters", units::count(total(Role::Parameter)))];
    for (role, name) in [
        (Role::Buffer, "in buffers"),
        (Role::Constant, "in constants"),
        (Role::Packed, "packed codes and scales"),
    ] {
        let n = total(role);
        if n > 0 {
            counts.push(format!("{} {name}", units::count(n)));
        }
    }
    let tied = tensors.len() - distinct.len();
    let tied = if tied > 0 { format!(", {tied} of them tied to others") } else { String::new() };
    *out += &format!("  {} in {}{tied}\n", counts.join(", "), units::plural(tensors.len() as u64, "tensor"));
    let mut by_dtype: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for t in &tensors {
        let entry = by_dtype.entry(t.dtype).or_default();
        *entry = (entry.0 + 1, entry.1.saturating_add(t.bytes()));
    }
    let dtypes: Vec<String> = by_dtype
        .iter()
        .map(|(d, (n, b))| {
            let of = units::plural(*n, "tensor");
            let rate = d.block().map(|block| format!(", {} bits a weight", block.bits_per_element()));
            format!("{d} {} ({of}{})", units::bytes(*b), rate.unwrap_or_default())
        })
        .collect();
    if !dtypes.is_empty() {
        *out += &format!("  {}\n", dtypes.join(", "));
    }
    parts(report, out);
    let outside = model.tensors.len() - tensors.len();
    if outside > 0 {
        *out += &format!("  {outside} more tensors outside of the state_dict (weigh ls --all)\n");
    }
    let ddp = roles::is_data_parallel(tensors.iter().map(|t| t.name.as_str()));
    if let Some(t) = tensors.iter().find(|t| roles::unwrapped(&t.name, ddp) != t.name) {
        let plain = roles::unwrapped(&t.name, ddp);
        *out += &format!("  wrappers seen through: {} is shown as {}\n", clean(&t.name), clean(&plain));
    }
    let metadata: Vec<String> =
        whole.metadata.iter().filter_map(|(k, v)| brief(v).map(|v| format!("{k} {v}"))).collect();
    if !metadata.is_empty() {
        let shown = metadata.iter().take(8).map(|m| clean(m)).collect::<Vec<_>>().join(", ");
        let more = if metadata.len() > 8 { ", …" } else { "" };
        *out += &format!("  {}\n", paint(FAINT, &format!("{shown}{more}")));
    }
}

fn parts(report: &Report<'_>, out: &mut String) {
    let Some(key) = report.part else { return };
    let others: Vec<String> = report
        .whole
        .parts
        .iter()
        .filter(|p| p.key != key)
        .map(|p| {
            let bytes =
                p.tensors.iter().map(|&id| report.whole.tensor(id).bytes()).fold(0, u64::saturating_add);
            format!(
                "#{} ({}, {})",
                p.key,
                units::plural(p.tensors.len() as u64, "tensor"),
                units::bytes(bytes)
            )
        })
        .collect();
    *out += &format!("  the weights are taken from {}", paint(STRONG, &format!("#{}", clean(key))));
    if !others.is_empty() {
        *out += &format!("; also here: {}", clean(&others.join(", ")));
    }
    out.push('\n');
}

/// Plain metadata in a few characters; nothing for what is long or nested.
fn brief(value: &Value) -> Option<String> {
    match value {
        Value::Bool(b) => Some(b.to_string()),
        Value::Int(i) => Some(i.to_string()),
        Value::Float(x) => Some(units::figure(*x)),
        Value::Bytes(n) => Some(units::bytes(*n)),
        Value::Str(s) if s.chars().count() <= 40 => Some(s.clone()),
        // Versions by domain and the like.
        Value::Map(entries) if entries.len() <= 3 => {
            let briefs = entries.iter().map(|(k, v)| match v {
                Value::Map(_) => None,
                v => brief(v).map(|v| format!("{k} {v}")),
            });
            Some(briefs.collect::<Option<Vec<_>>>()?.join(" "))
        }
        _ => None,
    }
}

/// A verdict's colour.
fn verdict_style(verdict: Verdict) -> anstyle::Style {
    match verdict {
        Verdict::Fine => GOOD,
        Verdict::Watch => WARN,
        Verdict::Unsafe => BAD,
    }
}

fn survival(report: &Report<'_>, out: &mut String) {
    let mut targets: Vec<&str> = Vec::new();
    for p in report.precision {
        if !targets.contains(&p.target) {
            targets.push(p.target);
        }
    }
    if targets.is_empty() {
        return;
    }
    section(out, "Survival");
    for target in targets {
        let of: Vec<&Precision> = report.precision.iter().filter(|p| p.target == target).collect();
        let count = |v: Verdict| of.iter().filter(|p| p.verdict == v).count();
        let counts: Vec<String> = [Verdict::Fine, Verdict::Watch, Verdict::Unsafe]
            .into_iter()
            .filter(|&v| count(v) > 0)
            .map(|v| paint(verdict_style(v), &format!("{} {}", count(v), v.as_str())))
            .collect();
        let worst = of.iter().max_by(|a, b| {
            let rank = |p: &Precision| (p.verdict, p.survival.overflow > 0);
            let noise = |p: &Precision| -p.sqnr_db.unwrap_or(f64::INFINITY);
            rank(a).cmp(&rank(b)).then(noise(a).total_cmp(&noise(b)))
        });
        *out += &format!("  {target:<5} {}", counts.join(", "));
        if of.iter().all(|p| p.sqnr_db.is_none() && p.survival.overflow == 0) {
            *out += "; every value is kept exactly";
        } else if let Some(worst) = worst {
            let name = clean(&report.model.tensor(worst.tensor).name);
            *out += &format!("; worst {name}: {}", worst.why);
        }
        out.push('\n');
        let zeros: u64 = of.iter().filter(|p| p.verdict == Verdict::Fine).map(|p| p.survival.to_zero).sum();
        if zeros > 0 {
            let text = format!(
                "of {} in fine tensors nothing is left: too small beside the rest to matter",
                units::plural(zeros, "value")
            );
            *out += &format!("        {}\n", paint(FAINT, &text));
        }
    }
}

fn findings(report: &Report<'_>, out: &mut String) {
    section(out, "What to look at first");
    if report.findings.is_empty() {
        *out += "  nothing stands out\n";
    }
    for f in report.findings.iter().take(SHOWN) {
        let style = match f.severity {
            Severity::Error => BAD,
            Severity::Warning => WARN,
            Severity::Info => FAINT,
        };
        let subject = f.tensor.as_deref().or(f.node.as_deref()).map(|s| clean(s) + " ").unwrap_or_default();
        *out += &format!("  {} {subject}{}\n", paint(style, f.code), clean(&f.message));
        *out += &format!("        {}\n", paint(FAINT, &clean(&f.help)));
    }
    if report.findings.len() > SHOWN {
        *out += &format!("  and {} more (--json lists them all)\n", report.findings.len() - SHOWN);
    }
}
