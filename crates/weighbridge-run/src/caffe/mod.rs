//! A reference for Caffe's nets: an interpreter of their graphs at phase TEST, written from what Caffe's layers are
//! defined to compute.
//!
//! Plain loops in double precision from the first blob to the last; weights and settings as Caffe holds them, in single
//! precision. No real Caffe is as exact, so that what is far from this is wrong. It has no part in common with what
//! turns such graphs into ONNX, which it is there to judge.
//!
//! A type of layer is a function in the file of its family, by [`table`].

mod activation;
mod arrange;
mod blob;
mod call;
mod convolution;
mod data;
mod deconvolution;
mod dense;
mod eltwise;
mod fault;
mod filler;
mod missing;
mod net;
mod normalize;
mod phase;
mod pooling;
mod reduce;
mod resize;
mod run;
mod scale;
mod settings;
mod ssd;
mod table;
mod window;

use std::path::Path;

use weighbridge_formats::{ReadOptions, open};
use weighbridge_model::layers::caffe_type;
use weighbridge_model::{DType, Error, Graph, Model, Node, Result};

use crate::interface::{Input, Interface, Step};
use crate::{Engine, Session};
use net::Net;
use settings::Settings;

/// The interpreter.
pub struct CaffeReference;

/// Whether a graph is one of Caffe's.
pub(crate) fn is_caffe(graph: &Graph) -> bool {
    graph.program.is_none()
        && graph.nodes.iter().all(|node| node.domain == "caffe")
        && !graph.nodes.is_empty()
}

/// The graph of a Caffe net.
fn graph_of(model: &Model) -> Result<&Graph> {
    model.graph.as_ref().filter(|graph| is_caffe(graph)).ok_or_else(|| Error::Usage {
        what: format!("{}: no Caffe net with layers, which a .prototxt has", model.format),
    })
}

/// What a net takes and gives.
///
/// # Errors
/// Layers that do not fit together.
pub(crate) fn interface(model: &Model) -> Result<Interface> {
    let net = Net::of(model)?;
    let name = |&value: &usize| net.names[value].clone();
    let below: std::collections::HashMap<usize, u64> = net
        .layers
        .iter()
        .filter(|layer| layer.kind == "Embed")
        .filter_map(|layer| Some((*layer.bottoms.first()?, rows(layer.node)?)))
        .collect();
    let input = |input: &net::Input| Input {
        name: name(&input.value),
        dtype: Some(DType::F32),
        shape: input.shape.clone(),
        below: below.get(&input.value).copied(),
    };
    let step = |layer: &net::Layer<'_>| Step {
        node: layer.node.name.clone(),
        op: layer.kind.to_owned(),
        values: layer.tops.iter().map(name).collect(),
    };
    Ok(Interface {
        inputs: net.inputs.iter().map(input).collect(),
        outputs: net.outputs.iter().map(name).collect(),
        steps: net.layers.iter().map(step).collect(),
    })
}

/// Rows that an `Embed` layer picks from.
fn rows(node: &Node) -> Option<u64> {
    debug_assert_eq!(caffe_type(&node.op), "Embed");
    Settings::of(node, "embed_param")
        .size("input_dim", 0)
        .ok()
        .map(|rows| rows as u64)
        .filter(|&rows| rows > 0)
}

impl Engine for CaffeReference {
    fn name(&self) -> String {
        "weighbridge's Caffe reference".to_owned()
    }

    /// Layers of types that are not known.
    fn lacks(&self, model: &Model) -> Vec<(String, String)> {
        Net::of(model).map(|net| net.unknown).unwrap_or_default()
    }

    fn load(&self, path: &Path) -> Result<Box<dyn Session>> {
        self.open(&open(&[path], None, &ReadOptions::default())?, &[])
    }

    /// Any value may be asked for.
    fn open(&self, model: &Model, _: &[String]) -> Result<Box<dyn Session>> {
        missing::check(&Net::of(model)?, model)?;
        Ok(Box::new(run::Interpreter(model.clone())))
    }
}
