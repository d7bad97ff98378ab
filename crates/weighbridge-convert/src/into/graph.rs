//! What graphs tell: at which place a tensor is used, as what, and how its dimensions lie.

use std::collections::{HashMap, HashSet};

use weighbridge_model::layers::{caffe_setting, caffe_type};
use weighbridge_model::{Dim, Graph, Model, Node, TensorId, Value, ValueId};

use super::kinds::{Kind, Order};
use super::names::{self, Slot};
use super::tensorflow;

/// How a graph uses a tensor.
#[derive(Debug, Clone, Default)]
pub(super) struct Use {
    /// The path of the layer, where nodes are named after modules.
    pub(super) path: Option<String>,
    pub(super) slot: Option<Slot>,
    pub(super) kind: Kind,
    pub(super) order: Option<Order>,
    /// The first node that uses it.
    pub(super) place: usize,
    /// As in [`super::subject::Subject`].
    pub(super) flattened: Option<Option<u64>>,
    /// Names under which an Identity hands it on.
    pub(super) aliases: Vec<String>,
}

/// The uses of a model's tensors by the nodes of its graph; of several, the first that makes a layer.
pub(super) fn uses(model: &Model) -> HashMap<TensorId, Use> {
    let Some(graph) = &model.graph else { return HashMap::new() };
    if graph.nodes.iter().any(|n| n.domain == "caffe") {
        return caffe_uses(model, graph);
    }
    if model.format == "tensorflow" {
        return tensorflow::uses(model, graph);
    }
    let mut found: HashMap<TensorId, Use> = HashMap::new();
    let mut aliases: HashMap<TensorId, Vec<String>> = HashMap::new();
    // Values that are a tensor: itself, or transposed on its way.
    let mut is: HashMap<ValueId, (TensorId, bool)> =
        graph.constants().into_iter().map(|(v, t)| (v, (t, false))).collect();
    let edges = Edges::of(graph);
    for (place, node) in graph.nodes.iter().enumerate() {
        let output = node.outputs.first().copied().flatten();
        if let (Some(Some(input)), Some(output)) = (node.inputs.first(), output)
            && let Some(&(tensor, turned)) = is.get(input)
        {
            let rank = model.tensor(tensor).shape.len();
            match node.op.as_str() {
                "Identity" | "Cast" | "DequantizeLinear" | "DEQUANTIZE" => {
                    is.insert(output, (tensor, turned));
                    if node.op == "Identity"
                        && let Some(value) = graph.values.get(output.0 as usize)
                    {
                        aliases.entry(tensor).or_default().push(value.name.clone());
                    }
                    continue;
                }
                "Transpose" if rank == 2 && swaps(node) => {
                    is.insert(output, (tensor, !turned));
                    continue;
                }
                _ => {}
            }
        }
        for (index, input) in node.inputs.iter().enumerate() {
            let Some(&(tensor, turned)) = input.as_ref().and_then(|v| is.get(v)) else { continue };
            let this = of_input(node, index, turned, place, &edges);
            let seen = found.entry(tensor).or_insert_with(|| Use { place, ..Use::default() });
            if seen.slot.is_none() && this.slot.is_some() {
                *seen = Use { place: seen.place, ..this };
            } else if this.slot.is_some() && this.order != seen.order {
                // Used both ways round: no order to go by.
                seen.order = None;
            }
        }
    }
    for (tensor, names) in aliases {
        found.entry(tensor).or_default().aliases = names;
    }
    found
}

/// Whether a Transpose swaps the two dimensions of a matrix.
fn swaps(node: &Node) -> bool {
    match node.attribute("perm") {
        None => true,
        Some(Value::List(axes)) => axes.iter().filter_map(Value::as_int).eq([1, 0]),
        Some(_) => false,
    }
}

/// Who makes and who reads the values of a graph.
struct Edges<'a> {
    graph: &'a Graph,
    given: HashSet<ValueId>,
    maker: HashMap<ValueId, &'a Node>,
    readers: HashMap<ValueId, Vec<&'a Node>>,
}

impl<'a> Edges<'a> {
    fn of(graph: &'a Graph) -> Self {
        let (mut maker, mut readers) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for node in &graph.nodes {
            maker.extend(node.outputs.iter().flatten().map(|&v| (v, node)));
            node.inputs.iter().flatten().for_each(|&v| readers.entry(v).or_default().push(node));
        }
        Edges { graph, given: graph.initializers.iter().map(|(v, _)| *v).collect(), maker, readers }
    }

