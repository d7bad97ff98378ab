//! Runs passes over all graphs of a model until none has anything left to do.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use weighbridge_model::{Error, Graph, Model, Result};

use super::{Look, PASSES, Pass, Report};
use crate::edit::{Edit, Kind, NodeId, Outer, Shared, compact, subgraphs};

/// Rounds of a graph's worklist and sweeps. Each but the last makes the graph smaller; a model never needs as many.
const ROUNDS: usize = 32;

/// Patches at one node of the file, on average, after which something must be going round in circles.
const PATCHES: usize = 64;

/// Which passes to run.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// No other ones, unless empty.
    pub only: Vec<String>,
    /// Not these.
    pub keep: Vec<String>,
    /// These beside the ones that run without being asked for.
    pub also: Vec<String>,
}

impl Choice {
    /// The passes, in order.
    ///
    /// # Errors
    /// A name that no pass has.
    pub fn passes(&self) -> Result<Vec<&'static dyn Pass>> {
        let names: Vec<&str> = PASSES.iter().map(|pass| pass.name()).collect();
        for asked in self.only.iter().chain(&self.keep).chain(&self.also) {
            if !names.contains(&asked.as_str()) {
                let near = weighbridge_model::nearest(asked, names.iter().copied());
                return Err(Error::NotFound { kind: "pass", name: asked.clone(), near });
            }
        }
        let named = |list: &[String], pass: &dyn Pass| list.iter().any(|name| name == pass.name());
        let wanted = |pass: &&&'static dyn Pass| {
            let asked = named(&self.also, **pass) || named(&self.only, **pass);
            let meant = if self.only.is_empty() { pass.by_default() || asked } else { asked };
            meant && !named(&self.keep, **pass)
        };
        Ok(PASSES.iter().filter(wanted).copied().collect())
    }
}

/// Simplifies the graph of a model, its subgraphs and its functions; tensors that nothing refers to any more go.
///
/// # Errors
/// A model without a graph of ONNX's; nodes in a cycle; a name that no pass has; a failed read.
pub fn simplify(model: &mut Model, choice: &Choice) -> Result<Report> {
    let passes = choice.passes()?;
    let Some(mut graph) = model.graph.take_if(|graph| graph.program.is_some()) else {
        return Err(Error::Usage { what: "only ONNX graphs are simplified, and this model has none".into() });
    };
    let mut report = Report { before: operators(&graph), ..Report::default() };
    let opset = version(&graph);
    let mut shared = Shared::new(model, &graph);
    let mut functions = std::mem::take(&mut graph.program.as_mut().expect("it has one").functions);
    for function in &mut functions {
        let body = std::mem::take(&mut function.body);
        let opset = version(&body);
        function.body = one(&mut shared, body, Kind::Function, opset, Outer::new(), &passes, &mut report)?;
    }
    graph = one(&mut shared, graph, Kind::Graph, opset, Outer::new(), &passes, &mut report)?;
    graph.program.as_mut().expect("it has one").functions = functions;
    report.after = operators(&graph);
    model.graph = Some(graph);
    compact(model);
    let place = |name: &str| PASSES.iter().position(|pass| pass.name() == name);
    report.applied.sort_by_key(|applied| place(applied.pass));
    let mut met = HashSet::new();
    report.refused.retain(|r| met.insert((r.pass, r.node.clone(), r.why.clone())));
    Ok(report)
}

/// Version of ONNX's operators in a graph that states it.
fn version(graph: &Graph) -> i64 {
    graph.opsets.iter().find(|(domain, _)| domain.is_empty()).map_or(1, |(_, version)| *version)
}

/// Nodes by operator, over all graphs of a model.
pub fn operators(graph: &Graph) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        for node in &graph.nodes {
            *counts.entry(node.op.clone()).or_default() += 1;
            open.extend(subgraphs(node));
        }
        let functions = graph.program.iter().flat_map(|program| &program.functions);
        open.extend(functions.map(|function| &function.body));
    }
    counts
}

/// Brings one graph and those within it to where no pass has anything to do.
fn one(
    shared: &mut Shared<'_>,
    graph: Graph,
    kind: Kind,
    opset: i64,
    outer: Outer,
    passes: &[&'static dyn Pass],
    report: &mut Report,
) -> Result<Graph> {
    let mut edit = Edit::new(shared, graph, kind, opset, outer)?;
    for _ in 0..ROUNDS {
        let mut done = 0;
        let mut noted = Report::default();
        for pass in passes {
            let count = pass.sweep(&mut edit, &mut noted)?;
            report.did(pass.name(), count);
            done += count;
        }
        done += worklist(&mut edit, passes, report, &mut noted)?;
        if done == 0 {
            report.refused.extend(noted.refused);
            break;
        }
    }
    for id in edit.nodes() {
        if edit.has(id) && edit.has_subgraphs(id) {
            let outer = edit.outer_for(id);
            let mut graphs = Vec::new();
            for inner in edit.take_subgraphs(id) {
                graphs.push(one(edit.shared, inner, Kind::Graph, opset, outer.clone(), passes, report)?);
            }
            edit.put_subgraphs(id, graphs);
        }
    }
    Ok(edit.finish())
}

/// Looks at every node, and again at those near to what changed.
fn worklist(
    edit: &mut Edit<'_, '_>,
    passes: &[&'static dyn Pass],
    report: &mut Report,
    noted: &mut Report,
) -> Result<usize> {
    let mut by_operator: HashMap<&str, Vec<&'static dyn Pass>> = HashMap::new();
    for pass in passes {
        pass.operators().iter().for_each(|op| by_operator.entry(op).or_default().push(*pass));
    }
    let mut queue: VecDeque<NodeId> = edit.nodes().into();
    let mut queued: HashSet<NodeId> = queue.iter().copied().collect();
    let mut reasons: BTreeMap<(NodeId, usize), (&'static str, String)> = BTreeMap::new();
    let (mut done, most) = (0, PATCHES * (queue.len() + PATCHES));
    while let Some(id) = queue.pop_front() {
        queued.remove(&id);
        if !edit.has(id) || !edit.is_plain(id) {
            continue;
        }
        let Some(passes) = by_operator.get(edit.node(id).op.as_str()) else { continue };
        for (pass, number) in passes.iter().zip(0..) {
            reasons.remove(&(id, number));
            match pass.look(edit, id) {
                Look::No => {}
                Look::Refused(why) => {
                    reasons.insert((id, number), (pass.name(), why));
                }
                Look::Patch(patch) => {
                    report.did(pass.name(), 1);
                    done += 1;
                    for near in edit.apply(patch) {
                        if queued.insert(near) {
                            queue.push_back(near);
                        }
                    }
                    if edit.has(id) && queued.insert(id) {
                        queue.push_front(id);
                    }
                    break;
                }
            }
        }
        if done > most {
            return Err(Error::Usage {
                what: format!("passes undo each other's work at '{}'", edit.label(id)),
            });
        }
    }
    for ((id, _), (pass, why)) in reasons {
        if edit.has(id) {
            noted.left(pass, edit.label(id), why);
        }
    }
    Ok(done)
}
