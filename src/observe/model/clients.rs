// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines: by their cards, their addresses, and the ports that they receive by.
//!
//! DHCP knows cards, HTTP addresses, and SLAM ports; who is who is learnt as it goes, and what was
//! known of two that turn out to be one is joined.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use site::Mac;

use super::download::Download;
use super::{Moment, rfc3339};
use crate::observe::status::{ClientState, ClientStatus, Failure, RecordClient};
use crate::slam::ClientView;

/// Machines that are kept; beyond, those that were heard longest ago are forgotten.
pub(super) const MOST: usize = 8192;
/// How many more there are before somebody is forgotten: it is looked for in all of them.
const SLACK: usize = 512;
/// Addresses whose cards are asked for: those heard so lately.
const LATELY: Duration = Duration::from_secs(10);
/// What rates of clients are smoothed over.
const SMOOTHED: f64 = 3.0;

#[derive(Debug, Default)]
pub(super) struct Clients {
    all: BTreeMap<u64, Client>,
    macs: HashMap<Mac, u64>,
    addresses: HashMap<IpAddr, u64>,
    /// Those that take part in a transfer; a port of an address is in one at a time.
    ports: HashMap<SocketAddr, u64>,
    names: HashMap<Mac, String>,
    next: u64,
}

/// What a client is doing, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doing {
    state: ClientState,
    detail: String,
}

impl Doing {
    pub(super) fn new(state: ClientState, detail: String) -> Doing {
        Doing { state, detail }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    mac: Option<Mac>,
    address: Option<IpAddr>,
    arch: Option<String>,
    pub(super) program: Option<String>,
    /// Its own word for itself, which anybody may claim.
    pub(super) calls_itself: Option<String>,
    doing: Doing,
    pub(super) boots: Option<String>,
    part: Option<Part>,
    /// What it downloads over HTTP, or did last.
    pub(super) download: Option<Download>,
    pub(super) failure: Option<Failure>,
    seen: Moment,
}

/// Its part in a transfer, under way or over.
#[derive(Debug)]
struct Part {
    transfer: String,
    socket: SocketAddr,
    since: Moment,
    /// `None`: it goes on.
    took: Option<Duration>,
    lane: usize,
    held: u64,
    total: u64,
    bits_per_second: f64,
    lost: Option<f64>,
    at: Moment,
}

impl Client {
    fn new(now: Moment) -> Client {
        Client {
            mac: None,
            address: None,
            arch: None,
            program: None,
            calls_itself: None,
            doing: Doing::new(ClientState::Starting, String::new()),
            boots: None,
            part: None,
            download: None,
            failure: None,
            seen: now,
        }
    }

    pub(super) fn does(&mut self, doing: Doing) {
        self.doing = doing;
    }

    pub(super) fn asks_with(&mut self, arch: String, program: String) {
        self.arch = Some(arch);
        // A version, learnt by HTTP, says more than DHCP does.
        let versioned = |known: &String| known.starts_with("iPXE/") && program.starts_with("iPXE");
        if !self.program.as_ref().is_some_and(versioned) {
            self.program = Some(program);
        }
    }

    /// It has so much of a file, over HTTP.
    pub(super) fn downloads(&mut self, file: &str, held: u64, bytes: u64, now: Moment) {
        let same = self.download.as_mut().filter(|known| known.is_of(file));
        match same {
            Some(download) => download.reaches(held, now),
            None => self.download = Some(Download::new(file, held, bytes, now)),
        }
        if !self.is_taking_part() {
            let detail = format!("downloads {file} over HTTP");
            self.does(Doing::new(ClientState::Loading, detail));
        }
    }

    /// It has all of a file, or takes no more than so much.
    pub(super) fn downloaded(&mut self, file: &str, broke_off_at: Option<u64>, now: Moment) {
        if let Some(download) = self.download.as_mut().filter(|known| known.is_of(file)) {
            download.end(broke_off_at, now);
        }
        if !self.is_taking_part() {
            let what = broke_off_at.map_or("has", |_| "broke off");
            let detail = format!("{what} {file}, over HTTP");
            self.does(Doing::new(ClientState::Loading, detail));
        }
    }

