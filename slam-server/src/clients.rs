// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who takes part in a session, and whose turn it is to be asked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use site::BitRate;
use slam_client::Timestamp;
use slam_client::wire::Nack;

use super::ahead::Ahead;
use super::evidence::Evidence;
use super::policy::{Arrivals, Progress};
use super::questions::{Horizon, Questions};
use super::sent::{Sent, Serial};
use super::turn::{Kind, Queue, Turn};
use super::view::{ClientView, Gaps};

/// Bound on memory: a client costs a few hundred bytes and the runs last sent for it.
pub(crate) const MAX_CLIENTS: usize = 4096;
/// Solicits under way at once: all answers together must not overrun a socket buffer or a ring. One
/// that was not answered in time is no longer taken for under way, or the dead of a room, and
/// requests in the name of hosts that do not exist, would keep everybody else from being asked.
const MAX_ASKED: usize = 32;
/// So many of them to clients that have never answered one, as whoever was made up never does.
const MAX_ASKED_NEW: usize = 16;
/// Those who do not answer are all together asked no more often than this.
const SPACING: Duration = Duration::from_millis(2);
/// First wait for an answer where no round trip is known.
const FIRST_PATIENCE: Duration = Duration::from_millis(10);
/// A lost solicit must be repeated long before the stock client's own retry after 250 ms.
const SHORTEST_PATIENCE: Duration = Duration::from_millis(4);
/// The same where the link is idle, and nobody else there, until the only client has answered.
const SHORTEST_PATIENCE_ALONE: Duration = Duration::from_millis(1);
/// A client that does not answer is asked this often at least.
const LONGEST_PATIENCE: Duration = Duration::from_millis(200);
/// A stock client dies of 15 s without multicast (iPXE `slam.c`, `SLAM_SLAVE_TIMEOUT` retried);
/// nobody who has been silent for longer is still there.
pub(crate) const SILENCE: Duration = Duration::from_secs(16);
/// So many who have never been asked are taken for clients in any case.
const FEW: usize = 8;
/// Whoever has not answered for so long may not be able to hear the question.
const UNHEARD: Duration = Duration::from_millis(400);
/// So many NACKs in a row with the same first gap, and a client is getting nowhere.
const STUCK: u32 = 3;
/// So many NACKs in a row that say the same, and a client is sent the blocks themselves.
const UNMOVED: u32 = 8;
/// So long without getting anything, and a client is let go if others wait for it to end.
const HOPELESS: Duration = Duration::from_mins(1);
/// Longest pause before a client is asked again whose first gap does not move.
const LONGEST_PAUSE: Duration = Duration::from_millis(256);
/// A client that speaks unasked does so after some 100 ms of silence; sooner, it is a flood.
const SHORTEST_UNASKED: Duration = Duration::from_millis(50);

/// What a run of a [`BlockSet`] takes in memory, its share of a B-tree's node included.
pub(crate) const BYTES_PER_RUN: usize = 32;

/// One client, known by the address that it speaks from.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) joined: Timestamp,
    pub(crate) ahead: Ahead,
    /// What it shows of the rate.
    pub(crate) evidence: Evidence,
    /// What it has got lately.
    pub(crate) progress: Progress,
    pub(crate) arrivals: Arrivals,
    /// The share of what was sent that reached it at its last verdict on the rate.
    pub(crate) arrives: Option<f64>,
    /// It will be moved, as it seems.
    pub(crate) leaves: bool,
    /// The share of what was sent that it has lost lately.
    pub(crate) lost: Option<f64>,
    /// What it misses, as people are shown it.
    pub(crate) gaps: Gaps,
    /// It hears what was sent from this batch on.
    pub(crate) since: Serial,
    /// How many blocks the session had sent before it can have heard one, where that is known.
    pub(crate) deaf_to: Option<u64>,
    first_missing: Option<u64>,
    /// Batches before this one were known to it when it last spoke.
    pub(crate) known_until: Serial,
    fruitless: u32,
    heard_at: Timestamp,
    /// What it last said is missing, from where and how much, and how often it said just that.
    list: (Option<u64>, u64),
    unmoved: u32,
    /// Since when.
    unmoved_since: Timestamp,
    /// It lists all its gaps, so that a misread answer would make many losses.
    pub(crate) lists: bool,
    /// Solicits that were not answered yet, the oldest first.
    questions: Questions,
    turn: Turn,
    takes_parity: bool,
    pub(crate) mobility: Mobility,
    /// When it was moved to this lane.
    pub(crate) moved: Option<Timestamp>,
}

