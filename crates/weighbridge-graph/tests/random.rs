//! Random graphs: whatever the passes make of one, it computes the same.
//!
//! Elements are small whole numbers, so that no order of additions and products changes a result.

use std::collections::HashMap;

use proptest::prelude::*;
use weighbridge_graph::build::Builder;
use weighbridge_graph::eval::{Array, Call, Data, operator};
use weighbridge_graph::passes::{Choice, PASSES, simplify};
use weighbridge_model::{Attribute, DType, Dim, Graph, Model, Node, Program, Value, ValueId};

/// What one step is made from: an operator, and what it is told to choose.
type Step = (u8, u16, u16, u16);

/// Elements of the largest value.
const MOST: usize = 64;

/// A graph that grows, and what each of its values is.
struct Grown<'a> {
    builder: Builder<'a>,
    pool: Vec<(ValueId, Array)>,
}

impl Grown<'_> {
    fn ints(&mut self, elements: &[i64]) -> ValueId {
        self.builder.integers("list", vec![elements.len() as u64], elements).unwrap()
    }

    /// A node, unless what it gives is not known, too large, or beyond what is exact.
    fn node(&mut self, op: &str, inputs: &[(ValueId, Array)], attributes: Vec<(&str, Value)>) {
        let attributes: Vec<_> =
            attributes.into_iter().map(|(k, v)| (k.to_owned(), Attribute::Value(v))).collect();
        let node = Node { op: op.into(), attributes, ..Node::default() };
        let inputs_of = inputs.iter().map(|(_, array)| Some(array)).collect();
        let tensor = |_| None;
        let call = Call { node: &node, opset: 17, inputs: inputs_of, tensor: &tensor };
        let Ok(results) = operator(op).unwrap()(&call) else { return };
        let exact = |array: &Array| match &array.data {
            Data::Ints(all) => all.iter().all(|i| i.abs() < 1 << 20),
            Data::Floats(all) => all.iter().all(|x| x.abs() < f64::from(1 << 20) && x.fract() == 0.0),
        };
        if results.iter().any(|array| array.count() > MOST || array.count() == 0 || !exact(array)) {
            return;
        }
        let outputs: Vec<ValueId> =
            results.iter().map(|_| self.builder.value(&format!("{op}_out"))).collect();
        let node = Node {
            name: format!("n{}", outputs[0].0),
            inputs: inputs.iter().map(|(id, _)| Some(*id)).collect(),
            outputs: outputs.iter().copied().map(Some).collect(),
            ..node
        };
        self.builder.graph.nodes.push(node);
        self.pool.extend(outputs.into_iter().zip(results));
    }

    fn constant(&mut self, elements: &[i64]) -> (ValueId, Array) {
        let id = self.ints(elements);
        (id, Array::ints(DType::I64, vec![elements.len()], elements.to_vec()))
    }

    fn step(&mut self, (op, a, b, c): Step) {
        let x = self.pool[a as usize % self.pool.len()].clone();
        let y = self.pool[b as usize % self.pool.len()].clone();
        let (shape, rank) = (x.1.shape.clone(), x.1.shape.len());
        let axis = |n: u16| if rank == 0 { 0 } else { i64::from(n) % rank as i64 };
        let list = |numbers: Vec<i64>| Value::List(numbers.into_iter().map(Value::Int).collect());
        match op % 24 {
            0 => self.node(["Neg", "Abs", "Relu", "Identity"][c as usize % 4], &[x], vec![]),
            1 | 2 => self.node(["Add", "Sub", "Mul", "Max", "Min"][c as usize % 5], &[x, y], vec![]),
            3 | 4 => {
                let mut perm: Vec<i64> = (0..rank as i64).collect();
                for i in (1..rank).rev() {
                    perm.swap(i, (b as usize + c as usize * i) % (i + 1));
                }
                self.node("Transpose", &[x], vec![("perm", list(perm))]);
            }
            5 => {
                let (front, count) = (1 + i64::from(b % 4), x.1.count() as i64);
                let sizes = match c % 4 {
                    0 => vec![-1],
                    1 => vec![front, -1],
                    2 if rank > 0 => vec![0, -1],
                    _ => vec![1, count, 1],
                };
                let sizes = self.constant(&sizes);
                self.node("Reshape", &[x, sizes], vec![]);
            }
            6 => {
                // A tangle of the kind that exporters make.
                self.node("Shape", &[y], vec![]);
                let sizes = self.pool.last().unwrap().clone();
                self.node("Reshape", &[x, sizes], vec![]);
            }
            7 => {
                let axes = self.constant(&[i64::from(b) % (rank as i64 + 1)]);
                self.node("Unsqueeze", &[x, axes], vec![]);
            }
            8 => {
                let axes = self.constant(&[axis(b)]);
                self.node("Squeeze", &[x, axes], vec![]);
            }
            9 | 10 => {
                let size = shape.get(axis(b) as usize).copied().unwrap_or(1) as i64;
                let from = i64::from(c % 3) * i64::from(c % 5 == 0);
                let to = if c % 2 == 0 { i64::MAX } else { size - i64::from(c % 4 == 1) };
                let (from, to) = (self.constant(&[from]), self.constant(&[to]));
                let axes = self.constant(&[axis(b)]);
                self.node("Slice", &[x, from, to, axes], vec![]);
            }
            11 | 12 => self.node("Concat", &[x, y], vec![("axis", Value::Int(axis(c)))]),
            13 => {
                let sizes: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
                let sizes = match c % 3 {
                    0 => sizes,
                    1 => vec![1; rank],
                    _ => [&[2][..], &sizes].concat(),
                };
                let sizes = self.constant(&sizes);
                self.node("Expand", &[x, sizes], vec![]);
            }
            14 => {
                let at = self.constant(&[i64::from(c % 2), 0]);
                self.node("Gather", &[x, at], vec![("axis", Value::Int(axis(b)))]);
            }
            15 => self.node("Flatten", &[x], vec![("axis", Value::Int(axis(b)))]),
            16 => {
                let to = [1, 7, 11, 6][c as usize % 4];
                self.node("Cast", &[x], vec![("to", Value::Int(to))]);
            }
            17 => {
                let repeats: Vec<i64> = (0..rank).map(|i| 1 + i64::from(c >> i & 1)).collect();
                let repeats = self.constant(&repeats);
                self.node("Tile", &[x, repeats], vec![]);
            }
            18 => {
                let pads: Vec<i64> = (0..2 * rank).map(|i| i64::from(c >> i & 1)).collect();
                let pads = self.constant(&pads);
                self.node("Pad", &[x, pads], vec![]);
            }
            19 => {
                let keep = ("keepdims", Value::Int(i64::from(c % 2)));
                self.node("ReduceMax", &[x], vec![("axes", list(vec![axis(b)])), keep]);
            }
            20 => {
                let id = self.builder.floats("number", vec![1], &[f32::from(c % 3)]).unwrap();
                let number = Array::floats(DType::F32, vec![1], vec![f64::from(c % 3)]);
                self.node(["Add", "Mul", "Sub"][b as usize % 3], &[x, (id, number)], vec![]);
            }
            21 => {
                let (yes, no) = (x, y);
                self.node("Greater", &[yes.clone(), no.clone()], vec![]);
                let condition = self.pool.last().unwrap().clone();
                if condition.1.dtype == DType::Bool {
                    self.node("Where", &[condition, yes, no], vec![]);
                }
            }
            22 => {
                let id = self.builder.floats("low", vec![], &[f32::from(c % 3) - 1.0]).unwrap();
                let low = Array::floats(DType::F32, vec![], vec![f64::from(c % 3) - 1.0]);
                self.node("Clip", &[x, (id, low)], vec![]);
            }
            _ => self.node("Shape", &[x], vec![]),
        }
    }
}

