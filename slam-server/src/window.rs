// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far sending runs ahead of what the only client of a session has answered for.
//!
//! A rate alone is blind for as long as an answer takes: a machine whose processor is needed
//! elsewhere for a few milliseconds, as a virtual one's often is, would find everything lost that
//! its ring and the queues before it could not hold. So what has left and is not answered for is
//! bounded, as by TCP's window; the client's answers are the clock then. Where there are more
//! clients, none of them may hold up the others, and the rate alone counts.

use std::time::Duration;

use slam_client::Timestamp;

use super::pacer::Ease;

/// What is under way at most: 370 KB, 3 ms at 1 Gbit/s; a tap device queues 500 packets at least, and
/// receive windows of TCP under iPXE are of this size.
const LEAST: u64 = 256;
/// The same for a client that takes the highest rate, and has missed nothing and never held that up
/// for [`CALM`]: each answer costs both sides, and only says once more that all is well.
const WIDE: u64 = 1024;
const CALM: Duration = Duration::from_millis(200);
/// Over long ways, what leaves in so many round trips.
pub(crate) const ROUND_TRIPS: u32 = 2;
/// How much more than it took lately.
pub(crate) const QUICKER: f64 = 2.0;
/// What it takes of a rate at least, if that rate and not its answers are what is kept to.
pub(crate) const TAKEN: f64 = 0.75;
/// A client that does not answer is sent something so often: a stock client gives up for want of
/// multicast, not of questions.
const TRICKLE: Duration = Duration::from_millis(100);

/// How long to count what is answered for, and how often before it is forgotten.
const STRETCH: Duration = Duration::from_millis(5);
const STRETCHES: usize = 8;

/// How far what is under way may reach.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reach {
    /// Since when nothing was missed or held up.
    calm_since: Timestamp,
    /// Whether nothing may leave before an answer.
    is_full: bool,
    /// When a stretch began, and how many blocks had been answered for.
    stretch: Option<(Timestamp, u64)>,
    /// Blocks a second that were answered for in each of the last stretches.
    speeds: [Option<f64>; STRETCHES],
}

impl Reach {
    /// So many blocks have been answered for, all in all.
    pub(crate) fn answered(&mut self, blocks: u64, now: Timestamp) {
        let Some((began, then)) = self.stretch else {
            self.stretch = Some((now, blocks));
            return;
        };
        let took = now.since(began);
        if took < STRETCH {
            return;
        }
        self.speeds.rotate_right(1);
        self.speeds[0] = Some(blocks.saturating_sub(then) as f64 / took.as_secs_f64());
        self.stretch = Some((now, blocks));
    }

    /// Somebody else is there, or nobody: what was answered for says nothing of the next one.
    pub(crate) fn forget_speed(&mut self) {
        self.stretch = None;
        self.speeds = [None; STRETCHES];
    }

    /// Blocks a second that the only client has answered for, in the best of the last stretches.
    pub(crate) fn speed(&self) -> Option<f64> {
        self.speeds.iter().copied().flatten().reduce(f64::max)
    }

    /// Notes whether the window is full; whether it has become so.
    pub(crate) fn fills(&mut self, is_full: bool) -> bool {
        !std::mem::replace(&mut self.is_full, is_full) && is_full
    }

    /// Something was missed, or had to wait for an answer.
    pub(crate) fn disturb(&mut self, now: Timestamp) {
        self.calm_since = now;
    }

    /// The least that may be under way to a client that takes what is sent so easily.
    fn least(&self, ease: Ease, now: Timestamp) -> u64 {
        match ease {
            Ease::Easy if now.since(self.calm_since) >= CALM => WIDE,
            Ease::Easy | Ease::Careful => LEAST,
        }
    }

