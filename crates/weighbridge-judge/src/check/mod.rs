//! The verdict on what will run: weights after folding, by output channel; normalizations; operators that are known to
//! be sensitive; activations, where a run showed them. The rules and their reasons: docs/precision.md.

mod activations;
mod channels;
mod consumers;
mod kinds;
mod norms;
mod subjects;

use std::collections::HashMap;

use weighbridge_graph::fold::find;
use weighbridge_measure::{Level, Number, Options, Survival, by_channel, measure};
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::layers::layers;
use weighbridge_model::{Error, Finding, Model, Role, TensorId};

use crate::precision::{Precision, beside_weight, judge_beside, precision_findings};
use subjects::{Subject, subjects};

pub use activations::{Activation, Judged, activations, lost_channels};

/// From this magnitude on a constant that is taken as a limit or a mask stands for infinity.
const LIMIT: f64 = 1e9;

/// What a check came to.
#[derive(Debug, Default)]
pub struct Checked {
    /// A row for each tensor that is judged, each followed by those of its output channels that are not fine.
    pub precision: Vec<Precision>,
    /// Findings, in the order of the model.
    pub findings: Vec<Finding>,
    /// What could not be read.
    pub failures: Vec<Error>,
}

/// Judges the tensors of `model` that a state dict has, as they will run, for each of `targets`. `progress` is told
/// bytes, twice the tensors' in all.
pub fn check(model: &Model, targets: &[FloatFormat], progress: &(dyn Fn(u64) + Sync)) -> Checked {
    let mut checked = Checked::default();
    let found = find(model);
    let subjects = subjects(model, &found, &mut checked.failures);
    let tensors: Vec<_> = subjects.iter().map(|subject| &subject.tensor).collect();
    let summaries = measure(&tensors, &Options::default(), progress);
    let mut measured = Vec::with_capacity(subjects.len());
    for result in summaries {
        measured.push(result.map_err(|error| checked.failures.push(error)).ok().and_then(|m| m.summary));
    }
    let largest: HashMap<TensorId, f64> = subjects
        .iter()
        .zip(&measured)
        .filter_map(|(s, m)| Some((s.tensor.id, m.as_ref()?.abs_max?.to_f64())))
        .collect();
    let layers = layer_weights(model, &largest);
    for (subject, summary) in subjects.iter().zip(&measured) {
        let tensor = &subject.tensor;
        let Some(summary) = summary else {
            progress(tensor.bytes());
            continue;
        };
        let about = checked.findings.len();
        let healthy = |code: &str| subject.fill && matches!(code, "H103" | "H104");
        checked.findings.extend(crate::findings(tensor, summary).into_iter().filter(|f| !healthy(f.code)));
        let judged =
            tensor.dtype.is_float() && matches!(tensor.role, Role::Parameter | Role::Buffer | Role::Constant);
        for (number, &target) in targets.iter().enumerate().filter(|_| judged) {
            let abs_max = summary.abs_max.map_or(0.0, Number::to_f64);
            let losses = match &subject.outputs {
                Some(outputs) => by_channel(tensor, outputs, target, abs_max, Level::detect()),
                None => Ok(None),
            };
            let losses = match losses {
                Ok(losses) => losses,
                Err(error) => {
                    checked.failures.push(error);
                    continue;
                }
            };
            let whole = match &losses {
                Some(losses) => losses.whole(),
                None => survival(subject, target, &mut checked.failures),
            };
            let Some(whole) = whole else { continue };
            let weight = subject.weight.and_then(|id| largest.get(&id)).map(|&weight| beside_weight(weight));
            let beside = weight.or_else(|| crate::precision::beside(tensor, layers.get(&tensor.id).copied()));
            let Some(mut row) = judge_beside(tensor, summary, &whole, beside) else { continue };
            row.folded = subject.folded.clone();
            checked.findings.extend(finding(subject, &row, abs_max));
            let rows = losses.iter().map(|losses| channels::rows(subject, losses, &row)).next();
            checked.precision.push(row);
            if let (Some(losses), Some(rows)) = (&losses, rows) {
                checked.findings.extend(channels::findings(subject, &rows, losses));
                checked.precision.extend(rows);
                if number == 0 {
                    checked.findings.extend(channels::health(subject, losses, &mut checked.failures));
                }
            }
        }
        progress(tensor.bytes());
        for finding in &mut checked.findings[about..] {
            finding.node = finding.node.take().or_else(|| subject.node.clone());
        }
    }
    checked.findings.extend(norms::findings(model, &found, targets, &mut checked.failures));
    checked.findings.extend(kinds::findings(model, targets));
    checked
}

/// The loss of a tensor without channels.
fn survival(subject: &Subject, target: FloatFormat, failures: &mut Vec<Error>) -> Option<Survival> {
    let targets = [target];
    let options = Options { survival: &targets, ..Options::default() };
    let measured = measure(&[&subject.tensor], &options, &|_| {}).remove(0);
    measured.map_err(|error| failures.push(error)).ok()?.survival.into_iter().next()
}

/// The finding on a whole tensor. A constant that stands for infinity, as masks' and limits' do, is none: it still does.
fn finding(subject: &Subject, row: &Precision, largest: f64) -> Option<Finding> {
    if subject.limit && row.survival.overflow > 0 && largest >= LIMIT {
        return None;
    }
    let mut finding = precision_findings(&subject.tensor, row)?;
    if let Some(folded) = &subject.folded {
        finding.message = format!("{} ({folded})", finding.message);
    }
    Some(finding)
}

/// For each tensor the largest magnitude of its layer's weight, as it will run.
fn layer_weights(model: &Model, largest: &HashMap<TensorId, f64>) -> HashMap<TensorId, f64> {
    let mut beside = HashMap::new();
    for layer in layers(model) {
        let is_weight = |id: &&TensorId| model.tensor(**id).name.ends_with("weight");
        if let Some(&weight) = layer.tensors.iter().find(is_weight).and_then(|id| largest.get(id)) {
            beside.extend(layer.tensors.iter().map(|&id| (id, weight)));
        }
    }
    beside
}
