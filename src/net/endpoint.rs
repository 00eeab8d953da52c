// SPDX-License-Identifier: MIT OR Apache-2.0
//! The outer side of one session: its socket, its content, and what is told of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use site::BitRate;
use slam_client::Timestamp;
use slam_client::wire::TransferHeader;

use super::content::Content;
use super::plan::Planned;
use super::socket::{SessionSocket, SocketError};
use crate::observe::{Event, EventKind};
use crate::slam::{Lane, Refusal, Rejection, SessionEvent};

/// How often events of one kind that anybody on the network can cause are told.
const QUIET: Duration = Duration::from_secs(1);

/// The outer side of one session.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) planned: Planned,
    /// What it is to be once nobody is left.
    pub(super) next: Next,
    pub(super) socket: SessionSocket,
    /// `None`: no file yet, or none any more.
    pub(super) serving: Option<Serving>,
    /// Since when something else waits for its session to end.
    pub(super) waiting_since: Option<Timestamp>,
    /// What was found not to fit, and told.
    pub(super) refused_content: Option<Arc<Content>>,
    pub(super) refused: Refused,
    send_failed: Quiet,
}

/// What a session serves.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) content: Arc<Content>,
    pub(super) header: TransferHeader,
}

/// What a new configuration makes of an endpoint.
#[derive(Debug)]
pub(super) enum Next {
    Stay,
    Become(Box<Planned>),
    End,
}

/// Why a datagram was ignored.
#[derive(Debug, thiserror::Error)]
pub(super) enum Reason {
    #[error(transparent)]
    Refused(Refusal),
    #[error(transparent)]
    Rejected(Rejection),
}

/// Datagrams that were ignored and not told yet.
#[derive(Debug, Default)]
pub(super) struct Refused {
    count: u64,
    last: Option<(SocketAddr, Reason)>,
    quiet: Quiet,
}

impl Refused {
    /// Notes one: no more than this is done for each.
    pub(super) fn hold(&mut self, from: SocketAddr, reason: Reason) {
        self.count += 1;
        self.last = Some((from, reason));
    }
}

/// Tells the first of a kind of event, then no more for a while.
#[derive(Debug, Default)]
struct Quiet {
    until: Option<Timestamp>,
}

impl Quiet {
    fn may_tell(&mut self, now: Timestamp) -> bool {
        let may = self.until.is_none_or(|until| now >= until);
        if may {
            self.until = Some(now + QUIET);
        }
        may
    }
}

/// What the kernel may send for the socket of one session; several groups have a rate each.
fn paced(planned: &Planned) -> Option<BitRate> {
    planned.slow_groups.is_empty().then_some(planned.max_rate)
}

impl Endpoint {
    pub(super) fn open(planned: &Planned) -> Result<Endpoint, SocketError> {
        let socket = SessionSocket::open(planned.local, planned.ttl)?;
        socket.pace_below(paced(planned));
        Ok(Endpoint {
            socket,
            planned: planned.clone(),
            next: Next::Stay,
            serving: None,
            waiting_since: None,
            refused_content: None,
            refused: Refused::default(),
            send_failed: Quiet::default(),
        })
    }

    /// Takes another plan that the same socket serves.
    pub(super) fn become_planned(&mut self, planned: Planned) {
        self.socket.pace_below(paced(&planned));
        self.planned = planned;
    }

