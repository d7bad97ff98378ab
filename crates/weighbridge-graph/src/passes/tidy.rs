//! Functions that nothing calls, and operator sets that nothing uses.

use std::collections::HashSet;

use weighbridge_model::{Function, Graph};

use crate::edit::subgraphs;

/// Takes them away, unless `dead` is among the passes that are left out.
pub(super) fn tidy(graph: &mut Graph, left_out: &[String]) {
    if left_out.iter().any(|name| name == "dead") {
        return;
    }
    let mut functions = graph.program.as_mut().map(|p| std::mem::take(&mut p.functions)).unwrap_or_default();
    let key = |f: &Function| (f.domain.clone(), f.name.clone(), f.overload.clone());
    let mut called: HashSet<(String, String, String)> = HashSet::new();
    let mut domains: HashSet<String> = HashSet::from([String::new()]);
    let mut open: Vec<&Graph> = vec![graph];
    if let Some(program) = &graph.program {
        let training = program.training.iter();
        open.extend(training.flat_map(|t| t.initialization.iter().chain(&t.algorithm)));
    }
    while let Some(graph) = open.pop() {
        for node in &graph.nodes {
            domains.insert(node.domain.clone());
            open.extend(subgraphs(node));
            if called.insert((node.domain.clone(), node.op.clone(), node.overload.clone())) {
                let of = (node.domain.clone(), node.op.clone(), node.overload.clone());
                open.extend(functions.iter().filter(|f| key(f) == of).map(|f| &f.body));
            }
        }
    }
    functions.retain(|function| called.contains(&key(function)));
    graph.opsets.retain(|(domain, _)| domains.contains(domain));
    if let Some(program) = &mut graph.program {
        program.functions = functions;
    }
}
