// SPDX-License-Identifier: MIT OR Apache-2.0
//! Registry hives from the outside: other people's tools read what we write, we read what they
//! write, and bad input is met with good errors.

mod errors;
mod fuzz;
mod hives;
#[path = "../support/judge.rs"]
mod judge;
mod judges;
mod large;
mod model;
mod support;
