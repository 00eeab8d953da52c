// SPDX-License-Identifier: MIT OR Apache-2.0
//! A block device as the target: nothing is written to one that is in use, and the image must fit.

use std::fs;
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Advice;
use slam_client::wire::TransferHeader;
use slam_client::{BlockSet, Timestamp};

use super::chunks::Chunks;
use super::direct::Direct;
use super::in_use::{Use, uses};
use super::proof::{Agreement, Fingerprint, digest, read_back};
use super::{Delivered, Demand, Target, TargetError, at, failed};
use crate::sidecar::{Medium, Remains, Sidecar, bytes_in};

/// Where sidecars of devices lie: `/dev` does not outlive a reboot.
const STATE: &str = "/var/lib/slam-client";

/// An open device.
pub(crate) struct DeviceTarget {
    path: PathBuf,
    direct: Arc<Direct>,
    /// Nothing where no sidecar can be had.
    sidecar: Option<Sidecar>,
    demand: Demand,
    fingerprint: Fingerprint,
    transfer: Option<Transfer>,
}

struct Transfer {
    header: TransferHeader,
    /// Blocks that came.
    taken: BlockSet,
    chunks: Chunks,
}

/// What the user should know about a device, once it is open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) size: u64,
    /// Uses that `--force` overrides.
    pub(crate) uses: Vec<Use>,
    /// Whether the page cache is passed by.
    pub(crate) uncached: bool,
    /// Why there is no sidecar, if there is none.
    pub(crate) stateless: Option<String>,
}

impl DeviceTarget {
    /// Opens a device, and finds out what an earlier run has left on it; nothing if `fresh`.
    /// `state`: where the sidecar lies.
    pub(crate) fn open(
        path: &Path,
        state: Option<&Path>,
        fresh: bool,
        force: bool,
        demand: Demand,
    ) -> Result<(Self, Remains, Opened), TargetError> {
        let (direct, mut opened) = open(path, force)?;
        let sidecar = match state_file(path, state).and_then(Sidecar::at) {
            Ok(sidecar) => Some(sidecar),
            Err(error) => {
                opened.stateless = Some(error.to_string());
                None
            }
        };
        let remains = match &sidecar {
            Some(sidecar) if !fresh => sidecar.read(&direct, 1..direct.size + 1),
            _ => Remains::Nothing,
        };
        let direct = Arc::new(direct);
        let transfer = match &remains {
            Remains::Blocks(header, held) => Some(Transfer::new(&direct, header, held.clone())),
            Remains::Nothing | Remains::Unusable(_) => None,
        };
        let target = DeviceTarget {
            path: path.to_owned(),
            direct,
            sidecar,
            demand,
            fingerprint: Fingerprint::default(),
            transfer,
        };
        Ok((target, remains, opened))
    }

    fn forget(&mut self) -> Result<(), TargetError> {
        let Some(sidecar) = &mut self.sidecar else {
            return Ok(());
        };
        let path = sidecar.path().to_owned();
        sidecar
            .remove()
            .map_err(|source| failed(&path, "cannot remove", source))
    }
}

impl Transfer {
    fn new(direct: &Arc<Direct>, header: &TransferHeader, held: BlockSet) -> Self {
        let size = u64::from(header.block_size().get());
        let total = header.total_bytes();
        let stored = held
            .runs()
            .map(|run| run.start * size..(run.end * size).min(total))
            .collect();
        Transfer {
            header: *header,
            taken: held,
            chunks: Chunks::new(Arc::clone(direct), Some(total), stored),
        }
    }

    /// Blocks that are on the device with all their bytes.
    fn stored(&self) -> BlockSet {
        let size = u64::from(self.header.block_size().get());
        let total = self.header.total_bytes();
        let whole = |end: u64| {
            if end == total {
                end.div_ceil(size)
            } else {
                end / size
            }
        };
        let runs = self.chunks.stored().runs();
        runs.map(|run| run.start.div_ceil(size)..whole(run.end))
            .filter(|run| !run.is_empty())
            .collect()
    }
}

