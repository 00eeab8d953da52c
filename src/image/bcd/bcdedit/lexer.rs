// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines and words, as cmd.exe and the C runtime see them.
//!
//! A `^` at the end of a line continues it, elsewhere it takes a character as it is; quotation
//! marks keep spaces together; `rem` and `::` begin a comment; `%NAME%` is replaced before words
//! are told apart. Within words, backslashes mean themselves unless a quotation mark follows
//! (Microsoft, "Parsing C command-line arguments").

use std::fmt;

use super::{Fault, ScriptError};
use crate::image::bcd::alias::nearest;

/// A place in a script, counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

impl Position {
    pub(super) fn error(self, fault: Fault) -> ScriptError {
        ScriptError { at: self, fault }
    }
}

/// A character and where it stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Char {
    /// The character.
    pub c: char,
    /// Its place.
    pub at: Position,
}

/// A word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without its quotation marks.
    pub text: String,
    /// Where it begins.
    pub start: Position,
    /// Where each byte of the text stood.
    places: Vec<Position>,
}

impl Word {
    /// Where this byte of the text stood; past the end, where the word begins.
    pub fn at(&self, byte: usize) -> Position {
        self.places.get(byte).copied().unwrap_or(self.start)
    }

    /// What follows this many bytes of it.
    pub(super) fn tail(&self, byte: usize) -> Word {
        Word {
            text: self.text.get(byte..).unwrap_or_default().to_owned(),
            start: self.at(byte),
            places: self.places.get(byte..).unwrap_or_default().to_vec(),
        }
    }

    /// Another text in its place.
    pub(super) fn reworded(&self, text: &str) -> Word {
        Word {
            text: text.to_owned(),
            start: self.start,
            places: Vec::new(),
        }
    }
}

/// A line of a script, continuations included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// What follows `bcdedit`, and where the command ends.
    Bcdedit(Vec<Char>, Position),
    /// `set NAME=VALUE`
    Assignment {
        /// The variable's name.
        name: String,
        /// Its value, not yet expanded.
        value: Vec<Char>,
    },
    /// For another program.
    Other {
        /// Where.
        at: Position,
        /// The whole line.
        text: String,
        /// `bcdedit`, where that may have been meant.
        nearest: Option<&'static str>,
    },
}

/// The lines of a script that are neither blank nor comments.
pub fn lines(script: &str) -> Vec<Line> {
    let script = script.strip_prefix('\u{FEFF}').unwrap_or(script);
    let mut lines = Vec::new();
    let mut line: Vec<Char> = Vec::new();
    let mut end = Position { line: 1, column: 1 };
    for (number, text) in script.split('\n').enumerate() {
        let text = text.strip_suffix('\r').unwrap_or(text);
        // A line that goes on ends outside quotation marks, so each part stands for itself.
        let part = line.len();
        line.extend(text.chars().enumerate().map(|(column, c)| Char {
            c,
            at: Position {
                line: number + 1,
                column: column + 1,
            },
        }));
        end = Position {
            line: number + 1,
            column: text.chars().count() + 1,
        };
        if continues(&line[part..]) {
            line.pop();
        } else {
            lines.extend(classify(&line, end));
            line.clear();
        }
    }
    lines.extend(classify(&line, end));
    lines
}

/// It ends in a `^` that is neither quoted nor escaped.
fn continues(line: &[Char]) -> bool {
    let mut quoted = false;
    let mut escape = false;
    for char in line {
        match char.c {
            _ if escape => escape = false,
            '"' => quoted = !quoted,
            '^' if !quoted => escape = true,
            _ => {}
        }
    }
    escape
}

