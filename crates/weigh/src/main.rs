//! `weigh`: look at, judge, move and prove the weights of neural networks.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod input;
mod printer;
mod progress;
mod slice;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use weighbridge_model::nearest;

use args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| {
        // Without a command of that name, clap takes the first word for a file and stumbles over the next one.
        if let Some(near) = near_command(error.kind()) {
            eprintln!("error: no command named '{}'; did you mean '{}'?", near.0, near.1);
            std::process::exit(2);
        }
        error.exit()
    });
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

/// The first word and the command that it nearly names, where it is no file and something follows it.
fn near_command(kind: ErrorKind) -> Option<(String, String)> {
    let stumbled = matches!(kind, ErrorKind::ArgumentConflict | ErrorKind::UnknownArgument);
    let word = std::env::args().nth(1).filter(|word| stumbled && !std::path::Path::new(word).exists())?;
    let command = Args::command();
    let names = command.get_subcommands().map(|c| c.get_name());
    let near = nearest(&word, names).into_iter().next()?;
    Some((word, near))
}
