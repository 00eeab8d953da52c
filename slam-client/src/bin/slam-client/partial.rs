// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file in the making: `FILE.part` holds the blocks, `FILE.slam-partial` says which.
//!
//! Blocks are stored before the sidecar speaks of them, on the disk too: a lost sidecar costs
//! time, a sidecar that promised too much would spoil the file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use slam_client::wire::{BlockSize, TransactionId, TransferHeader, VarInt};
use slam_client::{BlockSet, Timestamp};

const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
const FORMAT: u32 = 1;
/// Ends the name of a sidecar that is being written.
const NEW: &str = ".new";

/// Why the file cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartialError {
    #[error("{path}: is there already and is no regular file; name another")]
    NotAFile { path: PathBuf },
    #[error("{path}: another slam-client is writing it")]
    Locked { path: PathBuf },
    #[error("{path}: {doing}: {source}")]
    Io {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
}

/// What an earlier run has left.
#[derive(Debug, PartialEq)]
pub(crate) enum Remains {
    Nothing,
    /// Blocks of this transfer.
    Blocks(TransferHeader, BlockSet),
    /// Something that cannot be used, and why.
    Unusable(String),
}

/// An open `FILE.part`.
#[derive(Debug)]
pub(crate) struct Partial {
    target: PathBuf,
    part: PathBuf,
    sidecar: PathBuf,
    file: File,
    /// What is in the file, once a transfer has begun or an earlier one can be resumed.
    stored: Option<(TransferHeader, BlockSet)>,
    checkpoint: Option<JoinHandle<io::Result<()>>>,
    next_checkpoint: Timestamp,
}

/// `FILE.slam-partial`, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sidecar {
    format: u32,
    transaction: u64,
    total_bytes: u64,
    block_size: u64,
    /// Runs of blocks, each from its first to one past its last.
    held: Vec<(u64, u64)>,
}

impl Partial {
    /// Opens `FILE.part` beside `target`, and finds out what it holds; nothing if `fresh`.
    pub(crate) fn open(target: &Path, fresh: bool) -> Result<(Self, Remains), PartialError> {
        match fs::metadata(target) {
            Ok(found) if !found.is_file() => {
                return Err(PartialError::NotAFile {
                    path: target.to_owned(),
                });
            }
            _ => {}
        }
        let part = beside(target, ".part");
        let sidecar = beside(target, ".slam-partial");
        let file = lock(&part)?;
        // From a run that was killed at the wrong moment.
        let half_made = beside(&sidecar, NEW);
        remove_if_there(&half_made)
            .map_err(|source| failed(&half_made, "cannot remove", source))?;
        let remains = if fresh {
            Remains::Nothing
        } else {
            read_remains(&sidecar, &file)
        };
        let stored = match &remains {
            Remains::Blocks(header, held) => Some((*header, held.clone())),
            Remains::Nothing | Remains::Unusable(_) => None,
        };
        let partial = Partial {
            target: target.to_owned(),
            part,
            sidecar,
            file,
            stored,
            checkpoint: None,
            next_checkpoint: Timestamp::ZERO + CHECKPOINT_EVERY,
        };
        Ok((partial, remains))
    }

    /// Makes room for a transfer, unless it is the one that is in the file already.
    pub(crate) fn begin(&mut self, header: &TransferHeader, anew: bool) -> io::Result<()> {
        if !anew && matches!(&self.stored, Some((stored, _)) if stored == header) {
            return Ok(());
        }
        self.join_checkpoint();
        self.stored = None;
        remove_if_there(&self.sidecar)?;
        self.file.set_len(0)?;
        reserve(&self.file, header.total_bytes())
            .map_err(|error| self.explain(&error, header.total_bytes()))?;
        self.stored = Some((*header, BlockSet::new()));
        Ok(())
    }

