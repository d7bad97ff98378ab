//! The command line, declared once: parsing, `--help` and completions all come from here.

mod check;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

pub use check::CheckArgs;

const EXAMPLES: &str = "\
Examples:
  weigh model.pth                       what is in it, how it is distributed, does it survive FP16
  weigh 'ckpt.pth#ema'                  one part of a checkpoint
  weigh folder/                         a folder's shards as one model
  weigh ls model.safetensors --hash     every tensor, with the sha256 of its values
  weigh stats net.onnx -t '*.weight'    figures of the tensors that match
  weigh show m.pth -t 'conv1.weight[0,:,3:5]'
  weigh convert m.pth -o m.safetensors  move the weights, bit for bit

Exit status: 0 fine, 1 check or verify found something, 2 failure.";

/// Look at, judge, move and prove the weights of neural networks.
#[derive(Debug, Parser)]
#[command(name = "weigh", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(arg_required_else_help = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,

    #[command(flatten)]
    pub report: Option<InputArgs>,

    /// When to use colour (NO_COLOR is obeyed).
    #[arg(long, value_enum, default_value_t = Color::Auto, global = true, value_name = "WHEN")]
    #[arg(display_order = 998)]
    pub color: Color,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List tensors as a tree: names, types, shapes, roles.
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Figures of every tensor: extremes, mean, deviation, zeros, NaN, histogram.
    Stats(StatsArgs),
    /// The values themselves.
    Show(ShowArgs),
    /// Will it survive FP16, and is it sound: exit 1 where it is not.
    Check(Box<CheckArgs>),
    /// Move weights to another container, exactly, or as asked.
    Convert(Box<ConvertArgs>),
    /// Whether two ONNX models compute the same: exit 0 where they do, 1 where they do not.
    #[cfg(feature = "run")]
    Verify(VerifyArgs),
    /// Runs a model for another process of this program.
    #[cfg(feature = "run")]
    #[command(name = crate::engine::COMMAND, hide = true)]
    RunEngine(crate::engine::RunArgs),
    /// The formats that are read and written.
    Formats(FormatsArgs),
    /// Print a shell's completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What to open and how.
#[derive(Debug, clap::Args)]
pub struct InputArgs {
    /// A file or folder, or files that make one model; FILE#KEY names a part of a checkpoint.
    #[arg(value_name = "FILE[#KEY]", required = true)]
    pub files: Vec<String>,

    /// Read as this format, whatever the content looks like.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Read with system calls instead of mapping the file: for network file systems and files that may shrink.
    #[arg(long)]
    pub no_mmap: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which tensors, in which order.
#[derive(Debug, clap::Args)]
pub struct PickArgs {
    /// Only tensors whose name matches; may be repeated. `*` also matches dots.
    #[arg(short = 't', long = "tensor", value_name = "GLOB")]
    pub tensors: Vec<String>,

    /// Only tensors of this role (parameter, buffer, constant, optimizer, packed, other).
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,

    /// Also tensors of a pickled module that its state_dict() leaves out.
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, clap::Args)]
pub struct LsArgs {
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub pick: PickArgs,

    /// The sha256 of each tensor's contiguous little-endian values.
    #[arg(long)]
    pub hash: bool,

    /// Order by.
    #[arg(long, value_enum, default_value_t = ListOrder::File)]
    pub sort: ListOrder,
}

#[derive(Debug, clap::Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub pick: PickArgs,

    /// Also the 100-bin histogram of magnitudes (torch.histc's rule) and counts by exponent; a table draws it
    /// wider.
    #[arg(long)]
    pub hist: bool,

    /// Order by, largest first.
    #[arg(long, value_enum, default_value_t = StatsOrder::File)]
    pub sort: StatsOrder,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  weigh show m.pth -t 'fc.weight[0]'           one row
  weigh show m.pth -t fc.weight --largest 5    the five largest magnitudes and where they are
  weigh show m.pth -t fc.weight -o fc.npy      save it for NumPy")]
