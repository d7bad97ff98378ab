//! The command line, declared once: parsing, `--help` and completions all come from here.

mod check;
mod diff;
mod precision;

use std::path::PathBuf;

pub use check::CheckArgs;
pub use diff::{DiffArgs, DiffOrder};
pub use precision::PrecisionArgs;

use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  weigh model.pth                       what is in it, how it is distributed, does it survive FP16
  weigh 'ckpt.pth#ema'                  one part of a checkpoint
  weigh folder/                         a folder's shards as one model
  weigh ls model.safetensors --hash     every tensor, with the sha256 of its values
  weigh stats net.onnx -t '*.weight'    figures of the tensors that match
  weigh show m.pth -t 'conv1.weight[0,:,3:5]'
  weigh convert m.pth -o m.safetensors  move the weights, bit for bit
  weigh diff m.pth m.onnx               what became of the weights on the way

Exit status: 0 fine, 1 check, diff, simplify or verify found something, 2 failure.";

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
    /// Untangle, fold and clean an ONNX graph, and prove that it computes the same.
    Simplify(Box<SimplifyArgs>),
    /// What two models have in common: what is the same, renamed, transposed, folded, quantized, changed, missing.
    Diff(DiffArgs),
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
    /// The model that is right, of a file or several (deploy.prototxt net.caffemodel), then the one to compare with it.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,

    /// The files of the model to compare, where it has several; all others are of the one that is right.
    #[arg(long = "with", value_name = "FILE", num_args = 1..)]
    pub with: Vec<PathBuf>,

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

    /// The engine for ONNX: rten (built in) or onnxruntime (where its library is found, and then taken unless told).
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,

    /// The library of ONNX Runtime; otherwise $ORT_DYLIB_PATH, otherwise the active Python's.
    #[arg(long, value_name = "PATH")]
    pub ort: Option<PathBuf>,

    #[command(flatten)]
    pub bounds: crate::engine::BoundsArgs,

    #[command(flatten)]
    pub state: StateArgs,

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

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  weigh simplify net.onnx -o simple.onnx
  weigh simplify net.onnx -o simple.onnx --input x=1,3,224,224
  weigh simplify net.onnx -o simple.onnx --keep fold-constants --keep gemm
  weigh simplify --list-passes

Exit status: 0 simplified, 1 the result does not compute the same (and is not written), 2 failure.")]
pub struct SimplifyArgs {
    /// The ONNX model.
    #[arg(value_name = "FILE", required_unless_present = "list_passes")]
    pub file: Option<PathBuf>,

    /// The file to write.
    #[arg(short = 'o', long = "output", value_name = "FILE", required_unless_present_any = ["list_passes", "dry_run"])]
    pub output: Option<PathBuf>,

    /// The shape that an input is to have: x=1,3,224,224; may be repeated.
    #[arg(long = "input", value_name = "NAME=SIZES")]
    pub shapes: Vec<String>,

    /// Leave out this pass; may be repeated.
    #[arg(long, value_name = "PASS")]
    pub keep: Vec<String>,

    /// No passes but this one; may be repeated.
    #[arg(long, value_name = "PASS")]
    pub only: Vec<String>,

    /// Merge parallel linear branches that sum into one convolution (RepVGG, ACNet, DBB, MobileOne); not done unless asked
    /// for.
    #[arg(long)]
    pub reparameterize: bool,

    /// Fold BatchNormalization into what stands beside it; done unless told otherwise, and with --only where asked for.
    #[arg(long)]
    pub fold_bn: bool,

    /// Tell the passes and what each does.
    #[arg(long)]
    pub list_passes: bool,

    /// Do not run both models to compare them.
    #[arg(long)]
    pub no_verify: bool,

    /// Largest difference to let pass, relative to the largest magnitude in an output.
    #[arg(long, value_name = "X", default_value_t = 1e-4)]
    pub tolerance: f64,

    /// Compare models of at most so many bytes of weights.
    #[arg(long, value_name = "SIZE", default_value = "2GB")]
    pub verify_limit: String,

    /// The engine that compares: rten (built in) or onnxruntime (where its library is found, and then taken unless told).
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<String>,

    /// The library of ONNX Runtime; otherwise $ORT_DYLIB_PATH, otherwise the active Python's.
    #[arg(long, value_name = "PATH")]
    pub ort: Option<PathBuf>,

    #[cfg(feature = "run")]
    #[command(flatten)]
    pub bounds: crate::engine::BoundsArgs,

    /// Put tensors of at least so many bytes (1024 unless told) into FILE.data; a model of more than 2 GB does without
    /// being asked.
    #[arg(long, value_name = "SIZE", num_args = 0..=1, default_missing_value = "1024")]
    pub external: Option<String>,

    /// Tell what would be done, and write nothing.
    #[arg(long)]
    pub dry_run: bool,

    /// Replace existing files.
    #[arg(long)]
    pub force: bool,

    /// Return only when everything is on the disk.
    #[arg(long)]
    pub sync: bool,

    /// Tell of every place that was left as it is, with the reason.
    #[arg(short, long)]
    pub verbose: bool,

    /// Read with system calls instead of mapping the file.
    #[arg(long)]
    pub no_mmap: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which layers of a net of Caffe's are there. The phase is TEST.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    /// A stage of a net of Caffe's that is met, beside those in the net's own `state`; may be repeated.
    #[arg(long = "stage", value_name = "NAME")]
    pub stages: Vec<String>,

    /// The level that the rules of a net of Caffe's are held against, instead of the one in the net's own `state`.
    #[arg(long, value_name = "N")]
    pub level: Option<i64>,
}

/// From a net of Caffe's to a graph of other operators.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "A net of Caffe's as a graph")]
pub struct LowerArgs {
    /// Sizes of an input, where the net does not tell them or others are wanted: `data=1,3,224,224`; may be repeated.
    #[arg(long = "input", value_name = "NAME=SIZES")]
    pub shapes: Vec<String>,

    #[command(flatten)]
    pub state: StateArgs,

    /// Keep layers that have no equal as nodes of the domain `caffe`.
    #[arg(long)]
    pub allow_unknown: bool,

    /// Put into the graph what is done to images before: `net` (what the net's data layers say; the default),
    /// `mean=104,117,123`, `mean=FILE.binaryproto`, `scale=0.017`, `rgb`; may be repeated.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "net")]
    pub preprocess: Vec<String>,
}
