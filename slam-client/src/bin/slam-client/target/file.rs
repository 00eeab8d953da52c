// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file in the making: `FILE.part` holds the blocks, the sidecar `FILE.slam-partial` says which.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;
use slam_client::wire::TransferHeader;
use slam_client::{BlockSet, Timestamp};

use super::proof::{Fingerprint, digest, read_back};
use super::{Delivered, Demand, Target, TargetError, failed};
use crate::sidecar::{Medium, Remains, Sidecar, beside, bytes_in, remove_if_there, sync_directory};

/// Whether blocks of zeros take room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Sparse {
    /// They become holes; but a disk that could not take them is refused at the start.
    #[default]
    Auto,
    /// They become holes, and a disk too small for them will do.
    Always,
    /// All room is taken at the start.
    Never,
}

/// An open `FILE.part`.
#[derive(Debug)]
pub(crate) struct FileTarget {
    target: PathBuf,
    part: PathBuf,
    sidecar: Sidecar,
    file: Arc<File>,
    sparse: Sparse,
    demand: Demand,
    fingerprint: Fingerprint,
    /// What is in the file, once a transfer has begun or an earlier one can be resumed.
    stored: Option<(TransferHeader, BlockSet)>,
}

impl FileTarget {
    /// Opens `FILE.part` beside `target`, and finds out what it holds; nothing if `fresh`.
    /// `state`: where the sidecar lies, if not beside it.
    pub(crate) fn open(
        target: &Path,
        state: Option<&Path>,
        fresh: bool,
        sparse: Sparse,
        demand: Demand,
    ) -> Result<(Self, Remains), TargetError> {
        let (part, file) = open_part(target)?;
        let path = state.map_or_else(|| beside(target, ".slam-partial"), Path::to_owned);
        let sidecar = Sidecar::at(path.clone())
            .map_err(|source| failed(&path, "cannot be a sidecar", source))?;
        let len = file.metadata().map_or(0, |found| found.len());
        let remains = if fresh {
            Remains::Nothing
        } else {
            sidecar.read(&file, len..len + 1)
        };
        let stored = match &remains {
            Remains::Blocks(header, held) => Some((*header, held.clone())),
            Remains::Nothing | Remains::Unusable(_) => None,
        };
        let target = FileTarget {
            target: target.to_owned(),
            part,
            sidecar,
            file: Arc::new(file),
            sparse,
            demand,
            fingerprint: Fingerprint::default(),
            stored,
        };
        Ok((target, remains))
    }

    /// Writes parts that are not all zeros, one right after the other.
    fn store(&self, offset: u64, mut left: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        while !left.is_empty() {
            let written = match rustix::io::pwritev(&*self.file, left, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(explain(&self.part, &self.file, &error.into(), None)),
            };
            at += written as u64;
            IoSlice::advance_slices(&mut left, written);
        }
        Ok(())
    }

    /// What is left when it will not be kept: nothing.
    fn clear(&mut self) -> Result<(), TargetError> {
        let sidecar = self.sidecar.path().to_owned();
        self.sidecar
            .remove()
            .map_err(|source| failed(&sidecar, "cannot remove", source))?;
        remove_if_there(&self.part).map_err(|source| failed(&self.part, "cannot remove", source))
    }
}

impl Target for FileTarget {
    fn begin(&mut self, header: &TransferHeader, anew: bool) -> io::Result<()> {
        if !anew && matches!(&self.stored, Some((stored, _)) if stored == header) {
            return Ok(());
        }
        self.stored = None;
        self.fingerprint = Fingerprint::default();
        self.sidecar.remove()?;
        self.file.set_len(0)?;
        make_room(&self.part, &self.file, header.total_bytes(), self.sparse)?;
        self.stored = Some((*header, BlockSet::new()));
        Ok(())
    }

    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let Some((header, _)) = self.stored else {
            return Err(io::Error::other("a block before its transfer"));
        };
        let (mut from, mut at) = (0, offset);
        let (mut start, mut next) = (offset, offset);
        // Stretches between parts of zeros, which become holes.
        for to in 0..=parts.len() {
            let hole = match parts.get(to) {
                Some(part) if self.sparse == Sparse::Never || !is_zero(part) => {
                    next += part.len() as u64;
                    continue;
                }
                Some(part) => part.len() as u64,
                None => 0,
            };
            if self.demand.read_back {
                for part in &parts[from..(to + 1).min(parts.len())] {
                    self.fingerprint.add(&header, at, part);
                    at += part.len() as u64;
                }
            }
            self.store(start, &mut parts[from..to])?;
            next += hole;
            (from, start) = (to + 1, next);
        }
        if let Some((header, held)) = &mut self.stored {
            let block_size = u64::from(header.block_size().get());
            held.insert_run(offset / block_size..next.div_ceil(block_size));
        }
        Ok(())
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let read = self.file.read_all_at(data, offset);
        read.map_err(|error| explain(&self.part, &self.file, &error, None))
    }

    fn taken(&self) -> Option<(&TransferHeader, &BlockSet)> {
        self.stored.as_ref().map(|(header, held)| (header, held))
    }

    fn checkpoint(&mut self, now: Timestamp) {
        if let Some((header, held)) = &self.stored {
            self.sidecar.checkpoint(now, header, held, &self.file);
        }
    }

    fn keep(mut self: Box<Self>) -> Result<u64, TargetError> {
        match &self.stored {
            Some((header, held)) if !held.is_empty() => {
                self.sidecar
                    .save(header, held, &*self.file)
                    .map_err(|source| {
                        let path = self.sidecar.path();
                        failed(path, "cannot note what was received", source)
                    })?;
                Ok(bytes_in(header, held))
            }
            _ => self.clear().map(|()| 0),
        }
    }

    fn finish(mut self: Box<Self>, mixed: bool) -> Result<Delivered, TargetError> {
        self.sidecar.settle();
        let Some((header, _)) = self.stored else {
            return Err(TargetError::Stream(io::ErrorKind::UnexpectedEof.into()));
        };
        let what = self.part.display().to_string();
        let sync = || {
            let synced = self.file.sync_all();
            synced.map_err(|source| failed(&self.part, "cannot bring it to the disk", source))
        };
        let sha256 = if self.demand.read_back {
            sync()?;
            // From the disk, not from memory.
            let _ = rustix::fs::fadvise(&*self.file, 0, None, Advice::DontNeed);
            read_back(&what, &*self.file, &header, Some(&self.fingerprint))
        } else {
            std::thread::scope(|scope| {
                let syncing = scope.spawn(sync);
                let sha256 = digest(&*self.file, header.total_bytes())
                    .map_err(|source| failed(&self.part, "cannot read it back", source));
                match syncing.join() {
                    Ok(synced) => synced.and(sha256),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            })
        };
        let judged = sha256.and_then(|sha256| {
            let agreement = self.demand.judge(&what, &header, &sha256, mixed)?;
            Ok((sha256, agreement))
        });
        let (sha256, agreement) = match judged {
            Ok(judged) => judged,
            Err(wrong @ (TargetError::Digest { .. } | TargetError::ReadBack { .. })) => {
                // Nothing tells which of it is wrong: it is of no use to a later run.
                self.clear()?;
                return Err(wrong);
            }
            Err(other) => return Err(other),
        };
        put_in_place(&self.part, &self.target)?;
        let sidecar = self.sidecar.path().to_owned();
        self.sidecar
            .remove()
            .map_err(|source| failed(&sidecar, "cannot remove", source))?;
        Ok(Delivered {
            sha256: Some(hex::encode(sha256)),
            agreement,
            unpacked: None,
            spilled: 0,
            verified: self.demand.read_back,
        })
    }
}

