// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a command line of bcdedit's asks for. Options begin with `/` or `-`, in any case.

use super::lexer::{Position, Word};
use super::settings::SETTINGS;
use super::{Fault, ScriptError};
use crate::image::bcd::alias::nearest;
use crate::image::bcd::change::ListEdit;
use crate::image::bcd::code;
use crate::image::bcd::element::ElementCode;

/// A command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// `/store`: which store it is about, if not the system's.
    pub store: Option<Word>,
    /// What to do.
    pub command: Command,
    /// Where it begins.
    pub at: Position,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `/createstore PATH`
    CreateStore(Word),
    /// `/import PATH`
    Import(Word),
    /// `/export PATH`
    Export(Word),
    /// `/create [ID] [/d TEXT] [/application TYPE | /inherit [TYPE] | /device]`
    Create {
        /// The identifier.
        id: Option<Word>,
        /// The description.
        description: Option<Word>,
        /// Of which type.
        kind: Kind,
    },
    /// `/copy ID /d TEXT`
    Copy {
        /// Of what.
        id: Word,
        /// The description.
        description: Word,
    },
    /// `/delete ID [/f] [/cleanup | /nocleanup]`
    Delete {
        /// What.
        id: Word,
        /// Even if it is well-known.
        force: bool,
        /// And whatever names it.
        cleanup: bool,
    },
    /// `/set ID ELEMENT VALUE... [/addfirst | /addlast | /remove]`
    Set {
        /// Of what.
        id: Word,
        /// Which element.
        element: Word,
        /// To what.
        values: Vec<Word>,
        /// And what was there before.
        edit: ListEdit,
    },
    /// `/deletevalue ID ELEMENT`
    DeleteValue {
        /// Of what.
        id: Word,
        /// Which element.
        element: Word,
    },
    /// `/displayorder`, `/toolsdisplayorder`, `/bootsequence ID... [/addfirst | ...]`, `/default
    /// ID`, `/timeout SECONDS`: an element of {bootmgr}.
    BootManager {
        /// Which.
        element: ElementCode,
        /// To what.
        values: Vec<Word>,
        /// And what was there before.
        edit: ListEdit,
    },
    /// `/ems`, `/bootems`, `/debug`, `/bootdebug`, `/event ID yes|no`
    Switch {
        /// Of what.
        id: Word,
        /// Which element.
        element: ElementCode,
        /// To what.
        value: Word,
    },
    /// `/dbgsettings`, `/emssettings`, `/hypervisorsettings [TYPE] NAME:VALUE...`: elements of
    /// the object that holds them.
    Settings {
        /// Its name.
        object: &'static str,
        /// What to set.
        values: Vec<(ElementCode, Word)>,
    },
    /// `/enum [TYPE | ID]`
    Enum {
        /// Of which type, or which one.
        what: Option<Word>,
        /// With identifiers in full.
        full: bool,
    },
}

/// Of which type a new object shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of the type that goes with its identifier.
    OfIdentifier,
    /// `/application TYPE`
    Application(Word),
    /// `/inherit [TYPE]`
    Inherit(Option<Word>),
    /// `/device`
    Device,
}

const COMMANDS: [&str; 25] = [
    "createstore",
    "import",
    "export",
    "create",
    "copy",
    "delete",
    "set",
    "deletevalue",
    "displayorder",
    "toolsdisplayorder",
    "bootsequence",
    "default",
    "timeout",
    "enum",
    "v",
    "ems",
    "bootems",
    "debug",
    "bootdebug",
    "event",
    "dbgsettings",
    "emssettings",
    "hypervisorsettings",
    "store",
    "application",
];

const UNSUPPORTED: [(&str, &str); 3] = [
    (
        "sysstore",
        "there is no system store here; the store is the file that --store names",
    ),
    ("mirror", "the firmware's own entries are not here"),
    ("?", "see `slamboot bcd run --help`"),
];

/// The name of an option, if it is one.
fn option(word: &Word) -> Option<String> {
    let name = word.text.strip_prefix(['/', '-'])?;
    Some(name.to_ascii_lowercase())
}

fn unexpected(word: Word, expected: &'static str) -> ScriptError {
    word.start.error(Fault::Unexpected {
        expected,
        found: word.text,
    })
}

/// The words of a command, taken from the left; options are taken wherever they are.
struct Words {
    words: Vec<Word>,
    end: Position,
}

