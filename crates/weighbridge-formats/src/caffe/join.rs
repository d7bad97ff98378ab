//! A net and its weights from two files: the text says what the layers are, the binary gives their blobs.
//!
//! Caffe matches them by layer name alone. A layer that the text lacks is left out; one that the weights lack keeps
//! what it was filled with; where blobs do not fit, Caffe stops. Here all of it is said, and what is there is shown.

use std::collections::HashMap;

use weighbridge_model::layers::caffe_type;
use weighbridge_model::{Error, Finding, Model, Result, Severity, Value};

use super::names::{blob_name, full};
use super::net::{Layer, Net};
use super::settings::each;
use super::sniff::{self, What};
use super::{binary, from_text, hdf5};
use crate::format::ReadOptions;
use crate::source::Source;

/// Reads a `.prototxt` and a `.caffemodel`, in either order, as one model.
///
/// # Errors
/// Files that are not one of each; what reading them finds.
pub fn join(sources: &[Source], options: &ReadOptions) -> Result<Model> {
    let what =
        sources.iter().map(|s| Ok(sniff::what(s)?.map(|(what, _)| what))).collect::<Result<Vec<_>>>()?;
    let (net, weights) = match (sources, what.as_slice()) {
        ([net, weights], [Some(What::Text), Some(What::Net | What::Hdf5)]) => (net, weights),
        ([weights, net], [Some(What::Net | What::Hdf5), Some(What::Text)]) => (net, weights),
        _ => {
            let told = sources.iter().zip(&what).map(|(s, w)| format!("{} is {}", s.name(), said(*w)));
            let what = format!(
                "a Caffe model of several files is one .prototxt and one .caffemodel: {}",
                told.collect::<Vec<_>>().join(", ")
            );
            return Err(Error::Usage { what });
        }
    };
    let limits = &options.limits;
    let (mut net_of_text, inner) = from_text::read(net, limits)?;
    let in_hdf5 = what.contains(&Some(What::Hdf5));
    let read_weights = if in_hdf5 { hdf5::read } else { binary::read };
    let (weights_net, mut model) = read_weights(weights, limits)?;
    model.findings.extend(inner.findings);
    let unused = pair(&mut net_of_text, &weights_net, &mut model, net.name(), weights.name());
    if in_hdf5 {
        name_blobs(&net_of_text, &mut model);
    }
    if net_of_text.name.is_empty() {
        net_of_text.name.clone_from(&weights_net.name);
    }
    net_of_text.describe(&mut model, "net and weights");
    if weights_net.version != net_of_text.version
        && let Some(version) = weights_net.version
    {
        let version = Value::Str(version.name().to_owned());
        model.metadata.push(("generation_of_weights".to_owned(), version));
    }
    if !unused.is_empty() {
        model.metadata.push(("unused".to_owned(), Value::List(unused)));
    }
    Ok(model)
}

/// Names blobs whose file does not know their layers' types.
fn name_blobs(net: &Net, model: &mut Model) {
    for layer in &net.layers {
        for (i, &id) in layer.blobs.iter().enumerate() {
            let (leaf, role) = blob_name(&layer.kind, layer.bottoms.len(), layer.blobs.len(), i);
            let tensor = &mut model.tensors[id.0 as usize];
            tensor.name = full(&layer.name, &leaf);
            if let Some(role) = role {
                (tensor.role, tensor.role_guessed) = (role, false);
            }
        }
    }
}

fn said(what: Option<What>) -> &'static str {
    match what {
        Some(What::Net) => "a net in binary",
        Some(What::Text) => "a net as text",
        Some(What::Solver) => "a solver's settings",
        Some(What::State) => "a solver's state",
        Some(What::Blob) => "a single blob",
        Some(What::Hdf5) => "weights in HDF5",
        None => "none of Caffe's files",
    }
}

