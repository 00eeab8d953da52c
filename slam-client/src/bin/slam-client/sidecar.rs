// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sidecar: which blocks of which transfer are on the disk, so that a later run goes on there.
//!
//! Blocks are on the disk before the sidecar speaks of them: a lost sidecar costs time, one that
//! promised too much would spoil the image. And it is believed only where a sample of what it
//! promises is found: the disk may be another, or written to, since.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slam_client::wire::{BlockSize, TransactionId, TransferHeader, VarInt};
use slam_client::{BlockIndex, BlockSet, Timestamp};

const FORMAT: u32 = 2;
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// Blocks of the sample, spread evenly over those that are held.
const SAMPLE: u64 = 32;
/// Ends the name of a sidecar that is being written.
const NEW: &str = ".new";

/// What holds the blocks.
pub(crate) trait Medium: Send + Sync {
    /// Brings what was written to the disk.
    fn sync(&self) -> io::Result<()>;
    /// Fills `buffer` from `offset` bytes after the start.
    fn read_all_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

impl Medium for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn read_all_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

/// What an earlier run has left.
#[derive(Debug, PartialEq)]
pub(crate) enum Remains {
    Nothing,
    /// Blocks of this transfer.
    Blocks(TransferHeader, BlockSet),
    /// Something that cannot be used, and why.
    Unusable(String),
}

/// Where the sidecar lies, and the thread that writes it now and then.
#[derive(Debug)]
pub(crate) struct Sidecar {
    path: PathBuf,
    saving: Option<JoinHandle<io::Result<()>>>,
    next: Timestamp,
}

/// Its content, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    transaction: u64,
    total_bytes: u64,
    block_size: u64,
    /// Runs of blocks, each from its first to one past its last.
    held: Vec<(u64, u64)>,
    /// SHA-256 of the sample, in hexadecimal.
    sample: String,
}

