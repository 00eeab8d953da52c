// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client's answers show of the present rate.
//!
//! Who lists all that it misses tells what it lost of what was sent. A stock client names its first gap
//! alone: all before that has arrived, and of what lies beyond nothing is known, however long ago it was
//! sent. So its losses are counted as its first gap moves on, and those of another rate are left out.

use std::ops::Range;

use slam_client::wire::Nack;

use super::sent::{Sent, Serial};

/// Evidence for a verdict: so many losses, or so many blocks. One loss alone says little, since a
/// stock client tells only where its first one is.
const ENOUGH_LOSSES: u64 = 16;
const ENOUGH_BLOCKS: u64 = 400;
/// Until the rate has first fallen, this is enough: a run that arrived whole, or so many losses.
const FEWEST_BLOCKS: u64 = 24;
const FEWEST_LOSSES: u64 = 4;
/// A verdict is vague if more than one in so many blocks was sent again before it was missed.
const VAGUE: u64 = 5;

/// What a client's answer shows of what was sent at the present rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Blocks of which the answer speaks.
    pub(crate) blocks: u64,
    /// How many of them were lost.
    pub(crate) lost: u64,
    /// How many arrived that were sent more than once, so that nobody knows how often they were lost.
    pub(crate) again: u64,
}

/// What a client has lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Share of blocks.
    pub(crate) lost: f64,
    /// Much of what arrived had been sent for others again before this client could miss it.
    pub(crate) is_vague: bool,
}

/// What a client has shown of the present rate, not judged yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evidence {
    sum: Sample,
    /// The first batch that was sent at this rate.
    since: Serial,
    /// Batches before this one are judged, or were sent at another rate.
    until: Serial,
    /// How far the last verdict reached.
    judged: Serial,
    /// Whether its last verdict was that more is lost than the rate should make it lose.
    was_bad: bool,
    /// Before this block, nothing was missing when it last named its first gap alone.
    whole: u64,
    /// The block that gap began with, and what had carried it.
    lost: Option<(u64, Serial)>,
}

