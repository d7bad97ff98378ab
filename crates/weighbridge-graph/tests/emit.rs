//! A graph as a PyTorch module.

use weighbridge_graph::build::Builder;
use weighbridge_graph::emit::pytorch::{Options, emit};
use weighbridge_model::{Error, Graph, Model, Value, ValueId};

fn options() -> Options {
    Options { class: "net".into(), weights: "net.pth".into(), ..Options::default() }
}

/// `y = x @ fc.weight + fc.bias`, then what `more` adds to `y`.
fn model(more: impl FnOnce(&mut Builder<'_>, ValueId)) -> Model {
    let (mut model, mut graph) = (Model::default(), Graph::default());
    let mut build = Builder::new(&mut model, &mut graph);
    let (x, sum, y) = (build.value("x"), build.value("sum"), build.value("y"));
    let weight = build.floats("fc.weight", vec![3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
    let bias = build.floats("fc.bias", vec![2], &[0.5, -0.5]).unwrap();
    build.node("MatMul", vec![Some(x), Some(weight)], vec![sum], vec![]);
    build.node("Add", vec![Some(sum), Some(bias)], vec![y], vec![]);
    build.graph.inputs = vec![x];
    build.graph.outputs = vec![y];
    build.graph.opsets = vec![(String::new(), 17)];
    more(&mut build, y);
    model.graph = Some(graph);
    model
}

#[test]
fn a_product_and_a_sum_are_one_layer() {
    let emitted = emit(&model(|_, _| {}), &options()).unwrap();
    assert!(emitted.source.contains("self.fc = nn.Linear(3, 2)"), "{}", emitted.source);
    assert!(emitted.source.contains("y = self.fc(x)"), "{}", emitted.source);
    let keys: Vec<&str> = emitted.weights.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(keys, ["fc.weight", "fc.bias"]);
    let mut bytes = Vec::new();
    let weight = &emitted.weights.tensors[0];
    let gather = weight.visit(0..6, &mut |chunk| {
        bytes.extend_from_slice(chunk.bytes);
        Ok(())
    });
    gather.unwrap();
    let values: Vec<f32> = bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(
        (weight.shape.as_slice(), values.as_slice()),
        (&[2, 3][..], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0][..])
    );
}

#[test]
fn all_that_is_not_expressed_is_told_at_once() {
    let refused = emit(
        &model(|build, y| {
            let (a, b) = (build.value("a"), build.value("b"));
            build.node("Strange", vec![Some(y)], vec![a], vec![]);
            build.node("Gelu", vec![Some(a)], vec![b], vec![("approximate", Value::Str("odd".into()))]);
        }),
        &options(),
    );
    let Err(Error::Refused { reasons, .. }) = refused else { panic!("{refused:?}") };
    let names: Vec<&str> = reasons.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn nodes_that_wait_for_each_other_are_an_error() {
    let circle = model(|build, _| {
        let (a, b) = (build.value("a"), build.value("b"));
        build.node("Relu", vec![Some(a)], vec![b], vec![]);
        build.node("Relu", vec![Some(b)], vec![a], vec![]);
    });
    assert!(matches!(emit(&circle, &options()), Err(Error::Malformed { .. })));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let twice: Vec<String> = (0..2).map(|_| emit(&model(|_, _| {}), &options()).unwrap().source).collect();
    assert_eq!(twice[0], twice[1]);
}
