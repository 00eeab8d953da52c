// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a server did from start to stop.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::event::{Bytes, Event, EventKind};

/// Events, counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "event", rename = "stopped")]
pub struct Tally {
    /// Clients that asked.
    pub joined: u64,
    /// Clients that said goodbye.
    pub finished: u64,
    /// Clients that said goodbye without having got anywhere.
    pub gave_up: u64,
    /// Clients that fell silent.
    pub silent: u64,
    /// Clients that were dropped, as too slow or by hand.
    pub dropped: u64,
    /// Moves of clients to another group of their room.
    pub moved: u64,
    /// Datagrams that were ignored.
    pub rejected: u64,
    /// Files that changed or vanished.
    pub lost_images: u64,
    /// Sessions that began.
    pub sessions: u64,
    /// Bytes of payload sent.
    pub sent_bytes: u64,
    /// From start to stop.
    pub seconds: f64,
}

impl Tally {
    /// Counts one event.
    pub fn count(&mut self, event: &Event) {
        match &event.kind {
            EventKind::SessionStarted => self.sessions += 1,
            EventKind::SessionIdle { sent_bytes, .. } => self.sent_bytes += sent_bytes,
            EventKind::ClientJoined { .. } => self.joined += 1,
            EventKind::ClientFinished { .. } => self.finished += 1,
            EventKind::ClientGaveUp { .. } => self.gave_up += 1,
            EventKind::ClientSilent { .. } => self.silent += 1,
            EventKind::ClientDropped { .. } => self.dropped += 1,
            EventKind::ClientMoved { .. } => self.moved += 1,
            EventKind::Rejected { count, .. } => self.rejected += count,
            EventKind::ImageChanged { .. } | EventKind::ImageUnreadable { .. } => {
                self.lost_images += 1;
            }
            EventKind::SessionWaiting { .. }
            | EventKind::Reloaded { .. }
            | EventKind::ReloadFailed { .. }
            | EventKind::ImageReplaced { .. }
            | EventKind::ImageRemoved { .. }
            | EventKind::ImageDigesting { .. }
            | EventKind::ImageServed { .. }
            | EventKind::ImageRefused { .. }
            | EventKind::ImageEnded
            | EventKind::SendFailed { .. } => {}
        }
    }

    /// Notes how long it all took.
    pub fn ends_after(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        write!(
            f,
            "stopped after {:.1} s: {} client{} in {} session{}, {} finished, {} fell silent",
            self.seconds,
            self.joined,
            plural(self.joined),
            self.sessions,
            plural(self.sessions),
            self.finished,
            self.silent
        )?;
        if self.gave_up > 0 {
            write!(f, ", {} gave up", self.gave_up)?;
        }
        if self.dropped > 0 {
            write!(f, ", {} dropped", self.dropped)?;
        }
        if self.moved > 0 {
            write!(f, ", {} moved to another group", self.moved)?;
        }
        let gone = self.finished + self.gave_up + self.silent + self.dropped;
        let left = self.joined.saturating_sub(gone);
        if left > 0 {
            write!(f, ", {left} still receiving")?;
        }
        write!(f, "; sent {}", Bytes(self.sent_bytes))?;
        if self.rejected > 0 {
            write!(
                f,
                "; ignored {} datagram{}",
                self.rejected,
                plural(self.rejected)
            )?;
        }
        if self.lost_images > 0 {
            write!(
                f,
                "; {} image{} lost",
                self.lost_images,
                plural(self.lost_images)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use slam_client::Timestamp;

    use super::*;

    #[test]
    fn counts_and_tells() {
        let client = "10.0.0.7:1024".parse().unwrap();
        let mut tally = Tally::default();
        for kind in [
            EventKind::SessionStarted,
            EventKind::ClientJoined { client },
            EventKind::ClientJoined { client },
            EventKind::ClientFinished {
                client,
                file_bytes: 1,
                took: Duration::ZERO,
            },
            EventKind::ClientJoined { client },
            EventKind::ClientMoved {
                client,
                group: client,
                back: false,
                bits_per_second: None,
            },
            EventKind::ClientDropped {
                client,
                took: Duration::ZERO,
                by_hand: false,
                bits_per_second: None,
            },
            EventKind::Rejected {
                client,
                reason: String::new(),
                count: 3,
            },
            EventKind::SessionIdle {
                sent_blocks: 1,
                sent_bytes: 2048,
                file_bytes: 2048,
                took: Duration::ZERO,
            },
        ] {
            tally.count(&Event {
                at: Timestamp::ZERO,
                transfer: Some("demo".to_owned()),
                kind,
            });
        }
        tally.ends_after(Duration::from_millis(1500));
        assert_eq!(
            tally.to_string(),
            "stopped after 1.5 s: 3 clients in 1 session, 1 finished, 0 fell silent, 1 dropped, \
             1 moved to another group, 1 still receiving; sent 2.0 KiB; ignored 3 datagrams"
        );
        assert_eq!(
            serde_json::to_string(&tally).unwrap(),
            r#"{"event":"stopped","joined":3,"finished":1,"gave_up":0,"silent":0,"dropped":1,"moved":1,"rejected":3,"lost_images":0,"sessions":1,"sent_bytes":2048,"seconds":1.5}"#
        );
    }
}
