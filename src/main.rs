// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `slamboot` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    slamboot::cli::main()
}
