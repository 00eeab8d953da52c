// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the boot services did, for people (one line each) and for programs (one JSON object each).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use site::Mac;

use crate::boot::arch::{ClientArch, Program};
use crate::boot::plan::{BootFile, Silence};

use super::event::{Bytes, duration_seconds};
use super::ipxe_error::{During, explain};
use super::status::Level;

/// Something that a boot service did.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum BootEvent {
    /// A client was told what to boot.
    BootOffered {
        /// Its card.
        mac: Card,
        /// Processor and firmware.
        arch: ClientArch,
        /// What asked.
        program: Program,
        /// What it boots.
        file: BootFile,
    },
    /// A client that boots from the network was told nothing.
    BootSilent {
        /// Its card.
        mac: Card,
        /// Processor and firmware.
        arch: ClientArch,
        /// What asked.
        program: Program,
        /// Why.
        why: Silence,
    },
    /// A client was given its script.
    ScriptServed {
        /// Its card, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        mac: Option<Card>,
        /// Its address.
        client: Ipv4Addr,
        /// What it boots.
        boots: String,
        /// What asked, as it names itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
    },
    /// A client told how it fares.
    ClientReported {
        /// Its card, where it is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        mac: Option<Card>,
        /// Its address.
        client: Ipv4Addr,
        /// How far it is.
        step: Step,
        /// The image or file that it is about.
        what: String,
        /// iPXE's error code; 0: none.
        code: u32,
    },
    /// Somebody did something by the page or the API.
    ByHand {
        /// What.
        what: String,
    },
    /// An address was leased.
    AddressLeased {
        /// To whom.
        mac: Card,
        /// Which.
        address: Ipv4Addr,
    },
    /// A client that boots here, or leases, told by DHCP what it calls itself (RFC 2132, section
    /// 3.14): a claim.
    ClientNamed {
        /// Its card.
        mac: Card,
        /// Letters, digits, `-`, `_` and `.` only.
        name: String,
    },
    /// Every address is leased.
    PoolExhausted {
        /// Who got none.
        mac: Card,
    },
    /// Somebody has an address of the pool without a lease.
    AddressTaken {
        /// Which.
        address: Ipv4Addr,
    },
    /// Another DHCP server leases addresses here, beside our pool.
    RivalDhcp {
        /// Its address.
        server: Ipv4Addr,
    },
    /// A relay agent asked for a network that we have no addresses of.
    RelayRefused {
        /// Its address.
        relay: Ipv4Addr,
        /// An address of that network.
        link: Ipv4Addr,
    },
    /// A file went out by TFTP.
    TftpSent {
        /// To whom.
        client: SocketAddr,
        /// Which.
        file: String,
        /// Its length.
        bytes: u64,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "duration_seconds")]
        took: Duration,
    },
    /// A TFTP transfer that came to nothing.
    TftpFailed {
        /// To whom.
        client: SocketAddr,
        /// Which.
        file: String,
        /// Why.
        why: &'static str,
    },
    /// A download over HTTP goes on.
    Downloading {
        /// Whose.
        client: SocketAddr,
        /// Of which file.
        file: String,
        /// Up to there.
        held: u64,
        /// Its length.
        bytes: u64,
    },
    /// A file, or the rest of one, went out over HTTP.
    HttpSent {
        /// To whom.
        client: SocketAddr,
        /// Which.
        file: String,
        /// So much of it.
        bytes: u64,
        /// How long it took.
        #[serde(rename = "seconds", serialize_with = "duration_seconds")]
        took: Duration,
    },
    /// Whoever downloaded over HTTP takes no more.
    HttpBrokeOff {
        /// Who.
        client: SocketAddr,
        /// Which file.
        file: String,
        /// Up to there.
        held: u64,
        /// Its length.
        bytes: u64,
    },
    /// Something that boot services need could not be done.
    BootServiceFailed {
        /// What, and what to do.
        what: String,
    },
}

impl BootEvent {
    /// Whether it is worth a line: what is told every second is not.
    pub fn is_news(&self) -> bool {
        !matches!(self, BootEvent::Downloading { .. })
    }

    /// How bad it is.
    pub fn level(&self) -> Level {
        match self {
            BootEvent::BootServiceFailed { .. } | BootEvent::PoolExhausted { .. } => Level::Error,
            BootEvent::RivalDhcp { .. }
            | BootEvent::TftpFailed { .. }
            | BootEvent::HttpBrokeOff { .. }
            | BootEvent::AddressTaken { .. }
            | BootEvent::RelayRefused { .. }
            | BootEvent::BootSilent { .. } => Level::Warning,
            BootEvent::ClientReported { step, .. } if step.is_trouble() => Level::Warning,
            _ => Level::Info,
        }
    }
}

