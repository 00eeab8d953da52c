// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client's NACK makes a session do: whom to admit, what to repair, how far to send ahead.

use std::net::SocketAddr;
use std::time::Duration;

use site::SlowClients;
use slam_client::wire::Nack;
use slam_client::{BlockSet, Timestamp};

use super::super::ahead::{Context, STOCK_GAP, Want};
use super::super::clients::{MAX_CLIENTS, Mobility};
use super::super::evidence::Verdict;
use super::super::policy::{self, Pace};
use super::super::questions::Horizon;
use super::super::rate::{Ballot, LOW_LOSS, QUORUM};
use super::super::reading::Sample;
use super::super::sent::Serial;
use super::{Rejection, Session, SessionEvent};

/// How often a client is asked while blocks are sent: often enough to find the rate quickly and
/// to have more ready before what is to be sent runs out.
const INTERVAL: Duration = Duration::from_millis(10);
/// All clients of a large room together are asked no more often than once for so many blocks.
const BLOCKS_PER_QUESTION: u64 = 40;
/// The same while the rate rises for the first time: there are few blocks yet, and a vote is several
/// answers.
const BLOCKS_PER_QUESTION_RISING: u64 = 8;
/// Blocks are ready for so many intervals.
const WINDOW: u32 = 2;
/// A client that has just joined heard what was sent so shortly before.
const JOINING: Duration = Duration::from_millis(5);
/// Longer than a first NACK waits in our socket while its client hears blocks already.
const QUEUED: Duration = Duration::from_millis(400);

/// What a client has lost beyond this, and beyond so many times what the best of the others has, is
/// repaired when they have been served.
const MUCH_LOSS: f64 = 0.02;
const FAR_MORE: f64 = 3.0;

/// A list of more gaps is most likely one that does not fit a datagram.
const FULL: usize = 400;

impl Session {
    /// Judges a client by what it holds; whether it was dropped.
    fn judge(&mut self, from: SocketAddr, nack: &Nack, now: Timestamp) -> bool {
        if !matches!(self.slow_clients, SlowClients::DropBelow(_)) {
            return false;
        }
        let size = u64::from(self.header.block_size().get());
        let (count, total) = (self.header.block_count(), self.header.total_bytes());
        let held = policy::held(nack, count, size).min(total);
        let sent = self.totals.sent_bytes;
        let Some(client) = self.clients.get_mut(from) else {
            return false;
        };
        let Some(stretch) = client.progress.note(held, total, sent, now) else {
            return false;
        };
        let best = self.clients.best_goodput(from);
        if !policy::drops(self.slow_clients, stretch, best) {
            return false;
        }
        if let Some(left) = self.clients.remove(from) {
            self.dismiss(from, &left, false, now);
        }
        true
    }

    /// Notes a client that does not fit this lane, if it can be moved. What the others get may be
    /// known later than what it got.
    fn judge_pace(&mut self, from: SocketAddr, nack: &Nack, asked: Serial, now: Timestamp) {
        let (sent, count) = (self.totals.sent_bytes, self.header.block_count());
        let Some(client) = self.clients.get_mut(from) else {
            return;
        };
        client.arrivals.reading.start_at(client.since);
        if nack.missing().run_count() > FULL && nack.extent() < count {
            // Of what was sent lately, such a list says nothing.
            let (blocks, lost) = (nack.extent(), nack.missing().len());
            client.arrivals.note(
                Sample {
                    blocks,
                    lost,
                    ..Sample::default()
                },
                sent,
                now,
            );
        } else if let Some(sample) = client.arrivals.reading.read(nack, &self.sent, asked, count) {
            client.arrivals.note(sample, sent, now);
        }
        if client.mobility != Mobility::Able {
            return;
        }
        let long_ago = |moved: Timestamp| now.since(moved) >= policy::WATCHED_WHERE_MOVED;
        if client.moved.is_some_and(long_ago) && client.is_stuck() && client.is_unmoved() {
            self.out_of_pace.push_back((from, Pace::Deaf));
            return;
        }
        if client
            .moved
            .is_some_and(|moved| now.since(moved) < policy::SETTLING)
        {
            return;
        }
        let Some(last) = client.arrivals.last() else {
            return;
        };
        let pace = policy::moves(last, || self.clients.best_share(from));
        self.out_of_pace.extend(pace.map(|pace| (from, pace)));
    }

