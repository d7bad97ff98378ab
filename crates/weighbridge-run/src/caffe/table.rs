//! What computes a type of layer.

use super::call::{Call, Tops};
use super::{
    activation, arrange, convolution, data, deconvolution, dense, eltwise, normalize, pooling, reduce,
    resize, scale, ssd,
};

/// How a layer is treated.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Its tops are given from outside.
    Data,
    /// It is for training, or tells how good the net is: left out.
    Dropped,
    /// It is computed.
    Computed(fn(&Call<'_>) -> Tops),
}

use Rule::{Computed, Data, Dropped};

/// How layers of a type in today's spelling are treated; `None` for one that is not known.
pub(super) fn rule(kind: &str) -> Option<Rule> {
    TABLE.iter().find(|(known, _)| *known == kind).map(|(_, rule)| *rule)
}

/// Types of BVLC's Caffe, SSD's, and other forks'.
const TABLE: &[(&str, Rule)] = &[
    ("Input", Data),
    ("Data", Data),
    ("ImageData", Data),
    ("HDF5Data", Data),
    ("WindowData", Data),
    ("MemoryData", Data),
    ("VideoData", Data),
    ("AnnotatedData", Data),
    ("DummyData", Computed(data::dummy)),
    ("Parameter", Computed(data::parameter)),
    ("Silence", Computed(data::silence)),
    ("Convolution", Computed(convolution::convolution)),
    ("ConvolutionDepthwise", Computed(convolution::depthwise)),
    ("DepthwiseConvolution", Computed(convolution::depthwise)),
    ("Im2col", Computed(convolution::im2col)),
    ("Deconvolution", Computed(deconvolution::deconvolution)),
    ("Pooling", Computed(pooling::pooling)),
    ("SPP", Computed(pooling::spp)),
    ("InnerProduct", Computed(dense::inner_product)),
    ("Embed", Computed(dense::embed)),
    ("BatchNorm", Computed(normalize::batch_norm)),
    ("BN", Computed(normalize::bn)),
    ("LRN", Computed(normalize::lrn)),
    ("MVN", Computed(normalize::mvn)),
    ("Normalize", Computed(normalize::normalize)),
    ("Scale", Computed(scale::scale)),
    ("Bias", Computed(scale::bias)),
    ("Eltwise", Computed(eltwise::eltwise)),
    ("Axpy", Computed(eltwise::axpy)),
    ("ReLU", Computed(activation::relu)),
    ("ReLU6", Computed(activation::relu6)),
    ("PReLU", Computed(activation::prelu)),
    ("ELU", Computed(activation::elu)),
    ("Sigmoid", Computed(activation::sigmoids)),
    ("TanH", Computed(activation::tanh)),
    ("AbsVal", Computed(activation::abs)),
    ("BNLL", Computed(activation::bnll)),
    ("Swish", Computed(activation::swish)),
    ("Mish", Computed(activation::mish)),
    ("HardSwish", Computed(activation::hard_swish)),
    ("HSwish", Computed(activation::hard_swish)),
    ("HardSigmoid", Computed(activation::hard_sigmoid)),
    ("HSigmoid", Computed(activation::hard_sigmoid)),
    ("Threshold", Computed(activation::threshold)),
    ("Clip", Computed(activation::clip)),
    ("Power", Computed(activation::power)),
    ("Exp", Computed(activation::exp)),
    ("Log", Computed(activation::log)),
    ("Dropout", Computed(activation::dropout)),
    ("Softmax", Computed(activation::softmax)),
    ("LogSoftmax", Computed(activation::log_softmax)),
    ("Split", Computed(arrange::split)),
    ("Flatten", Computed(arrange::flatten)),
    ("Reshape", Computed(arrange::reshape)),
    ("Permute", Computed(arrange::permute)),
    ("Crop", Computed(arrange::crop)),
    ("Concat", Computed(arrange::concat)),
    ("Slice", Computed(arrange::slice)),
    ("Tile", Computed(arrange::tile)),
    ("ShuffleChannel", Computed(arrange::shuffle_channel)),
    ("BatchReindex", Computed(arrange::batch_reindex)),
    ("Filter", Computed(arrange::filter)),
    ("padding", Computed(arrange::padding)),
    ("Interp", Computed(resize::interp)),
    ("Upsample", Computed(resize::upsample)),
    ("Reorg", Computed(resize::reorg)),
    ("PixelShuffle", Computed(resize::pixel_shuffle)),
    ("Reduction", Computed(reduce::reduction)),
    ("ArgMax", Computed(reduce::argmax)),
    ("PriorBox", Computed(ssd::prior_box)),
    ("DetectionOutput", Computed(ssd::detection_output)),
    ("HDF5Output", Dropped),
    ("Accuracy", Dropped),
    ("DetectionEvaluate", Dropped),
    ("SoftmaxWithLoss", Dropped),
    ("ContrastiveLoss", Dropped),
    ("EuclideanLoss", Dropped),
    ("HingeLoss", Dropped),
    ("InfogainLoss", Dropped),
    ("MultiBoxLoss", Dropped),
    ("MultinomialLogisticLoss", Dropped),
    ("SigmoidCrossEntropyLoss", Dropped),
    ("SmoothL1Loss", Dropped),
    ("TripletLoss", Dropped),
    ("CenterLoss", Dropped),
];