/// A model of these steps, its inputs, and what its outputs must be.
fn grow(steps: &[Step], outputs: &[u16], open: bool) -> (Model, HashMap<String, Array>) {
    let mut model = Model { format: "onnx", ..Model::default() };
    let program = Program { ir_version: Some(8), ..Program::default() };
    let mut graph =
        Graph { opsets: vec![(String::new(), 17)], program: Some(Box::new(program)), ..Graph::default() };
    let mut grown = Grown { builder: Builder::new(&mut model, &mut graph), pool: Vec::new() };
    for (name, shape) in [("x", vec![2, 3]), ("z", vec![1, 2, 2, 3])] {
        let id = grown.builder.value(name);
        let value = &mut grown.builder.graph.values[id.0 as usize];
        value.dtype = Some(DType::F32);
        let dim = |(i, &n): (usize, &usize)| match i {
            0 if open => Dim::Symbol(format!("N_{name}")),
            _ => Dim::Known(n as u64),
        };
        value.shape = Some(shape.iter().enumerate().map(dim).collect());
        grown.builder.graph.inputs.push(id);
        let count = shape.iter().product::<usize>();
        let elements = (0..count).map(|i| (i as f64 * 5.0) % 7.0 - 3.0).collect();
        grown.pool.push((id, Array::floats(DType::F32, shape, elements)));
    }
    let id = grown.builder.floats("w", vec![2, 3], &[1.0, -2.0, 0.0, 3.0, 2.0, -1.0]).unwrap();
    let array = Array::floats(DType::F32, vec![2, 3], vec![1.0, -2.0, 0.0, 3.0, 2.0, -1.0]);
    grown.pool.push((id, array));
    steps.iter().for_each(|step| grown.step(*step));
    let known: HashMap<String, Array> = grown
        .pool
        .iter()
        .map(|(id, array)| (grown.builder.graph.value(*id).name.clone(), array.clone()))
        .collect();
    let made = grown.pool[3..].to_vec();
    let mut asked: Vec<ValueId> =
        outputs.iter().filter_map(|&n| made.get(n as usize % made.len().max(1))).map(|m| m.0).collect();
    asked.extend(made.last().map(|(id, _)| *id));
    asked.sort_unstable();
    asked.dedup();
    graph.outputs = asked;
    model.graph = Some(graph);
    (model, known)
}

