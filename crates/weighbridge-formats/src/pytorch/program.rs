//! The JSON of an exported program: what its inputs are, and its graph.
//!
//! Only what is used is kept, so that memory is bounded by what the text spells out.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::Value as Json;
use weighbridge_model::{Attribute, Graph, GraphValue, Node, Role, TensorId, Value, ValueId};

use crate::json;

/// A JSON object in its own order.
#[derive(Debug)]
pub struct Ordered<T>(pub Vec<(String, T)>);

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Ordered(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Vec<(String, T)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData)).map(Ordered)
    }
}

/// `ExportedProgram`.
#[derive(Deserialize)]
pub struct Program {
    graph_module: GraphModule,
    #[serde(default)]
    pub opset_version: Ordered<i64>,
    #[serde(default)]
    pub torch_version: Option<String>,
}

#[derive(Deserialize)]
struct GraphModule {
    graph: ProgramGraph,
    signature: Signature,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(default)]
    input_specs: Vec<InputSpec>,
}

/// One input of the graph: one of these is there.
#[derive(Deserialize)]
struct InputSpec {
    parameter: Option<Kept>,
    buffer: Option<Kept>,
    tensor_constant: Option<Kept>,
}

#[derive(Deserialize)]
struct Kept {
    arg: Named,
    parameter_name: Option<String>,
    buffer_name: Option<String>,
    tensor_constant_name: Option<String>,
    persistent: Option<bool>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct ProgramGraph {
    #[serde(default)]
    inputs: Vec<Argument>,
    #[serde(default)]
    outputs: Vec<Argument>,
    #[serde(default)]
    nodes: Vec<ProgramNode>,
}

#[derive(Deserialize)]
struct ProgramNode {
    target: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Argument>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    arg: Argument,
}

/// An argument, of which one field is there; other kinds are kept as none.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Argument {
    as_tensor: Option<Named>,
    as_tensors: Option<Vec<Named>>,
    as_int: Option<i64>,
    as_ints: Option<Vec<i64>>,
    /// Infinities and NaN are strings.
    as_float: Option<Json>,
    as_floats: Option<Vec<Json>>,
    as_bool: Option<bool>,
    as_bools: Option<Vec<bool>>,
    as_string: Option<String>,
    as_strings: Option<Vec<String>>,
}

impl Argument {
    fn tensors(&self) -> impl Iterator<Item = &Named> {
        self.as_tensor.iter().chain(self.as_tensors.iter().flatten())
    }

    fn value(&self) -> Option<Value> {
        let list = |items: Vec<Value>| Value::List(items);
        None.or(self.as_int.map(Value::Int))
            .or(self.as_float.clone().map(json::value))
            .or(self.as_bool.map(Value::Bool))
            .or(self.as_string.clone().map(Value::Str))
            .or(self.as_ints.as_ref().map(|l| list(l.iter().copied().map(Value::Int).collect())))
            .or(self.as_floats.as_ref().map(|l| list(l.iter().cloned().map(json::value).collect())))
            .or(self.as_bools.as_ref().map(|l| list(l.iter().copied().map(Value::Bool).collect())))
            .or(self.as_strings.as_ref().map(|l| list(l.iter().cloned().map(Value::Str).collect())))
    }
}

impl InputSpec {
    /// The graph's name, the tensor's name, its role, and whether `state_dict()` has it.
    fn kept(&self) -> Option<(&str, &str, Role, bool)> {
        if let Some(p) = &self.parameter {
            return Some((&p.arg.name, p.parameter_name.as_deref()?, Role::Parameter, true));
        }
        if let Some(b) = &self.buffer {
            let persistent = b.persistent.unwrap_or(true);
            return Some((&b.arg.name, b.buffer_name.as_deref()?, Role::Buffer, persistent));
        }
        let c = self.tensor_constant.as_ref()?;
        Some((&c.arg.name, c.tensor_constant_name.as_deref()?, Role::Constant, false))
    }
}

