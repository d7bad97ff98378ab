//! Quantized initializers of ONNX: codes, scale and zero point are three tensors, which nodes bring together.

use std::collections::HashMap;

use weighbridge_model::{
    Graph, Layout, Model, Node, Result, Tensor, TensorId, Value, ValueId, element_count,
};

/// A tensor of codes and what they mean.
struct Codes {
    tensor: TensorId,
    scale: Vec<TensorId>,
    zero: Option<TensorId>,
    axis: Option<usize>,
}

/// Gives tensors of codes the layout that their nodes say, and returns the tensors that are used up by that: which, and
/// why they need no counterpart.
///
/// # Errors
/// A failed read of scales or zero points.
pub(super) fn resolve(model: &mut Model) -> Result<HashMap<usize, String>> {
    let mut used = HashMap::new();
    let Some(graph) = model.graph.as_ref().filter(|_| model.format == "onnx") else { return Ok(used) };
    let given: HashMap<ValueId, TensorId> = graph.constants().into_iter().collect();
    let mut found = Vec::new();
    for node in &graph.nodes {
        codes(node, &given, model, &mut found);
        parameters(graph, node, &given, &mut used);
    }
    for codes in found {
        let tensor = model.tensor(codes.tensor);
        let Some(layout) = layout(tensor, &codes, model)? else { continue };
        let name = tensor.name.clone();
        for scale in &codes.scale {
            used.insert(scale.0 as usize, format!("the scale of '{name}'"));
        }
        if let Some(zero) = codes.zero {
            used.insert(zero.0 as usize, format!("the zero point of '{name}'"));
        }
        model.tensors[codes.tensor.0 as usize].layout = layout;
    }
    Ok(used)
}

fn codes(node: &Node, given: &HashMap<ValueId, TensorId>, model: &Model, found: &mut Vec<Codes>) {
    let input = |i: usize| node.inputs.get(i).copied().flatten().and_then(|v| given.get(&v)).copied();
    let rank = |t: TensorId| model.tensor(t).shape.len();
    let mut add = |tensor: usize, scale: &[usize], zero: usize, axis: &dyn Fn(usize) -> i64| {
        let scale: Option<Vec<TensorId>> = scale.iter().map(|&i| input(i)).collect();
        if let (Some(tensor), Some(scale)) = (input(tensor), scale) {
            let rank = rank(tensor) as i64;
            let axis = axis(rank as usize);
            let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
            found.push(Codes { tensor, scale, zero: input(zero), axis });
        }
    };
    match node.op.as_str() {
        "DequantizeLinear" if node.attribute("block_size").and_then(Value::as_int).unwrap_or(0) == 0 => {
            let axis = node.attribute("axis").and_then(Value::as_int).unwrap_or(1);
            add(0, &[1], 2, &|_| axis);
        }
        "QLinearConv" => {
            add(3, &[4], 5, &|_| 0);
            // Sums of products: their unit is the product of both scales.
            add(8, &[1, 4], usize::MAX, &|_| 0);
        }
        "QLinearMatMul" => add(3, &[4], 5, &|rank| rank as i64 - 1),
        _ => {}
    }
}

/// Scales and zero points of what flows: no weight's, and nothing that a model without quantization has.
fn parameters(
    graph: &Graph,
    node: &Node,
    given: &HashMap<ValueId, TensorId>,
    used: &mut HashMap<usize, String>,
) {
    let at: &[usize] = match node.op.as_str() {
        "QuantizeLinear" | "DequantizeLinear" => &[1, 2],
        "QLinearConv" | "QLinearMatMul" => &[1, 2, 6, 7],
        _ => return,
    };
    for value in at.iter().filter_map(|&i| node.inputs.get(i).copied().flatten()) {
        if let Some(tensor) = given.get(&value) {
            let of = node.inputs.first().copied().flatten().map_or("", |v| &graph.value(v).name);
            used.entry(tensor.0 as usize).or_insert_with(|| format!("what '{of}' is quantized with"));
        }
    }
}

fn layout(tensor: &Tensor, codes: &Codes, model: &Model) -> Result<Option<Layout>> {
    let Layout::Strided(view) = &tensor.layout else { return Ok(None) };
    if !tensor.dtype.is_integer() || tensor.dtype.is_sub_byte() {
        return Ok(None);
    }
    let mut scales = vec![1.0];
    for &id in &codes.scale {
        let each = values(model.tensor(id))?;
        if each.is_empty() || scales.len() > 1 && each.len() > 1 && each.len() != scales.len() {
            return Ok(None);
        }
        let length = scales.len().max(each.len());
        scales = (0..length).map(|i| scales[i % scales.len()] * each[i % each.len()]).collect();
    }
    let zero = codes.zero.map(|id| values(model.tensor(id))).transpose()?.unwrap_or_default();
    let zero_points = (0..scales.len()).map(|i| zero.get(i).or(zero.first()).map_or(0, |z| *z as i64));
    let zero_points = zero_points.collect();
    let axis = codes.axis.filter(|_| scales.len() > 1);
    let fits = match axis {
        Some(axis) => tensor.shape.get(axis).is_some_and(|&n| n == scales.len() as u64),
        None => scales.len() == 1 && element_count(&tensor.shape).is_some(),
    };
    Ok(fits.then(|| Layout::Quantized { view: view.clone(), scales, zero_points, axis }))
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    weighbridge_graph::fold::values(tensor)
}
