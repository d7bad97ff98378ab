//! Inference against facts that are known by hand, a test a family; and graphs that are wrong, long or deep.

use std::time::Instant;

use weighbridge_graph::build::Builder;
use weighbridge_graph::infer::{Fact, Facts, Options, Pins, infer, pin};
use weighbridge_model::{
    Attribute, DType, Dim, Function, Graph, GraphValue, Model, Node, Program, Value, ValueId,
};

/// A graph that is put together, with its model.
#[derive(Default)]
struct Net {
    model: Model,
    graph: Graph,
}

impl Net {
    fn input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> ValueId {
        let value = self.value(name);
        let known = &mut self.graph.values[value.0 as usize];
        (known.dtype, known.shape) = (Some(dtype), Some(shape.to_vec()));
        self.graph.inputs.push(value);
        value
    }

    fn image(&mut self) -> ValueId {
        self.input("x", DType::F32, &[symbol("n"), Dim::Known(3), symbol("h"), symbol("w")])
    }

    fn floats(&mut self, shape: &[u64]) -> ValueId {
        let count: u64 = shape.iter().product();
        let bytes = vec![0; 4 * count as usize];
        Builder::new(&mut self.model, &mut self.graph)
            .constant("w", DType::F32, shape.to_vec(), bytes)
            .unwrap()
    }

    fn integers(&mut self, elements: &[i64]) -> ValueId {
        let shape = vec![elements.len() as u64];
        Builder::new(&mut self.model, &mut self.graph).integers("i", shape, elements).unwrap()
    }

    fn integer(&mut self, element: i64) -> ValueId {
        Builder::new(&mut self.model, &mut self.graph).integers("i", vec![], &[element]).unwrap()
    }

    fn value(&mut self, name: &str) -> ValueId {
        Builder::new(&mut self.model, &mut self.graph).value(name)
    }

    fn node(&mut self, op: &str, inputs: &[ValueId], attributes: Vec<(&str, Value)>) -> ValueId {
        self.nodes(op, inputs, attributes, 1)[0]
    }

    fn nodes(
        &mut self,
        op: &str,
        inputs: &[ValueId],
        attributes: Vec<(&str, Value)>,
        count: usize,
    ) -> Vec<ValueId> {
        let mut builder = Builder::new(&mut self.model, &mut self.graph);
        let outputs: Vec<ValueId> = (0..count).map(|_| builder.value(op)).collect();
        let inputs = inputs.iter().map(|&id| Some(id)).collect();
        builder.node(op, inputs, outputs.clone(), attributes);
        outputs
    }

    fn facts(&self) -> Facts {
        infer(&self.model, &self.graph, &Options::default())
    }

    /// Facts of a net that has no faults.
    fn sound(&self) -> Facts {
        let facts = self.facts();
        assert_eq!(facts.faults, [], "{:?}", facts.faults);
        facts
    }
}

fn symbol(name: &str) -> Dim {
    Dim::Symbol(name.to_owned())
}

fn ints(list: &[i64]) -> Value {
    Value::List(list.iter().map(|&i| Value::Int(i)).collect())
}

/// A shape as text.
fn shape(fact: &Fact) -> String {
    fact.shape().map_or_else(|| "?".to_owned(), |shape| format!("{shape:?}"))
}

#[test]
fn convolution_and_pooling() {
    let mut net = Net::default();
    let (x, w, t) = (net.image(), net.floats(&[64, 3, 7, 7]), net.floats(&[64, 8, 2, 2]));
    let windows = |stride: i64, pad: i64| vec![("strides", ints(&[stride; 2])), ("pads", ints(&[pad; 4]))];
    let conv = net.node("Conv", &[x, w], windows(2, 3));
    let kernel = |size: i64| {
        [windows(2, 0), vec![("kernel_shape", ints(&[size; 2])), ("ceil_mode", Value::Int(1))]].concat()
    };
    let pool = net.node("MaxPool", &[conv], kernel(3));
    let gap = net.node(
        "MaxPool",
        &[x],
        [windows(3, 0), vec![("kernel_shape", ints(&[1; 2])), ("ceil_mode", Value::Int(1))]].concat(),
    );
    let global = net.node("GlobalAveragePool", &[conv], vec![]);
    let up = net.node("ConvTranspose", &[conv, t], vec![("strides", ints(&[2, 2]))]);
    let facts = net.sound();
    assert_eq!(shape(facts.of(conv)), "[n, 64, floor((h + 1)/(2)), floor((w + 1)/(2))]");
    assert_eq!(facts.of(pool).shape().unwrap()[2].evaluate(&|_| Some(224)), Some(56));
    // Three windows of size 1 at stride 3 start within 7 and 8, and none in what is beyond.
    for (size, count) in [(7, 3), (8, 3), (9, 3), (10, 4)] {
        assert_eq!(facts.of(gap).shape().unwrap()[2].evaluate(&|_| Some(size)), Some(count), "{size}");
    }
    assert_eq!(shape(facts.of(global)), "[n, 64, 1, 1]");
    assert_eq!(shape(facts.of(up)), "[n, 8, 2*floor((h + 1)/(2)), 2*floor((w + 1)/(2))]");
}

