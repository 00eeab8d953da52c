// SPDX-License-Identifier: MIT OR Apache-2.0
//! The volume as a stream that cannot be written, with a little memory of what was read.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

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

/// Part of a file, from its own zero on.
pub struct VolumeReader<'a> {
    file: &'a File,
    start: u64,
    bytes: u64,
    position: u64,
    blocks: Vec<Option<(u64, Vec<u8>)>>,
}

impl<'a> VolumeReader<'a> {
    /// The `bytes` of `file` from `start` on.
    pub fn new(file: &'a File, start: u64, bytes: u64) -> Self {
        VolumeReader {
            file,
            start,
            bytes,
            position: 0,
            blocks: vec![None; BLOCKS],
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
