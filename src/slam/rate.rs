// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rate of a session: as fast as its clients can take, and no faster than configured.

use std::time::Duration;

use site::BitRate;

/// Below this share of lost blocks the rate rises.
const LOW_LOSS: f64 = 0.015;
/// Above this share of lost blocks the rate falls.
const HIGH_LOSS: f64 = 0.03;
/// Full steps; each of N clients has a vote of 1/N of a step, so that one bad client among many
/// does not slow the others.
const RISE: f64 = 0.5;
const FALL: f64 = 0.3;
/// Evidence for a verdict: so many losses, or so many blocks. One loss alone says little, since a
/// stock client tells only where its first one is.
const ENOUGH_LOSSES: f64 = 4.0;
const ENOUGH_BLOCKS: f64 = 400.0;
/// Runs shorter than this say nothing about the rate.
pub(crate) const SHORTEST_SAMPLE: u64 = 32;
/// How much is sent for a client before it is heard again. While the rate still rises: little.
const SHORT_RUN: Duration = Duration::from_millis(10);
/// Once it has settled: enough that the round trip costs little, little enough that a wrong rate
/// does.
const LONG_RUN: Duration = Duration::from_millis(50);

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

/// What a client's answer shows of a run that was sent for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Blocks of which the answer speaks.
    pub(crate) blocks: u64,
    /// How many of them were lost.
    pub(crate) lost: u64,
}

/// The rate in force.
#[derive(Debug)]
pub(crate) struct RateControl {
    limits: RateLimits,
    rate: BitRate,
    rising: bool,
    blocks: f64,
    lost: f64,
}

impl RateControl {
    pub(crate) fn new(limits: RateLimits) -> Self {
        let rate = limits.start.clamp(limits.floor, limits.ceiling);
        RateControl {
            limits,
            rate,
            rising: true,
            blocks: 0.0,
            lost: 0.0,
        }
    }

    pub(crate) fn rate(&self) -> BitRate {
        self.rate
    }

    /// How long to send for a client before it is asked again.
    pub(crate) fn run_time(&self) -> Duration {
        if self.rising && self.rate < self.limits.ceiling {
            SHORT_RUN
        } else {
            LONG_RUN
        }
    }

    /// One of `clients` clients has answered.
    pub(crate) fn on_sample(&mut self, sample: Sample, clients: usize) {
        self.blocks += sample.blocks as f64;
        self.lost += sample.lost as f64;
        // A run that arrived whole is a verdict of its own: that is how a rate starts to rise.
        let clean = self.lost == 0.0;
        if !clean && self.lost < ENOUGH_LOSSES && self.blocks < ENOUGH_BLOCKS {
            return;
        }
        let loss = self.lost / self.blocks.max(1.0);
        (self.blocks, self.lost) = (0.0, 0.0);
        let vote = 1.0 / clients.max(1) as f64;
        let factor = match loss {
            loss if loss > HIGH_LOSS => 1.0 - FALL * vote,
            loss if loss < LOW_LOSS => 1.0 + RISE * vote,
            _ => 1.0,
        };
        self.rising = factor > 1.0;
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

    fn sample(blocks: u64, lost: u64) -> Sample {
        Sample { blocks, lost }
    }

    #[test]
    fn rises_to_the_ceiling_and_falls_to_the_floor() {
        let mut control = control();
        assert_eq!(control.run_time(), SHORT_RUN);
        for _ in 0..10 {
            control.on_sample(sample(100, 0), 1);
        }
        assert_eq!(control.rate().bits_per_second(), 900_000_000);
        assert_eq!(control.run_time(), LONG_RUN);
        for _ in 0..20 {
            control.on_sample(sample(100, 50), 1);
        }
        assert_eq!(control.rate().bits_per_second(), 20_000_000);
    }

    #[test]
    fn one_loss_is_no_verdict_and_some_loss_holds_the_rate() {
        let mut control = control();
        control.on_sample(sample(10, 1), 1);
        assert_eq!(control.rate().bits_per_second(), 200_000_000);
        control.on_sample(sample(400, 7), 1);
        assert_eq!(control.rate().bits_per_second(), 200_000_000);
    }

    #[test]
    fn one_bad_client_of_thirty_is_outvoted() {
        let mut control = control();
        for _ in 0..10 {
            control.on_sample(sample(100, 10), 30);
            for _ in 0..29 {
                control.on_sample(sample(100, 0), 30);
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