#[test]
fn a_tangle_of_shapes_is_a_reshape() {
    let mut net = Net::default();
    let x = net.image();
    let (at, minus, axes) = (net.integer(0), net.integers(&[-1]), net.integers(&[0]));
    let all = net.node("Shape", &[x], vec![]);
    let batch = net.node("Gather", &[all, at], vec![]);
    let batch = net.node("Unsqueeze", &[batch, axes], vec![]);
    let wanted = net.node("Concat", &[batch, minus], vec![("axis", Value::Int(0))]);
    let flat = net.node("Reshape", &[x, wanted], vec![]);
    let facts = net.sound();
    assert_eq!(format!("{:?}", facts.of(wanted).elements().unwrap()), "[n, -1]");
    assert_eq!(shape(facts.of(flat)), "[n, 3*h*w]");
    assert_eq!(facts.of(flat).dtype(), Some(DType::F32));
}

#[test]
fn slices_of_sizes_that_are_not_known() {
    let mut net = Net::default();
    let x = net.image();
    let axis = net.integers(&[2]);
    let mut cut = |start: i64, end: i64, step: i64| {
        let [start, end, step] = [start, end, step].map(|n| net.integers(&[n]));
        net.node("Slice", &[x, start, end, axis, step], vec![])
    };
    let (whole, tail, every, back) =
        (cut(0, i64::MAX, 1), cut(-1, i64::MAX, 1), cut(0, i64::MAX, 2), cut(-1, i64::MIN, -1));
    let facts = net.sound();
    assert_eq!(shape(facts.of(whole)), "[n, 3, h, w]");
    assert_eq!(shape(facts.of(every)), "[n, 3, floor((h + 1)/(2)), w]");
    assert_eq!(facts.of(tail).shape().unwrap()[2].evaluate(&|_| Some(9)), Some(1));
    assert_eq!(facts.of(tail).shape().unwrap()[2].evaluate(&|_| Some(0)), Some(0));
    assert_eq!(facts.of(back).shape().unwrap()[2].evaluate(&|_| Some(9)), Some(9));
}

#[test]
fn products_of_matrices() {
    let mut net = Net::default();
    let a = net.input("a", DType::F32, &[symbol("n"), Dim::Known(1), Dim::Known(5), Dim::Known(4)]);
    let b = net.input("b", DType::F32, &[Dim::Known(7), Dim::Known(4), symbol("k")]);
    let v = net.floats(&[4]);
    let (both, row) = (net.node("MatMul", &[a, b], vec![]), net.node("MatMul", &[a, v], vec![]));
    let equation = Value::Str("bhqd,hdk->bkq".to_owned());
    let sum = net.node("Einsum", &[a, b], vec![("equation", equation)]);
    let facts = net.sound();
    assert_eq!(shape(facts.of(both)), "[n, 7, 5, k]");
    assert_eq!(shape(facts.of(row)), "[n, 1, 5]");
    assert_eq!(shape(facts.of(sum)), "[n, k, 5]");
}

#[test]
fn reductions_splits_and_ranges() {
    let mut net = Net::default();
    let x = net.image();
    let all = net.node("Shape", &[x], vec![]);
    let count = net.node("ReduceProd", &[all], vec![("keepdims", Value::Int(0))]);
    let (zero, one, axes) = (net.integer(0), net.integer(1), net.integers(&[-1, 1]));
    let range = net.node("Range", &[zero, count, one], vec![]);
    let mean = net.node("ReduceMean", &[x, axes], vec![("keepdims", Value::Int(0))]);
    let parts = net.nodes("Split", &[x], vec![("axis", Value::Int(3)), ("num_outputs", Value::Int(2))], 2);
    let facts = net.sound();
    assert_eq!(shape(facts.of(range)), "[3*h*n*w]");
    assert_eq!(shape(facts.of(mean)), "[n, h]");
    assert_eq!(shape(facts.of(parts[0])), "[n, 3, h, floor((w + 1)/(2))]");
    let sum = facts.of(parts[0]).shape().unwrap()[3].plus(&facts.of(parts[1]).shape().unwrap()[3]).unwrap();
    assert_eq!(sum.to_string(), "w");
}