    pub(super) fn tell(
        &mut self,
        lane: Lane,
        event: SessionEvent,
        now: Timestamp,
        on_event: &mut dyn FnMut(&Event),
    ) {
        let serving = self.serving.as_ref();
        let file_bytes = serving.map_or(0, |serving| serving.header.total_bytes());
        let kind = match event {
            SessionEvent::Started => EventKind::SessionStarted,
            SessionEvent::ClientJoined(client) => EventKind::ClientJoined { client },
            SessionEvent::ClientFinished { client, after } => EventKind::ClientFinished {
                client,
                file_bytes,
                took: after,
            },
            SessionEvent::ClientGaveUp {
                client,
                after,
                missing,
            } => EventKind::ClientGaveUp {
                client,
                took: after,
                missing,
            },
            SessionEvent::ClientSilent { client, silent_for } => {
                EventKind::ClientSilent { client, silent_for }
            }
            SessionEvent::Rejected { from, reason } => {
                self.refused.hold(from, Reason::Rejected(reason));
                self.tell_refused(now, on_event);
                return;
            }
            SessionEvent::Waiting(start) => EventKind::SessionWaiting {
                for_clients: start.clients,
                at_most: start.wait,
            },
            SessionEvent::ClientDropped {
                client,
                after,
                goodput,
                by_hand,
            } => EventKind::ClientDropped {
                client,
                took: after,
                by_hand,
                bits_per_second: goodput.map(site::BitRate::bits_per_second),
            },
            SessionEvent::ClientMoved { client, goodput } => EventKind::ClientMoved {
                client,
                group: self.planned.group(lane),
                back: lane == Lane::FIRST,
                bits_per_second: goodput.map(site::BitRate::bits_per_second),
            },
            SessionEvent::Idle(totals) => EventKind::SessionIdle {
                sent_blocks: totals.sent_blocks,
                sent_bytes: totals.sent_bytes,
                file_bytes,
                took: totals.took,
            },
        };
        self.event(now, kind, on_event);
    }

    /// Tells what was ignored, if it is time to.
    pub(super) fn tell_refused(&mut self, now: Timestamp, on_event: &mut dyn FnMut(&Event)) {
        if self.refused.count > 0 && self.refused.quiet.may_tell(now) {
            self.tell_held_back(now, on_event);
        }
    }

    /// Tells what was ignored.
    pub(super) fn tell_held_back(&mut self, now: Timestamp, on_event: &mut dyn FnMut(&Event)) {
        let Some((client, reason)) = self.refused.last.take() else {
            return;
        };
        let kind = EventKind::Rejected {
            client,
            reason: reason.to_string(),
            count: std::mem::take(&mut self.refused.count),
        };
        self.event(now, kind, on_event);
    }

    pub(super) fn trouble(
        &mut self,
        error: &io::Error,
        now: Timestamp,
        on_event: &mut dyn FnMut(&Event),
    ) {
        if self.send_failed.may_tell(now) {
            let what = error.to_string();
            self.event(now, EventKind::SendFailed { what }, on_event);
        }
    }

    pub(super) fn event(&self, at: Timestamp, kind: EventKind, on_event: &mut dyn FnMut(&Event)) {
        on_event(&Event {
            at,
            transfer: Some(self.planned.label.clone()),
            kind,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use site::{SlowClients, Transfer, TransferPart};

    use super::*;
    use crate::slam::Start;

    fn planned(megabits: u64, slow_groups: Vec<SocketAddr>) -> Planned {
        let group = SocketAddr::from(([239, 255, 1, 1], 10000));
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Planned {
            transfer: Transfer {
                image: "demo".to_owned(),
                part: TransferPart::Disk,
                path: "demo.img".into(),
                priority: site::Priority::default(),
                port: 0,
                group,
                slow_groups: slow_groups.clone(),
            },
            host: Ipv4Addr::LOCALHOST,
            local,
            group,
            slow_groups,
            label: "demo".to_owned(),
            ttl: 1,
            block_size: 1454,
            max_rate: BitRate::from_bits_per_second(megabits * 1_000_000),
            start: Start::AT_ONCE,
            slow_clients: SlowClients::Serve,
            allowed: None,
        }
    }

    /// After SIGHUP the kernel must not hold back what the new configuration allows.
    #[test]
    fn the_kernel_learns_of_another_ceiling() {
        let mut endpoint = Endpoint::open(&planned(100, Vec::new())).unwrap();
        assert_eq!(endpoint.socket.ceiling(), 13_125_000);
        endpoint.become_planned(planned(1000, Vec::new()));
        assert_eq!(endpoint.socket.ceiling(), 131_250_000);
        let slow = SocketAddr::from(([239, 255, 2, 1], 10000));
        endpoint.become_planned(planned(1000, vec![slow]));
        assert_eq!(endpoint.socket.ceiling(), u64::MAX);
        endpoint.become_planned(planned(100, Vec::new()));
        assert_eq!(endpoint.socket.ceiling(), 13_125_000);
    }
}
