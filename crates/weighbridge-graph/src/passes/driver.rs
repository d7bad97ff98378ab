//! Runs passes over all graphs of a model until none has anything left to do.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use weighbridge_model::{Error, Graph, Model, Result};

use super::{Look, PASSES, Pass, Refusal, Report, tidy};
use crate::edit::{Edit, Kind, NodeId, Outer, Shared, compact, sort, subgraphs};
use crate::infer::{Facts, GraphFacts, Options, infer};

/// Rounds of a graph's worklist and sweeps. Each but the last makes the graph smaller; a model never needs as many.
const ROUNDS: usize = 32;

/// Patches at one node of the file, on average, after which something must be going round in circles.
const PATCHES: usize = 64;

/// Bytes for each node that folding leaves at first: shapes that other passes write take some.
const RESERVE: usize = 64;

/// What leaves a node that contradicts itself, whatever the pass.
const INFERENCE: &str = "all";

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
    sort(&mut graph)?;
    for function in &mut graph.program.as_mut().expect("it has one").functions {
        sort(&mut function.body)?;
    }
    let mut shared = Shared::new(model, &graph);
    shared.reserve = (RESERVE * report.before.values().sum::<usize>()) as i64;
    let mut saved = 0;
    for round in 0..ROUNDS {
        let facts = infer(shared.model, &graph, &Options::default());
        let (malformed, doubtful): (Vec<_>, Vec<_>) =
            facts.faults.iter().cloned().partition(|fault| fault.malformed);
        if round == 0 && !malformed.is_empty() {
            let reasons = malformed.into_iter().map(|fault| (fault.node, fault.what)).collect();
            return Err(Error::Refused { what: "the graph is malformed".into(), reasons, help: None });
        }
        let mut run = Run { passes: &passes, report: &mut report, refused: Vec::new(), done: 0, saved };
        graph = run.all(&mut shared, graph, &facts)?;
        let Run { refused, done, saved: now, .. } = run;
        saved = now;
        report.refused = refused;
        doubtful.into_iter().for_each(|fault| report.left(INFERENCE, fault.node, fault.what));
        match done {
            0 if shared.reserve == 0 => break,
            // Nothing else wants it any more.
            0 => shared.reserve = 0,
            _ => {}
        }
    }
    tidy::tidy(&mut graph, &choice.keep);
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

/// One going over all graphs, with what inference shows of them.
struct Run<'p> {
    passes: &'p [&'static dyn Pass],
    report: &'p mut Report,
    /// Places that were left in the end.
    refused: Vec<Refusal>,
    done: usize,
    /// Bytes that the file has become smaller by, about.
    saved: i64,
}

impl Run<'_> {
    fn all(&mut self, shared: &mut Shared<'_>, mut graph: Graph, facts: &Facts) -> Result<Graph> {
        let opset = version(&graph);
        let mut functions = std::mem::take(&mut graph.program.as_mut().expect("it has one").functions);
        for (function, index) in functions.iter_mut().zip(0..) {
            let body = std::mem::take(&mut function.body);
            let opset = version(&body);
            let known = facts.functions.get(index).and_then(Option::as_ref);
            function.body = self.one(shared, body, (Kind::Function, opset), Outer::new(), known)?;
        }
        graph = self.one(shared, graph, (Kind::Graph, opset), Outer::new(), Some(&facts.graph))?;
        graph.program.as_mut().expect("it has one").functions = functions;
        Ok(graph)
    }

    /// Brings one graph and those within it to where no pass has anything to do with what is known.
    fn one(
        &mut self,
        shared: &mut Shared<'_>,
        graph: Graph,
        (kind, opset): (Kind, i64),
        outer: Outer,
        facts: Option<&GraphFacts>,
    ) -> Result<Graph> {
        let mut edit = Edit::new(shared, graph, kind, opset, outer, facts)?;
        edit.count_on_from(self.saved);
        for _ in 0..ROUNDS {
            let mut done = 0;
            let mut noted = Report::default();
            for pass in self.passes {
                let count = pass.sweep(&mut edit, &mut noted)?;
                self.report.did(pass.name(), count);
                done += count;
            }
            done += self.worklist(&mut edit, &mut noted)?;
            self.done += done;
            if done == 0 {
                self.refused.extend(noted.refused);
                break;
            }
        }
        self.saved = edit.saved();
        for id in edit.nodes() {
            if edit.has(id) && edit.has_subgraphs(id) {
                let outer = edit.outer_for(id);
                let places = edit.subgraph_places(id);
                let mut graphs = Vec::new();
                for (inner, (attribute, index)) in edit.take_subgraphs(id).into_iter().zip(places) {
                    let known = facts.and_then(|facts| facts.inside(id.0 as usize, attribute, index));
                    graphs.push(self.one(edit.shared, inner, (Kind::Graph, opset), outer.clone(), known)?);
                }
                edit.put_subgraphs(id, graphs);
            }
        }
        Ok(edit.finish())
    }

    /// Looks at every node, and again at those near to what changed.
    fn worklist(&mut self, edit: &mut Edit<'_, '_>, noted: &mut Report) -> Result<usize> {
        let mut by_operator: HashMap<&str, Vec<&'static dyn Pass>> = HashMap::new();
        for pass in self.passes {
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
                        self.report.did(pass.name(), 1);
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
}
