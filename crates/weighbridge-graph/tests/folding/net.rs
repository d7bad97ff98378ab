//! Small graphs, put together by name.

use std::collections::HashMap;

use weighbridge_graph::build::in_memory;
use weighbridge_graph::fold::values;
use weighbridge_graph::passes::{Choice, Report, simplify};
use weighbridge_model::{
    Attribute, DType, Dim, Graph, GraphValue, Model, Node, Program, TensorId, Value, ValueId,
};

/// A graph of which values are known by name.
pub struct Net {
    model: Model,
    graph: Graph,
    ids: HashMap<String, ValueId>,
}

impl Net {
    pub fn new(inputs: &[(&str, &[u64])]) -> Self {
        let graph = Graph {
            opsets: vec![(String::new(), 17)],
            program: Some(Box::new(Program::default())),
            ..Graph::default()
        };
        let mut net = Net { model: Model::default(), graph, ids: HashMap::new() };
        for (name, shape) in inputs {
            let id = net.id(name);
            let value = &mut net.graph.values[id.0 as usize];
            value.dtype = Some(DType::F32);
            value.shape = Some(shape.iter().map(|&n| Dim::Known(n)).collect());
            net.graph.inputs.push(id);
        }
        net
    }

    fn id(&mut self, name: &str) -> ValueId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let id = ValueId(self.graph.values.len() as u32);
        self.graph.values.push(GraphValue { name: name.to_owned(), ..GraphValue::default() });
        self.ids.insert(name.to_owned(), id);
        id
    }

    pub fn tensor(&mut self, name: &str, dtype: DType, shape: &[u64], elements: &[f64]) {
        let mut bytes = Vec::new();
        elements.iter().for_each(|&x| weighbridge_model::dtype::push(dtype, x, &mut bytes));
        let tensor = in_memory(name, dtype, shape.to_vec(), bytes).unwrap();
        let id = self.model.push(tensor);
        let value = self.id(name);
        self.graph.initializers.push((value, id));
    }

    /// An initializer of F32 with elements that begin at `from` and grow by one.
    pub fn weight(&mut self, name: &str, shape: &[u64], from: f64) {
        let count: u64 = shape.iter().product();
        let elements: Vec<f64> = (0..count).map(|i| from + i as f64).collect();
        self.tensor(name, DType::F32, shape, &elements);
    }

    /// Scale 2 and shift 1 in each channel, as near as no matter.
    pub fn norm(&mut self, name: &str, from: &str, to: &str, channels: u64) {
        let n = channels as usize;
        for (leaf, x) in [("gamma", 4.0), ("beta", 3.0), ("mean", 1.0), ("var", 4.0)] {
            self.tensor(&format!("{name}.{leaf}"), DType::F32, &[channels], &vec![x; n]);
        }
        let inputs: Vec<String> =
            ["gamma", "beta", "mean", "var"].iter().map(|leaf| format!("{name}.{leaf}")).collect();
        let mut all = vec![from];
        all.extend(inputs.iter().map(String::as_str));
        self.node("BatchNormalization", name, &all, &[to], vec![("epsilon", Value::Float(0.0))]);
    }

    pub fn node(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<(&str, Value)>,
    ) -> &mut Node {
        let inputs = inputs.iter().map(|name| Some(self.id(name))).collect();
        let outputs = outputs.iter().map(|name| Some(self.id(name))).collect();
        let attributes = attributes.into_iter().map(|(k, v)| (k.to_owned(), Attribute::Value(v))).collect();
        let (op, name) = (op.to_owned(), name.to_owned());
        self.graph.nodes.push(Node { op, name, inputs, outputs, attributes, ..Node::default() });
        self.graph.nodes.last_mut().unwrap()
    }

    pub fn input(&mut self, name: &str) {
        let id = self.id(name);
        self.graph.inputs.push(id);
    }

    /// Runs a pass, the graph's outputs being these.
    pub fn run(mut self, outputs: &[&str], pass: &str) -> Done {
        self.graph.outputs = outputs.iter().map(|name| self.id(name)).collect();
        self.model.graph = Some(self.graph);
        let choice = Choice { only: vec![pass.to_owned()], ..Choice::default() };
        let report = simplify(&mut self.model, &choice).unwrap();
        Done { model: self.model, report }
    }
}

/// What a pass left.
pub struct Done {
    pub model: Model,
    pub report: Report,
}

impl Done {
    pub fn graph(&self) -> &Graph {
        self.model.graph.as_ref().unwrap()
    }

    /// Operators in order.
    pub fn ops(&self) -> Vec<&str> {
        self.graph().nodes.iter().map(|node| node.op.as_str()).collect()
    }

    /// Input number `slot` of node number `node`: its elements.
    pub fn constant(&self, node: usize, slot: usize) -> Vec<f64> {
        let value = self.graph().nodes[node].inputs[slot].unwrap();
        let found = self.graph().initializers.iter().find(|(v, _)| *v == value);
        let id: TensorId = found.expect("an initializer").1;
        values(self.model.tensor(id)).unwrap()
    }

    /// Names of the initializers that nodes read.
    pub fn read(&self) -> Vec<&str> {
        let graph = self.graph();
        let read = |value: &ValueId| graph.nodes.iter().any(|node| node.inputs.contains(&Some(*value)));
        let values = graph.initializers.iter().map(|(value, _)| value);
        values.filter(|value| read(value)).map(|&value| graph.value(value).name.as_str()).collect()
    }

    /// The reasons that were given.
    pub fn reasons(&self) -> String {
        self.report.refused.iter().map(|r| format!("{}: {}\n", r.node, r.why)).collect()
    }
}

pub fn ints(list: &[i64]) -> Value {
    Value::List(list.iter().map(|&n| Value::Int(n)).collect())
}
