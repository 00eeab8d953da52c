// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file as it is served: pinned by handle and digest, read through the page cache.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use slam_client::wire::MAX_STOCK_32BIT_BYTES;

/// How much is read at a time for the digest.
const CHUNK: usize = 1 << 20;

/// Why a file cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It cannot be opened or read.
    #[error("{path}: cannot be read: {source}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a directory, a socket, a terminal.
    #[error("{path}: expected a regular file or a block device, found {found}", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// It has no bytes.
    #[error(
        "{path}: expected at least 1 byte, found an empty file, which no client can complete; \
         was the image built? (`slamboot image demo -o FILE` builds one)",
        path = path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Stock 32-bit clients would ignore it.
    #[error(
        "{path}: expected at most {MAX_STOCK_32BIT_BYTES} bytes (2^29 - 1), found {bytes}: stock \
         32-bit iPXE clients ignore longer transfers; make the image smaller, or set \
         `stock_clients = false` under [slam] if only other clients take part",
        path = path.display()
    )]
    TooLongForStock {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// It changed between two looks.
    #[error("{path}: {what} while it was read; wait until nothing writes to it", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is different.
        what: String,
    },
}

/// An opened file, digested once.
#[derive(Debug)]
pub struct Content {
    path: PathBuf,
    file: File,
    identity: Identity,
    /// What its path has while it leads here.
    at_path: Identity,
    sha256: [u8; 32],
}

/// Which file it is, and what tells that its bytes are still those that were digested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    file: (u64, u64),
    bytes: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(bytes: u64, metadata: &Metadata) -> Self {
        Identity {
            file: (metadata.dev(), metadata.ino()),
            bytes,
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// That of the file to which `path` leads; `None` if it leads to none. Block devices have
    /// neither a length nor times here that would tell anything.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        if metadata.is_file() {
            return Some(Identity::of(metadata.len(), &metadata));
        }
        let device = metadata.file_type().is_block_device();
        device.then(|| Identity {
            file: (metadata.dev(), metadata.ino()),
            bytes: 0,
            modified: (0, 0),
        })
    }
}

impl Content {
    /// Opens and digests a file; `progress` is told how many bytes of how many are done.
    pub fn open(
        path: &Path,
        stock_clients: bool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, ContentError> {
        let unreadable = |source| ContentError::Unreadable {
            path: path.to_owned(),
            source,
        };
        // Asked by path first: opening a FIFO would wait for its writer.
        let kind = std::fs::metadata(path).map_err(unreadable)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            let found = if kind.is_dir() {
                "a directory"
            } else {
                "neither"
            };
            return Err(ContentError::NotAFile {
                path: path.to_owned(),
                found,
            });
        }
        let file = File::open(path).map_err(unreadable)?;
        let bytes = length(&file).map_err(unreadable)?;
        if bytes == 0 {
            return Err(ContentError::Empty {
                path: path.to_owned(),
            });
        }
        check_length(path, bytes, stock_clients)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let identity = Identity::of(bytes, &metadata);
        let at_path = if metadata.is_file() {
            identity
        } else {
            Identity {
                bytes: 0,
                modified: (0, 0),
                ..identity
            }
        };
        let sha256 = digest(&file, bytes, progress).map_err(unreadable)?;
        let content = Content {
            path: path.to_owned(),
            file,
            identity,
            at_path,
            sha256,
        };
        content.check()?;
        Ok(content)
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.identity.bytes
    }

    /// SHA-256 of the whole.
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills `buffer` from `offset`, having checked that the content is the digested one.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), ContentError> {
        self.check()?;
        self.file
            .read_exact_at(buffer, offset)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => self.changed("became shorter".to_owned()),
                _ => ContentError::Unreadable {
                    path: self.path.clone(),
                    source,
                },
            })
    }

    /// What its path had when it was opened.
    pub(crate) fn identity_at_path(&self) -> Identity {
        self.at_path
    }

    /// Whether stock clients, if they take part, can take it.
    pub fn check_length(&self, stock_clients: bool) -> Result<(), ContentError> {
        check_length(&self.path, self.bytes(), stock_clients)
    }

    /// When it was last written to; `None` for devices.
    pub fn modified(&self) -> Option<SystemTime> {
        let seconds = u64::try_from(self.at_path.modified.0).ok()?;
        (seconds > 0).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn check(&self) -> Result<(), ContentError> {
        let unreadable = |source| ContentError::Unreadable {
            path: self.path.clone(),
            source,
        };
        let metadata = self.file.metadata().map_err(unreadable)?;
        let bytes = if metadata.is_file() {
            metadata.len()
        } else {
            self.identity.bytes
        };
        let now = Identity::of(bytes, &metadata);
        if now.bytes != self.identity.bytes {
            let (before, after) = (self.identity.bytes, now.bytes);
            return Err(self.changed(format!("length went from {before} to {after} bytes")));
        }
        // The nodes of block devices have times of their own.
        if metadata.is_file() && now.modified != self.identity.modified {
            return Err(self.changed("it was written to".to_owned()));
        }
        Ok(())
    }

    fn changed(&self, what: String) -> ContentError {
        ContentError::Changed {
            path: self.path.clone(),
            what,
        }
    }
}