    fn is_taking_part(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.took.is_none())
    }
}

impl Clients {
    pub(super) fn set_names(&mut self, names: HashMap<Mac, String>) {
        self.names = names;
    }

    fn add(&mut self, now: Moment) -> u64 {
        self.next += 1;
        self.all.insert(self.next, Client::new(now));
        self.next
    }

    fn heard(&mut self, id: u64, now: Moment) -> &mut Client {
        let client = self.all.entry(id).or_insert_with(|| Client::new(now));
        client.seen = now;
        client
    }

    /// The machine with this card.
    pub(super) fn by_mac(&mut self, mac: Mac, now: Moment) -> &mut Client {
        let known = self.macs.get(&mac).copied();
        let id = known.unwrap_or_else(|| self.add(now));
        self.macs.insert(mac, id);
        let client = self.heard(id, now);
        client.mac = Some(mac);
        client
    }

    /// The machine at this address.
    pub(super) fn by_address(&mut self, address: IpAddr, now: Moment) -> &mut Client {
        let known = self.addresses.get(&address).copied();
        let id = known.unwrap_or_else(|| self.add(now));
        self.addresses.insert(address, id);
        let client = self.heard(id, now);
        client.address = Some(address);
        client
    }

    /// A card has an address: what is known of either is of one machine.
    pub(super) fn is_at(&mut self, mac: Mac, address: IpAddr) {
        let (by_mac, by_address) = (self.macs.get(&mac), self.addresses.get(&address));
        match (by_mac.copied(), by_address.copied()) {
            (Some(one), Some(other)) if one == other => {}
            (Some(known), Some(other)) => {
                // Another card may have had this address before.
                let others = self.all.get(&other).and_then(|client| client.mac);
                if others.is_none() {
                    self.join_into(known, other);
                }
                self.move_to(known, address);
            }
            (Some(known), None) => self.move_to(known, address),
            (None, Some(known)) => {
                let Some(client) = self.all.get_mut(&known) else {
                    return;
                };
                if client.mac.is_some() {
                    // The address went from one machine to another.
                    client.address = None;
                    let seen = client.seen;
                    self.by_mac(mac, seen);
                    self.move_to(self.macs[&mac], address);
                } else {
                    client.mac = Some(mac);
                    self.macs.insert(mac, known);
                }
            }
            // Neither was heard of.
            (None, None) => {
                self.by_mac(mac, Moment::ZERO);
                self.move_to(self.macs[&mac], address);
            }
        }
    }

    fn move_to(&mut self, id: u64, address: IpAddr) {
        let Some(client) = self.all.get_mut(&id) else {
            return;
        };
        if let Some(old) = client.address.replace(address)
            && old != address
            && self.addresses.get(&old) == Some(&id)
        {
            self.addresses.remove(&old);
        }
        self.addresses.insert(address, id);
    }

    /// What was known of `other` is of `id`, too.
    fn join_into(&mut self, id: u64, other: u64) {
        let Some(other_client) = self.all.remove(&other) else {
            return;
        };
        for known in self.ports.values_mut().filter(|known| **known == other) {
            *known = id;
        }
        let Some(client) = self.all.get_mut(&id) else {
            return;
        };
        if other_client.seen >= client.seen {
            client.doing = other_client.doing;
            client.seen = other_client.seen;
        }
        client.part = other_client.part.or(client.part.take());
        client.program = other_client.program.or(client.program.take());
        client.arch = client.arch.take().or(other_client.arch);
        client.boots = other_client.boots.or(client.boots.take());
        client.download = other_client.download.or(client.download.take());
        client.failure = other_client.failure.or(client.failure.take());
    }