impl Target for DeviceTarget {
    fn begin(&mut self, header: &TransferHeader, anew: bool) -> io::Result<()> {
        if !anew && matches!(&self.transfer, Some(transfer) if transfer.header == *header) {
            return Ok(());
        }
        if header.total_bytes() > self.direct.size {
            return Err(too_small(
                &self.path,
                self.direct.size,
                header.total_bytes(),
            ));
        }
        self.transfer = None;
        self.fingerprint = Fingerprint::default();
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.remove()?;
        }
        self.transfer = Some(Transfer::new(&self.direct, header, BlockSet::new()));
        Ok(())
    }

    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let Some(transfer) = &mut self.transfer else {
            return Err(io::Error::other("a block before its transfer"));
        };
        let mut next = offset;
        for part in parts {
            if self.demand.read_back {
                self.fingerprint.add(&transfer.header, next, part);
            }
            let written = transfer.chunks.write(next, part);
            written.map_err(|error| at(&self.path, &error))?;
            next += part.len() as u64;
        }
        let size = u64::from(transfer.header.block_size().get());
        transfer
            .taken
            .insert_run(offset / size..next.div_ceil(size));
        Ok(())
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        if let Some(transfer) = &mut self.transfer {
            transfer.chunks.flush()?;
        }
        let read = self.direct.read_all_at(data, offset);
        read.map_err(|error| at(&self.path, &error))
    }

    fn taken(&self) -> Option<(&TransferHeader, &BlockSet)> {
        self.transfer.as_ref().map(|it| (&it.header, &it.taken))
    }

    fn checkpoint(&mut self, now: Timestamp) {
        if let (Some(sidecar), Some(transfer)) = (&mut self.sidecar, &self.transfer)
            && sidecar.is_due(now)
        {
            let stored = transfer.stored();
            if !stored.is_empty() {
                sidecar.checkpoint(now, &transfer.header, &stored, &self.direct);
            }
        }
    }

    fn keep(mut self: Box<Self>) -> Result<u64, TargetError> {
        let Some(transfer) = &mut self.transfer else {
            return Ok(0);
        };
        let written = transfer
            .chunks
            .flush()
            .and_then(|()| self.direct.trim())
            .and_then(|()| self.direct.sync());
        written.map_err(|source| failed(&self.path, "cannot write", source))?;
        let stored = transfer.stored();
        match &mut self.sidecar {
            Some(sidecar) if !stored.is_empty() => {
                sidecar
                    .save(&transfer.header, &stored, &*self.direct)
                    .map_err(|source| {
                        failed(sidecar.path(), "cannot note what was received", source)
                    })?;
                Ok(bytes_in(&transfer.header, &stored))
            }
            _ => self.forget().map(|()| 0),
        }
    }

    fn finish(mut self: Box<Self>, mixed: bool) -> Result<Delivered, TargetError> {
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.settle();
        }
        let Some(transfer) = &mut self.transfer else {
            return Err(TargetError::Stream(io::ErrorKind::UnexpectedEof.into()));
        };
        let header = transfer.header;
        let written = transfer.chunks.flush();
        let written = written.and_then(|()| settle(&self.direct));
        written.map_err(|source| failed(&self.path, "cannot write", source))?;
        let mut delivered = Delivered {
            sha256: None,
            agreement: Agreement::Unknown,
            unpacked: None,
            spilled: 0,
            verified: self.demand.read_back,
        };
        let proven = if self.demand.read_back || self.demand.sha256.is_some() || mixed {
            let what = self.path.display().to_string();
            let fingerprint = self.demand.read_back.then_some(&self.fingerprint);
            read_back(&what, &*self.direct, &header, fingerprint).and_then(|sha256| {
                delivered.sha256 = Some(hex::encode(sha256));
                delivered.agreement = self.demand.judge(&what, &header, &sha256, mixed)?;
                Ok(())
            })
        } else {
            Ok(())
        };
        // What is wrong is of no use to a later run, nor is what is right.
        self.forget()?;
        proven.map(|()| delivered)
    }
}

/// A device that is written from its first byte on, without knowing how far.
pub(crate) struct DeviceDrain {
    path: PathBuf,
    direct: Arc<Direct>,
    chunks: Chunks,
    written: u64,
}

