// SPDX-License-Identifier: MIT OR Apache-2.0
//! Puts blocks in order: those near the next byte wait in memory, those further ahead in a
//! temporary file. One thread brings blocks, another reads bytes.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::FallocateFlags;
use slam_client::{BlockIndex, BlockSet};

/// Where blocks wait that are too far ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spill {
    /// In a temporary file here, which has no name and goes with the process.
    Directory(PathBuf),
    /// Nowhere: they must not come. Who brings blocks waits for who reads them.
    None,
}

/// The end that takes blocks.
pub(crate) struct Blocks {
    shared: Arc<Shared>,
    spill: Spill,
    file: Option<Arc<File>>,
}

/// The end that gives bytes.
pub(crate) struct Ordered {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The first byte not read yet.
    next: u64,
    total: u64,
    /// The bytes from `next` on, each at its number modulo the length.
    ring: Box<[u8]>,
    /// Bytes that are in the ring, and in the file; sets of blocks of one byte.
    near: BlockSet,
    far: BlockSet,
    file: Option<Arc<File>>,
    /// Most bytes that were in the file at once.
    peak: u64,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    /// Who brings blocks has given up.
    Abandoned,
    /// Who reads has gone.
    Unread,
}

/// The two ends of a transfer of `total` bytes; `window` bytes wait in memory.
pub(crate) fn reorder(total: u64, window: usize, spill: Spill) -> (Blocks, Ordered) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            next: 0,
            total,
            ring: vec![0; window].into_boxed_slice(),
            near: BlockSet::new(),
            far: BlockSet::new(),
            file: None,
            peak: 0,
            end: End::Open,
        }),
        changed: Condvar::new(),
    });
    let blocks = Blocks {
        shared: Arc::clone(&shared),
        spill,
        file: None,
    };
    (blocks, Ordered { shared })
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where the ring ends.
    fn horizon(&self) -> u64 {
        self.next + self.ring.len() as u64
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        let len = self.ring.len();
        let from = (at % len as u64) as usize;
        let first = bytes.len().min(len - from);
        self.ring[from..from + first].copy_from_slice(&bytes[..first]);
        self.ring[..bytes.len() - first].copy_from_slice(&bytes[first..]);
    }

    fn get(&self, at: u64, bytes: &mut [u8]) {
        let len = self.ring.len();
        let from = (at % len as u64) as usize;
        let first = bytes.len().min(len - from);
        let (head, tail) = bytes.split_at_mut(first);
        head.copy_from_slice(&self.ring[from..from + first]);
        tail.copy_from_slice(&self.ring[..tail.len()]);
    }
}

