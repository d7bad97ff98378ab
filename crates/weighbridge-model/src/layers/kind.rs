//! The kind of a layer, from the best witness there is: a class, an operator, or names and shapes.

use std::collections::HashMap;

use super::{keras, tensorflow, tflite};
use crate::{Attribute, Graph, Model, Module, Node, TensorId, Value, ValueId, roles};

/// The node that first uses a tensor.
pub(super) struct User<'a> {
    pub(super) path: String,
    node: &'a Node,
    graph: &'a Graph,
    weight: Option<TensorId>,
    shape: &'a [u64],
}

impl User<'_> {
    /// Whether tensors of this operator make a layer whatever their names are.
    pub(super) fn tells_path(&self) -> bool {
        self.node.domain == tflite::DOMAIN
    }
}

/// Operators whose tensors make a layer.
const LAYER_OPERATORS: &[&str] = &[
    "Conv",
    "ConvTranspose",
    "ConvInteger",
    "QLinearConv",
    "DeformConv",
    "Gemm",
    "MatMul",
    "BatchNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "SimplifiedLayerNormalization",
    "LSTM",
    "GRU",
    "RNN",
    "PRelu",
    "Gather",
    "Attention",
    "MatMulNBits",
];

/// The layer-making node that uses each initializer; the first in file order. Bodies of control flow count.
pub(super) fn graph_users(model: &Model) -> HashMap<TensorId, User<'_>> {
    let mut users = HashMap::new();
    if let Some(graph) = &model.graph {
        add_users(model, graph, HashMap::new(), &mut users);
    }
    users
}

/// Adds the users in a graph, some of whose values are tensors that were `given` to it.
fn add_users<'a>(
    model: &'a Model,
    graph: &'a Graph,
    given: HashMap<ValueId, TensorId>,
    users: &mut HashMap<TensorId, User<'a>>,
) {
    let mut tensors = given;
    tensors.extend(graph.constants());
    for node in &graph.nodes {
        let used: Vec<TensorId> =
            node.inputs.iter().flatten().filter_map(|v| tensors.get(v).copied()).collect();
        if tflite::hands_on(node) {
            if let (Some(tensor), [Some(output)]) = (used.first(), &node.outputs[..]) {
                tensors.insert(*output, *tensor);
            }
        } else if makes_layer(node) && !tflite::is_control(node) && !used.is_empty() {
            let is_tflite = node.domain == tflite::DOMAIN;
            let weight = if is_tflite { tflite::weight(model, &used) } else { None };
            for id in used {
                users.entry(id).or_insert_with(|| {
                    let path =
                        weight.map_or_else(|| node_path(graph, node), |w| model.tensor(w).name.clone());
                    User { path, node, graph, weight, shape: &model.tensor(id).shape }
                });
            }
        }
        for (_, attribute) in &node.attributes {
            if let Attribute::Graph(body) = attribute {
                add_users(model, body, tflite::given(node, body, &tensors), users);
            }
        }
    }
}

/// In Caffe and TensorFlow Lite, whatever holds tensors is a layer.
fn makes_layer(node: &Node) -> bool {
    match node.domain.as_str() {
        "caffe" | tflite::DOMAIN => true,
        tensorflow::DOMAIN => tensorflow::OPERATORS.contains(&node.op.as_str()),
        _ => LAYER_OPERATORS.contains(&node.op.as_str()),
    }
}

fn node_path(graph: &Graph, node: &Node) -> String {
    let output = || {
        let value = node.outputs.iter().flatten().next()?;
        Some(graph.values.get(value.0 as usize)?.name.clone())
    };
    if node.name.is_empty() {
        output().unwrap_or_default()
    } else {
        node.name.trim_start_matches('/').to_owned()
    }
}

