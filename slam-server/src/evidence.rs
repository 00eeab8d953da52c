// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client's answers show of the present rate.

use slam_client::wire::Nack;

use super::reading::{Reading, Sample};
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
    /// Of what was sent at this rate.
    reading: Reading,
    /// How far the last verdict reached.
    judged: Serial,
    /// Whether its last verdict was that more is lost than the rate should make it lose.
    was_bad: bool,
}

impl Evidence {
    /// Adds what `nack`, which speaks of batches before `asked`, shows beyond what is known; a verdict, if that is
    /// enough to tell.
    pub(crate) fn hear(
        &mut self,
        nack: &Nack,
        sent: &Sent,
        asked: Serial,
        count: u64,
        rising: bool,
    ) -> Option<Verdict> {
        let sample = self.reading.read(nack, sent, asked, count)?;
        self.add(sample, rising)
    }

    fn add(&mut self, sample: Sample, rising: bool) -> Option<Verdict> {
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
            self.judged = self.reading.until();
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
        if self.reading.start_at(epoch) {
            self.sum = Sample::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
