//! What single passes do, and where a simplifier goes wrong.

mod products;
mod traps;

use weighbridge_graph::build::Builder;
use weighbridge_model::{DType, Dim, Graph, Model, Program, ValueId};

/// A model whose graph takes `x`, F32 of this shape, and gives what `build` says.
fn model(shape: &[u64], build: impl FnOnce(&mut Builder<'_>, ValueId) -> Vec<ValueId>) -> Model {
    let mut model = Model { format: "onnx", ..Model::default() };
    let program = Program { ir_version: Some(8), ..Program::default() };
    let mut graph =
        Graph { opsets: vec![(String::new(), 17)], program: Some(Box::new(program)), ..Graph::default() };
    let mut builder = Builder::new(&mut model, &mut graph);
    let x = builder.value("x");
    let value = &mut builder.graph.values[x.0 as usize];
    value.dtype = Some(DType::F32);
    value.shape = Some(shape.iter().map(|&n| Dim::Known(n)).collect());
    builder.graph.inputs.push(x);
    let outputs = build(&mut builder, x);
    builder.graph.outputs.extend(outputs);
    model.graph = Some(graph);
    model
}