/// The kind with its sizes, and whether it is a guess.
pub(super) fn of(
    model: &Model,
    module: Option<&Module>,
    user: Option<&User<'_>>,
    path: &str,
    tensors: &[TensorId],
    before: &mut Before,
) -> (String, bool) {
    let facts = Facts::of(model, tensors);
    let was = std::mem::replace(before, before.after(&facts));
    if model.format == "keras" {
        let variable = |&id: &TensorId| (model.tensor(id).name.as_str(), model.tensor(id).shape.as_slice());
        let variables: Vec<_> = tensors.iter().map(variable).collect();
        if let Some(Module { class, attributes, .. }) = module {
            return (keras::of_class(class, keras::strides(attributes), &variables), false);
        }
        if let Some(kind) = keras::of_names(&variables) {
            return (kind, true);
        }
    }
    if let Some(module) = module {
        let class = module.class.rsplit('.').next().unwrap_or(&module.class);
        return (from_class(class, module, &facts), false);
    }
    match user {
        Some(user) if user.node.domain == "caffe" => {
            let first = tensors.first().map_or(&[][..], |&id| &model.tensor(id).shape);
            (super::caffe::kind(user.node, first), false)
        }
        Some(user) if user.node.domain == tensorflow::DOMAIN && !tensorflow::is_compound(&facts.leaves) => {
            (tensorflow::of_node(user.node, user.shape), false)
        }
        Some(user) if user.node.domain == tflite::DOMAIN => {
            let weight = user.weight.map_or(&[][..], |id| &model.tensor(id).shape);
            (tflite::kind(user.node, user.graph, weight), false)
        }
        _ if model.format == tensorflow::DOMAIN => {
            let kind = tensorflow::of_names(path, &facts.leaves);
            (kind.unwrap_or_else(|| from_names(path, &facts, &was)), true)
        }
        Some(user) => (from_operator(user.node, &facts), false),
        None => (from_names(path, &facts, &was), true),
    }
}

/// What a layer's own shapes do not tell: a depthwise convolution looks like one of a single input channel,
/// and a normalization runs over as many dimensions as the network has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    /// Whether a convolution came before: only a network's first one has a single input channel.
    convolved: bool,
    /// Spatial dimensions of the network's convolutions.
    dims: usize,
}

impl Before {
    /// Before the first layer.
    pub(super) fn first(model: &Model) -> Before {
        let weights = model.tensors.iter().filter(|t| roles::split(&t.name).1 == "weight");
        let dims = weights.map(|t| t.shape.len()).find(|&n| n > 2).map_or(1, |n| n - 2);
        Before { convolved: false, dims }
    }

    fn after(self, facts: &Facts<'_>) -> Before {
        Before { convolved: self.convolved || facts.weight().len() > 2, ..self }
    }
}

/// Whether modules of torch's own name a parameter or buffer so.
pub(super) fn is_usual_leaf(name: &str) -> bool {
    const LEAVES: &[&str] =
        &["weight", "bias", "running_mean", "running_var", "num_batches_tracked", "gamma", "beta", "kernel"];
    const PREFIXES: &[&str] =
        &["weight_", "bias_", "in_proj_", "q_proj_", "k_proj_", "v_proj_", "bias_k", "bias_v"];
    LEAVES.contains(&name)
        || PREFIXES.iter().any(|p| name.starts_with(p))
        || matches!(name, "qweight" | "qzeros" | "scales" | "g_idx")
}

/// What a tensor is within its layer.
fn leaf<'a>(model: &Model, name: &'a str) -> &'a str {
    if model.format == tensorflow::DOMAIN { tensorflow::split(name).1 } else { roles::split(name).1 }
}

/// What a layer's tensors show.
struct Facts<'a> {
    leaves: HashMap<&'a str, &'a [u64]>,
    scheme: Option<&'static str>,
}

impl<'a> Facts<'a> {
    fn of(model: &'a Model, tensors: &[TensorId]) -> Self {
        let leaves = tensors
            .iter()
            .map(|&id| model.tensor(id))
            .map(|t| (leaf(model, &t.name), t.shape.as_slice()))
            .collect::<HashMap<_, _>>();
        let scheme = if leaves.contains_key("qweight") {
            Some("packed 4-bit")
        } else if leaves.contains_key("weight_scale_inv") {
            Some("FP8 blocks")
        } else if leaves.contains_key("SCB") || leaves.contains_key("absmax") {
            Some("bitsandbytes")
        } else {
            None
        };
        Facts { leaves, scheme }
    }