    /// Whether a client that has lost this share of what was sent at the present rate will most
    /// likely be moved: the rate of this lane is not its business.
    fn will_move(&mut self, from: SocketAddr, lost: f64) -> bool {
        if !matches!(self.slow_clients, SlowClients::Split(_)) {
            return false;
        }
        let Some(client) = self.clients.get_mut(from) else {
            return false;
        };
        client.arrives = Some(1.0 - lost);
        let may_move = client.mobility == Mobility::Able && !self.is_last;
        let slow = |best: f64| policy::is_share_out_of_pace(1.0 - lost, best);
        let leaves = may_move && slow(1.0) && self.clients.best_arrives(from).is_some_and(slow);
        if let Some(client) = self.clients.get_mut(from) {
            client.leaves = leaves;
        }
        leaves
    }

    /// Whether a client has lost far more lately than the best of the others: what it takes to
    /// repair that is not to hold them up.
    fn loses_far_more(&mut self, from: SocketAddr) -> bool {
        if self.slow_clients == SlowClients::Cap {
            return false;
        }
        let lost = self.clients.get_mut(from).and_then(|client| client.lost);
        let Some(lost) = lost.filter(|&lost| lost > MUCH_LOSS) else {
            return false;
        };
        let least = self.clients.least_lost(from);
        least.is_some_and(|least| lost > MUCH_LOSS + least * FAR_MORE)
    }