fn check_length(path: &Path, bytes: u64, stock_clients: bool) -> Result<(), ContentError> {
    if stock_clients && bytes > MAX_STOCK_32BIT_BYTES {
        return Err(ContentError::TooLongForStock {
            path: path.to_owned(),
            bytes,
        });
    }
    Ok(())
}

/// Length of a file or block device: devices have no length in their metadata.
fn length(file: &File) -> io::Result<u64> {
    use std::io::{Seek, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::End(0))
}

fn digest(file: &File, bytes: u64, progress: &mut dyn FnMut(u64, u64)) -> io::Result<[u8; 32]> {
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    while done < bytes {
        let len = chunk
            .len()
            .min(usize::try_from(bytes - done).unwrap_or(usize::MAX));
        file.read_exact_at(&mut chunk[..len], done)?;
        sha256.update(&chunk[..len]);
        done += len as u64;
        progress(done, bytes);
    }
    Ok(sha256.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn open(path: &Path) -> Result<Content, ContentError> {
        Content::open(path, true, &mut |_, _| ())
    }

    #[test]
    fn digests_and_reads() {
        let file = file(b"abc");
        let content = open(file.path()).unwrap();
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(content.sha256()), expected);
        let mut buffer = [0; 2];
        content.read_at(&mut buffer, 1).unwrap();
        assert_eq!(&buffer, b"bc");
    }

    #[test]
    fn an_image_that_is_written_to_is_noticed() {
        let mut file = file(b"abc");
        let content = open(file.path()).unwrap();
        file.write_all(b"d").unwrap();
        let error = content.read_at(&mut [0; 2], 0).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "length went from 3 to 4 bytes while it was read; wait until nothing writes to it"
            ),
            "{error}"
        );
    }

    #[test]
    fn an_image_that_is_truncated_is_noticed() {
        let file = file(b"abc");
        let content = open(file.path()).unwrap();
        file.as_file().set_len(1).unwrap();
        assert!(matches!(
            content.read_at(&mut [0; 2], 0),
            Err(ContentError::Changed { .. })
        ));
    }

    #[test]
    fn an_image_that_is_replaced_or_removed_is_served_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, b"old").unwrap();
        let content = open(&path).unwrap();
        assert_eq!(Identity::at(&path), Some(content.identity_at_path()));
        std::fs::write(dir.path().join("new"), b"new").unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        assert_ne!(Identity::at(&path), Some(content.identity_at_path()));
        let mut buffer = [0; 3];
        content.read_at(&mut buffer, 0).unwrap();
        assert_eq!(&buffer, b"old");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(Identity::at(&path), None);
        content.read_at(&mut buffer, 0).unwrap();
        assert_eq!(&buffer, b"old");
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        assert!(matches!(
            open(file(b"").path()),
            Err(ContentError::Empty { .. })
        ));
        assert!(matches!(
            open(Path::new("/nonexistent")),
            Err(ContentError::Unreadable { .. })
        ));
        assert!(matches!(
            open(Path::new("/")),
            Err(ContentError::NotAFile { .. })
        ));
        assert!(matches!(
            open(Path::new("/dev/zero")),
            Err(ContentError::NotAFile { .. })
        ));
    }

    #[test]
    fn the_limit_of_stock_clients_is_kept_where_they_take_part() {
        let file = file(b"");
        file.as_file().set_len(MAX_STOCK_32BIT_BYTES + 1).unwrap();
        let error = open(file.path()).unwrap_err().to_string();
        assert!(error.contains("at most 536870911 bytes"), "{error}");
        assert!(error.contains("found 536870912"), "{error}");
        assert!(error.contains("stock_clients = false"), "{error}");
    }
}
