// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happened, for people (one line each) and for programs (one JSON object each).

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};
use slam_client::Timestamp;

use super::status::Level;

/// Something that happened, mostly in one transfer.
///
/// As JSON: `{"at": 12.5, "transfer": "demo", "event": "client_joined", "client": "10.0.0.7:1024"}`,
/// times in seconds, sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, since the driver began.
    #[serde(serialize_with = "timestamp_seconds")]
    pub at: Timestamp,
    /// Name of the transfer ([`site::Transfer::name`]), with its family or interface where there
    /// are several; none where it is about the whole server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// Somebody asked after nobody did: others are waited for.
    SessionWaiting {
        /// Sending begins when so many are there.
        for_clients: Option<usize>,
        /// Or so long from now.
        #[serde(rename = "at_most_seconds", serialize_with = "optional_seconds")]
        at_most: Option<Duration>,
    },
    /// Blocks are being sent.
    SessionStarted,
    /// Nobody asks any more.
    SessionIdle {
        /// Blocks sent since the session started, repeated ones included.
        sent_blocks: u64,
        /// Bytes of payload in them.
        sent_bytes: u64,
        /// Bytes of the file, for comparison.
        file_bytes: u64,
        /// Since the session started.
        #[serde(rename = "seconds", serialize_with = "duration_seconds")]
        took: Duration,
    },
    /// A client asked for the first time.
    ClientJoined {
        /// Its address and port.
        client: SocketAddr,
    },
    /// A client said goodbye.
    ClientFinished {
        /// Its address and port.
        client: SocketAddr,
        /// Bytes of the file.
        file_bytes: u64,
        /// Since it joined.
        #[serde(rename = "seconds", serialize_with = "duration_seconds")]
        took: Duration,
    },
    /// A client said goodbye that had asked for the same block again and again, or before the whole
    /// file was sent.
    ClientGaveUp {
        /// Its address and port.
        client: SocketAddr,
        /// Since it joined.
        #[serde(rename = "seconds", serialize_with = "duration_seconds")]
        took: Duration,
        /// The block that it asked for in vain; `None`: it broke off.
        missing: Option<u64>,
    },
    /// A client no longer answers and is not waited for. It may have finished: a goodbye can get
    /// lost.
    ClientSilent {
        /// Its address and port.
        client: SocketAddr,
        /// Since it was last heard.
        #[serde(rename = "seconds", serialize_with = "duration_seconds")]
        silent_for: Duration,
    },
    /// A client got less than the site's policy allows, or somebody wanted it gone, and was told to
    /// go elsewhere.
    ClientDropped {
        /// Its address and port.
        client: SocketAddr,
        /// Since it joined.
        #[serde(rename = "seconds", serialize_with = "duration_seconds")]
        took: Duration,
        /// Whether somebody wanted it gone.
        by_hand: bool,
        /// What it got lately.
        bits_per_second: Option<u64>,
    },
    /// A client was moved to another group of its room: it got less than half of what another got,
    /// or it heard nothing where it had been moved to.
    ClientMoved {
        /// Its address and port.
        client: SocketAddr,
        /// Where it listens from now on.
        group: SocketAddr,
        /// Whether that is where it began.
        back: bool,
        /// What it got lately.
        bits_per_second: Option<u64>,
    },
    /// Datagrams that were ignored: malformed, or asking for what is not there. Rate-limited:
    /// `count` of them since the last such event.
    Rejected {
        /// Where the last one came from.
        client: SocketAddr,
        /// What is wrong with it.
        reason: String,
        /// How many.
        count: u64,
    },
    /// The file is not the one that was digested; its session has ended.
    ImageChanged {
        /// The file.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// The file cannot be read any more; its session has ended.
    ImageUnreadable {
        /// The file.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// What the system said.
        what: String,
    },
    /// The path leads to another file. The one that is served goes on being served, until the other
    /// one is digested and nobody is left.
    ImageReplaced {
        /// The path.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
    },
    /// The path leads nowhere. The file that was served from there goes on being served.
    ImageRemoved {
        /// The path.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
    },
    /// A file is being digested while others are served.
    ImageDigesting {
        /// The file.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Bytes digested.
        done: u64,
        /// Bytes of the file.
        bytes: u64,
    },
    /// A file is served from now on, on the port and group of this transfer.
    ImageServed {
        /// The file.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// Its digest, hexadecimal.
        sha256: String,
        /// The transaction that SLAM clients see, hexadecimal.
        transaction: String,
    },
    /// A file cannot be served.
    ImageRefused {
        /// The file.
        #[serde(serialize_with = "lossy_path")]
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The configuration has no such transfer any more, and nobody is left who receives it.
    ImageEnded,
    /// The configuration was read again.
    Reloaded {
        /// Sessions that begin.
        added: usize,
        /// Sessions that end when nobody is left.
        removed: usize,
        /// Sessions that are different when nobody is left.
        changed: usize,
        /// What changed in the configuration and needs a restart.
        later: Vec<String>,
    },
    /// The configuration could not be read again, or not all of it can be done.
    ReloadFailed {
        /// Why.
        what: String,
    },
    /// The network refused to send; sending goes on later.
    SendFailed {
        /// What the system said.
        what: String,
    },
}

impl EventKind {
    /// How bad it is.
    pub fn level(&self) -> Level {
        match self {
            EventKind::ImageChanged { .. }
            | EventKind::ImageUnreadable { .. }
            | EventKind::ImageRefused { .. }
            | EventKind::ReloadFailed { .. }
            | EventKind::SendFailed { .. } => Level::Error,
            EventKind::ClientGaveUp { .. }
            | EventKind::ClientSilent { .. }
            | EventKind::ClientDropped { .. }
            | EventKind::Rejected { .. }
            | EventKind::ImageRemoved { .. } => Level::Warning,
            _ => Level::Info,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.transfer {
            Some(transfer) => write!(f, "{transfer}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::SessionWaiting {
                for_clients,
                at_most,
            } => {
                f.write_str("session waiting")?;
                if let Some(clients) = for_clients {
                    write!(f, " for {clients} clients")?;
                }
                match at_most {
                    Some(wait) => write!(f, ", at most {} s", wait.as_secs()),
                    None => Ok(()),
                }
            }
            EventKind::SessionStarted => f.write_str("session started"),
            EventKind::SessionIdle {
                sent_blocks,
                sent_bytes,
                file_bytes,
                took,
            } => write!(
                f,
                "idle after {}: sent {sent_blocks} blocks, {} ({:.2} times the file)",
                Seconds(*took),
                Bytes(*sent_bytes),
                *sent_bytes as f64 / (*file_bytes).max(1) as f64
            ),
            EventKind::ClientJoined { client } => write!(f, "client {client} joined"),
            EventKind::ClientFinished {
                client,
                file_bytes,
                took,
            } => {
                write!(f, "client {client} finished after {}", Seconds(*took))?;
                if took.is_zero() {
                    return Ok(());
                }
                let mib = *file_bytes as f64 / MIB as f64;
                write!(f, ", {:.1} MiB/s", mib / took.as_secs_f64())
            }
            EventKind::ClientGaveUp {
                client,
                took,
                missing,
            } => {
                write!(f, "client {client} gave up after {}", Seconds(*took))?;
                match missing {
                    Some(0) => f.write_str(
                        ": nothing that was multicast reached it; does a switch snoop IGMP, which \
                         stock iPXE does not speak?",
                    ),
                    Some(block) => write!(f, ": block {block} never reached it"),
                    None => f.write_str(": it broke off before the whole file was sent"),
                }
            }
            EventKind::ClientSilent { client, silent_for } => write!(
                f,
                "client {client} has been silent for {}: not waiting for it (finished, or switched off)",
                Seconds(*silent_for)
            ),
            EventKind::ClientDropped {
                client,
                took,
                by_hand: true,
                ..
            } => write!(
                f,
                "client {client} dropped by hand after {}",
                Seconds(*took)
            ),
            EventKind::ClientDropped {
                client,
                took,
                bits_per_second,
                ..
            } => write!(
                f,
                "client {client} dropped after {}: it got {:.1} Mbit/s, less than slow_clients allows",
                Seconds(*took),
                bits_per_second.unwrap_or(0) as f64 / 1e6
            ),
            EventKind::ClientMoved {
                client,
                group,
                back: false,
                bits_per_second,
            } => write!(
                f,
                "client {client} moved to {group}: it got {:.1} Mbit/s, less than half of another",
                bits_per_second.unwrap_or(0) as f64 / 1e6
            ),
            EventKind::ClientMoved {
                client,
                group,
                back: true,
                ..
            } => write!(
                f,
                "client {client} moved back to {group}, where it stays: nothing reached it elsewhere"
            ),
            EventKind::Rejected {
                client,
                reason,
                count,
            } => write!(
                f,
                "ignored {count} datagram{}, last from {client}: {reason}",
                if *count == 1 { "" } else { "s" }
            ),
            EventKind::ImageChanged { path, what } => write!(
                f,
                "{} changed while it was served ({what}): stopped serving it until it is digested anew",
                path.display()
            ),
            EventKind::ImageUnreadable { path, what } => write!(
                f,
                "{} cannot be read any more ({what}): stopped serving it until it can be; put it back",
                path.display()
            ),
            EventKind::ImageReplaced { path } => write!(
                f,
                "{} was replaced: serving what it was until nobody is left; digesting the new one",
                path.display()
            ),
            EventKind::ImageRemoved { path } => write!(
                f,
                "{} is not there: what it was is served while this server runs; put it back",
                path.display()
            ),
            EventKind::ImageDigesting { path, done, bytes } => write!(
                f,
                "digesting {}: {} of {}",
                path.display(),
                Bytes(*done),
                Bytes(*bytes)
            ),
            EventKind::ImageServed {
                path,
                bytes,
                sha256,
                ..
            } => write!(
                f,
                "serving {} from now on: {}, sha256 {sha256}",
                path.display(),
                Bytes(*bytes)
            ),
            EventKind::ImageRefused { path, what } => {
                write!(f, "cannot serve {}: {what}", path.display())
            }
            EventKind::ImageEnded => f.write_str("ended, as the configuration says"),
            EventKind::Reloaded {
                added,
                removed,
                changed,
                later,
            } => {
                write!(
                    f,
                    "configuration read: {added} session{} to begin, {removed} to end and \
                     {changed} to change when nobody is left",
                    if *added == 1 { "" } else { "s" }
                )?;
                if !later.is_empty() {
                    write!(f, "; restart for {}", later.join(", "))?;
                }
                Ok(())
            }
            EventKind::ReloadFailed { what } => {
                write!(f, "configuration not taken, the old one stays: {what}")
            }
            EventKind::SendFailed { what } => write!(f, "cannot send: {what}; trying again"),
        }
    }
}

const MIB: u64 = 1 << 20;

/// A size for people: `512 B`, `200.0 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
            let size = 1u64 << shift;
            if self.0 >= size {
                return write!(f, "{:.1} {unit}", self.0 as f64 / size as f64);
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A time for people: `1.83 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} s", self.0.as_secs_f64())
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's serialize_with passes references"
)]
fn timestamp_seconds<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(at.since_start().as_secs_f64())
}

pub(super) fn duration_seconds<S: Serializer>(
    duration: &Duration,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_f64(duration.as_secs_f64())
}

#[expect(
    clippy::ref_option,
    reason = "serde's serialize_with passes references"
)]
fn optional_seconds<S: Serializer>(time: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(to)
}

/// A path that is not UTF-8 is told as well as JSON can.
pub(super) fn lossy_path<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> SocketAddr {
        "10.0.0.7:1024".parse().unwrap()
    }

    #[test]
    fn lines_and_json() {
        let cases = [
            (
                EventKind::ClientJoined { client: client() },
                "demo: client 10.0.0.7:1024 joined",
                r#""event":"client_joined","client":"10.0.0.7:1024""#,
            ),
            (
                EventKind::ClientFinished {
                    client: client(),
                    file_bytes: 200 * MIB,
                    took: Duration::from_millis(1600),
                },
                "demo: client 10.0.0.7:1024 finished after 1.60 s, 125.0 MiB/s",
                r#""event":"client_finished","client":"10.0.0.7:1024","file_bytes":209715200,"seconds":1.6"#,
            ),
            (
                EventKind::ClientFinished {
                    client: client(),
                    file_bytes: MIB,
                    took: Duration::ZERO,
                },
                "demo: client 10.0.0.7:1024 finished after 0.00 s",
                r#""event":"client_finished","client":"10.0.0.7:1024","file_bytes":1048576,"seconds":0.0"#,
            ),
            (
                EventKind::ClientGaveUp {
                    client: client(),
                    took: Duration::from_secs(14),
                    missing: Some(7),
                },
                "demo: client 10.0.0.7:1024 gave up after 14.00 s: block 7 never reached it",
                r#""event":"client_gave_up","client":"10.0.0.7:1024","seconds":14.0,"missing":7"#,
            ),
            (
                EventKind::ClientMoved {
                    client: client(),
                    group: "239.255.2.1:10000".parse().unwrap(),
                    back: false,
                    bits_per_second: Some(31_200_000),
                },
                "demo: client 10.0.0.7:1024 moved to 239.255.2.1:10000: it got 31.2 Mbit/s, less \
                 than half of another",
                r#""event":"client_moved","client":"10.0.0.7:1024","group":"239.255.2.1:10000","back":false,"bits_per_second":31200000"#,
            ),
            (
                EventKind::SessionIdle {
                    sent_blocks: 3,
                    sent_bytes: 3000,
                    file_bytes: 2000,
                    took: Duration::from_secs(2),
                },
                "demo: idle after 2.00 s: sent 3 blocks, 2.9 KiB (1.50 times the file)",
                r#""event":"session_idle","sent_blocks":3,"sent_bytes":3000,"file_bytes":2000,"seconds":2.0"#,
            ),
            (
                EventKind::Rejected {
                    client: client(),
                    reason: "integer of length 0 at byte 0".to_owned(),
                    count: 12,
                },
                "demo: ignored 12 datagrams, last from 10.0.0.7:1024: integer of length 0 at byte 0",
                r#""event":"rejected","client":"10.0.0.7:1024","reason":"integer of length 0 at byte 0","count":12"#,
            ),
            (
                EventKind::ImageChanged {
                    path: "/srv/demo.img".into(),
                    what: "1 MiB, was 2 MiB".to_owned(),
                },
                "demo: /srv/demo.img changed while it was served (1 MiB, was 2 MiB): stopped \
                 serving it until it is digested anew",
                r#""event":"image_changed","path":"/srv/demo.img","what":"1 MiB, was 2 MiB""#,
            ),
        ];
        for (kind, line, json) in cases {
            let event = Event {
                at: Timestamp::from_start(Duration::from_millis(12_500)),
                transfer: Some("demo".to_owned()),
                kind,
            };
            assert_eq!(event.to_string(), line);
            let json = format!(r#"{{"at":12.5,"transfer":"demo",{json}}}"#);
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
        }
    }

    #[test]
    fn a_path_that_is_not_utf8_has_json_too() {
        use std::os::unix::ffi::OsStringExt as _;

        let event = Event {
            at: Timestamp::ZERO,
            transfer: Some("demo".to_owned()),
            kind: EventKind::ImageReplaced {
                path: std::ffi::OsString::from_vec(b"d\xffmo".to_vec()).into(),
            },
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            "{\"at\":0.0,\"transfer\":\"demo\",\"event\":\"image_replaced\",\"path\":\"d\u{fffd}mo\"}"
        );
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (200 << 20, "200.0 MiB"),
            (3 << 30, "3.0 GiB"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
    }
}
