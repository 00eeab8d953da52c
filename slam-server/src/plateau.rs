// SPDX-License-Identifier: MIT OR Apache-2.0
//! Loss that is too much for a higher rate, and too little for a lower one.
//!
//! A machine that stops now and then loses a few percent at any rate. Where that is all that keeps a
//! rate down, it would stay there: so after a while a higher one is tried, and what arrives decides.
//! If as much more arrives as is sent, the loss has another cause than the rate, and is put up with.
//! PCC compares rates in this way ("PCC: Re-architecting Congestion Control for Consistent High
//! Performance", NSDI 2015, section 3.2).

use site::BitRate;

/// So many decisions in a row change nothing before another rate is tried: 400 blocks each, of
/// which 2 % are known to 0.35 %.
const ENOUGH: u32 = 4;
/// How much of it a rate must be higher to compare.
const HIGHER: f64 = 0.05;
/// Of what is sent more, this must arrive.
const WORTH: f64 = 0.5;
/// So many are left alone after a try that was in vain.
const REST: u32 = 32;

/// What follows from a decision that would change nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    /// The rate stays.
    Stay,
    /// This much is lost at any rate.
    PutUpWith(f64),
    /// The rate goes back to this one: what is lost beyond, it loses.
    GoBack(BitRate),
}

/// The rate that stays as it is.
#[derive(Debug)]
pub(crate) struct Plateau {
    rate: BitRate,
    decisions: u32,
    lost: f64,
    /// The last one: its rate, and how much of that arrived.
    before: Option<(BitRate, f64)>,
    rests: u32,
}

impl Plateau {
    pub(crate) fn at(rate: BitRate) -> Self {
        Plateau {
            rate,
            decisions: 0,
            lost: 0.0,
            before: None,
            rests: 0,
        }
    }

    /// `lost` is lost at `rate`, and that is no reason to change it.
    pub(crate) fn stay(&mut self, rate: BitRate, lost: f64) -> Step {
        if rate != self.rate {
            self.rate = rate;
            self.decisions = 0;
            self.lost = 0.0;
        }
        if self.rests > 0 {
            self.rests -= 1;
            return Step::Stay;
        }
        self.decisions += 1;
        self.lost += lost;
        if self.decisions < ENOUGH {
            return Step::Stay;
        }
        let lost = self.lost / f64::from(self.decisions);
        let bits = rate.bits_per_second() as f64;
        let goodput = bits * (1.0 - lost);
        self.decisions = 0;
        self.lost = 0.0;
        let Some((before, arrived)) = self.before else {
            self.before = Some((rate, goodput));
            return Step::PutUpWith(lost);
        };
        let more = bits - before.bits_per_second() as f64;
        if more > bits * HIGHER {
            if goodput < arrived + more * WORTH {
                self.before = None;
                self.rests = REST;
                return Step::GoBack(before);
            }
            self.before = Some((rate, goodput));
        }
        Step::PutUpWith(lost)
    }

    /// The rate falls; whether a higher one was being tried.
    pub(crate) fn fails(&mut self) -> bool {
        let tried = self.before.take().is_some();
        if tried {
            self.rests = REST;
        }
        tried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn megabits(rate: u64) -> BitRate {
        BitRate::from_bits_per_second(rate * 1_000_000)
    }

    fn stay(plateau: &mut Plateau, rate: u64, lost: f64) -> Step {
        let rate = megabits(rate);
        for _ in 1..ENOUGH {
            assert_eq!(plateau.stay(rate, lost), Step::Stay);
        }
        plateau.stay(rate, lost)
    }

    fn puts_up_with(step: Step, lost: f64) -> bool {
        matches!(step, Step::PutUpWith(known) if (known - lost).abs() < 1e-9)
    }

    #[test]
    fn loss_that_a_higher_rate_does_not_raise_is_put_up_with() {
        let mut plateau = Plateau::at(megabits(100));
        assert!(puts_up_with(stay(&mut plateau, 100, 0.02), 0.02));
        // Of 14 more 11 arrive, and then of 16 all.
        assert!(puts_up_with(stay(&mut plateau, 114, 0.04), 0.04));
        assert!(puts_up_with(stay(&mut plateau, 130, 0.03), 0.03));
    }

    #[test]
    fn a_rate_of_which_no_more_arrives_is_left_again() {
        let mut plateau = Plateau::at(megabits(100));
        assert!(puts_up_with(stay(&mut plateau, 100, 0.02), 0.02));
        // Too little higher to tell.
        assert!(puts_up_with(stay(&mut plateau, 104, 0.05), 0.05));
        assert_eq!(stay(&mut plateau, 108, 0.09), Step::GoBack(megabits(100)));
        for _ in 0..REST {
            assert_eq!(plateau.stay(megabits(100), 0.02), Step::Stay);
        }
        assert!(puts_up_with(stay(&mut plateau, 100, 0.02), 0.02));
    }

    #[test]
    fn a_fall_ends_the_try() {
        let mut plateau = Plateau::at(megabits(100));
        assert!(!plateau.fails());
        assert!(puts_up_with(stay(&mut plateau, 100, 0.02), 0.02));
        assert!(plateau.fails());
        for _ in 0..REST {
            assert_eq!(plateau.stay(megabits(90), 0.02), Step::Stay);
        }
    }

    #[test]
    fn another_rate_is_counted_anew() {
        let mut plateau = Plateau::at(megabits(100));
        for rate in 0..20 {
            assert_eq!(plateau.stay(megabits(rate), 0.02), Step::Stay);
        }
    }
}