    /// Writes whole blocks that follow each other.
    pub(crate) fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut at = offset;
        let mut left = parts;
        while !left.is_empty() {
            let written = match rustix::io::pwritev(&self.file, left, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(self.explain(&error.into(), len)),
            };
            at += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        if let Some((header, held)) = &mut self.stored {
            let block_size = u64::from(header.block_size().get());
            held.insert_run(offset / block_size..(offset + len).div_ceil(block_size));
        }
        Ok(())
    }

    /// Reads back; what was never written reads as zeros.
    pub(crate) fn read(&self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < data.len() {
            match rustix::io::pread(&self.file, &mut data[done..], offset + done as u64) {
                Ok(0) => {
                    data[done..].fill(0);
                    break;
                }
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Blocks of the file that are stored, and how many there will be.
    pub(crate) fn progress(&self) -> Option<(&TransferHeader, &BlockSet)> {
        self.stored.as_ref().map(|(header, held)| (header, held))
    }

    /// Now and then, notes beside the file what is in it, so that not even a loss of power costs
    /// more than the last few seconds. Waits for nothing.
    pub(crate) fn checkpoint(&mut self, now: Timestamp) {
        if now < self.next_checkpoint {
            return;
        }
        self.next_checkpoint = now + CHECKPOINT_EVERY;
        if self
            .checkpoint
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            return;
        }
        self.join_checkpoint();
        if let Some((header, held)) = &self.stored
            && let Ok(file) = self.file.try_clone()
        {
            let sidecar = Sidecar::new(header, held);
            let path = self.sidecar.clone();
            self.checkpoint = Some(std::thread::spawn(move || sidecar.save(&path, &file)));
        }
    }

    /// Leaves what is there for a later run; how many bytes that are. Where there is nothing,
    /// leaves no file.
    pub(crate) fn keep(mut self) -> Result<u64, PartialError> {
        self.join_checkpoint();
        match &self.stored {
            Some((header, held)) if !held.is_empty() => {
                Sidecar::new(header, held)
                    .save(&self.sidecar, &self.file)
                    .map_err(|source| {
                        failed(&self.sidecar, "cannot note what was received", source)
                    })?;
                Ok(bytes_in(header, held))
            }
            _ => {
                for path in [&self.part, &self.sidecar] {
                    remove_if_there(path)
                        .map_err(|source| failed(path, "cannot remove", source))?;
                }
                Ok(0)
            }
        }
    }

    /// The whole file: to the disk, and to its place. `meanwhile` sees it while it is on its way.
    pub(crate) fn finish<T>(
        mut self,
        meanwhile: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, PartialError> {
        self.join_checkpoint();
        let (synced, seen) = std::thread::scope(|scope| {
            let syncing = scope.spawn(|| self.file.sync_all());
            let seen = meanwhile(&self.file);
            (
                syncing
                    .join()
                    .unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
                seen,
            )
        });
        synced.map_err(|source| failed(&self.part, "cannot bring it to the disk", source))?;
        let seen = seen.map_err(|source| failed(&self.part, "cannot read it back", source))?;
        fs::rename(&self.part, &self.target)
            .map_err(|source| failed(&self.target, "cannot move the finished file here", source))?;
        let directory = match self.target.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        // The file is in its place; the entry's way to the disk is beyond our reach if this fails.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
        remove_if_there(&self.sidecar)
            .map_err(|source| failed(&self.sidecar, "cannot remove", source))?;
        Ok(seen)
    }

    fn join_checkpoint(&mut self) {
        // A checkpoint that failed leaves the one before, which is still true.
        let _ = self.checkpoint.take().map(JoinHandle::join);
    }

    fn explain(&self, error: &io::Error, wanted: u64) -> io::Error {
        let path = self.part.display();
        let message = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let free = rustix::fs::fstatvfs(&self.file)
                    .map(|fs| fs.f_bavail.saturating_mul(fs.f_frsize));
                match free {
                    Ok(free) => format!("{path}: {error}: needs {wanted} bytes, {free} are free"),
                    Err(_) => format!("{path}: {error}: needs {wanted} bytes"),
                }
            }
            io::ErrorKind::FileTooLarge => {
                format!("{path}: {error}: this filesystem takes no file of {wanted} bytes")
            }
            _ => format!("{path}: {error}"),
        };
        io::Error::new(error.kind(), message)
    }
}

impl Sidecar {
    fn new(header: &TransferHeader, held: &BlockSet) -> Self {
        Sidecar {
            format: FORMAT,
            transaction: header.transaction().0.get(),
            total_bytes: header.total_bytes(),
            block_size: u64::from(header.block_size().get()),
            held: held.runs().map(|run| (run.start, run.end)).collect(),
        }
    }

