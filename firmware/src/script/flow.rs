// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a script may go, and what it may have set when it comes there.
//!
//! Every way that a line may take counts: what is told to be unset is so on all of them. Scripts that are
//! chained into may set more; who counts on them asks with `isset`.

use std::collections::{BTreeMap, BTreeSet};

use super::lines::{bare, label, parts, positional, whole};

/// Names that may be set at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names<'a> {
    exact: BTreeSet<&'a str>,
    /// Those that are made of others, by their beginning and their end: `room-${n}`.
    made: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Names<'a> {
    pub(super) fn has(&self, name: &str) -> bool {
        let fits = |(start, end): &(&str, &str)| {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        };
        self.exact.contains(name) || self.made.iter().any(fits)
    }

    /// With what `words`, one command, sets or asks for.
    pub(super) fn after(&mut self, words: &[&'a str]) {
        match words {
            // `isset ${a}` asks for a.
            ["isset", asked, ..] => {
                self.exact.insert(bare(asked));
            }
            ["set" | "inc", name, ..] | ["read" | "choose", .., name] => self.set(name),
            _ => {}
        }
    }

    fn set(&mut self, name: &'a str) {
        let last = name.rsplit('/').next().unwrap_or_default();
        match (last.find("${"), last.rfind('}')) {
            (Some(start), Some(end)) if start < end => {
                let rest = last[end + 1..].split(':').next().unwrap_or_default();
                self.made.insert((&last[..start], rest));
            }
            _ => {
                self.exact.insert(bare(name));
            }
        }
    }

    /// Whether anything is new.
    fn extend(&mut self, other: &Names<'a>) -> bool {
        let before = self.exact.len() + self.made.len();
        self.exact.extend(&other.exact);
        self.made.extend(&other.made);
        before != self.exact.len() + self.made.len()
    }
}

/// What may be set before each line; `None` where no way leads there.
pub(super) fn before<'a>(script: &'a str) -> Vec<Option<Names<'a>>> {
    let lines: Vec<&str> = script.lines().collect();
    let mut places = BTreeMap::new();
    for (number, line) in lines.iter().enumerate() {
        if let Some(label) = label(line) {
            places.entry(label).or_insert(number);
        }
    }
    let mut before: Vec<Option<Names<'a>>> = vec![None; lines.len()];
    if let Some(first) = before.first_mut() {
        *first = Some(Names::default());
    }
    let mut open = BTreeSet::from([0]);
    while let Some(number) = open.pop_first() {
        let Some(mut names) = before.get(number).cloned().flatten() else {
            continue;
        };
        let mut next = vec![number + 1];
        for (place, (words, guarded)) in parts(lines[number]).into_iter().enumerate() {
            match words.as_slice() {
                ["goto", to, ..] => {
                    if to.contains("${") {
                        next.extend(targets(script, to, &places));
                    } else {
                        next.extend(places.get(to));
                    }
                }
                ["exit", ..] => {}
                words => {
                    names.after(words);
                    continue;
                }
            }
            if place == 0 && !guarded {
                next.remove(0);
                break;
            }
        }
        for to in next {
            let Some(there) = before.get_mut(to) else {
                continue;
            };
            let new = there.is_none();
            if there.get_or_insert_default().extend(&names) || new {
                open.insert(to);
            }
        }
    }
    before
}

/// The lines that `goto` may lead to with this computed label.
fn targets(script: &str, to: &str, places: &BTreeMap<&str, usize>) -> Vec<usize> {
    match values(script, to) {
        Some(values) => {
            let known = values.iter().filter_map(|(_, value)| places.get(value));
            known.copied().collect()
        }
        None => places.values().copied().collect(),
    }
}

/// All that `${what}` can be, each with the line (from 0) that says so; `None` where that is not written in the
/// script.
pub(super) fn values<'a>(script: &'a str, word: &str) -> Option<Vec<(usize, &'a str)>> {
    let name = whole(word)?;
    let mut found = Vec::new();
    let mut items = Vec::new();
    let (mut menus, mut chosen) = (0, false);
    for (number, line) in script.lines().enumerate() {
        for (words, _) in parts(line) {
            match words.as_slice() {
                ["set", set, value @ ..] if bare(set) == name => match value {
                    [value] if !value.contains("${") => found.push((number, *value)),
                    _ => return None,
                },
                // A name that is made of others may be this one.
                ["set", set, ..] if set.contains("${") && !set.contains('/') => return None,
                ["inc" | "read", rest @ ..] if rest.iter().any(|set| bare(set) == name) => {
                    return None;
                }
                ["choose", .., set] if bare(set) == name => chosen = true,
                ["menu", ..] => menus += 1,
                ["item", ..] => {
                    let gap = words.iter().any(|word| matches!(*word, "--gap" | "-g"));
                    let names = positional(&words, &["--menu", "-m", "--key", "-k"]);
                    match names.first() {
                        _ if gap => {}
                        None => {}
                        Some(name) => items.push((number, *name)),
                    }
                }
                _ => {}
            }
        }
    }
    if chosen {
        // Of several menus it is not plain whose items are chosen from.
        if menus != 1 || items.iter().any(|(_, item)| item.contains("${")) {
            return None;
        }
        found.extend(items);
    }
    (!found.is_empty()).then_some(found)
}
