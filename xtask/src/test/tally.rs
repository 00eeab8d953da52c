// SPDX-License-Identifier: MIT OR Apache-2.0
//! What cargo's test runners say, counted.

use std::fmt;

/// Counts, and the names behind those that somebody will ask for.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    pub(super) skipped: u64,
    pub(super) failed_tests: Vec<String>,
    pub(super) skipped_tests: Vec<String>,
}

impl Tally {
    /// A line of libtest's or libtest-mimic's output.
    pub(super) fn line(&mut self, line: &str) {
        if let Some(counts) = line.trim().strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.skipped += count(counts, "ignored");
            return;
        }
        let Some((name, outcome)) = line
            .strip_prefix("test ")
            .and_then(|l| l.split_once(" ... "))
        else {
            return;
        };
        let (name, outcome) = (name.trim(), outcome.trim());
        if outcome.starts_with("FAILED") {
            self.failed_tests.push(name.to_owned());
        } else if let Some(why) = outcome.strip_prefix("ignored") {
            // libtest says `ignored, WHY`, libtest-mimic `ignored (WHY)`.
            let why = why.trim_start_matches([',', ' ']);
            let why = why
                .strip_prefix('(')
                .and_then(|why| why.strip_suffix(')'))
                .unwrap_or(why);
            let why = why.strip_prefix("skipped: ").unwrap_or(why);
            self.skipped_tests.push(match why {
                "" => name.to_owned(),
                why => format!("{name}: {why}"),
            });
        }
    }

    pub(super) fn pass(&mut self) {
        self.passed += 1;
    }

    pub(super) fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failed_tests.push(what.to_owned());
    }

    pub(super) fn skip(&mut self, what: &str) {
        self.skipped += 1;
        self.skipped_tests.push(what.to_owned());
    }
}

/// The number before `what` in `ok. 5 passed; 0 failed; …`.
fn count(counts: &str, what: &str) -> u64 {
    counts
        .split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        .unwrap_or(0)
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally {
            passed,
            failed,
            skipped,
            ..
        } = self;
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_are_understood() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test wire::tests::ints ... ok",
            "test wire::tests::nacks ... FAILED",
            "test slow ... ignored, takes an hour",
            "test slam_three_machines_boot_the_demo       ... ignored (skipped: no iPXE source (x))",
            "test quiet ... ignored",
            "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.50s",
            "test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.50s",
            "the tests ... were fine",
        ] {
            tally.line(line);
        }
        tally.pass();
        tally.skip("firmware: no iPXE source");
        assert_eq!(tally.to_string(), "16 passed, 2 failed, 4 skipped");
        assert_eq!(tally.failed_tests, ["wire::tests::nacks"]);
        assert_eq!(
            tally.skipped_tests,
            [
                "slow: takes an hour",
                "slam_three_machines_boot_the_demo: no iPXE source (x)",
                "quiet",
                "firmware: no iPXE source",
            ]
        );
    }
}
