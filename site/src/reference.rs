// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reference of `slamboot.toml`, made of what the loader itself says.
//!
//! Which keys there are comes from the table that errors are made of. Of which kind a value is and
//! what is permitted is asked of the loader: it is given a value that cannot be, and its answer is
//! what stands in the reference. Words and defaults are those of the example, `docs/slamboot.toml`,
//! which the tests compare with [`Site::default`]. So nothing is written down twice.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Problem, SiteError};
use crate::raw::KEYS;
use crate::site::Site;

/// Why there is no reference.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// A key of which the example says nothing.
    #[error(
        "docs/slamboot.toml: no comment on `{key}` in {section}\n  help: write one above it, or behind it: `{key} = ...  # COMMENT`"
    )]
    Undescribed {
        /// Its section.
        section: &'static str,
        /// The key.
        key: &'static str,
    },
    /// The loader takes a value of any type.
    #[error("{section} {key}: the loader does not say of which type it is")]
    Typeless {
        /// Its section.
        section: &'static str,
        /// The key.
        key: &'static str,
    },
}

/// The reference in Markdown; `example` is the text of `docs/slamboot.toml`.
pub fn reference(example: &str) -> Result<String, ReferenceError> {
    let example = Example::read(example);
    let mut text = String::from(HEAD);
    text.push_str("\n| section | keys |\n|---|---|\n");
    for (section, keys) in KEYS {
        let keys: Vec<String> = keys.iter().map(|key| link(section, key)).collect();
        // Writing to a String does not fail, here and below.
        let _ = writeln!(text, "| `{section}` | {} |", keys.join(", "));
    }
    for (section, keys) in KEYS {
        let _ = writeln!(text, "\n## {section}");
        for shown in example.shows(section) {
            shown.write(&mut text, section.starts_with("[["));
        }
        for &key in keys {
            let _ = write!(text, "\n### {section} {key}\n\n");
            entry(&mut text, &example, section, key)?;
        }
    }
    Ok(text)
}

const HEAD: &str = "\
<!-- SPDX-License-Identifier: MIT OR Apache-2.0 -->
<!-- Made by `cargo xtask codegen` of docs/slamboot.toml and the loader's own answers: edit those. -->
# slamboot.toml, key by key

`slamboot serve` reads `slamboot.toml` where it is started, or the file that `--config` names; firmware
scripts are made from it, too. All keys and sections may be left out but those that say *required*. Unknown
keys are errors, relative paths are relative to the file, and a mistake is told with its line and what would
be right. [slamboot.toml](slamboot.toml) is the same as an example, with every default.
";

/// To the heading of a key, as Markdown's anchors are made: lower case, without punctuation.
fn link(section: &str, key: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "_- ".contains(*c);
    let anchor: String = format!("{section} {key}").chars().filter(plain).collect();
    format!("[`{key}`](#{})", anchor.replace(' ', "-"))
}

/// What stands below the heading of a key.
fn entry(
    text: &mut String,
    example: &Example<'_>,
    section: &'static str,
    key: &'static str,
) -> Result<(), ReferenceError> {
    let name = format!("[{}.{key}]", section.trim_matches(['[', ']']));
    let own = |(section, _): &&(&str, _)| {
        *section == name
            || section.strip_prefix('[').and_then(|s| s.strip_suffix(']')) == Some(&name)
    };
    if let Some((own, _)) = KEYS.iter().find(own) {
        let _ = writeln!(text, "A section of its own, `{own}`.");
        return Ok(());
    }
    let kind = Kind::of(section, key)?;
    if kind == Kind::Section {
        let shows = example.shows(&name);
        for shown in &shows {
            shown.write(text, true);
        }
        if shows.is_empty() {
            return Err(ReferenceError::Undescribed { section, key });
        }
        return Ok(());
    }
    let line = example.line(section, key);
    let line = line.ok_or(ReferenceError::Undescribed { section, key })?;
    text.push_str(kind.shown());
    if let Some(permitted) = kind.permitted(section, key) {
        let _ = write!(text, ": {}", plain(&permitted));
    }
    let value = &line.value;
    let _ = match (line.set, required(section, key), section.starts_with("[[")) {
        (true, ..) => writeln!(text, ". Default: `{value}`."),
        (_, true, _) => writeln!(text, ". *Required*; for example `{value}`."),
        (_, _, true) => writeln!(text, ". Optional; for example `{value}`."),
        _ => writeln!(text, ". Not set by default; for example `{value}`."),
    };
    let _ = writeln!(text, "\n{}", plain(&line.comment));
    Ok(())
}

