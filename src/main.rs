// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `slamboot` command.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