impl Blocks {
    /// Takes parts that follow each other, none of them taken before. Fails with `BrokenPipe` if
    /// nobody reads any more.
    pub(crate) fn put(&mut self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<()> {
        let mut at = offset;
        let mut parts = parts.iter();
        while let Some(rest) = self.near(&mut at, parts.as_slice())? {
            parts = parts.as_slice()[rest..].iter();
            if let Spill::Directory(directory) = self.spill.clone() {
                let file = self.spill_file(&directory)?;
                let start = at;
                for part in parts.as_slice() {
                    file.write_all_at(part, at)
                        .map_err(|error| explain(&directory, &error))?;
                    at += part.len() as u64;
                }
                let mut state = self.shared.state();
                state.far.insert_run(start..at);
                state.peak = state.peak.max(state.far.len());
                self.shared.changed.notify_all();
                return Ok(());
            }
            let mut state = self.shared.state();
            let end = at + parts.as_slice()[0].len() as u64;
            while state.end == End::Open && end > state.horizon() {
                state = self
                    .shared
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        Ok(())
    }

    fn spill_file(&mut self, directory: &Path) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(temporary(directory)?);
        self.shared.state().file = Some(Arc::clone(&file));
        Ok(Arc::clone(self.file.insert(file)))
    }

    /// Puts into the ring what it takes; the number of the first part that it does not.
    fn near(&self, at: &mut u64, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let mut state = self.shared.state();
        if state.end == End::Unread {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let (start, mut rest) = (*at, None);
        for (number, part) in parts.iter().enumerate() {
            if *at + part.len() as u64 > state.horizon() {
                rest = Some(number);
                break;
            }
            state.put(*at, part);
            *at += part.len() as u64;
        }
        state.near.insert_run(start..*at);
        self.shared.changed.notify_all();
        Ok(rest)
    }

    /// Most bytes that waited in the file at once.
    pub(crate) fn spilled(&self) -> u64 {
        self.shared.state().peak
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.end == End::Open {
            state.end = End::Abandoned;
        }
        self.shared.changed.notify_all();
    }
}

impl Read for Ordered {
    /// Waits for the next bytes; fails with `UnexpectedEof` if they will not come.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.shared.state();
        loop {
            let next = state.next;
            if next == state.total || buffer.is_empty() {
                return Ok(0);
            }
            let here = |set: &BlockSet| {
                set.run_from(BlockIndex(next))
                    .filter(|run| run.start == next)
            };
            let cut = |run: Range<u64>| {
                let len = (buffer.len() as u64).min(run.end - run.start);
                next..next + len
            };
            if let Some(run) = here(&state.near).map(cut) {
                let len = (run.end - run.start) as usize;
                state.get(next, &mut buffer[..len]);
                state.near.remove_run(run.clone());
                state.next = run.end;
                self.shared.changed.notify_all();
                return Ok(len);
            }
            if let (Some(run), Some(file)) = (here(&state.far).map(cut), state.file.clone()) {
                drop(state);
                let len = (run.end - run.start) as usize;
                file.read_exact_at(&mut buffer[..len], next)?;
                // Its room is free again; where a filesystem cannot do that, it stays taken.
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let _ = rustix::fs::fallocate(&*file, hole, next, len as u64);
                let mut state = self.shared.state();
                state.far.remove_run(run.clone());
                state.next = run.end;
                self.shared.changed.notify_all();
                return Ok(len);
            }
            if state.end == End::Abandoned {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            state = self
                .shared
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Ordered {
    fn drop(&mut self) {
        self.shared.state().end = End::Unread;
        self.shared.changed.notify_all();
    }
}

fn temporary(directory: &Path) -> io::Result<File> {
    tempfile::tempfile_in(directory).map_err(|error| explain(directory, &error))
}

fn explain(directory: &Path, error: &io::Error) -> io::Error {
    let message = format!(
        "{}: cannot keep blocks there that are ahead of their turn: {error}; --spill names \
         another directory, or none",
        directory.display()
    );
    io::Error::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(len: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; len];
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
        bytes
    }

    #[test]
    fn any_order_comes_out_in_order() {
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let len = rng.usize(1..300_000);
            let content = content(len, seed);
            let directory = Spill::Directory("/var/tmp".into());
            let (mut blocks, mut ordered) = reorder(len as u64, rng.usize(2000..50_000), directory);
            let reader = std::thread::spawn(move || {
                let mut found = Vec::new();
                ordered.read_to_end(&mut found).map(|_| found)
            });
            let mut order: Vec<usize> = (0..len.div_ceil(1451)).collect();
            rng.shuffle(&mut order);
            for block in order {
                let from = block * 1451;
                let bytes = &content[from..len.min(from + 1451)];
                let (head, tail) = bytes.split_at(rng.usize(0..=bytes.len()));
                let parts = [IoSlice::new(head), IoSlice::new(tail)];
                blocks.put(from as u64, &parts).unwrap();
            }
            assert!(reader.join().unwrap().unwrap() == content, "seed {seed}");
        }
    }

    #[test]
    fn without_a_spill_who_brings_waits_for_who_reads() {
        let content = content(100_000, 1);
        let (mut blocks, mut ordered) = reorder(100_000, 5000, Spill::None);
        let reader = std::thread::spawn(move || {
            let mut found = Vec::new();
            let mut piece = [0; 700];
            loop {
                match ordered.read(&mut piece).unwrap() {
                    0 => break found,
                    len => found.extend_from_slice(&piece[..len]),
                }
            }
        });
        // Each pair of blocks the wrong way round, in a window of three.
        for pair in 0..50 {
            for block in [pair * 2 + 1, pair * 2] {
                let bytes = &content[block * 1000..][..1000];
                blocks
                    .put(block as u64 * 1000, &[IoSlice::new(bytes)])
                    .unwrap();
            }
        }
        assert!(reader.join().unwrap() == content);
        assert_eq!(blocks.spilled(), 0);
    }

    #[test]
    fn either_end_hears_that_the_other_has_gone() {
        let directory = || Spill::Directory("/var/tmp".into());
        let (blocks, mut ordered) = reorder(10, 10, directory());
        drop(blocks);
        let error = ordered.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let (mut blocks, ordered) = reorder(10, 10, directory());
        drop(ordered);
        let error = blocks.put(0, &[IoSlice::new(b"x")]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        let (mut blocks, _ordered) = reorder(10, 1, Spill::Directory("/no/such/place".into()));
        let error = blocks.put(4, &[IoSlice::new(b"x")]).unwrap_err();
        assert!(error.to_string().contains("/no/such/place"), "{error}");
    }
}