/// Text as it is, in Markdown.
fn plain(text: &str) -> String {
    text.replace('*', "\\*").replace('<', "\\<")
}

/// Of which type a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Switch,
    Texts,
    TextOrTexts,
    Section,
}

impl Kind {
    /// What the loader says of a value that no key takes: a floating-point number.
    fn of(section: &'static str, key: &'static str) -> Result<Kind, ReferenceError> {
        let problem = refused(section, key, "1.5");
        let expected = problem.and_then(|problem| problem.expected);
        let expected = expected.ok_or(ReferenceError::Typeless { section, key })?;
        Ok(match expected.as_str() {
            "a whole number, without quotes" => Kind::Number,
            "text in quotes" => Kind::Text,
            "true or false, without quotes" => Kind::Switch,
            "text in quotes, or a list of texts" => Kind::TextOrTexts,
            list if list.starts_with("a list") => Kind::Texts,
            _ => Kind::Section,
        })
    }

    fn shown(self) -> &'static str {
        match self {
            Kind::Number => "Whole number",
            Kind::Text => "Text",
            Kind::Switch => "`true` or `false`",
            Kind::Texts => "List of texts",
            Kind::TextOrTexts => "Text, or a list of texts",
            Kind::Section => "Section",
        }
    }

    /// What the loader says that it expects, when it is given a value of this type that is in no
    /// range and in no list of words.
    fn permitted(self, section: &str, key: &str) -> Option<String> {
        let value = match self {
            Kind::Number => "-9223372036854775808",
            Kind::Text | Kind::TextOrTexts => "\"\\u0001\"",
            Kind::Texts => "[\"\\u0001\"]",
            Kind::Switch | Kind::Section => return None,
        };
        let expected = refused(section, key, value)?.expected?;
        // The probe's own image.
        if expected == format!("{PROBE:?}") {
            return Some("the name of an [[image]]".to_owned());
        }
        Some(expected)
    }
}

/// The name of the image that probes have.
const PROBE: &str = "probe";

/// What the loader has against this value, if it has something against it.
fn refused(section: &str, key: &str, value: &str) -> Option<Problem> {
    let around = around(section, key);
    let text = format!("{section}\n{key} = {value}\n{around}");
    // About this value, and not about what stands around it.
    parsed(&text).filter(|problem| problem.line == 2)
}

/// Whether the section cannot be without the key.
fn required(section: &str, key: &str) -> bool {
    let text = format!("{section}\n{}", around(section, key));
    parsed(&text).is_some_and(|problem| problem.what.contains(&format!("without `{key}`")))
}

/// What must stand beside a key, so that nothing but its value can be wrong.
fn around(section: &str, key: &str) -> String {
    let lines: &[(&str, &str)] = match (section, key) {
        ("[[image]]", "kernel" | "initrd" | "args") => &[
            ("name", "\"a\""),
            ("kind", "\"linux\""),
            ("kernel", "\"a\""),
        ],
        ("[[image]]", _) => &[("name", "\"a\""), ("kind", "\"disk\""), ("path", "\"a\"")],
        ("[[host]]", _) => &[("mac", "\"52:54:00:12:34:56\"")],
        ("[[group]]", _) => &[("name", "\"a\"")],
        ("[server]", "key") => &[("certificate", "\"a\"")],
        ("[dhcp]", "pool") => &[("mode", "\"pool\"")],
        ("[[dhcp.relay]]", _) => &[("network", "\"198.51.100.0/24\"")],
        ("[firmware]", "trust_root") => &[("trust", "true")],
        _ => &[],
    };
    let mut text = String::new();
    for (other, value) in lines {
        if *other != key {
            let _ = writeln!(text, "{other} = {value}");
        }
    }
    let _ = write!(
        text,
        "[[image]]\nname = {PROBE:?}\nkind = \"disk\"\npath = \"a\"\n"
    );
    text
}

