//! `weigh FILE`: what it is, how it is distributed, whether it survives FP16.

use std::collections::HashMap;

use weighbridge_judge::{Precision, findings, judge, precision_findings};
use weighbridge_measure::{Measured, Options, measure};
use weighbridge_model::dtype::{BF16, F16};
use weighbridge_model::layers::{Layer, layers};
use weighbridge_model::{Finding, Model, Result, Tensor, TensorId};
use weighbridge_report::{json, text};

use super::stats::fail_with;
use crate::args::InputArgs;
use crate::{input, printer, progress};

pub fn run(args: &InputArgs) -> Result<()> {
    let opened = input::read(args)?;
    let whole = &opened.model;
    let part = whole.weights_part().map(|p| p.key.clone());
    let picked = part.as_deref().map(|key| whole.select(key)).transpose()?;
    if args.json {
        return print_json(&opened, part.as_deref().or(opened.selected.as_deref()));
    }
    let model = picked.as_ref().unwrap_or(whole);
    let mut judged = Judged::of(model, &model.tensors.iter().collect::<Vec<_>>());
    judged.findings.extend(whole.findings.iter().cloned());
    judged.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    let report = text::Report {
        file: &opened.file,
        whole,
        model,
        part: part.as_deref().or(opened.selected.as_deref()),
        layers: &judged.layers,
        measured: &judged.measured,
        precision: &judged.precision,
        findings: &judged.findings,
    };
    printer::data(&text::render(&report, printer::width()))?;
    fail_with(failures_in(&opened.file, judged.failures))
}

fn failures_in(file: &str, failures: Vec<weighbridge_model::Error>) -> Vec<weighbridge_model::Error> {
    failures.into_iter().map(|e| e.in_source(file)).collect()
}

/// Figures and judgements of a model.
struct Judged {
    layers: Vec<Layer>,
    measured: Vec<Option<Measured>>,
    precision: Vec<Precision>,
    findings: Vec<Finding>,
    failures: Vec<weighbridge_model::Error>,
}

impl Judged {
    fn of(model: &Model, tensors: &[&Tensor]) -> Self {
        let options = Options { histogram: true, survival: &[F16, BF16], ..Options::default() };
        let bar = progress::bar(tensors.iter().map(|t| t.bytes()).fold(0, u64::saturating_add));
        let results = measure(tensors, &options, &|bytes| bar.inc(bytes));
        bar.finish_and_clear();
        let mut judged = Judged {
            layers: layers(model),
            measured: Vec::with_capacity(results.len()),
            precision: Vec::new(),
            findings: Vec::new(),
            failures: Vec::new(),
        };
        for result in results {
            judged.measured.push(result.map_err(|error| judged.failures.push(error)).ok());
        }
        let weights = judged.weights(model, tensors);
        for (tensor, measured) in tensors.iter().zip(&judged.measured) {
            let Some(measured) = measured else { continue };
            let Some(summary) = &measured.summary else { continue };
            judged.findings.extend(findings(tensor, summary));
            for survival in &measured.survival {
                if let Some(p) = judge(tensor, summary, survival, weights.get(&tensor.id).copied()) {
                    judged.findings.extend(precision_findings(tensor, &p));
                    judged.precision.push(p);
                }
            }
        }
        judged
    }

    /// For each tensor the largest magnitude of its layer's weight.
    fn weights(&self, model: &Model, tensors: &[&Tensor]) -> HashMap<TensorId, f64> {
        let largest: HashMap<TensorId, f64> = tensors
            .iter()
            .zip(&self.measured)
            .filter_map(|(t, m)| Some((t.id, m.as_ref()?.summary.as_ref()?.abs_max?.to_f64())))
            .collect();
        let mut weights = HashMap::new();
        for layer in &self.layers {
            let is_weight = |id: &&TensorId| model.tensor(**id).name.ends_with("weight");
            let weight = layer.tensors.iter().find(is_weight).and_then(|id| largest.get(id));
            weights.extend(weight.into_iter().flat_map(|&w| layer.tensors.iter().map(move |&id| (id, w))));
        }
        weights
    }
}

/// ls + stats of the whole file; layers and precision of the part that holds the weights, by full name.
fn print_json(opened: &input::Opened, part: Option<&str>) -> Result<()> {
    let whole = &opened.model;
    let tensors: Vec<&Tensor> = whole.tensors.iter().collect();
    let mut judged = Judged::of(whole, &tensors);
    judged.findings.extend(whole.findings.iter().cloned());
    judged.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
    let inside = |name: &str| part.is_none_or(|key| name == key || name.starts_with(&format!("{key}.")));
    let storages = json::storage_numbers(whole);
    let mut document = json::document(&opened.file, whole);
    document.insert("origin".into(), whole.origin.as_str().into());
    document.insert("part".into(), part.into());
    document.insert("parts".into(), whole.parts.iter().map(|p| p.key.as_str()).collect());
    document.insert("metadata".into(), json::object(whole, &whole.metadata));
    let list = tensors.iter().zip(&judged.measured).filter(|(t, _)| t.in_state_dict).map(|(t, m)| {
        let mut map = json::listing(t, storages[t.id.0 as usize], None);
        if let Some(m) = m {
            json::figures(&mut map, t, m);
        }
        serde_json::Value::Object(map)
    });
    document.insert("tensors".into(), list.collect());
    let name = |id| whole.tensor(id).name.as_str();
    let in_part = judged.layers.iter().filter(|l| l.tensors.iter().any(|&id| inside(name(id))));
    document.insert("layers".into(), in_part.map(|l| json::layer(whole, l)).collect());
    let precision = judged.precision.iter().filter(|p| inside(name(p.tensor)));
    document.insert("precision".into(), precision.map(|p| json::precision(whole, p)).collect());
    let of_weights = |f: &&Finding| f.tensor.as_deref().is_none_or(inside);
    document.insert(
        "findings".into(),
        judged.findings.iter().filter(of_weights).map(|f| json::finding(whole, f)).collect(),
    );
    printer::json(document)?;
    fail_with(failures_in(&opened.file, judged.failures))
}
