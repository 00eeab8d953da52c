// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rust as far as the rules need it: without comments, texts and unit tests.

/// The lines of `text` up to its unit tests, comments and the content of texts blanked out, each
/// with its number from 1.
pub(super) fn lines(text: &str) -> Vec<(usize, String)> {
    let bare = without_comments_and_texts(text);
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in bare.lines().enumerate() {
        let tests = line.trim_start().starts_with("mod ")
            && lines
                .last()
                .is_some_and(|(_, before)| before.trim() == "#[cfg(test)]");
        if tests {
            break;
        }
        lines.push((number + 1, line.to_owned()));
    }
    lines
}

/// The words of a line: identifiers and keywords.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

enum State {
    Code,
    LineComment,
    BlockComment(usize),
    Text,
    /// Ends at a quote followed by this many `#`.
    RawText(usize),
}

fn without_comments_and_texts(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut state = State::Code;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        let mut copied = false;
        state = match state {
            State::Code => {
                if rest.starts_with("//") {
                    State::LineComment
                } else if rest.starts_with("/*") {
                    length = 2;
                    State::BlockComment(1)
                } else if let Some(hashes) = raw_text(rest).filter(|_| !in_word(&bare)) {
                    length = hashes + 2;
                    State::RawText(hashes)
                } else if c == '"' {
                    State::Text
                } else if let Some(literal) = char_literal(rest) {
                    length = literal;
                    State::Code
                } else {
                    copied = true;
                    State::Code
                }
            }
            State::LineComment if c == '\n' => State::Code,
            State::LineComment => State::LineComment,
            State::BlockComment(depth) if rest.starts_with("*/") => {
                length = 2;
                match depth {
                    1 => State::Code,
                    depth => State::BlockComment(depth - 1),
                }
            }
            State::BlockComment(depth) if rest.starts_with("/*") => {
                length = 2;
                State::BlockComment(depth + 1)
            }
            State::BlockComment(depth) => State::BlockComment(depth),
            State::Text if c == '"' => State::Code,
            State::Text => {
                if c == '\\' {
                    length += rest.chars().nth(1).map_or(0, char::len_utf8);
                }
                State::Text
            }
            State::RawText(hashes) => {
                if c == '"' && rest[1..].starts_with(&"#".repeat(hashes)) {
                    length = hashes + 1;
                    State::Code
                } else {
                    State::RawText(hashes)
                }
            }
        };
        let (taken, after) = rest.split_at(length);
        if copied {
            bare.push(c);
        } else {
            // Line numbers stay.
            bare.extend(taken.chars().filter(|c| *c == '\n'));
        }
        rest = after;
    }
    bare
}

fn in_word(bare: &str) -> bool {
    bare.ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// `r"`, `r#"`, `br#"` (from its `r` on): the number of `#`.
fn raw_text(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].starts_with('"').then_some(hashes)
}

/// `'x'` and `'\n'`, but no lifetime: its length.
fn char_literal(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let mut chars = inner.char_indices();
    if let (_, '\\') = chars.next()? {
        let (_, escaped) = chars.next()?;
        let after = 1 + escaped.len_utf8();
        return Some(1 + after + inner[after..].find('\'')? + 1);
    }
    let (end, c) = chars.next()?;
    (c == '\'').then_some(1 + end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left_and_lines_keep_their_numbers() {
        let text = r##"//! Instant in a comment.
use std::time::Duration; // Instant
/* Instant
   /* nested */ Instant */
fn f<'a>(x: &'a str) -> char {
    let _ = "Instant \" Instant"; let _ = r#"Instant " "#;
    let _ = ('"', '\'', b'\n', "
    Instant");
    'I'
}
#[cfg(test)]
mod tests {
    use std::time::Instant;
}
"##;
        let lines = lines(text);
        let found = |word: &str| {
            let has = |line: &&(usize, String)| words(&line.1).any(|w| w == word);
            lines
                .iter()
                .filter(has)
                .map(|(n, _)| *n)
                .collect::<Vec<_>>()
        };
        assert_eq!(found("Instant"), [] as [usize; 0]);
        assert_eq!(found("Duration"), [2]);
        assert_eq!(found("fn"), [5]);
        assert_eq!(found("tests"), [] as [usize; 0]);
        assert_eq!(lines[9], (10, "}".to_owned()));
    }
}