    fn name(&self, value: ValueId) -> Option<&'a str> {
        self.graph.values.get(value.0 as usize).map(|v| v.name.as_str())
    }
}

fn of_input(node: &Node, index: usize, turned: bool, place: usize, edges: &Edges<'_>) -> Use {
    let int = |name: &str| node.attribute(name).and_then(Value::as_int).unwrap_or(0);
    // A matrix `[in, out]`, unless it is turned round.
    let columns = |turned: bool| Some(if turned { Order::Torch } else { Order::Keras });
    let torch = Some(Order::Torch);
    let (kind, slot, order) = match (node.op.as_str(), index) {
        ("Conv" | "ConvInteger" | "FusedConv", 1) | ("DeformConv", 1) => (Kind::Conv, Slot::Weight, torch),
        ("Conv" | "FusedConv", 2) => (Kind::Conv, Slot::Bias, None),
        ("ConvTranspose", 1) => (Kind::Transposed, Slot::Weight, torch),
        ("ConvTranspose", 2) => (Kind::Transposed, Slot::Bias, None),
        ("Gemm" | "FusedGemm", 1) => (Kind::Linear, Slot::Weight, columns((int("transB") != 0) != turned)),
        // The weight times a column: its rows are the outputs.
        ("Gemm" | "FusedGemm", 0) => (Kind::Linear, Slot::Weight, columns((int("transA") == 0) != turned)),
        ("Gemm" | "FusedGemm", 2) => (Kind::Linear, Slot::Bias, None),
        ("MatMul" | "FusedMatMul", 1) => (Kind::Linear, Slot::Weight, columns(turned)),
        ("MatMul" | "FusedMatMul", 0) => (Kind::Linear, Slot::Weight, columns(!turned)),
        ("BatchNormalization", 1) => (Kind::Norm, Slot::Weight, None),
        ("BatchNormalization", 2) => (Kind::Norm, Slot::Bias, None),
        ("BatchNormalization", 3) => (Kind::Norm, Slot::Mean, None),
        ("BatchNormalization", 4) => (Kind::Norm, Slot::Variance, None),
        ("InstanceNormalization" | "LayerNormalization" | "GroupNormalization" | "RMSNormalization", 1) => {
            (Kind::Norm, Slot::Weight, None)
        }
        ("InstanceNormalization" | "LayerNormalization" | "GroupNormalization", 2) => {
            (Kind::Norm, Slot::Bias, None)
        }
        ("PRelu", 1) => (Kind::Unknown, Slot::Weight, None),
        ("Gather", 0) => (Kind::Embedding, Slot::Weight, torch.filter(|_| !turned)),
        ("LSTM" | "GRU" | "RNN", 1..8) => (Kind::Recurrent, Slot::Other(format!("input {index}")), None),
        ("Add", 0..2) if node.name.ends_with("/Add") => (Kind::Unknown, Slot::Bias, None),
        ("CONV_2D", 1) => (Kind::Conv, Slot::Weight, Some(Order::Lite)),
        ("TRANSPOSE_CONV", 1) => (Kind::Transposed, Slot::Weight, Some(Order::Lite)),
        ("DEPTHWISE_CONV_2D", 1) => (Kind::Depthwise, Slot::Weight, Some(Order::Lite)),
        ("FULLY_CONNECTED", 1) => (Kind::Linear, Slot::Weight, torch),
        ("CONV_2D" | "DEPTHWISE_CONV_2D" | "FULLY_CONNECTED", 2) => (Kind::Unknown, Slot::Bias, None),
        _ => return Use { place, ..Use::default() },
    };
    let path = names::of_node(&node.name).or_else(|| of_output(node, edges));
    let weight = slot == Slot::Weight && matches!(kind, Kind::Linear | Kind::Conv | Kind::Transposed);
    let path = path.or_else(|| weight.then(|| of_bias(node, edges)).flatten());
    let dense = node.op == "FULLY_CONNECTED" && index == 1;
    let flattened = dense.then(|| behind_picture(node, edges)).flatten();
    Use { path, slot: Some(slot), kind, order, place, flattened, aliases: Vec::new() }
}

