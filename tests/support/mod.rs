// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the tests with real programs share: trials that can be skipped
//! aloud.

use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use xtask::console;
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

/// Held by each test while it runs, and by one that measures for itself alone.
static MACHINE: RwLock<()> = RwLock::new(());
/// What each test took.
static TOOK: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());
/// How many of the slowest are named at the end.
const NAMED: usize = 8;

/// A test that runs unless there is a reason to skip it.
pub fn trial(name: &str, skip: Option<String>, test: fn() -> Outcome) -> Trial {
    trial_of(name, skip, move || {
        let _beside_others = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        timed(test)
    })
}

/// The same for what measures time: nothing else of this program runs meanwhile.
#[allow(
    dead_code,
    reason = "each test program has a copy of its own of this module, and not all measure"
)]
pub fn trial_alone(name: &str, skip: Option<String>, test: fn() -> Outcome) -> Trial {
    trial_of(name, skip, move || {
        let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        timed(test)
    })
}

/// What it came to, and what it took.
fn timed(test: fn() -> Outcome) -> (Outcome, Duration) {
    let start = console::now();
    (test(), start.elapsed())
}

fn trial_of(
    name: &str,
    skip: Option<String>,
    test: impl FnOnce() -> (Outcome, Duration) + Send + 'static,
) -> Trial {
    let said = name.to_owned();
    Trial::ignorable_test(name, move || {
        if let Some(reason) = skip {
            return Ok(Completion::ignored_with(format!("skipped: {reason}")));
        }
        let (outcome, took) = test();
        let mut all = TOOK.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((took, said));
        match outcome {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => Err(Failed::from(format!("{error:#}"))),
        }
    })
}

/// Runs them as cargo's own runner would, `threads` at once, and says what took longest.
pub fn run(trials: Vec<Trial>, threads: usize) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    let code = libtest_mimic::run(&arguments, trials).exit_code();
    let mut took = TOOK.lock().unwrap_or_else(PoisonError::into_inner);
    took.sort_unstable_by(|a, b| b.cmp(a));
    for (time, name) in took.iter().take(NAMED) {
        println!("took {:>6.1} s: {name}", time.as_secs_f64());
    }
    code
}
