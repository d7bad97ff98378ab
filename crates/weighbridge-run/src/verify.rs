//! Whether two models compute the same.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Error, Graph, Model, Result};

use crate::inputs::{fed, graph_of, random};
use crate::{Array, Comparison, Engine, Probe, Session, Shapes, compare};

/// Runs that a time is the median of.
const RUNS: usize = 5;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Largest difference that is let pass, relative to a tensor's largest magnitude.
    pub tolerance: f64,
    /// Seed of random inputs.
    pub seed: u64,
    /// Shapes of inputs, by name.
    pub shapes: Shapes,
    /// Whether inner values of the same name are compared too.
    pub inner: bool,
    /// Whether both are timed.
    pub time: bool,
}

/// The first value, in the order of the first model's nodes, that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Divergence {
    /// The node that gives it in the first model.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// The value.
    pub tensor: String,
}

/// Seconds that a run takes, the median of a few.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    /// Of the first model.
    pub a: f64,
    /// Of the second.
    pub b: f64,
}

/// What a comparison of two models came to.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Outputs, in the first model's order.
    pub outputs: Vec<Comparison>,
    /// Inner values that have the same name in both, in the order of the first model's nodes.
    pub inner: Vec<Comparison>,
    /// Where it begins.
    pub first_divergence: Option<Divergence>,
    /// Whether other inputs hardly change the outputs, so that equality says little.
    pub insensitive: bool,
    /// What executed both.
    pub engines: Vec<String>,
    /// How long both take.
    pub times: Option<Times>,
    /// Whether all outputs agree. Inner values may differ where a model was rewritten.
    pub ok: bool,
}

/// Runs both models on the same inputs, random ones or those `given`, and compares what they give.
///
/// # Errors
/// Models without an ONNX graph, or whose inputs or outputs cannot be paired; what the engine lacks for them; what it
/// says against them.
pub fn verify(
    a: &Model,
    b: &Model,
    engine: &dyn Engine,
    given: Option<Vec<(String, Array)>>,
    options: &Options,
) -> Result<Verdict> {
    let (graph_a, graph_b) = (graph_of(a)?, graph_of(b)?);
    let mut lacks = engine.lacks(a);
    lacks.extend(engine.lacks(b).into_iter().filter(|lack| !lacks.contains(lack)).collect::<Vec<_>>());
    if !lacks.is_empty() {
        return Err(Error::Refused {
            what: format!(
                "{} would not compute in the models' own types, which proves nothing",
                engine.name()
            ),
            reasons: lacks,
            help: Some("--ort names a library of ONNX Runtime, which does".into()),
        });
    }
    let outputs = paired(&outputs(graph_a), &outputs(graph_b), "outputs")?;
    let input_names = |graph: &Graph| fed(graph).map(|id| graph.value(id).name.clone()).collect::<Vec<_>>();
    let inputs = paired(&input_names(graph_a), &input_names(graph_b), "inputs")?;
    let taken: HashSet<&str> = outputs.iter().flat_map(|(a, b)| [a.as_str(), b]).collect();
    let inner = if options.inner { shared(graph_a, graph_b, &taken) } else { Vec::new() };

    let fed_with = match given {
        Some(given) => given,
        None => random(a, &options.shapes, options.seed)?,
    };
    let names: HashMap<&str, &String> = inputs.iter().map(|(a, b)| (a.as_str(), b)).collect();
    let for_b = |fed: &[(String, Array)]| -> Vec<(String, Array)> {
        let renamed =
            |(name, array): &(String, Array)| Some(((*names.get(name.as_str())?).clone(), array.clone()));
        fed.iter().filter_map(renamed).collect()
    };
    let wanted = |side: fn(&(String, String)) -> &String| -> Vec<String> {
        outputs.iter().map(side).chain(&inner).cloned().collect()
    };
    let results_a = run(engine, a, &inner, &fed_with, &wanted(|pair| &pair.0))?;
    let results_b = run(engine, b, &inner, &for_b(&fed_with), &wanted(|pair| &pair.1))?;
    let mut compared = Vec::with_capacity(results_a.len());
    let names = outputs.iter().map(|(a, _)| a).chain(&inner);
    for (name, pair) in names.zip(results_a.iter().zip(&results_b)) {
        compared.push(match pair {
            (Some(a), Some(b)) => Some(compare(name, a, b, options.tolerance)),
            _ => None,
        });
    }
    let inner = compared.split_off(outputs.len()).into_iter().flatten().collect::<Vec<_>>();
    if let Some(at) = compared.iter().position(Option::is_none) {
        return Err(Error::Usage { what: format!("output '{}' is no tensor of numbers", outputs[at].0) });
    }
    let compared: Vec<Comparison> = compared.into_iter().flatten().collect();
    let insensitive =
        insensitive(a, engine, &fed_with, &results_a[..outputs.len()], &wanted(|p| &p.0), options)?;
    let mut times = None;
    if options.time {
        let own =
            |names: fn(&(String, String)) -> &String| outputs.iter().map(names).cloned().collect::<Vec<_>>();
        times = Some(Times {
            a: time(engine, a, &fed_with, &own(|pair| &pair.0))?,
            b: time(engine, b, &for_b(&fed_with), &own(|pair| &pair.1))?,
        });
    }
    Ok(Verdict {
        first_divergence: first(graph_a, &compared, &inner),
        ok: compared.iter().all(|c| c.ok),
        outputs: compared,
        inner,
        insensitive,
        engines: vec![engine.name()],
        times,
    })
}

