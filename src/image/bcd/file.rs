// SPDX-License-Identifier: MIT OR Apache-2.0
//! Stores in files: the edge where hives are opened and saved.

use std::io;
use std::path::{Path, PathBuf};

use super::json::{self, JsonError};
use super::store::{Store, StoreError};
use crate::image::regf::{self, EditError, Hive, Recovery, Repair, SaveError};

/// A store that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file.
    #[error("{}: cannot read this file", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there, and should not be.
    #[error(
        "{}: expected no file of this name, found one; name another, or add --replace",
        path.display()
    )]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// Its hive.
    #[error("{}: not a registry hive that can be read", path.display())]
    Hive {
        /// Which.
        path: PathBuf,
        /// Why.
        source: regf::Error,
    },
    /// Its hive was being written when power or system failed.
    #[error(
        "{0}: its writing was interrupted; `slamboot bcd import {0} NEW` makes a new store of it, \
         with the logs {0}.LOG1 and {0}.LOG2 if they are there",
        path.display()
    )]
    Dirty {
        /// Which.
        path: PathBuf,
        /// How that shows.
        source: regf::Error,
    },
    /// Its keys are not where Windows looks for them.
    #[error(
        "{0}: another program wrote its keys in an order in which Windows does not find them; \
         `slamboot bcd import {0} NEW` makes a new store of it, in order",
        path.display()
    )]
    Unsorted {
        /// Which.
        path: PathBuf,
        /// The first such key.
        source: regf::Error,
    },
    /// Its store.
    #[error("{}: not a boot configuration store that can be read", path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// Its JSON.
    #[error("{}: neither a registry hive nor a store in JSON", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Why.
        source: JsonError,
    },
    /// The store does not fit into a hive.
    #[error("{}: the store was not written", path.display())]
    Edit {
        /// Which.
        path: PathBuf,
        /// Why.
        source: EditError,
    },
    /// What would be written does not read back as what was meant.
    #[error(
        "{}: the store was not written, for it does not read back as it was meant; this is a \
         fault of slamboot",
        path.display()
    )]
    ReadBack {
        /// Which.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("{}: the store was not written", path.display())]
    Save {
        /// Which.
        path: PathBuf,
        /// Why.
        source: SaveError,
    },
}

impl FileError {
    fn of_hive(path: &Path, source: regf::Error) -> Self {
        let path = path.to_owned();
        match source {
            regf::Error::Dirty(_) => FileError::Dirty { path, source },
            regf::Error::Unsorted { .. } => FileError::Unsorted { path, source },
            regf::Error::Field { .. } => FileError::Hive { path, source },
        }
    }
}

/// A store and the hive that it came from.
#[derive(Debug)]
pub struct StoreFile {
    path: PathBuf,
    hive: Hive,
    /// The store; change it at will, then [`StoreFile::save`].
    pub store: Store,
}

impl StoreFile {
    /// Reads a store.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let hive = Hive::read(read(path)?).map_err(|source| FileError::of_hive(path, source))?;
        Self::of_hive(path, hive)
    }

    /// A store that is to be made: no file may have the name, unless it is to be replaced.
    pub fn create(path: &Path, store: Store, replace: bool) -> Result<Self, FileError> {
        // A dangling link is no file, and is not written through either.
        if !replace && path.symlink_metadata().is_ok() {
            return Err(FileError::Exists {
                path: path.to_owned(),
            });
        }
        Ok(StoreFile {
            path: path.to_owned(),
            hive: Hive::new("BCD"),
            store,
        })
    }

    fn of_hive(path: &Path, hive: Hive) -> Result<Self, FileError> {
        let store = Store::read(&hive).map_err(|source| FileError::Store {
            path: path.to_owned(),
            source,
        })?;
        Ok(StoreFile {
            path: path.to_owned(),
            hive,
            store,
        })
    }

    /// Where it is, or will be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the store into its hive and the hive to its file, once both have been read back.
    pub fn save(mut self) -> Result<PathBuf, FileError> {
        let path = self.path;
        if let Err(source) = self.store.write_into(&mut self.hive) {
            return Err(FileError::Edit { path, source });
        }
        let again = Hive::read(self.hive.bytes().to_vec())
            .map_err(|source| FileError::Hive {
                path: path.clone(),
                source,
            })
            .and_then(|hive| Self::of_hive(&path, hive))?;
        if again.store != self.store {
            return Err(FileError::ReadBack { path });
        }
        self.hive
            .save(&path)
            .map_err(|source| FileError::Save { path, source })
    }
}

/// Reads a store from a hive, or from JSON that [`json::write`] made. A hive whose writing was
/// interrupted is recovered, with the transaction logs that lie beside it; keys that are out of
/// order are sorted.
pub fn read_any(path: &Path) -> Result<(Store, Repair), FileError> {
    let bytes = read(path)?;
    if !bytes.starts_with(b"regf") {
        let store = json::read(&String::from_utf8_lossy(&bytes));
        return store
            .map(|store| {
                let recovery = Recovery::NotNeeded;
                (
                    store,
                    Repair {
                        recovery,
                        sorted: 0,
                    },
                )
            })
            .map_err(|source| FileError::Json {
                path: path.to_owned(),
                source,
            });
    }
    let logs: Vec<Vec<u8>> = [".LOG1", ".LOG2", ".LOG"]
        .into_iter()
        .map(|end| {
            let mut log = path.as_os_str().to_owned();
            log.push(end);
            PathBuf::from(log)
        })
        .filter(|log| log.exists())
        .map(|log| read(&log))
        .collect::<Result<_, _>>()?;
    let logs: Vec<&[u8]> = logs.iter().map(Vec::as_slice).collect();
    let (hive, repair) =
        Hive::repair(bytes, &logs).map_err(|source| FileError::of_hive(path, source))?;
    Ok((StoreFile::of_hive(path, hive)?.store, repair))
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    std::fs::read(path).map_err(|source| FileError::Read {
        path: path.to_owned(),
        source,
    })
}
