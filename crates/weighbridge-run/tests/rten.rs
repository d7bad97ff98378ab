//! Models of the corpus on the engine that is built in.

#![cfg(feature = "rten")]

use std::path::PathBuf;
use std::sync::Arc;

use weighbridge_formats::{ReadOptions, open};
use weighbridge_model::{DType, Memory, Model, Tensor, View};
use weighbridge_run::{Array, EngineChoice, Options, Shapes, Verdict, choose, random, verify};

fn corpus(name: &str) -> Model {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/onnx").join(name);
    open(&[&path], None, &ReadOptions::default()).unwrap()
}

fn compared(a: &Model, b: &Model) -> Verdict {
    let engine = choose(&EngineChoice { name: Some("rten".into()), library: None }).unwrap();
    let options = Options { tolerance: 1e-4, seed: 0, shapes: Shapes::new(), inner: true, time: false };
    verify(a, b, &*engine, None, &options).unwrap()
}

/// The model with a tensor's elements a tenth larger.
fn moved(model: &Model, name: &str) -> Model {
    let mut moved = model.clone();
    let tensor = moved.tensors.iter_mut().find(|t| t.name == name).unwrap();
    let values = Array::of(tensor).unwrap();
    let bytes: Vec<u8> = values.values().flat_map(|x| (x as f32 * 1.1).to_le_bytes()).collect();
    let view = View::contiguous(&tensor.shape, 0);
    *tensor = Tensor {
        storage: Arc::new(Memory::new(bytes)),
        layout: weighbridge_model::Layout::Strided(view),
        ..tensor.clone()
    };
    moved
}

#[test]
fn a_model_is_what_it_is() {
    let model = corpus("tangle_static_op11.onnx");
    let verdict = compared(&model, &model);
    assert!(verdict.ok && !verdict.insensitive);
    assert!(verdict.first_divergence.is_none() && verdict.inner.len() > 10);
    assert!(verdict.outputs.iter().chain(&verdict.inner).all(|c| c.max_abs == 0.0));
}

#[test]
fn a_weight_that_was_moved_is_traced_to_its_node() {
    let model = corpus("tangle_static_op11.onnx");
    let graph = model.graph.as_ref().unwrap();
    let weighted = graph.nodes.iter().filter(|node| node.op == "Conv");
    let mut told = 0;
    for node in weighted {
        let weight = graph.value(node.inputs[1].unwrap()).name.clone();
        if model.tensors.iter().all(|t| t.name != weight) {
            continue;
        }
        let first = compared(&model, &moved(&model, &weight)).first_divergence.unwrap();
        assert_eq!((first.node.as_str(), first.op.as_str()), (node.name.as_str(), "Conv"));
        told += 1;
    }
    assert!(told > 0);
}

#[test]
fn promoted_types_prove_nothing() {
    let engine = choose(&EngineChoice { name: Some("rten".into()), library: None }).unwrap();
    let lacks = engine.lacks(&corpus("subgraph.onnx"));
    assert!(lacks.iter().any(|(_, why)| why.starts_with("F16")), "{lacks:?}");
}

#[test]
fn inputs_are_the_same_for_the_same_seed() {
    let model = corpus("tangle_static_op11.onnx");
    let inputs = |seed| random(&model, &Shapes::new(), seed).unwrap();
    assert_eq!(inputs(3), inputs(3));
    assert_ne!(inputs(3), inputs(4));
    let (_, first) = &inputs(3)[0];
    assert_eq!(first.dtype, DType::F32);
    let deviation = (first.values().map(|x| x * x).sum::<f64>() / first.count() as f64).sqrt();
    assert!((0.8..1.2).contains(&deviation), "{deviation}");
    let told = Shapes::from([("nowhere".to_owned(), vec![1])]);
    assert!(random(&model, &told, 0).unwrap_err().to_string().contains("no input named 'nowhere'"));
}

#[test]
fn inputs_of_any_size_are_declared_and_not_made() {
    let mut model = corpus("tangle_static_op11.onnx");
    let graph = model.graph.as_mut().unwrap();
    let input = graph.inputs[0].0 as usize;
    for shape in [vec![1 << 40], vec![1 << 40; 3], vec![1 << 26, 2]] {
        graph.values[input].shape = Some(shape.into_iter().map(weighbridge_model::Dim::Known).collect());
        let error = random(&Model { graph: Some(graph.clone()), ..Model::default() }, &Shapes::new(), 0);
        assert!(error.unwrap_err().to_string().contains("too much to make up"));
    }
}
