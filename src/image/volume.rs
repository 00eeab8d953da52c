// SPDX-License-Identifier: MIT OR Apache-2.0
//! A volume inside a disk image, read: what files it has, and where their bytes lie.
//!
//! It reads what others wrote, too (mkfs.vfat, mkntfs, Windows), and trusts none of it: a chain
//! that loops, a directory in itself, a cluster past the end are errors.
//!
//! Own readers and not the crates `fatfs` and `ntfs`: where what they read is hostile, those
//! follow it into panics and endless loops. They judge what we wrote ourselves.

mod fat;
mod ntfs;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::ntfs::decode::RecordFault;
use super::spec::Attributes;

/// More files than any boot volume has.
const MAX_NODES: usize = 1_000_000;
/// Directories in directories.
const MAX_DEPTH: usize = 128;

/// A volume that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// The image.
    #[error("cannot read the image at byte {offset}")]
    Read {
        /// From the image's start.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// Neither FAT nor NTFS.
    #[error("the volume at byte {offset}: expected FAT or NTFS, found {found} in its boot sector")]
    Unknown {
        /// Of its boot sector, from the image's start.
        offset: u64,
        /// What is there.
        found: String,
    },
    /// A structure that contradicts itself.
    #[error("{what} (byte {offset} of the image): expected {expected}, found {found}")]
    Field {
        /// Which.
        what: String,
        /// From the image's start.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A record of NTFS's MFT that cannot be.
    #[error("record {number} of the MFT (byte {offset} of the image); run chkdsk on the volume")]
    Record {
        /// Which.
        number: u64,
        /// Of the record, from the image's start.
        offset: u64,
        /// What is wrong with it.
        source: RecordFault,
    },
}

/// Which file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With 12-bit entries.
    Fat12,
    /// With 16-bit entries.
    Fat16,
    /// With 28-bit entries.
    Fat32,
    /// Windows NT's.
    Ntfs,
}

impl Kind {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Fat12 => "FAT12",
            Kind::Fat16 => "FAT16",
            Kind::Fat32 => "FAT32",
            Kind::Ntfs => "NTFS",
        }
    }
}

/// A volume, and all that is on it.
#[derive(Clone, Debug)]
pub struct Volume {
    /// Which file system.
    pub kind: Kind,
    /// Its name.
    pub label: String,
    /// Its serial number.
    pub serial: u64,
    /// Bytes in a cluster.
    pub cluster_bytes: u64,
    /// Files and directories, each after its directory.
    pub nodes: Vec<Node>,
}

/// A file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Such as `\Boot\BCD`.
    pub path: String,
    /// What it is.
    pub content: Content,
    /// Hidden, system, read-only, times.
    pub attributes: Attributes,
    /// What else it has that no volume of ours can hold.
    pub losses: Vec<Loss>,
}

/// What NTFS can have and our writer does not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// Access rights that are not those of a new volume's files.
    Access,
    /// Streams beside its bytes.
    Streams,
    /// Other names for the same file.
    Links,
    /// Extended attributes, as of OS/2 and WSL.
    Extended,
}

impl Loss {
    /// What becomes of it, for people.
    pub fn consequence(self) -> &'static str {
        match self {
            Loss::Access => "access rights become those that Windows gives on a new volume",
            Loss::Streams => "alternate data streams are left out",
            Loss::Links => "several names of one file become files of their own",
            Loss::Extended => "extended attributes are left out",
        }
    }
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Other nodes.
    Directory,
    /// Bytes.
    File(Bytes),
    /// Bytes that cannot be read as they lie there, and why.
    Unreadable(&'static str),
}

/// A file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// How many.
    pub length: u64,
    /// Where they are.
    pub place: Place,
}

/// Where bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here: NTFS keeps short files in their records.
    Here(Vec<u8>),
    /// In these pieces, one after the other; together they are at least as long.
    Pieces(Vec<Piece>),
}

/// Bytes in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// From the image's start; `None`: zeros that are not stored.
    pub offset: Option<u64>,
    /// How many, not zero.
    pub length: u64,
}

impl Volume {
    /// Reads the volume of that place and length: its whole tree, no content.
    pub fn read(file: &File, start: u64, length: u64) -> Result<Self, VolumeError> {
        let mut sector = [0; 512];
        read_at(file, start, &mut sector)?;
        if &sector[3..11] == b"NTFS    " {
            return ntfs::read(file, start, length, &sector);
        }
        fat::read(file, start, length, &sector)
    }

