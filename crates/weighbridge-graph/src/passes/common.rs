//! Nodes that compute the same are one.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use weighbridge_model::{Attribute, Result, TensorId, ValueId};

use super::{Pass, Report};
use crate::edit::{Edit, NodeId};
use crate::random::is_random;

pub(super) struct CommonSubexpressions;

/// Elements of a tensor in an attribute that is compared by what it holds.
const FEW: u64 = 64;

impl Pass for CommonSubexpressions {
    fn name(&self) -> &'static str {
        "common-subexpressions"
    }

    fn about(&self) -> &'static str {
        "Nodes with the same operator, inputs and attributes become one. Random operators and nodes with subgraphs stay."
    }

    fn sweep(&self, edit: &mut Edit<'_, '_>, _: &mut Report) -> Result<usize> {
        let described: HashSet<ValueId> = edit.graph().quantization.iter().map(|(value, _)| *value).collect();
        let mut met: HashMap<(String, Vec<Option<ValueId>>), NodeId> = HashMap::new();
        // What merges is read through at once: a node may read as many values as the graph has.
        let mut instead: HashMap<ValueId, ValueId> = HashMap::new();
        let mut merged = Vec::new();
        let mut count = 0;
        for id in edit.nodes() {
            if edit.has_subgraphs(id) {
                continue;
            }
            let Some(key) = key(edit, id, &instead) else { continue };
            let Some(&first) = met.get(&key) else {
                met.insert(key, id);
                continue;
            };
            let (ours, theirs) = (&edit.node(first).outputs, &edit.node(id).outputs);
            // Each output of the second must be one of the first, and a graph's outputs keep their own nodes.
            let paired = theirs.iter().enumerate().all(|(i, output)| match output {
                None => true,
                Some(output) => {
                    !edit.is_output(*output)
                        && !described.contains(output)
                        && (edit.uses(*output) == 0 || ours.get(i).copied().flatten().is_some())
                }
            });
            if !paired {
                continue;
            }
            for (ours, theirs) in ours.iter().zip(theirs) {
                if let (Some(ours), Some(theirs)) = (ours, theirs) {
                    instead.insert(*theirs, *ours);
                    merged.push((*theirs, *ours));
                }
            }
            count += 1;
        }
        edit.merge(&merged);
        Ok(count)
    }
}

/// What makes a node what it is, beside its outputs and its name.
fn key(
    edit: &Edit<'_, '_>,
    id: NodeId,
    instead: &HashMap<ValueId, ValueId>,
) -> Option<(String, Vec<Option<ValueId>>)> {
    let node = edit.node(id);
    if is_random(&node.op) || matches!(node.op.as_str(), "Dropout" | "Constant") || !edit.is_plain(id) {
        return None;
    }
    let mut text = node.op.clone();
    let mut attributes: Vec<_> = node.attributes.iter().collect();
    attributes.sort_by_key(|(name, _)| name.as_str());
    for (name, attribute) in attributes {
        match attribute {
            Attribute::Value(value) => write!(text, " {name}={value:?}").ok()?,
            Attribute::EmptyList { kind } => write!(text, " {name}=[]{kind}").ok()?,
            Attribute::Tensor(id) => write!(text, " {name}={}", content(edit, *id)?).ok()?,
            _ => return None,
        }
    }
    write!(text, " {}", node.outputs.len()).ok()?;
    let same = |value: ValueId| instead.get(&value).copied().unwrap_or(value);
    Some((text, node.inputs.iter().map(|input| input.map(same)).collect()))
}

/// What a tensor of few elements is; a larger one is known by its place alone.
fn content(edit: &Edit<'_, '_>, id: TensorId) -> Option<String> {
    let tensor = edit.model().tensor(id);
    if tensor.count() > FEW || !tensor.dtype.is_real() {
        return Some(format!("tensor {}", id.0));
    }
    let mut text = format!("{} {:?}", tensor.dtype, tensor.shape);
    let visited = tensor.visit(0..tensor.count(), &mut |chunk| {
        write!(text, " {:?}", chunk.bytes).ok();
        Ok(())
    });
    visited.ok().map(|()| text)
}