#[test]
fn branches_that_agree_and_loops_that_grow() {
    let mut net = Net::default();
    let x = net.image();
    let condition = net.input("condition", DType::Bool, &[]);
    let branch = |op: &str| {
        let mut inner = Net::default();
        let captured = inner.value("x");
        let output = inner.node(op, &[captured], vec![]);
        inner.graph.outputs.push(output);
        inner.graph
    };
    let chosen = net.node("If", &[condition], vec![]);
    let branches = [("then_branch", branch("Relu")), ("else_branch", branch("Neg"))];
    net.graph.nodes[0].attributes = branches
        .into_iter()
        .map(|(name, graph)| (name.to_owned(), Attribute::Graph(Box::new(graph))))
        .collect();

    let mut body = Net::default();
    let step = body.value("i");
    let go_on = body.value("go_on");
    let carried = body.value("carried");
    body.graph.inputs = vec![step, go_on, carried];
    let longer = body.node("Concat", &[carried, carried], vec![("axis", Value::Int(0))]);
    let captured = body.value("x");
    let scanned = body.node("Relu", &[captured], vec![]);
    body.graph.outputs = vec![go_on, longer, scanned];
    let count = net.integer(4);
    let yes = {
        let mut builder = Builder::new(&mut net.model, &mut net.graph);
        builder.constant("yes", DType::Bool, vec![], vec![1]).unwrap()
    };
    let outputs = net.nodes("Loop", &[count, yes, x], vec![], 2);
    net.graph.nodes[1].attributes.push(("body".to_owned(), Attribute::Graph(Box::new(body.graph))));
    let facts = net.sound();
    assert_eq!(shape(facts.of(chosen)), "[n, 3, h, w]");
    let grown = facts.of(outputs[0]).shape().unwrap();
    assert!(grown[0].is_unknown(), "{grown:?}");
    assert_eq!(format!("{:?}", &grown[1..]), "[3, h, w]");
    assert_eq!(shape(facts.of(outputs[1])), "[4, n, 3, h, w]");
    let inside = facts.graph.inside(1, 0, 0).unwrap();
    assert_eq!(shape(inside.of(scanned)), "[n, 3, h, w]");
}

#[test]
fn functions_are_gone_through_at_their_calls() {
    let mut net = Net::default();
    let x = net.image();
    let mut body = Net::default();
    let y = body.value("y");
    body.graph.inputs.push(y);
    let output = body.node("Transpose", &[y], vec![]);
    body.graph.nodes[0]
        .attributes
        .push(("perm".to_owned(), Attribute::Reference { to: "order".to_owned(), kind: 7 }));
    body.graph.outputs.push(output);
    let function = Function {
        domain: "own".to_owned(),
        name: "Turn".to_owned(),
        body: body.graph,
        ..Function::default()
    };
    net.graph.program = Some(Box::new(Program { functions: vec![function], ..Program::default() }));
    let turned = net.node("Turn", &[x], vec![("order", ints(&[0, 2, 3, 1]))]);
    net.graph.nodes[0].domain = "own".to_owned();
    let facts = net.sound();
    assert_eq!(shape(facts.of(turned)), "[n, h, w, 3]");
    assert_eq!(shape(facts.functions[0].as_ref().unwrap().of(output)), "[n, h, w, 3]");
}

