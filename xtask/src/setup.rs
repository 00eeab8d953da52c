// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask setup`: what the verbs need of this host.

use anyhow::Result;

use xtask::host::{self, Need};

use xtask::table::Table;

/// Show what the verbs need of this host, and install what is missing.
///
/// As root on Debian missing packages are installed; elsewhere the one command that does it is
/// printed, and setup fails. The other verbs do the same by themselves, each for what it needs.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only these; without it, everything that building and testing want (all but bench).
    #[arg(value_enum)]
    needs: Vec<Need>,
    /// Everything: the same as naming none.
    #[arg(long, conflicts_with = "needs")]
    all: bool,
    /// Only look: install nothing, and fail if something is missing.
    #[arg(long)]
    check: bool,
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    let needs = match &arguments.needs[..] {
        [] => &Need::ALL[..],
        needs => needs,
    };
    let result = if arguments.check {
        host::check(needs)
    } else {
        host::ensure(needs)
    };
    let mut table = Table::new(["part", "for", "where"]);
    for row in host::table(needs) {
        table.row(row);
    }
    print!("{table}");
    result?;
    println!("nothing is missing; next: cargo xtask dist");
    Ok(())
}