fn classify(line: &[Char], end: Position) -> Option<Line> {
    let text: String = line.iter().map(|char| char.c).collect();
    let blank = |c: char| c.is_whitespace();
    let mut rest = text.trim_start_matches(blank);
    rest = rest.trim_start_matches('@').trim_start_matches(blank);
    rest = without_prompt(rest).trim_start_matches(blank);
    // Bytes are not characters.
    let skipped = text[..text.len() - rest.len()].chars().count();
    let at = line.get(skipped).map_or(end, |char| char.at);
    if rest.is_empty() || rest.starts_with("::") {
        return None;
    }
    let (first, after) = first_word(rest);
    let skipped = text[..text.len() - after.len()].chars().count();
    let tail = || line[skipped..].to_vec();
    let name = program(first);
    match name.as_str() {
        "rem" => None,
        "bcdedit" => Some(Line::Bcdedit(tail(), end)),
        "set" if after.contains('=') => {
            let tail = tail();
            let equals = tail.iter().position(|char| char.c == '=')?;
            let name: String = tail[..equals].iter().map(|char| char.c).collect();
            let mut value = tail[equals + 1..].to_vec();
            let mut name = name.trim_start().to_owned();
            // `set "NAME=VALUE"` keeps spaces at the end out of the value.
            if let Some(quoted) = name.strip_prefix('"') {
                name = quoted.to_owned();
                let close = value.iter().rposition(|char| char.c == '"');
                value.truncate(close.unwrap_or(value.len()));
            }
            Some(Line::Assignment { name, value })
        }
        _ => Some(Line::Other {
            at,
            text: text.trim().to_owned(),
            nearest: nearest(&name, ["bcdedit"].into_iter()),
        }),
    }
}

/// Without `C:\somewhere>`, which comes along when a console is copied.
fn without_prompt(text: &str) -> &str {
    let mut chars = text.chars();
    let drive = chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && chars.next() == Some(':');
    match text.split_once('>') {
        Some((prompt, rest)) if drive && prompt[2..].starts_with('\\') => rest,
        _ => text,
    }
}

/// The first word, without quotation marks, and what follows.
fn first_word(text: &str) -> (&str, &str) {
    if let Some(quoted) = text.strip_prefix('"')
        && let Some((word, rest)) = quoted.split_once('"')
    {
        return (word, rest);
    }
    let end = text.find(|c: char| c.is_whitespace()).unwrap_or(text.len());
    // cmd.exe also takes `bcdedit/enum`.
    let end = match text.get(..7) {
        Some(name) if name.eq_ignore_ascii_case("bcdedit") && text[7..].starts_with('/') => 7,
        _ => end,
    };
    text.split_at(end)
}

/// The name of a program, without directory and `.exe`.
fn program(word: &str) -> String {
    let name = word.rsplit(['\\', '/']).next().unwrap_or(word);
    let name = name.to_ascii_lowercase();
    name.strip_suffix(".exe").unwrap_or(&name).to_owned()
}

/// Replaces each `%NAME%` by what `lookup` says; `%%` is one `%`, a lone one is itself.
pub fn expand(
    line: &[Char],
    lookup: &mut dyn FnMut(&str, Position) -> Result<String, ScriptError>,
) -> Result<Vec<Char>, ScriptError> {
    let mut expanded = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if first.c != '%' {
            expanded.push(*first);
            continue;
        }
        match after.iter().position(|char| char.c == '%') {
            Some(0) => {
                expanded.push(*first);
                rest = &after[1..];
            }
            Some(end) => {
                let name: String = after[..end].iter().map(|char| char.c).collect();
                let value = lookup(&name, first.at)?;
                expanded.extend(value.chars().map(|c| Char { c, at: first.at }));
                rest = &after[end + 1..];
            }
            None => expanded.push(*first),
        }
    }
    Ok(expanded)
}

