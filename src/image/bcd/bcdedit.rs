// SPDX-License-Identifier: MIT OR Apache-2.0
//! bcdedit's command lines: taken apart as cmd.exe and bcdedit do ([`lexer`]), understood
//! ([`command`]), executed on a store ([`run()`]).

pub mod command;
pub mod lexer;
mod run;
mod settings;
mod variables;

pub use lexer::Position;
pub use run::{Context, Done, Note, run};

use super::alias::hint;
use super::change::ChangeError;

/// A script that cannot be executed. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {fault}")]
pub struct ScriptError {
    /// Where.
    pub at: Position,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong in a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A quotation mark that opens and does not close.
    #[error("expected a quotation mark that closes this one, found the end of the line")]
    Unclosed,
    /// cmd.exe would start other programs or files here.
    #[error(
        "expected words of bcdedit, found {found:?}, which is for cmd.exe; quote it if it is meant as it stands"
    )]
    Operator {
        /// The character.
        found: char,
    },
    /// Nothing says what a variable is.
    #[error("%{name}% is not known; say what it is with --var \"{name}=VALUE\"")]
    Unbound {
        /// Its name.
        name: String,
    },
    /// A variable that can be one of several objects, or none.
    #[error("%{name}% is not known, and {found}; say what it is with --var \"{name}=VALUE\"")]
    Guess {
        /// Its name.
        name: String,
        /// Why it was not guessed.
        found: String,
    },
    /// A line that is for another program.
    #[error("expected a bcdedit command, found {found:?}{}", hint(*nearest))]
    NotBcdedit {
        /// Its first word.
        found: String,
        /// `bcdedit`, where that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A command within a line for cmd.exe.
    #[error(
        "expected bcdedit at the beginning of its line, found {found:?} before it, which is for cmd.exe; write the command on a line of its own"
    )]
    Within {
        /// The first word of the line.
        found: String,
    },
    /// A command that bcdedit does not have.
    #[error("unknown command {found:?}: expected one of bcdedit's, such as /create or /set{}", hint(nearest.as_deref()))]
    Command {
        /// It.
        found: String,
        /// The nearest that is known.
        nearest: Option<String>,
    },
    /// A command that bcdedit has, and that is not executed here.
    #[error("{found} is not supported: {why}")]
    Unsupported {
        /// It.
        found: String,
        /// Why.
        why: &'static str,
    },
    /// A word that a command of settings does not have.
    #[error("/{command}: expected settings such as {example}:VALUE, found {found:?}{}", hint(nearest.as_deref()))]
    Setting {
        /// The command.
        command: &'static str,
        /// The word.
        found: String,
        /// A setting that it has.
        example: &'static str,
        /// The nearest that it has.
        nearest: Option<String>,
    },
    /// A word too few.
    #[error("expected {expected}, found the end of the command")]
    Missing {
        /// What should have followed.
        expected: &'static str,
    },
    /// A word too many.
    #[error("expected {expected}, found {found:?}")]
    Unexpected {
        /// What may stand here.
        expected: &'static str,
        /// What does.
        found: String,
    },
    /// What the command asks for.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// `/createstore` would empty a store.
    #[error(
        "/createstore would empty the store, which has {objects} objects; add --replace if that is meant"
    )]
    NotEmpty {
        /// How many.
        objects: usize,
    },
    /// Another store than the one that is edited.
    #[error(
        "{path:?} is a second store beside {first:?}; say which file it is with --map \"{path}=FILE\""
    )]
    SecondStore {
        /// Its path.
        path: String,
        /// The path of the first, or that of the system's own store.
        first: String,
    },
    /// Only imported from and exported to.
    #[error("{path:?} is mapped to a file, which /import and /export may use and nothing else")]
    Mapped {
        /// Its path.
        path: String,
    },
}
