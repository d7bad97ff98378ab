//! Engines for commands: which one, and what it may take. What it runs, it runs in a process of its own, which is this
//! program under a command that help does not show.

use std::io::{stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use weighbridge_model::{Error, Model, Result};
use weighbridge_run::{
    Array, Bounds, Engine, EngineChoice, Fed, choose_bounded, reference, serve, usual_memory,
};

use crate::{parse, printer};

/// The command that runs a model for this program.
pub const COMMAND: &str = "run-engine";

/// The engine that runs a model, and what it may take.
#[derive(Debug, clap::Args)]
pub struct EngineArgs {
    /// The engine for ONNX: rten (built in) or onnxruntime (where its library is found, and then taken unless told).
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,

    /// The library of ONNX Runtime; otherwise $ORT_DYLIB_PATH, otherwise the active Python's.
    #[arg(long, value_name = "PATH")]
    ort: Option<PathBuf>,

    /// Most memory that running a model may take (500MB, 8GB); four fifths of what is available unless told. Linux only.
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,

    /// Most seconds that reading or running a model may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    timeout: f64,
}

/// What the process is told.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    pub file: PathBuf,
    #[arg(long)]
    pub engine: Option<String>,
    #[arg(long)]
    pub ort: Option<PathBuf>,
    #[arg(long)]
    pub memory: Option<u64>,
}

/// The engine that is asked for, or the usual one, each of whose models runs within bounds.
pub fn open(args: &EngineArgs) -> Result<Box<dyn Engine>> {
    let program = std::env::current_exe().map_err(|e| Error::io("this program", e))?;
    let time = Duration::try_from_secs_f64(args.timeout).ok().filter(|time| !time.is_zero());
    let time = time.ok_or_else(|| Error::Usage { what: "--timeout takes a number above 0".into() })?;
    let memory = match &args.memory_limit {
        Some(text) => Some(parse::bytes(text)?),
        None => usual_memory(),
    };
    let bounds = Bounds { program: (program, vec![COMMAND.to_owned()]), memory, time };
    choose_bounded(&EngineChoice { name: args.engine.clone(), library: args.ort.clone() }, bounds)
}

/// The engine for `model`: the interpreter for a net of Caffe's, otherwise as [`open`].
pub fn open_for(model: &Model, args: &EngineArgs) -> Result<Box<dyn Engine>> {
    match reference(model) {
        Some(engine) => Ok(engine),
        None => open(args),
    }
}

/// The inputs, once it is told which of their shapes are guesses.
pub fn told(fed: Fed) -> Vec<(String, Array)> {
    tell_guessed(&fed.guessed);
    fed.inputs
}

/// Tells the shapes of inputs that nobody told, and that were found to work.
pub fn tell_guessed(guessed: &[(String, Vec<u64>)]) {
    if !guessed.is_empty() {
        printer::note(&format!("sizes are open; run on {}", named(guessed)));
    }
}

/// `x=1,3,224,224` each.
pub fn named(shapes: &[(String, Vec<u64>)]) -> String {
    let sizes = |shape: &[u64]| shape.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    shapes.iter().map(|(name, shape)| format!("{name}={}", sizes(shape))).collect::<Vec<_>>().join(" ")
}

/// Runs the model that another process of this program asks for.
pub fn run(args: &RunArgs) -> Result<()> {
    let choice = EngineChoice { name: args.engine.clone(), library: args.ort.clone() };
    serve(&choice, &args.file, args.memory, stdin(), stdout())
}
