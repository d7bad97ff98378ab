use std::sync::Arc;

use proptest::prelude::*;
use weighbridge_model::dtype::push;
use weighbridge_model::{DType, Layout, Memory, Model, Place, Tensor, View};

use super::*;

/// Numbers that no seed repeats, of about the size of weights.
fn numbers(count: u64, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from(((state >> 40) as f32) / (1 << 24) as f32 - 0.5)
    };
    (0..count).map(next).collect()
}

fn tensor(name: &str, dtype: DType, shape: &[u64], values: &[f64]) -> Tensor {
    let mut bytes = Vec::new();
    values.iter().for_each(|&x| push(dtype, x, &mut bytes));
    let storage = Arc::new(Memory::new(bytes));
    Tensor::contiguous(name, dtype, shape.to_vec(), storage, &Place::default()).unwrap()
}

fn model(tensors: Vec<Tensor>) -> Model {
    let mut model = Model { format: "safetensors", ..Model::default() };
    tensors.into_iter().for_each(|t| _ = model.push(t));
    weighbridge_model::roles::assign(&mut model);
    model
}

/// The same elements, contiguous under another order of dimensions.
fn turned(tensor: &Tensor, axes: &[usize]) -> Tensor {
    let view = View::contiguous(&tensor.shape, 0);
    let shape: Vec<u64> = axes.iter().map(|&a| tensor.shape[a]).collect();
    let strides = axes.iter().map(|&a| view.strides[a]).collect();
    let layout = Layout::Strided(View { offset: 0, strides });
    let seen = Tensor { shape: shape.clone(), layout, ..tensor.clone() };
    let mut values = Vec::new();
    seen.visit_values(0..seen.count(), &mut |_, v| {
        values.extend_from_slice(v);
        Ok(())
    })
    .unwrap();
    self::tensor(&tensor.name, tensor.dtype, &shape, &values)
}

fn compared(a: &Model, b: &Model) -> Diff {
    diff(a, b, &Options::default()).unwrap()
}

/// A convolution with a normalization behind it, and the two as one.
fn folded(seed: u64, channels: u64, epsilon: f64) -> (Model, Vec<f64>, Vec<f64>) {
    folded_with(seed, channels, epsilon, &|_| {})
}

fn folded_with(
    seed: u64,
    channels: u64,
    epsilon: f64,
    edit: &dyn Fn(&mut [f64]),
) -> (Model, Vec<f64>, Vec<f64>) {
    let shape = [channels, 3, 3, 3];
    let mut weight = numbers(channels * 27, seed);
    edit(&mut weight);
    let positive = |seed| numbers(channels, seed).iter().map(|x| x + 1.0).collect::<Vec<f64>>();
    let (gamma, beta) = (positive(seed + 1), numbers(channels, seed + 2));
    let (mean, variance) = (numbers(channels, seed + 3), positive(seed + 4));
    let vector = |name: &str, values: &[f64]| tensor(name, DType::F32, &[channels], values);
    let source = model(vec![
        tensor("conv.weight", DType::F32, &shape, &weight),
        vector("bn.weight", &gamma),
        vector("bn.bias", &beta),
        vector("bn.running_mean", &mean),
        vector("bn.running_var", &variance),
    ]);
    let single = |x: f64| f64::from(x as f32);
    let scale: Vec<f64> =
        (0..channels as usize).map(|c| single(gamma[c]) / (single(variance[c]) + epsilon).sqrt()).collect();
    let made = weight.iter().enumerate().map(|(i, w)| single(*w) * scale[i / 27]).collect();
    let bias = (0..channels as usize).map(|c| single(beta[c]) - single(mean[c]) * scale[c]).collect();
    (source, made, bias)
}

#[test]
fn a_fold_is_computed_whatever_epsilon_and_names_are() {
    for (epsilon, names) in [(1e-5, ["conv.weight", "conv.bias"]), (1e-3, ["onnx::Conv_12", "onnx::Conv_13"])]
    {
        let (source, weight, bias) = folded(5, 16, epsilon);
        let target = model(vec![
            tensor(names[0], DType::F32, &[16, 3, 3, 3], &weight),
            tensor(names[1], DType::F32, &[16], &bias),
        ]);
        for (a, b) in [(&source, &target), (&target, &source)] {
            let found = compared(a, b);
            assert!(found.ok(), "{found:?}");
            assert_eq!(found.pairs.len(), 1);
            assert_eq!(found.pairs[0].relation, Relation::Folded);
            assert_eq!(found.pairs[0].a.len() + found.pairs[0].b.len(), 7);
        }
    }
}

