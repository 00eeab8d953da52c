// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rate of a session: as fast as its clients can take, and no faster than configured.
//!
//! Each client's answers are evidence of how much of what was sent at the present rate it lost.
//! Where there is enough of it, the client has a verdict; when enough clients have, they vote.
//! Loss that a lower rate does not lower has another cause than the rate, and is put up with.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;

use site::BitRate;

use super::pacer::Ease;
use super::plateau::{Plateau, Step};
use super::sent::Serial;

/// Below this share of lost blocks a client votes for a higher rate.
pub(crate) const LOW_LOSS: f64 = 0.015;
/// Above this share of lost blocks a client votes for a lower rate.
const HIGH_LOSS: f64 = 0.03;
/// Full steps, if all vote for them; so one bad client among many does not slow the others.
const RISE: f64 = 0.5;
const FALL: f64 = 0.3;
/// Close to a rate at which blocks were lost, the rate rises by this step only.
const CAREFUL_RISE: f64 = 0.03;
/// How close that is.
const CLOSE: f64 = 0.9;
/// The deepest fall at once.
const DEEPEST_FALL: f64 = 0.5;
/// So many decisions in a row are no reason to fall yet: a machine that its host stops for some milliseconds
/// loses what its ring does not hold, and two answers may tell of that.
const DOUBTS: u32 = 2;
/// How much of what is known of loss at any rate a verdict of less changes.
const FORGET: f64 = 0.1;
/// So many verdicts make a vote, or as many as there are hosts that answer if they are fewer.
pub(crate) const QUORUM: usize = 8;
/// Of which each host has so many: nobody waits for a dead one, nor hears one alone.
const MOST_OF_ONE: f64 = 2.0;
/// A rate that lost goodput by falling as much as this was not the cause of the loss.
const IN_VAIN: f64 = 0.9;
/// And if the share lost is no smaller than this part of what it was.
const AS_EVER: f64 = 0.7;
/// How far the rate must have fallen to tell.
const FALLEN: f64 = 0.8;

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

    /// The rate of a session that knows nothing of its clients.
    fn first(&self) -> BitRate {
        self.start.clamp(self.floor, self.ceiling)
    }
}

/// The rate in force.
#[derive(Debug)]
pub(crate) struct RateControl {
    limits: RateLimits,
    /// Whether one client that loses blocks decides.
    slowest_decides: bool,
    rate: BitRate,
    /// The first batch at this rate.
    epoch: Serial,
    votes: Votes,
    /// Whether a vote was for a lower rate, be it that it fell or was in doubt.
    was_opposed: bool,
    /// Share that is lost at any rate.
    background: f64,
    /// A rate at which blocks were lost.
    troubled: Option<f64>,
    /// Where the present fall began: the rate, and the share lost there.
    fell_from: Option<(f64, f64)>,
    /// How many hosts there were when the rate last fell.
    fell_among: usize,
    /// How many decisions in a row would have been to fall.
    doubts: u32,
    plateau: Plateau,
}

/// One voice for each host, however many ports it speaks from.
#[derive(Debug, Default)]
struct Votes {
    by_host: BTreeMap<IpAddr, Voice>,
}

/// What one host has said, on average.
#[derive(Clone, Copy, Debug, Default)]
struct Voice {
    higher: f64,
    lower: f64,
    neither: f64,
    /// Sum of the shares lost by those who vote for lower.
    lost: f64,
    /// And by all.
    lost_by_all: f64,
    /// Whether all of them are vague.
    is_vague: bool,
}

impl Voice {
    fn count(&self) -> f64 {
        self.higher + self.lower + self.neither
    }
}

impl Votes {
    /// Verdicts that count towards a vote, those of who abstains among them.
    fn verdicts(&self) -> f64 {
        let voices = self.by_host.values();
        voices
            .map(|voice| voice.count().clamp(1.0, MOST_OF_ONE))
            .sum()
    }

    /// All hosts together, each with the weight of one.
    fn sum(&self) -> Voice {
        let mut sum = Voice::default();
        let all_vague = self.by_host.values().all(|voice| voice.is_vague);
        let heard = |voice: &&Voice| all_vague || !voice.is_vague;
        for voice in self.by_host.values().filter(heard) {
            let weight = voice.count().max(1.0);
            sum.higher += voice.higher / weight;
            sum.lower += voice.lower / weight;
            sum.neither += voice.neither / weight;
            sum.lost += voice.lost / weight;
            sum.lost_by_all += voice.lost_by_all / weight;
        }
        sum
    }
}

