//! Arguments of `weigh convert … --precision`.

/// Mixed precision.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Mixed precision (ONNX)")]
pub struct PrecisionArgs {
    /// Compute in this type of 16 bits (f16, bf16) wherever ONNX defines it, with casts where types meet.
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["select", "drop", "drop_optimizer", "all", "strip_prefix"])]
    #[arg(conflicts_with_all = ["rename", "rename_map", "transpose", "permute", "into", "dtype", "shard", "manifest"])]
    pub precision: Option<String>,

    /// Leave in f32 what would not survive: by weights, by activations, and by operators that add up or exponentiate.
    #[arg(long, requires = "precision")]
    pub keep_unsafe: bool,

    /// Inputs and outputs in the type of --precision too.
    #[arg(long, requires = "precision")]
    pub io: bool,

    /// Look at activations on the arrays of this file, named as the inputs are, instead of random values (whose shapes
    /// --input tells, where the model leaves them open).
    #[cfg(feature = "run")]
    #[arg(long, value_name = "FILE.npz", requires = "keep_unsafe")]
    pub inputs: Option<std::path::PathBuf>,

    #[cfg(feature = "run")]
    #[command(flatten)]
    pub engine: crate::engine::EngineArgs,
}
