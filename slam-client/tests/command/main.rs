// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command as its users run it, against small servers on loopback.
#![cfg(feature = "cli")]

mod device;
mod fallback;
mod files;
mod http;
mod interfaces;
mod program;
mod streams;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with the tests of the library")]
mod support;