/// A verdict, and who is there to vote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ballot {
    /// Share of blocks lost that were sent at the present rate; `None`: it abstains.
    pub(crate) lost: Option<f64>,
    /// See [`Verdict::is_vague`](super::evidence::Verdict::is_vague).
    pub(crate) is_vague: bool,
    /// Who lost them.
    pub(crate) host: IpAddr,
    /// Hosts that take part.
    pub(crate) hosts: usize,
    /// How many of them answer, as far as that matters to [`QUORUM`].
    pub(crate) voters: usize,
    /// The batch that is sent next.
    pub(crate) next: Serial,
    /// There is a verdict of everybody's at this rate, without which it does not rise where the
    /// slowest decides.
    pub(crate) all_judged: bool,
}

impl RateControl {
    /// `slowest_decides`: one client that loses blocks is enough for the rate to fall, and all are
    /// needed for it to rise.
    pub(crate) fn new(limits: RateLimits, slowest_decides: bool) -> Self {
        let rate = limits.first();
        RateControl {
            limits,
            slowest_decides,
            rate,
            epoch: Serial::NEVER,
            votes: Votes::default(),
            was_opposed: false,
            background: 0.0,
            troubled: None,
            fell_from: None,
            fell_among: 0,
            doubts: 0,
            plateau: Plateau::at(rate),
        }
    }

    pub(crate) fn rate(&self) -> BitRate {
        self.rate
    }

    /// The first batch that was sent at the present rate.
    pub(crate) fn epoch(&self) -> Serial {
        self.epoch
    }

    /// Whether the clients take the highest rate.
    pub(crate) fn ease(&self) -> Ease {
        if self.rate == self.limits.ceiling && self.troubled.is_none() {
            Ease::Easy
        } else {
            Ease::Careful
        }
    }

    /// Whether no vote was for a lower rate yet.
    pub(crate) fn is_rising(&self) -> bool {
        !self.was_opposed
    }

    /// Whether it has not fallen yet, and there is something above it.
    pub(crate) fn is_climbing(&self) -> bool {
        self.is_rising() && self.rate < self.limits.ceiling
    }

    /// Those who voted are gone, and batches are counted anew. What was learnt stays.
    pub(crate) fn forget_votes(&mut self) {
        self.votes = Votes::default();
        self.doubts = 0;
        self.epoch = Serial::NEVER;
    }

    /// There are so many hosts now; what is sent next begins with `next`. What a few could not take,
    /// perhaps the first of a room to come, says little of many.
    pub(crate) fn joined(&mut self, hosts: usize, next: Serial) {
        if !self.was_opposed || hosts <= 2 * self.fell_among {
            return;
        }
        self.was_opposed = false;
        self.troubled = None;
        self.fell_from = None;
        let start = self.limits.first();
        if !self.slowest_decides && self.rate < start {
            self.rate = start;
            self.epoch = next;
        }
    }

    /// Whether a client that loses this share of what is sent votes for a lower rate.
    pub(crate) fn is_bad(&self, lost: f64) -> bool {
        lost - self.background > HIGH_LOSS
    }

    /// A client has lost some share of what was sent at the present rate.
    pub(crate) fn vote(&mut self, ballot: Ballot) {
        let votes = &mut self.votes;
        let voice = votes.by_host.entry(ballot.host).or_insert(Voice {
            is_vague: true,
            ..Voice::default()
        });
        let mut against = false;
        if let Some(lost) = ballot.lost {
            self.background -= (self.background - lost).max(0.0) * FORGET;
            voice.lost_by_all += lost;
            voice.is_vague &= ballot.is_vague;
            match lost - self.background {
                excess if excess > HIGH_LOSS => {
                    voice.lower += 1.0;
                    voice.lost += lost;
                    against = true;
                }
                excess if excess < LOW_LOSS => voice.higher += 1.0,
                _ => voice.neither += 1.0,
            }
        }
        let quorum = if self.slowest_decides {
            against || ballot.all_judged
        } else {
            votes.verdicts() >= ballot.voters.clamp(1, QUORUM) as f64
        };
        if quorum {
            let before = self.rate;
            self.decide();
            if self.rate < before {
                self.fell_among = ballot.hosts;
            }
            if self.rate != before {
                self.epoch = ballot.next;
            }
        }
    }