/// Whether a client can be moved to another lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mobility {
    /// It has not said that it can.
    #[default]
    Unknown,
    /// It can.
    Able,
    /// It can, and was moved to where it heard nothing.
    Stays,
}

/// All clients of a session.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    by_address: BTreeMap<SocketAddr, Client>,
    /// How many there are at each host.
    hosts: BTreeMap<IpAddr, usize>,
    /// How many of those who answer did not say that they take parity.
    without_parity: usize,
    /// Served clients.
    served: Queue,
    /// Those who have never answered.
    new: Queue,
    /// Asked clients by the moment when they are asked again.
    asked: BTreeSet<(Timestamp, SocketAddr)>,
    /// How many of them were asked once, and how many of those have never answered.
    under_way: usize,
    under_way_new: usize,
    /// How many there are of each [`Kind`] but those who do not answer.
    answering: usize,
    unknown: usize,
}

impl Clients {
    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Hosts that they are at.
    pub(crate) fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Hosts that answer, and as many that may; no more than `most` of the former are counted. For
    /// those who never answer, nobody is to wait.
    pub(crate) fn voters(&self, most: usize) -> usize {
        let answering = self.by_address.iter();
        let answering = answering.filter(|(_, client)| client.turn.kind() == Kind::Answers);
        // They are in the order of their addresses.
        let mut last = None;
        let mut another = |address: &SocketAddr| last.replace(address.ip()) != Some(address.ip());
        let addresses = answering.map(|(address, _)| address);
        let answering = addresses
            .filter(|&address| another(address))
            .take(most)
            .count();
        answering + self.unknown.min(answering)
    }

    /// How many are to be asked from time to time: those who answer, and about as many who may.
    pub(crate) fn answering(&self) -> usize {
        self.answering + self.unknown.min(self.answering.max(FEW))
    }

