//! A test for each trap: what looks decided and is not.

use super::*;

#[test]
fn two_prefixes_that_both_fit_decide_nothing() {
    let source = torch(&[("model.conv.weight", &[8, 3, 3, 3]), ("ema.conv.weight", &[8, 3, 3, 3])]);
    let target = torch(&[("conv.weight", &[8, 3, 3, 3])]);
    let faults = faults(&source, &target);
    assert!(faults[0].contains("'model.conv.weight', 'ema.conv.weight' could all be it"), "{faults:?}");
    assert!(Match::of(&source, &target, &Options::default()).check(true).is_err(), "nor does --keep-missing");
}

#[test]
fn square_matrices_are_turned_by_graphs_and_conventions_only() {
    let source = torch(&[("fc.weight", &[4, 4])]);
    let gemm = |transposed: i64| {
        let mut target = model("onnx", &[("fc.weight", &[4, 4])]);
        let b = [("transB", Value::Int(transposed))];
        graph(&mut target, &[("/fc/Gemm", "Gemm", &["x", "fc.weight"], "y", &b)]);
        target
    };
    assert_eq!(pairs(&source, &gemm(1)), ["fc.weight <- fc.weight by name"]);
    let faults = faults(&source, &gemm(0));
    assert!(faults[0].contains("--transpose 'fc.weight'") && faults[0].contains("=0,1"), "{faults:?}");
    let options = Options { arranged: [TensorId(0)].into(), ..Options::default() };
    assert_eq!(matched(&source, &gemm(0), &options).0, ["fc.weight <- fc.weight by name"]);
    // A Transpose before the MatMul turns it back.
    let mut target = model("onnx", &[("fc.weight", &[4, 4])]);
    let nodes: [NodeOf<'_>; 2] =
        [("/t", "Transpose", &["fc.weight"], "t", &[]), ("/fc/MatMul", "MatMul", &["x", "t"], "y", &[])];
    graph(&mut target, &nodes);
    assert_eq!(pairs(&source, &target), ["fc.weight <- fc.weight by name"]);
    // GPT-2's own way round is not told by its name.
    let conv1d = torch(&[("h.0.c_proj.weight", &[4, 4])]);
    let keras = model("numpy", &[("h/0/c_proj/kernel", &[4, 4])]);
    assert!(self::faults(&conv1d, &keras)[0].contains("square"));
    let wrapped = torch(&[("transformer.h.0.c_proj.weight", &[4, 4])]);
    assert_eq!(pairs(&conv1d, &wrapped).len(), 1, "torch to torch stays as it is");
}

#[test]
fn a_new_name_says_where_and_not_what() {
    let source = keras(&[("layers/dense/vars/0", &[4, 4])], &[("layers/dense", "Dense", "fc")]);
    let target = torch(&[("head.weight", &[4, 4])]);
    for name in ["head.weight", "head/vars/0", "head/kernel"] {
        let options = Options { renamed: [(TensorId(0), name.to_owned())].into(), ..Options::default() };
        let (pairs, faults) = matched(&source, &target, &options);
        assert!(faults.is_empty() && pairs[0].ends_with("[1, 0]"), "{name}: {pairs:?} {faults:?}");
    }
}

#[test]
fn query_key_and_value_are_not_told_by_their_shape() {
    let source = torch(&[("a.wq.weight", &[8, 6]), ("a.wk.weight", &[8, 6]), ("a.wv.weight", &[8, 6])]);
    let target =
        torch(&[("a.q_proj.weight", &[8, 6]), ("a.k_proj.weight", &[8, 6]), ("a.v_proj.weight", &[8, 6])]);
    assert_eq!(faults(&source, &target).len(), 3);
    // The last one of its shape that is left is not alone with it.
    let source = torch(&[("a.q_proj.weight", &[8, 6]), ("a.k_proj.weight", &[8, 6]), ("b.weight", &[8, 6])]);
    let faults = faults(&source, &target);
    assert!(faults.len() == 1 && faults[0].contains("'b.weight' [8, 6]"), "{faults:?}");
}

#[test]
fn fused_projections_are_named() {
    let fused = torch(&[("a.in_proj_weight", &[12, 4])]);
    let apart =
        torch(&[("a.q_proj.weight", &[4, 4]), ("a.k_proj.weight", &[4, 4]), ("a.v_proj.weight", &[4, 4])]);
    assert!(faults(&fused, &apart)[0].contains("split it first"));
    assert!(faults(&apart, &fused)[0].contains("join them first"));
}

#[test]
fn gates_are_never_rearranged() {
    let source = torch(&[("rnn.weight_ih_l0", &[16, 4])]);
    assert_eq!(pairs(&source, &source).len(), 1);
    let mut target = model("onnx", &[("rnn.weight_ih_l0", &[1, 16, 4])]);
    graph(&mut target, &[("/rnn/LSTM", "LSTM", &["x", "rnn.weight_ih_l0"], "y", &[])]);
    assert!(faults(&source, &target)[0].contains("gates"));
}

#[test]
fn shapes_decide_only_where_they_are_alone() {
    let source = torch(&[
        ("a.weight", &[8, 3, 3, 3]),
        ("a.bias", &[8]),
        ("b.weight", &[8, 8, 3, 3]),
        ("b.bias", &[8]),
    ]);
    let target = torch(&[
        ("x.weight", &[8, 3, 3, 3]),
        ("x.bias", &[8]),
        ("y.weight", &[8, 8, 3, 3]),
        ("y.bias", &[8]),
    ]);
    assert_eq!(
        pairs(&source, &target),
        [
            "x.weight <- a.weight by shape",
            "x.bias <- a.bias by layer",
            "y.weight <- b.weight by shape",
            "y.bias <- b.bias by layer",
        ]
    );
    let source = torch(&[("a.weight", &[8, 8, 3, 3]), ("b.weight", &[8, 8, 3, 3])]);
    let target = torch(&[("x.weight", &[8, 8, 3, 3]), ("y.weight", &[8, 8, 3, 3])]);
    assert_eq!(faults(&source, &target).len(), 2);
    let options = Options { by_order: true, ..Options::default() };
    let (by_order, _) = matched(&source, &target, &options);
    assert_eq!(by_order, ["x.weight <- a.weight by order", "y.weight <- b.weight by order"]);
    let square = (torch(&[("a.weight", &[5, 5])]), torch(&[("x.weight", &[5, 5])]));
    assert_eq!(faults(&square.0, &square.1).len(), 1, "square matrices are not");
}

#[test]
fn what_does_not_fit_is_told_with_both_shapes() {
    let faults = faults(&torch(&[("fc.weight", &[10, 6])]), &torch(&[("fc.weight", &[5, 6])]));
    assert!(faults[0].contains("[10, 6]") && faults[0].contains("[5, 6]"), "{faults:?}");
}

#[test]
fn a_normalizations_bias_is_no_convolutions() {
    // What a folded BatchNorm leaves: a bias of the same width, and the only one of it.
    let mut target = model("onnx", &[("c.weight", &[4, 3, 1, 1]), ("c.weight_bias", &[4])]);
    graph(&mut target, &[("c", "Conv", &["x", "c.weight", "c.weight_bias"], "y", &[])]);
    let source = torch(&[("c.weight", &[4, 3, 1, 1]), ("bn.bias", &[4]), ("bn.running_mean", &[4])]);
    assert!(faults(&source, &target)[0].starts_with("c.weight_bias: [4] has no source"));
}

#[test]
fn tied_targets_have_one_source() {
    let mut target = torch(&[("embed.weight", &[6, 4]), ("head.weight", &[6, 4])]);
    target.tensors[1].storage = target.tensors[0].storage.clone();
    let two = torch(&[("embed.weight", &[6, 4]), ("head.weight", &[6, 4])]);
    assert!(faults(&two, &target)[0].contains("shares its storage with 'embed.weight'"));
    let one = torch(&[("embed.weight", &[6, 4])]);
    assert_eq!(pairs(&one, &target)[1], "head.weight <- embed.weight by tie");
    let mut tied = two;
    tied.tensors[1].storage = tied.tensors[0].storage.clone();
    assert_eq!(pairs(&tied, &target).len(), 2);
}

#[test]
fn a_tensor_that_an_exporter_kept_once_takes_one_source() {
    let mut target = model("onnx", &[("bn1.weight", &[4])]);
    let norm = |name, weight| (name, "BatchNormalization", weight, "y", &[][..]);
    graph(
        &mut target,
        &[
            ("id", "Identity", &["bn1.weight"], "bn2.weight", &[]),
            norm("/bn1/BatchNormalization", &["x", "bn1.weight"][..]),
            norm("/bn2/BatchNormalization", &["x", "bn2.weight"][..]),
        ],
    );
    let source = torch(&[("bn1.weight", &[4]), ("bn2.weight", &[4])]);
    assert!(faults(&source, &target)[0].contains("'bn2.weight'"));
}

#[test]
fn running_statistics_are_not_lost_in_silence() {
    let source = torch(&[("c.weight", &[4, 3, 1, 1]), ("bn.running_mean", &[4]), ("bn.running_var", &[4])]);
    let found = Match::of(&source, &torch(&[("c.weight", &[4, 3, 1, 1])]), &Options::default());
    assert!(found.faults.is_empty());
    assert!(found.check(true).unwrap_err().to_string().contains("bn.running_mean, bn.running_var"));
}

#[test]
fn counts_of_batches_need_no_source() {
    let source = torch(&[("bn.running_mean", &[4])]);
    let target = torch(&[("bn.running_mean", &[4]), ("bn.num_batches_tracked", &[])]);
    let found = Match::of(&source, &target, &Options::default());
    assert!(found.faults.is_empty() && found.own.len() == 1);
    assert!(found.check(false).is_ok());
}

#[test]
fn many_tensors_of_one_place_take_no_square_of_their_number() {
    let many = |leaf: &str| {
        let mut model = Model { format: "numpy", ..Model::default() };
        // One place in as many spellings.
        for i in 0..20_000u32 {
            let dots: String = (0..16).map(|bit| if i >> bit & 1 == 1 { '.' } else { '/' }).collect();
            model.push(tensor(&format!("a{dots}{leaf}"), &[1]));
        }
        model
    };
    let started = std::time::Instant::now();
    let found = Match::of(&many("weight"), &many("kernel"), &Options::default());
    assert!(found.pairs.is_empty());
    assert!(found.faults.iter().all(|f| f.why.contains("could all be it") && f.why.len() < 1000));
    let found = Match::of(&torch(&[("a.weight", &[1])]), &many("kernel"), &Options::default());
    assert!(found.pairs.is_empty() && found.faults[0].why.contains("as well"));
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn more_tied_sources_than_are_looked_at_are_still_one() {
    let mut source = Model { format: "pytorch", ..Model::default() };
    let shared = storage(1, 0);
    for i in 0..40 {
        let name = format!("a{}weight", "./".repeat(i + 1));
        let tied = Tensor::contiguous(&name, DType::F32, vec![1], shared.clone(), &Place::default());
        source.push(tied.unwrap());
    }
    let target = torch(&[("a.kernel", &[1])]);
    assert_eq!(pairs(&source, &target).len(), 1);
    source.push(tensor("a.//weight", &[1]));
    assert!(faults(&source, &target)[0].contains("could all be it"));
}

#[test]
fn an_empty_sum_of_any_size_is_not_multiplied() {
    let empty = |name: &str| {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new([]));
        Tensor::contiguous(name, DType::F32, vec![0, 1 << 60], storage, &Place::default()).unwrap()
    };
    let mut source = Model { format: "caffe", ..Model::default() };
    source.push(empty("bn.running_mean"));
    source.push(tensor("bn.factor", &[1]));
    let mut target = Model { format: "pytorch", ..Model::default() };
    target.push(empty("bn.running_mean"));
    let found = Match::of(&source, &target, &Options::default());
    let moved = Transfer::of(&source).in_place_of(&source, &target, &[], &found).unwrap();
    assert_eq!(moved.moved[0].target.shape, [0, 1 << 60]);
}