    /// The node of that path, without regard to case.
    pub fn find(&self, path: &str) -> Option<&Node> {
        let folded = path.to_uppercase();
        self.nodes
            .iter()
            .find(|node| node.path.to_uppercase() == folded)
    }

    /// The file of that path, without regard to case.
    pub fn file(&self, path: &str) -> Option<&Bytes> {
        match &self.find(path)?.content {
            Content::File(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Bytes {
    /// Fills `into` with the bytes from `offset` on; all of them must lie inside.
    pub fn read_at(&self, file: &File, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut skip = offset;
        let mut done = 0;
        let pieces = match &self.place {
            Place::Here(bytes) => {
                let part = usize::try_from(offset)
                    .ok()
                    .and_then(|from| bytes.get(from..));
                let part = part.and_then(|part| part.get(..into.len()));
                into.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                return Ok(());
            }
            Place::Pieces(pieces) => pieces,
        };
        for piece in pieces {
            if done == into.len() {
                break;
            }
            if skip >= piece.length {
                skip -= piece.length;
                continue;
            }
            let length = (piece.length - skip).min((into.len() - done) as u64) as usize;
            let part = &mut into[done..done + length];
            match piece.offset {
                Some(at) => file.read_exact_at(part, at + skip)?,
                None => part.fill(0),
            }
            done += length;
            skip = 0;
        }
        if done < into.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// All of them, where they are at most `most`.
    pub fn whole(&self, file: &File, most: u64) -> io::Result<Vec<u8>> {
        if self.length > most {
            let why = format!("expected at most {most} bytes, found {}", self.length);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        let mut bytes = vec![0; self.length as usize];
        self.read_at(file, 0, &mut bytes)?;
        Ok(bytes)
    }

    /// As a stream.
    pub fn reader<'a>(&'a self, file: &'a File) -> Reader<'a> {
        Reader {
            bytes: self,
            file,
            position: 0,
        }
    }
}

/// A file's bytes as a stream.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a Bytes,
    file: &'a File,
    position: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.bytes.length.saturating_sub(self.position);
        let length = left.min(into.len() as u64) as usize;
        self.bytes
            .read_at(self.file, self.position, &mut into[..length])?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.bytes.length.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

fn read_at(file: &File, offset: u64, into: &mut [u8]) -> Result<(), VolumeError> {
    file.read_exact_at(into, offset)
        .map_err(|source| VolumeError::Read { offset, source })
}

fn field(
    what: impl Into<String>,
    offset: u64,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> VolumeError {
    VolumeError::Field {
        what: what.into(),
        offset,
        expected: expected.into(),
        found: found.into(),
    }
}

/// Appends a piece, as part of the last one where it follows that.
fn append(pieces: &mut Vec<Piece>, next: Piece) {
    if let Some(last) = pieces.last_mut() {
        let follows = match (last.offset, next.offset) {
            (Some(at), Some(next)) => at + last.length == next,
            (None, None) => true,
            _ => false,
        };
        if follows {
            last.length += next.length;
            return;
        }
    }
    pieces.push(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_read_as_one() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"0123456789").unwrap();
        let mut pieces = Vec::new();
        for (offset, length) in [(Some(4), 2), (Some(6), 1), (None, 2), (Some(0), 3)] {
            append(&mut pieces, Piece { offset, length });
        }
        assert_eq!(pieces.len(), 3);
        let bytes = Bytes {
            length: 7,
            place: Place::Pieces(pieces),
        };
        let mut text = Vec::new();
        bytes.reader(&file).read_to_end(&mut text).unwrap();
        assert_eq!(text, b"456\0\x0001");
        let mut reader = bytes.reader(&file);
        reader.seek(SeekFrom::End(-2)).unwrap();
        text.clear();
        reader.read_to_end(&mut text).unwrap();
        assert_eq!(text, b"01");
        assert!(reader.seek(SeekFrom::Current(-8)).is_err());
        assert!(bytes.read_at(&file, 5, &mut [0; 4]).is_err());
        assert!(bytes.whole(&file, 6).is_err());
    }
}
