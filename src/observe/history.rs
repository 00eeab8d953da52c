// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sessions that are over, kept in a file across restarts: the latest of them, and no more.
//!
//! A line of JSON for each, appended and synced: people can read it, a line that was cut off by a
//! power failure costs that line alone, and damage is an error. (redb 4.6.0, tried first, panics on
//! damaged files.)

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::status::Record;

/// Longest file that is read: some 100,000 sessions of large rooms.
const LONGEST: u64 = 1 << 30;

/// Why sessions are not kept.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Another server has it open.
    #[error(
        "{} is kept by another slamboot: give each server a directory of its own ([server] state)",
        path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error("cannot {step} {}: {source}; look at its owner, its mode and the space on its disk", path.display())]
    File {
        /// Doing what.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no history.
    #[error("{} has {bytes} bytes, more than any history: move it away to begin with none", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
    },
}

/// The file.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    keep: usize,
    lines: usize,
    damage: Option<String>,
    /// Held while it is ours.
    _lock: Lock,
}

/// A locked file.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that was forked meanwhile, and is not what it is to be yet,
        // has the file open, too (flock(2)).
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl History {
    /// Opens the file, which need not exist yet, and reads the latest `keep` records, the newest
    /// first. Lines that are damaged are left out; the file as it was is kept beside then.
    pub fn open(path: &Path, keep: usize) -> Result<(History, Vec<Record>), HistoryError> {
        let fail = |step| {
            move |source| HistoryError::File {
                step,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(fail("make the directory of"))?;
        }
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.with_extension("lock"))
            .map_err(fail("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => HistoryError::Taken {
                path: path.to_owned(),
            },
            error => fail("lock")(error.into()),
        })?;
        let lock = Lock(lock);
        let text = match File::open(path) {
            Ok(mut file) => {
                let bytes = file.metadata().map_err(fail("read"))?.len();
                if bytes > LONGEST {
                    return Err(HistoryError::TooLong {
                        path: path.to_owned(),
                        bytes,
                    });
                }
                let mut text = Vec::new();
                file.read_to_end(&mut text).map_err(fail("read"))?;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(fail("read")(error)),
        };
        let (mut records, damaged) = parse(&text);
        records.sort_by_key(|record| std::cmp::Reverse(record.id));
        records.dedup_by_key(|record| record.id);
        records.truncate(keep);
        let mut history = History {
            path: path.to_owned(),
            keep,
            lines: records.len(),
            damage: None,
            _lock: lock,
        };
        if damaged > 0 {
            let aside = path.with_extension("damaged");
            std::fs::rename(path, &aside).map_err(fail("set aside"))?;
            history.damage = Some(format!(
                "{damaged} lines of {} are damaged and left out; the file as it was is {}, remove it \
                 when you have looked at it",
                path.display(),
                aside.display()
            ));
            history.write(&records)?;
        }
        Ok((history, records))
    }

    /// What was wrong with the file.
    pub fn damage(&self) -> Option<String> {
        self.damage.clone()
    }

    /// Adds a record; now and then it takes out the oldest that are too many.
    pub fn add(&mut self, record: &Record) -> Result<(), HistoryError> {
        let fail = |source| HistoryError::File {
            step: "write",
            path: self.path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path)
            .map_err(fail)?;
        let line = line(record).map_err(fail)?;
        // In one piece, and on the disk: a line is there whole or recognised as cut off.
        file.write_all(&line).map_err(fail)?;
        file.sync_data().map_err(fail)?;
        self.lines += 1;
        if self.lines > self.keep.saturating_mul(2).max(16) {
            let text = std::fs::read(&self.path).map_err(fail)?;
            let (mut records, _) = parse(&text);
            records.sort_by_key(|record| std::cmp::Reverse(record.id));
            records.truncate(self.keep);
            self.write(&records)?;
        }
        Ok(())
    }

    /// Writes these and no others, the newest of which comes first.
    fn write(&mut self, records: &[Record]) -> Result<(), HistoryError> {
        let fail = |source| HistoryError::File {
            step: "write",
            path: self.path.clone(),
            source,
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
        for record in records.iter().rev() {
            file.write_all(&line(record).map_err(fail)?).map_err(fail)?;
        }
        file.as_file().sync_data().map_err(fail)?;
        file.persist(&self.path)
            .map_err(|error| fail(error.error))?;
        self.lines = records.len();
        Ok(())
    }
}

fn line(record: &Record) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record)?;
    line.push(b'\n');
    Ok(line)
}

/// The records, and how many lines are none.
fn parse(text: &[u8]) -> (Vec<Record>, usize) {
    let mut damaged = 0;
    let lines = text
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let mut records = Vec::new();
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(record) => records.push(record),
            Err(_) => damaged += 1,
        }
    }
    (records, damaged)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64) -> Record {
        Record {
            id,
            transfer: "demo".to_owned(),
            ..Record::default()
        }
    }

    #[test]
    fn the_latest_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/history.jsonl");
        let (mut history, records) = History::open(&path, 3).unwrap();
        assert_eq!(records, []);
        for id in 1..=40 {
            history.add(&record(id)).unwrap();
        }
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 17, "{lines}");
        let taken = History::open(&path, 3).unwrap_err();
        assert!(taken.to_string().contains("another slamboot"), "{taken}");
        drop(history);
        let (history, records) = History::open(&path, 3).unwrap();
        assert_eq!(records, [40, 39, 38].map(record));
        assert_eq!(history.damage(), None);
    }

    #[test]
    fn damage_is_told_and_nothing_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        let (mut history, _) = History::open(&path, 9).unwrap();
        for id in 1..=4 {
            history.add(&record(id)).unwrap();
        }
        drop(history);
        let whole = std::fs::read(&path).unwrap();
        // Cut off in the last line, as by a power failure.
        std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
        let (mut history, records) = History::open(&path, 9).unwrap();
        assert_eq!(records, [3, 2, 1].map(record));
        let said = history.damage().unwrap();
        assert!(
            said.starts_with("1 lines of") && said.contains("history.damaged"),
            "{said}"
        );
        assert_eq!(
            std::fs::read(path.with_extension("damaged")).unwrap(),
            &whole[..whole.len() - 9]
        );
        history.add(&record(4)).unwrap();
        drop(history);
        assert_eq!(std::fs::read(&path).unwrap(), whole);

        let mut random = fastrand::Rng::with_seed(8);
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..random.usize(1..40) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            std::fs::write(&path, &bytes).unwrap();
            let (history, records) = History::open(&path, 9).unwrap();
            assert!(records.len() <= 5, "seed 8, round {round}");
            drop(history);
            let (history, again) = History::open(&path, 9).unwrap();
            assert_eq!(
                (again, history.damage()),
                (records, None),
                "seed 8, round {round}"
            );
        }
    }

    #[test]
    fn what_cannot_be_written_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.jsonl");
        std::fs::create_dir(&path).unwrap();
        let error = History::open(&path, 3).unwrap_err().to_string();
        assert!(
            error.contains("history.jsonl") && error.contains("look at"),
            "{error}"
        );
        std::fs::remove_dir(&path).unwrap();
        let (mut history, _) = History::open(&path, 3).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(history.add(&record(1)).is_err());
        std::fs::remove_dir(&path).unwrap();
        history.add(&record(2)).unwrap();
    }
}
