// SPDX-License-Identifier: MIT OR Apache-2.0
//! Executes a script on a store. Files are none of its business: what is imported is handed in,
//! what is exported is handed out.

use std::collections::BTreeMap;

use super::command::{Command, Kind, Statement, parse};
use super::lexer::{self, Line, Position, Word};
use super::variables::Variables;
use super::{Fault, ScriptError};
use crate::image::bcd::alias::{self, BOOTMGR};
use crate::image::bcd::change::{self, ChangeError, ListEdit, New, NewKind, Part};
use crate::image::bcd::code;
use crate::image::bcd::drives::Drives;
use crate::image::bcd::element::ElementCode;
use crate::image::bcd::guid::Guid;
use crate::image::bcd::object::ObjectType;
use crate::image::bcd::show::{self, View};
use crate::image::bcd::store::Store;

/// What a script cannot say itself.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// What drive letters stand for.
    pub drives: Drives,
    /// Variables, before all others.
    pub variables: BTreeMap<String, String>,
    /// Variables, after all others.
    pub environment: BTreeMap<String, String>,
    /// Identifiers for the objects that are made without one, in their order; when they are used
    /// up, identifiers are derived from type and description.
    pub guids: Vec<Guid>,
    /// A line for another program is an error; otherwise it is passed over, with a note.
    pub strict: bool,
    /// `/createstore` may empty a store that has objects.
    pub replace: bool,
    /// Stores beside the one that is edited, by the path that the script has for them; those
    /// that can be imported have a content.
    pub mapped: BTreeMap<String, Option<Store>>,
}

/// What came of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The store.
    pub store: Store,
    /// `/createstore` made it; otherwise it was there before.
    pub created: bool,
    /// How many commands of bcdedit's were executed.
    pub commands: usize,
    /// How many lines for other programs were passed over.
    pub skipped: usize,
    /// What to tell, in order.
    pub notes: Vec<Note>,
    /// What `/enum` showed.
    pub shown: String,
    /// What was exported, by the path that the script has for it.
    pub exported: BTreeMap<String, Store>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub at: Position,
    /// What.
    pub what: String,
}

/// Executes a script on a store. On an error nothing is handed out.
pub fn run(script: &str, store: Store, context: &Context) -> Result<Done, ScriptError> {
    let mut runner = Runner {
        context,
        variables: Variables::new(&context.variables, &context.environment),
        guids: context.guids.iter().copied(),
        path: None,
        done: Done {
            store,
            created: false,
            commands: 0,
            skipped: 0,
            notes: Vec::new(),
            shown: String::new(),
            exported: BTreeMap::new(),
        },
    };
    for line in lexer::lines(script) {
        runner.line(line)?;
    }
    Ok(runner.done)
}

struct Runner<'a> {
    context: &'a Context,
    variables: Variables<'a>,
    guids: std::iter::Copied<std::slice::Iter<'a, Guid>>,
    /// The path that the script has for the store.
    path: Option<String>,
    done: Done,
}

impl<'a> Runner<'a> {
    fn line(&mut self, line: Line) -> Result<(), ScriptError> {
        match line {
            Line::Bcdedit(chars, end) => {
                let variables = &mut self.variables;
                let chars = lexer::expand(&chars, &mut |name, at| variables.lookup(name, at))?;
                for (at, what) in std::mem::take(&mut self.variables.guessed) {
                    self.note(at, what);
                }
                let statement = parse(lexer::words(&chars)?, end)?;
                self.execute(&statement)?;
                self.done.commands += 1;
            }
            Line::Assignment { name, value } => {
                let variables = &mut self.variables;
                let value = lexer::expand(&value, &mut |name, at| variables.lookup(name, at))?;
                let value = value.into_iter().map(|char| char.c).collect();
                self.variables.assign(&name, value);
            }
            Line::Other { at, text, nearest } => {
                let found = || {
                    let first = text.split_whitespace().next();
                    first.unwrap_or_default().to_owned()
                };
                if self.context.strict || nearest.is_some() {
                    let found = found();
                    return Err(at.error(Fault::NotBcdedit { found, nearest }));
                }
                // `if`, `for`, `start`: passed over, what they do would be missing.
                if has_command(&text) {
                    return Err(at.error(Fault::Within { found: found() }));
                }
                self.done.skipped += 1;
                let start: String = text.chars().take(60).collect();
                let more = if start.len() < text.len() { "..." } else { "" };
                self.note(at, format!("passed over, not for bcdedit: {start}{more}"));
            }
        }
        Ok(())
    }

    fn note(&mut self, at: Position, what: impl Into<String>) {
        let what = what.into();
        self.done.notes.push(Note { at, what });
    }

