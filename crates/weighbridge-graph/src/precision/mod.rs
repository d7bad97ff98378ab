//! Mixed precision: a graph in F32 as one whose nodes compute in a type of 16 bits, but for those that must not.
//!
//! The result is strongly typed: every value has one type, and a `Cast` stands wherever a value is made in one type and
//! taken in the other, once for each value. Weights are rounded as they are read; a weight that nodes of both types
//! take is there in both. What is chosen here is types; which nodes must stay in F32 beyond what ONNX demands, the
//! caller judges.

mod assign;
mod rewrite;
mod rules;

use std::collections::HashMap;

use weighbridge_model::{DType, Error, Graph, Model, Result, ValueId};

/// What stays in F32, each with the reason.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Nodes, by their place in the graph.
    pub nodes: Vec<(usize, String)>,
    /// Values that the narrow type cannot hold: whatever makes or takes them computes in F32.
    pub values: Vec<(ValueId, String)>,
}

/// How a graph is typed.
#[derive(Debug, Clone)]
pub struct Options {
    /// [`DType::F16`] or [`DType::BF16`].
    pub to: DType,
    /// Whether inputs and outputs get the narrow type too, rather than their own.
    pub io: bool,
}

/// A node that computes in F32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its name, or that of its first output.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// Why.
    pub why: String,
}

/// A graph in mixed precision.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// The model.
    pub model: Model,
    /// Nodes that compute in the narrow type.
    pub narrow: usize,
    /// Nodes that compute in F32, in the graph's order.
    pub kept: Vec<Kept>,
    /// Casts that were put in.
    pub casts: usize,
    /// Constants of which some values were beyond the narrow type's range and became its largest: limits and masks.
    pub saturated: Vec<String>,
}

/// Types `model` anew. `types` are those of the values of its outermost graph, by id.
///
/// # Errors
/// A model without an ONNX graph; [`Error::Usage`] for a type that is not of 16 bits.
pub fn mixed(model: &Model, types: &[Option<DType>], keep: &Keep, options: &Options) -> Result<Mixed> {
    if !matches!(options.to, DType::F16 | DType::BF16) {
        return Err(Error::Usage { what: format!("{} is no type of 16 bits: f16 and bf16 are", options.to) });
    }
    let Some(graph) = model.graph.as_ref().filter(|graph| graph.program.is_some()) else {
        return Err(Error::Usage {
            what: format!("{}: only ONNX graphs have types to choose", model.format),
        });
    };
    let wide = assign::assign(graph, types, keep);
    rewrite::rewrite(model, types, &wide, options)
}

/// How nodes take a value.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// Nodes that compute with it, by their places.
    pub nodes: Vec<usize>,
    /// Whether all of them may take it as a limit or a mask, of which only the size beside all others counts.
    pub limit: bool,
}

/// How nodes of a graph take its values; values that nothing computes with are left out.
pub fn taken(graph: &Graph) -> HashMap<ValueId, Taken> {
    let mut taken: HashMap<ValueId, Taken> = HashMap::new();
    for (place, node) in graph.nodes.iter().enumerate() {
        for (at, id) in node.inputs.iter().enumerate() {
            if let Some(id) = id.filter(|_| rules::input(node, at) == rules::Operand::Computed) {
                let known = taken.entry(id).or_insert(Taken { nodes: Vec::new(), limit: true });
                known.limit &= rules::takes_limits(&node.op);
                if known.nodes.last() != Some(&place) {
                    known.nodes.push(place);
                }
            }
        }
    }
    taken
}