/// What a client tells of itself (`/report`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It has all and starts it.
    Booting,
    /// It got nothing by multicast, and downloads.
    FellBack,
    /// It cannot boot.
    Failed,
}

impl Step {
    /// Whether somebody may have to look.
    pub fn is_trouble(self) -> bool {
        self != Step::Booting
    }

    /// What it was doing, where it failed.
    pub fn during(self) -> During {
        match self {
            Step::FellBack => During::Multicast,
            Step::Booting | Step::Failed => During::Anything,
        }
    }
}

/// A card's address as programs read it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Card(pub Mac);

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Card {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl fmt::Display for BootEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootEvent::BootOffered {
                mac,
                arch,
                program,
                file,
            } => write!(f, "{mac}: {program} on {arch} boots {}", file.name()),
            BootEvent::BootSilent {
                mac,
                arch,
                program,
                why,
            } => write!(f, "{mac}: {program} on {arch} is told nothing: {why}"),
            BootEvent::ScriptServed {
                mac, client, boots, ..
            } => match mac {
                Some(mac) => write!(f, "{mac}, {client}: gets the script for {boots}"),
                None => write!(f, "{client}: gets the script for {boots}"),
            },
            BootEvent::ClientReported {
                mac,
                client,
                step,
                what,
                code,
            } => {
                if let Some(mac) = mac {
                    write!(f, "{mac}, ")?;
                }
                let done = match step {
                    Step::Booting => return write!(f, "{client}: boots {what}"),
                    Step::FellBack => "got nothing by multicast, and downloads",
                    Step::Failed => "could not boot",
                };
                let failure = explain(*code, step.during());
                write!(f, "{client}: {done} {what}: {}", failure.text)?;
                if let Some(code) = failure.code {
                    write!(f, " (https://ipxe.org/{code})")?;
                }
                Ok(())
            }
            BootEvent::AddressLeased { mac, address } => {
                write!(f, "{mac}: leases {address}")
            }
            BootEvent::ClientNamed { mac, name } => write!(f, "{mac}: calls itself {name}"),
            BootEvent::PoolExhausted { mac } => write!(
                f,
                "{mac}: gets no address, all are leased; make [dhcp] pool larger, or lease_time shorter"
            ),
            BootEvent::AddressTaken { address } => write!(
                f,
                "{address} is in use without a lease, and left alone for 10 minutes; keep [dhcp] pool clear of addresses that are given by hand"
            ),
            BootEvent::RivalDhcp { server } => write!(
                f,
                "another DHCP server, {server}, leases addresses on this network: clients get now its, now ours; switch it off, or set mode = \"proxy\" under [dhcp]"
            ),
            BootEvent::RelayRefused { relay, link } => write!(
                f,
                "relay agent {relay} asks for an address in the network of {link}, and the pool has none there; name that network in a [[dhcp.relay]], or have another DHCP server lease there, with mode = \"proxy\" here"
            ),
            BootEvent::TftpSent {
                client,
                file,
                bytes,
                took,
            } => write!(
                f,
                "{client}: got {file} by TFTP, {} in {:.1} s",
                Bytes(*bytes),
                took.as_secs_f64()
            ),
            BootEvent::TftpFailed { client, file, why } => {
                write!(f, "{client}: did not get {file} by TFTP: {why}")
            }
            BootEvent::Downloading {
                client,
                file,
                held,
                bytes,
            } => write!(
                f,
                "{client}: has {} of {file} over HTTP, of {}",
                Bytes(*held),
                Bytes(*bytes)
            ),
            BootEvent::HttpSent {
                client,
                file,
                bytes,
                took,
            } => write!(
                f,
                "{client}: got {file} over HTTP, {} in {:.1} s",
                Bytes(*bytes),
                took.as_secs_f64()
            ),
            BootEvent::HttpBrokeOff {
                client,
                file,
                held,
                bytes,
            } => write!(
                f,
                "{client}: broke {file} off over HTTP, after {} of {}",
                Bytes(*held),
                Bytes(*bytes)
            ),
            BootEvent::BootServiceFailed { what } | BootEvent::ByHand { what } => f.write_str(what),
        }
    }
}
