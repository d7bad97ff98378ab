//! The command line, declared once: parsing, `--help` and completions all come from here.

mod check;
mod convert;
mod diff;
mod look;
mod lower;
mod precision;
mod simplify;
#[cfg(feature = "run")]
mod verify;

pub use check::CheckArgs;
pub use convert::ConvertArgs;
pub use diff::{DiffArgs, DiffOrder};
pub use look::{ListOrder, LsArgs, ShowArgs, StatsArgs, StatsOrder};
pub use lower::{LowerArgs, StateArgs};
pub use precision::PrecisionArgs;
pub use simplify::SimplifyArgs;
#[cfg(feature = "run")]
pub use verify::VerifyArgs;

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
pub struct FormatsArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
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