/// The channels of the picture of more than a point that a layer's input is reshaped from, in TensorFlow Lite.
fn behind_picture(node: &Node, edges: &Edges<'_>) -> Option<Option<u64>> {
    let input = node.inputs.first().copied().flatten()?;
    let reshape = edges.maker.get(&input).filter(|n| n.op == "RESHAPE");
    let from = reshape.and_then(|n| n.inputs.first().copied().flatten()).unwrap_or(input);
    match edges.graph.values.get(from.0 as usize)?.shape.as_deref()? {
        [_, Dim::Known(1), Dim::Known(1), _] => None,
        [_, _, _, Dim::Known(channels)] => Some(Some(*channels)),
        [_, _, _, _] => Some(None),
        _ => None,
    }
}

/// torch's exporters also name outputs after modules where nodes have no name.
fn of_output(node: &Node, edges: &Edges<'_>) -> Option<String> {
    let output = node.outputs.first().copied().flatten()?;
    names::of_node(edges.name(output)?)
}

/// The layer of the bias that is added to what a node makes, by the bias' own name: exporters that turn a matrix round
/// rename it, and leave the bias as it is.
fn of_bias(node: &Node, edges: &Edges<'_>) -> Option<String> {
    let name = |value: ValueId| edges.name(value).filter(|_| edges.given.contains(&value));
    let layer = |value: &Option<ValueId>| match names::path_and_slot(name((*value)?)?) {
        (path, Slot::Bias) if !path.is_empty() => Some(path),
        _ => None,
    };
    if let Some(path) = node.inputs.get(2).and_then(layer) {
        return Some(path);
    }
    let output = node.outputs.first().copied().flatten()?;
    match edges.readers.get(&output).map(Vec::as_slice) {
        Some([add]) if add.op == "Add" => add.inputs.iter().find_map(layer),
        _ => None,
    }
}

/// What the layers of a Caffe net are: by name.
pub(super) fn caffe_layers(model: &Model) -> HashMap<&str, Use> {
    let Some(graph) = &model.graph else { return HashMap::new() };
    // Which layer makes a value: of a Scale behind a BatchNorm, the two are one normalization elsewhere.
    let mut makers: HashMap<ValueId, &Node> = HashMap::new();
    let mut layers = HashMap::new();
    for (place, node) in graph.nodes.iter().enumerate().filter(|(_, n)| n.domain == "caffe") {
        let torch = Some(Order::Torch);
        let (kind, order) = match caffe_type(&node.op) {
            "InnerProduct" => {
                let turned = caffe_setting(node, "inner_product_param", "transpose");
                let turned = turned == Some(&Value::Bool(true));
                (Kind::Linear, Some(if turned { Order::Keras } else { Order::Torch }))
            }
            "Embed" => (Kind::Embedding, torch),
            "BatchNorm" | "BN" | "Scale" | "Normalize" => (Kind::Norm, None),
            "LSTM" | "RNN" => (Kind::Recurrent, None),
            kind if kind.contains("Deconvolution") => (Kind::Transposed, torch),
            kind if kind.contains("Convolution") => (Kind::Conv, torch),
            _ => (Kind::Unknown, None),
        };
        let before = node.inputs.first().copied().flatten().and_then(|v| makers.get(&v));
        let behind = before.filter(|b| caffe_type(&b.op) == "BatchNorm" && caffe_type(&node.op) == "Scale");
        let path = behind.map(|b| names::segments(&b.name).join("."));
        layers.entry(node.name.as_str()).or_insert(Use { path, kind, order, place, ..Use::default() });
        makers.extend(node.outputs.iter().flatten().map(|&v| (v, node)));
    }
    layers
}

/// Most tensors of a Caffe layer that are told by it: each takes its path along.
const BLOBS: usize = 16;

fn caffe_uses(model: &Model, graph: &Graph) -> HashMap<TensorId, Use> {
    let layers = caffe_layers(model);
    let tensors: HashMap<ValueId, TensorId> = graph.initializers.iter().copied().collect();
    let mut found = HashMap::new();
    for node in &graph.nodes {
        let Some(layer) = layers.get(node.name.as_str()) else { continue };
        for tensor in node.inputs.iter().flatten().filter_map(|v| tensors.get(v)).take(BLOBS) {
            found.entry(*tensor).or_insert_with(|| layer.clone());
        }
    }
    found
}