    /// The weight's shape: by its usual name, otherwise the shape with the most dimensions.
    fn weight(&self) -> &'a [u64] {
        let named = self.leaves.get("weight").or_else(|| self.leaves.get("qweight")).copied();
        named.unwrap_or_else(|| self.leaves.values().copied().max_by_key(|s| (s.len(), *s)).unwrap_or(&[]))
    }

    fn has(&self, leaf: &str) -> bool {
        self.leaves.contains_key(leaf)
    }
}

fn int(module: &Module, name: &str) -> Option<i64> {
    module.attributes.iter().find(|(n, _)| n == name)?.1.as_int()
}

/// A size that may be one number or a list: `3`, `3x5`; lists of equal numbers are written once.
pub(super) fn sizes(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::List(items) => {
            let numbers: Vec<i64> = items.iter().filter_map(Value::as_int).collect();
            let same = numbers.windows(2).all(|w| w[0] == w[1]);
            let shown = if same { &numbers[..1.min(numbers.len())] } else { &numbers[..] };
            Some(shown.iter().map(i64::to_string).collect::<Vec<_>>().join("x"))
        }
        other => other.as_int().map(|i| i.to_string()),
    }
}

/// The last sizes of a convolution's weight in torch's order; equal ones are written once.
pub(super) fn kernel(shape: &[u64]) -> String {
    let sizes = shape.get(2..).unwrap_or(&[]);
    if sizes.windows(2).all(|w| w[0] == w[1]) {
        sizes.first().map(u64::to_string).unwrap_or_default()
    } else {
        sizes.iter().map(u64::to_string).collect::<Vec<_>>().join("x")
    }
}

/// `in->out kK [sS] [gG]` of a convolution's weight `[out, in/groups, …]`, or transposed
/// `[in, out/groups, …]`.
pub(super) fn convolution(shape: &[u64], transposed: bool, stride: Option<String>, groups: u64) -> String {
    let (Some(&a), Some(&b)) = (shape.first(), shape.get(1)) else { return String::new() };
    let (input, output) =
        if transposed { (a, b.saturating_mul(groups)) } else { (b.saturating_mul(groups), a) };
    let mut text = format!(" {input}->{output} k{}", kernel(shape));
    if let Some(stride) = stride.filter(|s| s != "1") {
        text += &format!(" s{stride}");
    }
    if groups > 1 {
        text += &format!(" g{groups}");
    }
    text
}

fn from_class(class: &str, module: &Module, facts: &Facts<'_>) -> String {
    let weight = facts.weight();
    let attribute = |name: &str| module.attributes.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    if class.contains("Conv") && weight.len() >= 3 {
        let groups = int(module, "groups").and_then(|g| u64::try_from(g).ok()).unwrap_or(1);
        let transposed = class.contains("Transpose");
        return format!("{class}{}", convolution(weight, transposed, sizes(attribute("stride")), groups));
    }
    let pair = |a: &str, b: &str| Some((int(module, a)?, int(module, b)?));
    // The output projection within MultiheadAttention has a class of its own, for torch's internal reasons.
    let class = if class == "NonDynamicallyQuantizableLinear" { "Linear" } else { class };
    if let Some((input, hidden)) = pair("input_size", "hidden_size") {
        return format!("{class} {input}->{hidden}");
    }
    if let Some(width) = int(module, "embed_dim") {
        return format!("{class} {width}");
    }
    // Of a class that is not known, a weight is taken for what it usually is, and other tensors are not.
    match facts.leaves.get("weight").copied() {
        Some([rows, columns]) if class.contains("Embedding") => format!("{class} {rows}x{columns}"),
        Some([out, input]) => format!("{class} {input}->{out}"),
        Some([n]) => format!("{class} {n}"),
        _ => class.to_owned(),
    }
}

