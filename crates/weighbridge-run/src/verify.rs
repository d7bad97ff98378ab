//! Whether two models compute the same.

use std::collections::{HashMap, HashSet};

use weighbridge_model::{Error, Model, Result};

use crate::feed::{Fed, feed};
use crate::inputs::{nudge, random};
use crate::{Array, Comparison, Engine, Interface, Session, Shapes, compare};

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
    /// Shapes of inputs that neither the models nor the caller tell.
    pub guessed: Vec<(String, Vec<u64>)>,
    /// What executed both.
    pub engines: Vec<String>,
    /// How long both take.
    pub times: Option<Times>,
    /// Whether all outputs agree. Inner values may differ where a model was rewritten.
    pub ok: bool,
}

impl Verdict {
    /// Whether outputs that do not agree are apart by no more than the first model's own rounding.
    pub fn within_noise(&self) -> bool {
        self.outputs.iter().all(|c| c.ok || c.within_noise())
    }
}

/// A model, and what executes it.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The model.
    pub model: &'a Model,
    /// Its engine.
    pub engine: &'a dyn Engine,
}

impl Side<'_> {
    fn run(
        &self,
        inner: &[String],
        inputs: &[(String, Array)],
        wanted: &[String],
    ) -> Result<Vec<Option<Array>>> {
        self.engine.open(self.model, inner)?.run(inputs, wanted)
    }
}

