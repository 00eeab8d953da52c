// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes a hive whole that another writer left dirty or out of order (sections "Dirty state of a
//! hive", "Multiple transaction log files").

use super::base::{self, PRIMARY, SECONDARY, WRITTEN};
use super::check::Order;
use super::error::{Dirt, Error};
use super::hive::Hive;
use super::le::{put_u32, u32_at, u64_at};
use super::list;
use super::log::{Log, LogKind};

/// Where the first bin keeps a copy of the time in the base block.
const BIN_WRITTEN: usize = base::SIZE + 20;

/// How a hive was made whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// It was not dirty; logs were not looked at, as Windows does not.
    NotNeeded,
    /// A transaction log of Windows 7 and before had what was being written.
    Sectors(usize),
    /// So had the logs of Windows 8.1 and later, in so many entries.
    Entries(usize),
    /// No log could be used. Sequence numbers and checksum were set right and the rest is whole,
    /// but what was being written may be there in part or not at all: say so.
    BaseBlockOnly,
}

/// What was wrong with a hive, and is right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// How an interrupted write was ended.
    pub recovery: Recovery,
    /// Keys whose subkeys were out of order, or listed with wrong hints.
    pub sorted: usize,
}

impl Hive {
    /// Reads a hive that may be dirty, with its transaction logs (`.LOG`, `.LOG1`, `.LOG2`; in
    /// any order, empty ones and those of no use among them).
    ///
    /// # Errors
    ///
    /// What [`Hive::read`] finds wrong with the result; a recovery never makes up for damage.
    pub fn recover(mut bytes: Vec<u8>, logs: &[&[u8]]) -> Result<(Hive, Recovery), Error> {
        let recovery = end_write(&mut bytes, logs)?;
        Ok((Hive::read(bytes)?, recovery))
    }

    /// Reads a hive whose subkeys may be in another order than Windows searches in, and sorts
    /// them, with the right hints; how many keys had such a list. A program that sorts by lower
    /// case has another order where one name has `_` and another a letter in the same place; one
    /// that compares the bytes of UTF-8 has another order beyond ASCII, and other hints. Windows
    /// does not find such keys.
    ///
    /// # Errors
    ///
    /// What [`Hive::read`] finds wrong apart from that; two keys with one name are an error still.
    pub fn read_sorting(bytes: Vec<u8>) -> Result<(Hive, usize), Error> {
        let mut hive = Hive::read_in(bytes, Order::Any)?;
        let mut left = vec![hive.root()];
        let mut sorted = 0;
        while let Some(key) = left.pop() {
            let list = hive.node(key).subkeys_list();
            if list::mend(&mut hive.cells, list) {
                hive.begin();
                sorted += 1;
            }
            left.extend(hive.subkeys(key));
        }
        if sorted > 0 {
            hive.end();
        }
        // Equal names are neighbours now, which no order mends.
        let Hive { cells, edited, .. } = hive;
        let hive = Hive::read(cells.into_bytes())?;
        Ok((Hive { edited, ..hive }, sorted))
    }

    /// Both: recovers a hive that may be dirty, then sorts what is out of order.
    ///
    /// # Errors
    ///
    /// Damage, and two keys with one name.
    pub fn repair(mut bytes: Vec<u8>, logs: &[&[u8]]) -> Result<(Hive, Repair), Error> {
        let recovery = end_write(&mut bytes, logs)?;
        let (hive, sorted) = Hive::read_sorting(bytes)?;
        Ok((hive, Repair { recovery, sorted }))
    }
}

/// Ends the write that made a hive dirty, if one did.
fn end_write(bytes: &mut Vec<u8>, logs: &[&[u8]]) -> Result<Recovery, Error> {
    base::identify(bytes)?;
    let Some(dirt) = base::dirt(bytes) else {
        return Ok(Recovery::NotNeeded);
    };
    let logs: Vec<Log> = logs.iter().filter_map(|log| Log::parse(log)).collect();
    let recovery = entries(bytes, dirt, &logs).or_else(|| sectors(bytes, dirt, &logs));
    Ok(recovery.unwrap_or_else(|| {
        let number = u32_at(bytes, PRIMARY).max(u32_at(bytes, SECONDARY));
        finish(bytes, number);
        Recovery::BaseBlockOnly
    }))
}

/// The last write is done, with this number.
fn finish(bytes: &mut [u8], number: u32) {
    put_u32(bytes, PRIMARY, number);
    put_u32(bytes, SECONDARY, number);
    base::seal(bytes);
}