    fn decide(&mut self) {
        let mut votes = std::mem::take(&mut self.votes).sum();
        let mut count = votes.count();
        if self.slowest_decides && votes.lower > 0.0 {
            votes.higher = 0.0;
            count = votes.lower;
        }
        if count == 0.0 {
            return;
        }
        let rise = RISE * votes.higher / count;
        let fall = FALL * votes.lower / count;
        let rate = self.rate.bits_per_second() as f64;
        let next = match rise.total_cmp(&fall) {
            Ordering::Greater => {
                self.doubts = 0;
                self.fell_from = None;
                self.rise(rate, rise - fall)
            }
            Ordering::Less => {
                self.doubts = self.doubts.saturating_add(1);
                let doubts = self.doubts <= DOUBTS && !self.slowest_decides;
                // It is not known to take all that is sent any more.
                self.was_opposed = true;
                if doubts {
                    rate
                } else {
                    self.fall(rate, votes.lost / votes.lower, votes.lower / count)
                }
            }
            Ordering::Equal => match self.plateau.stay(self.rate, votes.lost_by_all / count) {
                Step::Stay => rate,
                Step::PutUpWith(lost) => {
                    self.background = lost;
                    rate
                }
                Step::GoBack(to) => {
                    self.background = 0.0;
                    to.bits_per_second() as f64
                }
            },
        };
        self.rate = BitRate::from_bits_per_second(next as u64)
            .clamp(self.limits.floor, self.limits.ceiling);
    }

    fn fall(&mut self, rate: f64, lost: f64, share: f64) -> f64 {
        if self.plateau.fails() {
            self.background = 0.0;
        }
        let (from, lost_there) = *self.fell_from.get_or_insert((rate, lost));
        let goodput = rate * (1.0 - lost);
        let as_ever = lost > lost_there * AS_EVER;
        if rate <= from * FALLEN && as_ever && goodput < from * (1.0 - lost_there) * IN_VAIN {
            self.background = lost;
            self.fell_from = None;
            self.troubled = None;
            return from;
        }
        self.troubled = Some(rate);
        // What arrives is what they can take.
        let excess = (lost - self.background).clamp(0.0, DEEPEST_FALL);
        rate * (1.0 - excess * share) * (1.0 - CAREFUL_RISE)
    }

