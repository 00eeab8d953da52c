// SPDX-License-Identifier: MIT OR Apache-2.0
//! Gathers bytes that come in any order into whole chunks, and writes these to a device beside
//! the thread that brings them. Memory is bounded; chunks with gaps are written early when it
//! runs out, and completed on the device later.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use slam_client::{BlockIndex, BlockSet};

use super::direct::{Aligned, Direct};

/// Bytes that are written at once.
const CHUNK: u64 = 1 << 20;
/// Chunks that may be filled at the same time.
const FILLING: usize = 20;
/// Chunks in memory, those among them that are being written: 28 MiB.
const BUFFERS: usize = 28;

/// The gatherer. Sets of bytes are [`BlockSet`]s of blocks of one byte.
pub(super) struct Chunks {
    direct: Arc<Direct>,
    /// Bytes that will come, where that is known.
    total: Option<u64>,
    filling: BTreeMap<u64, Chunk>,
    spare: Vec<Aligned>,
    buffers: usize,
    writing: usize,
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    /// Bytes handed to the thread; what is not among them is of no value on the device.
    handed: BlockSet,
    /// Bytes on the device.
    stored: BlockSet,
    clock: u64,
}

struct Chunk {
    buffer: Aligned,
    /// Bytes from the start of the device.
    filled: BlockSet,
    /// Bytes of it that were handed over before.
    before: u64,
    touched: u64,
}

struct Job {
    /// Start of the chunk.
    start: u64,
    buffer: Aligned,
    filled: BlockSet,
    /// Whole logical blocks to be written.
    span: Range<u64>,
    /// What is not filled must stay as it is on the device.
    merge: bool,
}

struct Done {
    buffer: Aligned,
    filled: BlockSet,
    result: io::Result<()>,
}

impl Chunks {
    /// `stored`: bytes that are on the device from an earlier run.
    pub(super) fn new(direct: Arc<Direct>, total: Option<u64>, stored: BlockSet) -> Self {
        let (jobs, todo) = channel::<Job>();
        let (finished, done) = channel();
        let device = Arc::clone(&direct);
        let thread = std::thread::spawn(move || {
            let mut scratch = None;
            for mut job in todo {
                let result = job.run(&device, &mut scratch);
                let Job { buffer, filled, .. } = job;
                let done = Done {
                    buffer,
                    filled,
                    result,
                };
                if finished.send(done).is_err() {
                    break;
                }
            }
        });
        Chunks {
            direct,
            total,
            filling: BTreeMap::new(),
            spare: Vec::new(),
            buffers: 0,
            writing: 0,
            jobs: Some(jobs),
            done,
            thread: Some(thread),
            handed: stored.clone(),
            stored,
            clock: 0,
        }
    }

    /// Bytes that are on the device.
    pub(super) fn stored(&self) -> &BlockSet {
        &self.stored
    }

    /// Takes bytes that go to `offset`.
    pub(super) fn write(&mut self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let start = offset / CHUNK * CHUNK;
            let len = bytes.len().min((start + CHUNK - offset) as usize);
            self.clock += 1;
            if !self.filling.contains_key(&start) {
                let buffer = self.buffer()?;
                let chunk = Chunk {
                    buffer,
                    filled: BlockSet::new(),
                    before: overlap(&self.handed, &(start..start + CHUNK)),
                    touched: 0,
                };
                self.filling.insert(start, chunk);
            }
            let Some(chunk) = self.filling.get_mut(&start) else {
                unreachable!("it was inserted");
            };
            chunk.touched = self.clock;
            chunk.buffer[(offset - start) as usize..][..len].copy_from_slice(&bytes[..len]);
            chunk.filled.insert_run(offset..offset + len as u64);
            let end = self.total.unwrap_or(u64::MAX).min(start + CHUNK);
            if chunk.filled.len() + chunk.before >= end - start {
                self.hand_over(start);
            }
            offset += len as u64;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Brings everything to the device, not yet to its platters ([`Direct::sync`] does).
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some((&start, _)) = self.filling.first_key_value() {
            self.hand_over(start);
        }
        while self.writing > 0 {
            self.wait()?;
        }
        Ok(())
    }

    /// A buffer for one more chunk.
    fn buffer(&mut self) -> io::Result<Aligned> {
        while let Ok(done) = self.done.try_recv() {
            self.take_back(done)?;
        }
        loop {
            if self.filling.len() >= FILLING {
                // The one that has waited longest: what it lacks was lost, and comes later.
                let oldest = self.filling.iter().min_by_key(|(_, chunk)| chunk.touched);
                if let Some((&start, _)) = oldest {
                    self.hand_over(start);
                }
            }
            if let Some(buffer) = self.spare.pop() {
                return Ok(buffer);
            }
            if self.buffers < BUFFERS {
                self.buffers += 1;
                return Ok(Aligned::zeroed(CHUNK as usize));
            }
            self.wait()?;
        }
    }

