// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values of elements as text: as `bcdedit /set` takes them and `/enum` shows them.

use super::alias;
use super::drives::Drives;
use super::element::{ElementCode, Format, Value};
use super::notation::{self, Names, NotationError, number};
use super::object::ObjectType;
use super::table;
use crate::image::regf::ValueType;

/// A text that is no value of its element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct LiteralError {
    /// Which of the words is wrong; the number of words where one is missing.
    pub word: usize,
    /// Where in the word, in bytes.
    pub at: usize,
    /// What was expected and found.
    pub what: String,
}

fn error(word: usize, at: usize, what: impl Into<String>) -> LiteralError {
    LiteralError {
        word,
        at,
        what: what.into(),
    }
}

/// Reads the value of an element of such an object.
pub fn parse(
    code: ElementCode,
    kind: ObjectType,
    words: &[&str],
    names: &Names<'_>,
) -> Result<Value, LiteralError> {
    match code.format() {
        Format::Device => one(words, "a device").and_then(|word| {
            notation::parse(word, names)
                .map(Value::Device)
                .map_err(|NotationError { at, what }| error(0, at, what))
        }),
        Format::String => {
            let text = one(words, "a text, in quotation marks if it has spaces")?;
            match text.find('\0') {
                Some(at) => Err(error(0, at, "a text has no NUL")),
                None => Ok(Value::String(text.to_owned())),
            }
        }
        Format::Object => {
            let word = one(words, "an identifier")?;
            let guid = names.object(word).map_err(|what| error(0, 0, what))?;
            Ok(Value::Object(guid))
        }
        Format::ObjectList => each(words, |at, word| {
            names.object(word).map_err(|what| error(at, 0, what))
        })
        .map(Value::ObjectList),
        Format::Integer => {
            let known = table::words(code, kind);
            let word = one(words, "a number")?;
            if let Some(value) = known
                .iter()
                .position(|name| name.eq_ignore_ascii_case(word))
            {
                return Ok(Value::Integer(value as u64));
            }
            let expected = || match known {
                [] => {
                    format!("expected a number (decimal, or hexadecimal after 0x), found {word:?}")
                }
                known => {
                    let lower: Vec<String> = known.iter().map(|word| word.to_lowercase()).collect();
                    let near = alias::nearest(word, lower.iter().map(String::as_str));
                    let near = lower
                        .iter()
                        .position(|word| Some(word.as_str()) == near)
                        .map(|at| known[at]);
                    format!(
                        "expected {} or a number, found {word:?}{}",
                        known.join(", "),
                        alias::hint(near)
                    )
                }
            };
            number(word)
                .map(Value::Integer)
                .ok_or_else(|| error(0, 0, expected()))
        }
        Format::Boolean => {
            let word = one(words, "yes or no")?;
            match word.to_ascii_lowercase().as_str() {
                "yes" | "on" | "true" | "1" => Ok(Value::Boolean(true)),
                "no" | "off" | "false" | "0" => Ok(Value::Boolean(false)),
                _ => Err(error(
                    0,
                    0,
                    format!("expected yes, no, on, off, true, false, 1 or 0; found {word:?}"),
                )),
            }
        }
        Format::IntegerList => each(words, |at, word| {
            number(word).ok_or_else(|| {
                error(
                    at,
                    0,
                    format!("expected a number (decimal, or hexadecimal after 0x), found {word:?}"),
                )
            })
        })
        .map(Value::IntegerList),
        Format::Unknown(_) => raw(one(words, "hex(TYPE):BYTES")?).ok_or_else(|| {
            error(
                0,
                0,
                "expected hex(TYPE):BYTES, the number of a registry type and bytes of two \
                 hexadecimal digits each, for an element of unknown format",
            )
        }),
    }
}

/// Shows the value of an element of such an object: a line each for the items of a list.
pub fn display(code: ElementCode, kind: ObjectType, value: &Value, drives: &Drives) -> Vec<String> {
    let entry = table::entry(code, kind);
    match value {
        Value::Device(device) => vec![notation::display(device, drives)],
        Value::String(text) => vec![text.clone()],
        Value::Object(guid) => vec![alias::display(*guid)],
        Value::ObjectList(list) => list.iter().map(|guid| alias::display(*guid)).collect(),
        Value::Integer(number) => vec![match usize::try_from(*number)
            .ok()
            .and_then(|at| table::words(code, kind).get(at))
        {
            Some(word) => (*word).to_owned(),
            None if entry.is_none_or(table::Entry::is_address) => format!("{number:#x}"),
            None => number.to_string(),
        }],
        Value::Boolean(yes) => vec![if *yes { "Yes" } else { "No" }.to_owned()],
        Value::IntegerList(list) => list.iter().map(|number| format!("{number:#x}")).collect(),
        Value::Raw { kind, bytes } => {
            vec![format!("hex({}):{}", u32::from(*kind), hex::encode(bytes))]
        }
    }
}

fn one<'a>(words: &[&'a str], expected: &str) -> Result<&'a str, LiteralError> {
    match words {
        [word] => Ok(word),
        [] => Err(error(0, 0, format!("expected {expected}, found nothing"))),
        [_, more, ..] => Err(error(
            1,
            0,
            format!("expected {expected}, found another word after it: {more:?}"),
        )),
    }
}

