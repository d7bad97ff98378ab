//! Places where a simplifier goes wrong.

use weighbridge_graph::build::{Builder, in_memory};
use weighbridge_graph::passes::{Choice, Report, simplify};
use weighbridge_model::{Attribute, DType, Dim, Graph, GraphValue, Model, Node, Value, ValueId};

use super::model;

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

#[test]
fn an_output_keeps_its_name_when_what_gave_it_goes() {
    let mut model = model(&[2, 3], |b, x| {
        let relu = node(b, "Relu", &[x], vec![]);
        let y = b.value("y");
        b.node("Identity", vec![Some(relu)], vec![y], vec![]);
        vec![y]
    });
    let report = simplified(&mut model);
    assert_eq!((report.nodes(), count(&report, "Relu")), ((2, 1), 1));
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(graph.value(graph.outputs[0]).name, "y");
    assert_eq!(graph.nodes[0].outputs, [Some(graph.outputs[0])]);
}

/// A graph of one node that reads what the graph around it calls `reads`.
fn branch(op: &str, reads: &str) -> Attribute {
    let named = |name: &str| GraphValue { name: name.into(), ..GraphValue::default() };
    let node = Node {
        op: op.into(),
        inputs: vec![Some(ValueId(0))],
        outputs: vec![Some(ValueId(1))],
        ..Node::default()
    };
    let values = vec![named(reads), named(&format!("{op}_of_{reads}"))];
    Attribute::Graph(Box::new(Graph {
        nodes: vec![node],
        values,
        outputs: vec![ValueId(1)],
        ..Graph::default()
    }))
}

/// `If` of a condition that is an input, or one that is always this.
fn choice_of(b: &mut Builder<'_>, always: Option<bool>, branches: [Attribute; 2]) -> ValueId {
    let condition = match always {
        Some(is) => b.constant("condition", DType::Bool, vec![], vec![u8::from(is)]).unwrap(),
        None => {
            let input = b.value("condition");
            b.graph.values[input.0 as usize].dtype = Some(DType::Bool);
            b.graph.values[input.0 as usize].shape = Some(vec![]);
            b.graph.inputs.push(input);
            input
        }
    };
    let output = b.value("chosen");
    let made = b.node("If", vec![Some(condition)], vec![output], vec![]);
    let [yes, no] = branches;
    made.attributes = vec![("then_branch".into(), yes), ("else_branch".into(), no)];
    output
}

#[test]
fn what_a_subgraph_reads_stays_and_is_renamed_in_it() {
    let mut model = model(&[2, 3], |b, x| {
        let (relu, same) = (b.value("relu"), b.value("same"));
        b.node("Relu", vec![Some(x)], vec![relu], vec![]);
        b.node("Identity", vec![Some(relu)], vec![same], vec![]);
        vec![choice_of(b, None, [branch("Neg", "same"), branch("Abs", "same")])]
    });
    let report = simplified(&mut model);
    assert_eq!((count(&report, "Relu"), count(&report, "Identity"), count(&report, "If")), (1, 0, 1));
    let graph = model.graph.as_ref().unwrap();
    for inner in graph.nodes.iter().flat_map(weighbridge_graph::edit::subgraphs) {
        assert_eq!(inner.value(inner.nodes[0].inputs[0].unwrap()).name, "relu");
    }
}

#[test]
fn a_choice_that_is_made_is_inlined() {
    let mut model = model(&[2, 3], |b, x| {
        let _ = x;
        vec![choice_of(b, Some(false), [branch("Neg", "x"), branch("Abs", "x")])]
    });
    let report = simplified(&mut model);
    assert_eq!((report.nodes().1, count(&report, "Abs")), (1, 1));
    let graph = model.graph.as_ref().unwrap();
    assert_eq!(graph.value(graph.outputs[0]).name, "chosen");
}

#[test]
fn zeros_of_two_reshapes_mean_different_sizes() {
    let mut model = model(&[2, 3, 4], |b, x| {
        let first = b.integers("first", vec![2], &[6, 4]).unwrap();
        let second = b.integers("second", vec![3], &[0, 2, 2]).unwrap();
        let flat = node(b, "Reshape", &[x, first], vec![]);
        vec![node(b, "Reshape", &[flat, second], vec![])]
    });
    let report = simplified(&mut model);
    assert_eq!(report.nodes().1, 1);
    let graph = model.graph.as_ref().unwrap();
    let sizes = graph.nodes[0].inputs[1].unwrap();
    let (_, tensor) = graph.initializers.iter().find(|(value, _)| *value == sizes).unwrap();
    let sizes = weighbridge_graph::eval::Array::read(model.tensor(*tensor)).unwrap().unwrap();
    assert_ne!(sizes.integers().unwrap()[0], 0);
}

