//! What was done to a graph, and what was not.

use std::collections::BTreeMap;

/// How often a pass did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The pass.
    pub pass: &'static str,
    /// How often.
    pub count: usize,
}

/// A place that a pass left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The pass.
    pub pass: &'static str,
    /// The node.
    pub node: String,
    /// Why.
    pub why: String,
}

/// What became of a graph.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Passes that did something, in the order of their table.
    pub applied: Vec<Applied>,
    /// Places that were left, in the order of the graph's nodes.
    pub refused: Vec<Refusal>,
    /// Nodes by operator before, subgraphs and functions included.
    pub before: BTreeMap<String, usize>,
    /// The same, after.
    pub after: BTreeMap<String, usize>,
}

impl Report {
    /// Adds to what a pass did.
    pub fn did(&mut self, pass: &'static str, count: usize) {
        match self.applied.iter_mut().find(|applied| applied.pass == pass) {
            Some(applied) => applied.count += count,
            None if count > 0 => self.applied.push(Applied { pass, count }),
            None => {}
        }
    }

    /// Notes a place that was left, unless it is noted.
    pub fn left(&mut self, pass: &'static str, node: String, why: String) {
        self.refused.push(Refusal { pass, node, why });
    }

    /// Number of nodes before and after.
    pub fn nodes(&self) -> (usize, usize) {
        (self.before.values().sum(), self.after.values().sum())
    }
}
