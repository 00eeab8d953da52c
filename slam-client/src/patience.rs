// SPDX-License-Identifier: MIT OR Apache-2.0
//! When to speak, when to give up.
//!
//! All clients of a group hear the same last datagram; were they to wait equally long, they would
//! all speak at once. So every wait is drawn at random, and the data which the first NACK brings
//! makes the others wait anew (NACK suppression, RFC 5740 section 5.3).

use std::time::Duration;

use fastrand::Rng;

use crate::time::Timestamp;

/// Limits and waits of a [`Receiver`](crate::Receiver).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How long to listen before the first NACK, when nothing is heard.
    pub first_nack: Wait,
    /// How soon to make oneself known to a server that is heard already: it then knows whom to
    /// solicit, and what to send after the present pass.
    pub introduce: Wait,
    /// How long a silence lasts before a NACK. mini-slamd forgets each client that it solicits,
    /// so that a lost solicit leaves only this.
    pub silence: Wait,
    /// How long a server may send nothing but blocks that are held already before a NACK.
    pub stall: Wait,
    /// How often waits double while NACKs bring nothing.
    pub max_doublings: u32,
    /// How long to go on without data before failing. Solicits do not count.
    pub give_up: Duration,
    /// Largest file in bytes.
    pub max_bytes: u64,
    /// Most gaps to remember: the bound of memory, at some 32 bytes each. A block that would open
    /// one more is not kept, and asked for again later.
    pub max_gaps: usize,
    /// How far past the first missing block to keep blocks, in bytes, for those who must pass them
    /// on in order. What lies further ahead is not kept, and asked for when its turn comes.
    pub reach: u64,
    /// Most parity blocks to keep until their window can be completed, a block of memory each. 0:
    /// none is taken, nor announced to be; so it must be where stored blocks cannot be read back.
    pub max_parity: usize,
    /// Whether it can listen to another group when the server says so ([`Output::Join`]), which
    /// it announces.
    ///
    /// [`Output::Join`]: crate::Output::Join
    pub can_move: bool,
    /// How often the transfer may change before failing.
    pub max_restarts: u32,
}

impl Default for Config {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Config {
            first_nack: Wait::between(ms(20), ms(100)),
            introduce: Wait::between(ms(20), ms(200)),
            silence: Wait::between(ms(100), ms(250)),
            stall: Wait::between(ms(1000), ms(2000)),
            max_doublings: 4,
            give_up: Duration::from_secs(30),
            max_bytes: u64::MAX,
            max_gaps: 1 << 20,
            reach: u64::MAX,
            max_parity: 0,
            can_move: true,
            max_restarts: 64,
        }
    }
}

/// A wait of random length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    shortest: Duration,
    longest: Duration,
}

impl Wait {
    /// A wait of `shortest` to `longest`; of `shortest` exactly where `longest` is less.
    pub fn between(shortest: Duration, longest: Duration) -> Self {
        Wait {
            shortest,
            longest: longest.max(shortest),
        }
    }

    fn draw(self, doublings: u32, rng: &mut Rng) -> Duration {
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        let wait = rng.u64(nanos(self.shortest)..=nanos(self.longest));
        Duration::from_nanos(wait.saturating_mul(1 << doublings.min(63)))
    }
}

/// The timers of one transfer.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    rng: Rng,
    /// NACKs since the last one that helped.
    fruitless: u32,
    /// Wait drawn for the present round.
    silence: Duration,
    /// When silence ends.
    silent_until: Timestamp,
    /// When we speak even while known blocks keep coming.
    stalled_until: Timestamp,
    /// When we give up.
    dead_at: Timestamp,
}

impl Patience {
    pub(crate) fn new(now: Timestamp, config: &Config, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let first = config.first_nack.draw(0, &mut rng);
        Patience {
            fruitless: 0,
            silence: first,
            silent_until: now + first,
            stalled_until: now + first,
            dead_at: now + config.give_up,
            rng,
        }
    }

    /// The first valid datagram of a transfer has come.
    pub(crate) fn introduce(&mut self, now: Timestamp, config: &Config) {
        self.fruitless = 0;
        self.silence = config.silence.draw(0, &mut self.rng);
        self.silent_until = now + self.silence;
        self.stalled_until = now + config.introduce.draw(0, &mut self.rng);
    }

    /// Data came; `new` if we did not hold it.
    pub(crate) fn heard_data(&mut self, now: Timestamp, new: bool, spoken: bool, config: &Config) {
        if new {
            if self.fruitless > 0 {
                self.fruitless = 0;
                self.silence = config.silence.draw(0, &mut self.rng);
            }
            if spoken {
                self.stalled_until = now + config.stall.draw(0, &mut self.rng);
            }
        }
        self.silent_until = now + self.silence;
        self.dead_at = now + config.give_up;
    }

    /// A NACK goes out, in answer to a solicit or (`unasked`) because the wait is over.
    pub(crate) fn spoke(&mut self, now: Timestamp, unasked: bool, config: &Config) {
        if unasked {
            self.fruitless = self.fruitless.saturating_add(1);
        }
        let doublings = self.fruitless.min(config.max_doublings);
        self.silence = config.silence.draw(doublings, &mut self.rng);
        self.silent_until = now + self.silence;
        self.stalled_until = now + config.stall.draw(doublings, &mut self.rng);
    }

    pub(crate) fn wants_to_speak(&self, now: Timestamp) -> bool {
        now >= self.silent_until.min(self.stalled_until)
    }

    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.dead_at
    }

    /// When something is due next.
    pub(crate) fn next(&self) -> Timestamp {
        self.silent_until.min(self.stalled_until).min(self.dead_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_in_their_range_and_differ() {
        let wait = Wait::between(Duration::from_millis(100), Duration::from_millis(250));
        let mut rng = Rng::with_seed(7);
        let drawn: Vec<_> = (0..100).map(|_| wait.draw(0, &mut rng)).collect();
        assert!(
            drawn
                .iter()
                .all(|&d| (wait.shortest..=wait.longest).contains(&d))
        );
        let early = drawn.iter().filter(|d| d.as_millis() < 175).count();
        assert!(
            (20..80).contains(&early),
            "{early} of 100 in the first half"
        );
        let doubled = wait.draw(3, &mut rng);
        assert!((wait.shortest * 8..=wait.longest * 8).contains(&doubled));
    }

    #[test]
    fn a_wait_turned_round_is_fixed() {
        let wait = Wait::between(Duration::from_secs(2), Duration::from_secs(1));
        let mut rng = Rng::with_seed(1);
        assert_eq!(wait.draw(0, &mut rng), Duration::from_secs(2));
        assert_eq!(wait.draw(200, &mut rng).as_nanos(), u128::from(u64::MAX));
    }
}