fn from_operator(node: &Node, facts: &Facts<'_>) -> String {
    let weight = facts.weight();
    match node.op.as_str() {
        op @ ("Conv" | "ConvTranspose") => {
            let groups = node.attribute("group").and_then(Value::as_int).unwrap_or(1).max(1) as u64;
            let stride = sizes(node.attribute("strides"));
            let dims = weight.len().saturating_sub(2);
            let transposed = op == "ConvTranspose";
            format!("{op}{dims}d{}", convolution(weight, transposed, stride, groups))
        }
        "Gemm" => match (weight, node.attribute("transB").and_then(Value::as_int)) {
            ([out, input], Some(1)) => format!("Linear {input}->{out}"),
            ([input, out], _) => format!("Linear {input}->{out}"),
            _ => "Linear".to_owned(),
        },
        "MatMul" => match weight {
            [input, out] => format!("Linear {input}->{out}"),
            _ => "MatMul".to_owned(),
        },
        "Gather" => match weight {
            [rows, columns] => format!("Embedding {rows}x{columns}"),
            _ => "Gather".to_owned(),
        },
        "BatchNormalization" => format!("BatchNorm {}", weight.first().copied().unwrap_or(0)),
        op => match weight {
            [n] => format!("{op} {n}"),
            _ => op.to_owned(),
        },
    }
}

fn from_names(path: &str, facts: &Facts<'_>, before: &Before) -> String {
    let weight = facts.weight();
    let lower = path.to_ascii_lowercase();
    let leaf = lower.rsplit('.').next().unwrap_or("");
    let kind = if facts.has("running_mean") || facts.has("running_var") {
        let dims = if before.dims <= 3 { format!("{}d", before.dims) } else { String::new() };
        format!("BatchNorm{dims} {}", facts.leaves.get("running_mean").and_then(|s| s.first()).unwrap_or(&0))
    } else if facts.has("in_proj_weight") || facts.has("q_proj_weight") {
        let width = facts.leaves.get("in_proj_weight").and_then(|s| s.get(1)).unwrap_or(&0);
        format!("MultiheadAttention {width}")
    } else if facts.has("weight_ih_l0") {
        let (rows, hidden) = (facts.leaves["weight_ih_l0"], facts.leaves.get("weight_hh_l0"));
        let hidden = hidden.and_then(|s| s.get(1)).copied().unwrap_or(0);
        let gates = rows.first().copied().unwrap_or(0).checked_div(hidden).unwrap_or(0);
        let name = match gates {
            4 => "LSTM",
            3 => "GRU",
            _ => "RNN",
        };
        format!("{name} {}->{hidden}", rows.get(1).unwrap_or(&0))
    } else {
        let says = |words: &[&str]| words.iter().any(|w| leaf.contains(w));
        match weight {
            [_, _, _, ..] if facts.leaves.len() <= 3 && (facts.has("weight") || facts.has("kernel")) => {
                // A depthwise weight [n, 1, …] has as many groups as outputs.
                let depthwise = weight[1] == 1 && weight[0] > 1 && before.convolved;
                let groups = if depthwise { weight[0] } else { 1 };
                format!("Conv{}d{}", weight.len() - 2, convolution(weight, false, None, groups))
            }
            [rows, columns] if says(&["emb", "wte", "wpe", "token"]) => format!("Embedding {rows}x{columns}"),
            [_, _] if facts.has("qweight") => "Linear".to_owned(),
            [out, input] if facts.has("weight") => format!("Linear {input}->{out}"),
            [n] if facts.has("weight") => {
                let name = if facts.has("bias") {
                    if says(&["bn"]) { "BatchNorm" } else { "LayerNorm" }
                } else if says(&["norm", "ln"]) {
                    "RMSNorm"
                } else if says(&["relu", "act"]) {
                    "PReLU"
                } else {
                    "scale"
                };
                format!("{name} {n}")
            }
            shape => {
                let shape = shape.iter().map(u64::to_string).collect::<Vec<_>>().join("x");
                format!("parameter {shape}").trim_end().to_owned()
            }
        }
    };
    match facts.scheme {
        Some(scheme) => format!("{kind} ({scheme})"),
        None => kind,
    }
}
