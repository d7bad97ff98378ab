//! `weigh`: look at, judge, move and prove the weights of neural networks.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod input;
mod printer;
mod progress;
mod slice;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    args.color.apply();
    let result = match &args.command {
        Some(Command::Ls(ls)) => commands::ls::run(ls),
        Some(Command::Stats(stats)) => commands::stats::run(stats),
        Some(Command::Show(show)) => commands::show::run(show),
        Some(Command::Completions { shell }) => commands::completions::run(*shell),
        None => commands::report::run(&args.report),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer::error(&error);
            ExitCode::from(2)
        }
    }
}