    /// A client has asked for the first time.
    pub(super) fn join(&mut self, socket: SocketAddr, transfer: &str, now: Moment) {
        let id = match self.addresses.get(&socket.ip()) {
            Some(&id)
                if self
                    .all
                    .get(&id)
                    .is_some_and(|known| !known.is_taking_part()) =>
            {
                id
            }
            Some(_) => {
                // Several at one host: each is shown by itself.
                let id = self.add(now);
                self.heard(id, now).address = Some(socket.ip());
                id
            }
            None => {
                self.by_address(socket.ip(), now);
                self.addresses[&socket.ip()]
            }
        };
        self.ports.insert(socket, id);
        let client = self.heard(id, now);
        client.download = None;
        client.part = Some(Part {
            transfer: transfer.to_owned(),
            socket,
            since: now,
            took: None,
            lane: 0,
            held: 0,
            total: 0,
            bits_per_second: 0.0,
            lost: None,
            at: now,
        });
        client.does(Doing::new(
            ClientState::Receiving,
            format!("receives {transfer}"),
        ));
    }

    /// A client takes no part any more; what its record says.
    pub(super) fn leave(
        &mut self,
        socket: SocketAddr,
        transfer: &str,
        state: ClientState,
        took: Option<Duration>,
        now: Moment,
    ) -> Option<RecordClient> {
        let id = self.ports.get(&socket).copied()?;
        let name = self.name_of(id);
        let client = self.all.get_mut(&id)?;
        let part = client.part.as_mut().filter(|part| {
            part.transfer == transfer && part.socket == socket && part.took.is_none()
        })?;
        self.ports.remove(&socket);
        let took = took.unwrap_or(now.saturating_sub(part.since));
        part.took = Some(took);
        part.bits_per_second = 0.0;
        if state == ClientState::Finished {
            part.held = part.total.max(1);
            part.total = part.total.max(1);
        }
        let detail = match state {
            ClientState::Finished => format!("has {transfer}"),
            ClientState::Dropped => format!("was dropped from {transfer}"),
            ClientState::GaveUp => format!("gave {transfer} up"),
            _ => format!("fell silent in {transfer}: it finished, or was switched off"),
        };
        client.seen = now;
        client.does(Doing::new(state, detail));
        let claimed = name
            .is_none()
            .then(|| client.calls_itself.clone())
            .flatten();
        Some(RecordClient {
            name_is_claimed: claimed.is_some(),
            name: name.or(claimed),
            address: socket.ip().to_string(),
            mac: client.mac.map(|mac| mac.to_string()),
            outcome: state,
            seconds: took.as_secs_f64(),
        })
    }

    /// Those that take part in a transfer.
    pub(super) fn in_transfer(&self, transfer: &str) -> Vec<SocketAddr> {
        let parts = self.all.values().filter_map(|client| client.part.as_ref());
        parts
            .filter(|part| part.transfer == transfer && part.took.is_none())
            .map(|part| part.socket)
            .collect()
    }

