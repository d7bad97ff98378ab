//! `weigh completions SHELL`.

use clap::CommandFactory;
use weighbridge_model::Result;

use crate::args::Args;
use crate::printer;

pub fn run(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "weigh", &mut script);
    printer::data(&String::from_utf8_lossy(&script))
}
