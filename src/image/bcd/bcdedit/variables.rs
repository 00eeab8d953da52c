// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `%NAME%` stands for.
//!
//! What the caller says, what the script says (`set NAME=VALUE`), what the environment says, in
//! this order. Recipes also write `%WinPE GUID%` where the reader shall put the identifier that
//! bcdedit printed: a name with "GUID" in it that nobody has defined stands for the object made up
//! in the script that bears the rest of the name as its description, or for the only one. With
//! several to choose from nothing is guessed.

use std::collections::BTreeMap;

use super::lexer::Position;
use super::{Fault, ScriptError};
use crate::image::bcd::guid::Guid;

/// The variables of a script.
#[derive(Debug)]
pub(super) struct Variables<'a> {
    given: &'a BTreeMap<String, String>,
    environment: &'a BTreeMap<String, String>,
    assigned: BTreeMap<String, String>,
    /// Objects whose identifiers were made up, with their descriptions.
    made: Vec<(Guid, String)>,
    /// What was guessed, and has not been told yet.
    pub guessed: Vec<(Position, String)>,
}

impl<'a> Variables<'a> {
    pub fn new(
        given: &'a BTreeMap<String, String>,
        environment: &'a BTreeMap<String, String>,
    ) -> Self {
        Variables {
            given,
            environment,
            assigned: BTreeMap::new(),
            made: Vec::new(),
            guessed: Vec::new(),
        }
    }

    /// `set NAME=VALUE`; without a value, the variable is gone.
    pub fn assign(&mut self, name: &str, value: String) {
        self.assigned
            .retain(|known, _| !known.eq_ignore_ascii_case(name));
        if !value.is_empty() {
            self.assigned.insert(name.to_owned(), value);
        }
    }

    /// An object was made whose identifier bcdedit would print.
    pub fn made(&mut self, guid: Guid, description: &str) {
        self.made.push((guid, description.to_owned()));
    }

    pub fn lookup(&mut self, name: &str, at: Position) -> Result<String, ScriptError> {
        let value = [self.given, &self.assigned, self.environment]
            .into_iter()
            .find_map(|map| {
                // cmd.exe does not care about case.
                let mut found = map.iter();
                found.find(|(known, _)| known.eq_ignore_ascii_case(name))
            });
        if let Some((_, value)) = value {
            return Ok(value.clone());
        }
        let lower = name.to_ascii_lowercase();
        let Some(place) = lower.find("guid") else {
            return Err(at.error(Fault::Unbound { name: name.into() }));
        };
        let guid = self.guess(name, place, at)?;
        self.guessed.push((
            at,
            format!("%{name}% is not defined; taken for {guid}, the object made above"),
        ));
        Ok(guid.to_string())
    }

    /// `place` is where "guid" stands in the name.
    fn guess(&self, name: &str, place: usize, at: Position) -> Result<Guid, ScriptError> {
        let letters = |text: &str| -> String {
            let letters = text.chars().filter(|c| c.is_alphanumeric());
            letters.flat_map(char::to_lowercase).collect()
        };
        let rest = letters(&[&name[..place], &name[place + 4..]].concat());
        let mut like = self
            .made
            .iter()
            .filter(|(_, description)| !rest.is_empty() && letters(description) == rest);
        let found = match (like.next(), like.next(), &self.made[..]) {
            (Some((guid, _)), None, _) | (None, _, [(guid, _)]) => return Ok(*guid),
            (_, _, []) => "no object was made above whose identifier it could be".to_owned(),
            (_, _, made) => {
                let made: Vec<String> = made
                    .iter()
                    .map(|(guid, description)| format!("{guid} {description:?}"))
                    .collect();
                format!("could be any of {}", made.join(", "))
            }
        };
        Err(at.error(Fault::Guess {
            name: name.to_owned(),
            found,
        }))
    }
}
