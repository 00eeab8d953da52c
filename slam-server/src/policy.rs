// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of a client that is slower than its room.
//!
//! The choices are those of Windows Deployment Services, which no free multicast server has.

use std::time::Duration;

use site::{BitRate, SlowClients};
use slam_client::Timestamp;
use slam_client::wire::Nack;

use super::reading::{Reading, Sample};

/// How long a client is watched before it is dropped.
const WATCHED: Duration = Duration::from_secs(5);
/// And before it is moved, which costs it nothing; with so many blocks sent at least.
const WATCHED_TO_MOVE: Duration = Duration::from_secs(1);
const FEWEST_BLOCKS: u64 = 400;
/// A client that was moved is given so much time to hear something: a switch may be slow to learn.
pub(crate) const WATCHED_WHERE_MOVED: Duration = Duration::from_millis(1500);
/// Where a client was moved the rate must find its level before shares of it tell clients apart.
pub(crate) const SETTLING: Duration = Duration::from_millis(2500);
/// Whoever gets less than this part of what another gets is too slow for its lane.
const OUT_OF_PACE: f64 = 0.5;

/// How much of what is sent reaches a client.
///
/// Not what it holds: the list of one that misses thousands of blocks does not fit a datagram, and
/// says nothing of what lies beyond.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrivals {
    /// At whatever rate it was sent.
    pub(crate) reading: Reading,
    /// Since when, and how many bytes had been sent to the group.
    since: Option<(Timestamp, u64)>,
    sum: Sample,
    last: Option<Arrived>,
}

/// What reached a client in a stretch of time that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrived {
    /// Of what was sent.
    pub(crate) share: f64,
    /// In a second, if anything.
    pub(crate) goodput: Option<BitRate>,
}

/// Why a client does not fit its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It gets much less than others: this, if anything.
    Slow(Option<BitRate>),
    /// It was moved, and nothing that is sent there has reached it.
    Deaf,
}

impl Arrivals {
    /// Notes what an answer shows, `sent` bytes having been sent to the group since the session
    /// began.
    pub(crate) fn note(&mut self, sample: Sample, sent: u64, now: Timestamp) {
        let (since, sent_then) = *self.since.get_or_insert((now, sent));
        self.sum.blocks += sample.blocks;
        self.sum.lost += sample.lost;
        let time = now.since(since);
        if time < WATCHED_TO_MOVE || self.sum.blocks < FEWEST_BLOCKS {
            return;
        }
        let Sample { blocks, lost, .. } = std::mem::take(&mut self.sum);
        let share = blocks.saturating_sub(lost) as f64 / blocks as f64;
        let arrived = sent.saturating_sub(sent_then) as f64 * share;
        self.last = Some(Arrived {
            share,
            goodput: rate(arrived as u64, time),
        });
        self.since = Some((now, sent));
    }

    /// What reached it in the last stretch that is over.
    pub(crate) fn last(&self) -> Option<Arrived> {
        self.last
    }
}

/// Whether a client belongs elsewhere for what has reached it; `best` asks what share reaches the
/// best of the others.
pub(crate) fn moves(arrived: Arrived, best: impl FnOnce() -> Option<f64>) -> Option<Pace> {
    // Nobody has more than all.
    let slow = |best| is_share_out_of_pace(arrived.share, best);
    (slow(1.0) && slow(best()?)).then_some(Pace::Slow(arrived.goodput))
}

/// Whether the share of what is sent that reaches one is too little beside that of the best.
pub(crate) fn is_share_out_of_pace(share: f64, best: f64) -> bool {
    share < OUT_OF_PACE * best
}

/// Whether `goodput` is too little beside what the best gets.
pub(crate) fn is_out_of_pace(goodput: Option<BitRate>, best: Option<BitRate>) -> bool {
    let bits = |rate: Option<BitRate>| rate.map_or(0, BitRate::bits_per_second) as f64;
    bits(goodput) < OUT_OF_PACE * bits(best)
}

/// What a client has got lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Since when, what it held then, and how many bytes had been sent to the group.
    since: Option<(Timestamp, u64, u64)>,
    /// What it got in the last stretch that was judged.
    goodput: Option<BitRate>,
}

/// A stretch of time, judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Bytes that the client got.
    got: u64,
    /// Bytes that it might have got: what it missed, or what was sent, whichever is less.
    offered: u64,
    time: Duration,
}

impl Progress {
    /// Notes that the client holds `held` bytes of `total`, `sent` having been sent to the group
    /// since the session began; a stretch, if one is over.
    pub(crate) fn note(
        &mut self,
        held: u64,
        total: u64,
        sent: u64,
        now: Timestamp,
    ) -> Option<Stretch> {
        let (since, held_then, sent_then) = *self.since.get_or_insert((now, held, sent));
        let time = now.since(since);
        if time < WATCHED {
            return None;
        }
        self.since = Some((now, held, sent));
        let got = held.saturating_sub(held_then);
        let offered = (total - held_then.min(total)).min(sent.saturating_sub(sent_then));
        self.goodput = rate(got, time);
        Some(Stretch { got, offered, time })
    }