#[test]
fn a_node_that_contradicts_itself_is_left_alone() {
    let mut model = model(&[2, 3], |b, x| {
        let w = b.floats("w", vec![5, 6], &[1.0; 30]).unwrap();
        let product = node(b, "MatMul", &[x, w], vec![]);
        vec![node(b, "Identity", &[product], vec![])]
    });
    let report = simplified(&mut model);
    assert_eq!((count(&report, "MatMul"), count(&report, "Identity")), (1, 0));
    assert!(report.refused.iter().any(|r| r.pass == "all" && r.node == "MatMul_out"), "{:?}", report.refused);
}

#[test]
fn an_attribute_of_another_kind_is_an_error() {
    let mut model =
        model(&[2, 3], |b, x| vec![node(b, "Transpose", &[x], vec![("perm", Value::Str("abc".into()))])]);
    let error = simplify(&mut model, &Choice::default()).unwrap_err();
    assert!(format!("{error:?}").contains("'perm' is not a list of whole numbers"), "{error:?}");
}

/// An input that is a shape of so many dimensions.
fn sizes(b: &mut Builder<'_>, rank: u64) -> ValueId {
    let sizes = b.value("sizes");
    let value = &mut b.graph.values[sizes.0 as usize];
    value.dtype = Some(DType::I64);
    value.shape = Some(vec![Dim::Known(rank)]);
    b.graph.inputs.push(sizes);
    sizes
}

/// An LSTM of one direction over `x`, with `state` as both its initial states.
fn lstm(b: &mut Builder<'_>, x: ValueId, state: ValueId) -> Vec<ValueId> {
    let w = b.floats("w", vec![1, 8, 3], &[0.5; 24]).unwrap();
    let r = b.floats("r", vec![1, 8, 2], &[0.25; 16]).unwrap();
    let output = b.value("y");
    let inputs = vec![Some(x), Some(w), Some(r), None, None, Some(state), Some(state)];
    b.node("LSTM", inputs, vec![output], vec![("hidden_size", Value::Int(2))]);
    vec![output]
}

#[test]
fn initial_states_that_are_zero_go_and_others_stay() {
    for (state, inputs) in [(0.0, 3), (0.5, 7), (-0.0, 7)] {
        let mut model = model(&[5, 1, 3], |b, x| {
            let state = b.floats("state", vec![1, 1, 2], &[state; 2]).unwrap();
            lstm(b, x, state)
        });
        simplified(&mut model);
        assert_eq!(model.graph.unwrap().nodes[0].inputs.len(), inputs, "{state}");
    }
}

#[test]
fn initial_states_of_a_size_that_is_known_in_the_run_go_with_what_makes_them() {
    let mut model = model(&[5, 1, 3], |b, x| {
        let dims = sizes(b, 3);
        let state = node(b, "ConstantOfShape", &[dims], vec![]);
        lstm(b, x, state)
    });
    let report = simplified(&mut model);
    assert_eq!((count(&report, "ConstantOfShape"), count(&report, "LSTM")), (0, 1));
}

#[test]
fn nodes_whose_tensors_hold_the_same_are_one_and_others_are_not() {
    let mut model = model(&[3], |b, x| {
        let dims = sizes(b, 1);
        let mut made = vec![node(b, "Neg", &[x], vec![])];
        for fill in [1f32, 1.0, 2.0] {
            let filled = node(b, "ConstantOfShape", &[dims], vec![]);
            let bytes = fill.to_le_bytes().to_vec();
            let tensor = b.model.push(in_memory("fill", DType::F32, vec![1], bytes).unwrap());
            let last = b.graph.nodes.last_mut().unwrap();
            last.attributes.push(("value".to_owned(), Attribute::Tensor(tensor)));
            made.push(node(b, "Neg", &[filled], vec![]));
        }
        made
    });
    assert_eq!(count(&simplified(&mut model), "ConstantOfShape"), 2);
}
