//! Engines for commands: which one, and what it may take. What it runs, it runs in a process of its own, which is this
//! program under a command that help does not show.

use std::io::{stdin, stdout};
use std::path::PathBuf;
use std::time::Duration;

use weighbridge_model::{Error, Result};
use weighbridge_run::{Bounds, Engine, EngineChoice, choose_bounded, serve, usual_memory};

use crate::commands::convert::size;

/// The command that runs a model for this program.
pub const COMMAND: &str = "run-engine";

/// What running a model may take.
#[derive(Debug, clap::Args)]
pub struct BoundsArgs {
    /// Most memory that running a model may take (500MB, 8GB); four fifths of what is available unless told. Linux only.
    #[arg(long, value_name = "SIZE")]
    pub memory_limit: Option<String>,

    /// Most seconds that reading or running a model may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0)]
    pub timeout: f64,
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

/// The engine of this name, or the usual one, each of whose models runs within bounds.
pub fn open(name: Option<String>, library: Option<PathBuf>, bounds: &BoundsArgs) -> Result<Box<dyn Engine>> {
    let program = std::env::current_exe().map_err(|e| Error::io("this program", e))?;
    let time = Duration::try_from_secs_f64(bounds.timeout).ok().filter(|time| !time.is_zero());
    let time = time.ok_or_else(|| Error::Usage { what: "--timeout takes a number above 0".into() })?;
    let memory = match &bounds.memory_limit {
        Some(text) => Some(size(text)?),
        None => usual_memory(),
    };
    let bounds = Bounds { program: (program, vec![COMMAND.to_owned()]), memory, time };
    choose_bounded(&EngineChoice { name, library }, bounds)
}

/// Runs the model that another process of this program asks for.
pub fn run(args: &RunArgs) -> Result<()> {
    let choice = EngineChoice { name: args.engine.clone(), library: args.ort.clone() };
    serve(&choice, &args.file, args.memory, stdin(), stdout())
}
