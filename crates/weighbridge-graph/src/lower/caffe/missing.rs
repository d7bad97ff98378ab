//! Layers whose weights no file has and no filler makes: all of them, before any is lowered.

use weighbridge_model::{Error, Model, Result, Value};

use super::layer::Layer;
use super::net::Net;

/// Types that have weights, with the message and the name of the filler of the first blob.
const FILLERS: &[(&str, &str, &str)] = &[
    ("Convolution", "convolution_param", "weight_filler"),
    ("ConvolutionDepthwise", "convolution_param", "weight_filler"),
    ("DepthwiseConvolution", "convolution_param", "weight_filler"),
    ("Deconvolution", "convolution_param", "weight_filler"),
    ("InnerProduct", "inner_product_param", "weight_filler"),
    ("Embed", "embed_param", "weight_filler"),
    ("PReLU", "prelu_param", "filler"),
    ("Normalize", "norm_param", "scale_filler"),
    ("Scale", "scale_param", "filler"),
    ("Bias", "bias_param", "filler"),
];

/// Nothing, where every layer has its weights or can be filled.
///
/// # Errors
/// [`Error::Refused`] with each layer that has neither.
pub(super) fn check(net: &Net<'_>, model: &Model) -> Result<()> {
    let others = !model.tensors.is_empty();
    let lacking = net.layers.iter().filter_map(|layer| Some((layer.name().to_owned(), why(layer, others)?)));
    let reasons: Vec<_> = lacking.collect();
    if reasons.is_empty() {
        return Ok(());
    }
    let help = "name the .caffemodel of this net too: weigh convert NET.prototxt NET.caffemodel";
    Err(Error::Refused { what: "layers without weights".into(), reasons, help: Some(help.into()) })
}

/// Why a layer lacks its weights; a net of whose blobs no other is in a file says how to fill them.
fn why(layer: &Layer<'_>, others: bool) -> Option<String> {
    let (_, message, field) = FILLERS.iter().find(|(kind, ..)| *kind == layer.kind)?;
    let by_bottom = matches!(layer.kind, "Scale" | "Bias") && layer.bottoms.len() > 1;
    if by_bottom || !layer.blobs.is_empty() {
        return None;
    }
    let filler = layer.setting(message, field);
    match filler.map(|filler| filler.get("type").and_then(Value::as_str).unwrap_or("constant")) {
        Some("constant" | "bilinear") => None,
        Some(by_chance) => Some(format!(
            "its weights are not in the file, and its filler '{by_chance}' is a matter of chance"
        )),
        None if others => None,
        None => Some(format!("type {}, which has weights", layer.kind)),
    }
}
