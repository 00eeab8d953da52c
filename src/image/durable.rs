// SPDX-License-Identifier: MIT OR Apache-2.0
//! Brings a file to its disk while it is still being written and read back, so that little is left
//! to wait for at the end.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use rustix::fs::{Advice, fadvise};

/// Bytes that are sent on their way together.
const STRIDE: u64 = 8 << 20;
/// Strides after which it is waited for the disk, so that a slow one slows the writer down, and
/// what is shown of the progress is true.
const FLIGHT: usize = 32;

/// A file that is being written.
#[derive(Debug)]
pub struct Durable<'scope> {
    ranges: SyncSender<Range>,
    thread: ScopedJoinHandle<'scope, io::Result<()>>,
    /// What was written and not yet sent on its way.
    next: Cell<Range>,
}

/// A file that is written, and on its way to the disk.
#[derive(Debug)]
pub struct Settling<'scope>(ScopedJoinHandle<'scope, io::Result<()>>);

#[derive(Clone, Copy, Debug, Default)]
struct Range {
    offset: u64,
    bytes: u64,
}

impl<'scope> Durable<'scope> {
    /// Begins.
    pub fn start<'env>(scope: &'scope Scope<'scope, 'env>, file: &'env File) -> Self {
        let (ranges, received) = sync_channel(FLIGHT);
        Durable {
            ranges,
            thread: scope.spawn(move || settle(file, &received)),
            next: Cell::default(),
        }
    }

    /// These bytes are written.
    pub fn wrote(&self, offset: u64, bytes: u64) {
        let mut next = self.next.get();
        if next.offset + next.bytes != offset {
            self.send(next);
            next = Range { offset, bytes: 0 };
        }
        next.bytes += bytes;
        if next.bytes >= STRIDE {
            self.send(next);
            next = Range {
                offset: offset + bytes,
                bytes: 0,
            };
        }
        self.next.set(next);
    }

    fn send(&self, range: Range) {
        // Small pieces go with the rest, at the end. Where the other side has failed, it says so
        // then.
        if range.bytes >= STRIDE {
            let _ = self.ranges.send(range);
        }
    }

    /// That was all.
    pub fn written(self) -> Settling<'scope> {
        Settling(self.thread)
    }
}

fn settle(file: &File, ranges: &Receiver<Range>) -> io::Result<()> {
    for (number, Range { offset, bytes }) in ranges.iter().enumerate() {
        // On Linux this starts to write what is dirty and does not wait for it (mm/fadvise.c).
        // It is advice: where it is not taken, there is more to do at the end.
        let _ = fadvise(file, offset, NonZeroU64::new(bytes), Advice::DontNeed);
        if (number + 1).is_multiple_of(FLIGHT) {
            // An error is told once, to whoever asks first: it must not be lost.
            file.sync_data()?;
        }
    }
    file.sync_all()
}

impl Settling<'_> {
    /// Waits until it is on the disk.
    pub fn wait(self) -> io::Result<()> {
        match self.0.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
