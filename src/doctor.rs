// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands in the way of a room that is to boot: looked at one by one, each finding with what
//! to do about it.

pub mod files;
pub mod firewall;
pub mod frames;
pub mod multicast;
pub mod offers;
pub mod ports;
pub mod reader;

use std::fmt;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It could not be looked at.
    Skipped,
    /// It may matter.
    Warning,
    /// Machines will not boot.
    Problem,
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, what: impl Into<String>) -> Finding {
        Finding {
            check,
            level: Level::Ok,
            what: what.into(),
            remedy: None,
        }
    }

    /// It could not be looked at, and why.
    pub fn skipped(check: &'static str, why: impl Into<String>) -> Finding {
        Finding {
            level: Level::Skipped,
            ..Finding::ok(check, why)
        }
    }

    /// It may matter.
    pub fn warning(
        check: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            check,
            level: Level::Warning,
            what: what.into(),
            remedy: Some(remedy.into()),
        }
    }

    /// Machines will not boot.
    pub fn problem(
        check: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Problem,
            ..Finding::warning(check, what, remedy)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.level {
            Level::Ok => "ok      ",
            Level::Skipped => "skipped ",
            Level::Warning => "warning ",
            Level::Problem => "PROBLEM ",
        };
        write!(f, "{sign} {:<10} {}", self.check, self.what)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n                    do: {remedy}")?;
        }
        Ok(())
    }
}

/// From an error's text: what is wrong, and what follows `help:`.
pub fn split(text: &str) -> (String, String) {
    match text.split_once("help: ") {
        Some((what, help)) => (what.trim_end().to_owned(), help.to_owned()),
        None => (text.to_owned(), "see docs/serving.md".to_owned()),
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// In the order of looking.
    pub findings: Vec<Finding>,
    /// Findings with which machines will not boot.
    pub problems: usize,
    /// Findings that may matter.
    pub warnings: usize,
}

impl Diagnosis {
    /// Counts them.
    pub fn of(findings: Vec<Finding>) -> Diagnosis {
        let count = |level| findings.iter().filter(|f| f.level == level).count();
        Diagnosis {
            problems: count(Level::Problem),
            warnings: count(Level::Warning),
            findings,
        }
    }
}
