// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a machine downloads over HTTP, as the server hands it out.

use std::time::Duration;

use super::Moment;
use crate::observe::status::ClientStatus;

/// What rates are smoothed over, in seconds.
const SMOOTHED: f64 = 3.0;

/// A download, under way or over.
#[derive(Debug)]
pub(super) struct Download {
    file: String,
    since: Moment,
    /// `None`: it goes on.
    took: Option<Duration>,
    held: u64,
    total: u64,
    bits_per_second: f64,
    at: Moment,
}

impl Download {
    pub(super) fn new(file: &str, held: u64, total: u64, now: Moment) -> Download {
        Download {
            file: file.to_owned(),
            since: now,
            took: None,
            held,
            total,
            bits_per_second: 0.0,
            at: now,
        }
    }

    /// Whether it is one of this file that goes on.
    pub(super) fn is_of(&self, file: &str) -> bool {
        self.file == file && self.took.is_none()
    }

    pub(super) fn reaches(&mut self, held: u64, now: Moment) {
        let time = now.saturating_sub(self.at).as_secs_f64();
        if time > 0.0 {
            let got = held.saturating_sub(self.held) as f64 * 8.0 / time;
            self.bits_per_second += (got - self.bits_per_second) * (time / SMOOTHED).min(1.0);
        }
        (self.at, self.held) = (now, held);
    }

    pub(super) fn end(&mut self, broke_off_at: Option<u64>, now: Moment) {
        self.held = broke_off_at.unwrap_or(self.total);
        self.took = Some(now.saturating_sub(self.since));
        self.bits_per_second = 0.0;
    }

    /// As far as it is.
    pub(super) fn show(&self, status: &mut ClientStatus, now: Moment) {
        status.download = Some(self.file.clone());
        status.bits_per_second = self.bits_per_second as u64;
        status.lost = None;
        status.progress = match self.total {
            0 => 1.0,
            total => (self.held as f64 / total as f64).min(1.0),
        };
        let since = now.saturating_sub(self.since);
        status.seconds = Some(self.took.unwrap_or(since).as_secs_f64());
        let left = self.total.saturating_sub(self.held) as f64 * 8.0;
        let goes_on = self.took.is_none() && self.bits_per_second > 1000.0;
        status.seconds_left = goes_on.then(|| left / self.bits_per_second);
    }
}
