//! Models of 16 bits for engines that compute such nodes in F32.
//!
//! ONNX Runtime on a CPU runs most nodes in F16 by casts to F32 and back that it puts in itself, and takes them out again
//! between two such nodes: what is out of F16's range then passes unseen. Here the casts are the model's own. Each node
//! computes in F32 on operands in F16, and what it gives is rounded to F16 once: what hardware does that multiplies in
//! F16 and adds up in F32.

use std::collections::HashMap;
use std::sync::Arc;

use weighbridge_graph::build::Builder;
use weighbridge_graph::infer::{self, infer};
use weighbridge_model::storage::Cast;
use weighbridge_model::{Attribute, DType, Model, Node, Place, Result, Tensor, ValueId};

/// The type of a value, where that has 16 bits.
type Narrow<'a> = dyn Fn(ValueId) -> Option<DType> + 'a;

/// `model` with its values of 16 bits, under their names, between nodes that compute in F32; `None` where it has no such
/// values. Nodes with subgraphs, and those of other domains, stay as they are.
///
/// # Errors
/// None but those of tensors that do not hold what they say.
pub(crate) fn rounded(model: &Model) -> Result<Option<Model>> {
    let Some(graph) = &model.graph else { return Ok(None) };
    let facts = infer(model, graph, &infer::Options::default());
    let narrow = |id: ValueId| facts.of(id).dtype().filter(|dtype| matches!(dtype, DType::F16 | DType::BF16));
    if !(0..).map(ValueId).take(graph.values.len()).any(|id| narrow(id).is_some()) {
        return Ok(None);
    }
    let mut model = model.clone();
    let mut graph = model.graph.take().expect("it was there");
    let nodes = std::mem::take(&mut graph.nodes);
    let mut wide: HashMap<ValueId, ValueId> = HashMap::new();
    let mut builder = Builder::new(&mut model, &mut graph);
    for node in nodes {
        let node = if computes(&node) { in_f32(&mut builder, &mut wide, &narrow, node)? } else { node };
        builder.graph.nodes.push(node);
        round_outputs(&mut builder, &narrow);
    }
    model.graph = Some(graph);
    Ok(Some(model))
}

/// Whether a node may compute in F32 instead: not one that tells a type, nor one that knows values by name.
fn computes(node: &Node) -> bool {
    let own = [
        "Cast",
        "CastLike",
        "Constant",
        "ConstantOfShape",
        "EyeLike",
        "RandomNormalLike",
        "RandomUniformLike",
    ];
    let graphs = |(_, a): &(String, Attribute)| matches!(a, Attribute::Graph(_) | Attribute::Graphs(_));
    matches!(node.domain.as_str(), "" | "ai.onnx")
        && !own.contains(&node.op.as_str())
        && !node.attributes.iter().any(graphs)
}

/// The node with F32 operands.
fn in_f32(
    builder: &mut Builder<'_>,
    wide: &mut HashMap<ValueId, ValueId>,
    narrow: &Narrow<'_>,
    mut node: Node,
) -> Result<Node> {
    for input in &mut node.inputs {
        let Some(id) = input.filter(|&id| narrow(id).is_some()) else { continue };
        let twin = match wide.get(&id) {
            Some(&twin) => twin,
            None => {
                let twin = widened(builder, id)?;
                wide.insert(id, twin);
                twin
            }
        };
        *input = Some(twin);
    }
    Ok(node)
}

/// A value in F32: a constant as one of its own, anything else by a cast.
fn widened(builder: &mut Builder<'_>, id: ValueId) -> Result<ValueId> {
    let name = format!("{}@f32", builder.graph.value(id).name);
    let overridden = builder.graph.inputs.contains(&id);
    let held = builder.graph.initializers.iter().find(|(value, _)| *value == id && !overridden);
    if let Some(&(_, tensor)) = held {
        let tensor = builder.model.tensor(tensor).clone();
        let storage = Arc::new(Cast::new(tensor.clone(), DType::F32));
        let place = Place::source("a cast").tensor(&tensor.name);
        let tensor = Tensor::contiguous(name, DType::F32, tensor.shape.clone(), storage, &place)?;
        return Ok(builder.initializer(tensor));
    }
    let twin = builder.value(&name);
    builder.cast(id, twin, DType::F32);
    Ok(twin)
}

/// What the last node gives in F32, rounded to the value that it gave before.
fn round_outputs(builder: &mut Builder<'_>, narrow: &Narrow<'_>) {
    let last = builder.graph.nodes.len() - 1;
    if !computes(&builder.graph.nodes[last]) {
        return;
    }
    for at in 0..builder.graph.nodes[last].outputs.len() {
        let Some(id) = builder.graph.nodes[last].outputs[at] else { continue };
        let Some(dtype) = narrow(id) else { continue };
        let exact = builder.value(&format!("{}@exact", builder.graph.value(id).name));
        builder.graph.nodes[last].outputs[at] = Some(exact);
        builder.cast(exact, id, dtype);
    }
}
