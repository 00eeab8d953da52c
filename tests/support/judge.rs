// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests with judges share: a judge that is not there is said aloud.

use std::io::Write;
use std::process::{Command, Stdio};

/// Says why a test did nothing, past the test runner's capture.
pub fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// True if the tool can be started; else the test says that it is skipped.
pub fn has_tool(test: &str, tool: &str) -> bool {
    let found = Command::new(tool)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        skip(test, &format!("no {tool}; cargo xtask setup installs it"));
    }
    found
}