    /// Bytes taken, roughly.
    pub(crate) fn memory(&self) -> usize {
        // In the map, and in two of the sets at most, each with a node's slack.
        let places = size_of::<Client>()
            + size_of::<(IpAddr, usize)>()
            + 3 * size_of::<(Timestamp, SocketAddr)>()
            + Questions::MOST_MEMORY;
        self.len() * places * 3 / 2
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub(crate) fn contains(&self, address: SocketAddr) -> bool {
        self.by_address.contains_key(&address)
    }

    /// Whether a client was asked and has not answered yet.
    pub(crate) fn is_asked(&self, address: SocketAddr) -> bool {
        let client = self.by_address.get(&address);
        client.is_some_and(|client| matches!(client.turn, Turn::Asked { .. }))
    }

    /// Notes whether a client said that it takes parity.
    pub(crate) fn note_parity(&mut self, address: SocketAddr, takes_parity: bool) {
        if let Some(client) = self.by_address.get_mut(&address) {
            let before = std::mem::replace(&mut client.takes_parity, takes_parity);
            if client.turn.kind() == Kind::Answers {
                self.without_parity -= usize::from(!before);
                self.without_parity += usize::from(!takes_parity);
            }
        }
    }

    /// Whether parity serves more than one client, and everybody. Beside clients that know nothing
    /// of it, a block that all of them lost would be sent twice: as itself and as a sum. Who has
    /// never answered may not exist, and does not know yet who asks.
    pub(crate) fn share_parity(&self) -> bool {
        self.without_parity == 0 && self.by_address.len() > 1
    }

    /// The client that is alone, if one is.
    pub(crate) fn only(&self) -> Option<&Client> {
        let mut all = self.by_address.values();
        all.next().filter(|_| all.next().is_none())
    }

    pub(crate) fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Client> {
        self.by_address.get_mut(&address)
    }

    /// Adds a client that hears what is sent from `since` on.
    pub(crate) fn add(&mut self, address: SocketAddr, since: Serial, now: Timestamp) {
        let turn = Turn::Served {
            not_before: now,
            due: now,
            new: true,
        };
        let client = Client {
            joined: now,
            ahead: Ahead::default(),
            evidence: Evidence::default(),
            progress: Progress::default(),
            arrivals: Arrivals::default(),
            arrives: None,
            leaves: false,
            lost: None,
            gaps: Gaps::default(),
            since,
            deaf_to: None,
            first_missing: None,
            known_until: since,
            fruitless: 0,
            heard_at: Timestamp::ZERO,
            list: (None, 0),
            unmoved: 0,
            unmoved_since: now,
            lists: false,
            questions: Questions::default(),
            turn,
            takes_parity: false,
            mobility: Mobility::default(),
            moved: None,
        };
        *self.hosts.entry(address.ip()).or_default() += 1;
        self.by_address.insert(address, client);
        self.enter(address, turn, false);
    }

    /// Adds a client of another lane. What it knew of what was sent there does not count here.
    pub(crate) fn take_over(
        &mut self,
        address: SocketAddr,
        from: &Client,
        since: Serial,
        now: Timestamp,
    ) {
        self.add(address, since, now);
        self.note_parity(address, from.takes_parity);
        if let Some(client) = self.by_address.get_mut(&address) {
            client.joined = from.joined;
            client.questions.take_over(&from.questions);
            client.heard_at = from.heard_at;
            client.lists = from.lists;
            client.mobility = from.mobility;
            client.gaps = from.gaps;
            client.moved = Some(now);
        }
    }

    pub(crate) fn remove(&mut self, address: SocketAddr) -> Option<Client> {
        let client = self.by_address.remove(&address)?;
        if let Some(count) = self.hosts.get_mut(&address.ip()) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&address.ip());
            }
        }
        self.leave(address, client.turn, client.takes_parity);
        Some(client)
    }

    /// Each of them, as people see it, and how many hold each of `parts`.
    pub(crate) fn view(&self, lane: usize, parts: &mut [u32], to: &mut Vec<ClientView>) {
        to.extend(self.by_address.iter().map(|(address, client)| {
            client.gaps.count_held(parts);
            ClientView {
                address: *address,
                lane,
                joined: client.joined,
                held_blocks: client.gaps.held_blocks(),
                lost: client.lost,
                stuck: client.is_stuck(),
            }
        }));
    }

    /// The largest share of what was sent that has reached a client other than `address` lately.
    pub(crate) fn best_share(&self, address: SocketAddr) -> Option<f64> {
        let share = |client: &Client| client.arrivals.last().map(|arrived| arrived.share);
        self.best_of(address, share)
    }

    /// The same at the last verdict of each.
    pub(crate) fn best_arrives(&self, address: SocketAddr) -> Option<f64> {
        self.best_of(address, |client| client.arrives)
    }

    /// The smallest share of what was sent that a client other than `address` has lost lately.
    pub(crate) fn least_lost(&self, address: SocketAddr) -> Option<f64> {
        self.of_others(address, |client| client.lost)
            .reduce(f64::min)
    }

    fn best_of(&self, besides: SocketAddr, what: impl Fn(&Client) -> Option<f64>) -> Option<f64> {
        self.of_others(besides, what).reduce(f64::max)
    }

    fn of_others(
        &self,
        besides: SocketAddr,
        what: impl Fn(&Client) -> Option<f64>,
    ) -> impl Iterator<Item = f64> {
        let others = self.by_address.iter();
        let others = others.filter(move |(other, _)| **other != besides);
        others.filter_map(move |(_, client)| what(client))
    }

    /// The most that has reached a client lately.
    pub(crate) fn best_arrived(&self) -> Option<BitRate> {
        let all = self.by_address.values();
        all.filter_map(|client| client.arrivals.last()?.goodput)
            .max()
    }

    /// The best that a client other than `address` has got lately.
    pub(crate) fn best_goodput(&self, address: SocketAddr) -> Option<BitRate> {
        let others = self
            .by_address
            .iter()
            .filter(|(other, _)| **other != address);
        others
            .filter_map(|(_, client)| client.progress.goodput())
            .max()
    }

    /// Whether there is a verdict of each client's for what was sent from `epoch` on.
    pub(crate) fn all_judged_since(&self, epoch: Serial) -> bool {
        let mut clients = self.by_address.values();
        clients.all(|client| client.evidence.is_judged_since(epoch))
    }

    /// Clients that were last heard before `moment`.
    pub(crate) fn not_heard_since(&self, moment: Timestamp) -> Vec<SocketAddr> {
        let silent = self
            .by_address
            .iter()
            .filter(|(_, client)| client.heard_at < moment);
        silent.map(|(address, _)| *address).collect()
    }

    /// Notes that `address` said `nack`; what it can have known of when it did. `None` if it speaks
    /// so soon again that there is nothing to learn.
    pub(crate) fn heard(
        &mut self,
        address: SocketAddr,
        nack: &Nack,
        sent: &Sent,
        now: Timestamp,
    ) -> Option<Horizon> {
        let client = self.by_address.get_mut(&address)?;
        client.questions.forget(now);
        let unasked = client.questions.is_empty();
        if unasked
            && client.heard_at > Timestamp::ZERO
            && now.since(client.heard_at) < SHORTEST_UNASKED
        {
            return None;
        }
        client.heard_at = now;
        Some(client.questions.answered(nack, sent, client.lists, now))
    }

    /// Notes what `address` said: its first missing block, which was last sent by `last_sent`, and
    /// what it knew of. It is asked again after `interval` at the latest.
    pub(crate) fn served(
        &mut self,
        address: SocketAddr,
        first_missing: Option<u64>,
        last_sent: Option<Serial>,
        horizon: Serial,
        interval: Duration,
        now: Timestamp,
    ) {
        let Some(client) = self.by_address.get_mut(&address) else {
            return;
        };
        // Sent again since it last spoke, and still missing: that was in vain.
        let in_vain = |sent| (client.known_until..horizon).contains(&sent);
        // Other blocks than the first one may have arrived.
        if client.first_missing != first_missing || client.lists && client.unmoved == 0 {
            client.fruitless = 0;
        } else if last_sent.is_some_and(in_vain) {
            client.fruitless = client.fruitless.saturating_add(1);
        }
        client.first_missing = first_missing;
        client.known_until = client.known_until.max(horizon);
        let pause = match client.fruitless {
            0 => Duration::ZERO,
            times => Duration::from_millis(1u64 << times.min(16)).min(LONGEST_PAUSE),
        };
        let turn = Turn::Served {
            not_before: now + pause,
            due: now + pause.max(interval),
            new: client.questions.round_trip().is_none(),
        };
        self.set_turn(address, turn);
    }

    /// The next client to ask: of all where nothing is left to send or can be (`at_once`), otherwise
    /// of those whose moment has come. What leaves from `next` on, it cannot answer for.
    pub(crate) fn ask_next(
        &mut self,
        at_once: bool,
        next: Serial,
        now: Timestamp,
    ) -> Option<SocketAddr> {
        let (moment, address) = self.next_served(at_once)?;
        if moment > now {
            return None;
        }
        let is_alone = self.by_address.len() == 1;
        let client = self.by_address.get_mut(&address)?;
        client.questions.note(next, now);
        let turn = Turn::Asked {
            first: now,
            tries: 1,
            again: now + client.patience(at_once, is_alone),
            new: client.questions.round_trip().is_none(),
        };
        self.set_turn(address, turn);
        Some(address)
    }

    /// Who is asked next, and when, if one more may be.
    fn next_served(&self, at_once: bool) -> Option<(Timestamp, SocketAddr)> {
        if self.under_way >= MAX_ASKED {
            return None;
        }
        let may_ask_new = self.under_way_new < MAX_ASKED_NEW;
        let new = self.new.first(at_once).filter(|_| may_ask_new);
        self.served.first(at_once).into_iter().chain(new).min()
    }

    /// How long those who do not answer are left alone at least.
    fn shortest_pause(&self) -> Duration {
        let lost = self.asked.len().saturating_sub(self.under_way);
        SPACING * u32::try_from(lost).unwrap_or(u32::MAX)
    }

    /// The next client to ask again: it, or our solicit, or its answer got lost.
    pub(crate) fn ask_again(
        &mut self,
        nothing_to_send: bool,
        next: Serial,
        now: Timestamp,
    ) -> Option<SocketAddr> {
        let &(again, address) = self.asked.first()?;
        if again > now {
            return None;
        }
        let shortest = self.shortest_pause();
        let is_alone = self.by_address.len() == 1;
        let client = self.by_address.get_mut(&address)?;
        let Turn::Asked {
            first, tries, new, ..
        } = client.turn
        else {
            return None;
        };
        client.questions.note(next, now);
        let patience = client
            .patience(nothing_to_send, is_alone)
            .saturating_mul(1 << tries.min(10))
            .min(LONGEST_PATIENCE)
            .max(shortest);
        let turn = Turn::Asked {
            first,
            tries: tries + 1,
            again: now + patience,
            new,
        };
        self.set_turn(address, turn);
        Some(address)
    }

    /// Until when the only client's answer to a question of before may still come, if one may.
    pub(crate) fn only_answers_by(&self, now: Timestamp) -> Option<Timestamp> {
        let client = self.only()?;
        let until = client.questions.last()? + client.patience(true, true);
        (now < until).then_some(until)
    }

    /// Begins anew to ask the only client there is, if it has been asked: nothing is sent meanwhile.
    pub(crate) fn ask_only_one_again(&mut self, now: Timestamp) {
        let Some(&(_, address)) = self.asked.first() else {
            return;
        };
        let Turn::Asked {
            first, again, new, ..
        } = self.by_address[&address].turn
        else {
            return;
        };
        let turn = Turn::Asked {
            first,
            tries: 1,
            again: again.min(now + self.by_address[&address].patience(true, true)),
            new,
        };
        self.set_turn(address, turn);
    }

    /// Clients that were asked a while ago, again and again, and have not answered.
    pub(crate) fn unheard(&self, now: Timestamp) -> Vec<SocketAddr> {
        let asked = self.asked.iter().map(|&(_, address)| address);
        asked
            .filter(|address| match self.by_address[address].turn {
                Turn::Asked { first, .. } => now.since(first) >= UNHEARD,
                Turn::Served { .. } => false,
            })
            .collect()
    }

    /// Notes that a client is asked at a quiet moment: whatever it says speaks of all before
    /// `next`.
    pub(crate) fn ask_anew(&mut self, address: SocketAddr, next: Serial, now: Timestamp) {
        let shortest = self.shortest_pause();
        let Some(client) = self.by_address.get_mut(&address) else {
            return;
        };
        let Turn::Asked {
            first, tries, new, ..
        } = client.turn
        else {
            return;
        };
        client.questions.clear();
        client.questions.note(next, now);
        let turn = Turn::Asked {
            first,
            tries: tries + 1,
            again: now + shortest.max(LONGEST_PATIENCE),
            new,
        };
        self.set_turn(address, turn);
    }

    /// A client whose next solicit is due and that has answered none for [`SILENCE`]; for how
    /// long.
    pub(crate) fn find_silent(&self, now: Timestamp) -> Option<(SocketAddr, Duration)> {
        let &(again, address) = self.asked.first()?;
        match self.by_address[&address].turn {
            Turn::Asked { first, .. } if again <= now && now.since(first) >= SILENCE => {
                Some((address, now.since(first)))
            }
            _ => None,
        }
    }

    /// When somebody must be asked next; those who were served only if nothing is left to send.
    pub(crate) fn next_deadline(&self, nothing_to_send: bool) -> Option<Timestamp> {
        let served = self.next_served(true).filter(|_| nothing_to_send);
        let served = served.map(|(at, _)| at);
        let asked = self.asked.first().map(|&(at, _)| at);
        served.into_iter().chain(asked).min()
    }

    fn set_turn(&mut self, address: SocketAddr, turn: Turn) {
        let Some(client) = self.by_address.get_mut(&address) else {
            return;
        };
        let before = std::mem::replace(&mut client.turn, turn);
        let takes_parity = client.takes_parity;
        self.leave(address, before, takes_parity);
        self.enter(address, turn, takes_parity);
    }

    fn enter(&mut self, address: SocketAddr, turn: Turn, takes_parity: bool) {
        let answers = turn.kind() == Kind::Answers;
        self.answering += usize::from(answers);
        self.without_parity += usize::from(answers && !takes_parity);
        self.unknown += usize::from(turn.kind() == Kind::Unknown);
        match turn {
            Turn::Served {
                not_before,
                due,
                new,
            } => {
                let queue = self.queue(new);
                queue.free.insert((not_before, address));
                queue.due.insert((due, address));
            }
            Turn::Asked {
                again, tries, new, ..
            } => {
                self.asked.insert((again, address));
                self.under_way += usize::from(tries == 1);
                self.under_way_new += usize::from(tries == 1 && new);
            }
        }
    }

    fn leave(&mut self, address: SocketAddr, turn: Turn, takes_parity: bool) {
        let answers = turn.kind() == Kind::Answers;
        self.answering -= usize::from(answers);
        self.without_parity -= usize::from(answers && !takes_parity);
        self.unknown -= usize::from(turn.kind() == Kind::Unknown);
        match turn {
            Turn::Served {
                not_before,
                due,
                new,
            } => {
                let queue = self.queue(new);
                queue.free.remove(&(not_before, address));
                queue.due.remove(&(due, address));
            }
            Turn::Asked {
                again, tries, new, ..
            } => {
                self.asked.remove(&(again, address));
                self.under_way -= usize::from(tries == 1);
                self.under_way_new -= usize::from(tries == 1 && new);
            }
        }
    }

    fn queue(&mut self, new: bool) -> &mut Queue {
        if new { &mut self.new } else { &mut self.served }
    }
}