fn outputs(graph: &Graph) -> Vec<String> {
    graph.outputs.iter().map(|&id| graph.value(id).name.clone()).collect()
}

/// Names on both sides: equal ones, or by position where as many are named otherwise.
fn paired(a: &[String], b: &[String], what: &str) -> Result<Vec<(String, String)>> {
    let same: HashSet<&String> = b.iter().collect();
    if a.len() == b.len() && a.iter().all(|name| same.contains(name)) {
        return Ok(a.iter().map(|name| (name.clone(), name.clone())).collect());
    }
    if a.len() == b.len() {
        return Ok(a.iter().cloned().zip(b.iter().cloned()).collect());
    }
    let what = format!(
        "the models have {} and {} {what}: [{}] and [{}]",
        a.len(),
        b.len(),
        a.join(", "),
        b.join(", ")
    );
    Err(Error::Usage { what })
}

/// Values that nodes of both graphs make under the same name, in the first one's order.
fn shared(a: &Graph, b: &Graph, taken: &HashSet<&str>) -> Vec<String> {
    let made = |graph: &Graph| -> Vec<String> {
        let ids = graph.nodes.iter().flat_map(|node| node.outputs.iter().flatten());
        ids.map(|&id| graph.value(id).name.clone()).collect()
    };
    let of_b: HashSet<String> = made(b).into_iter().collect();
    made(a).into_iter().filter(|name| of_b.contains(name) && !taken.contains(name.as_str())).collect()
}

fn run(
    engine: &dyn Engine,
    model: &Model,
    inner: &[String],
    inputs: &[(String, Array)],
    wanted: &[String],
) -> Result<Vec<Option<Array>>> {
    let probe = Probe::new(model, inner)?;
    engine.load(&probe.path())?.run(inputs, wanted)
}

/// Whether outputs stay what they are, within the tolerance, on other inputs of the same shapes.
fn insensitive(
    model: &Model,
    engine: &dyn Engine,
    inputs: &[(String, Array)],
    results: &[Option<Array>],
    wanted: &[String],
    options: &Options,
) -> Result<bool> {
    if inputs.is_empty() {
        return Ok(false);
    }
    let shapes = inputs.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect();
    let others = random(model, &shapes, options.seed.wrapping_add(1))?;
    let again = run(engine, model, &[], &others, &wanted[..results.len()])?;
    let still = |(a, b): (&Option<Array>, &Option<Array>)| match (a, b) {
        (Some(a), Some(b)) => compare("", a, b, options.tolerance).ok,
        _ => true,
    };
    Ok(results.iter().zip(&again).all(still))
}

fn time(engine: &dyn Engine, model: &Model, inputs: &[(String, Array)], wanted: &[String]) -> Result<f64> {
    let probe = Probe::new(model, &[])?;
    let mut session: Box<dyn Session> = engine.load(&probe.path())?;
    session.run(inputs, wanted)?;
    let mut seconds = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        seconds.push(session.seconds(inputs, wanted)?);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[RUNS / 2])
}

/// The first node of `graph` of whose values one differs.
fn first(graph: &Graph, outputs: &[Comparison], inner: &[Comparison]) -> Option<Divergence> {
    let wrong: HashSet<&str> =
        outputs.iter().chain(inner).filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
    graph.nodes.iter().find_map(|node| {
        let made = node.outputs.iter().flatten().map(|&id| graph.value(id).name.as_str());
        let tensor = made.into_iter().find(|name| wrong.contains(name))?;
        Some(Divergence { node: node.name.clone(), op: node.op.clone(), tensor: tensor.to_owned() })
    })
}
