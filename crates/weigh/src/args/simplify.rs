//! What `weigh simplify` takes.

use std::path::PathBuf;

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

    #[cfg(feature = "run")]
    #[command(flatten)]
    pub engine: crate::engine::EngineArgs,

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
