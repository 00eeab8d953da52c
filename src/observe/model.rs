// SPDX-License-Identifier: MIT OR Apache-2.0
//! The read model: what a running server is like, put together from what happened and what the
//! driver shows. It takes `now` and opens nothing.
//!
//! Bounded, whatever clients do: [`clients::MOST`] machines, [`MOST_LINES`] lines, a session's roster
//! of [`transfers::ROSTER`].

mod clients;
mod download;
mod transfers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use site::Mac;

use self::clients::Clients;
pub use self::clients::Doing;
use self::transfers::Transfer;
use super::boot::{BootEvent, Step};
use super::event::{Event, EventKind};
use super::ipxe_error::explain;
use super::look::Look;
use super::status::{
    ClientState, Counters, Level, LogLine, Record, ServerStatus, Status, TransferState,
};

/// Time since 1970.
pub type Moment = Duration;

/// Lines that are kept of what happened.
const MOST_LINES: usize = 100;
/// Transfers that are kept, in whatever configurations they were.
const MOST_TRANSFERS: usize = 4096;

/// What a running server is like.
#[derive(Debug)]
pub struct Model {
    server: ServerStatus,
    transfers: BTreeMap<String, Transfer>,
    /// Their names in the order of the configuration.
    order: Vec<String>,
    clients: Clients,
    lines: VecDeque<LogLine>,
    warnings: Vec<String>,
    counters: Counters,
    next_record: u64,
}

impl Model {
    /// A server that began at `now`.
    pub fn new(addresses: Vec<String>, now: Moment) -> Model {
        Model {
            server: ServerStatus {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                addresses,
                started: rfc3339(now),
                ..ServerStatus::default()
            },
            transfers: BTreeMap::new(),
            order: Vec::new(),
            clients: Clients::default(),
            lines: VecDeque::new(),
            warnings: Vec::new(),
            counters: Counters::default(),
            next_record: 1,
        }
    }

    /// The names that people gave to machines.
    pub fn set_names(&mut self, names: HashMap<Mac, String>) {
        self.clients.set_names(names);
    }