#[test]
fn a_fold_of_other_dimensions_and_half_precision_is_one() {
    let (source, weight, bias) = folded(6, 8, 1e-5);
    let made = turned(&tensor("w", DType::F32, &[8, 3, 3, 3], &weight), &[2, 3, 1, 0]);
    let found = compared(&source, &model(vec![made, tensor("b", DType::F32, &[8], &bias)]));
    assert!(found.ok() && found.pairs[0].relation == Relation::Folded, "{found:?}");
    // With one that is subnormal there.
    let (source, weight, bias) = folded_with(6, 8, 1e-5, &|weight| weight[5] = 3.1e-6);
    let half = vec![
        tensor("conv.weight", DType::F16, &[8, 3, 3, 3], &weight),
        tensor("conv.bias", DType::F16, &[8], &bias),
    ];
    let found = compared(&source, &model(half));
    assert!(found.ok() && found.pairs[0].relation == Relation::Folded, "{found:?}");
}

#[test]
fn codes_are_held_against_their_step() {
    let values = numbers(64 * 32, 9);
    let source = model(vec![tensor("w.weight", DType::F32, &[64, 32], &values)]);
    let scale = 0.5 / 127.0;
    let codes: Vec<f64> = values.iter().map(|x| (x / scale).round_ties_even()).collect();
    let coded = |codes: &[f64]| {
        let plain = tensor("w.weight", DType::I8, &[64, 32], codes);
        let view = View::contiguous(&plain.shape, 0);
        let layout = Layout::Quantized { view, scales: vec![scale], zero_points: vec![0], axis: None };
        model(vec![Tensor { layout, ..plain }])
    };
    let found = compared(&source, &coded(&codes));
    assert!(found.ok() && found.pairs[0].relation == Relation::Quantized, "{found:?}");
    assert!(found.pairs[0].figures.as_ref().unwrap().steps.unwrap() <= 0.501);
    let mut other = codes;
    other[700] += 1.0;
    let found = compared(&source, &coded(&other));
    assert_eq!(found.pairs[0].relation, Relation::Changed);
    assert_eq!(found.pairs[0].figures.as_ref().unwrap().off, 1);
}

#[test]
fn thousands_of_one_shape_do_not_take_their_square() {
    let of = |order: &mut dyn Iterator<Item = u64>, name: &str| {
        let held = order.map(|i| tensor(&format!("{name}{i}"), DType::F32, &[4, 4], &numbers(16, i * 7 + 1)));
        model(held.collect())
    };
    let (a, b) = (of(&mut (0..3000), "a"), of(&mut (0..3000).rev(), "t"));
    let found = compared(&a, &b);
    assert!(found.ok() && found.pairs.iter().all(|p| p.relation == Relation::Renamed));
    for pair in &found.pairs {
        assert_eq!(a.tensor(pair.a[0]).name[1..], b.tensor(pair.b[0]).name[1..]);
    }
}

#[test]
fn what_is_missing_is_told_and_what_is_counted_is_not() {
    let w = tensor("a.weight", DType::F32, &[4, 4], &numbers(16, 1));
    let count = tensor("a.num_batches_tracked", DType::I64, &[], &[5.0]);
    let other = tensor("b.weight", DType::F32, &[9, 5], &numbers(45, 2));
    let found = compared(&model(vec![w.clone(), count]), &model(vec![w, other]));
    assert_eq!((found.only_a.len(), found.only_b.len(), found.aside.len()), (0, 1, 1));
    assert!(!found.ok());
}

