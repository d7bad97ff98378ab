//! Field numbers of Caffe's messages: what a binary net's settings are called. Numbers that are not here belong to
//! forks; they are shown as `field_N`.

use Kind::{Bool, Enum, Float, Int, Message, Text};

/// How a field's number or bytes are meant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// A whole number.
    Int,
    /// A truth value.
    Bool,
    /// A single-precision number.
    Float,
    /// Text.
    Text,
    /// A whole number with a name, counted from the second.
    Enum(&'static [&'static str], i64),
    /// A message of these fields.
    Message(&'static [Entry]),
}

/// A field: number, name, kind.
pub(super) type Entry = (u32, &'static str, Kind);

const PHASE: Kind = Enum(&["TRAIN", "TEST"], 0);
const ENGINE: Kind = Enum(&["DEFAULT", "CAFFE", "CUDNN"], 0);
const POOL: Kind = Enum(&["MAX", "AVE", "STOCHASTIC"], 0);
const BACKEND: Kind = Enum(&["LEVELDB", "LMDB"], 0);

const SHAPE: &[Entry] = &[(1, "dim", Int)];

pub(super) const STATE: &[Entry] = &[(1, "phase", PHASE), (2, "level", Int), (3, "stage", Text)];

const RULE: &[Entry] = &[
    (1, "phase", PHASE),
    (2, "min_level", Int),
    (3, "max_level", Int),
    (4, "stage", Text),
    (5, "not_stage", Text),
];

const PARAM: &[Entry] = &[
    (1, "name", Text),
    (2, "share_mode", Enum(&["STRICT", "PERMISSIVE"], 0)),
    (3, "lr_mult", Float),
    (4, "decay_mult", Float),
];

const FILLER: &[Entry] = &[
    (1, "type", Text),
    (2, "value", Float),
    (3, "min", Float),
    (4, "max", Float),
    (5, "mean", Float),
    (6, "std", Float),
    (7, "sparse", Int),
    (8, "variance_norm", Enum(&["FAN_IN", "FAN_OUT", "AVERAGE"], 0)),
];

const TRANSFORM: &[Entry] = &[
    (1, "scale", Float),
    (2, "mirror", Bool),
    (3, "crop_size", Int),
    (4, "mean_file", Text),
    (5, "mean_value", Float),
    (6, "force_color", Bool),
    (7, "force_gray", Bool),
];

const LOSS: &[Entry] = &[
    (1, "ignore_label", Int),
    (2, "normalize", Bool),
    (3, "normalization", Enum(&["FULL", "VALID", "BATCH_SIZE", "NONE"], 0)),
];

const ACCURACY: &[Entry] = &[(1, "top_k", Int), (2, "axis", Int), (3, "ignore_label", Int)];
const ARGMAX: &[Entry] = &[(1, "out_max_val", Bool), (2, "top_k", Int), (3, "axis", Int)];
const CONCAT: &[Entry] = &[(1, "concat_dim", Int), (2, "axis", Int)];
const CONTRASTIVE: &[Entry] = &[(1, "margin", Float), (2, "legacy_version", Bool)];

const CONVOLUTION: &[Entry] = &[
    (1, "num_output", Int),
    (2, "bias_term", Bool),
    (3, "pad", Int),
    (4, "kernel_size", Int),
    (5, "group", Int),
    (6, "stride", Int),
    (7, "weight_filler", Message(FILLER)),
    (8, "bias_filler", Message(FILLER)),
    (9, "pad_h", Int),
    (10, "pad_w", Int),
    (11, "kernel_h", Int),
    (12, "kernel_w", Int),
    (13, "stride_h", Int),
    (14, "stride_w", Int),
    (15, "engine", ENGINE),
    (16, "axis", Int),
    (17, "force_nd_im2col", Bool),
    (18, "dilation", Int),
];

const DATA: &[Entry] = &[
    (1, "source", Text),
    (2, "scale", Float),
    (3, "mean_file", Text),
    (4, "batch_size", Int),
    (5, "crop_size", Int),
    (6, "mirror", Bool),
    (7, "rand_skip", Int),
    (8, "backend", BACKEND),
    (9, "force_encoded_color", Bool),
    (10, "prefetch", Int),
];

const DROPOUT: &[Entry] = &[(1, "dropout_ratio", Float)];

const DUMMY: &[Entry] = &[
    (1, "data_filler", Message(FILLER)),
    (2, "num", Int),
    (3, "channels", Int),
    (4, "height", Int),
    (5, "width", Int),
    (6, "shape", Message(SHAPE)),
];

const ELTWISE: &[Entry] =
    &[(1, "operation", Enum(&["PROD", "SUM", "MAX"], 0)), (2, "coeff", Float), (3, "stable_prod_grad", Bool)];

const EXP: &[Entry] = &[(1, "base", Float), (2, "scale", Float), (3, "shift", Float)];
const HDF5_DATA: &[Entry] = &[(1, "source", Text), (2, "batch_size", Int), (3, "shuffle", Bool)];
const HDF5_OUTPUT: &[Entry] = &[(1, "file_name", Text)];
const HINGE: &[Entry] = &[(1, "norm", Enum(&["L1", "L2"], 1))];
const INFOGAIN: &[Entry] = &[(1, "source", Text), (2, "axis", Int)];

const IMAGE_DATA: &[Entry] = &[
    (1, "source", Text),
    (2, "scale", Float),
    (3, "mean_file", Text),
    (4, "batch_size", Int),
    (5, "crop_size", Int),
    (6, "mirror", Bool),
    (7, "rand_skip", Int),
    (8, "shuffle", Bool),
    (9, "new_height", Int),
    (10, "new_width", Int),
    (11, "is_color", Bool),
    (12, "root_folder", Text),
];

const INNER_PRODUCT: &[Entry] = &[
    (1, "num_output", Int),
    (2, "bias_term", Bool),
    (3, "weight_filler", Message(FILLER)),
    (4, "bias_filler", Message(FILLER)),
    (5, "axis", Int),
    (6, "transpose", Bool),
];

const LRN: &[Entry] = &[
    (1, "local_size", Int),
    (2, "alpha", Float),
    (3, "beta", Float),
    (4, "norm_region", Enum(&["ACROSS_CHANNELS", "WITHIN_CHANNEL"], 0)),
    (5, "k", Float),
    (6, "engine", ENGINE),
];

const MEMORY_DATA: &[Entry] =
    &[(1, "batch_size", Int), (2, "channels", Int), (3, "height", Int), (4, "width", Int)];
const MVN: &[Entry] = &[(1, "normalize_variance", Bool), (2, "across_channels", Bool), (3, "eps", Float)];

const POOLING: &[Entry] = &[
    (1, "pool", POOL),
    (2, "kernel_size", Int),
    (3, "stride", Int),
    (4, "pad", Int),
    (5, "kernel_h", Int),
    (6, "kernel_w", Int),
    (7, "stride_h", Int),
    (8, "stride_w", Int),
    (9, "pad_h", Int),
    (10, "pad_w", Int),
    (11, "engine", ENGINE),
    (12, "global_pooling", Bool),
    (13, "round_mode", Enum(&["CEIL", "FLOOR"], 0)),
];

const POWER: &[Entry] = &[(1, "power", Float), (2, "scale", Float), (3, "shift", Float)];
const RELU: &[Entry] = &[(1, "negative_slope", Float), (2, "engine", ENGINE)];
const ENGINE_ONLY: &[Entry] = &[(1, "engine", ENGINE)];
const SOFTMAX: &[Entry] = &[(1, "engine", ENGINE), (2, "axis", Int)];
const SLICE: &[Entry] = &[(1, "slice_dim", Int), (2, "slice_point", Int), (3, "axis", Int)];
const THRESHOLD: &[Entry] = &[(1, "threshold", Float)];

const WINDOW_DATA: &[Entry] = &[
    (1, "source", Text),
    (2, "scale", Float),
    (3, "mean_file", Text),
    (4, "batch_size", Int),
    (5, "crop_size", Int),
    (6, "mirror", Bool),
    (7, "fg_threshold", Float),
    (8, "bg_threshold", Float),
    (9, "fg_fraction", Float),
    (10, "context_pad", Int),
    (11, "crop_mode", Text),
    (12, "cache_images", Bool),
    (13, "root_folder", Text),
];

const PYTHON: &[Entry] =
    &[(1, "module", Text), (2, "layer", Text), (3, "param_str", Text), (4, "share_in_parallel", Bool)];
const PRELU: &[Entry] = &[(1, "filler", Message(FILLER)), (2, "channel_shared", Bool)];
const SPP: &[Entry] = &[(1, "pyramid_height", Int), (2, "pool", POOL), (6, "engine", ENGINE)];
const RESHAPE: &[Entry] = &[(1, "shape", Message(SHAPE)), (2, "axis", Int), (3, "num_axes", Int)];
const FLATTEN: &[Entry] = &[(1, "axis", Int), (2, "end_axis", Int)];

const REDUCTION: &[Entry] =
    &[(1, "operation", Enum(&["SUM", "ASUM", "SUMSQ", "MEAN"], 1)), (2, "axis", Int), (3, "coeff", Float)];

const EMBED: &[Entry] = &[
    (1, "num_output", Int),
    (2, "input_dim", Int),
    (3, "bias_term", Bool),
    (4, "weight_filler", Message(FILLER)),
    (5, "bias_filler", Message(FILLER)),
];

const TILE: &[Entry] = &[(1, "axis", Int), (2, "tiles", Int)];
const BATCH_NORM: &[Entry] =
    &[(1, "use_global_stats", Bool), (2, "moving_average_fraction", Float), (3, "eps", Float)];
const ELU: &[Entry] = &[(1, "alpha", Float)];
const SWISH: &[Entry] = &[(1, "beta", Float)];
const BIAS: &[Entry] = &[(1, "axis", Int), (2, "num_axes", Int), (3, "filler", Message(FILLER))];

const SCALE: &[Entry] = &[
    (1, "axis", Int),
    (2, "num_axes", Int),
    (3, "filler", Message(FILLER)),
    (4, "bias_term", Bool),
    (5, "bias_filler", Message(FILLER)),
];

const INPUT: &[Entry] = &[(1, "shape", Message(SHAPE))];
const CROP: &[Entry] = &[(1, "axis", Int), (2, "offset", Int)];
const PARAMETER: &[Entry] = &[(1, "shape", Message(SHAPE))];

const RECURRENT: &[Entry] = &[
    (1, "num_output", Int),
    (2, "weight_filler", Message(FILLER)),
    (3, "bias_filler", Message(FILLER)),
    (4, "debug_info", Bool),
    (5, "expose_hidden", Bool),
];

// SSD's.
const CODE: Kind = Enum(&["CORNER", "CENTER_SIZE", "CORNER_SIZE"], 1);
const PERMUTE: &[Entry] = &[(1, "order", Int)];

const PRIOR_BOX: &[Entry] = &[
    (1, "min_size", Float),
    (2, "max_size", Float),
    (3, "aspect_ratio", Float),
    (4, "flip", Bool),
    (5, "clip", Bool),
    (6, "variance", Float),
    (7, "img_size", Int),
    (8, "img_h", Int),
    (9, "img_w", Int),
    (10, "step", Float),
    (11, "step_h", Float),
    (12, "step_w", Float),
    (13, "offset", Float),
];

const NMS: &[Entry] = &[(1, "nms_threshold", Float), (2, "top_k", Int), (3, "eta", Float)];

const DETECTION_OUTPUT: &[Entry] = &[
    (1, "num_classes", Int),
    (2, "share_location", Bool),
    (3, "background_label_id", Int),
    (4, "nms_param", Message(NMS)),
    (6, "code_type", CODE),
    (7, "keep_top_k", Int),
    (8, "variance_encoded_in_target", Bool),
    (9, "confidence_threshold", Float),
];

const NORM: &[Entry] = &[
    (1, "across_spatial", Bool),
    (2, "scale_filler", Message(FILLER)),
    (3, "channel_shared", Bool),
    (4, "eps", Float),
];

/// Settings of a current layer: what is not its name, type, bottoms, tops or blobs.
pub(super) const LAYER: &[Entry] = &[
    (5, "loss_weight", Float),
    (6, "param", Message(PARAM)),
    (8, "include", Message(RULE)),
    (9, "exclude", Message(RULE)),
    (10, "phase", PHASE),
    (11, "propagate_down", Bool),
    (100, "transform_param", Message(TRANSFORM)),
    (101, "loss_param", Message(LOSS)),
    (102, "accuracy_param", Message(ACCURACY)),
    (103, "argmax_param", Message(ARGMAX)),
    (104, "concat_param", Message(CONCAT)),
    (105, "contrastive_loss_param", Message(CONTRASTIVE)),
    (106, "convolution_param", Message(CONVOLUTION)),
    (107, "data_param", Message(DATA)),
    (108, "dropout_param", Message(DROPOUT)),
    (109, "dummy_data_param", Message(DUMMY)),
    (110, "eltwise_param", Message(ELTWISE)),
    (111, "exp_param", Message(EXP)),
    (112, "hdf5_data_param", Message(HDF5_DATA)),
    (113, "hdf5_output_param", Message(HDF5_OUTPUT)),
    (114, "hinge_loss_param", Message(HINGE)),
    (115, "image_data_param", Message(IMAGE_DATA)),
    (116, "infogain_loss_param", Message(INFOGAIN)),
    (117, "inner_product_param", Message(INNER_PRODUCT)),
    (118, "lrn_param", Message(LRN)),
    (119, "memory_data_param", Message(MEMORY_DATA)),
    (120, "mvn_param", Message(MVN)),
    (121, "pooling_param", Message(POOLING)),
    (122, "power_param", Message(POWER)),
    (123, "relu_param", Message(RELU)),
    (124, "sigmoid_param", Message(ENGINE_ONLY)),
    (125, "softmax_param", Message(SOFTMAX)),
    (126, "slice_param", Message(SLICE)),
    (127, "tanh_param", Message(ENGINE_ONLY)),
    (128, "threshold_param", Message(THRESHOLD)),
    (129, "window_data_param", Message(WINDOW_DATA)),
    (130, "python_param", Message(PYTHON)),
    (131, "prelu_param", Message(PRELU)),
    (132, "spp_param", Message(SPP)),
    (133, "reshape_param", Message(RESHAPE)),
    (134, "log_param", Message(EXP)),
    (135, "flatten_param", Message(FLATTEN)),
    (136, "reduction_param", Message(REDUCTION)),
    (137, "embed_param", Message(EMBED)),
    (138, "tile_param", Message(TILE)),
    (139, "batch_norm_param", Message(BATCH_NORM)),
    (140, "elu_param", Message(ELU)),
    (141, "bias_param", Message(BIAS)),
    (142, "scale_param", Message(SCALE)),
    (143, "input_param", Message(INPUT)),
    (144, "crop_param", Message(CROP)),
    (145, "parameter_param", Message(PARAMETER)),
    (146, "recurrent_param", Message(RECURRENT)),
    (147, "swish_param", Message(SWISH)),
    (202, "permute_param", Message(PERMUTE)),
    (203, "prior_box_param", Message(PRIOR_BOX)),
    (204, "detection_output_param", Message(DETECTION_OUTPUT)),
    (206, "norm_param", Message(NORM)),
];

/// Settings of a V1 layer.
pub(super) const V1_LAYER: &[Entry] = &[
    (7, "blobs_lr", Float),
    (8, "weight_decay", Float),
    (9, "concat_param", Message(CONCAT)),
    (10, "convolution_param", Message(CONVOLUTION)),
    (11, "data_param", Message(DATA)),
    (12, "dropout_param", Message(DROPOUT)),
    (13, "hdf5_data_param", Message(HDF5_DATA)),
    (14, "hdf5_output_param", Message(HDF5_OUTPUT)),
    (15, "image_data_param", Message(IMAGE_DATA)),
    (16, "infogain_loss_param", Message(INFOGAIN)),
    (17, "inner_product_param", Message(INNER_PRODUCT)),
    (18, "lrn_param", Message(LRN)),
    (19, "pooling_param", Message(POOLING)),
    (20, "window_data_param", Message(WINDOW_DATA)),
    (21, "power_param", Message(POWER)),
    (22, "memory_data_param", Message(MEMORY_DATA)),
    (23, "argmax_param", Message(ARGMAX)),
    (24, "eltwise_param", Message(ELTWISE)),
    (25, "threshold_param", Message(THRESHOLD)),
    (26, "dummy_data_param", Message(DUMMY)),
    (27, "accuracy_param", Message(ACCURACY)),
    (29, "hinge_loss_param", Message(HINGE)),
    (30, "relu_param", Message(RELU)),
    (31, "slice_param", Message(SLICE)),
    (32, "include", Message(RULE)),
    (33, "exclude", Message(RULE)),
    (34, "mvn_param", Message(MVN)),
    (35, "loss_weight", Float),
    (36, "transform_param", Message(TRANSFORM)),
    (37, "tanh_param", Message(ENGINE_ONLY)),
    (38, "sigmoid_param", Message(ENGINE_ONLY)),
    (39, "softmax_param", Message(SOFTMAX)),
    (40, "contrastive_loss_param", Message(CONTRASTIVE)),
    (41, "exp_param", Message(EXP)),
    (42, "loss_param", Message(LOSS)),
    (1001, "param", Text),
    (1002, "blob_share_mode", Enum(&["STRICT", "PERMISSIVE"], 0)),
];

/// Settings of a V0 layer, all in one message.
pub(super) const V0_LAYER: &[Entry] = &[
    (3, "num_output", Int),
    (4, "biasterm", Bool),
    (5, "weight_filler", Message(FILLER)),
    (6, "bias_filler", Message(FILLER)),
    (7, "pad", Int),
    (8, "kernelsize", Int),
    (9, "group", Int),
    (10, "stride", Int),
    (11, "pool", POOL),
    (12, "dropout_ratio", Float),
    (13, "local_size", Int),
    (14, "alpha", Float),
    (15, "beta", Float),
    (16, "source", Text),
    (17, "scale", Float),
    (18, "meanfile", Text),
    (19, "batchsize", Int),
    (20, "cropsize", Int),
    (21, "mirror", Bool),
    (22, "k", Float),
    (51, "blobs_lr", Float),
    (52, "weight_decay", Float),
    (53, "rand_skip", Int),
    (54, "det_fg_threshold", Float),
    (55, "det_bg_threshold", Float),
    (56, "det_fg_fraction", Float),
    (58, "det_context_pad", Int),
    (59, "det_crop_mode", Text),
    (60, "new_num", Int),
    (61, "new_channels", Int),
    (62, "new_height", Int),
    (63, "new_width", Int),
    (64, "shuffle_images", Bool),
    (65, "concat_dim", Int),
    (1001, "hdf5_output_param", Message(HDF5_OUTPUT)),
];

/// What stands beside a net's layers.
pub(super) const NET: &[Entry] =
    &[(5, "force_backward", Bool), (6, "state", Message(STATE)), (7, "debug_info", Bool)];
