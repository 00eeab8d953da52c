// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of a script, taken apart as iPXE does it (`core/exec.c`, `core/settings.c`).

use std::collections::BTreeSet;

/// The commands that a script uses without a `||` behind them.
pub fn used(script: &str) -> BTreeSet<&str> {
    let commands = script.lines().flat_map(parts);
    commands
        .filter(|(_, guarded)| !guarded)
        .filter_map(|(words, _)| words.first().copied())
        .filter(|word| !word.contains("${"))
        .collect()
}

/// The commands of a line with their words, each with whether a failure of it goes on behind `||`.
/// Comments and labels have none.
pub(super) fn parts(line: &str) -> Vec<(Vec<&str>, bool)> {
    let mut found = Vec::new();
    if line.starts_with(':') {
        return found;
    }
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        match word {
            // A word that begins with it ends the line (exec.c, `split_command`).
            word if word.starts_with('#') => break,
            "&&" | "||" => found.push((std::mem::take(&mut words), word == "||")),
            word => words.push(word),
        }
    }
    found.push((words, false));
    // `a && b ||` guards a, too: a failure of it skips to what is behind the ||.
    let mut guarded = false;
    for (_, own) in found.iter_mut().rev() {
        guarded |= *own;
        *own = guarded;
    }
    found.retain(|(words, _)| !words.is_empty());
    found
}

/// The names in `${name}`, the innermost first; `None` where one is not closed.
pub(super) fn variables(word: &str) -> Vec<Option<&str>> {
    let mut found = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find("${") {
        rest = &rest[at + 2..];
        // ${a${b}c}: the inner one is looked at, the outer one is not known before it runs.
        match (rest.find('}'), rest.find("${")) {
            (Some(end), None) => {
                found.push(Some(&rest[..end]));
                rest = &rest[end + 1..];
            }
            (Some(end), Some(inner)) if end < inner => {
                found.push(Some(&rest[..end]));
                rest = &rest[end + 1..];
            }
            (Some(_), Some(_)) => {}
            (None, _) => {
                found.push(None);
                break;
            }
        }
    }
    found
}

/// Without its type, its place and its braces: `net0/mac:hexhyp` is `mac`.
pub(super) fn bare(name: &str) -> &str {
    let name = name.strip_prefix("${").unwrap_or(name);
    let name = name.strip_suffix('}').unwrap_or(name);
    let name = name.split(':').next().unwrap_or_default();
    name.rsplit('/').next().unwrap_or_default()
}

/// The label that the line is, if it is one.
pub(super) fn label(line: &str) -> Option<&str> {
    let label = line.strip_prefix(':')?;
    Some(label.split_whitespace().next().unwrap_or_default())
}

/// `what` of `${what}`: a whole word that is one variable of the script's own.
pub(super) fn whole(word: &str) -> Option<&str> {
    let name = word.strip_prefix("${")?.strip_suffix('}')?;
    (!name.contains(['$', '{', '}', '/'])).then(|| bare(name))
}

/// Words that are no options. `takes` are the options that have a value in the word behind them.
pub(super) fn positional<'a>(words: &[&'a str], takes: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if takes.contains(word) {
            words.next();
        } else if !word.starts_with('-') {
            found.push(*word);
        }
    }
    found
}