impl Evidence {
    /// What `nack`, which speaks of batches before `asked`, shows beyond what is known.
    pub(crate) fn sample(
        &mut self,
        nack: &Nack,
        sent: &Sent,
        asked: Serial,
        count: u64,
    ) -> Option<Sample> {
        let mut runs = nack.missing().runs();
        let sample = match (runs.next(), runs.next()) {
            (Some(gap), None) if nack.extent() < count => self.up_to(&gap, sent, asked),
            _ => {
                let (sample, until) = sent.sample(nack, self.until, asked, count)?;
                self.until = until;
                sample
            }
        };
        (sample.blocks > 0).then_some(sample)
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

    /// Adds a sample; a verdict, if that is enough to tell.
    pub(crate) fn add(&mut self, sample: Sample, rising: bool) -> Option<Verdict> {
        self.sum.blocks += sample.blocks;
        self.sum.lost += sample.lost;
        self.sum.again += sample.again;
        let Sample {
            blocks,
            lost,
            again,
        } = self.sum;
        let enough = match lost {
            0 if rising => blocks >= FEWEST_BLOCKS,
            _ if rising && lost >= FEWEST_LOSSES => true,
            _ => lost >= ENOUGH_LOSSES || blocks >= ENOUGH_BLOCKS,
        };
        enough.then(|| {
            self.sum = Sample::default();
            self.judged = self.until;
            Verdict {
                lost: lost as f64 / blocks.max(1) as f64,
                is_vague: again > blocks / VAGUE,
            }
        })
    }

    /// Notes a verdict, which `is_bad` or not; whether it is the first bad one.
    pub(crate) fn is_first_bad(&mut self, is_bad: bool) -> bool {
        let was_bad = std::mem::replace(&mut self.was_bad, is_bad);
        let first = is_bad && !was_bad;
        if first {
            self.judged = Serial::NEVER;
        }
        first
    }

    /// Whether there has been a verdict of what was sent from `epoch` on.
    pub(crate) fn is_judged_since(&self, epoch: Serial) -> bool {
        self.judged > epoch
    }

    /// Forgets what was sent before `epoch`.
    pub(crate) fn start_at(&mut self, epoch: Serial) {
        if self.since < epoch {
            self.since = epoch;
            self.until = self.until.max(epoch);
            self.sum = Sample::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::wire::MAX_NACK_LEN;
    use slam_client::{BlockSet, Timestamp};

    #[test]
    fn one_loss_is_no_verdict() {
        let mut evidence = Evidence::default();
        let sample = |blocks, lost| Sample {
            blocks,
            lost,
            again: 0,
        };
        let share = |lost| {
            Some(Verdict {
                lost,
                is_vague: false,
            })
        };
        assert_eq!(evidence.add(sample(10, 1), true), None);
        assert_eq!(evidence.add(sample(389, 0), true), None);
        assert_eq!(evidence.add(sample(1, 0), true), share(1.0 / 400.0));
        assert_eq!(evidence.add(sample(FEWEST_BLOCKS, 0), true), share(0.0));
        assert_eq!(evidence.add(sample(8, 4), true), share(0.5));
        assert_eq!(evidence.add(sample(8, 4), false), None);
        assert_eq!(evidence.add(sample(24, 12), false), share(0.5));
    }

    /// Of how many blocks, how many lost and how many sent more than once `evidence` learns from a client that misses `gap` and names nothing else.
    fn learn(
        evidence: &mut Evidence,
        gap: Range<u64>,
        sent: &Sent,
        asked: Serial,
    ) -> Option<(u64, u64, u64)> {
        let mut held = BlockSet::from_run(0..1000);
        held.subtract(&BlockSet::from_run(gap.clone()));
        let nack = Nack::for_gaps(&held, gap.end, MAX_NACK_LEN);
        assert_eq!(nack.missing().runs().collect::<Vec<_>>(), [gap]);
        let sample = evidence.sample(&nack, sent, asked, 1000)?;
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
        let mut evidence = Evidence::default();
        evidence.start_at(Serial::NEVER.after());
        let first = learn(&mut evidence, 100..102, &log, log.next());
        assert_eq!(first, Some((102, 2, 0)));
        // It says the same again: it was lost once.
        assert_eq!(learn(&mut evidence, 100..102, &log, log.next()), None);
        let asked = log.next();
        log.note(&(100..102), Timestamp::ZERO);
        log.note(&(300..600), Timestamp::ZERO);
        // The repair was under way when it was asked.
        assert_eq!(learn(&mut evidence, 100..102, &log, asked), None);
        // It has got there, and how often those two had been lost is known.
        let then = learn(&mut evidence, 200..201, &log, log.next());
        assert_eq!(then, Some((101, 1, 2)));
        // All that was sent is there.
        let then = learn(&mut evidence, 600..601, &log, log.next());
        assert_eq!(then, Some((400, 0, 0)));
    }

    #[test]
    fn a_gap_that_others_had_repaired_meanwhile_was_a_loss() {
        let mut log = sent(&[0..300]);
        let asked = log.next();
        log.note(&(100..102), Timestamp::ZERO);
        let mut evidence = Evidence::default();
        evidence.start_at(Serial::NEVER.after());
        let lost = learn(&mut evidence, 100..102, &log, asked);
        assert_eq!(lost, Some((102, 2, 0)));
    }

    #[test]
    fn what_another_rate_has_lost_says_nothing_of_this_one() {
        let mut log = sent(&[0..300]);
        let mut evidence = Evidence::default();
        evidence.start_at(log.next());
        log.note(&(300..600), Timestamp::ZERO);
        for gap in [100..102, 200..201] {
            assert_eq!(learn(&mut evidence, gap, &log, log.next()), None);
        }
        let lost = learn(&mut evidence, 350..351, &log, log.next());
        assert_eq!(lost, Some((51, 1, 0)));
    }

    #[test]
    fn much_that_was_sent_twice_makes_a_verdict_vague() {
        let mut evidence = Evidence::default();
        let verdict = |again| {
            let sample = Sample {
                blocks: 400,
                lost: 0,
                again,
            };
            Evidence::default().add(sample, false).unwrap().is_vague
        };
        assert_eq!([verdict(80), verdict(81)], [false, true]);
        let bad = [true, true, false, true].map(|is_bad| evidence.is_first_bad(is_bad));
        assert_eq!(bad, [true, false, false, true]);
    }
}
