// SPDX-License-Identifier: MIT OR Apache-2.0
//! slamboot's verbs: they put the rooms to work.
mod bench;
mod boot;
mod codegen;
mod dist;
mod flash;
mod package;
mod passed;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use xtask::firmware;
use xtask::paths::Paths;
use xtask::trust;

/// Builds, serves and proves slamboot.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Setup(setup::Arguments),
    Firmware(firmware::Arguments),
    /// Make disk images: `slamboot image`, built first.
    Image(passed::Arguments),
    Dist(dist::Arguments),
    /// Serve images by multicast: `slamboot serve`, built first; without FILE and configuration the demo
    /// in dist/, which is made where it is not there.
    Serve(passed::Arguments),
    Package(package::Arguments),
    Boot(boot::Arguments),
    Flash(flash::Arguments),
    Trust(trust::Arguments),
    Test(test::Arguments),
    Bench(bench::Arguments),
    Codegen(codegen::Arguments),
    Tidy(tidy::Arguments),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes. A cause that the one before has told already is left out.
fn told(error: &anyhow::Error) -> String {
    site::causes(error.as_ref()).join(": ")
}

fn run(arguments: Arguments) -> Result<()> {
    let paths = Paths::from_env()?;
    match arguments.verb {
        Verb::Setup(arguments) => setup::run(&arguments),
        Verb::Firmware(arguments) => firmware::run(&arguments, &paths),
        Verb::Image(arguments) => passed::run("image", &arguments, &paths),
        Verb::Dist(arguments) => dist::run(&arguments, &paths),
        Verb::Serve(arguments) => passed::serve(&arguments, &paths),
        Verb::Package(arguments) => package::run(&arguments, &paths),
        Verb::Boot(arguments) => boot::run(&arguments, &paths),
        Verb::Flash(arguments) => flash::run(&arguments),
        Verb::Trust(arguments) => trust::run(&arguments, &paths),
        Verb::Test(arguments) => test::run(&arguments, &paths),
        Verb::Bench(arguments) => bench::run(&arguments, &paths),
        Verb::Codegen(arguments) => codegen::run(&arguments, &paths),
        Verb::Tidy(arguments) => tidy::run(&arguments, &paths),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    #[test]
    fn causes_are_told_once() {
        let error = Err::<(), _>(anyhow!("no such file"))
            .context("cannot read a: no such file\nhelp: name another")
            .context("nothing was built");
        assert_eq!(
            told(&error.unwrap_err()),
            "nothing was built: cannot read a: no such file\nhelp: name another"
        );
    }
}