/// New logs: entries that follow on each other, across both logs while the base block is right,
/// else of the latest alone (section "Multiple transaction log files", "New format").
fn entries(bytes: &mut Vec<u8>, dirt: Dirt, logs: &[Log]) -> Option<Recovery> {
    let mut logs: Vec<Log> = logs
        .iter()
        .copied()
        .filter(|log| log.kind == LogKind::New && log.entries().next().is_some())
        .collect();
    logs.sort_by_key(|log| log.sequence());
    let secondary = match dirt {
        Dirt::Sequence { secondary, .. } => {
            // "not less than a secondary sequence number" (note 7).
            logs.retain(|log| log.sequence() >= secondary);
            secondary
        }
        Dirt::Checksum { .. } => {
            logs.drain(..logs.len().saturating_sub(1));
            logs.first()?.restore_base_block(bytes);
            logs.first()?.sequence()
        }
    };
    let mut last = None;
    let mut applied = 0;
    'logs: for log in logs {
        if last.is_some_and(|last: u32| log.sequence() != last.wrapping_add(1)) {
            break;
        }
        for entry in log.entries().filter(|entry| entry.sequence >= secondary) {
            if entry.apply(bytes).is_none() {
                break 'logs;
            }
            last = Some(entry.sequence);
            applied += 1;
        }
    }
    finish(bytes, last?.wrapping_add(1));
    Some(Recovery::Entries(applied))
}

/// Old logs: the first that belongs to the last write, by its time (section "Format of
/// transaction log files", "Old format", note 3).
fn sectors(bytes: &mut Vec<u8>, dirt: Dirt, logs: &[Log]) -> Option<Recovery> {
    let written = [u64_at(bytes, WRITTEN), u64_at(bytes, BIN_WRITTEN)];
    // Where the checksum is wrong, the time may be, too; the first bin has a copy.
    let written = match dirt {
        Dirt::Sequence { .. } => &written[..1],
        Dirt::Checksum { .. } => &written,
    };
    let log = logs
        .iter()
        .find(|log| log.kind == LogKind::Old && written.contains(&log.written()))?;
    let sectors = log.apply(bytes)?;
    if matches!(dirt, Dirt::Checksum { .. }) {
        log.restore_base_block(bytes);
    }
    let number = u32_at(bytes, PRIMARY).wrapping_add(1);
    finish(bytes, number);
    Some(Recovery::Sectors(sectors))
}

#[cfg(test)]
mod tests {
    use super::super::ValueType;
    use super::super::base::{BINS_SIZE, CHECKSUM, KIND};
    use super::super::le::{put, put_u32};
    use super::super::log::SECTOR;
    use super::super::marvin;
    use super::*;

    /// A hive after so many writes; each grows it.
    fn state(writes: u32) -> Vec<u8> {
        let mut hive = Hive::new("test");
        let root = hive.root();
        for write in 0..writes {
            let key = hive.create_key(root, &format!("write {write}")).unwrap();
            hive.set_value(key, "", ValueType::Binary, &[write as u8; 5000])
                .unwrap();
        }
        let mut bytes = hive.bytes().to_vec();
        finish(&mut bytes, writes);
        bytes
    }

    /// A log's base block: that of a hive, before what the log holds was written.
    fn base_block(hive: &[u8], kind: u32, number: u32) -> Vec<u8> {
        let mut block = hive[..SECTOR].to_vec();
        put_u32(&mut block, KIND, kind);
        finish(&mut block, number);
        block
    }