    /// What stands in the way from the start.
    pub fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) && self.warnings.len() < MOST_LINES {
            self.warnings.push(warning);
        }
    }

    /// The number of the next session that ends.
    pub fn number_records_from(&mut self, next: u64) {
        self.next_record = self.next_record.max(next);
    }

    /// Addresses whose cards are not known yet, of machines heard lately.
    pub fn strangers(&self, now: Moment) -> Vec<IpAddr> {
        self.clients.strangers(now)
    }

    /// A card that has an address, as the kernel knows it.
    pub fn is_at(&mut self, mac: Mac, address: IpAddr) {
        self.clients.is_at(mac, address);
    }

    /// Something happened; the record of a session that is over by it.
    pub fn event(&mut self, event: &Event, now: Moment) -> Option<Record> {
        self.line(event.kind.level(), event.to_string(), now);
        let name = event.transfer.as_deref()?;
        if !self.transfers.contains_key(name) && self.transfers.len() >= MOST_TRANSFERS {
            return None;
        }
        let transfer = self.transfers.entry(name.to_owned()).or_default();
        if let EventKind::SessionWaiting { .. }
        | EventKind::SessionStarted
        | EventKind::ClientJoined { .. } = event.kind
        {
            transfer.begin(now);
        }
        transfer.count(&event.kind);
        let clients = &mut self.clients;
        let mut left = |client: SocketAddr, state: ClientState, took: Option<Duration>| {
            if let Some(seen) = clients.leave(client, name, state, took, now) {
                transfer.note(seen);
            }
        };
        match &event.kind {
            EventKind::ClientJoined { client } => clients.join(*client, name, now),
            EventKind::ClientFinished { client, took, .. } => {
                left(*client, ClientState::Finished, Some(*took));
            }
            EventKind::ClientGaveUp { client, took, .. } => {
                left(*client, ClientState::GaveUp, Some(*took));
            }
            EventKind::ClientSilent { client, .. } => left(*client, ClientState::Silent, None),
            EventKind::ClientDropped { client, took, .. } => {
                left(*client, ClientState::Dropped, Some(*took));
            }
            EventKind::SessionIdle {
                sent_bytes,
                file_bytes,
                took,
                ..
            } => {
                // Whoever is still in it is there no more.
                for client in clients.in_transfer(name) {
                    if let Some(seen) = clients.leave(client, name, ClientState::Silent, None, now)
                    {
                        transfer.note(seen);
                    }
                }
                let record = transfer.end(*sent_bytes, *file_bytes, *took, now);
                return record.map(|record| {
                    let id = self.next_record;
                    self.next_record += 1;
                    let transfer = name.to_owned();
                    Record {
                        id,
                        transfer,
                        ..record
                    }
                });
            }
            _ => {}
        }
        None
    }

    /// A boot service did something.
    pub fn boot(&mut self, event: &BootEvent, now: Moment) {
        if event.is_news() {
            self.line(event.level(), event.to_string(), now);
        }
        let counters = &mut self.counters;
        match event {
            BootEvent::BootOffered {
                mac,
                arch,
                program,
                file,
            } => {
                counters.boots_offered += 1;
                let detail = format!("told to boot {}", file.name());
                let doing = Doing::new(ClientState::Starting, detail);
                let client = self.clients.by_mac(mac.0, now);
                client.asks_with(arch.to_string(), program.to_string());
                client.does(doing);
            }
            BootEvent::BootSilent {
                mac,
                arch,
                program,
                why,
            } => {
                counters.boots_refused += 1;
                let doing = Doing::new(ClientState::Refused, format!("told nothing: {why}"));
                let client = self.clients.by_mac(mac.0, now);
                client.asks_with(arch.to_string(), program.to_string());
                client.does(doing);
            }
            BootEvent::ScriptServed {
                mac,
                client,
                boots,
                agent,
            } => {
                counters.scripts_served += 1;
                let address = IpAddr::V4(*client);
                if let Some(mac) = mac {
                    self.clients.is_at(mac.0, address);
                }
                let client = self.clients.by_address(address, now);
                if let Some(agent) = agent {
                    client.program = Some(agent.clone());
                }
                client.boots = Some(boots.clone());
                client.failure = None;
                client.download = None;
                let detail = format!("got the script for {boots}");
                client.does(Doing::new(ClientState::Loading, detail));
            }
            BootEvent::ClientNamed { mac, name } => {
                self.clients.by_mac(mac.0, now).calls_itself = Some(name.clone());
            }
            BootEvent::AddressLeased { mac, address } => {
                counters.addresses_leased += 1;
                self.clients.is_at(mac.0, IpAddr::V4(*address));
                self.clients.by_mac(mac.0, now);
            }
            BootEvent::TftpSent {
                client,
                file,
                bytes,
                ..
            } => {
                counters.tftp_sent += 1;
                counters.tftp_sent_bytes += bytes;
                let client = self.clients.by_address(client.ip(), now);
                client.does(Doing::new(
                    ClientState::Loading,
                    format!("got {file} by TFTP"),
                ));
            }
            BootEvent::TftpFailed { client, file, why } => {
                counters.tftp_failed += 1;
                let client = self.clients.by_address(client.ip(), now);
                let detail = format!("did not get {file} by TFTP: {why}");
                client.does(Doing::new(ClientState::Loading, detail));
            }
            BootEvent::ClientReported {
                mac,
                client,
                step,
                what,
                code,
            } => {
                let address = IpAddr::V4(*client);
                if let Some(mac) = mac {
                    self.clients.is_at(mac.0, address);
                }
                let client = self.clients.by_address(address, now);
                let failure = explain(*code, step.during());
                match step {
                    Step::Booting => {
                        client.does(Doing::new(ClientState::Booting, format!("boots {what}")));
                    }
                    Step::FellBack => {
                        counters.failures_reported += 1;
                        let detail = format!("got no {what} by multicast: takes it over HTTP");
                        client.failure = Some(failure);
                        client.does(Doing::new(ClientState::Loading, detail));
                    }
                    Step::Failed => {
                        counters.failures_reported += 1;
                        let detail = format!("could not boot {what}");
                        client.failure = Some(failure);
                        client.does(Doing::new(ClientState::Failed, detail));
                    }
                }
            }
            BootEvent::Downloading {
                client,
                file,
                held,
                bytes,
            } => {
                let client = self.clients.by_address(client.ip(), now);
                client.downloads(file, *held, *bytes, now);
            }
            BootEvent::HttpSent {
                client,
                file,
                bytes,
                ..
            } => {
                counters.http_sent += 1;
                counters.http_sent_bytes += bytes;
                let client = self.clients.by_address(client.ip(), now);
                client.downloaded(file, None, now);
            }
            BootEvent::HttpBrokeOff {
                client, file, held, ..
            } => {
                counters.http_broken_off += 1;
                let client = self.clients.by_address(client.ip(), now);
                client.downloaded(file, Some(*held), now);
            }
            BootEvent::BootServiceFailed { what } => self.warn(what.clone()),
            BootEvent::RivalDhcp { .. } | BootEvent::PoolExhausted { .. } => {
                self.warn(event.to_string());
            }
            BootEvent::AddressTaken { .. }
            | BootEvent::RelayRefused { .. }
            | BootEvent::ByHand { .. } => {}
        }
    }

    /// The driver shows its transfers.
    pub fn look(&mut self, look: Look, now: Moment) {
        self.order.clear();
        for seen in look.transfers {
            if !self.transfers.contains_key(&seen.transfer)
                && self.transfers.len() >= MOST_TRANSFERS
            {
                continue;
            }
            self.order.push(seen.transfer.clone());
            let waits = matches!(
                seen.view.as_ref().map(|view| view.phase),
                Some(crate::slam::Phase::Waiting { .. })
            );
            if let Some(view) = &seen.view {
                let block = view
                    .total_bytes
                    .checked_div(view.blocks)
                    .unwrap_or(0)
                    .max(1);
                for client in &view.clients {
                    let joined = look.at.since(client.joined);
                    let held = (client.held_blocks * block).min(view.total_bytes);
                    self.clients.show(
                        client,
                        &seen.transfer,
                        held,
                        view.total_bytes,
                        joined,
                        waits,
                        now,
                    );
                }
            }
            let transfer = self.transfers.entry(seen.transfer.clone()).or_default();
            transfer.show(seen, look.at);
        }
        self.clients.forget_old();
    }

    /// All of it, for those who ask.
    pub fn status(&self, now: Moment) -> Status {
        let clients = self.clients.status(now);
        let transfers: Vec<_> = self
            .order
            .iter()
            .filter_map(|name| {
                let transfer = self.transfers.get(name)?;
                let own = clients
                    .iter()
                    .filter(|client| client.transfer.as_ref() == Some(name));
                Some(transfer.status(name, own))
            })
            .collect();
        let served = |state| state != TransferState::NotServed;
        Status {
            server: ServerStatus {
                ready: !transfers.is_empty() && transfers.iter().all(|t| served(t.state)),
                active_clients: transfers.iter().map(|transfer| transfer.present).sum(),
                counters: self.counters,
                ..self.server.clone()
            },
            transfers,
            clients,
            events: self.lines.iter().cloned().collect(),
            warnings: self.warnings.clone(),
        }
    }

    fn line(&mut self, level: Level, text: String, now: Moment) {
        self.lines.truncate(MOST_LINES - 1);
        self.lines.push_front(LogLine {
            time: rfc3339(now),
            level,
            text,
        });
    }
}

/// `2026-11-26T18:43:30Z`
pub fn rfc3339(moment: Moment) -> String {
    format!("{:.0}", timestamp(moment))
}

/// `2026-11-26T18:43:30.123Z`
pub fn rfc3339_millis(moment: Moment) -> String {
    format!("{:.3}", timestamp(moment))
}

fn timestamp(moment: Moment) -> jiff::Timestamp {
    let milliseconds = i64::try_from(moment.as_millis()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests;
