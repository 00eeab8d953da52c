// SPDX-License-Identifier: MIT OR Apache-2.0
//! Targets that take bytes in order: standard output, and files and devices behind an unpacker.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use rustix::fs::Advice;
use sha2::{Digest, Sha256};
use slam_client::wire::TransferHeader;
use slam_client::{BlockSet, Timestamp};

use super::device::{DeviceDrain, Opened};
use super::file::{Sparse, explain, is_zero, open_part, put_in_place};
use super::proof::digest;
use super::{Delivered, Demand, Target, TargetError, failed};
use crate::reorder::{Blocks, Ordered, Spill, reorder};
use crate::sidecar::remove_if_there;
use crate::unpack::{Unpack, Unpacked};

/// Bytes handed on at once.
const POUR: usize = 1 << 17;
/// Smallest stretch of zeros that becomes a hole: a block of common filesystems.
const HOLE: u64 = 4096;

/// How bytes get into order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Bytes that wait in memory.
    pub(crate) window: usize,
    pub(crate) spill: Spill,
    pub(crate) unpack: Unpack,
}

/// Where the bytes go.
pub(crate) enum Drain {
    Output(Output),
    File(FileDrain),
    Device(Box<DeviceDrain>),
}

/// Standard output.
pub(crate) struct Output {
    file: File,
    written: u64,
}

/// A file that is written from its first byte on.
pub(crate) struct FileDrain {
    target: PathBuf,
    part: PathBuf,
    file: File,
    sparse: Sparse,
    written: u64,
}

/// A target in order.
pub(crate) struct StreamTarget {
    order: Order,
    demand: Demand,
    /// Here while no transfer has begun.
    drain: Option<Drain>,
    pipe: Option<Pipe>,
}

struct Pipe {
    header: TransferHeader,
    to_output: bool,
    taken: BlockSet,
    blocks: Blocks,
    thread: JoinHandle<(Drain, io::Result<Poured>)>,
}

/// What went through.
struct Poured {
    /// Digest of what came.
    packed: [u8; 32],
    /// Bytes that were handed on.
    bytes: u64,
    /// Whether they were unpacked.
    unpacked: bool,
    /// Their digest, where it is needed.
    sha256: Option<[u8; 32]>,
}

impl Drain {
    pub(crate) fn output() -> Result<Self, TargetError> {
        let file = io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_err(|source| failed(Path::new("standard output"), "cannot write", source))?;
        Ok(Drain::Output(Output {
            file: file.into(),
            written: 0,
        }))
    }

    pub(crate) fn file(target: &Path, sparse: Sparse) -> Result<Self, TargetError> {
        let (part, file) = open_part(target)?;
        let drain = FileDrain {
            target: target.to_owned(),
            part,
            file,
            sparse,
            written: 0,
        };
        // What an earlier run has left there.
        let emptied = drain.file.set_len(0);
        emptied.map_err(|source| failed(&drain.part, "cannot write here", source))?;
        Ok(Drain::File(drain))
    }

    pub(crate) fn device(path: &Path, force: bool) -> Result<(Self, Opened), TargetError> {
        let (drain, opened) = DeviceDrain::open(path, force)?;
        Ok((Drain::Device(Box::new(drain)), opened))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Drain::Output(output) => output.write(bytes),
            Drain::File(file) => file.write(bytes),
            Drain::Device(device) => device.write(bytes),
        }
    }

    /// Forgets what was written, if that can be.
    fn restart(&mut self) -> io::Result<()> {
        match self {
            Drain::Output(output) if output.written == 0 => Ok(()),
            Drain::Output(output) => Err(io::Error::other(format!(
                "the server sends another file, and {} bytes of the first went to standard \
                 output already",
                output.written
            ))),
            Drain::File(file) => {
                file.written = 0;
                file.file.set_len(0)
            }
            Drain::Device(device) => {
                device.restart();
                Ok(())
            }
        }
    }

    /// All is written. `expected`: the digest to be read back.
    fn finish(&mut self, expected: Option<&[u8; 32]>) -> Result<(), TargetError> {
        match self {
            // Nothing waits: it is not buffered.
            Drain::Output(_) => Ok(()),
            Drain::File(file) => file.finish(expected),
            Drain::Device(device) => device.finish(expected),
        }
    }

    /// It will not be whole: leaves no file.
    fn abandon(&mut self) -> Result<(), TargetError> {
        match self {
            Drain::File(file) => remove_if_there(&file.part)
                .map_err(|source| failed(&file.part, "cannot remove", source)),
            Drain::Output(_) | Drain::Device(_) => Ok(()),
        }
    }
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        written
            .map_err(|error| io::Error::new(error.kind(), format!("standard output: {error}")))?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