/// The words of a command.
pub fn words(line: &[Char]) -> Result<Vec<Word>, ScriptError> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut open: Option<Position> = None;
    let mut at = 0;
    while let Some(Char { c, at: place }) = line.get(at).copied() {
        at += 1;
        match c {
            '\\' => {
                let more = line[at..].iter().take_while(|char| char.c == '\\').count();
                let run = &line[at - 1..at + more];
                at += more;
                let quote = line.get(at).is_some_and(|char| char.c == '"');
                // Before a quotation mark two make one, and an odd one makes the mark plain.
                let kept = if quote { run.len() / 2 } else { run.len() };
                for char in &run[..kept] {
                    push(&mut word, char.c, char.at);
                }
                if quote && run.len() % 2 == 1 {
                    push(&mut word, '"', line[at].at);
                    at += 1;
                }
                word.get_or_insert_with(|| begin(place));
            }
            '"' => {
                let doubled = open.is_some() && line.get(at).is_some_and(|char| char.c == '"');
                if doubled {
                    push(&mut word, '"', place);
                    at += 1;
                } else {
                    open = match open {
                        Some(_) => None,
                        None => Some(place),
                    };
                    // Nothing between quotation marks is a word, too.
                    word.get_or_insert_with(|| begin(place));
                }
            }
            c if open.is_some() => push(&mut word, c, place),
            '^' => {
                if let Some(char) = line.get(at) {
                    push(&mut word, char.c, char.at);
                    at += 1;
                }
            }
            '>' => {
                // `>nul`, `1>nul`, `2>nul`, `2>&1` change nothing that matters here.
                let target: String = line[at..].iter().take(64).map(|char| char.c).collect();
                let spaces = target.chars().take_while(|c| *c == ' ').count();
                let target = target.trim_start_matches(' ').to_ascii_lowercase();
                let length = ["nul", "&1", "&2"]
                    .into_iter()
                    .find(|known| target.starts_with(known))
                    .filter(|known| {
                        let after = target[known.len()..].chars().next();
                        after.is_none_or(|c| c.is_whitespace() || "&|<>0123456789".contains(c))
                    })
                    .map(str::len)
                    .ok_or_else(|| place.error(Fault::Operator { found: '>' }))?;
                at += spaces + length;
                if word
                    .as_ref()
                    .is_some_and(|word| word.text == "1" || word.text == "2")
                {
                    word = None;
                }
                words.extend(word.take());
            }
            '&' | '|' | '<' => return Err(place.error(Fault::Operator { found: c })),
            c if c.is_whitespace() => words.extend(word.take()),
            c => push(&mut word, c, place),
        }
    }
    if let Some(place) = open {
        return Err(place.error(Fault::Unclosed));
    }
    words.extend(word);
    Ok(words)
}

fn begin(start: Position) -> Word {
    Word {
        text: String::new(),
        start,
        places: Vec::new(),
    }
}