impl DeviceDrain {
    pub(super) fn open(path: &Path, force: bool) -> Result<(Self, Opened), TargetError> {
        let (direct, opened) = open(path, force)?;
        let direct = Arc::new(direct);
        let drain = DeviceDrain {
            path: path.to_owned(),
            chunks: Chunks::new(Arc::clone(&direct), None, BlockSet::new()),
            direct,
            written: 0,
        };
        Ok((drain, opened))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.written + bytes.len() as u64;
        if end > self.direct.size {
            return Err(too_small(&self.path, self.direct.size, end));
        }
        let taken = self.chunks.write(self.written, bytes);
        taken.map_err(|error| at(&self.path, &error))?;
        self.written = end;
        Ok(())
    }

    pub(super) fn restart(&mut self) {
        self.chunks = Chunks::new(Arc::clone(&self.direct), None, BlockSet::new());
        self.written = 0;
    }

    pub(super) fn finish(&mut self, expected: Option<&[u8; 32]>) -> Result<(), TargetError> {
        let written = self.chunks.flush().and_then(|()| settle(&self.direct));
        written.map_err(|source| failed(&self.path, "cannot write", source))?;
        if let Some(expected) = expected {
            let found = digest(&*self.direct, self.written)
                .map_err(|source| failed(&self.path, "cannot read it back", source))?;
            if found != *expected {
                return Err(TargetError::ReadBack {
                    what: self.path.display().to_string(),
                    from: 0,
                    to: self.written,
                });
            }
        }
        Ok(())
    }
}

/// Everything to the disk, and nothing of it in memory.
fn settle(direct: &Direct) -> io::Result<()> {
    direct.trim()?;
    direct.file().sync_all()?;
    if !direct.uncached {
        let _ = rustix::fs::fadvise(direct.file(), 0, None, Advice::DontNeed);
    }
    Ok(())
}

fn open(path: &Path, force: bool) -> Result<(Direct, Opened), TargetError> {
    let path = path.to_owned();
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(source) => return Err(failed(&path, "cannot find it", source)),
    };
    let is_device = found.file_type().is_block_device();
    let stands_for_one = force && found.is_file();
    if !is_device && !stands_for_one {
        return Err(TargetError::NotADevice { path });
    }
    let uses = if is_device {
        uses(found.rdev()).map_err(|source| failed(&path, "cannot find out who uses it", source))?
    } else {
        Vec::new()
    };
    if !force && !uses.is_empty() {
        let uses: Vec<_> = uses.iter().map(ToString::to_string).collect();
        let uses = uses.join(", ");
        return Err(TargetError::InUse { path, uses });
    }
    let direct = match Direct::open(&path, is_device, !force) {
        Ok(direct) => direct,
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let uses = "the kernel says that somebody has it".to_owned();
            return Err(TargetError::InUse { path, uses });
        }
        Err(source) => return Err(failed(&path, "cannot open it for writing", source)),
    };
    match direct.file().try_lock() {
        Ok(()) => {}
        // Opened exclusively, it is ours; the lock is then udev's, which looks at new devices.
        Err(fs::TryLockError::WouldBlock) if is_device && !force => {}
        Err(fs::TryLockError::WouldBlock) => return Err(TargetError::Locked { path }),
        Err(fs::TryLockError::Error(source)) => {
            return Err(failed(&path, "cannot lock it", source));
        }
    }
    let opened = Opened {
        size: direct.size,
        uses,
        uncached: direct.uncached,
        stateless: None,
    };
    Ok((direct, opened))
}

fn too_small(path: &Path, size: u64, wanted: u64) -> io::Error {
    let path = path.display();
    let message = format!("{path}: holds {size} bytes, the image has {wanted} or more");
    io::Error::new(io::ErrorKind::FileTooLarge, message)
}

/// Where the sidecar of a device lies; its directory is made.
fn state_file(device: &Path, given: Option<&Path>) -> io::Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    // Under whatever name it was given: /dev/disk/by-id/... is /dev/sda.
    let device = fs::canonicalize(device)?;
    let name: String = device
        .to_string_lossy()
        .trim_start_matches("/dev/")
        .replace('/', "-");
    fs::create_dir_all(STATE).map_err(|error| at(Path::new(STATE), &error))?;
    Ok(Path::new(STATE).join(format!("{name}.slam-partial")))
}
