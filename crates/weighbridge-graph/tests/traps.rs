//! Places where a simplifier goes wrong.

use weighbridge_graph::build::Builder;
use weighbridge_graph::passes::{Choice, Report, simplify};
use weighbridge_model::{DType, Dim, Graph, Model, Program, Value, ValueId};

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

fn node(builder: &mut Builder<'_>, op: &str, inputs: &[ValueId], attributes: Vec<(&str, Value)>) -> ValueId {
    let output = builder.value(&format!("{op}_out"));
    builder.node(op, inputs.iter().copied().map(Some).collect(), vec![output], attributes);
    output
}

fn simplified(model: &mut Model) -> Report {
    simplify(model, &Choice::default()).unwrap()
}

fn count(report: &Report, op: &str) -> usize {
    report.after.get(op).copied().unwrap_or(0)
}

#[test]
fn random_operators_are_neither_folded_nor_merged() {
    let mut model = model(&[2, 3], |b, x| {
        let a = node(b, "RandomNormalLike", &[x], vec![]);
        let c = node(b, "RandomNormalLike", &[x], vec![]);
        vec![node(b, "Sub", &[a, c], vec![])]
    });
    assert_eq!(count(&simplified(&mut model), "RandomNormalLike"), 2);
}

#[test]
fn an_initializer_that_is_an_input_is_no_constant() {
    let mut model = model(&[2, 3], |b, x| {
        let one = b.floats("one", vec![1], &[1.0]).unwrap();
        b.graph.inputs.push(one);
        vec![node(b, "Mul", &[x, one], vec![])]
    });
    assert_eq!(count(&simplified(&mut model), "Mul"), 1);
}

#[test]
fn a_tile_that_would_grow_the_file_stays_with_the_reason() {
    let mut model = model(&[1000, 1000], |b, x| {
        let row = b.floats("row", vec![1, 1000], &vec![1.5; 1000]).unwrap();
        let repeats = b.integers("repeats", vec![2], &[1000, 1]).unwrap();
        let tiled = node(b, "Tile", &[row, repeats], vec![]);
        vec![node(b, "Max", &[x, tiled], vec![])]
    });
    let report = simplified(&mut model);
    assert_eq!(count(&report, "Tile"), 1);
    assert!(report.refused.iter().any(|r| r.pass == "fold-constants" && r.why.contains("grow")));
}

#[test]
fn a_slice_that_takes_a_part_stays() {
    let mut model = model(&[4, 4], |b, x| {
        let [starts, ends, axes] = [("starts", 0), ("ends", 3), ("axes", 1)]
            .map(|(name, n)| b.integers(name, vec![1], &[n]).unwrap());
        vec![node(b, "Slice", &[x, starts, ends, axes], vec![])]
    });
    assert_eq!(count(&simplified(&mut model), "Slice"), 1);
}

#[test]
fn a_long_chain_takes_time_in_proportion() {
    let mut model = model(&[2, 3], |b, x| {
        let chain = (0..100_000).fold(x, |value, i| {
            let next = b.value(&format!("v{i}"));
            b.node("Identity", vec![Some(value)], vec![next], vec![]);
            next
        });
        vec![node(b, "Relu", &[chain], vec![])]
    });
    let report = simplified(&mut model);
    assert_eq!(report.nodes(), (100_001, 1));
}

#[test]
fn a_cycle_and_a_value_that_nothing_gives_are_errors() {
    let mut cyclic = model(&[2, 3], |b, x| {
        let (a, c) = (b.value("a"), b.value("c"));
        b.node("Add", vec![Some(x), Some(c)], vec![a], vec![]);
        b.node("Relu", vec![Some(a)], vec![c], vec![]);
        vec![c]
    });
    assert!(simplify(&mut cyclic, &Choice::default()).unwrap_err().to_string().contains("cycle"));
    let mut missing = model(&[2, 3], |b, x| {
        let nowhere = b.value("nowhere");
        vec![node(b, "Add", &[x, nowhere], vec![])]
    });
    assert!(simplify(&mut missing, &Choice::default()).unwrap_err().to_string().contains("nowhere"));
}
