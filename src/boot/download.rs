// SPDX-License-Identifier: MIT OR Apache-2.0
//! How far somebody is who downloads a content over HTTP, told while it goes on and when it is over.
//!
//! What was handed to the connection counts: the kernel holds some of that, a few megabytes at most.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::report::Reports;
use crate::observe::BootEvent;

/// Less is over before anybody looks, and a machine that reads a disk over HTTP asks for a thousand parts.
const LEAST: u64 = 1 << 20;
/// Told so often.
const PERIOD: Duration = Duration::from_secs(1);

/// A download under way; over when it is dropped.
pub(super) struct Download {
    reports: Arc<Reports>,
    client: SocketAddr,
    file: String,
    bytes: u64,
    range: Range<u64>,
    at: u64,
    began: Instant,
    told: Option<Instant>,
}

impl Download {
    /// Of `range` of a file of so many bytes, if that is worth a word: a part that ends before the file
    /// does is none of a download that goes on.
    pub(super) fn of(
        reports: &Arc<Reports>,
        client: SocketAddr,
        file: &str,
        range: Range<u64>,
        bytes: u64,
    ) -> Option<Download> {
        let worth = range.end == bytes && range.end - range.start >= LEAST;
        worth.then(|| Download {
            reports: Arc::clone(reports),
            client,
            file: file.to_owned(),
            bytes,
            at: range.start,
            range,
            began: Instant::now(),
            told: None,
        })
    }

    /// So much of the file is on its way.
    pub(super) fn reaches(&mut self, at: u64) {
        self.at = at;
        let now = Instant::now();
        if at < self.range.end && self.told.is_none_or(|told| now - told >= PERIOD) {
            self.told = Some(now);
            self.reports.tell(BootEvent::Downloading {
                client: self.client,
                file: self.file.clone(),
                held: at,
                bytes: self.bytes,
            });
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // Whoever asked for the head alone took nothing.
        if self.at == self.range.start {
            return;
        }
        let (client, file, took) = (self.client, self.file.clone(), self.began.elapsed());
        self.reports.tell(if self.at == self.range.end {
            BootEvent::HttpSent {
                client,
                file,
                bytes: self.range.end - self.range.start,
                took,
            }
        } else {
            BootEvent::HttpBrokeOff {
                client,
                file,
                held: self.at,
                bytes: self.bytes,
            }
        });
    }
}
