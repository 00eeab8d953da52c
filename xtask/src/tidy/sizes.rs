// SPDX-License-Identifier: MIT OR Apache-2.0
//! No file gets away.

use super::{Source, Violation};

const MOST_LINES: usize = 1_000;

pub(super) fn check(source: &Source) -> Option<Violation> {
    // Written by a program, or by lawyers.
    let counted = source.path != "Cargo.lock" && !source.path.starts_with("LICENSE");
    let lines = source.text.lines().count();
    (counted && lines > MOST_LINES).then(|| Violation {
        path: source.path.clone(),
        line: MOST_LINES + 1,
        rule: "sizes",
        what: format!("{lines} lines, at most {MOST_LINES}: which concept can move out?"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    #[test]
    fn a_thousand_lines_and_not_one_more() {
        let text = "line\n".repeat(1_000);
        assert_eq!(check(&source("src/lib.rs", &text)), None);
        let found = check(&source("src/lib.rs", &(text.clone() + "one\n"))).unwrap();
        assert_eq!(found.line, 1_001);
        assert_eq!(check(&source("Cargo.lock", &(text + "one\n"))), None);
    }
}
