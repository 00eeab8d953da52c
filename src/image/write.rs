// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan to a file: one pass, sparse, both digests taken on the way.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::crc::balance;
use super::plan::{Content, DiskPlan, Extent, VolumePlan};
use super::source::SourceError;

/// Bytes handled at a time; also the grain of holes in the file.
const CHUNK: usize = 1 << 16;
/// Bytes between two calls of the watcher.
const REPORT: u64 = 1 << 22;

/// How far a step has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: Step,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// The steps that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The plan goes to the file.
    Write,
    /// The file is read back.
    Verify,
}

/// Told of progress now and then; `Break` ends the work, which leaves nothing behind.
pub type Watch<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The disk is full, or broken.
    #[error("cannot write {what} (byte {offset} of {total}){}", hint(source))]
    Write {
        /// The area of the disk.
        what: String,
        /// From the image's start.
        offset: u64,
        /// The image's length.
        total: u64,
        /// Why.
        source: io::Error,
    },
    /// An input failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The watcher said so.
    #[error("interrupted; nothing is left behind")]
    Interrupted,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space there or write the image elsewhere"
        }
        io::ErrorKind::FileTooLarge => "; this file system or limit allows no file of that length",
        _ => "",
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of the whole image.
    pub sha256: [u8; 32],
    /// Of the whole image (IEEE 802.3).
    pub crc32: u32,
}

/// Writes the plan into a new, empty file.
pub fn write(plan: &DiskPlan, file: &File, watch: &mut Watch) -> Result<Digests, WriteError> {
    let total = plan.facts.sectors.bytes();
    file.set_len(total).map_err(|source| WriteError::Write {
        what: "the image's length".to_owned(),
        offset: 0,
        total,
        source,
    })?;
    let mut writer = Writer {
        file,
        watch,
        total,
        offset: 0,
        reported: 0,
        sha256: Sha256::new(),
        crc32: crc32fast::Hasher::new(),
    };
    let mut buffer = vec![0; CHUNK];
    for extent in &plan.extents {
        writer.zeros(extent.run.start.byte_offset() - writer.offset)?;
        writer.extent(plan, extent, &mut buffer)?;
    }
    let tail = if plan.balanced { 4 } else { 0 };
    writer.zeros(total - tail - writer.offset)?;
    if plan.balanced {
        let before = writer.crc32.clone().finalize();
        let bytes = balance(before, plan.facts.identity.crc32);
        writer.bytes(&bytes, "the balance at the end")?;
    }
    for file in &plan.files {
        file.data.check_unchanged()?;
    }
    Ok(Digests {
        sha256: writer.sha256.finalize().into(),
        crc32: writer.crc32.finalize(),
    })
}

struct Writer<'a, 'b> {
    file: &'a File,
    watch: &'a mut Watch<'b>,
    total: u64,
    offset: u64,
    reported: u64,
    sha256: Sha256,
    crc32: crc32fast::Hasher,
}

impl Writer<'_, '_> {
    fn extent(
        &mut self,
        plan: &DiskPlan,
        extent: &Extent,
        buffer: &mut [u8],
    ) -> Result<(), WriteError> {
        let start = self.offset;
        let end = start + extent.run.sectors.bytes();
        while self.offset < end {
            let at = self.offset - start;
            let length = (end - self.offset).min(CHUNK as u64) as usize;
            let part = &mut buffer[..length];
            match &extent.content {
                Content::Bytes(bytes) => {
                    let from = &bytes[at as usize..];
                    let given = from.len().min(length);
                    part[..given].copy_from_slice(&from[..given]);
                    part[given..].fill(0);
                }
                Content::FatTable => {
                    if let VolumePlan::Fat32(fat) = &plan.volume {
                        fat.table.read_at(at, part);
                    }
                }
                Content::Ones => part.fill(0xFF),
                Content::NtfsRecords => {
                    if let VolumePlan::Ntfs(volume) = &plan.volume {
                        let mut read =
                            |file: usize, into: &mut [u8]| plan.files[file].data.read_at(0, into);
                        volume.records_at(at, part, &mut read)?;
                    }
                }
                Content::NtfsBitmap(from) => {
                    if let VolumePlan::Ntfs(volume) = &plan.volume {
                        volume.bitmap_at(from + at, part);
                    }
                }
                Content::FileData(index) => {
                    let data = &plan.files[*index].data;
                    let given = (data.bytes() - at).min(length as u64) as usize;
                    data.read_at(at, &mut part[..given])?;
                    part[given..].fill(0);
                }
            }
            self.bytes(part, &extent.what)?;
        }
        Ok(())
    }

    /// Bytes that are all zero stay a hole.
    fn bytes(&mut self, bytes: &[u8], what: &str) -> Result<(), WriteError> {
        self.sha256.update(bytes);
        self.crc32.update(bytes);
        if bytes.iter().any(|byte| *byte != 0) {
            self.file
                .write_all_at(bytes, self.offset)
                .map_err(|source| WriteError::Write {
                    what: what.to_owned(),
                    offset: self.offset,
                    total: self.total,
                    source,
                })?;
        }
        self.advance(bytes.len() as u64)
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), WriteError> {
        static ZEROS: [u8; CHUNK] = [0; CHUNK];
        while count > 0 {
            let length = count.min(CHUNK as u64);
            let part = &ZEROS[..length as usize];
            self.sha256.update(part);
            self.crc32.update(part);
            self.advance(length)?;
            count -= length;
        }
        Ok(())
    }

    fn advance(&mut self, length: u64) -> Result<(), WriteError> {
        self.offset += length;
        if self.offset == self.total || self.offset - self.reported >= REPORT {
            self.reported = self.offset;
            let progress = Progress {
                step: Step::Write,
                done: self.offset,
                total: self.total,
            };
            if (self.watch)(progress).is_break() {
                return Err(WriteError::Interrupted);
            }
        }
        Ok(())
    }
}