fn parsed(text: &str) -> Option<Problem> {
    match Site::parse(text, Path::new("slamboot.toml")) {
        Err(SiteError::Invalid(problem)) => Some(*problem),
        _ => None,
    }
}

/// What the example says.
#[derive(Default)]
struct Example<'a> {
    sections: Vec<Shown<'a>>,
}

/// A section of the example.
#[derive(Default)]
struct Shown<'a> {
    /// With its brackets.
    name: &'a str,
    /// Paragraphs above it.
    comment: String,
    lines: Vec<Line<'a>>,
    /// As it stands there, without comment signs.
    code: String,
}

/// A key of the example.
struct Line<'a> {
    key: &'a str,
    value: &'a str,
    /// Whether it is there, and not commented out.
    set: bool,
    comment: String,
}

impl<'a> Example<'a> {
    fn read(text: &'a str) -> Example<'a> {
        let mut example = Example::default();
        let mut comment = String::new();
        let mut used = false;
        for line in text.lines() {
            let (set, code) = match line.strip_prefix('#') {
                Some(rest) => (false, rest.strip_prefix(' ').unwrap_or(rest)),
                None => (true, line),
            };
            if line.is_empty() {
                comment.clear();
            } else if code.starts_with('[') && code.ends_with(']') {
                let name = code;
                example.sections.push(Shown {
                    name,
                    comment: std::mem::take(&mut comment).trim().to_owned(),
                    code: format!("{code}\n"),
                    ..Shown::default()
                });
            } else if let (Some((key, value)), Some(section)) =
                (assignment(code), example.sections.last_mut())
            {
                let (value, behind) = match value.split_once("  # ") {
                    Some((value, behind)) => (value.trim_end(), Some(behind)),
                    None => (value, None),
                };
                let _ = writeln!(section.code, "{key} = {value}");
                section.lines.push(Line {
                    key,
                    value,
                    set,
                    comment: behind.unwrap_or(comment.trim()).to_owned(),
                });
                // One comment may stand above several keys.
                used = true;
            } else {
                if std::mem::take(&mut used) {
                    comment.clear();
                }
                let gap = match (comment.is_empty(), code.is_empty()) {
                    (true, _) => "",
                    (_, true) => "\n\n",
                    _ if comment.ends_with('\n') => "",
                    _ => " ",
                };
                let _ = write!(comment, "{gap}{code}");
            }
        }
        example
    }

    /// Each time that the section is there.
    fn shows(&self, section: &str) -> Vec<&Shown<'a>> {
        let sections = self.sections.iter();
        sections.filter(|shown| shown.name == section).collect()
    }

    /// The first place where the key is there and something is said of it.
    fn line(&self, section: &str, key: &str) -> Option<&Line<'a>> {
        let sections = self.sections.iter().filter(|shown| shown.name == section);
        sections
            .flat_map(|shown| &shown.lines)
            .find(|line| line.key == key && !line.comment.is_empty())
    }
}

impl Shown<'_> {
    fn write(&self, text: &mut String, with_code: bool) {
        if !text.ends_with("\n\n") {
            text.push('\n');
        }
        if !self.comment.is_empty() {
            let _ = writeln!(text, "{}", plain(&self.comment));
        }
        if with_code {
            let _ = write!(text, "\n```toml\n{}```\n", self.code);
        } else if self.comment.is_empty() {
            // Nothing was written: the gap is the next heading's.
            text.pop();
        }
    }
}

/// `key = value`
fn assignment(code: &str) -> Option<(&str, &str)> {
    let (key, value) = code.split_once(" = ")?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
    (!key.is_empty() && key.chars().all(fits)).then_some((key, value))
}