    fn execute(&mut self, statement: &Statement) -> Result<(), ScriptError> {
        let at = statement.at;
        if let Some(path) = &statement.store {
            self.this_store(path)?;
        }
        match &statement.command {
            Command::CreateStore(path) => {
                self.this_store(path)?;
                let objects = self.done.store.objects.len();
                if objects > 0 && !self.context.replace {
                    return Err(at.error(Fault::NotEmpty { objects }));
                }
                self.done.store = Store::new();
                self.done.created = true;
                self.note(
                    at,
                    format!("made an empty store, which the script calls {}", path.text),
                );
            }
            Command::Import(path) => match self.mapped(&path.text) {
                Some(Some(store)) => {
                    self.note(at, format!("imported {} objects", store.objects.len()));
                    self.done.store = store.clone();
                }
                Some(None) => unmapped(path)?,
                None => {
                    self.this_store(path)?;
                    self.note(
                        at,
                        format!("{} is this store already: nothing to import", path.text),
                    );
                }
            },
            Command::Export(path) => {
                if self.mapped(&path.text).is_some() {
                    let store = self.done.store.clone();
                    self.done.exported.insert(path.text.clone(), store);
                    self.note(at, format!("exported, as {}", path.text));
                } else {
                    let first = self.path.as_deref().unwrap_or("the system's store");
                    if !first.eq_ignore_ascii_case(&path.text) {
                        return Err(path.start.error(Fault::SecondStore {
                            path: path.text.clone(),
                            first: first.to_owned(),
                        }));
                    }
                    self.note(
                        at,
                        format!("{} is this store already: nothing to export", path.text),
                    );
                }
            }
            Command::Enum { what, full } => self.enumerate(what.as_ref(), *full)?,
            command => self.change(at, command)?,
        }
        Ok(())
    }

    fn change(&mut self, at: Position, command: &Command) -> Result<(), ScriptError> {
        let store = &mut self.done.store;
        let drives = &self.context.drives;
        match command {
            Command::Create {
                id,
                description,
                kind,
            } => {
                let guid = if id.is_none() {
                    self.guids.next()
                } else {
                    None
                };
                let new = New {
                    id: id.as_ref().map(|id| id.text.as_str()),
                    kind: match kind {
                        Kind::OfIdentifier => NewKind::OfIdentifier,
                        Kind::Application(word) => NewKind::Application(&word.text),
                        Kind::Inherit(word) => {
                            NewKind::Inherit(word.as_ref().map(|word| word.text.as_str()))
                        }
                        Kind::Device => NewKind::Device,
                    },
                    description: description.as_ref().map(|word| word.text.as_str()),
                    guid,
                };
                let word = match kind {
                    Kind::Application(word) | Kind::Inherit(Some(word)) => Some(word),
                    _ => None,
                };
                let guid = change::create(store, &new).map_err(|error| {
                    place(at, error, |part| match part {
                        Part::Id => id.as_ref(),
                        Part::Kind => word,
                        Part::Description => description.as_ref(),
                        _ => None,
                    })
                })?;
                self.made(
                    at,
                    guid,
                    id.is_none(),
                    new.description.unwrap_or_default(),
                    "made",
                );
            }
            Command::Copy { id, description } => {
                let guid = self.guids.next();
                let guid =
                    change::copy(store, &id.text, &description.text, guid).map_err(|error| {
                        place(at, error, |part| match part {
                            Part::Description => Some(description),
                            _ => Some(id),
                        })
                    })?;
                self.made(at, guid, true, &description.text, "copied to");
            }
            Command::Delete { id, force, cleanup } => {
                change::delete(store, &id.text, *force, *cleanup)
                    .map_err(|error| place(at, error, |_| Some(id)))?;
            }
            Command::Set {
                id,
                element,
                values,
                edit,
            } => {
                let texts = texts(values);
                change::set(store, &id.text, &element.text, &texts, *edit, drives).map_err(
                    |error| {
                        place(at, error, |part| match part {
                            Part::Id => Some(id),
                            Part::Value(number) => values.get(number).or(Some(element)),
                            _ => Some(element),
                        })
                    },
                )?;
            }
            Command::DeleteValue { id, element } => {
                change::delete_value(store, &id.text, &element.text).map_err(|error| {
                    place(at, error, |part| match part {
                        Part::Id => Some(id),
                        _ => Some(element),
                    })
                })?;
            }
            Command::BootManager {
                element,
                values,
                edit,
            } => self.boot_manager(at, *element, values, *edit)?,
            Command::Switch { id, element, value } => {
                let by_id = |error| place(at, error, |_| Some(id));
                let guid = change::object(store, &id.text).map_err(by_id)?;
                let values = [value.text.as_str()];
                change::set_code(store, guid, *element, &values, ListEdit::Replace, drives)
                    .map_err(|error| place(at, error, |_| Some(value)))?;
            }
            Command::Settings { object, values } => {
                let guid =
                    change::object(store, object).map_err(|error| place(at, error, |_| None))?;
                for (element, value) in values {
                    let text = [value.text.as_str()];
                    change::set_code(store, guid, *element, &text, ListEdit::Replace, drives)
                        .map_err(|error| place(at, error, |_| Some(value)))?;
                }
            }
            // Not changes, executed above.
            Command::CreateStore(_)
            | Command::Import(_)
            | Command::Export(_)
            | Command::Enum { .. } => {}
        }
        Ok(())
    }