    /// `under_way` blocks are; `round_trips` blocks leave in [`ROUND_TRIPS`].
    pub(crate) fn window(
        &self,
        under_way: u64,
        round_trips: u64,
        ease: Ease,
        now: Timestamp,
    ) -> Window {
        Window {
            under_way,
            most: round_trips.max(self.least(ease, now)),
        }
    }
}

/// What is under way to the only client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Blocks that left after what it last answered for.
    under_way: u64,
    most: u64,
}

impl Window {
    /// How many blocks may leave in one batch; 0: none before it has answered.
    pub(crate) fn batch(&self) -> u64 {
        self.most.saturating_sub(self.under_way).min(self.most / 4)
    }

    /// Whether nothing may leave before it has answered.
    pub(crate) fn is_full(&self) -> bool {
        self.under_way >= self.most
    }

    /// Whether it is to be asked: the answer comes while the other half leaves.
    pub(crate) fn wants_answer(&self) -> bool {
        self.under_way >= self.most / 2
    }

    /// Until when nothing leaves, the last batch having left at `last`.
    pub(crate) fn holds_until(&self, last: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let until = last? + TRICKLE;
        (self.is_full() && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(under_way: u64, round_trips: u64) -> Window {
        Reach::default().window(under_way, round_trips, Ease::Careful, Timestamp::ZERO)
    }

    #[test]
    fn it_is_wide_only_where_all_has_been_well_for_a_while() {
        let ms = |ms| Timestamp::from_start(Duration::from_millis(ms));
        let mut reach = Reach::default();
        reach.disturb(ms(1_000));
        let most = |ease, now, round_trips| reach.window(0, round_trips, ease, now).most;
        assert_eq!(most(Ease::Easy, ms(1_199), 0), LEAST);
        assert_eq!(most(Ease::Easy, ms(1_200), 0), WIDE);
        assert_eq!(most(Ease::Careful, ms(1_200), 0), LEAST);
        assert_eq!(most(Ease::Easy, ms(1_200), 5_000), 5_000);
    }

    #[test]
    fn the_best_of_the_last_stretches_counts() {
        let ms = |ms| Timestamp::from_start(Duration::from_millis(ms));
        let mut reach = Reach::default();
        reach.answered(0, ms(1_000));
        // Too soon to tell.
        reach.answered(90, ms(1_004));
        assert_eq!(reach.speed(), None);
        reach.answered(100, ms(1_005));
        assert_eq!(reach.speed(), Some(20_000.0));
        reach.answered(100, ms(1_015));
        assert_eq!(reach.speed(), Some(20_000.0));
        for stretch in 2..=STRETCHES as u64 {
            reach.answered(100 + 10 * stretch, ms(1_005 + 10 * stretch));
        }
        let speed = reach.speed().unwrap();
        assert!(speed < 2_100.0, "{speed}");
        reach.forget_speed();
        assert_eq!(reach.speed(), None);
    }

    #[test]
    fn half_a_window_is_sent_while_the_other_is_asked_for() {
        let at = |under_way| window(under_way, 10);
        assert!(!at(LEAST / 2 - 1).wants_answer() && at(LEAST / 2).wants_answer());
        assert_eq!(
            [at(0).batch(), at(LEAST - 6).batch(), at(LEAST + 44).batch()],
            [LEAST / 4, 6, 0]
        );
        assert!(!at(LEAST - 1).is_full() && at(LEAST).is_full());
        assert!(!window(500, 1000).is_full());
    }

    #[test]
    fn a_full_one_holds_for_a_while_only() {
        let ms = |ms| Timestamp::from_start(Duration::from_millis(ms));
        let (full, open) = (window(LEAST, 0), window(LEAST - 1, 0));
        assert_eq!(full.holds_until(Some(ms(5)), ms(6)), Some(ms(105)));
        assert_eq!(full.holds_until(Some(ms(5)), ms(105)), None);
        assert_eq!(full.holds_until(None, ms(6)), None);
        assert_eq!(open.holds_until(Some(ms(5)), ms(6)), None);
    }
}
