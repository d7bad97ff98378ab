//! The table: a layer's type, and what becomes of it.

use weighbridge_model::Result;

use super::work::Job;
use super::{
    activation, arithmetic, arrange, convolution, dense, input, normalize, pooling, resize, select, ssd,
};

/// Lowers a layer: gives a value to each of its tops.
pub(super) type Rule = fn(&mut Job<'_, '_>) -> Result<()>;

/// What becomes of a type.
#[derive(Clone, Copy)]
pub(super) enum Fate {
    /// Nodes, or inputs and constants.
    Lowered(Rule),
    /// Nothing, for a reason: it says something of training or testing.
    Dropped(&'static str),
    /// A loss whose second top is a softmax; nothing where it has one top alone.
    Softmax,
}

use Fate::{Dropped, Lowered, Softmax};

const MEASURE: &str = "measures how well a net does: nothing that is computed with it";
const LOSS: &str = "a loss, for training";

/// Every type that is known.
const TABLE: &[(&str, Fate)] = &[
    // Data
    ("Input", Lowered(input::input)),
    ("Data", Lowered(input::data)),
    ("ImageData", Lowered(input::data)),
    ("HDF5Data", Lowered(input::data)),
    ("WindowData", Lowered(input::data)),
    ("VideoData", Lowered(input::data)),
    ("AnnotatedData", Lowered(input::data)),
    ("MemoryData", Lowered(input::memory)),
    ("DummyData", Lowered(input::dummy)),
    ("Parameter", Lowered(input::parameter)),
    // Windows and weights
    ("Convolution", Lowered(convolution::convolution)),
    ("ConvolutionDepthwise", Lowered(convolution::convolution)),
    ("DepthwiseConvolution", Lowered(convolution::convolution)),
    ("Deconvolution", Lowered(convolution::deconvolution)),
    ("Im2col", Lowered(convolution::im2col)),
    ("Pooling", Lowered(pooling::pooling)),
    ("SPP", Lowered(pooling::spatial_pyramid)),
    ("InnerProduct", Lowered(dense::inner_product)),
    ("Embed", Lowered(dense::embed)),
    // Normalization
    ("BatchNorm", Lowered(normalize::batch_norm)),
    ("BN", Lowered(normalize::bn)),
    ("LRN", Lowered(normalize::lrn)),
    ("MVN", Lowered(normalize::mvn)),
    ("Normalize", Lowered(normalize::normalize)),
    // Functions of one element
    ("ReLU", Lowered(activation::relu)),
    ("ReLU6", Lowered(activation::relu6)),
    ("PReLU", Lowered(activation::prelu)),
    ("ELU", Lowered(activation::elu)),
    ("Sigmoid", Lowered(activation::sigmoid)),
    ("TanH", Lowered(activation::tanh)),
    ("AbsVal", Lowered(activation::absolute)),
    ("BNLL", Lowered(activation::softplus)),
    ("Threshold", Lowered(activation::threshold)),
    ("Clip", Lowered(activation::clip)),
    ("Swish", Lowered(activation::swish)),
    ("Mish", Lowered(activation::mish)),
    ("HardSwish", Lowered(activation::hard_swish)),
    ("HSwish", Lowered(activation::hard_swish)),
    ("HardSigmoid", Lowered(activation::hard_sigmoid)),
    ("HSigmoid", Lowered(activation::hard_sigmoid)),
    ("Softmax", Lowered(activation::softmax)),
    ("LogSoftmax", Lowered(activation::log_softmax)),
    ("Dropout", Lowered(arrange::same)),
    // Arithmetic
    ("Power", Lowered(arithmetic::power)),
    ("Exp", Lowered(arithmetic::exp)),
    ("Log", Lowered(arithmetic::log)),
    ("Eltwise", Lowered(arithmetic::eltwise)),
    ("Axpy", Lowered(arithmetic::axpy)),
    ("Scale", Lowered(arithmetic::scale)),
    ("Bias", Lowered(arithmetic::bias)),
    ("Reduction", Lowered(arithmetic::reduction)),
    ("ArgMax", Lowered(arithmetic::arg_max)),
    // Order and shape
    ("Split", Lowered(arrange::split)),
    ("Flatten", Lowered(arrange::flatten)),
    ("Reshape", Lowered(arrange::reshape)),
    ("Permute", Lowered(arrange::permute)),
    ("Concat", Lowered(arrange::concat)),
    ("Slice", Lowered(arrange::slice)),
    ("Crop", Lowered(arrange::crop)),
    ("Tile", Lowered(arrange::tile)),
    ("Reorg", Lowered(arrange::reorg)),
    ("ShuffleChannel", Lowered(arrange::shuffle_channel)),
    ("PixelShuffle", Lowered(arrange::pixel_shuffle)),
    ("Interp", Lowered(resize::interp)),
    ("Upsample", Lowered(resize::upsample)),
    ("BatchReindex", Lowered(select::batch_reindex)),
    ("Filter", Lowered(select::filter)),
    // SSD
    ("PriorBox", Lowered(ssd::prior_box)),
    ("DetectionOutput", Lowered(ssd::detection_output)),
    // What is left out
    ("Silence", Dropped("keeps Caffe from printing a blob")),
    ("HDF5Output", Dropped("writes a file")),
    ("Accuracy", Dropped(MEASURE)),
    ("DetectionEvaluate", Dropped(MEASURE)),
    ("SoftmaxWithLoss", Softmax),
    ("ContrastiveLoss", Dropped(LOSS)),
    ("EuclideanLoss", Dropped(LOSS)),
    ("HingeLoss", Dropped(LOSS)),
    ("InfogainLoss", Dropped(LOSS)),
    ("MultiBoxLoss", Dropped(LOSS)),
    ("MultinomialLogisticLoss", Dropped(LOSS)),
    ("SigmoidCrossEntropyLoss", Dropped(LOSS)),
    ("SmoothL1Loss", Dropped(LOSS)),
    ("TripletLoss", Dropped(LOSS)),
    ("CenterLoss", Dropped(LOSS)),
];

/// What becomes of a type; `None` where it is not known.
pub(super) fn fate(kind: &str) -> Option<Fate> {
    TABLE.iter().find(|(known, _)| *known == kind).map(|(_, fate)| *fate)
}