    /// The driver shows a client.
    #[expect(
        clippy::too_many_arguments,
        reason = "what is known of one client, side by side"
    )]
    pub(super) fn show(
        &mut self,
        view: &ClientView,
        transfer: &str,
        held: u64,
        total: u64,
        joined: Duration,
        waits: bool,
        now: Moment,
    ) {
        if !self.ports.contains_key(&view.address) {
            // Its first event was missed: it is there all the same.
            self.join(view.address, transfer, now.saturating_sub(joined));
        }
        let Some(client) = self
            .ports
            .get(&view.address)
            .and_then(|id| self.all.get_mut(id))
        else {
            return;
        };
        client.seen = now;
        let (state, detail) = match (waits, view.stuck) {
            (true, _) => (ClientState::Waiting, format!("waits for {transfer}")),
            (false, true) => (
                ClientState::Receiving,
                format!("asks for the same part of {transfer} again and again"),
            ),
            (false, false) => (ClientState::Receiving, format!("receives {transfer}")),
        };
        client.does(Doing::new(state, detail));
        let Some(part) = &mut client.part else {
            return;
        };
        let time = now.saturating_sub(part.at).as_secs_f64();
        if time > 0.0 {
            let got = held.saturating_sub(part.held) as f64 * 8.0 / time;
            part.bits_per_second += (got - part.bits_per_second) * (time / SMOOTHED).min(1.0);
        }
        part.at = now;
        (part.held, part.total) = (held, total);
        (part.lane, part.lost) = (view.lane, view.lost);
    }

    pub(super) fn strangers(&self, now: Moment) -> Vec<IpAddr> {
        let lately =
            |client: &&Client| client.mac.is_none() && now.saturating_sub(client.seen) < LATELY;
        let strangers = self.all.values().filter(lately);
        strangers.filter_map(|client| client.address).collect()
    }

    /// Forgets those who were heard longest ago, where there are too many.
    pub(super) fn forget_old(&mut self) {
        if self.all.len() <= MOST + SLACK {
            return;
        }
        let resting = self
            .all
            .iter()
            .filter(|(_, client)| !client.is_taking_part());
        let mut oldest: Vec<(Moment, u64)> =
            resting.map(|(id, client)| (client.seen, *id)).collect();
        oldest.sort_unstable();
        for (_, id) in oldest.into_iter().take(self.all.len() - MOST) {
            self.all.remove(&id);
        }
        let all = &self.all;
        self.macs.retain(|_, id| all.contains_key(id));
        self.addresses.retain(|_, id| all.contains_key(id));
        self.ports.retain(|_, id| all.contains_key(id));
    }

    fn name_of(&self, id: u64) -> Option<String> {
        let mac = self.all.get(&id)?.mac?;
        self.names.get(&mac).cloned()
    }

    /// Those who receive first, the slowest at the top; then the others, the latest first.
    pub(super) fn status(&self, now: Moment) -> Vec<ClientStatus> {
        let mut all: Vec<(&u64, &Client)> = self.all.iter().collect();
        let behind = |client: &Client| client.part.as_ref().map_or(0, |part| part.held);
        all.sort_by(|(a_id, a), (b_id, b)| {
            let by = b.is_taking_part().cmp(&a.is_taking_part());
            by.then_with(|| {
                if a.is_taking_part() {
                    behind(a).cmp(&behind(b))
                } else {
                    b.seen.cmp(&a.seen)
                }
            })
            .then(a_id.cmp(b_id))
        });
        let mut ranks: HashMap<&str, u64> = HashMap::new();
        all.into_iter()
            .map(|(id, client)| {
                let mut status = client.status(*id, self.name_of(*id), now);
                if status.name.is_none() {
                    status.name.clone_from(&client.calls_itself);
                    status.name_is_claimed = status.name.is_some();
                }
                if let (true, Some(part)) = (client.is_taking_part(), &client.part) {
                    let rank = ranks.entry(&part.transfer).or_default();
                    *rank += 1;
                    status.slowness = Some(*rank);
                }
                status
            })
            .collect()
    }
}

impl Client {
    fn status(&self, id: u64, name: Option<String>, now: Moment) -> ClientStatus {
        let mut status = ClientStatus {
            id,
            name,
            address: self.address.map(|address| address.to_string()),
            mac: self.mac.map(|mac| mac.to_string()),
            arch: self.arch.clone(),
            program: self.program.clone(),
            state: self.doing.state,
            detail: self.doing.detail.clone(),
            boots: self.boots.clone(),
            failure: self.failure.clone(),
            seen: rfc3339(self.seen),
            ..ClientStatus::default()
        };
        if let Some(part) = &self.part {
            status.transfer = Some(part.transfer.clone());
            status.port = Some(part.socket.port());
            status.lane = part.lane as u64;
            status.lost = part.lost;
            status.bits_per_second = part.bits_per_second as u64;
            if part.total > 0 {
                status.progress = (part.held as f64 / part.total as f64).min(1.0);
            }
            let since = now.saturating_sub(part.since);
            status.seconds = Some(part.took.unwrap_or(since).as_secs_f64());
            let left = part.total.saturating_sub(part.held) as f64 * 8.0;
            if part.took.is_none() && part.bits_per_second > 1000.0 && part.total > 0 {
                status.seconds_left = Some(left / part.bits_per_second);
            }
        }
        // A part that is over is what came before.
        if let (Some(download), false) = (&self.download, self.is_taking_part()) {
            download.show(&mut status, now);
        }
        status
    }
}
