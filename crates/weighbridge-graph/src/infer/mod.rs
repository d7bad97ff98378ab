//! What follows from a graph: the type and the shape of each value, and the elements of those that shapes are made of.
//!
//! [`infer`] goes through a graph once, in topological order; a rule for each operator (`ops/`, listed in `table.rs`)
//! says what its outputs are, given what is known of its inputs. Sizes that are not known are symbols, and what is
//! computed from them an expression ([`Size`]), so that a tangle of Shape, Gather and Concat in front of a Reshape comes
//! out as the sizes that it stands for. Weights are not read: only integers, and the few floats that sizes depend on.

mod attributes;
mod call;
mod constant;
mod engine;
mod fact;
mod ops;
mod order;
mod pin;
mod size;
mod table;

use std::collections::BTreeMap;
use std::fmt;

use weighbridge_model::{Graph, Model, ValueId};

pub use constant::MOST_ELEMENTS;
pub use fact::{Elements, Fact, TensorFact};
pub use pin::{Pins, pin};
pub use size::{Size, Symbol};

/// How inference goes about.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Go by the inputs' declarations alone: not by those of outputs and of values in between.
    pub ignore_declared: bool,
}

/// What is known of the values of a graph and of all below it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Of the outermost graph.
    pub graph: GraphFacts,
    /// Of the model's own functions, in their order: what is true at all calls. `None` where nothing calls one.
    pub functions: Vec<Option<GraphFacts>>,
    /// What contradicts itself.
    pub faults: Vec<Fault>,
}

/// What is known of the values of one graph.
#[derive(Debug, Clone, Default)]
pub struct GraphFacts {
    /// By value.
    pub values: Vec<Fact>,
    /// Nodes, by index in order, at or in which something contradicts itself.
    pub faulty: Vec<usize>,
    inner: BTreeMap<Inside, GraphFacts>,
}

/// Where a subgraph is: the node's index, the attribute's, and the place within a list of graphs.
type Inside = (usize, usize, usize);

/// Something in a graph that contradicts itself or an operator's definition.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fault {
    /// The node's name; that of its first output, or its operator, where it has none. Empty where it is no node's.
    pub node: String,
    /// What is wrong.
    pub what: String,
    /// Whether the graph is none, whatever its operators do: nodes in a cycle, values that nothing gives, attributes of
    /// another kind than their operator's. Otherwise sizes or types contradict each other, by the rules that are known here.
    pub malformed: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node.as_str() {
            "" => f.write_str(&self.what),
            node => write!(f, "node '{node}': {}", self.what),
        }
    }
}

impl Facts {
    /// What is known of a value of the outermost graph.
    pub fn of(&self, value: ValueId) -> &Fact {
        self.graph.of(value)
    }
}

impl GraphFacts {
    /// What is known of a value; nothing of one that was added since.
    pub fn of(&self, value: ValueId) -> &Fact {
        static UNKNOWN: Fact = Fact::Unknown;
        self.values.get(value.0 as usize).unwrap_or(&UNKNOWN)
    }

    /// What is known within a subgraph: that of node number `node`, in its attribute number `attribute`, number `index`
    /// of a list of graphs (0 where the attribute is one graph).
    pub fn inside(&self, node: usize, attribute: usize, index: usize) -> Option<&GraphFacts> {
        self.inner.get(&(node, attribute, index))
    }

    /// What is true of both.
    fn join(&self, other: &GraphFacts, fresh: &mut engine::Fresh) -> GraphFacts {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a.join(b, fresh)).collect();
        let mut inner = BTreeMap::new();
        for (place, facts) in &self.inner {
            if let Some(others) = other.inner.get(place) {
                inner.insert(*place, facts.join(others, fresh));
            }
        }
        let mut faulty = [&self.faulty[..], &other.faulty[..]].concat();
        faulty.sort_unstable();
        faulty.dedup();
        GraphFacts { values, faulty, inner }
    }
}

/// Infers what follows from `graph`, whose initializers are tensors of `model`, as its constants are.
///
/// Time and memory are linear in the graph: loops are gone through until nothing more changes, and functions at each of
/// their calls, both within a bound on the nodes that are gone through in all. Nothing fails: what cannot be right is
/// among [`Facts::faults`], and what follows from it is not known.
pub fn infer(model: &Model, graph: &Graph, options: &Options) -> Facts {
    engine::Engine::new(model, graph, options).run(graph)
}
