//! Normalizations: variances and epsilons that vanish, statistics that were never updated.

use std::collections::{HashMap, HashSet};

use weighbridge_graph::fold::{Does, Found, values};
use weighbridge_model::dtype::FloatFormat;
use weighbridge_model::{Error, Finding, Model, Node, Severity, TensorId, Value};

use crate::precision::magnitude;

/// Epsilons in use: torch, Caffe and ONNX add 1e-5, Keras 1e-3, transformers down to 1e-12 in LayerNorm.
const USUAL: std::ops::RangeInclusive<f64> = 1e-6..=1e-2;

/// A BatchNormalization.
struct Norm {
    name: String,
    is_node: bool,
    mean: TensorId,
    variance: TensorId,
    counter: Option<TensorId>,
    /// What Caffe divides its sums by.
    factor: Option<TensorId>,
    epsilon: Option<f64>,
    folded: bool,
}

/// Findings on all normalizations.
pub(super) fn findings(
    model: &Model,
    found: &Found,
    targets: &[FloatFormat],
    failures: &mut Vec<Error>,
) -> Vec<Finding> {
    let mut all = Vec::new();
    for norm in norms(model, found) {
        match of_norm(model, &norm, targets) {
            Ok(some) => all.extend(some.into_iter().map(|finding| {
                let finding = finding.with_tensor(&model.tensor(norm.variance).name);
                Finding { node: norm.is_node.then(|| norm.name.clone()), ..finding }
            })),
            Err(error) => failures.push(error),
        }
    }
    for node in model.graph.iter().flat_map(|graph| &graph.nodes) {
        all.extend(targets.iter().filter_map(|target| epsilon(node, target)));
    }
    all
}

/// What folds, then what a graph's nodes say, then what names say.
fn norms(model: &Model, found: &Found) -> Vec<Norm> {
    let mut norms: Vec<Norm> = Vec::new();
    let names: HashMap<&str, TensorId> = model.tensors.iter().map(|t| (t.name.as_str(), t.id)).collect();
    let counter = |variance: TensorId| {
        let (path, _) = model.tensor(variance).name.rsplit_once('.')?;
        names.get(format!("{path}.num_batches_tracked").as_str()).copied()
    };
    for fold in &found.folds {
        for step in fold.before.iter().chain(&fold.after) {
            if let Does::Norm { mean, variance, factor, epsilon, .. } = step.does {
                norms.push(Norm {
                    name: step.name.clone(),
                    is_node: step.node.is_some(),
                    mean,
                    variance,
                    counter: counter(variance),
                    factor,
                    epsilon: (!fold.guessed).then_some(epsilon),
                    folded: true,
                });
            }
        }
    }
    let mut seen: HashSet<TensorId> = norms.iter().map(|norm| norm.variance).collect();
    if let Some(graph) = &model.graph {
        let given: HashMap<_, TensorId> = graph.constants().into_iter().collect();
        for node in graph.nodes.iter().filter(|n| n.op == "BatchNormalization" && n.inputs.len() >= 5) {
            let tensor = |at: usize| node.inputs[at].and_then(|value| given.get(&value).copied());
            if let (Some(mean), Some(variance)) = (tensor(3), tensor(4))
                && seen.insert(variance)
            {
                let epsilon = node.attribute("epsilon").and_then(number).unwrap_or(1e-5);
                norms.push(Norm {
                    name: node.name.clone(),
                    is_node: true,
                    mean,
                    variance,
                    counter: counter(variance),
                    factor: None,
                    epsilon: Some(epsilon),
                    folded: false,
                });
            }
        }
    }
    for tensor in &model.tensors {
        let at = tensor.name.rfind(['.', '/']).map_or(0, |at| at + 1);
        let (path, leaf) = tensor.name.split_at(at);
        let mean = match leaf {
            "running_var" => "running_mean",
            "moving_variance" => "moving_mean",
            "moving_variance:0" => "moving_mean:0",
            _ => continue,
        };
        if let Some(&mean) = names.get(format!("{path}{mean}").as_str())
            && seen.insert(tensor.id)
        {
            norms.push(Norm {
                name: path.trim_end_matches(['.', '/']).to_owned(),
                is_node: false,
                mean,
                variance: tensor.id,
                counter: counter(tensor.id),
                factor: None,
                epsilon: None,
                folded: false,
            });
        }
    }
    norms
}