impl Client {
    /// Notes how much is missing, and from where.
    pub(crate) fn note_list(&mut self, first: Option<u64>, blocks: u64, now: Timestamp) {
        let same = std::mem::replace(&mut self.list, (first, blocks)) == (first, blocks);
        if !same {
            self.unmoved_since = now;
        }
        self.unmoved = if same {
            self.unmoved.saturating_add(1)
        } else {
            0
        };
    }

    /// Notes what share it has lost of what a verdict is about.
    pub(crate) fn note_lost(&mut self, lost: f64) {
        // A verdict is about some 400 blocks: the last few together say how it fares.
        self.lost = Some(self.lost.map_or(lost, |known| known * 0.7 + lost * 0.3));
    }

    /// Whether it has said the same so often that sums do not seem to help it.
    pub(crate) fn is_unmoved(&self) -> bool {
        self.unmoved >= UNMOVED
    }

    /// Whether it has got nothing of what it was sent for long, and says so.
    pub(crate) fn is_hopeless(&self, now: Timestamp) -> bool {
        self.is_stuck() && self.is_unmoved() && now.since(self.unmoved_since) >= HOPELESS
    }

    /// Whether what is sent to it does not seem to arrive.
    pub(crate) fn is_stuck(&self) -> bool {
        self.fruitless >= STUCK
    }

