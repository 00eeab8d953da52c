// SPDX-License-Identifier: MIT OR Apache-2.0
//! The outer side of one session: its socket, its content, and what is told of it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

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

impl Endpoint {
    pub(super) fn open(planned: &Planned) -> Result<Endpoint, SocketError> {
        let socket = SessionSocket::open(planned.local, planned.ttl)?;
        if planned.slow_groups.is_empty() {
            // Several groups have a rate each.
            socket.pace_below(planned.max_rate);
        }
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
