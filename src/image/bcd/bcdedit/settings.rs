// SPDX-License-Identifier: MIT OR Apache-2.0
//! `/dbgsettings`, `/emssettings` and `/hypervisorsettings`: short forms of `/set` on the object
//! that holds such settings for the whole machine.
//!
//! The words are those of Microsoft's pages "`BCDEdit` /dbgsettings", "/emssettings" and
//! "/hypervisorsettings" (learn.microsoft.com); each sets the element of its name.

use super::lexer::Word;
use super::{Fault, ScriptError};
use crate::image::bcd::alias::nearest;
use crate::image::bcd::element::ElementCode;

/// One of the three commands.
#[derive(Debug)]
pub(super) struct Settings {
    /// Its name.
    pub command: &'static str,
    /// The object that it sets elements of.
    pub object: &'static str,
    /// What a word without a colon is, where it is not one of the words below.
    kind: Option<ElementCode>,
    /// `NAME:VALUE`, and the option `/NAME VALUE`.
    named: &'static [(&'static str, ElementCode)],
    /// Words, with or without a slash, that are a value themselves.
    words: &'static [(&'static str, ElementCode, &'static str)],
}

const fn code(number: u32) -> ElementCode {
    ElementCode(number)
}

pub(super) const SETTINGS: [Settings; 3] = [
    Settings {
        command: "dbgsettings",
        object: "{dbgsettings}",
        kind: Some(code(0x1500_0011)),
        named: &[
            ("debugport", code(0x1500_0013)),
            ("baudrate", code(0x1500_0014)),
            ("channel", code(0x1500_0015)),
            ("targetname", code(0x1200_0016)),
            ("busparams", code(0x1200_0019)),
            ("port", code(0x1500_001B)),
            ("key", code(0x1200_001D)),
            ("start", code(0x1500_0018)),
        ],
        words: &[
            ("noumex", code(0x1600_0017), "yes"),
            ("nodhcp", code(0x1600_001C), "no"),
            ("dhcp", code(0x1600_001C), "yes"),
        ],
    },
    Settings {
        command: "emssettings",
        object: "{emssettings}",
        kind: None,
        named: &[
            ("emsport", code(0x1500_0022)),
            ("emsbaudrate", code(0x1500_0023)),
        ],
        words: &[],
    },
    Settings {
        command: "hypervisorsettings",
        object: "{hypervisorsettings}",
        kind: Some(code(0x2500_00F3)),
        named: &[
            ("debugport", code(0x2500_00F4)),
            ("baudrate", code(0x2500_00F5)),
            ("channel", code(0x2500_00F6)),
            ("busparams", code(0x2200_00F9)),
            ("port", code(0x2500_00FE)),
            ("key", code(0x2200_0110)),
        ],
        words: &[
            ("nodhcp", code(0x2600_0114), "no"),
            ("dhcp", code(0x2600_0114), "yes"),
        ],
    },
];

/// What these commands take and we do not.
const UNSUPPORTED: [(&str, &str); 3] = [
    (
        "hostip",
        "how bcdedit stores an address is not documented; set the element hostip with /set, as a \
         number",
    ),
    (
        "newkey",
        "it makes a key by chance, and the same script would make other bytes; give one with key:",
    ),
    (
        "bios",
        "what bcdedit stores for it is not documented; give emsport: and emsbaudrate:",
    ),
];

impl Settings {
    /// The elements that the words after the command set, each with its value.
    pub fn parse(&self, words: Vec<Word>) -> Result<Vec<(ElementCode, Word)>, ScriptError> {
        let mut values = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let bare = word.text.trim_start_matches(['/', '-']);
            let skipped = word.text.len() - bare.len();
            let (name, value) = match bare.split_once(':') {
                Some((name, _)) => (name, Some(word.tail(skipped + name.len() + 1))),
                None => (bare, None),
            };
            let name = name.to_ascii_lowercase();
            if let Some((_, why)) = UNSUPPORTED.iter().find(|(known, _)| *known == name) {
                let found = word.text.clone();
                return Err(word.start.error(Fault::Unsupported { found, why }));
            }
            let named = self.named.iter().find(|(known, _)| *known == name);
            let itself = self.words.iter().find(|(known, ..)| *known == name);
            match (named, itself, value) {
                (Some((_, element)), _, Some(value)) => values.push((*element, value)),
                (Some((_, element)), _, None) if skipped > 0 => match words.next() {
                    Some(value) => values.push((*element, value)),
                    None => {
                        return Err(word.start.error(Fault::Missing {
                            expected: "a value after this",
                        }));
                    }
                },
                (_, Some((_, element, text)), None) => values.push((*element, word.reworded(text))),
                (None, None, None) if skipped == 0 && values.is_empty() && self.kind.is_some() => {
                    values.extend(self.kind.map(|kind| (kind, word.tail(0))));
                }
                _ => return Err(self.unknown(&word, &name)),
            }
        }
        Ok(values)
    }

    fn unknown(&self, word: &Word, name: &str) -> ScriptError {
        let names = self.named.iter().map(|(known, _)| *known);
        let names = names.chain(self.words.iter().map(|(known, ..)| *known));
        word.start.error(Fault::Setting {
            command: self.command,
            found: word.text.clone(),
            example: self.named.first().map_or("", |(known, _)| *known),
            nearest: nearest(name, names).map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::bcd::{alias, table};

    #[test]
    fn elements_have_the_names_of_their_settings() {
        for settings in SETTINGS {
            let object = alias::by_name(settings.object.trim_matches(['{', '}'])).unwrap();
            let prefix = settings.command.trim_end_matches("settings");
            let words = settings
                .words
                .iter()
                .map(|(name, element, _)| (name, element));
            let named = settings.named.iter().map(|(name, element)| (name, element));
            for (name, element) in named.chain(words) {
                let is = table::name(*element, object.kind);
                let name = match *name {
                    "nodhcp" => "dhcp",
                    "start" => "debugstart",
                    // Where Microsoft's two pages have two words for one thing.
                    "port" if prefix == "hypervisor" => "hostport",
                    "key" if prefix == "hypervisor" => "usekey",
                    name => name,
                };
                assert!(
                    is == name || is == format!("{prefix}{name}"),
                    "{}: {name} sets {is}",
                    settings.command
                );
            }
        }
    }
}
