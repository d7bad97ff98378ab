//! What is asked of a net of Caffe's.

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
