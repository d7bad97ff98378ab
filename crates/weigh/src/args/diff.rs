//! The arguments of `weigh diff`.

use clap::ValueEnum;

const EXAMPLES: &str = "\
Examples:
  weigh diff net.pth net.onnx                   what the exporter folded, renamed, transposed
  weigh diff net.pth net.wts --all              every pair
  weigh diff deploy.prototxt,net.caffemodel net.pth
  weigh diff ckpt.pth#model ckpt.pth#ema        two parts of one checkpoint
  weigh diff e1.pth e2.pth e3.pth               over time: which layers moved, and how far

Exit status: 0 where everything is explained or within the tolerance, 1 where something differs or is missing.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct DiffArgs {
    /// Two models, or more of them over time; FILE#KEY names a part of a checkpoint, and files that make one model are
    /// joined by commas.
    #[arg(value_name = "MODEL", required = true, num_args = 2..)]
    pub models: Vec<String>,

    /// Largest difference of a changed tensor to let pass, relative to the tensor's largest magnitude.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub tolerance: f64,

    /// Order by.
    #[arg(long, value_enum, default_value_t = DiffOrder::File)]
    pub sort: DiffOrder,

    /// Every pair, not only those that are worth looking at.
    #[arg(long)]
    pub all: bool,

    /// Read as this format, whatever the content looks like.
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Read with system calls instead of mapping the files.
    #[arg(long)]
    pub no_mmap: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffOrder {
    /// As in the first file.
    File,
    /// By name.
    Name,
    /// What changed most comes first.
    Change,
}