impl FileDrain {
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (zeros, len) = self.stretch(bytes);
            let (now, later) = bytes.split_at(len);
            if !zeros {
                let written = self.file.write_all_at(now, self.written);
                written.map_err(|error| explain(&self.part, &self.file, &error, None))?;
            }
            self.written += len as u64;
            bytes = later;
        }
        Ok(())
    }

    /// How far the bytes are all zeros, or all to be written, in whole blocks of the filesystem.
    fn stretch(&self, bytes: &[u8]) -> (bool, usize) {
        if self.sparse == Sparse::Never {
            return (false, bytes.len());
        }
        let mut kind = None;
        let mut len = 0;
        while len < bytes.len() {
            let at = self.written + len as u64;
            let end = bytes.len().min(len + (HOLE - at % HOLE) as usize);
            let zeros = is_zero(&bytes[len..end]);
            if *kind.get_or_insert(zeros) != zeros {
                break;
            }
            len = end;
        }
        (kind.unwrap_or(false), len)
    }

    fn finish(&mut self, expected: Option<&[u8; 32]>) -> Result<(), TargetError> {
        // It may end in a hole.
        let synced = self.file.set_len(self.written);
        synced
            .and_then(|()| self.file.sync_all())
            .map_err(|source| failed(&self.part, "cannot bring it to the disk", source))?;
        if let Some(expected) = expected {
            let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
            let found = digest(&self.file, self.written)
                .map_err(|source| failed(&self.part, "cannot read it back", source))?;
            if found != *expected {
                return Err(TargetError::ReadBack {
                    what: self.part.display().to_string(),
                    from: 0,
                    to: self.written,
                });
            }
        }
        put_in_place(&self.part, &self.target)
    }
}

impl StreamTarget {
    pub(crate) fn new(drain: Drain, order: Order, demand: Demand) -> Self {
        StreamTarget {
            order,
            demand,
            drain: Some(drain),
            pipe: None,
        }
    }
}

impl Pipe {
    fn start(header: &TransferHeader, mut drain: Drain, order: &Order, digest_out: bool) -> Self {
        let spill = order.spill.clone();
        let (blocks, ordered) = reorder(header.total_bytes(), order.window, spill);
        let unpack = order.unpack;
        let to_output = matches!(drain, Drain::Output(_));
        let thread = std::thread::spawn(move || {
            let poured = pour(ordered, unpack, &mut drain, digest_out);
            (drain, poured)
        });
        Pipe {
            header: *header,
            to_output,
            taken: BlockSet::new(),
            blocks,
            thread,
        }
    }