/// Opens `FILE.part` beside `target`, for this process alone.
pub(super) fn open_part(target: &Path) -> Result<(PathBuf, File), TargetError> {
    let path = target.to_owned();
    match fs::metadata(target) {
        Ok(found) if found.file_type().is_block_device() => {
            return Err(TargetError::IsDevice { path });
        }
        Ok(found) if !found.is_file() => return Err(TargetError::NotAFile { path }),
        _ => {}
    }
    let part = beside(target, ".part");
    let file = lock(&part)?;
    Ok((part, file))
}

/// Moves the finished file to its place.
pub(super) fn put_in_place(part: &Path, target: &Path) -> Result<(), TargetError> {
    fs::rename(part, target)
        .map_err(|source| failed(target, "cannot move the finished file here", source))?;
    // The file is in its place; the entry's way to the disk is beyond our reach if this fails.
    let _ = sync_directory(target);
    Ok(())
}

/// Gives the file its length, and takes the room for it, if that is wanted: a full disk is
/// better met at the start.
fn make_room(path: &Path, file: &File, len: u64, sparse: Sparse) -> io::Result<()> {
    let done = match sparse {
        Sparse::Never => match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(len),
            Err(error) => {
                // Some filesystems leave what they could get.
                let _ = file.set_len(0);
                Err(error.into())
            }
        },
        Sparse::Auto if free(file).is_some_and(|free| free < len) => {
            Err(io::ErrorKind::StorageFull.into())
        }
        Sparse::Auto | Sparse::Always => file.set_len(len),
    };
    done.map_err(|error| explain(path, file, &error, Some((len, sparse))))
}

fn free(file: &File) -> Option<u64> {
    let fs = rustix::fs::fstatvfs(file).ok()?;
    Some(fs.f_bavail.saturating_mul(fs.f_frsize))
}

/// An error in writing, with what would mend it. `wanted`: for the whole file.
pub(super) fn explain(
    path: &Path,
    file: &File,
    error: &io::Error,
    wanted: Option<(u64, Sparse)>,
) -> io::Error {
    let mut message = vec![format!("{}: {error}", path.display())];
    match (error.kind(), wanted) {
        (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, wanted) => {
            message.extend(wanted.map(|(wanted, _)| format!(": needs {wanted} bytes")));
            message.extend(free(file).map(|free| format!(", {free} are free")));
            if matches!(wanted, Some((_, Sparse::Auto))) {
                let hint = " (--sparse always tries: what is all zeros takes no room)";
                message.push(hint.to_owned());
            }
        }
        (io::ErrorKind::FileTooLarge, Some((wanted, _))) => {
            message.push(format!(": this filesystem takes no file of {wanted} bytes"));
        }
        _ => {}
    }
    let message = message.concat();
    io::Error::new(error.kind(), message)
}

/// Whether there is nothing but zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    // Piece by piece, so that it ends early and each piece is one vector operation.
    bytes
        .chunks(64)
        .all(|piece| piece.iter().fold(0, |bits, byte| bits | byte) == 0)
}

/// Opens the file for this process alone.
fn lock(path: &Path) -> Result<File, TargetError> {
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
            return Err(TargetError::Locked {
                path: path.to_owned(),
            });
        }
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    // It may have been finished and renamed between opening and locking.
    let ours = file.metadata().map_err(io)?;
    match fs::metadata(path) {
        Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => Ok(file),
        _ => Err(TargetError::Locked {
            path: path.to_owned(),
        }),
    }
}
