// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client's answers show of what was sent.
//!
//! Who lists all that it misses tells what it lost of what was sent. A stock client names its first gap
//! alone: all before that has arrived, and of what lies beyond nothing is known, however long ago it was
//! sent. So its losses are counted as its first gap moves on, and those of an earlier time are left out.

use std::ops::Range;

use slam_client::wire::Nack;

use super::sent::{Sent, Serial};

/// What a client's answer shows of what was sent in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Blocks of which the answer speaks.
    pub(crate) blocks: u64,
    /// How many of them were lost.
    pub(crate) lost: u64,
    /// How many arrived that were sent more than once, so that nobody knows how often they were lost.
    pub(crate) again: u64,
}

/// Reads one client's answers, each block of each once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// The first batch that counts.
    since: Serial,
    /// Batches before this one are read, or do not count.
    until: Serial,
    /// Before this block, nothing was missing when it last named its first gap alone.
    whole: u64,
    /// The block that gap began with, and what had carried it.
    lost: Option<(u64, Serial)>,
}

impl Reading {
    /// Batches before this one are read.
    pub(crate) fn until(&self) -> Serial {
        self.until
    }

    /// What was sent before `first` does not count; whether that is new.
    pub(crate) fn start_at(&mut self, first: Serial) -> bool {
        let later = self.since < first;
        if later {
            self.since = first;
            self.until = self.until.max(first);
        }
        later
    }

    /// What `nack`, which speaks of batches before `asked`, shows beyond what is known.
    pub(crate) fn read(
        &mut self,
        nack: &Nack,
        sent: &Sent,
        asked: Serial,
        count: u64,
    ) -> Option<Sample> {
        let mut runs = nack.missing().runs();
        let sample = match (runs.next(), runs.next()) {
            (Some(gap), None) if nack.extent() < count => self.up_to(&gap, sent, asked),
            _ => self.listed(nack, sent, asked, count),
        };
        (sample.blocks > 0).then_some(sample)
    }

    /// A list: of what lies beyond a full one, it says nothing.
    fn listed(&mut self, nack: &Nack, sent: &Sent, asked: Serial, count: u64) -> Sample {
        let from = self.until;
        if from >= asked {
            return Sample::default();
        }
        let sent_of = |run: &Range<u64>| {
            let mut blocks = 0;
            sent.each(run, from..asked, |run| {
                blocks += run.end - run.start;
                true
            });
            blocks
        };
        let lost: u64 = nack.missing().runs().map(|run| sent_of(&run)).sum();
        let blocks = if nack.extent() < count {
            sent_of(&(0..nack.extent()))
        } else {
            sent.blocks_between(from, asked).max(lost)
        };
        if blocks > 0 {
            self.until = asked;
        }
        Sample {
            blocks,
            lost,
            ..Sample::default()
        }
    }

    /// A stock client's first gap: all before it has arrived, and of what lies beyond it says nothing,
    /// whenever that was sent.
    fn up_to(&mut self, gap: &Range<u64>, sent: &Sent, asked: Serial) -> Sample {
        let arrived = self.whole.min(gap.start)..gap.start;
        self.whole = gap.start;
        let [carrier, _] = sent.carried(gap.start, asked);
        if carrier.is_some_and(|carrier| carrier < self.since) {
            // There the old rate left gaps. Repairs, one at a time, say nothing of the new one.
            return Sample::default();
        }
        let mut sample = Sample::default();
        for block in arrived {
            let [last, before] = sent.carried(block, asked);
            if last >= Some(self.since) {
                sample.blocks += 1;
                sample.again += u64::from(before >= Some(self.since));
            }
        }
        self.until = self.until.max(carrier.map_or(asked, Serial::after));
        let lost = carrier.map(|carrier| (gap.start, carrier));
        if let Some(lost) = lost
            && self.lost.replace(lost) != Some(lost)
        {
            sample.lost = gap.end - gap.start;
            sample.blocks += sample.lost;
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::wire::MAX_NACK_LEN;
    use slam_client::{BlockSet, Timestamp};

    /// Of how many blocks, how many lost and how many sent more than once `reading` learns from a client that misses `gap` and names nothing else.
    fn learn(
        reading: &mut Reading,
        gap: Range<u64>,
        sent: &Sent,
        asked: Serial,
    ) -> Option<(u64, u64, u64)> {
        let mut held = BlockSet::from_run(0..1000);
        held.subtract(&BlockSet::from_run(gap.clone()));
        let nack = Nack::for_gaps(&held, gap.end, MAX_NACK_LEN);
        assert_eq!(nack.missing().runs().collect::<Vec<_>>(), [gap]);
        let sample = reading.read(&nack, sent, asked, 1000)?;
        Some((sample.blocks, sample.lost, sample.again))
    }

    fn sent(runs: &[Range<u64>]) -> Sent {
        let mut sent = Sent::of(1000);
        for run in runs {
            sent.note(run, Timestamp::ZERO);
        }
        sent
    }

    #[test]
    fn of_what_lies_beyond_a_first_gap_nothing_is_known() {
        let mut log = sent(&[0..300]);
        let mut reading = Reading::default();
        reading.start_at(Serial::NEVER.after());
        let first = learn(&mut reading, 100..102, &log, log.next());
        assert_eq!(first, Some((102, 2, 0)));
        // It says the same again: it was lost once.
        assert_eq!(learn(&mut reading, 100..102, &log, log.next()), None);
        let asked = log.next();
        log.note(&(100..102), Timestamp::ZERO);
        log.note(&(300..600), Timestamp::ZERO);
        // The repair was under way when it was asked.
        assert_eq!(learn(&mut reading, 100..102, &log, asked), None);
        // It has got there, and how often those two had been lost is known.
        let then = learn(&mut reading, 200..201, &log, log.next());
        assert_eq!(then, Some((101, 1, 2)));
        // All that was sent is there.
        let then = learn(&mut reading, 600..601, &log, log.next());
        assert_eq!(then, Some((400, 0, 0)));
    }

    #[test]
    fn a_gap_that_others_had_repaired_meanwhile_was_a_loss() {
        let mut log = sent(&[0..300]);
        let asked = log.next();
        log.note(&(100..102), Timestamp::ZERO);
        let mut reading = Reading::default();
        reading.start_at(Serial::NEVER.after());
        let lost = learn(&mut reading, 100..102, &log, asked);
        assert_eq!(lost, Some((102, 2, 0)));
    }

    #[test]
    fn what_another_rate_has_lost_says_nothing_of_this_one() {
        let mut log = sent(&[0..300]);
        let mut reading = Reading::default();
        reading.start_at(log.next());
        log.note(&(300..600), Timestamp::ZERO);
        for gap in [100..102, 200..201] {
            assert_eq!(learn(&mut reading, gap, &log, log.next()), None);
        }
        let lost = learn(&mut reading, 350..351, &log, log.next());
        assert_eq!(lost, Some((51, 1, 0)));
    }
}
