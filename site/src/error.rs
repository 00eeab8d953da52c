// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wrong with a `slamboot.toml`, where, and what to do.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a site could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// The file cannot be read.
    #[error(
        "cannot read {}: {source}\n  help: name the file with --config FILE; docs/slamboot.toml is an example with every key",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is read, and says something that cannot be.
    #[error("{0}")]
    Invalid(Box<Problem>),
}

/// One mistake in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself, and how many characters of it are meant.
    pub excerpt: (String, usize),
    /// What is wrong, in one line.
    pub what: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What stands there.
    pub found: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

/// A [`Problem`] before its place in the text is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) what: String,
    pub(crate) expected: Option<String>,
    pub(crate) found: Option<String>,
    pub(crate) help: Option<String>,
}

impl Complaint {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Complaint {
            what: what.into(),
            ..Complaint::default()
        }
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    pub(crate) fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, pointed at `span` (bytes) of `text`.
    pub(crate) fn at(self, path: &Path, text: &str, span: &Range<usize>) -> SiteError {
        let start = floor_char_boundary(text, span.start);
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or_default();
        let column = before[line_start..].chars().count();
        let end = floor_char_boundary(text, span.end.max(start));
        let marked = text[start..end].lines().next().unwrap_or_default();
        SiteError::Invalid(Box::new(Problem {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: column + 1,
            excerpt: (line_text.to_owned(), marked.chars().count().max(1)),
            what: self.what,
            expected: self.expected,
            found: self.found,
            help: self.help,
        }))
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem {
            path,
            line,
            column,
            excerpt: (source, width),
            what,
            ..
        } = self;
        let number = line.to_string();
        let gutter = " ".repeat(number.len());
        // A tab is one column, however wide it is shown: the marker line repeats it.
        let indent: String = source
            .chars()
            .take(column - 1)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let marker = "^".repeat(*width);
        write!(
            f,
            "{}:{line}:{column}: {what}\n  {number} | {source}\n  {gutter} | {indent}{marker}",
            path.display()
        )?;
        for (label, text) in [
            ("expected", &self.expected),
            ("found", &self.found),
            ("help", &self.help),
        ] {
            if let Some(text) = text {
                write!(f, "\n  {label}: {text}")?;
            }
        }
        Ok(())
    }
}

/// The candidate that `word` most likely meant.
///
/// Shared with the command line, so that both suggest alike.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| {
            let other = plain(candidate);
            let likeness = strsim::jaro_winkler(&word, &other);
            // One slip in a short word, such as `l0` for `lo`.
            let slip = word.len() > 1 && strsim::osa_distance(&word, &other) <= 1;
            (if slip { likeness.max(0.9) } else { likeness }, candidate)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