    /// What it got, per second, in the last stretch.
    pub(crate) fn goodput(&self) -> Option<BitRate> {
        self.goodput
    }
}

/// Whether a client is to be dropped for what it got in `stretch`; `best` is what the best of the
/// others gets.
///
/// Nobody is dropped who could not have done better: enough must have been sent of what it missed,
/// and another client must have taken it.
pub(crate) fn drops(policy: SlowClients, stretch: Stretch, best: Option<BitRate>) -> bool {
    let SlowClients::DropBelow(least) = policy else {
        return false;
    };
    let got = rate(stretch.got, stretch.time);
    let offered = rate(stretch.offered, stretch.time);
    got < Some(least) && offered >= Some(least) && best >= Some(least)
}

/// Bytes that the sender of `nack` holds at least, in a transfer of `count` blocks of `size` bytes.
pub(crate) fn held(nack: &Nack, count: u64, size: u64) -> u64 {
    let extent = nack.extent().min(count);
    let blocks = extent - nack.missing().len_within(0..extent);
    blocks.saturating_mul(size)
}

/// `None` where nothing came.
fn rate(bytes: u64, time: Duration) -> Option<BitRate> {
    let bits = bytes as f64 * 8.0 / time.as_secs_f64().max(f64::MIN_POSITIVE);
    (bytes > 0).then(|| BitRate::from_bits_per_second(bits as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::BlockSet;
    use slam_client::wire::MAX_NACK_LEN;

    const MEGABIT: u64 = 1_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_secs(seconds))
    }

    fn megabits(number: u64) -> BitRate {
        BitRate::from_bits_per_second(number * MEGABIT)
    }

    /// A stretch of five seconds, in Mbit/s.
    fn stretch(got: u64, offered: u64) -> Stretch {
        let bytes = |rate| rate * MEGABIT * 5 / 8;
        let mut progress = Progress::default();
        let total = bytes(offered);
        assert_eq!(progress.note(0, total, 0, at(1)), None);
        assert_eq!(progress.note(9, total, 9, at(3)), None);
        let judged = progress.note(bytes(got), total, bytes(offered), at(6));
        assert_eq!(progress.goodput(), (got > 0).then(|| megabits(got)));
        judged.expect("five seconds have passed")
    }

    #[test]
    fn slow_clients_are_dropped_where_that_is_the_policy() {
        let policy = SlowClients::DropBelow(megabits(50));
        let best = Some(megabits(400));
        assert!(drops(policy, stretch(20, 400), best));
        assert!(drops(policy, stretch(0, 400), best));
        assert!(!drops(policy, stretch(60, 400), best));
        for other in [SlowClients::Serve, SlowClients::Cap] {
            assert!(!drops(other, stretch(1, 400), best));
        }
    }

    #[test]
    fn nobody_is_dropped_who_could_not_have_done_better() {
        let policy = SlowClients::DropBelow(megabits(50));
        // It misses little, or little was sent.
        assert!(!drops(policy, stretch(2, 3), Some(megabits(400))));
        // Nobody else does better, or nobody else is there.
        assert!(!drops(policy, stretch(20, 400), Some(megabits(30))));
        assert!(!drops(policy, stretch(20, 400), None));
    }

    /// Two seconds of 100 Mbit/s.
    fn arrived(lost: u64) -> Arrived {
        let mut arrivals = Arrivals::default();
        let sample = |blocks, lost| Sample {
            blocks,
            lost,
            again: 0,
        };
        arrivals.note(sample(10, 0), 5, at(1));
        assert_eq!(arrivals.last(), None);
        arrivals.note(sample(9_990, lost), 5 + 25_000_000, at(3));
        arrivals.last().expect("time has passed")
    }

    #[test]
    fn who_gets_less_than_half_of_another_is_moved() {
        let best = |share| move || Some(share);
        let nothing = Some(Pace::Slow(None));
        assert_eq!(moves(arrived(10_000), best(0.9)), nothing);
        assert_eq!(arrived(7_000).goodput, Some(megabits(30)));
        let slow = Some(Pace::Slow(Some(megabits(30))));
        assert_eq!(moves(arrived(7_000), best(1.0)), slow);
        assert_eq!(moves(arrived(7_000), best(0.7)), slow);
        assert_eq!(moves(arrived(4_000), best(1.0)), None);
        // Nobody else gets more, or is there.
        assert_eq!(moves(arrived(7_000), best(0.5)), None);
        assert_eq!(moves(arrived(7_000), || None), None);
        assert!(is_out_of_pace(None, Some(megabits(1))));
        assert!(!is_out_of_pace(Some(megabits(30)), Some(megabits(50))));
    }

    #[test]
    fn what_a_client_holds_is_read_from_both_kinds_of_lists() {
        let some: BlockSet = [0..10, 15..100].into_iter().collect();
        let full = Nack::for_gaps(&some, 100, MAX_NACK_LEN);
        assert_eq!(held(&full, 100, 1000), 95_000);
        let stock = Nack::for_gaps(&BlockSet::from_run(0..10), 14, MAX_NACK_LEN);
        assert_eq!(held(&stock, 100, 1000), 10_000);
        assert_eq!(held(&Nack::initial(), 100, 1000), 0);
    }
}