/// Gives the layers of `net` the blobs of the layers of their name, and says what does not fit; returns the layers
/// whose blobs nothing asks for.
fn pair(net: &mut Net, weights: &Net, model: &mut Model, text: &str, binary: &str) -> Vec<Value> {
    // Caffe copies in order, so that of two layers with one name the last remains.
    let by_name: HashMap<&str, &Layer> = weights.layers.iter().map(|l| (l.name.as_str(), l)).collect();
    let mut findings = Vec::new();
    let mut fault = |code, severity, layer: &Layer, message: String, help: &str| {
        let mut finding = Finding::new(code, severity, message, help);
        finding.node = Some(layer.name.clone());
        findings.push(finding);
    };
    for layer in &mut net.layers {
        let expected = Expected::of(layer);
        let Some(given) = by_name.get(layer.name.as_str()) else {
            if expected.blobs.is_some_and(|n| n > 0) {
                let message =
                    format!("{binary} has no layer '{}', whose weights {text} asks for", layer.name);
                let help = "Caffe leaves such a layer as its filler makes it: zeros, where none is named";
                fault("C105", Severity::Warning, layer, message, help);
            }
            continue;
        };
        layer.blobs.clone_from(&given.blobs);
        let name = layer.name.clone();
        if let Some(asked) = expected.blobs
            && asked != given.blobs.len()
        {
            let (has, help) = (given.blobs.len(), "Caffe refuses this pair: take the weights of this net");
            let message = format!("layer '{name}' has {asked} blobs in {text}, and {has} in {binary}");
            fault("C103", Severity::Error, layer, message, help);
            continue;
        }
        for (i, (&blob, want)) in given.blobs.iter().zip(&expected.shapes).enumerate() {
            let shape = &model.tensor(blob).shape;
            if !fits(shape, want) {
                let want: Vec<String> =
                    want.iter().map(|d| d.map_or("?".to_owned(), |d| d.to_string())).collect();
                let want = want.join(", ");
                let message =
                    format!("blob {i} of layer '{name}' is [{want}] by {text}, and {shape:?} in {binary}");
                let help = "Caffe refuses this pair: take the weights of this net, or rename the layer to train it anew";
                fault("C104", Severity::Error, layer, message, help);
            }
        }
    }
    let wanted: std::collections::HashSet<&str> = net.layers.iter().map(|l| l.name.as_str()).collect();
    let unused: Vec<&Layer> =
        weights.layers.iter().filter(|l| !l.blobs.is_empty() && !wanted.contains(l.name.as_str())).collect();
    if let Some(first) = unused.first() {
        let names = unused.iter().take(5).map(|l| format!("'{}'", l.name)).collect::<Vec<_>>().join(", ");
        let more = if unused.len() > 5 { format!(" and {} more", unused.len() - 5) } else { String::new() };
        let message = format!("{text} has no layer for the weights of {names}{more} in {binary}");
        fault("C106", Severity::Info, first, message, "Caffe leaves them out; they are listed all the same");
    }
    let unused = unused.into_iter().map(Layer::about).collect();
    model.findings.extend(findings);
    unused
}

/// A blob that a net asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Its name, as the blob of a `.caffemodel` would be called.
    pub name: String,
    /// Its sizes, as far as the net alone tells them.
    pub shape: Option<Vec<Option<u64>>>,
    /// What it is for, where its type tells.
    pub role: Option<weighbridge_model::Role>,
}

/// The blobs that the layers of a net without weights ask for, in order: of types whose blobs are known.
pub fn declared(graph: &weighbridge_model::Graph) -> Vec<Declared> {
    let mut found = Vec::new();
    for node in graph.nodes.iter().filter(|n| n.domain == "caffe") {
        let plain = |(name, a): &(String, weighbridge_model::Attribute)| match a {
            weighbridge_model::Attribute::Value(value) => Some((name.clone(), value.clone())),
            _ => None,
        };
        let layer = Layer {
            name: node.name.clone(),
            kind: node.op.clone(),
            bottoms: vec![String::new(); node.inputs.len()],
            settings: node.attributes.iter().filter_map(plain).collect(),
            ..Layer::default()
        };
        let expected = Expected::of(&layer);
        for index in 0..expected.blobs.unwrap_or(0) {
            let blobs = expected.blobs.unwrap_or(0);
            let (leaf, role) = blob_name(&layer.kind, layer.bottoms.len(), blobs, index);
            let shape = expected.shapes.get(index).cloned();
            found.push(Declared { name: full(&layer.name, &leaf), shape, role });
        }
    }
    found
}

