//! Layers that cannot be computed for want of weights: all of them, before any is computed.

use weighbridge_model::{Error, Model, Result};

use super::filler::Filler;
use super::net::{Layer, Net};
use super::settings::Settings;

/// Where layers of a type that has weights tell how the first blob is filled.
fn filler(layer: &Layer<'_>) -> Option<Filler> {
    let one_bottom = layer.bottoms.len() == 1;
    Some(match layer.kind {
        "Convolution" | "ConvolutionDepthwise" | "DepthwiseConvolution" | "Deconvolution" => {
            Filler("convolution_param", "weight_filler", 0.0)
        }
        "InnerProduct" => Filler("inner_product_param", "weight_filler", 0.0),
        "Embed" => Filler("embed_param", "weight_filler", 0.0),
        "PReLU" => Filler("prelu_param", "filler", 0.25),
        "Normalize" => Filler("norm_param", "scale_filler", 1.0),
        "Scale" if one_bottom => Filler("scale_param", "filler", 1.0),
        "Bias" if one_bottom => Filler("bias_param", "filler", 0.0),
        _ => return None,
    })
}

/// Nothing, where every layer has its weights or a filler that makes them.
///
/// # Errors
/// [`Error::Refused`] with each layer that has neither.
pub(super) fn check(net: &Net<'_>, model: &Model) -> Result<()> {
    let others = !model.tensors.is_empty();
    let lacking = net.layers.iter().filter(|layer| layer.blobs.is_empty()).filter_map(|layer| {
        let filler = filler(layer)?;
        let why = filler.lacks(&Settings::of(layer.node, filler.0), others)?;
        Some((layer.node.name.clone(), format!("{}: {why}", layer.kind)))
    });
    let reasons: Vec<_> = lacking.collect();
    if reasons.is_empty() {
        return Ok(());
    }
    let help = Some("a .caffemodel belongs beside its .prototxt: name that of this net too".into());
    Err(Error::Refused { what: "layers without weights".into(), reasons, help })
}