    fn hand_over(&mut self, start: u64) {
        let Some(Chunk {
            mut buffer, filled, ..
        }) = self.filling.remove(&start)
        else {
            return;
        };
        let Some(bytes) = extent(&filled) else {
            self.spare.push(buffer);
            return;
        };
        let span = self.direct.around(&bytes);
        let mut merge = false;
        for gap in gaps(&filled, &span) {
            merge |= overlap(&self.handed, &gap) > 0;
            // Past the end of the image the device keeps what it has.
            merge |= self.total.is_none_or(|total| gap.end > total);
            // What an earlier chunk has left in the buffer is nobody's.
            buffer[(gap.start - start) as usize..(gap.end - start) as usize].fill(0);
        }
        self.handed.union_with(&filled);
        let job = Job {
            start,
            buffer,
            filled,
            span,
            merge,
        };
        self.writing += 1;
        if let Some(jobs) = &self.jobs {
            // The thread ends only after this end is gone.
            let _ = jobs.send(job);
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        let done = self
            .done
            .recv()
            .map_err(|_| io::Error::other("the thread that writes is gone"))?;
        self.take_back(done)
    }

    fn take_back(&mut self, done: Done) -> io::Result<()> {
        self.writing -= 1;
        self.spare.push(done.buffer);
        done.result?;
        self.stored.union_with(&done.filled);
        Ok(())
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Job {
    fn run(&mut self, device: &Direct, scratch: &mut Option<Aligned>) -> io::Result<()> {
        let within = |range: &Range<u64>| {
            (range.start - self.start) as usize..(range.end - self.start) as usize
        };
        if self.merge {
            let scratch = scratch.get_or_insert_with(|| Aligned::zeroed(CHUNK as usize));
            device.read(&mut scratch[within(&self.span)], self.span.start)?;
            for gap in gaps(&self.filled, &self.span) {
                self.buffer[within(&gap)].copy_from_slice(&scratch[within(&gap)]);
            }
        }
        device.write(&self.buffer[within(&self.span)], self.span.start)
    }
}

/// How many of the bytes of `range` are in the set.
fn overlap(set: &BlockSet, range: &Range<u64>) -> u64 {
    let (mut at, mut bytes) = (range.start, 0);
    while let Some(run) = set.run_from(BlockIndex(at)) {
        if run.start >= range.end {
            break;
        }
        at = run.end.min(range.end);
        bytes += at - run.start;
    }
    bytes
}

/// From the first byte to past the last.
fn extent(filled: &BlockSet) -> Option<Range<u64>> {
    let mut runs = filled.runs();
    let first = runs.next()?;
    let end = runs.last().map_or(first.end, |run| run.end);
    Some(first.start..end)
}

/// The runs of `range` that are not filled.
fn gaps(filled: &BlockSet, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let mut left = BlockSet::from_run(range.clone());
    left.subtract(filled);
    left.runs().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A file of `content` that stands for a device.
    fn device(content: &[u8]) -> (tempfile::NamedTempFile, Arc<Direct>) {
        let mut file = tempfile::NamedTempFile::new_in("/var/tmp").unwrap();
        file.write_all(content).unwrap();
        let direct = Direct::open(file.path(), false, false).unwrap();
        (file, Arc::new(direct))
    }

    fn random(len: usize, rng: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        bytes
    }

    #[test]
    fn any_order_gives_the_image_and_leaves_the_rest_alone() {
        for seed in 0..4 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let before = random(40 << 20, &mut rng);
            let image = random(rng.usize(30 << 20..39 << 20), &mut rng);
            let (file, direct) = device(&before);
            let mut chunks = Chunks::new(
                Arc::clone(&direct),
                Some(image.len() as u64),
                BlockSet::new(),
            );
            // In order but for what was lost and comes in later rounds; or quite mixed up.
            let mut pieces: Vec<usize> = (0..image.len().div_ceil(1451)).collect();
            if seed % 2 == 0 {
                let loss = rng.usize(2..200);
                pieces.sort_by_key(|piece| (piece % loss == 0, *piece));
            } else {
                rng.shuffle(&mut pieces);
                pieces.sort_by_key(|piece| piece / 16_000);
            }
            for piece in pieces {
                let from = piece * 1451;
                let to = image.len().min(from + 1451);
                chunks.write(from as u64, &image[from..to]).unwrap();
            }
            chunks.flush().unwrap();
            assert_eq!(chunks.stored().len(), image.len() as u64);
            assert!(chunks.buffers <= BUFFERS);
            let found = std::fs::read(file.path()).unwrap();
            assert!(found[..image.len()] == image, "seed {seed}: the image");
            assert!(
                found[image.len()..] == before[image.len()..],
                "seed {seed}: what lies behind it"
            );
        }
    }

    #[test]
    fn an_image_of_unknown_length_leaves_the_rest_alone() {
        let mut rng = fastrand::Rng::with_seed(9);
        let before = random(3 << 20, &mut rng);
        let image = random((2 << 20) + 777, &mut rng);
        let (file, direct) = device(&before);
        let mut chunks = Chunks::new(direct, None, BlockSet::new());
        for (at, piece) in (0..).step_by(10_000).zip(image.chunks(10_000)) {
            chunks.write(at, piece).unwrap();
        }
        chunks.flush().unwrap();
        let found = std::fs::read(file.path()).unwrap();
        assert!(found[..image.len()] == image);
        assert!(found[image.len()..] == before[image.len()..]);
    }
}
