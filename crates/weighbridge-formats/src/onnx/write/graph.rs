//! `GraphProto`, `FunctionProto`, `ValueInfoProto`.

use std::collections::HashSet;

use weighbridge_model::{Dim, Function, Graph, GraphValue, Properties, Result, Tensor, TensorId, ValueId};

use super::Writer;
use super::tensor::declared;
use crate::protobuf::write::Draft;

impl Writer<'_> {
    pub(super) fn graph(&mut self, graph: &Graph) -> Result<Draft> {
        let mut draft = Draft::default();
        for node in &graph.nodes {
            draft.message(1, self.node(graph, node)?);
        }
        draft.text(2, &graph.name);
        let dense: HashSet<TensorId> = graph.sparse.iter().filter_map(|(_, sparse)| sparse.dense).collect();
        for (value, id) in graph.initializers.iter().filter(|(_, id)| !dense.contains(id)) {
            let value = graph.value(*value);
            let tensor = self.model.tensor(*id);
            if let Err(why) = fits(value, tensor) {
                self.refused.push((tensor.name.clone(), why));
            }
            draft.message(5, self.tensor(*id, Some(&value.name))?);
        }
        draft.text(10, &graph.doc);
        for (number, ids) in [(11, &graph.inputs), (12, &graph.outputs), (13, &graph.declared)] {
            ids.iter().for_each(|&id| draft.message(number, value_info(graph.value(id))));
        }
        for (value, parameters) in &graph.quantization {
            let name = |id: ValueId| graph.value(id).name.clone();
            let mut annotation = Draft::default();
            annotation.text(1, &name(*value));
            let named: Properties = parameters.iter().map(|(k, v)| (k.clone(), name(*v))).collect();
            properties(&mut annotation, 2, &named);
            draft.message(14, annotation);
        }
        for (value, sparse) in &graph.sparse {
            draft.message(15, self.sparse(sparse, Some(&graph.value(*value).name))?);
        }
        properties(&mut draft, 16, &graph.properties);
        graph.carried.iter().for_each(|field| draft.encoded(field));
        Ok(draft)
    }

    pub(super) fn function(&mut self, function: &Function) -> Result<Draft> {
        let body = &function.body;
        let mut draft = Draft::default();
        draft.text(1, &function.name);
        for (number, ids) in [(4, &body.inputs), (5, &body.outputs)] {
            ids.iter().for_each(|&id| draft.bytes(number, body.value(id).name.as_bytes()));
        }
        function.attributes.iter().for_each(|name| draft.bytes(6, name.as_bytes()));
        for node in &body.nodes {
            draft.message(7, self.node(body, node)?);
        }
        draft.text(8, &body.doc);
        opsets(&mut draft, 9, &body.opsets);
        draft.text(10, &function.domain);
        for (name, attribute) in &function.defaults {
            draft.message(11, self.attribute(name, attribute, &function.attribute_docs)?);
        }
        body.declared.iter().for_each(|&id| draft.message(12, value_info(body.value(id))));
        draft.text(13, &function.overload);
        properties(&mut draft, 14, &body.properties);
        body.carried.iter().for_each(|field| draft.encoded(field));
        Ok(draft)
    }
}

/// Whether a tensor is what a graph takes by this value.
fn fits(value: &GraphValue, tensor: &Tensor) -> Result<(), String> {
    if let Some(dtype) = value.dtype.filter(|&dtype| dtype != tensor.dtype) {
        return Err(format!("{}, and the graph takes {dtype}", tensor.dtype));
    }
    let known = |dim: &Dim| if let Dim::Known(n) = dim { Some(*n) } else { None };
    let Some(shape) = value.shape.as_ref().and_then(|s| s.iter().map(known).collect::<Option<Vec<_>>>())
    else {
        return Ok(());
    };
    // A scalar and one element are told apart by few.
    if shape == tensor.shape || tensor.count() == 1 && shape.iter().all(|&n| n == 1) {
        return Ok(());
    }
    Err(format!("{:?}, and the graph takes {shape:?}", tensor.shape))
}

/// What a graph says of a value.
fn value_info(value: &GraphValue) -> Draft {
    let mut draft = Draft::default();
    draft.text(1, &value.name);
    if let Some(kind) = declared(value) {
        draft.message(2, kind);
    }
    draft.text(3, &value.doc);
    properties(&mut draft, 4, &value.properties);
    value.carried.iter().for_each(|field| draft.encoded(field));
    draft
}

/// Operator sets.
pub(super) fn opsets(draft: &mut Draft, number: u32, opsets: &[(String, i64)]) {
    for (domain, version) in opsets {
        let mut opset = Draft::default();
        opset.text(1, domain);
        opset.int(2, *version);
        draft.message(number, opset);
    }
}

/// Keys and values.
pub(super) fn properties(draft: &mut Draft, number: u32, properties: &Properties) {
    for (key, value) in properties {
        let mut entry = Draft::default();
        entry.text(1, key);
        entry.text(2, value);
        draft.message(number, entry);
    }
}
