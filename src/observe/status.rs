// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the API tells: everything that the page shows, as JSON. Times are RFC 3339 in UTC, sizes
//! bytes, rates bits per second, shares from 0 to 1.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The server and all that it does, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The server itself.
    pub server: ServerStatus,
    /// Every file that is served, once for each interface and family.
    pub transfers: Vec<TransferStatus>,
    /// Machines that asked for something: those that receive first, the slowest of all at the top.
    pub clients: Vec<ClientStatus>,
    /// What happened lately, the newest first; at most 100.
    pub events: Vec<LogLine>,
    /// What stands in the way.
    pub warnings: Vec<String>,
}

/// The server itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerStatus {
    /// slamboot's version.
    pub version: String,
    /// Where clients find it: addresses of its interfaces.
    pub addresses: Vec<String>,
    /// When it started.
    #[schema(format = DateTime)]
    pub started: String,
    /// Whether all files that are configured are served.
    pub ready: bool,
    /// Clients that receive or wait right now.
    pub active_clients: u64,
    /// What was done since the start.
    pub counters: Counters,
}

/// What the boot services did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Counters {
    /// Clients that were told by DHCP what to boot.
    pub boots_offered: u64,
    /// Clients that boot from the network and were told nothing.
    pub boots_refused: u64,
    /// Boot scripts handed out.
    pub scripts_served: u64,
    /// Addresses leased.
    pub addresses_leased: u64,
    /// Files sent by TFTP.
    pub tftp_sent: u64,
    /// Bytes in them.
    pub tftp_sent_bytes: u64,
    /// TFTP transfers that came to nothing.
    pub tftp_failed: u64,
    /// Files, or the rests of files, sent over HTTP.
    pub http_sent: u64,
    /// Bytes in them.
    pub http_sent_bytes: u64,
    /// Downloads over HTTP that clients broke off.
    pub http_broken_off: u64,
    /// Failures that clients reported themselves.
    pub failures_reported: u64,
}

/// One file on its way to a room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TransferStatus {
    /// Its name.
    pub name: String,
    /// The image that it is a part of.
    pub image: String,
    /// Multicast group and port.
    pub group: String,
    /// What it is doing.
    pub state: TransferState,
    /// Whether rooms are kept from beginning until somebody says so.
    pub held: bool,
    /// Bytes of the file; null: none is served now.
    pub bytes: Option<u64>,
    /// Clients that are there.
    pub present: u64,
    /// Clients that came since the session began.
    pub joined: u64,
    /// Clients that are waited for; null: nobody is.
    pub expected: Option<u64>,
    /// Of those who joined, how many have everything.
    pub finished: u64,
    /// Seconds until the room begins even if it is not full.
    pub begins_in_seconds: Option<f64>,
    /// Seconds since somebody has been there.
    pub seconds: Option<f64>,
    /// Estimated seconds until the slowest client has everything.
    pub seconds_left: Option<f64>,
    /// What is sent, in all lanes together, payload only.
    pub bits_per_second: u64,
    /// The rates that were found for its groups, the first one first.
    pub lanes: Vec<LaneStatus>,
    /// Bytes sent since the session began.
    pub sent_bytes: u64,
    /// The share of what was sent that had been sent before, or stands in for that.
    pub repair_share: f64,
    /// How far all clients together are.
    pub progress: f64,
    /// The file in at most 512 parts of the same size, each a letter: `.` not sent, `-` some of it
    /// sent, `o` sent, `1` to `8` sent and held whole by so many eighths of the clients, `#` by all.
    pub map: String,
    /// Since the server's start.
    pub totals: TransferTotals,
}

/// What a transfer did since the server's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransferTotals {
    /// Sessions that began.
    pub sessions: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Clients that came.
    pub joined: u64,
    /// Clients that said goodbye with everything.
    pub finished: u64,
    /// Clients that said goodbye without having got anywhere.
    pub gave_up: u64,
    /// Clients that fell silent.
    pub silent: u64,
    /// Clients that were dropped.
    pub dropped: u64,
    /// Moves of clients to another group.
    pub moved: u64,
    /// Datagrams that were ignored.
    pub rejected: u64,
}