/// Whether both engines do what their models say.
///
/// # Errors
/// All that one of them would compute in another type, or not at all.
fn executable(sides: [Side<'_>; 2]) -> Result<()> {
    let (mut reasons, mut names, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    let mut onnx = false;
    for side in sides {
        let lacks = side.engine.lacks(side.model);
        if !lacks.is_empty() {
            names.push(side.engine.name());
            onnx |= side.model.graph.as_ref().is_some_and(|graph| graph.program.is_some());
        }
        reasons.extend(lacks.into_iter().filter(|lack| seen.insert(lack.clone())));
    }
    if reasons.is_empty() {
        return Ok(());
    }
    names.dedup();
    let names = names.join(" and ");
    Err(Error::Refused {
        what: format!("{names} would not compute what the models say, which proves nothing"),
        reasons,
        help: onnx.then(|| "--ort names a library of ONNX Runtime, which computes in all types".into()),
    })
}

/// Runs both models on one engine: see [`verify_sides`].
///
/// # Errors
/// As there.
pub fn verify(
    a: &Model,
    b: &Model,
    engine: &dyn Engine,
    given: Option<Vec<(String, Array)>>,
    options: &Options,
) -> Result<Verdict> {
    verify_sides(Side { model: a, engine }, Side { model: b, engine }, given, options)
}

/// Runs both models, each on its engine, on the same inputs, random ones or those `given`, and compares what they give.
///
/// # Errors
/// Models whose graphs are not executed, or whose inputs or outputs cannot be paired; what the engines lack for them;
/// what they say against them.
pub fn verify_sides(
    a: Side<'_>,
    b: Side<'_>,
    given: Option<Vec<(String, Array)>>,
    options: &Options,
) -> Result<Verdict> {
    let (face_a, face_b) = (Interface::of(a.model)?, Interface::of(b.model)?);
    executable([a, b])?;
    let outputs = paired(&face_a.outputs, &face_b.outputs, "outputs")?;
    let names = |face: &Interface| face.inputs.iter().map(|input| input.name.clone()).collect::<Vec<_>>();
    let inputs = paired_inputs(&names(&face_a), &names(&face_b))?;
    let taken: HashSet<&str> = outputs.iter().flat_map(|(a, b)| [a.as_str(), b]).collect();
    let inner = if options.inner { shared(&face_a, &face_b, &taken) } else { Vec::new() };

    let Fed { inputs: fed_with, guessed } = match given {
        Some(given) => Fed::given(given),
        None => feed(a.model, a.engine, &options.shapes, options.seed)?,
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
    let results_a = a.run(&inner, &fed_with, &wanted(|pair| &pair.0))?;
    let results_b = b.run(&inner, &for_b(&fed_with), &wanted(|pair| &pair.1))?;
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
    let mut compared: Vec<Comparison> = compared.into_iter().flatten().collect();
    let own =
        |names: fn(&(String, String)) -> &String| outputs.iter().map(names).cloned().collect::<Vec<_>>();
    if compared.iter().any(|c| !c.ok && c.why.is_none()) {
        let nudged: Vec<_> = fed_with.iter().map(|(name, array)| (name.clone(), nudge(array))).collect();
        let moved = a.run(&[], &nudged, &own(|pair| &pair.0))?;
        for (compared, (still, moved)) in compared.iter_mut().zip(results_a.iter().zip(&moved)) {
            if let (false, Some(still), Some(moved)) = (compared.ok, still, moved) {
                compared.noise = Some(compare("", still, moved, 0.0).max_rel);
            }
        }
    }
    // Where both agree either may tell, and the second one is rather what will be used than a slow reference.
    let others = |fed: &[(String, Array)]| -> Result<Vec<(String, Array)>> {
        let shapes = fed.iter().map(|(name, array)| (name.clone(), array.shape.clone())).collect();
        Ok(for_b(&random(a.model, &shapes, options.seed.wrapping_add(1))?))
    };
    let insensitive = !fed_with.is_empty() && {
        let again = b.run(&[], &others(&fed_with)?, &own(|pair| &pair.1))?;
        let still = |(a, b): (&Option<Array>, &Option<Array>)| match (a, b) {
            (Some(a), Some(b)) => compare("", a, b, options.tolerance).ok,
            _ => true,
        };
        results_b.iter().zip(&again).all(still)
    };
    let mut times = None;
    if options.time {
        times = Some(Times {
            a: time(a, &fed_with, &own(|pair| &pair.0))?,
            b: time(b, &for_b(&fed_with), &own(|pair| &pair.1))?,
        });
    }
    let mut engines = vec![a.engine.name(), b.engine.name()];
    engines.dedup();
    Ok(Verdict {
        first_divergence: first(&face_a, &compared, &inner),
        ok: compared.iter().all(|c| c.ok),
        outputs: compared,
        inner,
        insensitive,
        guessed,
        engines,
        times,
    })
}

/// Inputs of both sides. The second model may do without some: those that only told sizes, where its sizes are fixed.
fn paired_inputs(a: &[String], b: &[String]) -> Result<Vec<(String, String)>> {
    let given: HashSet<&String> = a.iter().collect();
    if b.iter().all(|name| given.contains(name)) {
        return Ok(b.iter().map(|name| (name.clone(), name.clone())).collect());
    }
    paired(a, b, "inputs")
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

/// Values that nodes of both make under the same name, in the first one's order.
fn shared(a: &Interface, b: &Interface, taken: &HashSet<&str>) -> Vec<String> {
    let of_b: HashSet<&str> = b.made().collect();
    a.made().filter(|name| of_b.contains(name) && !taken.contains(name)).map(str::to_owned).collect()
}

fn time(side: Side<'_>, inputs: &[(String, Array)], wanted: &[String]) -> Result<f64> {
    let mut session: Box<dyn Session> = side.engine.open(side.model, &[])?;
    session.run(inputs, wanted)?;
    let mut seconds = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        seconds.push(session.seconds(inputs, wanted)?);
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[RUNS / 2])
}

/// The first node of whose values one differs.
fn first(face: &Interface, outputs: &[Comparison], inner: &[Comparison]) -> Option<Divergence> {
    let wrong: HashSet<&str> =
        outputs.iter().chain(inner).filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
    face.steps.iter().find_map(|step| {
        let tensor = step.values.iter().find(|name| wrong.contains(name.as_str()))?;
        Some(Divergence { node: step.node.clone(), op: step.op.clone(), tensor: tensor.clone() })
    })
}
