// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client was asked and has not answered yet: which batches an answer can speak of, and how long
//! answers take.

use std::collections::VecDeque;
use std::time::Duration;

use slam_client::Timestamp;
use slam_client::wire::Nack;

use super::sent::{Sent, Serial};

/// Round trip assumed of a client that has not been measured.
const ASSUMED_ROUND_TRIP: Duration = Duration::from_millis(5);
/// Solicits to one client that may still be answered: so many are remembered one by one, for so long.
const MOST: usize = 8;
const LONGEST_ANSWER: Duration = Duration::from_millis(500);

/// What a NACK speaks of: the batches that left before this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Horizon {
    /// It answers the solicit that left before this batch.
    Asked(Serial),
    /// It was not asked for, or one does not know: it spoke at this moment.
    Spoke(Timestamp),
}

/// How long answers take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    pub(crate) smoothed: Duration,
    pub(crate) shortest: Duration,
}

/// Solicits: when the first of them left, and which batch left after the first and after the last of them.
#[derive(Clone, Copy, Debug)]
struct Question {
    asked: Timestamp,
    horizon: Serial,
    latest: Serial,
    /// How many of them may still be answered.
    times: u32,
}

/// The questions to one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Questions {
    open: VecDeque<Question>,
    last: Timestamp,
    round_trip: Option<RoundTrip>,
}

impl Questions {
    /// Bytes that they take at most, beside themselves.
    pub(crate) const MOST_MEMORY: usize = MOST * size_of::<Question>();

    /// The client is asked; the next batch will be `horizon`.
    pub(crate) fn note(&mut self, horizon: Serial, now: Timestamp) {
        self.last = now;
        let is_full = self.open.len() >= MOST;
        match self.open.back_mut() {
            // Each will have its answer: what is true of the first is true of the others.
            Some(last) if is_full || last.horizon == horizon => {
                last.latest = horizon;
                last.times += 1;
            }
            _ => self.open.push_back(Question {
                asked: now,
                horizon,
                latest: horizon,
                times: 1,
            }),
        }
    }

    /// When the last one left, if an answer is awaited.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        (!self.open.is_empty()).then_some(self.last)
    }

    /// Whether no answer is awaited.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// No answer is awaited any more.
    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }

    /// Forgets what is not answered any more.
    pub(crate) fn forget(&mut self, now: Timestamp) {
        let old = |question: &Question| now.since(question.asked) > LONGEST_ANSWER;
        while self.open.len() > 1 && self.open.front().is_some_and(old) {
            self.open.pop_front();
        }
    }

    /// How long answers take, once one has come.
    pub(crate) fn round_trip(&self) -> Option<RoundTrip> {
        self.round_trip
    }

    /// Answers take as long as those to `other` questions of the same client.
    pub(crate) fn take_over(&mut self, other: &Questions) {
        self.round_trip = other.round_trip;
    }

    /// Learns from an answer; what it can speak of. `lists`: the client names all its gaps.
    ///
    /// Datagrams arrive in order, so an answer speaks of all that was sent before its solicit. Which
    /// of several that is, what it holds may tell; else it is taken for the oldest, which is true of
    /// the others as well. Where there is none, a round trip is taken.
    pub(crate) fn answered(
        &mut self,
        nack: &Nack,
        sent: &Sent,
        lists: bool,
        now: Timestamp,
    ) -> Horizon {
        let known = self.round_trip;
        let (Some(oldest), Some(newest)) = (self.open.front(), self.open.back()) else {
            return Horizon::Spoke(now - known.map_or(ASSUMED_ROUND_TRIP, |known| known.smoothed));
        };
        let held = sent.newest_held(nack, oldest.horizon..newest.latest);
        let later = |question: &Question| held.is_none_or(|held| question.latest > held);
        let at = self.open.iter().position(later).unwrap_or(0);
        let Question {
            asked,
            horizon,
            times,
            ..
        } = self.open[at];
        let horizon = held.map_or(horizon, |held| horizon.max(held.after()));
        let took = now.since(asked);
        if at + 1 == self.open.len() && times == 1 {
            let shortest = known.map_or(took, |known| known.shortest.min(took));
            self.learn(took, shortest);
        } else if lists || known.is_none() {
            // It may answer a later one (Karn's rule). The longest that it may have taken is learnt,
            // or a network that has become slower would never be known.
            self.learn(took, took);
        }
        self.open.drain(..at);
        match self.open.front_mut() {
            Some(answered) if answered.times > 1 => answered.times -= 1,
            _ => {
                self.open.pop_front();
            }
        }
        Horizon::Asked(horizon)
    }

    fn learn(&mut self, took: Duration, shortest: Duration) {
        let known = self.round_trip;
        let smoothed = known.map_or(took, |known| (known.smoothed * 7 + took) / 8);
        let shortest = known.map_or(shortest, |known| known.shortest.min(shortest));
        self.round_trip = Some(RoundTrip { smoothed, shortest });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::BlockSet;
    use slam_client::wire::MAX_NACK_LEN;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(ms))
    }

    /// Behind a long queue more questions are under way than are remembered one by one. Whatever was sent
    /// after an answer's own solicit must not be taken for lost.
    #[test]
    fn none_of_many_answers_is_taken_for_that_to_a_later_question() {
        let blocks = 4 * MOST as u64;
        let mut sent = Sent::of(blocks);
        let mut questions = Questions::default();
        questions.note(sent.next(), at(1));
        let mut asked = vec![sent.next()];
        for block in 0..blocks {
            sent.note(&(block..block + 1), at(2 + block));
            questions.note(sent.next(), at(2 + block));
            asked.push(sent.next());
        }
        // They come one by one, each saying that all arrived that was sent before its question.
        for (held, own) in asked.iter().enumerate() {
            let held = BlockSet::from_run(0..held as u64);
            let nack = Nack::for_gaps(&held, blocks, MAX_NACK_LEN);
            let horizon = match questions.answered(&nack, &sent, false, at(100)) {
                Horizon::Asked(horizon) => horizon,
                Horizon::Spoke(moment) => panic!("asked for, and taken for said at {moment:?}"),
            };
            assert!(horizon <= *own, "{horizon:?}, and it was asked at {own:?}");
        }
        assert!(questions.is_empty());
    }
}