/// What a layer's settings say of its blobs.
#[derive(Default)]
pub(super) struct Expected {
    /// How many there are, where the type tells.
    pub(super) blobs: Option<usize>,
    /// Their shapes as far as the text alone tells.
    pub(super) shapes: Vec<Vec<Option<u64>>>,
}

impl Expected {
    pub(super) fn of(layer: &Layer) -> Expected {
        let kind = caffe_type(&layer.kind);
        let message = match kind {
            "Convolution" | "Deconvolution" => "convolution_param",
            "InnerProduct" => "inner_product_param",
            "Embed" => "embed_param",
            "Scale" => "scale_param",
            "PReLU" => "prelu_param",
            "Normalize" => "norm_param",
            // NVCaffe's may have a scale and a bias of its own.
            "BatchNorm" => {
                let plain = layer.setting("batch_norm_param", "scale_bias").is_none();
                return Expected { blobs: plain.then_some(3), shapes: vec![] };
            }
            _ => return Expected::default(),
        };
        let truth = |name: &str, otherwise: bool| match layer.setting(message, name) {
            Some(Value::Bool(given)) => *given,
            Some(Value::Int(given)) => *given != 0,
            _ => otherwise,
        };
        let int = |name: &str| {
            let given = layer.setting(message, name).and_then(Value::as_int);
            given.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0)
        };
        let bias = truth("bias_term", kind != "Scale") && truth("biasterm", true);
        let outputs = int("num_output");
        let mut shapes = match kind {
            "Convolution" => {
                let mut shape = vec![outputs, None];
                shape.extend(kernel(layer));
                vec![shape]
            }
            "Deconvolution" => {
                let group = int("group").unwrap_or(1);
                let mut shape = vec![None, outputs.map(|n| n / group)];
                shape.extend(kernel(layer));
                vec![shape]
            }
            "InnerProduct" if truth("transpose", false) => vec![vec![None, outputs]],
            "InnerProduct" => vec![vec![outputs, None]],
            "Embed" => vec![vec![int("input_dim"), outputs]],
            // Sizes come from the bottom, whose shape is not known here.
            "Scale" if layer.bottoms.len() > 1 => {
                return Expected { blobs: Some(usize::from(bias)), shapes: vec![] };
            }
            "Scale" => return Expected { blobs: Some(1 + usize::from(bias)), shapes: vec![] },
            _ => return Expected { blobs: Some(1), shapes: vec![] },
        };
        if bias {
            shapes.push(vec![outputs]);
        }
        Expected { blobs: Some(shapes.len()), shapes }
    }
}

/// The kernel's sizes: `kernel_h` and `kernel_w`, one for each dimension, or one for all of what are mostly two.
fn kernel(layer: &Layer) -> Vec<Option<u64>> {
    let setting = |name: &str| layer.setting("convolution_param", name);
    let size = |v: &Value| v.as_int().and_then(|n| u64::try_from(n).ok());
    if let (Some(h), Some(w)) = (setting("kernel_h"), setting("kernel_w")) {
        return vec![size(h), size(w)];
    }
    let given = setting("kernel_size").or_else(|| setting("kernelsize")).map_or(&[][..], each);
    match given {
        [] => vec![None, None],
        [one] => vec![size(one); 2],
        several => several.iter().map(size).collect(),
    }
}

/// Whether a blob's shape is the one that is asked for. The four old sizes have ones in front of what they mean.
pub(super) fn fits(shape: &[u64], want: &[Option<u64>]) -> bool {
    let leading = shape.len().saturating_sub(want.len());
    let old = shape.len() == 4 && shape[..leading].iter().all(|&d| d == 1);
    let shape = if old { &shape[leading..] } else { shape };
    shape.len() == want.len() && shape.iter().zip(want).all(|(&have, want)| want.is_none_or(|w| w == have))
}