fn of_norm(model: &Model, norm: &Norm, targets: &[FloatFormat]) -> Result<Vec<Finding>, Error> {
    let (mean, mut variance) = (values(model.tensor(norm.mean))?, values(model.tensor(norm.variance))?);
    let factor = norm.factor.map(|id| values(model.tensor(id))).transpose()?;
    if let Some(&factor) = factor.as_ref().and_then(|factor| factor.first()).filter(|f| **f != 0.0) {
        variance.iter_mut().for_each(|x| *x /= factor);
    }
    let mut found = Vec::new();
    let count = |keep: &dyn Fn(f64) -> bool| variance.iter().filter(|&&x| keep(x)).count();
    let int = |n: usize| Value::Int(n as i64);
    // A negative `running_var` is H105 by its name alone.
    let negative = count(&|x| x < 0.0);
    if negative > 0 && !model.tensor(norm.variance).name.ends_with("running_var") {
        let help = "a variance cannot be negative: the file is damaged, or this is not what its place says";
        let message = format!("{negative} of {} variances are negative", variance.len());
        found.push(
            Finding::new("H105", Severity::Error, message, help).with_figure("negative", int(negative)),
        );
    }
    let zero = count(&|x| x == 0.0);
    let never = mean.iter().all(|&x| x == 0.0) && variance.iter().all(|&x| x == 1.0);
    let untracked = match norm.counter {
        Some(id) => values(model.tensor(id))?.first() == Some(&0.0),
        None => factor.is_some_and(|factor| factor.first() == Some(&0.0)),
    };
    if (never && !variance.is_empty()) || untracked {
        let what =
            if untracked { "it never saw a batch" } else { "means are 0 and variances are 1, throughout" };
        let message = format!("statistics of '{}' were never updated: {what}", norm.name);
        let help =
            "the network was not trained, or exported without its statistics: run it in train mode over data";
        found.push(Finding::new("H110", Severity::Warning, message, help));
    } else if zero > 0 {
        let message = format!("{zero} of {} variances of '{}' are 0", variance.len(), norm.name);
        let help = "what comes in was constant in training: a dead channel before it, whose noise is now scaled up by \
                    1/sqrt(eps)";
        found.push(Finding::new("H109", Severity::Warning, message, help).with_figure("zero", int(zero)));
    }
    if let Some(epsilon) = norm.epsilon.filter(|epsilon| !USUAL.contains(epsilon)) {
        let severity = if epsilon > 0.0 { Severity::Info } else { Severity::Warning };
        let message = format!("'{}' adds an unusual epsilon of {epsilon:e} to its variances", norm.name);
        let help = "see that whatever runs it takes this epsilon, and not its own default";
        found.push(
            Finding::new("H111", severity, message, help).with_figure("epsilon", Value::Float(epsilon)),
        );
    }
    if norm.folded {
        return Ok(found);
    }
    let epsilon = norm.epsilon.unwrap_or(1e-5);
    for target in targets {
        let round = |x: f64| target.round(x);
        let gone = count(&|x| x >= 0.0 && round(x) + round(epsilon) == 0.0 && x + epsilon > 0.0);
        let small = count(&|x| x > epsilon && x < target.min_normal());
        let (severity, what) = if gone > 0 {
            (Severity::Error, format!("{gone} variances and their epsilon are 0 in {}", target.name))
        } else if small > 0 {
            let what = format!("{small} variances, larger than epsilon, lose precision in {}", target.name);
            (Severity::Warning, what)
        } else {
            continue;
        };
        let message = format!("'{}' folds into no layer, and {what}", norm.name);
        let help = "keep this normalization in f32";
        let finding = Finding::new("P107", severity, message, help).with_target(target.name);
        found.push(
            finding.with_figure("epsilon", Value::Float(epsilon)).with_figure("variances", int(gone + small)),
        );
    }
    Ok(found)
}

/// An epsilon of a normalization that computes its statistics, which is 0 in the target.
fn epsilon(node: &Node, target: &FloatFormat) -> Option<Finding> {
    let computes = ["LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization"];
    if !computes.contains(&node.op.as_str()) {
        return None;
    }
    let epsilon = node.attribute("epsilon").and_then(number)?;
    if epsilon == 0.0 || epsilon > target.min_subnormal() / 2.0 {
        return None;
    }
    let message = format!("the epsilon of {} is 0 in {}", magnitude(epsilon), target.name);
    let help = "keep this normalization in f32, or raise its epsilon";
    let finding = Finding::new("P107", Severity::Warning, message, help).with_target(target.name);
    let finding = finding.with_figure("epsilon", Value::Float(epsilon));
    Some(Finding { node: Some(node.name.clone()), ..finding })
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(x) => Some(*x),
        Value::Int(i) => Some(*i as f64),
        _ => None,
    }
}
