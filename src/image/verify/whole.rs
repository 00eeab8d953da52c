// SPDX-License-Identifier: MIT OR Apache-2.0
//! The disk as a whole: the CRC-32 of every byte, and whose the bytes are that differ.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::Scope;

use crc32fast::Hasher;

use super::{Structure, VerifyError, disk, expect, mismatch, read};
use crate::image::crc;
use crate::image::plan::{Content, DiskPlan};

const BUFFER: usize = 1 << 18;
/// More would wait for memory, not for each other.
const MOST_THREADS: usize = 4;

/// The CRC-32 while it is being taken, in parts.
pub struct Running<'scope>(Vec<std::thread::ScopedJoinHandle<'scope, io::Result<Hasher>>>);

/// Begins to read all of it beside the caller, and tells how much has been read. Where `stop` is
/// set, nobody wants to know.
pub fn start<'scope>(
    scope: &'scope Scope<'scope, '_>,
    file: &'scope File,
    total: u64,
    stop: &'scope AtomicBool,
    tell: &Sender<u64>,
) -> Running<'scope> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.clamp(1, MOST_THREADS) as u64;
    let part = total.div_ceil(threads).next_multiple_of(BUFFER as u64);
    let parts =
        (0..threads).map(|index| (index * part).min(total)..((index + 1) * part).min(total));
    let start = |part| {
        let tell = tell.clone();
        scope.spawn(move || checksum(file, part, stop, &tell))
    };
    Running(parts.map(start).collect())
}

fn checksum(
    file: &File,
    part: Range<u64>,
    stop: &AtomicBool,
    tell: &Sender<u64>,
) -> io::Result<Hasher> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut offset = part.start;
    while offset < part.end && !stop.load(Ordering::Relaxed) {
        // Holes are not read: that would fill the page cache with zeros.
        let hole = disk::next_data(file, offset).min(part.end) - offset;
        let length = if hole > 0 {
            hasher.combine(&crc::zeros(hole));
            hole
        } else {
            let length = (part.end - offset).min(BUFFER as u64);
            let part = &mut buffer[..length as usize];
            file.read_exact_at(part, offset)?;
            hasher.update(part);
            length
        };
        offset += length;
        // Who no longer listens has failed.
        let _ = tell.send(length);
    }
    Ok(hasher)
}

impl Running<'_> {
    /// The CRC-32 of all of it, once all of it was read.
    pub fn finish(self) -> io::Result<u32> {
        let mut whole = Hasher::new();
        let mut failed = Ok(());
        for thread in self.0 {
            match thread.join() {
                Ok(Ok(part)) => whole.combine(&part),
                Ok(Err(error)) => failed = failed.and(Err(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        failed.map(|()| whole.finalize())
    }
}

/// All is where it should be, but not what it was when it was written: whose it is.
pub fn blame(plan: &DiskPlan, file: &File, expected: u32, found: u32) -> Result<(), VerifyError> {
    let mut buffers = [vec![0; BUFFER], vec![0; BUFFER]];
    for extent in &plan.extents {
        let Content::FileData(index) = extent.content else {
            continue;
        };
        let planned = &plan.files[index];
        let start = extent.run.start.byte_offset();
        let mut at = 0;
        while at < planned.data.bytes() {
            let length = (planned.data.bytes() - at).min(BUFFER as u64) as usize;
            let [wanted, got] = &mut buffers;
            planned.data.read_at(at, &mut wanted[..length])?;
            read(file, start + at, &mut got[..length])?;
            let differs = |(a, b): (&u8, &u8)| a != b;
            let differing = wanted[..length]
                .iter()
                .zip(&got[..length])
                .position(differs);
            if let Some(here) = differing {
                let at = at + here as u64;
                return Err(mismatch(
                    Structure::File(planned.path.to_string()),
                    start + at,
                    "the bytes of its input",
                    format!("others, from byte {at} of the file on"),
                ));
            }
            at += length as u64;
        }
    }
    let show = |crc: u32| format!("{crc:08x}");
    expect(Structure::Disk, 0, &show(expected), &show(found))
}