/// What a graph's outputs are, by name.
fn outputs(model: &Model, known: &HashMap<String, Array>) -> Vec<(String, Array)> {
    let graph = model.graph.as_ref().unwrap();
    let mut values: HashMap<ValueId, Array> = HashMap::new();
    for &id in &graph.inputs {
        values.insert(id, known[&graph.value(id).name].clone());
    }
    for &(id, tensor) in &graph.initializers {
        values.insert(id, Array::read(model.tensor(tensor)).unwrap().unwrap());
    }
    for node in &graph.nodes {
        let inputs = node.inputs.iter().map(|input| input.map(|id| &values[&id])).collect();
        let tensor = |id| Array::read(model.tensor(id)).unwrap();
        let call = Call { node, opset: 17, inputs, tensor: &tensor };
        let results = operator(&node.op).unwrap_or_else(|| panic!("{}", node.op))(&call);
        let results = results.unwrap_or_else(|why| panic!("{} {}: {why}", node.op, node.name));
        values.extend(node.outputs.iter().zip(results).filter_map(|(id, array)| Some(((*id)?, array))));
    }
    graph.outputs.iter().map(|id| (graph.value(*id).name.clone(), values[id].clone())).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any::<Step>(), 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn simplified_graphs_compute_the_same(
        steps in steps(), asked in prop::collection::vec(any::<u16>(), 0..3), open: bool, only in any::<Option<u8>>(),
    ) {
        let (mut model, known) = grow(&steps, &asked, open);
        prop_assume!(!model.graph.as_ref().unwrap().outputs.is_empty());
        let mut choice = Choice { also: vec!["fold-bn".into(), "reparameterize".into()], ..Choice::default() };
        if let Some(only) = only {
            choice.only = vec![PASSES[only as usize % PASSES.len()].name().into()];
        }
        let names: Vec<String> = outputs(&model, &known).into_iter().map(|(name, _)| name).collect();
        let report = simplify(&mut model, &choice).unwrap();
        let after = outputs(&model, &known);
        prop_assert_eq!(names.len(), after.len());
        for (name, (now, array)) in names.iter().zip(&after) {
            prop_assert_eq!(name, now);
            prop_assert_eq!(&known[name], array, "{} by {:?}", name, report.applied);
        }
        // No valid graph contradicts itself.
        prop_assert!(report.refused.iter().all(|refusal| refusal.pass != "all"), "{:?}", report.refused);
    }
}
