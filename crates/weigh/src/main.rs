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
    let result = match (&args.command, &args.report) {
        (Some(Command::Ls(ls)), _) => commands::ls::run(ls),
        (Some(Command::Stats(stats)), _) => commands::stats::run(stats),
        (Some(Command::Show(show)), _) => commands::show::run(show),
        (Some(Command::Completions { shell }), _) => commands::completions::run(*shell),
        (None, Some(report)) => commands::report::run(report),
        (None, None) => unreachable!("without a file, clap has shown the help and left"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            printer::error(&error);
            ExitCode::from(2)
        }
    }
}
