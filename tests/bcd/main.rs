// SPDX-License-Identifier: MIT OR Apache-2.0
//! Boot configuration stores from the outside: the old recipe against the builder, other
//! people's tools on what we write, random stores there and back, scripts and hives of garbage,
//! and the command as a user runs it.

mod command;
mod faults;
mod fuzz;
#[path = "../support/judge.rs"]
mod judge;
mod judges;
mod names;
mod random;
mod recipe;
mod round_trip;
mod scripts;
