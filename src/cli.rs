// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: its verbs, one module each, and how errors are told.

mod bcd;
mod doctor;
mod generate;
mod image;
mod rom;
mod serve;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Boot a whole room of PCs at once, over multicast.
#[derive(Debug, Parser)]
#[command(
    name = "slamboot",
    version,
    after_help = "Exit codes: 0 done, 1 failed (the error says why and what to do), 2 wrong options."
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(Box<serve::ServeArgs>),
    Top(top::TopArgs),
    Doctor(doctor::DoctorArgs),
    Image(image::ImageArgs),
    Bcd(bcd::BcdArgs),
    Rom(rom::RomArgs),
    #[command(hide = true)]
    Generate(generate::GenerateArgs),
}

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.verb {
        Verb::Serve(args) => match serve::run(*args) {
            Ok(true) => Ok(()),
            // The log has said why.
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        Verb::Doctor(args) => match doctor::run(&args) {
            Ok(true) => Ok(()),
            // The findings have said it all.
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        Verb::Top(args) => top::run(&args),
        Verb::Image(args) => image::run(&args),
        Verb::Bcd(args) => bcd::run(args),
        Verb::Rom(args) => rom::run(&args),
        Verb::Generate(args) => generate::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// `error: ...`, then its causes. A cause that the line before has told already is left out.
fn explain(error: &anyhow::Error) -> String {
    let told = site::causes(error.as_ref());
    format!("error: {}", told.join("\n  caused by: "))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn options_are_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_are_told_once() {
        let error = Err::<(), _>(anyhow!("no such file"))
            .context("cannot read x: no such file")
            .context("cannot serve")
            .unwrap_err();
        assert_eq!(
            explain(&error),
            "error: cannot serve\n  caused by: cannot read x: no such file"
        );
    }
}
