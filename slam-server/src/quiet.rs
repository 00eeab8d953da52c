// SPDX-License-Identifier: MIT OR Apache-2.0
//! Seconds in which nothing is sent, so that those speak who only listen.
//!
//! A stock client that comes while something is sent says nothing before it has heard nothing for a
//! second (iPXE `slam.c`, `SLAM_SLAVE_TIMEOUT`), and until then no server can know of it. As long as
//! a slow client keeps the group busy it gets what that one is sent, in whatever order and at its
//! rate, perhaps for minutes. So where everything has been sent once, and whoever is still there is
//! a straggler or came late, sending stops for a second now and then. Where a slow client makes that take
//! long, it does so before, more and more rarely.

use std::time::Duration;

use slam_client::Timestamp;

/// The second that a stock client listens, and some for queues on the way and clocks that drift.
const LISTENS: Duration = Duration::from_millis(1050);
/// How long to send between two of them, at least: they take 5 % of the time at most.
const INTERVAL: Duration = Duration::from_secs(20);

/// Before everything has been sent, each takes twice as long to come, up to so many times.
const RAREST: u32 = 5;

/// When it was last quiet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quiet {
    /// Since when there is sending, and how many blocks had been sent then.
    since: Option<(Timestamp, u64)>,
    until: Option<Timestamp>,
    /// How often it was quiet before everything had been sent.
    early: u32,
}

impl Quiet {
    /// Until when nothing is to be sent, if that is so at `now`, where something could be: of a
    /// transfer of `count` blocks `sent` were, the last of them at `last`. `is_slow`: somebody takes
    /// far less than there is.
    pub(crate) fn pause(
        &mut self,
        sent: u64,
        count: u64,
        last: Option<Timestamp>,
        is_slow: bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if let Some(until) = self.until {
            if now < until {
                return Some(until);
            }
            (self.since, self.until) = (None, None);
        }
        let (since, sent_then) = *self.since.get_or_insert((now, sent));
        let last = last.filter(|&last| now.since(last) < LISTENS);
        let Some(last) = last else {
            // It was quiet anyway.
            self.since = Some((now, sent));
            return None;
        };
        let passes = now.since(since) >= INTERVAL && sent - sent_then >= count;
        let early = is_slow && now.since(since) >= INTERVAL * (1 << self.early.min(RAREST));
        if !passes && !early {
            return None;
        }
        self.early = if passes { 0 } else { self.early + 1 };
        self.until = Some(last + LISTENS);
        self.until
    }

    /// Whether it is quiet at `now`.
    pub(crate) fn is_quiet(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn it_is_quiet_after_each_pass_and_rarely() {
        let mut quiet = Quiet::default();
        let mut silent = Vec::new();
        let mut last = ms(0);
        // A block every ten milliseconds, of a file of 1,000.
        let mut sent = 0;
        for now in (0..60_000).step_by(10).map(ms) {
            if quiet.pause(sent, 1000, Some(last), false, now).is_some() {
                assert!(quiet.is_quiet(now));
                silent.push(now);
            } else {
                (last, sent) = (now, sent + 1);
            }
        }
        assert_eq!(silent.len(), 2 * 104, "{silent:?}");
        assert_eq!(silent[0], ms(20_000));
        // Of a large one, once for each pass.
        let mut quiet = Quiet::default();
        quiet.pause(0, 5000, Some(ms(0)), false, ms(0));
        assert_eq!(
            quiet.pause(4999, 5000, Some(ms(49_990)), false, ms(50_000)),
            None
        );
        let until = quiet.pause(5000, 5000, Some(ms(50_000)), false, ms(50_010));
        assert_eq!(until, Some(ms(51_050)));
    }

    #[test]
    fn a_silence_that_was_anyway_counts() {
        let mut quiet = Quiet::default();
        assert_eq!(quiet.pause(0, 10, None, false, ms(0)), None);
        assert_eq!(
            quiet.pause(50, 10, Some(ms(10_000)), false, ms(12_000)),
            None
        );
        assert_eq!(
            quiet.pause(90, 10, Some(ms(31_980)), false, ms(31_990)),
            None
        );
        assert!(
            quiet
                .pause(90, 10, Some(ms(31_990)), false, ms(32_000))
                .is_some()
        );
    }

    #[test]
    fn where_it_is_slow_it_comes_before_all_has_been_sent_and_ever_more_rarely() {
        let mut quiet = Quiet::default();
        let mut began = Vec::new();
        let mut last = ms(0);
        for now in (0..300_000).step_by(10).map(ms) {
            let was_quiet = quiet.is_quiet(now);
            if quiet.pause(0, 1000, Some(last), true, now).is_none() {
                last = now;
            } else if !was_quiet {
                began.push(now.since_start().as_secs());
            }
        }
        assert_eq!(began, [20, 61, 142]);
    }
}
