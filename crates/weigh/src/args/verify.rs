//! What `weigh verify` takes.

use std::path::PathBuf;

use super::StateArgs;

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

    #[command(flatten)]
    pub engine: crate::engine::EngineArgs,

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