    /// Waits until all that was put has gone through, or gives up where more is missing.
    fn end(self, whole: bool) -> (Drain, io::Result<Poured>) {
        if !whole {
            drop(self.blocks);
        }
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Target for StreamTarget {
    fn begin(&mut self, header: &TransferHeader, _anew: bool) -> io::Result<()> {
        if let Some(pipe) = self.pipe.take() {
            if pipe.header == *header {
                self.pipe = Some(pipe);
                return Ok(());
            }
            let (mut drain, _) = pipe.end(false);
            let restarted = drain.restart();
            self.drain = Some(drain);
            restarted?;
        }
        let Some(drain) = self.drain.take() else {
            return Err(io::Error::other("it has ended already"));
        };
        let digest_out = self.demand.read_back;
        self.pipe = Some(Pipe::start(header, drain, &self.order, digest_out));
        Ok(())
    }

    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Err(io::Error::other("a block before its transfer"));
        };
        match pipe.blocks.put(offset, parts) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                // The thread that reads knows better what went wrong.
                let ended = self.pipe.take().map(|pipe| pipe.end(false));
                let Some((drain, poured)) = ended else {
                    return Err(error);
                };
                self.drain = Some(drain);
                return Err(match poured {
                    Err(why) => why,
                    Ok(_) => io::Error::other("the packed image ends before the transfer does"),
                });
            }
            Err(error) => return Err(error),
        }
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let size = u64::from(pipe.header.block_size().get());
        pipe.taken
            .insert_run(offset / size..(offset + len).div_ceil(size));
        Ok(())
    }

    fn read(&mut self, _offset: u64, _data: &mut [u8]) -> io::Result<()> {
        // No parity is taken, so nothing asks.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn taken(&self) -> Option<(&TransferHeader, &BlockSet)> {
        self.pipe.as_ref().map(|pipe| (&pipe.header, &pipe.taken))
    }

    fn checkpoint(&mut self, _now: Timestamp) {}

    fn keep(mut self: Box<Self>) -> Result<u64, TargetError> {
        let drain = match self.pipe.take() {
            // Whoever reads standard output may not read on; nothing is lost by leaving.
            Some(pipe) if pipe.to_output => None,
            Some(pipe) => Some(pipe.end(false).0),
            None => self.drain.take(),
        };
        drain.map_or(Ok(()), |mut drain| drain.abandon())?;
        Ok(0)
    }

    fn finish(mut self: Box<Self>, mixed: bool) -> Result<Delivered, TargetError> {
        let Some(pipe) = self.pipe.take() else {
            return Err(TargetError::Stream(io::ErrorKind::UnexpectedEof.into()));
        };
        let (header, spilled) = (pipe.header, pipe.blocks.spilled());
        let (mut drain, poured) = pipe.end(true);
        let finished = poured.map_err(TargetError::Stream).and_then(|poured| {
            let what = "what was received";
            let agreement = self.demand.judge(what, &header, &poured.packed, mixed)?;
            drain.finish(poured.sha256.as_ref())?;
            Ok(Delivered {
                sha256: Some(hex::encode(poured.packed)),
                agreement,
                unpacked: poured
                    .unpacked
                    .then(|| (poured.bytes, poured.sha256.map(hex::encode))),
                spilled,
                verified: poured.sha256.is_some() && !matches!(drain, Drain::Output(_)),
            })
        });
        if finished.is_err() {
            drain.abandon()?;
        }
        finished
    }
}

/// From one end to the other.
fn pour(
    ordered: Ordered,
    unpack: Unpack,
    drain: &mut Drain,
    digest_out: bool,
) -> io::Result<Poured> {
    let hashing = Hashing {
        inner: ordered,
        hash: Sha256::new(),
    };
    let mut source = Unpacked::new(unpack, hashing)?;
    let unpacked = source.format().is_some();
    // Where nothing is unpacked, one digest is enough.
    let mut hash = (digest_out && unpacked).then(Sha256::new);
    let mut buffer = vec![0; POUR];
    let mut bytes = 0;
    loop {
        let len = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if let Some(hash) = &mut hash {
            hash.update(&buffer[..len]);
        }
        drain.write(&buffer[..len])?;
        bytes += len as u64;
    }
    let packed: [u8; 32] = source.into_inner().hash.finalize().into();
    let sha256 = match hash {
        Some(hash) => Some(hash.finalize().into()),
        None => digest_out.then_some(packed),
    };
    Ok(Poured {
        packed,
        bytes,
        unpacked,
        sha256,
    })
}

/// Passes bytes on, and hashes them.
struct Hashing {
    inner: Ordered,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buffer)?;
        self.hash.update(&buffer[..len]);
        Ok(len)
    }
}
