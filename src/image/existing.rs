// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images that exist already: looked at before a room of PCs fetches one that cannot boot.

pub mod disk;
pub mod iso;
pub mod linux;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::source::open_regular;

/// An image that cannot be served as it is.
#[derive(Debug, thiserror::Error)]
pub enum ExistingError {
    /// It cannot be read.
    #[error("{}: cannot read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A field of it.
    #[error("{}: {field} at byte {offset:#x}: expected {expected}, found {found}{remedy}", path.display())]
    Field {
        /// Which file.
        path: PathBuf,
        /// Which field.
        field: &'static str,
        /// From the file's start.
        offset: u64,
        /// What should be there.
        expected: &'static str,
        /// What is there.
        found: String,
        /// What helps.
        remedy: &'static str,
    },
    /// Its format cannot be served, and there is nothing to convert it to.
    #[error(
        "{}: this is a {format} image, and clients read raw disks; name the raw image to make of it: -o DISK.img", path.display()
    )]
    NeedsOutput {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: &'static str,
    },
    /// A program of others.
    #[error("{}: it was not converted", path.display())]
    Tool {
        /// Which.
        path: PathBuf,
        /// Why.
        source: super::tool::ToolError,
    },
}

impl ExistingError {
    /// What a field of this file has wrong: its name, offset, what was expected and found, what helps.
    fn in_field(
        path: &Path,
    ) -> impl Fn(&'static str, u64, &'static str, String, &'static str) -> ExistingError {
        |field, offset, expected, found, remedy| ExistingError::Field {
            path: path.to_owned(),
            field,
            offset,
            expected,
            found,
            remedy,
        }
    }
}

/// Opens a regular file: its length, too.
fn open(path: &Path) -> Result<(File, u64), ExistingError> {
    open_regular(path).map_err(|source| ExistingError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Up to `length` bytes at `offset`: fewer where the file ends.
fn read_at(path: &Path, file: &File, offset: u64, length: usize) -> Result<Vec<u8>, ExistingError> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match file.read_at(&mut bytes[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(more) => done += more,
            Err(source) => {
                return Err(ExistingError::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
    bytes.truncate(done);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_end_there_is_less() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"abc").unwrap();
        let (file, length) = open(&path).unwrap();
        assert_eq!(length, 3);
        assert_eq!(read_at(&path, &file, 1, 5).unwrap(), b"bc");
        assert_eq!(read_at(&path, &file, 9, 5).unwrap(), b"");
        assert!(
            open(folder.path())
                .unwrap_err()
                .to_string()
                .contains("cannot read it")
        );
    }
}
