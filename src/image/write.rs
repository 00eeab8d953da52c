// SPDX-License-Identifier: MIT OR Apache-2.0
//! The draft to a file, sparse, in one pass: the files first, for what is derived from their
//! content stands before them, then all else. Their checksums, and from these that of the whole
//! disk, are taken on the way.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use crc32fast::Hasher;

use super::crc::{self, balance};
use super::durable::Durable;
use super::plan::{Content, DiskPlan, Draft, DraftContent, DraftFile, Extent};
use super::source::{Data, SourceError};
use super::vbr::SectorRun;

/// Bytes handled at a time, which stay in a processor's own cache; also the grain of holes.
const CHUNK: usize = 1 << 18;
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

impl Step {
    /// In a word, for people.
    pub fn name(self) -> &'static str {
        match self {
            Step::Write => "writing",
            Step::Verify => "checking",
            Step::Settle => "syncing",
            Step::Copy => "copying",
            Step::Change => "changing",
            Step::Convert => "converting",
        }
    }
}

/// The steps that take time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The plan goes to the file.
    Write,
    /// The file is read back.
    Verify,
    /// The disk has not yet taken all of it.
    Settle,
    /// A file is copied, before it is changed or to where somebody wants it.
    Copy,
    /// wimlib changes a WIM.
    Change,
    /// qemu-img converts an image.
    Convert,
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
    /// What was written does not reach the disk.
    #[error("cannot bring it to the disk{}", hint(.0))]
    Sync(#[source] io::Error),
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

/// Writes the draft into a new, empty file, and completes it; the CRC-32 (IEEE 802.3) of all that.
pub fn write(
    draft: Draft,
    file: &File,
    durable: &Durable,
    watch: &mut Watch,
) -> Result<(DiskPlan, u32), WriteError> {
    let total = draft.sectors().bytes();
    file.set_len(total).map_err(|source| WriteError::Write {
        what: "the image's length".to_owned(),
        offset: 0,
        total,
        source,
    })?;
    let mut writer = Writer {
        file,
        durable,
        watch,
        total,
        done: 0,
        reported: 0,
        to_do: draft.files().iter().map(DraftFile::data_bytes).sum(),
        buffer: vec![0; CHUNK],
    };
    let mut checksums = Vec::with_capacity(draft.files().len());
    for file in draft.files() {
        checksums.push(match &file.content {
            DraftContent::Data(data) => {
                Some(writer.data(data, file.run, &file.path.to_string())?)
            }
            DraftContent::Late(_) => None,
        });
    }
    for file in draft.files() {
        if let DraftContent::Data(data) = &file.content {
            data.check_unchanged()?;
        }
    }
    let known = checksums.iter().cloned();
    let known: Vec<_> = known.map(|sum| sum.map(Hasher::finalize)).collect();
    let plan = draft.complete(&known);
    for (file, sum) in plan.files.iter().zip(&mut checksums) {
        if sum.is_none() {
            *sum = Some(writer.data(&file.data, file.run, &file.path.to_string())?);
        }
    }
    let checksums: Vec<Hasher> = checksums.into_iter().flatten().collect();

    let mut whole = Hasher::new();
    let mut end = 0;
    for extent in &plan.extents {
        let start = extent.run.start.byte_offset();
        whole.combine(&crc::zeros(start - end));
        end = start + extent.run.sectors.bytes();
        if let Content::FileData(index) = extent.content {
            whole.combine(&checksums[index]);
            let bytes = plan.files[index].data.bytes();
            whole.combine(&crc::zeros(extent.run.sectors.bytes() - bytes));
        } else {
            whole.combine(&writer.extent(&plan, extent)?);
        }
    }
    let tail = if plan.balanced { 4 } else { 0 };
    whole.combine(&crc::zeros(total - tail - end));
    if plan.balanced {
        let bytes = balance(whole.clone().finalize(), plan.facts.identity.crc32);
        whole.update(&bytes);
        writer.bytes(&bytes, total - tail, "the balance at the end")?;
    }
    writer.report()?;
    Ok((plan, whole.finalize()))
}

struct Writer<'a, 'b> {
    file: &'a File,
    durable: &'a Durable<'a>,
    watch: &'a mut Watch<'b>,
    total: u64,
    /// Of the files' bytes, which are nearly all.
    done: u64,
    reported: u64,
    to_do: u64,
    buffer: Vec<u8>,
}

impl Writer<'_, '_> {
    /// Copies a file's bytes to its sectors, if it has any; their checksum.
    fn data(
        &mut self,
        data: &Data,
        run: Option<SectorRun>,
        what: &str,
    ) -> Result<Hasher, WriteError> {
        let mut hasher = Hasher::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while at < data.bytes() {
            let length = (data.bytes() - at).min(CHUNK as u64) as usize;
            let part = &mut buffer[..length];
            data.read_at(at, part)?;
            hasher.update(part);
            if let Some(run) = run {
                self.bytes(part, run.start.byte_offset() + at, what)?;
            }
            at += length as u64;
            self.done += length as u64;
            if self.done - self.reported >= REPORT {
                self.report()?;
            }
        }
        self.buffer = buffer;
        Ok(hasher)
    }

    /// Writes what is no file's data, with the zeros after it; its checksum.
    fn extent(&mut self, plan: &DiskPlan, extent: &Extent) -> Result<Hasher, WriteError> {
        let start = extent.run.start.byte_offset();
        let total = extent.run.sectors.bytes();
        let mut hasher = Hasher::new();
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while at < total {
            let length = (total - at).min(CHUNK as u64) as usize;
            let part = &mut buffer[..length];
            plan.read_at(extent, at, part)?;
            hasher.update(part);
            self.bytes(part, start + at, &extent.what)?;
            at += length as u64;
        }
        self.buffer = buffer;
        Ok(hasher)
    }

    /// Bytes that are all zero stay a hole.
    fn bytes(&self, bytes: &[u8], offset: u64, what: &str) -> Result<(), WriteError> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| WriteError::Write {
                what: what.to_owned(),
                offset,
                total: self.total,
                source,
            })?;
        self.durable.wrote(offset, bytes.len() as u64);
        Ok(())
    }

    fn report(&mut self) -> Result<(), WriteError> {
        self.reported = self.done;
        let progress = Progress {
            step: Step::Write,
            done: self.done,
            total: self.to_do.max(self.done),
        };
        if (self.watch)(progress).is_break() {
            return Err(WriteError::Interrupted);
        }
        Ok(())
    }
}
