// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask flash`: firmware onto cards and sticks, and into virtual machines.

mod card;
mod stick;
mod vm;

use anyhow::Result;
use clap::Subcommand;

/// Put firmware where machines find it: a card's flash chip, a USB stick, a virtual machine.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Place {
    Card(card::Arguments),
    Stick(stick::Arguments),
    Vm(vm::Arguments),
}

/// Runs the verb.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.place {
        Place::Card(arguments) => card::run(arguments),
        Place::Stick(arguments) => stick::run(arguments),
        Place::Vm(arguments) => vm::run(arguments),
    }
}
