// SPDX-License-Identifier: MIT OR Apache-2.0
//! The firmware's own client, the C that ROMs carry, as a Linux program on a tap.

mod foe;
mod hostile;
mod membership;
mod mini;
mod moved;
mod rig;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use support::{Outcome, trial};
use xtask::host::Need;

type Test = fn() -> Outcome;

fn main() -> ExitCode {
    let skip = support::lacking(&[Need::Firmware, Need::Boot]).or_else(rig::lacking);
    let tests = hostile::TESTS.into_iter();
    let tests = tests.chain(membership::TESTS).chain(mini::TESTS);
    let tests = tests.chain(moved::TESTS);
    let trials: Vec<_> = tests
        .map(|(name, test)| trial(name, skip.clone(), test))
        .collect();
    let skip = skip.or_else(rig::lacking_uefi);
    let uefi = trial(
        "a_uefi_machine_fetches_from_both_families",
        skip,
        membership::uefi,
    );
    let trials = trials.into_iter().chain([uefi]);
    // They wait more than they work.
    support::run(trials.collect(), 7)
}