impl Program {
    /// Roles by tensor, as the signature tells them, and whether `state_dict()` has the tensor.
    pub fn roles(&self) -> HashMap<&str, (Role, bool)> {
        let specs = &self.graph_module.signature.input_specs;
        specs.iter().filter_map(InputSpec::kept).map(|(_, name, role, kept)| (name, (role, kept))).collect()
    }

    /// The graph, in the operators of torch; `tensor` finds a tensor by its name.
    pub fn graph(&self, tensor: impl Fn(&str) -> Option<TensorId>) -> Graph {
        let mut graph = Graph::default();
        let mut ids: HashMap<String, ValueId> = HashMap::new();
        let source = &self.graph_module.graph;
        let mut value = |graph: &mut Graph, name: &str| {
            if let Some(&id) = ids.get(name) {
                return id;
            }
            let id = ValueId(graph.values.len() as u32);
            graph.values.push(GraphValue { name: name.to_owned(), ..GraphValue::default() });
            ids.insert(name.to_owned(), id);
            id
        };
        for named in source.inputs.iter().flat_map(Argument::tensors) {
            let id = value(&mut graph, &named.name);
            graph.inputs.push(id);
        }
        for (argument, name, ..) in self.graph_module.signature.input_specs.iter().filter_map(InputSpec::kept)
        {
            if let Some(tensor) = tensor(name) {
                let id = value(&mut graph, argument);
                graph.initializers.push((id, tensor));
            }
        }
        for node in &source.nodes {
            let (domain, op) = operator(&node.target);
            let mut built = Node {
                name: node.name.clone().unwrap_or_default(),
                domain: domain.to_owned(),
                op: op.to_owned(),
                ..Node::default()
            };
            for input in &node.inputs {
                for named in input.arg.tensors() {
                    built.inputs.push(Some(value(&mut graph, &named.name)));
                }
                if let Some(plain) = input.arg.value() {
                    built.attributes.push((input.name.clone(), Attribute::Value(plain)));
                }
            }
            for named in node.outputs.iter().flat_map(Argument::tensors) {
                built.outputs.push(Some(value(&mut graph, &named.name)));
            }
            graph.nodes.push(built);
        }
        for named in source.outputs.iter().flat_map(Argument::tensors) {
            let id = value(&mut graph, &named.name);
            graph.outputs.push(id);
        }
        graph.opsets.clone_from(&self.opset_version.0);
        graph
    }
}

/// Domain and name of `torch.ops.aten.conv2d.default`: `aten` and `conv2d.default`.
fn operator(target: &str) -> (&str, &str) {
    target.strip_prefix("torch.ops.").and_then(|rest| rest.split_once('.')).unwrap_or(("", target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_have_the_domain_of_their_library() {
        assert_eq!(operator("torch.ops.aten.add.Tensor"), ("aten", "add.Tensor"));
        assert_eq!(operator("_operator.getitem"), ("", "_operator.getitem"));
    }

    #[test]
    fn a_program_with_kinds_of_arguments_that_are_new_is_read() {
        let text = r#"{"graph_module":{"graph":{"inputs":[{"as_tensor":{"name":"p_w"}}],"nodes":[{"target":"torch.ops.aten.t.default",
            "inputs":[{"name":"self","arg":{"as_tensor":{"name":"p_w"}},"kind":1},{"name":"n","arg":{"as_new":{"x":[1]}}},
            {"name":"dims","arg":{"as_ints":[1,0]}}],"outputs":[{"as_tensor":{"name":"t"}}]}],"outputs":[{"as_tensor":{"name":"t"}}]},
            "signature":{"input_specs":[{"parameter":{"arg":{"name":"p_w"},"parameter_name":"w"}},{"token":{}}]}},"opset_version":{"aten":10}}"#;
        let program: Program = serde_json::from_str(text).unwrap();
        assert_eq!(program.roles()["w"], (Role::Parameter, true));
        let graph = program.graph(|name| (name == "w").then_some(TensorId(7)));
        assert_eq!(graph.initializers, [(ValueId(0), TensorId(7))]);
        assert_eq!((graph.nodes[0].inputs.len(), graph.nodes[0].attributes.len()), (1, 1));
        assert_eq!(graph.outputs, [ValueId(1)]);
    }
}
