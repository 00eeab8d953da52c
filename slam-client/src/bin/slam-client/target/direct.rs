// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads and writes past the page cache (`O_DIRECT`, open(2)): buffers, offsets and lengths are
//! multiples of the device's logical block.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::sidecar::Medium;

/// Alignment of buffers: no device asks for more than a page.
const PAGE: usize = 4096;
/// Logical block of what is no device, and cannot be asked.
const FILE_BLOCK: u64 = 4096;
/// Bytes read at once where they are not aligned.
const BOUNCE: usize = 1 << 20;

/// Bytes that begin on a page.
pub(super) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(super) fn zeroed(len: usize) -> Self {
        let bytes = vec![0; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE);
        Aligned { bytes, start, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

/// A device, or a file that stands for one.
#[derive(Debug)]
pub(super) struct Direct {
    file: File,
    /// Bytes that it takes.
    pub(super) size: u64,
    /// Logical block in bytes.
    block: u64,
    is_device: bool,
    /// Whether the page cache is passed by.
    pub(super) uncached: bool,
}

impl Direct {
    /// `exclusive`: refuse (EBUSY) what the kernel knows to be in use, whoever uses it, and keep
    /// others from using it meanwhile (`O_EXCL` on a block device, open(2)).
    pub(super) fn open(path: &Path, is_device: bool, exclusive: bool) -> io::Result<Self> {
        let mut flags = OFlags::empty();
        if is_device && exclusive {
            flags |= OFlags::EXCL;
        }
        let open = |flags: OFlags| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags.bits().cast_signed())
                .open(path)
        };
        let (file, uncached) = match open(flags | OFlags::DIRECT) {
            Ok(file) => (file, true),
            // A filesystem without `O_DIRECT`.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                (open(flags)?, false)
            }
            Err(error) => return Err(error),
        };
        let size = rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0))?;
        let block = if is_device {
            u64::from(rustix::fs::ioctl_blksszget(&file)?)
        } else {
            FILE_BLOCK
        };
        Ok(Direct {
            file,
            size,
            block,
            is_device,
            uncached,
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The least range of whole logical blocks around `bytes`.
    pub(super) fn around(&self, bytes: &Range<u64>) -> Range<u64> {
        bytes.start / self.block * self.block..bytes.end.next_multiple_of(self.block)
    }

    /// Writes whole logical blocks.
    pub(super) fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Reads whole logical blocks; zeros past the end of a file.
    pub(super) fn read(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.read_at(bytes, offset) {
                Ok(read) => {
                    bytes = &mut bytes[read..];
                    offset += read as u64;
                    // Less than a block: the end of a file.
                    if read == 0 || !(read as u64).is_multiple_of(self.block) {
                        bytes.fill(0);
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A file that was written in whole blocks gets back the length that it had.
    pub(super) fn trim(&self) -> io::Result<()> {
        if self.is_device {
            Ok(())
        } else {
            self.file.set_len(self.size)
        }
    }
}

impl Medium for Direct {
    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn read_all_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let mut bounce = Aligned::zeroed(0);
        while !buffer.is_empty() {
            let want = buffer.len().min(BOUNCE);
            let span = self.around(&(offset..offset + want as u64));
            let len = (span.end - span.start) as usize;
            if bounce.len() < len {
                bounce = Aligned::zeroed(len);
            }
            self.read(&mut bounce[..len], span.start)?;
            buffer[..want].copy_from_slice(&bounce[(offset - span.start) as usize..][..want]);
            buffer = &mut buffer[want..];
            offset += want as u64;
        }
        Ok(())
    }
}
