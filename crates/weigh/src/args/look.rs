//! What the commands take that look at tensors: `ls`, `stats`, `show`.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{InputArgs, PickArgs};

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