pub struct ShowArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// The tensor, with an optional slice: NAME[0,:,3:5].
    #[arg(short = 't', long = "tensor", value_name = "NAME[SLICE]")]
    pub tensor: String,

    /// Magnitudes instead of values.
    #[arg(long)]
    pub abs: bool,

    /// All values of the slice in ascending order.
    #[arg(long, conflicts_with_all = ["largest", "smallest"])]
    pub sorted: bool,

    /// The N largest magnitudes, with their indices.
    #[arg(long, value_name = "N", conflicts_with = "smallest")]
    pub largest: Option<usize>,

    /// The N smallest magnitudes, with their indices.
    #[arg(long, value_name = "N")]
    pub smallest: Option<usize>,

    /// Most values to print (--largest and --smallest print as many as they say).
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: u64,

    /// Save the slice as a NumPy array instead of printing it.
    #[arg(short = 'o', long = "output", value_name = "FILE.npy")]
    #[arg(conflicts_with_all = ["abs", "sorted", "largest", "smallest"])]
    pub output: Option<PathBuf>,

    /// Replace an existing output file.
    #[arg(long)]
    pub force: bool,
}

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

    /// ONNX: compute in this type of 16 bits (f16, bf16) wherever ONNX defines it, with casts where types meet.
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["select", "drop", "drop_optimizer", "all", "strip_prefix"])]
    #[arg(conflicts_with_all = ["rename", "rename_map", "transpose", "permute", "into", "dtype", "shard", "manifest"])]
    pub precision: Option<String>,

    /// Leave in f32 what would not survive: by weights, by activations, and by operators that add up or exponentiate.
    #[arg(long, requires = "precision")]
    pub keep_unsafe: bool,

    /// Inputs and outputs in the type of --precision too.
    #[arg(long, requires = "precision")]
    pub io: bool,

    /// Look at activations on the arrays of this file, named as the inputs are, instead of random values.
    #[cfg(feature = "run")]
    #[arg(long, value_name = "FILE.npz", requires = "keep_unsafe")]
    pub inputs: Option<PathBuf>,

    /// The shape of an input where the model leaves it open: x=1,3,224,224; may be repeated.
    #[cfg(feature = "run")]
    #[arg(long = "input", value_name = "NAME=SIZES", requires = "keep_unsafe", conflicts_with = "inputs")]
    pub shapes: Vec<String>,

    /// The engine that activations are looked at in: rten or onnxruntime.
    #[cfg(feature = "run")]
    #[arg(long, value_name = "ENGINE", requires = "keep_unsafe")]
    pub engine: Option<String>,

    /// The library of ONNX Runtime; otherwise $ORT_DYLIB_PATH, otherwise the active Python's.
    #[cfg(feature = "run")]
    #[arg(long, value_name = "PATH", requires = "keep_unsafe")]
    pub ort: Option<PathBuf>,

    /// At most so many bytes a file, with an index (500MB, 5GB, 2GiB).
    #[arg(long, value_name = "SIZE")]
    pub shard: Option<String>,

    /// ONNX: put tensors of at least so many bytes (1024 unless told) into FILE.data; a model of more than 2 GB does
    /// without being asked.
    #[arg(long, value_name = "SIZE", num_args = 0..=1, default_missing_value = "1024")]
    pub external: Option<String>,

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
}

#[cfg(feature = "run")]
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  weigh verify net.onnx simplified.onnx
  weigh verify a.onnx b.onnx --input x=1,3,224,224 --tolerance 1e-3
  weigh verify a.onnx b.onnx --inputs sample.npz --time
  weigh verify a.onnx b.onnx --ort /usr/lib/libonnxruntime.so

Exit status: 0 the same, 1 not the same, 2 failure.")]
pub struct VerifyArgs {
    /// The model that is right.
    pub a: PathBuf,

    /// The model to compare with it.
    pub b: PathBuf,

    /// Read as this format, whatever the content looks like.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// The shape of an input where the model leaves it open: x=1,3,224,224; may be repeated.
    #[arg(long = "input", value_name = "NAME=SIZES", conflicts_with = "inputs")]
    pub shapes: Vec<String>,

    /// Run on the arrays of this file, named as the inputs are, instead of random values.
    #[arg(long, value_name = "FILE.npz")]
    pub inputs: Option<PathBuf>,

    /// Seed of the random values.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Largest difference to let pass, relative to the largest magnitude in a tensor.
    #[arg(long, value_name = "X", default_value_t = 1e-4)]
    pub tolerance: f64,

    /// The engine: rten (built in) or onnxruntime (where its library is found, and then taken unless told).
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,

    /// The library of ONNX Runtime; otherwise $ORT_DYLIB_PATH, otherwise the active Python's.
    #[arg(long, value_name = "PATH")]
    pub ort: Option<PathBuf>,

    #[command(flatten)]
    pub bounds: crate::engine::BoundsArgs,

    /// Compare no inner values.
    #[arg(long)]
    pub outputs_only: bool,

    /// Also time both.
    #[arg(long)]
    pub time: bool,

    /// Read with system calls instead of mapping the files.
    #[arg(long)]
    pub no_mmap: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, clap::Args)]
pub struct FormatsArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListOrder {
    /// As the file holds them.
    File,
    Name,
    /// Largest first.
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatsOrder {
    /// As the file holds them.
    File,
    Name,
    Count,
    AbsMax,
    Std,
    Zero,
    Nan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Sets the choice for every stream.
    pub fn apply(self) {
        match self {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}
