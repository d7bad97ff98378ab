//! What `weigh check` takes.

use clap::ValueEnum;
use weighbridge_model::Severity;

use super::InputArgs;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  weigh check net.pth                          will it survive FP16, and is it sound
  weigh check net.onnx --for f16,bf16 --json
  weigh check net.onnx --inputs sample.npz     also the range of every activation
  weigh check net.onnx --input x=1,3,224,224   the same on random inputs of this shape
  weigh check net.onnx --sarif > check.sarif --fail-on warning

Exit status: 0 nothing of the severity of --fail-on, 1 something, 2 failure.")]
pub struct CheckArgs {
    #[command(flatten)]
    pub input: InputArgs,

    /// Number formats to judge for: f16, bf16, tf32.
    #[arg(long = "for", value_name = "TYPES", value_delimiter = ',', default_value = "f16")]
    pub targets: Vec<String>,

    /// The least severity that makes the exit status 1.
    #[arg(long, value_enum, default_value_t = FailOn::Error, value_name = "SEVERITY")]
    pub fail_on: FailOn,

    /// Print SARIF 2.1.0.
    #[arg(long, conflicts_with = "json")]
    pub sarif: bool,

    #[cfg(feature = "run")]
    #[command(flatten)]
    pub run: ActivationArgs,
}

/// What activations are looked at on.
#[cfg(feature = "run")]
#[derive(Debug, clap::Args)]
pub struct ActivationArgs {
    /// Look at activations on the arrays of this file, named as the inputs are.
    #[arg(long, value_name = "FILE.npz")]
    pub inputs: Option<std::path::PathBuf>,

    /// Look at activations on random inputs.
    #[arg(long, conflicts_with = "inputs")]
    pub random: bool,

    /// The shape of an input where the model leaves it open, and random values: x=1,3,224,224; may be repeated.
    #[arg(long = "input", value_name = "NAME=SIZES", conflicts_with = "inputs")]
    pub shapes: Vec<String>,

    /// Seed of the random values.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    #[command(flatten)]
    pub engine: crate::engine::EngineArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    Error,
    Warning,
    Info,
    Never,
}

impl FailOn {
    /// Whether something of this severity is a failure.
    pub fn fails(self, severity: Severity) -> bool {
        match self {
            FailOn::Error => severity >= Severity::Error,
            FailOn::Warning => severity >= Severity::Warning,
            FailOn::Info => true,
            FailOn::Never => false,
        }
    }
}