impl Words {
    /// Takes the option of this name away; tells where it was.
    fn flag(&mut self, name: &str) -> Option<(usize, Position)> {
        let at = self
            .words
            .iter()
            .position(|word| option(word).as_deref() == Some(name))?;
        Some((at, self.words.remove(at).start))
    }

    /// Takes an option and the word after it away.
    fn valued(&mut self, name: &str, expected: &'static str) -> Result<Option<Word>, ScriptError> {
        let Some((at, _)) = self.flag(name) else {
            return Ok(None);
        };
        if at < self.words.len() {
            Ok(Some(self.words.remove(at)))
        } else {
            Err(self.end.error(Fault::Missing { expected }))
        }
    }

    fn next(&mut self) -> Option<Word> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    /// The next word that is no option.
    fn plain(&mut self) -> Option<Word> {
        self.words
            .first()
            .is_some_and(|word| option(word).is_none())
            .then(|| self.words.remove(0))
    }

    fn need(&mut self, expected: &'static str) -> Result<Word, ScriptError> {
        match self.next() {
            None => Err(self.end.error(Fault::Missing { expected })),
            Some(word) if option(&word).is_some() => Err(unexpected(word, expected)),
            Some(word) => Ok(word),
        }
    }

    fn done(mut self, command: Command) -> Result<Command, ScriptError> {
        match self.next() {
            None => Ok(command),
            Some(word) => Err(unexpected(word, "no more words")),
        }
    }

    fn edit(&mut self) -> ListEdit {
        for (name, edit) in [
            ("addfirst", ListEdit::AddFirst),
            ("addlast", ListEdit::AddLast),
            ("remove", ListEdit::Remove),
        ] {
            if self.flag(name).is_some() {
                return edit;
            }
        }
        ListEdit::Replace
    }
}

const ID: &str = "an identifier such as {bootmgr}";
const DESCRIPTION: &str = "a description, in quotation marks if it has spaces";

/// Understands a command line; `end` is where it ends.
pub fn parse(words: Vec<Word>, end: Position) -> Result<Statement, ScriptError> {
    let at = words.first().map_or(end, |word| word.start);
    let mut words = Words { words, end };
    let store = words.valued("store", "the path of a store")?;
    // `bcdedit` alone, and `bcdedit /v`, mean `/enum`.
    let name = match words.next() {
        None => None,
        Some(word) => match option(&word) {
            Some(name) => Some((name, word)),
            None => return Err(unexpected(word, "a command such as /set")),
        },
    };
    let command = match name {
        None => Command::Enum {
            what: None,
            full: false,
        },
        Some((name, word)) => command(&name, word, words)?,
    };
    Ok(Statement { store, command, at })
}