    fn boot_manager(
        &mut self,
        at: Position,
        element: ElementCode,
        values: &[Word],
        edit: ListEdit,
    ) -> Result<(), ScriptError> {
        let store = &mut self.done.store;
        let of = |error| {
            place(at, error, |part| match part {
                Part::Value(number) => values.get(number),
                _ => None,
            })
        };
        change::object(store, "{bootmgr}").map_err(of)?;
        if element == code::DEFAULT {
            // `/default` asks for an object that is there, which `/set` does not.
            for id in values {
                change::object(store, &id.text).map_err(|error| place(at, error, |_| Some(id)))?;
            }
        }
        let texts = texts(values);
        change::set_code(store, BOOTMGR, element, &texts, edit, &self.context.drives).map_err(of)
    }

    fn made(&mut self, at: Position, guid: Guid, new: bool, description: &str, verb: &str) {
        if new {
            self.variables.made(guid, description);
        }
        let id = alias::display(guid);
        let description = match description {
            "" => String::new(),
            text => format!(" {text:?}"),
        };
        self.note(at, format!("{verb} {id}{description}"));
    }

    /// The content of a store that is mapped to a file, if this path is.
    fn mapped(&self, path: &str) -> Option<&'a Option<Store>> {
        let mut mapped = self.context.mapped.iter();
        mapped
            .find(|(known, _)| known.eq_ignore_ascii_case(path))
            .map(|(_, store)| store)
    }

    /// Takes a path for the store that is edited: there is but one, whatever it is called.
    fn this_store(&mut self, path: &Word) -> Result<(), ScriptError> {
        if self.mapped(&path.text).is_some() {
            return Err(path.start.error(Fault::Mapped {
                path: path.text.clone(),
            }));
        }
        let first = self.path.get_or_insert_with(|| path.text.clone());
        if first.eq_ignore_ascii_case(&path.text) {
            return Ok(());
        }
        Err(path.start.error(Fault::SecondStore {
            path: path.text.clone(),
            first: first.clone(),
        }))
    }

    fn enumerate(&mut self, what: Option<&Word>, full: bool) -> Result<(), ScriptError> {
        let store = &self.done.store;
        let view = View {
            full,
            drives: &self.context.drives,
        };
        let word = what.map(|word| word.text.to_ascii_lowercase());
        let wanted: fn(ObjectType) -> bool = match word.as_deref() {
            None | Some("all" | "active") => |_| true,
            Some("bootmgr") => |kind| kind.0 == 0x1010_0002,
            Some("firmware") => |kind| kind.0 == 0x1010_0001,
            Some("osloader") => |kind| kind == ObjectType::OS_LOADER,
            Some("resume") => |kind| kind.0 == 0x1020_0004,
            Some("bootapp") => |kind| kind.0 >> 20 == 0x102,
            Some("inherit") => ObjectType::is_inherit,
            Some(_) => {
                let id = what.map(|word| (word, change::object(store, &word.text)));
                if let Some((word, guid)) = id {
                    let guid = guid.map_err(|error| place(word.start, error, |_| Some(word)))?;
                    let text = show::object(guid, &store.objects[&guid], view);
                    self.done.shown.push_str(&text);
                }
                return Ok(());
            }
        };
        let mut part = store.clone();
        part.objects.retain(|_, object| wanted(object.kind));
        let text = show::store(&part, view);
        if !self.done.shown.is_empty() && !text.is_empty() {
            self.done.shown.push('\n');
        }
        self.done.shown.push_str(&text);
        Ok(())
    }
}

/// `bcdedit` and an option stand somewhere in it.
fn has_command(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.match_indices("bcdedit").any(|(at, name)| {
        let rest = &lower[at + name.len()..];
        let rest = rest.strip_prefix(".exe").unwrap_or(rest);
        let rest = rest.trim_start_matches('"');
        let option = rest.trim_start();
        let mut option = option.chars();
        rest.starts_with(char::is_whitespace)
            && matches!(option.next(), Some('/' | '-'))
            && option.next().is_some_and(char::is_alphabetic)
    })
}

fn unmapped(path: &Word) -> Result<(), ScriptError> {
    Err(path.start.error(Fault::Unsupported {
        found: format!("/import {}", path.text),
        why: "the file that it is mapped to does not exist yet",
    }))
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(|word| word.text.as_str()).collect()
}

/// Says where an error is: at the word that is to blame, else at the command.
fn place<'a>(
    at: Position,
    error: ChangeError,
    word: impl Fn(Part) -> Option<&'a Word>,
) -> ScriptError {
    let at = word(error.part).map_or(at, |word| word.at(error.at));
    at.error(Fault::Change(error))
}
