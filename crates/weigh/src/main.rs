//! `weigh`: look at, judge, move and prove the weights of neural networks.

#![forbid(unsafe_code)]

mod args;
mod commands;
#[cfg(feature = "run")]
mod engine;
mod input;
mod parse;
mod printer;
mod progress;
mod slice;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use weighbridge_model::{Result, nearest};

use args::{Args, Command};

fn main() -> ExitCode {
    let parsed = Args::try_parse();
    // Without a command of that name, the first word is taken for a file, and what follows for files or a mistake.
    let stumbled = match &parsed {
        Ok(args) => args.report.as_ref().is_some_and(|report| report.files.len() > 1),
        Err(e) => matches!(e.kind(), ErrorKind::ArgumentConflict | ErrorKind::UnknownArgument),
    };
    if let Some((word, near)) = near_command().filter(|_| stumbled) {
        eprintln!("error: no command named '{word}'; did you mean '{near}'?");
        return ExitCode::from(2);
    }
    let args = parsed.unwrap_or_else(|error| error.exit());
    args.color.apply();
    let fine = |done: Result<()>| done.map(|()| true);
    let result = match (&args.command, &args.report) {
        (Some(Command::Ls(ls)), _) => fine(commands::ls::run(ls)),
        (Some(Command::Stats(stats)), _) => fine(commands::stats::run(stats)),
        (Some(Command::Show(show)), _) => fine(commands::show::run(show)),
        (Some(Command::Convert(convert)), _) => fine(commands::convert::run(convert)),
        (Some(Command::Check(check)), _) => commands::check::run(check),
        (Some(Command::Simplify(simplify)), _) => commands::simplify::run(simplify),
        (Some(Command::Diff(diff)), _) => commands::diff::run(diff),
        #[cfg(feature = "run")]
        (Some(Command::Verify(verify)), _) => commands::verify::run(verify),
        #[cfg(feature = "run")]
        (Some(Command::RunEngine(run)), _) => fine(engine::run(run)),
        (Some(Command::Formats(formats)), _) => fine(commands::formats::run(formats)),
        (Some(Command::Completions { shell }), _) => fine(commands::completions::run(*shell)),
        (None, Some(report)) => fine(commands::report::run(report)),
        (None, None) => unreachable!("without a file, clap has shown the help and left"),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            printer::error(&error);
            ExitCode::from(2)
        }
    }
}

/// The first word and the command that it nearly names, where it is no file.
fn near_command() -> Option<(String, String)> {
    let word = std::env::args().nth(1).filter(|word| !std::path::Path::new(word).exists())?;
    let command = Args::command();
    let shown = command.get_subcommands().filter(|c| !c.is_hide_set());
    let near = nearest(&word, shown.map(|c| c.get_name())).into_iter().next()?;
    (near != word).then_some((word, near))
}