impl Sidecar {
    pub(crate) fn at(path: PathBuf) -> io::Result<Self> {
        // From a run that was killed at the wrong moment.
        remove_if_there(&beside(&path, NEW))?;
        Ok(Sidecar {
            path,
            saving: None,
            next: Timestamp::ZERO + CHECKPOINT_EVERY,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says, as far as `medium` bears it out. `room`: bytes that a transfer may have
    /// there.
    pub(crate) fn read(&self, medium: &dyn Medium, room: Range<u64>) -> Remains {
        let unusable = |why: String| Remains::Unusable(format!("{}: {why}", self.path.display()));
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Remains::Nothing,
            Err(error) => return unusable(error.to_string()),
        };
        let decoded = serde_json::from_slice::<Record>(&text)
            .map_err(|error| error.to_string())
            .and_then(|record| Ok((record.decode()?, record.sample)));
        let ((header, held), expected) = match decoded {
            Ok(decoded) => decoded,
            Err(why) => return unusable(why),
        };
        if !room.contains(&header.total_bytes()) {
            return unusable(format!(
                "it speaks of {} bytes, found {}",
                header.total_bytes(),
                room.end - 1
            ));
        }
        match sample(&header, &held, medium) {
            Ok(found) if found == expected => Remains::Blocks(header, held),
            Ok(_) => unusable("what it promises is not there any more".to_owned()),
            Err(error) => unusable(format!("cannot check what it promises: {error}")),
        }
    }

    /// Whether a checkpoint would be made.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now >= self.next && self.saving.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Now and then, notes what is held, so that not even a loss of power costs more than the
    /// last few seconds. Waits for nothing.
    pub(crate) fn checkpoint(
        &mut self,
        now: Timestamp,
        header: &TransferHeader,
        held: &BlockSet,
        medium: &Arc<impl Medium + 'static>,
    ) {
        if !self.is_due(now) {
            return;
        }
        self.next = now + CHECKPOINT_EVERY;
        self.settle();
        let (path, header, held) = (self.path.clone(), *header, held.clone());
        let medium = Arc::clone(medium);
        self.saving = Some(std::thread::spawn(move || {
            save(&path, &header, &held, &*medium)
        }));
    }

    /// Notes what is held, and waits until it is noted.
    pub(crate) fn save(
        &mut self,
        header: &TransferHeader,
        held: &BlockSet,
        medium: &dyn Medium,
    ) -> io::Result<()> {
        self.settle();
        save(&self.path, header, held, medium)
    }

    /// Removes it, if it is there; for good, since what it speaks of may be overwritten next.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        self.settle();
        match fs::remove_file(&self.path) {
            Ok(()) => sync_directory(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Waits for a checkpoint under way.
    pub(crate) fn settle(&mut self) {
        // A checkpoint that failed leaves the one before, which is still true.
        let _ = self.saving.take().map(JoinHandle::join);
    }
}

fn save(
    path: &Path,
    header: &TransferHeader,
    held: &BlockSet,
    medium: &dyn Medium,
) -> io::Result<()> {
    medium.sync()?;
    let record = Record {
        format: FORMAT,
        transaction: header.transaction().0.get(),
        total_bytes: header.total_bytes(),
        block_size: u64::from(header.block_size().get()),
        held: held.runs().map(|run| (run.start, run.end)).collect(),
        sample: sample(header, held, medium)?,
    };
    let new = beside(path, NEW);
    let mut out = File::create(&new)?;
    out.write_all(&serde_json::to_vec(&record)?)?;
    out.sync_all()?;
    fs::rename(&new, path)?;
    sync_directory(path)
}

impl Record {
    fn decode(&self) -> Result<(TransferHeader, BlockSet), String> {
        if self.format != FORMAT {
            return Err(format!("expected format {FORMAT}, found {}", self.format));
        }
        let transaction = VarInt::new(self.transaction).ok_or("the transaction is no Int")?;
        let header = BlockSize::new(self.block_size)
            .and_then(|size| {
                TransferHeader::new(TransactionId(transaction), self.total_bytes, size)
            })
            .map_err(|error| error.to_string())?;
        let count = header.block_count();
        let runs = self.held.iter().map(|&(start, end)| match start..end {
            run if !run.is_empty() && run.end <= count => Ok(run),
            run => Err(format!("run {run:?} is not within the {count} blocks")),
        });
        Ok((
            header,
            runs.collect::<Result<Vec<Range<u64>>, _>>()?
                .into_iter()
                .collect(),
        ))
    }
}

/// SHA-256 of up to [`SAMPLE`] of the blocks held, as they are on the medium.
fn sample(header: &TransferHeader, held: &BlockSet, medium: &dyn Medium) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; usize::from(header.block_size().get())];
    for block in sample_blocks(held) {
        let buffer = &mut buffer[..header.block_len(block)];
        medium.read_all_at(buffer, header.block_offset(block))?;
        hash.update(buffer);
    }
    Ok(hex::encode(hash.finalize()))
}

fn sample_blocks(held: &BlockSet) -> Vec<BlockIndex> {
    let count = held.len().min(SAMPLE);
    // Places among the held blocks: the first, the last, and evenly between.
    let mut places = (0..count)
        .map(|nth| {
            (u128::from(nth) * u128::from(held.len() - 1) / u128::from(count.max(2) - 1)) as u64
        })
        .peekable();
    let mut blocks = Vec::new();
    let mut before = 0;
    for run in held.runs() {
        let len = run.end - run.start;
        while let Some(place) = places.next_if(|&place| place < before + len) {
            blocks.push(BlockIndex(run.start + (place - before)));
        }
        before += len;
    }
    blocks
}

/// Bytes in the blocks that are held.
pub(crate) fn bytes_in(header: &TransferHeader, held: &BlockSet) -> u64 {
    let block_size = u64::from(header.block_size().get());
    held.runs()
        .map(|run| (run.end * block_size).min(header.total_bytes()) - run.start * block_size)
        .sum()
}

/// `path` with `suffix` after its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Brings a new name of `path` to the disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_what_is_held() {
        let blocks = |runs: &[Range<u64>]| -> Vec<u64> {
            let held = runs.iter().cloned().collect();
            sample_blocks(&held).iter().map(|block| block.0).collect()
        };
        assert!(blocks(&[]).is_empty());
        assert_eq!(blocks(&[5..6]), [5]);
        assert_eq!(blocks(&[0..2, 7..9]), [0, 1, 7, 8]);
        let many = blocks(&[0..1000, 5000..6000]);
        assert_eq!((many.len(), many[0], many[31]), (32, 0, 5999));
        assert_eq!(many.iter().filter(|&&block| block < 1000).count(), 16);
    }

    #[test]
    fn what_is_not_there_any_more_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.slam-partial");
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all_at(&content, 0).unwrap();
        let header = TransferHeader::new(
            TransactionId(VarInt::new(7).unwrap()),
            10_000,
            BlockSize::new(100).unwrap(),
        )
        .unwrap();
        let held: BlockSet = [0..10, 50..100].into_iter().collect();
        let mut sidecar = Sidecar::at(path).unwrap();
        let room = || 10_000..10_001;
        assert_eq!(sidecar.read(&file, room()), Remains::Nothing);
        sidecar.save(&header, &held, &file).unwrap();
        assert_eq!(sidecar.read(&file, room()), Remains::Blocks(header, held));
        let why = |remains| match remains {
            Remains::Unusable(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(why(sidecar.read(&file, 0..10_000)).contains("10000 bytes, found 9999"));
        file.write_all_at(&[0; 100], 9900).unwrap();
        assert!(why(sidecar.read(&file, room())).contains("not there any more"));
        sidecar.remove().unwrap();
        assert_eq!(sidecar.read(&file, room()), Remains::Nothing);
    }
}
