// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume as a stream that cannot be written, with a little memory of what was read.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

/// Bytes read at a time.
const BLOCK: usize = 1 << 16;
/// Blocks remembered: `fatfs` goes back and forth between table, directory and data.
const BLOCKS: usize = 16;

/// Where the next bytes lie that may not be zero: `offset` itself where there is no hole, or
/// where the file system does not tell; the end of all where only a hole is left.
pub fn next_data(file: &File, offset: u64) -> u64 {
    match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(offset)) {
        Ok(data) => data,
        Err(rustix::io::Errno::NXIO) => u64::MAX,
        Err(_) => offset,
    }
}

/// Where a reader of a volume would read: while it is on, bytes of files are not fetched, only
/// their places noted. So a crate says where a file lies that has no word for it.
#[derive(Debug, Default)]
pub struct Trace {
    on: Cell<bool>,
    /// Begin and length, from the volume's start; what follows on is one piece.
    pieces: RefCell<Vec<(u64, u64)>>,
}

impl Trace {
    /// Where `read` reads.
    pub fn during<T>(&self, read: impl FnOnce() -> T) -> (T, Vec<(u64, u64)>) {
        self.on.set(true);
        let done = read();
        self.on.set(false);
        (done, self.pieces.take())
    }

    fn note(&self, offset: u64, length: u64) {
        let mut pieces = self.pieces.borrow_mut();
        match pieces.last_mut() {
            Some((from, bytes)) if *from + *bytes == offset => *bytes += length,
            _ => pieces.push((offset, length)),
        }
    }
}

/// Part of a file, from its own zero on.
pub struct VolumeReader<'a> {
    file: &'a File,
    start: u64,
    bytes: u64,
    position: u64,
    blocks: Vec<Option<(u64, Vec<u8>)>>,
    /// And where files' bytes begin.
    trace: Rc<Trace>,
    data: u64,
}

impl<'a> VolumeReader<'a> {
    /// The `bytes` of `file` from `start` on; files' bytes lie from `data` on, which the trace
    /// notes.
    pub fn new(file: &'a File, start: u64, bytes: u64, data: u64, trace: Rc<Trace>) -> Self {
        VolumeReader {
            file,
            start,
            bytes,
            position: 0,
            blocks: vec![None; BLOCKS],
            trace,
            data,
        }
    }

    fn block(&mut self, index: u64) -> io::Result<&[u8]> {
        // Spread so that table and data rarely meet in one slot.
        let slot = &mut self.blocks[(index % BLOCKS as u64) as usize];
        if slot.as_ref().is_none_or(|(held, _)| *held != index) {
            let offset = index * BLOCK as u64;
            let length = (self.bytes - offset).min(BLOCK as u64) as usize;
            let mut block = slot.take().map(|(_, block)| block).unwrap_or_default();
            block.resize(length, 0);
            self.file.read_exact_at(&mut block, self.start + offset)?;
            *slot = Some((index, block));
        }
        Ok(slot.as_ref().map_or(&[], |(_, block)| block))
    }
}

impl Read for VolumeReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.bytes {
            return Ok(0);
        }
        if self.trace.on.get() && self.position >= self.data {
            let length = (self.bytes - self.position).min(into.len() as u64);
            self.trace.note(self.position, length);
            self.position += length;
            return Ok(length as usize);
        }
        let skip = (self.position % BLOCK as u64) as usize;
        let block = &self.block(self.position / BLOCK as u64)?[skip..];
        let length = block.len().min(into.len());
        into[..length].copy_from_slice(&block[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for VolumeReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
        };
        self.position = target
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "seek before start"))?;
        Ok(self.position)
    }
}

/// `fatfs` asks for it, and for reading never calls it.
impl Write for VolumeReader<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