fn each<T>(
    words: &[&str],
    item: impl Fn(usize, &str) -> Result<T, LiteralError>,
) -> Result<Vec<T>, LiteralError> {
    let items = words.iter().enumerate();
    items.map(|(at, word)| item(at, word)).collect()
}

fn raw(word: &str) -> Option<Value> {
    let (kind, bytes) = word.strip_prefix("hex(")?.split_once("):")?;
    let kind = u32::try_from(number(kind)?).ok()?;
    Some(Value::Raw {
        kind: ValueType::from(kind),
        bytes: hex::decode(bytes).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::alias::{BOOTMGR, MEMDIAG};
    use super::*;

    const LOADER: ObjectType = ObjectType::OS_LOADER;

    fn reads(name: &str, words: &[&str]) -> Result<Value, LiteralError> {
        let kind = ObjectType(0x1010_0002);
        let code = table::find(name, kind)
            .or_else(|_| table::find(name, LOADER))
            .unwrap();
        let kind = if table::entry(code, kind).is_some() {
            kind
        } else {
            LOADER
        };
        parse(code, kind, words, &Names::of_drives(&Drives::none()))
    }

    #[test]
    fn booleans_have_eight_words() {
        for (words, value) in [
            (["yes", "on", "true", "1"], true),
            (["NO", "Off", "False", "0"], false),
        ] {
            for word in words {
                assert_eq!(reads("winpe", &[word]), Ok(Value::Boolean(value)), "{word}");
            }
        }
        let error = reads("winpe", &["ja"]).unwrap_err();
        assert!(error.what.contains("found \"ja\""), "{error}");
    }

    #[test]
    fn integers_have_words_or_digits() {
        assert_eq!(reads("nx", &["AlwaysOff"]), Ok(Value::Integer(2)));
        assert_eq!(reads("nx", &["alwayson"]), Ok(Value::Integer(3)));
        assert_eq!(reads("nx", &["1"]), Ok(Value::Integer(1)));
        // A word before it is a number.
        assert_eq!(reads("debugtype", &["1394"]), Ok(Value::Integer(1)));
        assert_eq!(reads("timeout", &["30"]), Ok(Value::Integer(30)));
        assert_eq!(reads("timeout", &["0x1e"]), Ok(Value::Integer(30)));
        assert_eq!(
            reads("timeout", &["18446744073709551615"]),
            Ok(Value::Integer(u64::MAX))
        );
        for bad in ["", "-1", "+1", "1e", "0x", "18446744073709551616", "ten"] {
            let error = reads("timeout", &[bad]).unwrap_err();
            assert!(error.what.contains(&format!("{bad:?}")), "{error}");
        }
        let error = reads("nx", &["never"]).unwrap_err();
        assert!(
            error.what.contains("OptIn, OptOut, AlwaysOff, AlwaysOn"),
            "{error}"
        );
    }

    #[test]
    fn lists_and_single_values() {
        assert_eq!(
            reads("displayorder", &["{memdiag}", "{bootmgr}"]),
            Ok(Value::ObjectList(vec![MEMDIAG, BOOTMGR]))
        );
        assert_eq!(reads("displayorder", &[]), Ok(Value::ObjectList(vec![])));
        let error = reads("displayorder", &["{memdiag}", "{memdiga}"]).unwrap_err();
        assert_eq!(error.word, 1);
        assert_eq!(reads("description", &[]).unwrap_err().word, 0);
        assert_eq!(reads("description", &["a", "b"]).unwrap_err().word, 1);
        assert_eq!(reads("description", &["a\0b"]).unwrap_err().at, 1);
    }

    #[test]
    fn what_is_shown_reads_back() {
        let drives = Drives::none();
        for (code, value, shown) in [
            (0x2600_0022, Value::Boolean(true), "Yes"),
            (0x2500_0020, Value::Integer(2), "AlwaysOff"),
            (0x2500_0020, Value::Integer(9), "9"),
            (0x1500_0012, Value::Integer(0x3F8), "0x3f8"),
            (0x2500_7777, Value::Integer(10), "0xa"),
            (0x2300_0003, Value::Object(BOOTMGR), "{bootmgr}"),
            (0x1700_000A, Value::IntegerList(vec![16, 17]), "0x10 0x11"),
            (
                0x1F00_0001,
                Value::Raw {
                    kind: ValueType::Qword,
                    bytes: vec![0xAB, 0],
                },
                "hex(11):ab00",
            ),
        ] {
            let code = ElementCode(code);
            let lines = display(code, LOADER, &value, &drives);
            assert_eq!(lines.join(" "), shown);
            let words: Vec<&str> = lines.iter().map(String::as_str).collect();
            let names = Names::of_drives(&drives);
            assert_eq!(parse(code, LOADER, &words, &names), Ok(value));
        }
        let code = ElementCode(0x1F00_0001);
        for bad in ["", "ab", "hex():00", "hex(1):0", "hex(x):00"] {
            assert!(parse(code, LOADER, &[bad], &Names::of_drives(&drives)).is_err());
        }
    }
}
