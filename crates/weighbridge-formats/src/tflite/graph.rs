//! A subgraph's operators as a graph in the domain `tflite`, and what they tell of the tensors they use. Bodies of
//! control flow are subgraphs of their own in the file, and stand here where they are first used.

use weighbridge_model::{Attribute, DType, Error, Graph, Layout, Model, Node, Result, Role, ValueId};

use super::operators::Code;
use super::options;
use super::tensor::SubgraphValue;
use crate::flatbuffer::Table;

/// A graph, and where its nodes' attributes name other subgraphs: node, attribute, subgraph.
pub(super) struct Subgraph {
    pub graph: Graph,
    bodies: Vec<(usize, usize, usize)>,
}

/// The first subgraph, with those that it uses in their places: each once, at its first use. Later uses, and what is
/// nested deeper than `depth`, keep the index.
pub(super) fn nested(subgraphs: Vec<Subgraph>, depth: usize) -> Option<Graph> {
    let mut left: Vec<Option<Subgraph>> = subgraphs.into_iter().map(Some).collect();
    take(&mut left, 0, depth)
}

fn take(left: &mut [Option<Subgraph>], index: usize, depth: usize) -> Option<Graph> {
    let depth = depth.checked_sub(1)?;
    let Subgraph { mut graph, bodies } = left.get_mut(index)?.take()?;
    for (node, attribute, body) in bodies {
        if let Some(body) = take(left, body, depth) {
            graph.nodes[node].attributes[attribute].1 = Attribute::Graph(Box::new(body));
        }
    }
    Some(graph)
}

/// Reads the operators of a subgraph over its values.
pub(super) fn read(
    subgraph: &Table<'_>,
    values: Vec<SubgraphValue>,
    codes: &[Code],
    subgraphs: usize,
) -> Result<Subgraph> {
    let count = values.len();
    // -1 stands for an optional operand that is left out.
    let operands = |table: &Table<'_>, slot: u16| -> Result<Vec<Option<ValueId>>> {
        let id = |index: i32| match u32::try_from(index) {
            Ok(index) if (index as usize) < count => Ok(Some(ValueId(index))),
            Err(_) if index == -1 => Ok(None),
            _ => Err(Error::malformed(table.place(), format!("tensor {index} of {count}"))),
        };
        table.i32s(slot)?.into_iter().map(id).collect()
    };
    let mut graph = Graph {
        name: subgraph.text(4)?.unwrap_or_default(),
        inputs: operands(subgraph, 1)?.into_iter().flatten().collect(),
        outputs: operands(subgraph, 2)?.into_iter().flatten().collect(),
        ..Graph::default()
    };
    for (index, SubgraphValue { value, tensor }) in values.into_iter().enumerate() {
        graph.values.push(value);
        graph.initializers.extend(tensor.map(|t| (ValueId(index as u32), t)));
    }
    let mut bodies = Vec::new();
    for operator in subgraph.tables(3)? {
        let operator = operator?;
        let index = operator.u32(0)?;
        let code = codes.get(index as usize).ok_or_else(|| {
            Error::malformed(operator.place(), format!("operator code {index} of {}", codes.len()))
        })?;
        let options = options::read(&operator)?;
        for (attribute, body) in options.subgraphs {
            if body >= subgraphs {
                return Err(Error::malformed(operator.place(), format!("subgraph {body} of {subgraphs}")));
            }
            bodies.push((graph.nodes.len(), attribute, body));
        }
        graph.nodes.push(Node {
            domain: if code.custom { "tflite.custom" } else { "tflite" }.into(),
            op: code.name.clone(),
            inputs: operands(&operator, 1)?,
            outputs: operands(&operator, 2)?,
            attributes: options.attributes,
            ..Node::default()
        });
    }
    graph.opsets = vec![("tflite".into(), codes.iter().map(|c| i64::from(c.version)).max().unwrap_or(1))];
    Ok(Subgraph { graph, bodies })
}

/// Sets roles that element types tell: codes with scales are weights, other whole numbers are shapes,
/// axes and indices, and numbers alone are what operators compute with.
pub(super) fn tell_roles(graph: &Graph, model: &mut Model) {
    for &(_, id) in &graph.initializers {
        let tensor = &mut model.tensors[id.0 as usize];
        if !tensor.role_guessed {
            continue;
        }
        let role = match (&tensor.layout, tensor.dtype) {
            (Layout::Quantized { .. }, _) | (_, DType::I4 | DType::I2 | DType::U4) => Role::Parameter,
            (_, dtype) if !dtype.is_float() || tensor.shape.is_empty() => Role::Constant,
            _ => continue,
        };
        tensor.role = role;
        tensor.role_guessed = false;
    }
}