/// A group of a transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaneStatus {
    /// The rate that was found for it.
    pub bits_per_second: u64,
    /// How many clients it has.
    pub clients: u64,
}

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// Its file is not served now: it is being digested, or is not there.
    #[default]
    NotServed,
    /// Nobody is there.
    Idle,
    /// A room gathers.
    Waiting,
    /// Blocks are sent to those who miss them.
    Sending,
}

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClientStatus {
    /// Its number here; it keeps it while this server runs.
    pub id: u64,
    /// What it is called: by `[[host]]`, or by itself.
    pub name: Option<String>,
    /// Whether that is what it calls itself by DHCP, and no `[[host]]` does.
    pub name_is_claimed: bool,
    /// Its address.
    pub address: Option<String>,
    /// The port that it receives by.
    pub port: Option<u16>,
    /// Its network card.
    pub mac: Option<String>,
    /// Processor and firmware.
    pub arch: Option<String>,
    /// What it last asked with, such as iPXE and its version.
    pub program: Option<String>,
    /// What it is doing.
    pub state: ClientState,
    /// The same in words.
    pub detail: String,
    /// The image that it was told to boot.
    pub boots: Option<String>,
    /// The transfer that it takes part in, or took part in last.
    pub transfer: Option<String>,
    /// The file that it downloads over HTTP, or downloaded last; progress, rate and times are of that then.
    pub download: Option<String>,
    /// How much of that it holds.
    pub progress: f64,
    /// What it gets.
    pub bits_per_second: u64,
    /// The share of what was sent lately that it lost.
    pub lost: Option<f64>,
    /// Its place among those who receive the same: 1 is the slowest.
    pub slowness: Option<u64>,
    /// Which of the transfer's groups it is in; 0 is the first.
    pub lane: u64,
    /// Estimated seconds until it has everything.
    pub seconds_left: Option<f64>,
    /// Seconds since it joined, or that it took.
    pub seconds: Option<f64>,
    /// What it told of a failure.
    pub failure: Option<Failure>,
    /// When it was last heard of.
    #[schema(format = DateTime)]
    pub seen: String,
}

impl ClientStatus {
    /// Whether it gets something now, by multicast or over HTTP.
    pub fn gets(&self) -> bool {
        self.slowness.is_some() || (self.download.is_some() && self.bits_per_second > 0)
    }

    /// The transfer that it takes part in now, and the address and port that it receives by.
    pub fn taking_part(&self) -> Option<(String, SocketAddr)> {
        self.slowness?;
        let address: IpAddr = self.address.as_ref()?.parse().ok()?;
        Some((self.transfer.clone()?, SocketAddr::new(address, self.port?)))
    }
}

/// What a machine is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientState {
    /// It has an address, or was told what to boot.
    #[default]
    Starting,
    /// It boots from the network and was told nothing.
    Refused,
    /// It was given a boot program or a script.
    Loading,
    /// It waits for its room.
    Waiting,
    /// It receives.
    Receiving,
    /// It has everything.
    Finished,
    /// It boots what it got.
    Booting,
    /// It was dropped.
    Dropped,
    /// It fell silent.
    Silent,
    /// It gave up.
    GaveUp,
    /// It told of a failure.
    Failed,
}

/// A failure that a client told of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Failure {
    /// iPXE's error code, hexadecimal, as <https://ipxe.org/err> lists it.
    pub code: Option<String>,
    /// iPXE's text for it.
    pub text: String,
    /// What it most likely means here, and what to do.
    pub meaning: String,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// When.
    #[schema(format = DateTime)]
    pub time: String,
    /// How bad it is.
    pub level: Level,
    /// What.
    pub text: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    #[default]
    Info,
    /// Somebody may have to look.
    Warning,
    /// Somebody has to look.
    Error,
}

/// A session that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// Its number, counted up.
    pub id: u64,
    /// The transfer's name.
    pub transfer: String,
    /// When somebody first asked.
    #[schema(format = DateTime)]
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Clients that came.
    pub joined: u64,
    /// Clients that have everything.
    pub finished: u64,
    /// Each of them, the slowest first; at most 512.
    pub clients: Vec<RecordClient>,
}

/// A client of a session that is over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordClient {
    /// What it is called: by `[[host]]`, or by itself.
    pub name: Option<String>,
    /// Whether that is what it calls itself by DHCP, and no `[[host]]` does.
    #[serde(default)]
    pub name_is_claimed: bool,
    /// Its address.
    pub address: String,
    /// Its network card.
    pub mac: Option<String>,
    /// What became of it.
    pub outcome: ClientState,
    /// How long it took.
    pub seconds: f64,
}