    /// The shortest time from a solicit to its answer, in which no queue took part.
    pub(crate) fn shortest_round_trip(&self) -> Duration {
        self.questions
            .round_trip()
            .map_or(Duration::ZERO, |known| known.shortest)
    }

    /// The usual time from a solicit to its answer.
    pub(crate) fn round_trip(&self) -> Duration {
        self.questions
            .round_trip()
            .map_or(Duration::ZERO, |known| known.smoothed)
    }

    /// The first block that it asked for when it last spoke.
    pub(crate) fn first_missing(&self) -> Option<u64> {
        self.first_missing
    }

    /// How long to wait for an answer before asking again. Where nothing else is to be done, a
    /// question too many costs next to nothing, and the silence after a lost one costs time.
    fn patience(&self, nothing_to_send: bool, is_alone: bool) -> Duration {
        let shortest = if nothing_to_send && is_alone {
            SHORTEST_PATIENCE_ALONE
        } else {
            SHORTEST_PATIENCE
        };
        self.questions
            .round_trip()
            .map_or(FIRST_PATIENCE, |known| {
                if nothing_to_send && is_alone {
                    known.smoothed.min(SHORTEST_PATIENCE)
                } else if nothing_to_send {
                    known.shortest * 2
                } else {
                    known.smoothed * 3
                }
            })
            .clamp(shortest, LONGEST_PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slam_client::BlockSet;
    use slam_client::wire::MAX_NACK_LEN;

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_start(Duration::from_millis(ms))
    }

    fn address(number: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], number))
    }

    const LATER: Duration = Duration::from_secs(1);

    /// Of ten blocks, those from `first` on are missing.
    fn nack(first: u64) -> Nack {
        Nack::for_gaps(&BlockSet::from_run(0..first), 10, MAX_NACK_LEN)
    }

    /// `address` says that `missing` is missing, which was just sent by `sent`.
    fn answer(clients: &mut Clients, address: SocketAddr, missing: u64, now: Timestamp) {
        let mut sent = Sent::of(10);
        sent.note(&(0..10), now);
        clients.heard(address, &nack(missing), &sent, now);
        let (missing, horizon) = (Some(missing), sent.next());
        clients.served(address, missing, sent.last(0), horizon, LATER, now);
    }

    #[test]
    fn a_lost_solicit_is_repeated_soon_and_silence_ends_it() {
        let mut clients = Clients::default();
        clients.add(address(1), Serial::NEVER, at(0));
        assert_eq!(
            clients.ask_next(true, Serial::NEVER, at(0)),
            Some(address(1))
        );
        assert_eq!(clients.ask_again(true, Serial::NEVER, at(9)), None);
        assert_eq!(clients.next_deadline(true), Some(at(10)));
        assert_eq!(
            clients.ask_again(true, Serial::NEVER, at(10)),
            Some(address(1))
        );
        assert_eq!(clients.ask_again(true, Serial::NEVER, at(29)), None);
        assert_eq!(
            clients.ask_again(true, Serial::NEVER, at(30)),
            Some(address(1))
        );
        let mut asked = 0;
        let mut now = at(30);
        while clients.find_silent(now).is_none() {
            now = clients.next_deadline(true).unwrap();
            if clients.find_silent(now).is_none() {
                assert_eq!(
                    clients.ask_again(true, Serial::NEVER, now),
                    Some(address(1))
                );
                asked += 1;
            }
        }
        assert!(
            (16_000..17_000).contains(&now.since_start().as_millis()),
            "{now:?}"
        );
        assert!((75..90).contains(&asked), "{asked}");
    }

    fn ask(clients: &mut Clients, now: Timestamp) -> Vec<SocketAddr> {
        std::iter::from_fn(|| clients.ask_next(true, Serial::NEVER, now)).collect()
    }

    #[test]
    fn few_are_asked_at_a_time() {
        let mut clients = Clients::default();
        for number in 0..100 {
            clients.add(address(number), Serial::NEVER, at(0));
        }
        // Those of whom nobody knows whether they exist have half the places.
        let asked = ask(&mut clients, at(1));
        assert_eq!(asked.len(), MAX_ASKED_NEW);
        for address in asked {
            answer(&mut clients, address, 5, at(1));
        }
        for round in 2..20 {
            for address in ask(&mut clients, at(round)) {
                answer(&mut clients, address, round % 10, at(round));
            }
        }
        assert_eq!((clients.answering, clients.unknown), (100, 0));
        assert_eq!(ask(&mut clients, at(1000)).len(), MAX_ASKED);
        answer(&mut clients, address(0), 5, at(1001));
        assert_eq!(ask(&mut clients, at(1001)).len(), 1);
        // Nobody else answers: they are asked again, but not waited for.
        while clients.ask_again(true, Serial::NEVER, at(1005)).is_some() {}
        assert_eq!(ask(&mut clients, at(1005)).len(), MAX_ASKED);
    }

    /// However many there are, all together they are asked no more often than every 2 ms.
    #[test]
    fn those_who_do_not_answer_are_asked_ever_more_rarely() {
        let mut clients = Clients::default();
        for number in 0..2000 {
            clients.add(address(number), Serial::NEVER, at(0));
        }
        let mut asked = 0;
        for ms in 0..15_000 {
            let now = at(ms);
            while clients.ask_next(false, Serial::NEVER, now).is_some() {}
            while clients.ask_again(false, Serial::NEVER, now).is_some() {
                asked += u32::from(ms >= 5000);
            }
        }
        assert!((4500..5500).contains(&asked), "{asked} in ten seconds");
        assert!(clients.find_silent(at(15_900)).is_none());
        let silent = std::iter::from_fn(|| {
            let (address, _) = clients.find_silent(at(21_500))?;
            clients.remove(address)
        });
        assert_eq!(silent.count(), 2000);
    }

    #[test]
    fn while_something_is_sent_only_those_are_asked_whose_moment_has_come() {
        let mut clients = Clients::default();
        clients.add(address(1), Serial::NEVER, at(0));
        assert!(clients.ask_next(false, Serial::NEVER, at(0)).is_some());
        answer(&mut clients, address(1), 5, at(1));
        assert_eq!(clients.ask_next(false, Serial::NEVER, at(2)), None);
        assert!(
            clients
                .ask_next(false, Serial::NEVER, at(1) + LATER)
                .is_some()
        );
    }

    #[test]
    fn an_answer_speaks_of_all_before_its_first_solicit() {
        let mut sent = Sent::of(10);
        let mut clients = Clients::default();
        clients.add(address(1), Serial::NEVER, at(0));
        clients.ask_next(true, sent.next(), at(100));
        let asked = Horizon::Asked(sent.next());
        sent.note(&(0..1), at(101));
        assert_eq!(
            clients.heard(address(1), &nack(1), &sent, at(102)),
            Some(asked)
        );
        clients.served(address(1), Some(1), None, sent.next(), LATER, at(102));
        // Twice: there is nothing to learn.
        assert_eq!(clients.heard(address(1), &nack(1), &sent, at(103)), None);

        // Asked three times: it may answer the first. When it comes, the others are still open.
        clients.ask_next(true, sent.next(), at(300));
        let first = Horizon::Asked(sent.next());
        sent.note(&(1..2), at(301));
        assert!(clients.ask_again(true, sent.next(), at(310)).is_some());
        sent.note(&(2..3), at(311));
        assert!(clients.ask_again(true, sent.next(), at(330)).is_some());
        let third = Horizon::Asked(sent.next());
        sent.note(&(3..4), at(331));
        assert_eq!(
            clients.heard(address(1), &nack(1), &sent, at(332)),
            Some(first)
        );
        // It holds what left after the second.
        assert_eq!(
            clients.heard(address(1), &nack(3), &sent, at(333)),
            Some(third)
        );
        clients.served(address(1), Some(3), None, sent.next(), LATER, at(333));
        // Unasked, a round trip (2.125 ms) is taken.
        assert_eq!(
            clients.heard(address(1), &nack(3), &sent, at(400)),
            Some(Horizon::Spoke(at(400) - Duration::from_micros(2125)))
        );
    }

    #[test]
    fn a_client_that_gets_nowhere_is_asked_less_and_less_often() {
        let mut clients = Clients::default();
        clients.add(address(1), Serial::NEVER, at(0));
        let mut now = at(0);
        let mut sent = Sent::of(10);
        for _ in 0..20 {
            now = clients.next_deadline(true).unwrap().max(now);
            sent.note(&(0..1), now);
            assert_eq!(clients.ask_next(true, sent.next(), now), Some(address(1)));
            now += Duration::from_micros(100);
            clients.heard(address(1), &nack(0), &sent, now);
            clients.served(address(1), Some(0), sent.last(0), sent.next(), LATER, now);
        }
        assert!(now.since_start() > Duration::from_secs(2), "{now:?}");
        assert!(clients.get_mut(address(1)).unwrap().is_stuck());
    }

    #[test]
    fn a_client_that_says_the_same_again_and_again_is_noticed() {
        let mut clients = Clients::default();
        clients.add(address(1), Serial::NEVER, at(0));
        let client = clients.get_mut(address(1)).unwrap();
        for _ in 0..UNMOVED {
            client.note_list(Some(5), 33, at(0));
            assert!(!client.is_unmoved());
        }
        client.note_list(Some(5), 33, at(0));
        assert!(client.is_unmoved());
        client.note_list(Some(5), 32, at(0));
        assert!(!client.is_unmoved());
    }

    #[test]
    fn waiting_for_what_was_not_sent_is_not_getting_nowhere() {
        let mut clients = Clients::default();
        clients.add(address(1), Serial::NEVER, at(0));
        for ms in (100..2000).step_by(100) {
            clients.ask_next(true, Serial::NEVER, at(ms));
            clients.heard(address(1), &nack(0), &Sent::of(10), at(ms));
            clients.served(address(1), Some(0), None, Serial::NEVER, LATER, at(ms));
        }
        assert!(!clients.get_mut(address(1)).unwrap().is_stuck());
    }
}