fn push(word: &mut Option<Word>, c: char, at: Position) {
    let word = word.get_or_insert_with(|| begin(at));
    word.text.push(c);
    word.places.resize(word.text.len(), at);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Vec<String> {
        let [Line::Bcdedit(chars, _)] = &lines(&format!("bcdedit {line}"))[..] else {
            panic!("{line}");
        };
        let words = words(chars).unwrap_or_else(|error| panic!("{line}: {error}"));
        words.into_iter().map(|word| word.text).collect()
    }

    fn fails(line: &str) -> (usize, Fault) {
        let [Line::Bcdedit(chars, _)] = &lines(line)[..] else {
            panic!("{line}");
        };
        let error = words(chars).unwrap_err();
        (error.at.column, error.fault)
    }

    #[test]
    fn quotation_marks_and_backslashes() {
        for (line, words) in [
            ("-d \"Boot Manager\"", &["-d", "Boot Manager"][..]),
            ("a\"b c\"d", &["ab cd"]),
            ("\"\" x", &["", "x"]),
            ("\\windows\\system32", &["\\windows\\system32"]),
            ("\"c:\\boot\\\\\" x", &["c:\\boot\\", "x"]),
            ("\\\"a b\\\"", &["\"a", "b\""]),
            ("\"say \"\"hi\"\"\"", &["say \"hi\""]),
            ("\t a \t b ", &["a", "b"]),
            ("a^&b ^^ \"^\"", &["a&b", "^", "^"]),
            ("x >nul", &["x"]),
            ("x 2>nul", &["x"]),
            ("x > NUL 2>&1", &["x"]),
            (
                "[C:]\\winpe.wim,{ramdiskoptions}",
                &["[C:]\\winpe.wim,{ramdiskoptions}"],
            ),
            ("ü \"日本 語\"", &["ü", "日本 語"]),
        ] {
            assert_eq!(split(line), words, "{line}");
        }
    }

    #[test]
    fn what_cmd_would_do_is_an_error() {
        assert_eq!(fails("bcdedit /d \"x"), (12, Fault::Unclosed));
        for (line, column, found) in [
            ("bcdedit /enum | find x", 15, '|'),
            ("bcdedit /enum > list.txt", 15, '>'),
            ("bcdedit /enum > nullify", 15, '>'),
            ("bcdedit /enum && echo", 15, '&'),
        ] {
            assert_eq!(fails(line), (column, Fault::Operator { found }), "{line}");
        }
    }

    #[test]
    fn lines_are_told_apart() {
        let script = "\u{FEFF}@echo off\r\nrem bcdedit /x\r\n:: bcdedit\r\n\r\n  @BCDEDIT.EXE /enum\r\n\
                      C:\\Windows> bcdedit -v\r\n\"c:\\a b\\bcdedit\" /a\r\nbcdedit/enum\nset \"ID={x} \" \nmkdir boot\nbcdeidt /x";
        let lines = lines(script);
        let kinds: Vec<&str> = lines
            .iter()
            .map(|line| match line {
                Line::Bcdedit(..) => "bcdedit",
                Line::Assignment { .. } => "set",
                Line::Other { nearest: None, .. } => "other",
                Line::Other { .. } => "near",
            })
            .collect();
        assert_eq!(
            kinds,
            [
                "other", "bcdedit", "bcdedit", "bcdedit", "bcdedit", "set", "other", "near"
            ]
        );
        let Line::Assignment { name, value } = &lines[5] else {
            panic!()
        };
        assert_eq!(name, "ID");
        assert_eq!(value.iter().map(|char| char.c).collect::<String>(), "{x} ");
        let Line::Other { at, text, .. } = &lines[6] else {
            panic!()
        };
        assert_eq!((at.line, at.column, text.as_str()), (10, 1, "mkdir boot"));
    }

    #[test]
    fn continued_lines_keep_their_places() {
        let lines = lines("bcdedit /create ^\r\n  /d \"a^\"  ^\n  /x\nbcdedit /v");
        let [Line::Bcdedit(chars, end), Line::Bcdedit(..)] = &lines[..] else {
            panic!("{lines:?}");
        };
        let words = words(chars).unwrap();
        let found: Vec<_> = words
            .iter()
            .map(|word| (word.text.as_str(), word.start.line, word.start.column))
            .collect();
        assert_eq!(
            found,
            [("/create", 1, 9), ("/d", 2, 3), ("a^", 2, 6), ("/x", 3, 3)]
        );
        assert_eq!(words[2].at(1), Position { line: 2, column: 8 });
        assert_eq!(*end, Position { line: 3, column: 5 });
    }

    #[test]
    fn variables_are_replaced_before_words_are_told_apart() {
        let [Line::Bcdedit(chars, _)] = &lines("bcdedit %a b% 100%% 5% %A%")[..] else {
            panic!()
        };
        let mut asked = Vec::new();
        let expanded = expand(chars, &mut |name, at| {
            asked.push((name.to_owned(), at.column));
            Ok(format!("<{name}>"))
        })
        .unwrap();
        let text: String = expanded.iter().map(|char| char.c).collect();
        assert_eq!(text, " <a b> 100% 5< >A%");
        assert_eq!(asked, [("a b".to_owned(), 9), (" ".to_owned(), 22)]);
    }
}
