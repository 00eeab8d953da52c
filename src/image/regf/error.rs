// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a hive is not read, or not changed.

/// Bytes that are no whole hive. Offsets count from the start of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It was being written when power or system failed (section "Dirty state of a hive").
    #[error(
        "the hive is dirty: {0}; \
         recover it together with its .LOG1 and .LOG2, or load and unload it once in Windows"
    )]
    Dirty(Dirt),
    /// A field, or where it points.
    #[error("offset {offset:#x}: {field}: expected {expected}, found {found}")]
    Field {
        /// Of the field, in bytes.
        offset: u64,
        /// Which.
        field: &'static str,
        /// What would be right.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Subkeys in another order than Windows searches in. Programs that sort by lower case, or by
    /// the bytes of UTF-8, write such lists.
    #[error(
        "offset {offset:#x}: subkeys list element: expected a key sorted behind {before:?}, found \
         {found:?}; Windows would not find it; repair the hive, which sorts its lists"
    )]
    Unsorted {
        /// Of the element, in bytes.
        offset: u64,
        /// The name of the key before it.
        before: String,
        /// The name of its key.
        found: String,
    },
}

impl Error {
    pub(super) fn field(
        offset: u64,
        field: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Error::Field {
            offset,
            field,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

/// How it shows that a hive was left half-written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dirt {
    /// A write began and did not end.
    #[error(
        "offset 0x4: sequence numbers: expected two equal numbers, found {primary} and {secondary}"
    )]
    Sequence {
        /// Counted up before a write.
        primary: u32,
        /// Counted up after it.
        secondary: u32,
    },
    /// The base block is not what was written.
    #[error(
        "offset 0x1fc: checksum of the base block: expected {expected:#010x}, found {found:#010x}"
    )]
    Checksum {
        /// Of the bytes that are there.
        expected: u32,
        /// In the file.
        found: u32,
    },
}

/// A change that cannot be made; the hive is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The key was removed, or belongs to another hive.
    #[error("no such key in this hive: it was removed, or belongs to another hive")]
    StaleKey,
    /// The parent has no such subkey.
    #[error("{name:?}: no such key")]
    NoKey {
        /// Its name.
        name: String,
    },
    /// The key has no such value.
    #[error("{name:?}: no such value")]
    NoValue {
        /// Its name.
        name: String,
    },
    /// A name that a key cannot have.
    #[error("{name:?}: expected the name of one key, 1 to 255 UTF-16 units without \\")]
    KeyName {
        /// The name.
        name: String,
    },
    /// A name that a value cannot have.
    #[error("a name of {units} UTF-16 units: expected the name of a value, at most 16383")]
    ValueName {
        /// Its length.
        units: usize,
    },
    /// The tree would be deeper than Windows allows.
    #[error("{name:?}: expected a key at most 512 levels deep")]
    TooDeep {
        /// The key that would be one too many.
        name: String,
    },
    /// The key says that it must stay (`KEY_NO_DELETE`).
    #[error("{name:?}: the key is marked as not to be deleted")]
    Undeletable {
        /// Its name.
        name: String,
    },
    /// The key stands for a predefined handle and has no values (`KEY_PREDEF_HANDLE`).
    #[error("the key is a predefined handle, which has no values")]
    PredefinedHandle,
    /// The hive would outgrow what its offsets can express.
    #[error("the hive would outgrow 2 GiB")]
    Full,
}