fn command(name: &str, word: Word, mut words: Words) -> Result<Command, ScriptError> {
    match name {
        "createstore" => {
            let path = words.need("the path of a store")?;
            words.done(Command::CreateStore(path))
        }
        "import" => {
            // What differs is the firmware's entries, which are not here.
            words.flag("clean");
            let path = words.need("the path of a store")?;
            words.done(Command::Import(path))
        }
        "export" => {
            let path = words.need("the path of a store")?;
            words.done(Command::Export(path))
        }
        "create" => create(words),
        "copy" => {
            let description = words.valued("d", DESCRIPTION)?;
            let id = words.need(ID)?;
            let end = words.end;
            let description = description.ok_or_else(|| {
                end.error(Fault::Missing {
                    expected: "/d and a description",
                })
            })?;
            words.done(Command::Copy { id, description })
        }
        "delete" => {
            let force = words.flag("f").is_some();
            let cleanup = words.flag("cleanup").is_some();
            let keep = words.flag("nocleanup");
            if let (true, Some((_, at))) = (cleanup, keep) {
                return Err(at.error(Fault::Unexpected {
                    expected: "/cleanup or /nocleanup",
                    found: "both".into(),
                }));
            }
            let id = words.need(ID)?;
            words.done(Command::Delete {
                id,
                force,
                cleanup: keep.is_none(),
            })
        }
        "set" => {
            let edit = words.edit();
            let id = identified(&mut words)?;
            let element = words.need("the name of an element, such as description")?;
            let values = words.words;
            Ok(Command::Set {
                id,
                element,
                values,
                edit,
            })
        }
        "deletevalue" => {
            let id = identified(&mut words)?;
            let element = words.need("the name of an element, such as description")?;
            words.done(Command::DeleteValue { id, element })
        }
        "displayorder" => list(code::DISPLAY_ORDER, words),
        "toolsdisplayorder" => list(code::TOOLS_DISPLAY_ORDER, words),
        "bootsequence" => list(code::BOOT_SEQUENCE, words),
        "default" => {
            let id = words.need(ID)?;
            words.done(Command::BootManager {
                element: code::DEFAULT,
                values: vec![id],
                edit: ListEdit::Replace,
            })
        }
        "timeout" => {
            let seconds = words.need("a number of seconds")?;
            words.done(Command::BootManager {
                element: code::TIMEOUT,
                values: vec![seconds],
                edit: ListEdit::Replace,
            })
        }
        "enum" => {
            let full = words.flag("v").is_some();
            let what = words.plain();
            words.done(Command::Enum { what, full })
        }
        "v" => words.done(Command::Enum {
            what: None,
            full: true,
        }),
        "ems" => switch(code::EMS, words),
        "bootems" => switch(code::BOOT_EMS, words),
        "debug" => switch(code::DEBUG, words),
        "bootdebug" => switch(code::BOOT_DEBUG, words),
        "event" => switch(code::EVENT, words),
        name => {
            if let Some(settings) = SETTINGS.iter().find(|known| known.command == name) {
                let object = settings.object;
                // Alone, it shows what is set.
                if words.words.is_empty() {
                    let what = Some(word.reworded(object));
                    return Ok(Command::Enum { what, full: false });
                }
                let values = settings.parse(words.words)?;
                return Ok(Command::Settings { object, values });
            }
            let known = UNSUPPORTED.iter().find(|(known, _)| *known == name);
            Err(word.start.error(match known {
                Some((_, why)) => Fault::Unsupported {
                    found: word.text,
                    why,
                },
                None => Fault::Command {
                    found: word.text,
                    nearest: nearest(name, COMMANDS.into_iter()).map(|name| format!("/{name}")),
                },
            }))
        }
    }
}

/// The identifier, which bcdedit lets one leave out where Windows runs.
fn identified(words: &mut Words) -> Result<Word, ScriptError> {
    let id = words.need(ID)?;
    let braced = id.text.starts_with('{') || id.text.parse::<crate::image::bcd::Guid>().is_ok();
    if braced {
        Ok(id)
    } else {
        Err(unexpected(
            id,
            "an identifier such as {default} (without one, bcdedit means the Windows that is \
             running, and none is)",
        ))
    }
}

fn create(mut words: Words) -> Result<Command, ScriptError> {
    let description = words.valued("d", DESCRIPTION)?;
    let application = words.valued("application", "a type such as osloader")?;
    let device = words.flag("device");
    let inherit = words.flag("inherit");
    // After `/inherit`, a type; an identifier would stand before it.
    let inherited = inherit
        .filter(|(at, _)| *at < words.words.len())
        .map(|(at, _)| words.words.remove(at));
    let id = words.plain();
    let kind = match (application, device, inherit) {
        (None, None, None) => Kind::OfIdentifier,
        (Some(kind), None, None) => Kind::Application(kind),
        (None, Some(_), None) => Kind::Device,
        (None, None, Some(_)) => Kind::Inherit(inherited),
        (_, device, inherit) => {
            let at = device.or(inherit).map_or(words.end, |(_, at)| at);
            return Err(at.error(Fault::Unexpected {
                expected: "one of /application, /inherit and /device",
                found: "more".into(),
            }));
        }
    };
    words.done(Command::Create {
        id,
        description,
        kind,
    })
}

fn list(element: ElementCode, mut words: Words) -> Result<Command, ScriptError> {
    let edit = words.edit();
    let mut values = vec![words.need(ID)?];
    let more = words.words.iter().take_while(|word| option(word).is_none());
    let more = more.count();
    values.extend(words.words.drain(..more));
    words.done(Command::BootManager {
        element,
        values,
        edit,
    })
}

fn switch(element: ElementCode, mut words: Words) -> Result<Command, ScriptError> {
    let id = identified(&mut words)?;
    let value = words.need("on or off")?;
    words.done(Command::Switch { id, element, value })
}
