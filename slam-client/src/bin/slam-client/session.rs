// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands between the network and the target: counts, tells, stops.

use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use slam_client::wire::TransferHeader;
use slam_client::{BlockSet, Receiver, Sink, Stats, Timestamp};

use crate::report::{Event, Look, Outcome, Progress, size};
use crate::sidecar::bytes_in;
use crate::target::{Agreement, Target, TargetError};
use crate::unpack::Format;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One run.
pub(crate) struct Session {
    target: Box<dyn Target>,
    pub(crate) progress: Progress,
    stop: Arc<AtomicBool>,
    /// When the server was first heard.
    began: Option<Timestamp>,
    next_look: Timestamp,
    ended: Timestamp,
    /// Bytes from an earlier run.
    resumed: u64,
    /// Bytes taken by this run, and those among them that came by HTTP.
    received: u64,
    by_http: u64,
    /// Whether blocks of both multicast and HTTP are in the image.
    mixed: bool,
    /// Say so when an image looks packed and is not unpacked.
    watch_packed: bool,
}

impl Session {
    pub(crate) fn new(
        target: Box<dyn Target>,
        progress: Progress,
        stop: Arc<AtomicBool>,
        resumed: u64,
        watch_packed: bool,
    ) -> Self {
        Session {
            target,
            progress,
            stop,
            began: None,
            next_look: Timestamp::ZERO,
            ended: Timestamp::ZERO,
            resumed,
            received: 0,
            by_http: 0,
            mixed: false,
            watch_packed,
        }
    }

    /// The transfer at hand, or the one that an earlier run has left, and its blocks.
    pub(crate) fn taken(&self) -> Option<(&TransferHeader, &BlockSet)> {
        self.target.taken()
    }

    /// Whether a server was heard, by multicast or HTTP.
    pub(crate) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// Takes blocks that came by HTTP.
    pub(crate) fn write_from_http(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.mixed |= self.resumed + self.received > self.by_http;
        self.by_http += bytes.len() as u64;
        self.write(offset, &mut [IoSlice::new(bytes)])
    }

    /// Shows how far it is, and says whether to go on.
    pub(crate) fn tick(&mut self, now: Timestamp) -> ControlFlow<()> {
        self.ended = now;
        if now >= self.next_look {
            self.next_look = now + LOOK_EVERY;
            let look = self.look(now);
            self.progress.show(now, look);
            self.target.checkpoint(now);
        }
        if self.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// How far it is; `None` until the server has been heard, since until then it may send
    /// something else than what an earlier run left.
    fn look(&self, now: Timestamp) -> Option<Look> {
        let began = self.began?;
        let (header, held) = self.target.taken()?;
        Some(Look {
            done: bytes_in(header, held),
            total: header.total_bytes(),
            gaps: held.gaps(header.block_count()).count(),
            received: self.received,
            elapsed: now.since(began),
        })
    }

    /// The image is whole.
    pub(crate) fn finish(self, path: String, stats: &Stats) -> Result<Outcome, TargetError> {
        let header = self.target.taken().map(|(header, _)| *header);
        let delivered = self.target.finish(self.mixed)?;
        let Some(header) = header else {
            return Err(TargetError::Stream(io::ErrorKind::UnexpectedEof.into()));
        };
        if delivered.agreement == Agreement::Doubtful {
            self.progress.warn(&format!(
                "the transaction {} is not made from the digest, as slamboot's are; --sha256 \
                 checks the digest for certain",
                header.transaction()
            ));
        }
        let began = self.began.unwrap_or(self.ended);
        let seconds = self.ended.since(began).as_secs_f64();
        let (unpacked_bytes, unpacked_sha256) = delivered
            .unpacked
            .map_or((None, None), |(bytes, sha256)| (Some(bytes), sha256));
        Ok(Outcome {
            path,
            bytes: header.total_bytes(),
            sha256: delivered.sha256,
            verified: delivered.verified,
            agreement: match delivered.agreement {
                Agreement::Demanded => "demanded",
                Agreement::Transaction => "transaction",
                Agreement::Unknown => "unknown",
                Agreement::Doubtful => "doubtful",
            },
            unpacked_bytes,
            unpacked_sha256,
            transaction: header.transaction().0.get(),
            block_size: header.block_size().get(),
            resumed_bytes: self.resumed,
            http_bytes: self.by_http,
            spilled_bytes: delivered.spilled,
            waited_seconds: began.since_start().as_secs_f64(),
            seconds,
            mib_per_s: if seconds > 0.0 {
                self.received as f64 / 1_048_576.0 / seconds
            } else {
                0.0
            },
            duplicates: stats.duplicates,
            nacks: stats.nacks,
            solicits: stats.solicits,
            restarts: stats.restarts,
            ignored: stats.rejected,
        })
    }

    /// It will not be whole; how many bytes a later run need not fetch.
    pub(crate) fn keep(self) -> Result<u64, TargetError> {
        self.target.keep()
    }
}

impl Sink for Session {
    fn begin(&mut self, now: Timestamp, header: &TransferHeader, anew: bool) -> io::Result<()> {
        self.began.get_or_insert(now);
        let (total, blocks) = (header.total_bytes(), header.block_count());
        let what = format!(
            "{} in {blocks} blocks, transaction {}",
            size(total),
            header.transaction()
        );
        let text = if anew {
            self.resumed = 0;
            self.received = 0;
            self.by_http = 0;
            self.mixed = false;
            format!("the server sends another file: starting anew with {what}")
        } else {
            format!("receiving {what}")
        };
        let event = Event::Started {
            bytes: total,
            blocks,
            block_size: header.block_size().get(),
            transaction: header.transaction().0.get(),
            anew,
        };
        self.progress.say(&text, &event);
        self.target.begin(header, anew)
    }

    fn write(&mut self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.received += parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if offset == 0
            && self.watch_packed
            && let Some(format) = parts.first().and_then(|first| Format::of(first))
        {
            self.progress.warn(&format!(
                "this begins like a {} file, and is written as it is; --unpack unpacks it",
                format.name()
            ));
        }
        self.target.write(offset, parts)
    }

    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        self.target.read(offset, data)
    }

    fn observe(&mut self, now: Timestamp, _receiver: &Receiver) -> ControlFlow<()> {
        self.tick(now)
    }
}
