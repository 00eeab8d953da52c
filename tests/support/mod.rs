// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests with real programs share: trials that can be skipped
//! aloud.

use std::process::ExitCode;
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use xtask::host::{self, Need};
use xtask::netlab;
use xtask::paths::Paths;

/// What a test comes to: an error fails it.
pub type Outcome = anyhow::Result<()>;

/// Where things lie.
pub fn paths() -> &'static Paths {
    static PATHS: OnceLock<Paths> = OnceLock::new();
    PATHS.get_or_init(|| Paths::from_env().expect("a home for the cache"))
}

/// Why this machine cannot run what needs these parts, if it cannot.
#[allow(
    dead_code,
    reason = "each test program has a copy of its own of this module, and not all need a lab"
)]
pub fn lacking(needs: &[Need]) -> Option<String> {
    let missing: Vec<&str> = host::missing(needs).iter().map(|tool| tool.name).collect();
    if missing.is_empty() {
        return netlab::unavailable();
    }
    Some(format!(
        "missing on this host: {} (cargo xtask setup)",
        missing.join(", ")
    ))
}

/// Set by `cargo xtask test --thorough`.
const THOROUGH: &str = "SLAMBOOT_THOROUGH";

/// Why what takes minutes is not run now, if it is not.
#[allow(
    dead_code,
    reason = "each test program has a copy of its own of this module, and not all take minutes"
)]
pub fn only_if_thorough() -> Option<String> {
    let thorough = std::env::var_os(THOROUGH).is_some_and(|value| !value.is_empty());
    (!thorough).then(|| "takes minutes (cargo xtask test --thorough runs it)".to_owned())
}

/// A test that runs unless there is a reason to skip it.
pub fn trial(name: &str, skip: Option<String>, test: fn() -> Outcome) -> Trial {
    Trial::ignorable_test(name, move || match skip {
        Some(reason) => Ok(Completion::ignored_with(format!("skipped: {reason}"))),
        None => match test() {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => Err(Failed::from(format!("{error:#}"))),
        },
    })
}

/// Runs them as cargo's own runner would, `threads` at once.
pub fn run(trials: Vec<Trial>, threads: usize) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    libtest_mimic::run(&arguments, trials).exit_code()
}
