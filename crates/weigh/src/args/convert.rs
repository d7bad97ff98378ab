//! What `weigh convert` takes.

use std::path::PathBuf;

use super::{InputArgs, LowerArgs, PrecisionArgs};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  weigh convert net.pth -o net.safetensors            bit for bit
  weigh convert ckpt.pth -o net.safetensors --dry-run    what would be kept, changed and left behind
  weigh convert ckpt.pth#ema -o ema.pth --strip-prefix module.
  weigh convert net.safetensors -o half.safetensors --dtype f16
  weigh convert big.safetensors -o out/model.safetensors --shard 5GB
  weigh convert net.pth -o net.npz --rename 'layers.*.w=blk.*.weight' --drop 'head.*'
  weigh convert net.pth -o fc.npy -t fc.weight        one array; a slice: weigh show -o
  weigh convert net.safetensors -o net.gguf --dtype bf16
  weigh convert net.pth -o net.wts --to wts:nvidia    a variant of a format; also pytorch:legacy
  weigh convert deploy.prototxt net.caffemodel -o half.caffemodel --dtype f16
  weigh convert net.onnx -o net.py                    a PyTorch module, with net.pth
  weigh convert deploy.prototxt net.caffemodel -o net.onnx    the net in ONNX's operators, with what was chosen
  weigh convert net.keras -o net.pth --into untrained.pth    the names and shapes of another model
  weigh convert net.caffemodel -o net.pth --fold-bn    normalizations go into the convolutions before them
  weigh convert net.pth -o w.safetensors --into net.onnx --dry-run    which would be which, and why
  weigh convert net.onnx -o mixed.onnx --precision f16 --keep-unsafe    what cannot be f16 stays f32

Without #KEY, the part of a checkpoint that holds the weights is taken; --all takes everything.")]
pub struct ConvertArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// The file to write; its extension says the format.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub output: PathBuf,

    /// Write this format, whatever the extension, or a variant of it (pytorch:legacy, wts:nvidia): see `weigh formats`.
    #[arg(long, value_name = "FORMAT[:VARIANT]")]
    pub to: Option<String>,

    /// Only tensors whose name matches; may be repeated. `*` also matches dots.
    #[arg(short = 't', long, visible_alias = "tensor", value_name = "GLOB")]
    pub select: Vec<String>,

    /// No tensors whose name matches; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub drop: Vec<String>,

    /// No optimizer state.
    #[arg(long)]
    pub drop_optimizer: bool,

    /// All parts of a checkpoint, under their keys.
    #[arg(long)]
    pub all: bool,

    /// Take this from the names that begin with it (`module.`); may be repeated.
    #[arg(long, value_name = "PREFIX")]
    pub strip_prefix: Vec<String>,

    /// New names: each * of FROM stands for any text, the * of TO for what it stood for; may be repeated, and the
    /// first that fits is taken.
    #[arg(long, value_name = "FROM=TO")]
    pub rename: Vec<String>,

    /// A file of names: JSON {"old": "new"}, or a line `old new` for each.
    #[arg(long, value_name = "FILE")]
    pub rename_map: Option<PathBuf>,

    /// Swap the two dimensions of the matrices whose names match; may be repeated.
    #[arg(long, value_name = "GLOB")]
    pub transpose: Vec<String>,

    /// Put dimensions into another order: `conv*.weight=3,2,0,1`; may be repeated.
    #[arg(long, value_name = "GLOB=AXES")]
    pub permute: Vec<String>,

    /// Take names, shapes and order from this model or graph: tensors are matched by name, through known renamings, by
    /// use, then by shapes that are alone of their kind. What is not certain is refused.
    #[arg(long, value_name = "MODEL[#KEY]")]
    pub into: Option<String>,

    /// Match what is left by its order among tensors of the same shape.
    #[arg(long, requires = "into")]
    pub by_order: bool,

    /// Targets without a source keep their own values.
    #[arg(long, requires = "into")]
    pub keep_missing: bool,

    /// Fold normalizations into the layers before them: by the graph, or by names where there is none, which is a guess.
    /// EPSILON is for those whose own is not told (1e-5 unless given, 1e-3 for Keras' names).
    /// From ONNX to ONNX the graph changes with its weights.
    #[arg(long, value_name = "EPSILON", num_args = 0..=1, require_equals = true)]
    pub fold_bn: Option<Option<f64>>,

    /// Caffe: divide the means and variances of BatchNorm layers by their factors, which become 1.
    #[arg(long)]
    pub normalize_bn: bool,

    /// Cast floating-point tensors (f64, f32, f16, bf16, f8_e4m3, f8_e5m2), to the nearest, ties to even.
    #[arg(long, value_name = "TYPE")]
    pub dtype: Option<String>,

    /// Let values beyond the type's range become infinite, or the largest there is.
    #[arg(long)]
    pub allow_overflow: bool,

    /// At most so many bytes a file, with an index (500MB, 5GB, 2GiB).
    #[arg(long, value_name = "SIZE")]
    pub shard: Option<String>,

    /// ONNX: put tensors of at least so many bytes (1024 unless told) into FILE.data; a model of more than 2 GB does
    /// without being asked.
    #[arg(long, value_name = "SIZE", num_args = 0..=1, default_missing_value = "1024")]
    pub external: Option<String>,

    /// With a module (.py): the format of the weights beside it, pytorch or safetensors.
    #[arg(long, value_name = "FORMAT")]
    pub weights: Option<String>,

    /// Tell what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Write each tensor's hashes and figures on both sides to a JSON file.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,

    /// Replace existing files.
    #[arg(long)]
    pub force: bool,

    /// Return only when everything is on the disk.
    #[arg(long)]
    pub sync: bool,

    // Headings hold for all that follows.
    #[command(flatten)]
    pub lower: LowerArgs,

    #[command(flatten)]
    pub precision: PrecisionArgs,
}
