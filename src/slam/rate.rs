// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rate of a session: as fast as its clients can take, and no faster than configured.

use site::BitRate;

/// Below this share of lost blocks the rate rises.
const LOW_LOSS: f64 = 0.005;
/// Above this share of lost blocks the rate falls.
const HIGH_LOSS: f64 = 0.02;
/// Full steps; each of N clients has a vote of 1/N of a step, so that one bad client among many
/// does not slow the others.
const RISE: f64 = 0.5;
const FALL: f64 = 0.3;
/// Runs shorter than this say nothing about the rate.
pub(crate) const SHORTEST_SAMPLE: u64 = 32;

/// What a session's rate moves between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Never slower: a client that loses everything at this rate has another trouble.
    pub floor: BitRate,
    /// Where a session starts; iPXE's receive rings hold 4 to 16 packets.
    pub start: BitRate,
    /// Never faster.
    pub ceiling: BitRate,
}

impl RateLimits {
    /// The default range below `ceiling`.
    pub fn below(ceiling: BitRate) -> Self {
        let least = |bits| BitRate::from_bits_per_second(bits).min(ceiling);
        RateLimits {
            floor: least(20_000_000),
            start: least(200_000_000),
            ceiling,
        }
    }
}

/// The rate in force.
#[derive(Debug)]
pub(crate) struct RateControl {
    limits: RateLimits,
    rate: BitRate,
}

impl RateControl {
    pub(crate) fn new(limits: RateLimits) -> Self {
        RateControl {
            limits,
            rate: limits.start.clamp(limits.floor, limits.ceiling),
        }
    }

    pub(crate) fn rate(&self) -> BitRate {
        self.rate
    }

    /// One of `clients` clients lost the share `loss` (0 to 1) of a run.
    pub(crate) fn on_loss_share(&mut self, loss: f64, clients: usize) {
        let vote = 1.0 / clients.max(1) as f64;
        let factor = match loss {
            loss if loss > HIGH_LOSS => 1.0 - FALL * vote,
            loss if loss < LOW_LOSS => 1.0 + RISE * vote,
            _ => return,
        };
        let bits = self.rate.bits_per_second() as f64 * factor;
        self.rate = BitRate::from_bits_per_second(bits as u64)
            .clamp(self.limits.floor, self.limits.ceiling);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> RateControl {
        RateControl::new(RateLimits::below(BitRate::from_bits_per_second(
            900_000_000,
        )))
    }

    #[test]
    fn rises_to_the_ceiling_and_falls_to_the_floor() {
        let mut control = control();
        for _ in 0..10 {
            control.on_loss_share(0.0, 1);
        }
        assert_eq!(control.rate().bits_per_second(), 900_000_000);
        for _ in 0..20 {
            control.on_loss_share(0.5, 1);
        }
        assert_eq!(control.rate().bits_per_second(), 20_000_000);
    }

    #[test]
    fn loss_that_does_not_come_from_the_rate_holds_it() {
        let mut control = control();
        control.on_loss_share(0.01, 1);
        assert_eq!(control.rate().bits_per_second(), 200_000_000);
    }

    #[test]
    fn one_bad_client_of_thirty_is_outvoted() {
        let mut control = control();
        for _ in 0..10 {
            control.on_loss_share(0.1, 30);
            for _ in 0..29 {
                control.on_loss_share(0.0, 30);
            }
        }
        assert_eq!(control.rate().bits_per_second(), 900_000_000);
    }

    #[test]
    fn a_low_ceiling_bounds_floor_and_start() {
        let limits = RateLimits::below(BitRate::from_bits_per_second(1_000_000));
        assert_eq!(limits.floor, limits.ceiling);
        assert_eq!(RateControl::new(limits).rate(), limits.ceiling);
    }
}
