//! A subgraph's operators as a graph in the domain `tflite`, and what they tell of the tensors they use.

use weighbridge_model::{DType, Error, Graph, Layout, Model, Node, Result, Role, ValueId};

use super::operators::Code;
use super::tensor::SubgraphValue;
use crate::flatbuffer::Table;

/// Reads the operators of a subgraph over its values.
pub(super) fn read(subgraph: &Table<'_>, values: Vec<SubgraphValue>, codes: &[Code]) -> Result<Graph> {
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
    for operator in subgraph.tables(3)? {
        let operator = operator?;
        let index = operator.u32(0)?;
        let code = codes.get(index as usize).ok_or_else(|| {
            Error::malformed(operator.place(), format!("operator code {index} of {}", codes.len()))
        })?;
        graph.nodes.push(Node {
            domain: if code.custom { "tflite.custom" } else { "tflite" }.into(),
            op: code.name.clone(),
            inputs: operands(&operator, 1)?,
            outputs: operands(&operator, 2)?,
            ..Node::default()
        });
    }
    graph.opsets = vec![("tflite".into(), codes.iter().map(|c| i64::from(c.version)).max().unwrap_or(1))];
    Ok(graph)
}

/// Sets roles that element types tell: codes with scales are weights, other whole numbers are shapes, axes and indices.
pub(super) fn tell_roles(graph: &Graph, model: &mut Model) {
    for &(_, id) in &graph.initializers {
        let tensor = &mut model.tensors[id.0 as usize];
        if !tensor.role_guessed {
            continue;
        }
        let role = match (&tensor.layout, tensor.dtype) {
            (Layout::Quantized { .. }, _) | (_, DType::I4 | DType::I2 | DType::U4) => Role::Parameter,
            (_, dtype) if !dtype.is_float() => Role::Constant,
            _ => continue,
        };
        tensor.role = role;
        tensor.role_guessed = false;
    }
}
