// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file to be made: written beside its name, and given the name only when it is whole.

use std::fs::{File, FileType, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A target that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Something else has the name.
    #[error("{}: expected a name for a new file or an old image to replace, found a {found}; name a file in a directory", path.display())]
    Kind {
        /// The target.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The name has no file part.
    #[error("{}: expected the name of a file", path.display())]
    Nameless {
        /// The target.
        path: PathBuf,
    },
    /// Nothing can be made in that directory.
    #[error("{}: cannot make a file in this directory", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The finished file could not be given its name.
    #[error("{}: cannot give the finished image this name", path.display())]
    Publish {
        /// The target.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A file that does not exist under its name yet. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    temporary: NamedTempFile,
}

impl Target {
    /// Opens an unnamed-as-yet file beside `path`, on the same file system, so that the rename
    /// at the end cannot fail half-way. A symbolic link is followed and stays.
    pub fn open(path: &Path) -> Result<Self, TargetError> {
        let path = match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                return Err(TargetError::Kind {
                    path: path.to_owned(),
                    found: kind_name(metadata.file_type()),
                });
            }
            Ok(_) => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            Err(_) => path.to_owned(),
        };
        let name = path
            .file_name()
            .ok_or_else(|| TargetError::Nameless { path: path.clone() })?;
        let directory = directory_of(&path);
        let cannot = |source| TargetError::Directory {
            directory: directory.to_owned(),
            source,
        };
        if !std::fs::metadata(directory).map_err(cannot)?.is_dir() {
            return Err(cannot(io::ErrorKind::NotADirectory.into()));
        }
        let mut prefix = std::ffi::OsString::from(".");
        prefix.push(name);
        prefix.push(".");
        let temporary = tempfile::Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            // Readable by a server under another user; the umask still applies.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)
            // Without the temporary's name, which means nothing to anyone.
            .map_err(|error| cannot(error.kind().into()))?;
        Ok(Target { path, temporary })
    }

    /// The file, to write and to read back.
    pub fn file(&self) -> &File {
        self.temporary.as_file()
    }

    /// Where it is until then, for programs of others that write it.
    pub fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// The name that it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it on the disk, then gives it its name.
    pub fn publish(self) -> Result<PathBuf, TargetError> {
        let Target { path, temporary } = self;
        let publish = |source| TargetError::Publish {
            path: path.clone(),
            source,
        };
        temporary.as_file().sync_all().map_err(publish)?;
        temporary
            .persist(&path)
            .map_err(|error| publish(error.error))?;
        // The name is an entry of the directory: without this it may not outlive a power cut.
        File::open(directory_of(&path))
            .and_then(|directory| directory.sync_all())
            .map_err(publish)?;
        Ok(path)
    }
}

/// The directory that a path is in.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// What a file is that is no regular file.
pub(super) fn kind_name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "directory"
    } else if kind.is_block_device() {
        "block device"
    } else if kind.is_char_device() {
        "character device"
    } else if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "special file"
    }
}