    /// The pages of this size that differ, by their place in the bins.
    fn pages<'a>(old: &[u8], new: &'a [u8], size: usize) -> Vec<(usize, &'a [u8])> {
        let pages = (4096..new.len()).step_by(size);
        pages
            .filter(|at| old.get(*at..at + size) != Some(&new[*at..at + size]))
            .map(|at| (at - 4096, &new[at..at + size]))
            .collect()
    }

    fn entry(old: &[u8], new: &[u8], number: u32) -> Vec<u8> {
        let pages = pages(old, new, 4096);
        let mut entry = vec![0; 40];
        put(&mut entry, 0, b"HvLE");
        put_u32(&mut entry, 12, number);
        put_u32(&mut entry, 16, u32_at(new, BINS_SIZE));
        put_u32(&mut entry, 20, pages.len() as u32);
        for (offset, _) in &pages {
            entry.extend((*offset as u32).to_le_bytes());
            entry.extend(4096u32.to_le_bytes());
        }
        for (_, page) in &pages {
            entry.extend(*page);
        }
        entry.resize(entry.len().next_multiple_of(SECTOR), 0);
        let size = entry.len() as u32;
        put_u32(&mut entry, 4, size);
        let hash = marvin::hash(marvin::SEED, &entry[40..]);
        put(&mut entry, 24, &hash.to_le_bytes());
        let hash = marvin::hash(marvin::SEED, &entry[..32]);
        put(&mut entry, 32, &hash.to_le_bytes());
        entry
    }

    fn new_log(first: u32, last: u32) -> Vec<u8> {
        let mut log = base_block(&state(first - 1), 6, first);
        for number in first..=last {
            log.extend(entry(&state(number - 1), &state(number), number));
        }
        log
    }

    fn old_log(writes: u32) -> Vec<u8> {
        let (old, new) = (state(writes - 1), state(writes));
        let pages = pages(&old, &new, SECTOR);
        let mut log = base_block(&new, 1, writes);
        log.extend(b"DIRT");
        let mut bitmap = vec![0; (new.len() - 4096) / SECTOR / 8];
        for (offset, _) in &pages {
            bitmap[offset / SECTOR / 8] |= 1 << (offset / SECTOR % 8);
        }
        log.extend(bitmap);
        log.resize(log.len().next_multiple_of(SECTOR), 0);
        for (_, page) in &pages {
            log.extend(*page);
        }
        log
    }

    fn writes(hive: &Hive) -> usize {
        hive.subkeys(hive.root()).count()
    }

    /// A write began.
    fn dirty(writes: u32) -> Vec<u8> {
        let mut bytes = state(writes);
        put_u32(&mut bytes, PRIMARY, writes + 1);
        base::seal(&mut bytes);
        bytes
    }

    #[test]
    fn a_whole_hive_needs_none() {
        let (hive, recovery) = Hive::recover(state(3), &[&new_log(4, 5)]).unwrap();
        assert_eq!((writes(&hive), recovery), (3, Recovery::NotNeeded));
        assert!(hive.bytes() == state(3));
    }

    #[test]
    fn entries_of_both_logs_in_any_order() {
        let (one, two) = (new_log(4, 5), new_log(6, 8));
        for logs in [[&one[..], &two], [&two, &one]] {
            let (hive, recovery) = Hive::recover(dirty(3), &logs).unwrap();
            assert_eq!((writes(&hive), recovery), (8, Recovery::Entries(5)));
            assert!(hive.bytes()[4096..] == state(8)[4096..]);
        }
        // The first log is older than the hive, or has a gap behind it.
        let older = new_log(2, 2);
        let (hive, _) = Hive::recover(dirty(5), &[&older, &two]).unwrap();
        assert_eq!(writes(&hive), 8);
        let later = new_log(7, 8);
        let (hive, _) = Hive::recover(dirty(3), &[&one, &later]).unwrap();
        assert_eq!(writes(&hive), 5);
    }

    #[test]
    fn a_broken_entry_ends_it() {
        let mut log = new_log(4, 6);
        let last = log.len() - 1;
        log[last] ^= 1;
        let (hive, recovery) = Hive::recover(dirty(3), &[&log]).unwrap();
        assert_eq!((writes(&hive), recovery), (5, Recovery::Entries(2)));
    }

    #[test]
    fn sectors_of_an_old_log() {
        let (hive, recovery) = Hive::recover(dirty(3), &[b"", &old_log(4)]).unwrap();
        assert!(matches!(recovery, Recovery::Sectors(10..)), "{recovery:?}");
        assert!(hive.bytes()[4096..] == state(4)[4096..]);
        // Of another time.
        let mut log = old_log(4);
        put_u32(&mut log, WRITTEN, 7);
        base::seal(&mut log);
        let (hive, recovery) = Hive::recover(dirty(3), &[&log]).unwrap();
        assert_eq!((writes(&hive), recovery), (3, Recovery::BaseBlockOnly));
    }

    #[test]
    fn a_lost_base_block_is_in_the_log() {
        for log in [old_log(4), new_log(4, 4)] {
            let mut bytes = dirty(3);
            bytes[40..200].fill(0xEE);
            let (hive, _) = Hive::recover(bytes.clone(), &[&log]).unwrap();
            assert_eq!(writes(&hive), 4);
            let error = Hive::recover(bytes, &[]).unwrap_err();
            assert!(matches!(error, Error::Field { offset: 40, .. }), "{error}");
        }
    }

    #[test]
    fn without_logs_the_base_block_is_mended() {
        for damage in [PRIMARY, CHECKSUM] {
            let mut bytes = state(3);
            bytes[damage] ^= 1;
            assert!(matches!(Hive::read(bytes.clone()), Err(Error::Dirty(_))));
            let (hive, recovery) = Hive::recover(bytes, &[]).unwrap();
            assert_eq!((writes(&hive), recovery), (3, Recovery::BaseBlockOnly));
        }
    }

    #[test]
    fn a_log_that_was_cut_is_no_danger() {
        for log in [old_log(4), new_log(4, 5)] {
            for cut in (0..log.len()).step_by(97) {
                let (hive, _) = Hive::recover(dirty(3), &[&log[..cut]]).unwrap();
                assert!(writes(&hive) >= 3);
            }
        }
    }
}