#[test]
fn symbols_are_pinned_wherever_they_stand() {
    let mut net = Net::default();
    let x = net.image();
    let y = net.input("y", DType::F32, &[symbol("n"), symbol("k")]);
    let mut pins = Pins::default();
    pins.add("x=2,3,8,9").unwrap();
    pin(&mut net.graph, &pins).unwrap();
    let facts = net.sound();
    assert_eq!(facts.of(x).known_shape(), Some(vec![2, 3, 8, 9]));
    assert_eq!(shape(facts.of(y)), "[2, k]");
    for (text, what) in [("x=2,4,8,9", "size 3 in dimension 1"), ("x=1", "4 dimensions"), ("z=1", "no input")]
    {
        let mut pins = Pins::default();
        pins.add(text).unwrap();
        let error = pin(&mut net.graph, &pins).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
    assert!(Pins::default().add("x").is_err());
    assert!(Pins::default().add("x=1,a").is_err());
}

#[test]
fn contradictions_are_told_with_their_nodes() {
    let mut net = Net::default();
    let x = net.image();
    let (w, m) = (net.floats(&[64, 5, 3, 3]), net.floats(&[4, 4]));
    net.node("Conv", &[x, w], vec![]);
    net.node("Gemm", &[x, m], vec![]);
    net.node("Concat", &[x, m], vec![("axis", Value::Int(0))]);
    net.node("Transpose", &[x], vec![("perm", ints(&[0, 1]))]);
    net.node("Softmax", &[ValueId(0)], vec![]);
    let nothing = net.value("nothing");
    net.node("Relu", &[nothing], vec![]);
    let declared = net.node("Relu", &[m], vec![]);
    net.graph.values[declared.0 as usize].shape = Some(vec![Dim::Known(5)]);
    let faults: Vec<String> = net.facts().faults.iter().map(ToString::to_string).collect();
    let expected = ["nothing", "Conv", "Gemm", "Concat", "Transpose", "[4, 4], declared is [5]"];
    assert_eq!(faults.len(), expected.len(), "{faults:?}");
    for (fault, word) in faults.iter().zip(expected) {
        assert!(fault.contains(word), "{fault}: {word}");
    }
}

#[test]
fn a_declaration_counts_where_nothing_is_known() {
    let mut net = Net::default();
    let x = net.image();
    let (seen, found) = (net.node("Relu", &[x], vec![]), net.node("NonZero", &[x], vec![]));
    let declared = [(seen, vec![1, 3, 8, 8]), (found, vec![4, 7])];
    for (value, shape) in declared {
        net.graph.values[value.0 as usize].shape = Some(shape.into_iter().map(Dim::Known).collect());
    }
    let facts = net.sound();
    assert_eq!(shape(facts.of(seen)), "[n, 3, h, w]");
    assert_eq!(shape(facts.of(found)), "[4, 7]");
}

#[test]
fn cycles_are_told_and_end() {
    let mut net = Net::default();
    let x = net.image();
    let (a, b) = (net.value("a"), net.value("b"));
    let mut builder = Builder::new(&mut net.model, &mut net.graph);
    builder.node("Add", vec![Some(x), Some(b)], vec![a], vec![]);
    builder.node("Relu", vec![Some(a)], vec![b], vec![]);
    let facts = net.facts();
    assert_eq!(facts.faults.len(), 1);
    assert!(facts.faults[0].what.contains("cycle"), "{}", facts.faults[0]);
}

#[test]
fn nodes_out_of_order_are_put_in_order() {
    let mut net = Net::default();
    let x = net.image();
    let a = net.node("Relu", &[x], vec![]);
    let b = net.node("Shape", &[a], vec![]);
    net.graph.nodes.reverse();
    assert_eq!(format!("{:?}", net.sound().of(b).elements().unwrap()), "[n, 3, h, w]");
}

#[test]
fn a_hundred_thousand_nodes_take_no_time() {
    let mut net = Net::default();
    let mut last = net.image();
    let w = net.floats(&[3, 3, 3, 3]);
    for i in 0..100_000u32 {
        let output = ValueId(net.graph.values.len() as u32);
        net.graph.values.push(GraphValue { name: format!("v{i}"), ..GraphValue::default() });
        let (op, inputs) =
            if i % 2 == 0 { ("Conv", vec![Some(last), Some(w)]) } else { ("Relu", vec![Some(last)]) };
        let attributes = vec![("pads".to_owned(), Attribute::Value(ints(&[1, 0, 1, 0])))];
        let attributes = if i % 2 == 0 { attributes } else { Vec::new() };
        net.graph.nodes.push(Node {
            op: op.to_owned(),
            inputs,
            outputs: vec![Some(output)],
            attributes,
            ..Node::default()
        });
        last = output;
    }
    let start = Instant::now();
    let facts = net.sound();
    assert!(start.elapsed().as_secs_f64() < 2.0, "{:?}", start.elapsed());
    assert_eq!(shape(facts.of(last)), "[n, 3, h, w - 100000]");
}

#[test]
fn deep_nesting_ends() {
    let mut graph = Graph::default();
    for _ in 0..150 {
        let values =
            ["given", "out"].map(|name| GraphValue { name: name.to_owned(), ..GraphValue::default() });
        let inner = std::mem::take(&mut graph);
        let body = Attribute::Graph(Box::new(inner));
        graph = Graph {
            values: values.to_vec(),
            outputs: vec![ValueId(1)],
            nodes: vec![Node {
                op: "Loop".to_owned(),
                inputs: vec![None, None, Some(ValueId(0))],
                outputs: vec![Some(ValueId(1))],
                attributes: vec![("body".to_owned(), body)],
                ..Node::default()
            }],
            ..Graph::default()
        };
    }
    let facts = infer(&Model::default(), &graph, &Options::default());
    assert!(facts.faults.iter().any(|fault| fault.what.contains("within each other")));
}

/// `count` nodes in a chain from `first`, each put together by `node`.
fn chain(net: &mut Net, first: ValueId, count: u32, node: impl Fn(ValueId) -> Node) -> ValueId {
    let mut last = first;
    for i in 0..count {
        let output = ValueId(net.graph.values.len() as u32);
        net.graph.values.push(GraphValue { name: format!("v{i}"), ..GraphValue::default() });
        net.graph.nodes.push(Node { outputs: vec![Some(output)], ..node(last) });
        last = output;
    }
    last
}

#[test]
fn absurd_graphs_end() {
    let start = Instant::now();
    let mut net = Net::default();
    let x = net.image();
    let sizes = net.node("Shape", &[x], vec![]);
    let operator =
        |op: &str, inputs: Vec<Option<ValueId>>| Node { op: op.to_owned(), inputs, ..Node::default() };
    let axes = net.integers(&[0; 1]);
    chain(&mut net, x, 20_000, |last| operator("Unsqueeze", vec![Some(last), Some(axes)]));
    // Polynomials, quotients and extremes that double.
    for op in ["Mul", "Add", "Div", "Max", "Mod"] {
        let mixed = net.node("Sub", &[sizes, axes], vec![]);
        chain(&mut net, mixed, 20_000, |last| operator(op, vec![Some(last), Some(sizes)]));
        chain(&mut net, mixed, 20_000, |last| operator(op, vec![Some(last), Some(last)]));
    }
    let both =
        Node { attributes: vec![("axis".to_owned(), Attribute::Value(Value::Int(0)))], ..Node::default() };
    chain(&mut net, sizes, 20_000, |last| Node {
        attributes: both.attributes.clone(),
        ..operator("Concat", vec![Some(last), Some(sizes)])
    });
    let facts = net.facts();
    assert!(facts.faults.iter().all(|fault| fault.what.contains("dimensions")), "{:?}", facts.faults);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

#[test]
fn loops_within_loops_that_never_settle_end() {
    let mut graph = Graph::default();
    for depth in 0..30 {
        let mut body = Net::default();
        let step = body.value(&format!("i{depth}"));
        let go_on = body.value(&format!("c{depth}"));
        let carried = body.value(&format!("x{depth}"));
        body.graph.inputs = vec![step, go_on, carried];
        let longer = body.node("Concat", &[carried, carried], vec![("axis", Value::Int(0))]);
        let mut last = longer;
        if depth > 0 {
            last = body.value("looped");
            body.graph.nodes.push(Node {
                op: "Loop".to_owned(),
                inputs: vec![None, Some(go_on), Some(longer)],
                outputs: vec![Some(last)],
                attributes: vec![("body".to_owned(), Attribute::Graph(Box::new(std::mem::take(&mut graph))))],
                ..Node::default()
            });
        }
        body.graph.outputs = vec![go_on, last];
        graph = body.graph;
    }
    let mut net = Net::default();
    let (x, yes) = (net.image(), net.input("yes", DType::Bool, &[]));
    let output = net.value("y");
    net.graph.nodes.push(Node {
        op: "Loop".to_owned(),
        inputs: vec![None, Some(yes), Some(x)],
        outputs: vec![Some(output)],
        attributes: vec![("body".to_owned(), Attribute::Graph(Box::new(graph)))],
        ..Node::default()
    });
    let start = Instant::now();
    let facts = net.facts();
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    // Two rounds at each level are more than may be.
    assert!(facts.faults.iter().any(|fault| fault.what.contains("rounds")), "{:?}", facts.faults);
}