fn shapes() -> impl Strategy<Value = Vec<Vec<u64>>> {
    prop::collection::vec(prop::collection::vec(2u64..6, 1..5), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn permuted_renamed_and_cast_models_are_explained(
        shapes in shapes(), seed in 1u64..1 << 40, half in any::<bool>(), rotate in 0usize..4,
    ) {
        let held: Vec<Tensor> = shapes.iter().enumerate().map(|(i, shape)| {
            let values = numbers(shape.iter().product(), seed + i as u64 * 977);
            tensor(&format!("layer{i}.weight"), DType::F32, shape, &values)
        }).collect();
        let made = held.iter().enumerate().rev().map(|(i, t)| {
            let mut axes: Vec<usize> = (0..t.shape.len()).collect();
            let by = rotate % axes.len();
            axes.rotate_left(by);
            let mut other = turned(t, &axes);
            if half {
                let mut values = Vec::new();
                other.visit_values(0..other.count(), &mut |_, v| { values.extend_from_slice(v); Ok(()) }).unwrap();
                other = tensor("", DType::BF16, &other.shape.clone(), &values);
            }
            Tensor { name: format!("x::{}", i * 31 % 97), ..other }
        }).collect();
        let (a, b) = (model(held), model(made));
        let found = compared(&a, &b);
        prop_assert!(found.ok(), "{:?}", found);
        prop_assert_eq!(found.pairs.len(), shapes.len());
        prop_assert!(compared(&b, &a).ok());
    }

    #[test]
    fn an_altered_element_is_found(
        shapes in shapes(), seed in 1u64..1 << 40, which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), by in prop::sample::select(vec![1e-3, -1e-3, 1e-5]),
    ) {
        let which = which.index(shapes.len());
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut expected = 0;
        for (i, shape) in shapes.iter().enumerate() {
            let mut values = numbers(shape.iter().product(), seed + i as u64 * 977);
            let name = format!("layer{i}.weight");
            ours.push(tensor(&name, DType::F32, shape, &values));
            if i == which {
                expected = at.index(values.len());
                values[expected] += by;
            }
            theirs.push(tensor(&name, DType::F32, shape, &values));
        }
        let found = compared(&model(ours), &model(theirs));
        prop_assert!(!found.ok());
        let changed: Vec<_> = found.pairs.iter().filter(|p| p.relation == Relation::Changed).collect();
        prop_assert_eq!(changed.len(), 1);
        prop_assert_eq!(changed[0].a[0].0 as usize, which);
        let figures = changed[0].figures.as_ref().unwrap();
        prop_assert_eq!(figures.unequal, 1);
        let (index, ..) = figures.first.as_ref().unwrap();
        let flat = index.iter().zip(&shapes[which]).fold(0, |at, (i, n)| at * n + i);
        prop_assert_eq!(flat as usize, expected);
    }

    #[test]
    fn an_altered_element_is_found_through_a_fold(seed in 1u64..1 << 40, at in 0usize..16 * 27) {
        let (source, mut weight, bias) = folded(seed, 16, 1e-5);
        weight[at] += 1e-3;
        let target = model(vec![
            tensor("conv.weight", DType::F32, &[16, 3, 3, 3], &weight),
            tensor("conv.bias", DType::F32, &[16], &bias),
        ]);
        let found = compared(&source, &target);
        prop_assert!(!found.ok());
        let [pair] = &found.pairs[..] else { panic!("{found:?}") };
        prop_assert_eq!(pair.relation, Relation::Changed);
        prop_assert_eq!(pair.figures.as_ref().unwrap().off, 1);
    }
}

#[test]
fn what_only_shares_a_place_is_no_pair() {
    let of = |name: &str, shape: &[u64], seed| {
        let count = shape.iter().product();
        let bias = format!("{name}.bias");
        model(vec![
            tensor(&format!("{name}.weight"), DType::F32, shape, &numbers(count, seed)),
            tensor(&bias, DType::F32, &shape[..1], &numbers(shape[0], seed + 1)),
        ])
    };
    let found = compared(&of("fc", &[10, 5], 1), &of("classifier.1", &[10, 7], 3));
    let weights = [TensorId(0)];
    assert!(found.only_a.starts_with(&weights) && found.only_b.starts_with(&weights), "{found:?}");
    assert!(found.pairs.iter().all(|pair| pair.guess), "{found:?}");
    // Of one name, it is the same layer that has another shape.
    let found = compared(&of("fc", &[10, 5], 1), &of("module.fc", &[10, 7], 3));
    assert_eq!(found.pairs[0].why, "shapes differ: [10, 5] -> [10, 7]", "{found:?}");
}
