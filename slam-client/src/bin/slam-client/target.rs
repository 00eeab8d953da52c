// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where an image goes: a file, a block device, or whoever reads it in order.

mod chunks;
pub(crate) mod device;
mod direct;
pub(crate) mod file;
mod in_use;
mod proof;
pub(crate) mod stream;

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use slam_client::wire::TransferHeader;
use slam_client::{BlockSet, Timestamp};

pub(crate) use proof::{Agreement, Demand};

/// Why an image cannot be put where it should go.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("{path}: is a block device; --to {path} writes to it", path = path.display())]
    IsDevice { path: PathBuf },
    #[error("{path}: is there already and is no regular file; name another", path = path.display())]
    NotAFile { path: PathBuf },
    #[error(
        "{path}: is no block device; -o writes files, and --force takes a file that is there for \
         a device", path = path.display()
    )]
    NotADevice { path: PathBuf },
    #[error("{path}: is in use: {uses}; unmount it, or insist with --force", path = path.display())]
    InUse { path: PathBuf, uses: String },
    #[error("{path}: another slam-client is writing it", path = path.display())]
    Locked { path: PathBuf },
    #[error("{path}: {doing}: {source}", path = path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
    #[error("{what}: sha256 is {found}, {expected}")]
    Digest {
        what: String,
        found: String,
        expected: String,
    },
    #[error("{what}: bytes {from} to {to} read back otherwise than they were written")]
    ReadBack { what: String, from: u64, to: u64 },
    #[error("{0}")]
    Stream(io::Error),
}

/// What became of an image that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Of what was sent, in hexadecimal; nothing where nobody asked to read a device back.
    pub(crate) sha256: Option<String>,
    /// What that proves.
    pub(crate) agreement: Agreement,
    /// Bytes and digest after unpacking.
    pub(crate) unpacked: Option<(u64, Option<String>)>,
    /// Most bytes that waited for their turn in a temporary file.
    pub(crate) spilled: u64,
    /// It was read back from the disk and found to be what was written.
    pub(crate) verified: bool,
}

/// Takes blocks in any order.
pub(crate) trait Target {
    /// Makes room for a transfer, unless it is the one that is there already.
    fn begin(&mut self, header: &TransferHeader, anew: bool) -> io::Result<()>;

    /// Takes whole blocks that follow each other, none of them taken before.
    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Reads back what was taken; what was not may read as anything. Not where bytes are passed
    /// on in order.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()>;

    /// The blocks taken, by earlier runs too, and of what.
    fn taken(&self) -> Option<(&TransferHeader, &BlockSet)>;

    /// Now and then, when there is time.
    fn checkpoint(&mut self, now: Timestamp);

    /// Leaves what is there for a later run; how many bytes that are. Where it is of no use to
    /// one, leaves no file.
    fn keep(self: Box<Self>) -> Result<u64, TargetError>;

    /// The image is whole: brings it to the disk, proves what was demanded, and puts it in its
    /// place. `mixed`: some of it came by HTTP.
    fn finish(self: Box<Self>, mixed: bool) -> Result<Delivered, TargetError>;
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> TargetError {
    TargetError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}

/// The same error, saying where.
fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