    fn rise(&mut self, rate: f64, step: f64) -> f64 {
        let quick = rate * (1.0 + step);
        let Some(troubled) = self.troubled else {
            return quick;
        };
        if rate > troubled {
            // It was the moment, not the rate.
            self.troubled = None;
        }
        quick.min((troubled * CLOSE).max(rate * (1.0 + CAREFUL_RISE)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control() -> RateControl {
        RateControl::new(
            RateLimits::below(BitRate::from_bits_per_second(900_000_000)),
            false,
        )
    }

    fn bits(control: &RateControl) -> u64 {
        control.rate().bits_per_second()
    }

    fn host(number: u8) -> IpAddr {
        [10, 0, 0, number].into()
    }

    fn ballot(lost: f64, number: u8, hosts: usize) -> Ballot {
        Ballot {
            lost: Some(lost),
            is_vague: false,
            host: host(number),
            hosts,
            voters: hosts,
            next: Serial::NEVER,
            all_judged: true,
        }
    }

    /// By the only host there is.
    fn vote(control: &mut RateControl, lost: f64) {
        control.vote(ballot(lost, 1, 1));
    }

    #[test]
    fn rises_to_the_ceiling() {
        let mut control = control();
        for _ in 0..4 {
            vote(&mut control, 0.0);
        }
        assert_eq!(bits(&control), 900_000_000);
    }

    #[test]
    fn finds_what_a_ring_can_take_and_stays_there() {
        let mut control = control();
        let capacity = 387_000_000.0;
        let (mut lost_bits, mut all) = (0.0, 0.0);
        for round in 0..200 {
            let rate = bits(&control) as f64;
            let lost = (1.0 - capacity / rate).max(0.0);
            if round > 5 {
                lost_bits += lost * rate;
                all += rate;
            }
            vote(&mut control, lost);
        }
        assert!(lost_bits < 0.07 * all, "{lost_bits} of {all}");
        assert!(all / 194.0 > 0.9 * capacity, "{all}");
    }

    #[test]
    fn loss_that_has_nothing_to_do_with_the_rate_is_put_up_with() {
        for lost in [0.05, 0.4] {
            let mut control = control();
            for _ in 0..40 {
                vote(&mut control, lost);
            }
            assert_eq!(bits(&control), 900_000_000);
            // Until it ends.
            for _ in 0..40 {
                vote(&mut control, 0.0);
            }
            // Twice may have been the moment.
            for _ in 0..DOUBTS {
                vote(&mut control, lost);
                assert_eq!(bits(&control), 900_000_000);
            }
            vote(&mut control, lost);
            assert!(bits(&control) < 900_000_000);
        }
    }

    #[test]
    fn a_client_far_too_slow_is_not_taken_for_one_with_loss() {
        let mut control = control();
        let capacity = 30_000_000.0;
        for _ in 0..40 {
            let lost = 1.0 - capacity / bits(&control) as f64;
            vote(&mut control, lost.max(0.0));
        }
        assert!(bits(&control) < 36_000_000, "{}", bits(&control));
    }

    /// Each third verdict is about a stop of 10 ms, the others are clean: were each of the former a fall,
    /// the rate would not recover in between.
    #[test]
    fn a_machine_that_stops_now_and_then_does_not_lower_the_rate() {
        let mut control = control();
        for round in 0..60 {
            vote(&mut control, if round % 3 == 0 { 0.5 } else { 0.0 });
        }
        assert_eq!(bits(&control), 900_000_000);
    }

    #[test]
    fn a_few_percent_at_any_rate_do_not_hold_it_for_ever() {
        let mut control = control();
        for _ in 0..60 {
            vote(&mut control, 0.02);
        }
        assert_eq!(bits(&control), 900_000_000);
    }

    #[test]
    fn vague_verdicts_count_where_there_are_no_others() {
        let said = |lost, number, is_vague| Ballot {
            is_vague,
            ..ballot(lost, number, 3)
        };
        let rate_of = |vague: [bool; 3]| {
            let mut control = control();
            for _ in 0..=DOUBTS {
                for (number, is_vague) in (1..).zip(vague) {
                    let lost = if number == 1 { 0.3 } else { 0.0 };
                    control.vote(said(lost, number, is_vague));
                }
            }
            bits(&control)
        };
        assert!(rate_of([false, true, true]) < 200_000_000);
        assert!(rate_of([false, false, false]) > 200_000_000);
        assert!(rate_of([true, true, true]) > 200_000_000);
    }

    #[test]
    fn some_loss_holds_the_rate() {
        let mut control = control();
        vote(&mut control, 0.02);
        assert_eq!(bits(&control), 200_000_000);
    }

    #[test]
    fn one_bad_client_of_thirty_is_outvoted() {
        let mut control = control();
        for _ in 0..10 {
            control.vote(ballot(0.1, 1, 30));
            for number in 2..=30 {
                control.vote(ballot(0.0, number, 30));
            }
        }
        assert_eq!(bits(&control), 900_000_000);
    }

    #[test]
    fn a_host_with_many_ports_has_one_voice() {
        let mut control = control();
        for _ in 0..10 {
            for _ in 0..64 {
                control.vote(ballot(0.5, 1, 5));
            }
            for number in 2..=5 {
                control.vote(ballot(0.0, number, 5));
            }
        }
        assert_eq!(bits(&control), 900_000_000);
    }

    #[test]
    fn who_abstains_is_counted_and_changes_nothing() {
        let mut control = control();
        let abstains = Ballot {
            lost: None,
            ..ballot(0.0, 1, 2)
        };
        control.vote(ballot(0.0, 2, 2));
        control.vote(abstains);
        assert_eq!(bits(&control), 300_000_000);
        control.vote(Ballot {
            hosts: 1,
            voters: 1,
            ..abstains
        });
        assert_eq!(bits(&control), 300_000_000);
    }

    #[test]
    fn a_dead_host_is_not_waited_for() {
        let mut control = control();
        control.vote(ballot(0.0, 1, 2));
        assert_eq!(bits(&control), 200_000_000);
        control.vote(ballot(0.0, 1, 2));
        assert_eq!(bits(&control), 300_000_000);
    }

    #[test]
    fn or_decides_where_the_slowest_does() {
        let ceiling = BitRate::from_bits_per_second(900_000_000);
        let mut control = RateControl::new(RateLimits::below(ceiling), true);
        let capacity = 100_000_000.0;
        for _ in 0..60 {
            let lost = (1.0 - capacity / bits(&control) as f64).max(0.0);
            let said = |lost, number, all_judged| Ballot {
                all_judged,
                ..ballot(lost, number, 30)
            };
            control.vote(said(lost, 1, false));
            for number in 2..30 {
                control.vote(said(0.0, number, false));
            }
            // Of the new rate there is no verdict yet, if the first one has just lowered it.
            control.vote(said(0.0, 30, lost < LOW_LOSS));
        }
        let rate = bits(&control) as f64;
        assert!(rate < capacity * 1.15 && rate > capacity * 0.6, "{rate}");
    }

    #[test]
    fn a_low_ceiling_bounds_floor_and_start() {
        let limits = RateLimits::below(BitRate::from_bits_per_second(1_000_000));
        assert_eq!(limits.floor, limits.ceiling);
        assert_eq!(RateControl::new(limits, false).rate(), limits.ceiling);
    }
}