    pub(super) fn handle_nack(&mut self, from: SocketAddr, nack: &Nack, now: Timestamp) {
        let count = self.header.block_count();
        let first = nack.missing().runs().next().map(|run| run.start);
        if !self.clients.contains(from) {
            if let Some(found) = first.filter(|&first| first >= count) {
                // A client of an earlier, longer content must learn of the new header; a stranger
                // costs us nothing.
                self.reject(from, Rejection::PastTheEnd { found, count });
                return;
            }
            if let Some(untold) = self.dropped.get_mut(&from) {
                // It did not hear that.
                *untold = true;
                self.reject(from, Rejection::Dropped);
                return;
            }
            if self.last_call {
                self.reject(from, Rejection::Replaced);
                return;
            }
            if self.clients.len() >= MAX_CLIENTS {
                self.reject(from, Rejection::TooManyClients);
                return;
            }
            if self.begin(now) {
                let begins = if self.room.enter(now) {
                    SessionEvent::Started
                } else {
                    SessionEvent::Waiting(self.room.start())
                };
                self.tell(begins);
            }
            let since = self.sent.since(now - JOINING);
            self.clients.add(from, since, now);
            self.rate.joined(self.clients.hosts(), self.sent.next());
            // Whoever asks for block 0 and names no other knows no header: it holds nothing.
            if nack.extent() == 1
                && let Some(client) = self.clients.get_mut(from)
            {
                let heard = self.sent.since(now - QUEUED);
                let heard = self.sent.blocks_between(heard, self.sent.next());
                client.deaf_to = Some(self.totals.sent_blocks - heard);
            }
            self.tell(SessionEvent::ClientJoined(from));
        }
        let asked = match self.clients.heard(from, nack, &self.sent, now) {
            None => return,
            Some(Horizon::Asked(serial)) => serial,
            Some(Horizon::Spoke(moment)) => self.sent.since(moment),
        };
        if self.room.is_waiting() {
            let last_sent = first.and_then(|first| self.sent.last(first));
            self.clients
                .served(from, first, last_sent, asked, Duration::ZERO, now);
            return;
        }
        if self.judge(from, nack, now) {
            return;
        }
        let present = self.clients.len();
        let answering = self.clients.answering();
        self.clients.note_parity(from, nack.takes_parity());
        let share_parity = self.clients.share_parity();
        let is_bad = self.loses_far_more(from);
        let Some(client) = self.clients.get_mut(from) else {
            return;
        };
        if nack.can_move() && client.mobility == Mobility::Unknown {
            client.mobility = Mobility::Able;
        }
        client.gaps.learn(nack, count);
        client.lists |= nack.missing().run_count() > 1 || nack.missing().len() > STOCK_GAP;
        client
            .evidence
            .start_at(self.rate.epoch().max(client.since));
        if present == 1 {
            let under_way = self
                .sent
                .blocks_between(client.known_until, self.sent.next());
            self.reach
                .answered(self.totals.sent_blocks - under_way, now);
        } else {
            self.reach.forget_speed();
        }
        let rising = self.rate.is_rising();
        let verdict = client.evidence.hear(nack, &self.sent, asked, count, rising);
        if let Some(Verdict { lost, .. }) = verdict {
            client.note_lost(lost);
        }
        if matches!(self.slow_clients, SlowClients::Split(_)) {
            self.judge_pace(from, nack, asked, now);
        }
        if let Some(Verdict { lost, is_vague }) = verdict {
            let cap = self.slow_clients == SlowClients::Cap;
            let is_bad = self.rate.is_bad(lost);
            let client = self.clients.get_mut(from);
            let doubts = cap && client.is_some_and(|client| client.evidence.is_first_bad(is_bad));
            let all_judged = !cap || self.clients.all_judged_since(self.rate.epoch());
            let lost = (!self.will_move(from, lost) && !doubts).then_some(lost);
            // Where the only client's answers decide what is sent, that all of it arrives says nothing for a
            // higher rate.
            let lost = lost.filter(|&lost| lost >= LOW_LOSS || !self.is_held_back());
            self.rate.vote(Ballot {
                lost,
                is_vague,
                host: from.ip(),
                hosts: self.clients.hosts(),
                voters: self.clients.voters(QUORUM),
                next: self.sent.next(),
                all_judged,
            });
        }
        let Some(client) = self.clients.get_mut(from) else {
            return;
        };
        let rate = self.rate.rate();
        let each = if self.rate.is_climbing() {
            BLOCKS_PER_QUESTION_RISING
        } else {
            BLOCKS_PER_QUESTION
        };
        let interval = self
            .pacer
            .time_for(each * answering as u64, rate)
            .max(INTERVAL);
        let round_trip = client.round_trip();
        let window = self.pacer.blocks_in(rate, (interval + round_trip) * WINDOW);
        // While nothing else is sent, half a round trip of blocks that it may hold costs what
        // asking would; but the link is everybody's.
        let worth_a_question = if self.demand.is_empty() {
            self.pacer.blocks_in(rate, round_trip / 2) / present as u64
        } else {
            0
        };
        let Want {
            mut repairs,
            mut fresh,
        } = client.ahead.want(
            nack,
            &Context {
                sent: &self.sent,
                demand: &self.demand,
                joined: client.since,
                asked,
                count,
                window,
                worth_a_question,
            },
        );
        if !repairs.is_empty() {
            self.reach.disturb(now);
        }
        let followed = client.ahead.is_followed(count);
        client.note_list(first, nack.missing().len(), now);
        let is_full = client.lists && nack.missing().run_count() > 1 && nack.extent() < count;
        let waits = is_full && present > 1 && self.slow_clients != SlowClients::Cap;
        if waits {
            // It misses more than fits a list: the others do not wait for all that.
            fresh.union_with(&std::mem::take(&mut repairs));
        } else if is_bad && client.lists && self.demand.has_fresh() {
            // Nor do they for what it loses again and again. It will name all that once they have
            // been served, and sums may do then; or the carousel brings it.
            let repairs = std::mem::take(&mut repairs);
            if !share_parity {
                fresh.union_with(&repairs);
            }
        }
        if client.leaves && present > 1 {
            // It gets all that where it goes.
            repairs = BlockSet::new();
            fresh = BlockSet::new();
        }
        if share_parity && !waits && !client.is_unmoved() {
            // What was sent before it first spoke it may have heard but for a few blocks, too.
            self.demand.subtract_repairs_from(&mut repairs);
            self.demand.subtract_from(&mut fresh);
            let mut both = repairs;
            both.union_with(&fresh);
            self.repair.replace(&mut both, nack, asked, &self.demand);
            repairs = both.clone();
            repairs.subtract(&fresh);
            fresh = both;
            fresh.subtract(&repairs);
        }
        self.demand.repair(&repairs);
        self.demand.add(&fresh);
        let again = if !repairs.is_empty() && !client.lists {
            // As soon as that is sent: of what lies beyond, it has said nothing yet.
            Duration::ZERO
        } else if followed {
            // Before what is ready for it is sent.
            let half = self.pacer.time_for(self.demand.len() / 2, rate);
            half.min(interval)
        } else {
            interval
        };
        let hopeless = client.is_hopeless(now);
        let last_sent = first.and_then(|first| self.sent.last(first));
        self.clients
            .served(from, first, last_sent, asked, again, now);
        if self.last_call && hopeless {
            // Others wait for this content to end.
            if let Some(left) = self.clients.remove(from) {
                self.dismiss(from, &left, false, now);
            }
        }
    }
}
