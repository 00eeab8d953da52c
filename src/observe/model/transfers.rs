// SPDX-License-Identifier: MIT OR Apache-2.0
//! One transfer: its session under way, and what it did in all.

use std::time::Duration;

use slam_client::Timestamp;

use super::{Moment, rfc3339};
use crate::observe::event::EventKind;
use crate::observe::look::LookedAt;
use crate::observe::status::{
    ClientState, ClientStatus, LaneStatus, Record, RecordClient, TransferState, TransferStatus,
    TransferTotals,
};
use crate::slam::{PartView, Phase, TransferView};

/// Clients of a session that its record names.
pub(super) const ROSTER: usize = 512;
/// What the rate is smoothed over.
const SMOOTHED: f64 = 2.0;

#[derive(Debug, Default)]
pub(super) struct Transfer {
    seen: Option<LookedAt>,
    at: Timestamp,
    totals: TransferTotals,
    session: Option<Session>,
    bits_per_second: f64,
}

/// A session under way.
#[derive(Debug, Default)]
struct Session {
    began: Moment,
    joined: u64,
    finished: u64,
    roster: Vec<RecordClient>,
}

impl Transfer {
    pub(super) fn count(&mut self, kind: &EventKind) {
        let totals = &mut self.totals;
        match kind {
            EventKind::ClientJoined { .. } => totals.joined += 1,
            EventKind::ClientFinished { .. } => totals.finished += 1,
            EventKind::ClientGaveUp { .. } => totals.gave_up += 1,
            EventKind::ClientSilent { .. } => totals.silent += 1,
            EventKind::ClientDropped { .. } => totals.dropped += 1,
            EventKind::ClientMoved { .. } => totals.moved += 1,
            EventKind::Rejected { count, .. } => totals.rejected += count,
            EventKind::SessionIdle { sent_bytes, .. } => totals.sent_bytes += sent_bytes,
            EventKind::SessionStarted => totals.sessions += 1,
            _ => {}
        }
        if let (EventKind::ClientJoined { .. }, Some(session)) = (kind, &mut self.session) {
            session.joined += 1;
        }
        if let (EventKind::ClientFinished { .. }, Some(session)) = (kind, &mut self.session) {
            session.finished += 1;
        }
    }

    /// Somebody is there.
    pub(super) fn begin(&mut self, now: Moment) {
        if self.session.is_none() {
            self.session = Some(Session {
                began: now,
                ..Session::default()
            });
        }
    }

    /// A client has left.
    pub(super) fn note(&mut self, client: RecordClient) {
        if let Some(session) = &mut self.session
            && session.roster.len() < ROSTER
        {
            session.roster.push(client);
        }
    }

    /// The session is over.
    pub(super) fn end(
        &mut self,
        sent_bytes: u64,
        file_bytes: u64,
        took: Duration,
        now: Moment,
    ) -> Option<Record> {
        self.bits_per_second = 0.0;
        if let Some(seen) = &mut self.seen {
            // What was shown of it last is over, too.
            seen.view = seen.view.take().map(|view| TransferView {
                phase: Phase::Idle,
                since: None,
                sent_blocks: 0,
                sent_bytes: 0,
                first_blocks: 0,
                lanes: Vec::new(),
                clients: Vec::new(),
                map: Vec::new(),
                ..view
            });
        }
        let mut session = self.session.take()?;
        session
            .roster
            .sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Some(Record {
            id: 0,
            transfer: String::new(),
            started: rfc3339(session.began.min(now)),
            seconds: took.as_secs_f64(),
            file_bytes,
            sent_bytes,
            joined: session.joined,
            finished: session.finished,
            clients: session.roster,
        })
    }

    /// The driver shows it.
    pub(super) fn show(&mut self, seen: LookedAt, at: Timestamp) {
        let sent = |seen: &LookedAt| seen.view.as_ref().map_or(0, |view| view.sent_bytes);
        let before = self.seen.as_ref().map_or(0, sent);
        let time = at.since(self.at).as_secs_f64();
        if let Some(bytes) = sent(&seen).checked_sub(before)
            && time > 0.0
        {
            let new = (time / SMOOTHED).min(1.0);
            let rate = bytes as f64 * 8.0 / time;
            self.bits_per_second += (rate - self.bits_per_second) * new;
        }
        self.at = at;
        self.seen = Some(seen);
    }

    pub(super) fn status<'a>(
        &self,
        name: &str,
        clients: impl Iterator<Item = &'a ClientStatus>,
    ) -> TransferStatus {
        let mut status = TransferStatus {
            name: name.to_owned(),
            totals: self.totals,
            ..TransferStatus::default()
        };
        let Some(seen) = &self.seen else {
            return status;
        };
        status.image.clone_from(&seen.image);
        status.group = seen.group.to_string();
        status.bytes = seen.bytes;
        status.expected = seen.expected.map(|count| count as u64);
        let Some(view) = &seen.view else {
            return status;
        };
        status.totals.sent_bytes += view.sent_bytes;
        status.held = view.held;
        status.present = view.clients.len() as u64;
        status.state = match view.phase {
            Phase::Idle => TransferState::Idle,
            Phase::Waiting { opens_at, .. } => {
                status.begins_in_seconds = opens_at
                    .filter(|_| !view.held)
                    .map(|opens_at| opens_at.since(self.at).as_secs_f64());
                TransferState::Waiting
            }
            Phase::Sending => TransferState::Sending,
        };
        if let Some(session) = &self.session {
            (status.joined, status.finished) = (session.joined, session.finished);
        }
        status.seconds = view.since.map(|since| self.at.since(since).as_secs_f64());
        status.bits_per_second = self.bits_per_second as u64;
        status.sent_bytes = view.sent_bytes;
        if view.sent_blocks > 0 {
            let again = view.sent_blocks.saturating_sub(view.first_blocks);
            status.repair_share = again as f64 / view.sent_blocks as f64;
        }
        status.lanes = view
            .lanes
            .iter()
            .map(|lane| LaneStatus {
                bits_per_second: lane.rate.bits_per_second(),
                clients: lane.clients as u64,
            })
            .collect();
        status.map = view.map.iter().map(letter).collect();
        let (mut held, mut count) = (0.0, 0u32);
        let mut left: Option<f64> = None;
        for client in clients {
            if matches!(client.state, ClientState::Receiving | ClientState::Waiting) {
                held += client.progress;
                count += 1;
                left = left.into_iter().chain(client.seconds_left).reduce(f64::max);
            }
        }
        if count > 0 {
            status.progress = held / f64::from(count);
        }
        status.seconds_left = left;
        status
    }
}

/// One part of the map.
fn letter(part: &PartView) -> char {
    match (part.sent, part.held) {
        (_, 100..) => '#',
        (0, 0) => '.',
        (_, held @ 1..) => char::from(b'1' + (u32::from(held) * 8 / 100).min(7) as u8),
        (100.., 0) => 'o',
        (_, 0) => '-',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_a_letter() {
        let letters = [
            (0, 0),
            (30, 0),
            (100, 0),
            (100, 1),
            (100, 50),
            (100, 99),
            (100, 100),
        ]
        .map(|(sent, held)| letter(&PartView { sent, held }));
        assert_eq!(letters, ['.', '-', 'o', '1', '5', '8', '#']);
    }
}
