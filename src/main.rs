// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command `slamboot`.

mod cli;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Boot a whole room of PCs at once, over multicast.
#[derive(Debug, Parser)]
#[command(name = "slamboot", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Image(cli::image::ImageArgs),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Image(arguments) => cli::image::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