    /// Writes the sidecar, after what it speaks of has reached the disk.
    fn save(&self, path: &Path, file: &File) -> io::Result<()> {
        file.sync_data()?;
        let new = beside(path, NEW);
        let mut out = File::create(&new)?;
        out.write_all(&serde_json::to_vec(self)?)?;
        out.sync_all()?;
        fs::rename(&new, path)
    }

    fn decode(&self) -> Result<(TransferHeader, BlockSet), String> {
        if self.format != FORMAT {
            return Err(format!("expected format {FORMAT}, found {}", self.format));
        }
        let transaction = VarInt::new(self.transaction).ok_or("the transaction is no Int")?;
        let header = BlockSize::new(self.block_size)
            .and_then(|size| {
                TransferHeader::new(TransactionId(transaction), self.total_bytes, size)
            })
            .map_err(|error| error.to_string())?;
        let count = header.block_count();
        let runs = self.held.iter().map(|&(start, end)| match start..end {
            run if !run.is_empty() && run.end <= count => Ok(run),
            run => Err(format!("run {run:?} is not within the {count} blocks")),
        });
        Ok((
            header,
            runs.collect::<Result<Vec<Range<u64>>, _>>()?
                .into_iter()
                .collect(),
        ))
    }
}

fn read_remains(path: &Path, file: &File) -> Remains {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Remains::Nothing,
        Err(error) => return Remains::Unusable(format!("{}: {error}", path.display())),
    };
    let decoded = serde_json::from_slice::<Sidecar>(&text)
        .map_err(|error| error.to_string())
        .and_then(|sidecar| sidecar.decode());
    let found = file.metadata().map_or(0, |found| found.len());
    match decoded {
        Ok((header, _)) if header.total_bytes() != found => Remains::Unusable(format!(
            "{}: expected a partial file of {} bytes, found {found}",
            path.display(),
            header.total_bytes()
        )),
        Ok((header, held)) => Remains::Blocks(header, held),
        Err(error) => Remains::Unusable(format!("{}: {error}", path.display())),
    }
}

/// Opens the file for this process alone.
fn lock(path: &Path) -> Result<File, PartialError> {
    let io = |source| failed(path, "cannot write here", source);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(PartialError::Locked {
                path: path.to_owned(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    // It may have been finished and renamed between opening and locking.
    let ours = file.metadata().map_err(io)?;
    match fs::metadata(path) {
        Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(file),
        _ => Err(PartialError::Locked {
            path: path.to_owned(),
        }),
    }
}

/// Takes the space now, where the filesystem can: a full disk is better met at the start.
fn reserve(file: &File, len: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len),
        Err(error) => {
            // Some filesystems leave what they could get.
            let _ = file.set_len(0);
            Err(error.into())
        }
    }
}

/// Bytes in the blocks that are held.
pub(crate) fn bytes_in(header: &TransferHeader, held: &BlockSet) -> u64 {
    let block_size = u64::from(header.block_size().get());
    held.runs()
        .map(|run| (run.end * block_size).min(header.total_bytes()) - run.start * block_size)
        .sum()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn failed(path: &Path, doing: &'static str, source: io::Error) -> PartialError {
    PartialError::Io {
        path: path.to_owned(),
        doing,
        source,
    }
}
