//! Products that become Gemm, and initial states that are left out.

use weighbridge_graph::build::Builder;
use weighbridge_graph::passes::{Choice, simplify};
use weighbridge_model::{Model, Value, ValueId};

use super::model;

fn node(b: &mut Builder<'_>, op: &str, inputs: &[Option<ValueId>]) -> ValueId {
    let output = b.value(&format!("{op}_out"));
    let layers = matches!(op, "LSTM").then(|| ("hidden_size", Value::Int(2)));
    b.node(op, inputs.to_vec(), vec![output], layers.into_iter().collect());
    output
}

/// `x W + b`, and a Reshape of it where `to` is told.
fn product(b: &mut Builder<'_>, x: ValueId, scale: f32, to: Option<&[i64]>) -> ValueId {
    let w = b.floats("w", vec![4, 2], &[scale; 8]).unwrap();
    let bias = b.floats("b", vec![2], &[scale, 1.0]).unwrap();
    let product = node(b, "MatMul", &[Some(x), Some(w)]);
    let sum = node(b, "Add", &[Some(product), Some(bias)]);
    let Some(to) = to else { return sum };
    let shape = b.integers("to", vec![to.len() as u64], to).unwrap();
    node(b, "Reshape", &[Some(sum), Some(shape)])
}

fn ops(model: &mut Model) -> Vec<(String, usize)> {
    simplify(model, &Choice::default()).unwrap().after.into_iter().collect()
}

fn counts(list: &[(&str, usize)]) -> Vec<(String, usize)> {
    list.iter().map(|(op, n)| ((*op).to_owned(), *n)).collect()
}

#[test]
fn products_of_one_value_share_the_reshape_to_its_rows() {
    let mut model =
        model(&[2, 3, 4], |b, x| (1..4).map(|i| product(b, x, i as f32, Some(&[2, 3, 1, 2]))).collect());
    assert_eq!(ops(&mut model), counts(&[("Gemm", 3), ("Reshape", 4)]));
}

#[test]
fn a_product_between_reshapes_takes_them_over() {
    let mut model = model(&[6, 4], |b, x| {
        let shape = b.integers("rows", vec![3], &[2, 3, 4]).unwrap();
        let three = node(b, "Reshape", &[Some(x), Some(shape)]);
        vec![product(b, three, 2.0, Some(&[3, 4]))]
    });
    assert_eq!(ops(&mut model), counts(&[("Gemm", 1), ("Reshape", 1)]));
}

#[test]
fn a_product_that_would_need_reshapes_of_its_own_stays() {
    let mut alone = model(&[2, 3, 4], |b, x| vec![product(b, x, 2.0, None)]);
    assert_eq!(ops(&mut alone), counts(&[("Add", 1), ("MatMul", 1)]));
    let mut after = model(&[2, 3, 4], |b, x| vec![product(b, x, 2.0, Some(&[6, 2]))]);
    assert_eq!(ops(&mut after), counts(&[("Add", 1), ("MatMul", 1), ("Reshape", 1)]));
}

#[test]
fn states_of_zeros_are_left_out_and_others_stay() {
    let inputs = |first: f32| {
        let mut model = model(&[3, 1, 4], |b, x| {
            let w = b.floats("w", vec![1, 8, 4], &[0.5; 32]).unwrap();
            let r = b.floats("r", vec![1, 8, 2], &[0.5; 16]).unwrap();
            let state = b.floats("state", vec![1, 1, 2], &[first, 0.0]).unwrap();
            vec![node(b, "LSTM", &[Some(x), Some(w), Some(r), None, None, Some(state), Some(state)])]
        });
        simplify(&mut model, &Choice::default()).unwrap();
        model.graph.unwrap().nodes[0].inputs.len()
    };
    assert_eq!(inputs(0.0), 3);
    assert_eq!(inputs(1.0), 7);
    assert_eq!(inputs(-0.0), 7);
}
