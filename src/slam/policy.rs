// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of a client that is slower than its room.
//!
//! The choices are those of Windows Deployment Services, which no free multicast server has.

use std::time::Duration;

use site::{BitRate, SlowClients};
use slam_client::Timestamp;
use slam_client::wire::Nack;

/// How long a client is watched before it is judged.
const WATCHED: Duration = Duration::from_secs(5);

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
