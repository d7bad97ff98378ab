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

    /// Most memory that running a model may take (500MB, 8GB): four fifths of what is available unless told, in simplify
    /// 2 GiB and eight times the weights. Linux only.
    #[arg(long, value_name = "SIZE")]
    memory_limit: Option<String>,

    /// Most seconds that reading and running models may take in all: 300 unless told, in simplify 10 and more by the size
    /// of what is computed.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
}

impl EngineArgs {
    /// Bytes of memory, where they are told.
    pub fn memory(&self) -> Result<Option<u64>> {
        self.memory_limit.as_deref().map(parse::bytes).transpose()
    }
}

/// What a run may take unless told otherwise.
pub struct Usual {
    pub time: Duration,
    pub memory: Option<u64>,
}

impl Usual {
    pub const MOST_SECONDS: u64 = 300;
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
    open_within(args, &Usual { time: Duration::from_secs(Usual::MOST_SECONDS), memory: usual_memory() })
}

/// As [`open`], within these bounds unless told otherwise.
pub fn open_within(args: &EngineArgs, usual: &Usual) -> Result<Box<dyn Engine>> {
    let program = std::env::current_exe().map_err(|e| Error::io("this program", e))?;
    let told = args.timeout.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let time = told.unwrap_or(usual.time);
    if time.is_zero() {
        return Err(Error::Usage { what: "--timeout takes a number above 0".into() });
    }
    let memory = args.memory()?.or(usual.memory);
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
