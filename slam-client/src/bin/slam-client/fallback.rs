// SPDX-License-Identifier: MIT OR Apache-2.0
//! What multicast does not bring, by HTTP: the whole image, or the blocks that are missing, by
//! ranges (RFC 9110, section 14) where the server offers them.

use std::io::{self, Read};
use std::ops::Range;
use std::time::Duration;

use slam_client::wire::{BlockSize, TransactionId, TransferHeader, VarInt, WireError};
use slam_client::{BlockIndex, Clock, Sink};
use ureq::http::{HeaderMap, StatusCode, header};
use ureq::{Agent, Body};

use crate::session::Session;

/// Block size of an image that was never heard of by multicast. No server sends such blocks: they
/// exceed every MTU.
const HTTP_BLOCK: u64 = 1 << 15;
/// What lies between gaps is fetched again rather than asked for separately, up to this many
/// bytes: less than a request costs.
const BRIDGE: u64 = 256 << 10;
/// Bytes read before they are handed on.
const READ: usize = 1 << 20;
/// Failures in a row, without a new byte between them, before giving up.
const TRIES: u32 = 5;
/// Wait after the first of them; then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why HTTP did not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FallbackError {
    #[error("{url}: {source}")]
    Request {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error("{url}: expected status 200 or 206, found {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url}: the server does not say how long it is")]
    NoLength { url: String },
    #[error("{url}: expected '{header}' to say {expected}, found '{found}'")]
    Range {
        url: String,
        header: &'static str,
        expected: String,
        found: String,
    },
    #[error("{url}: {source}")]
    Empty { url: String, source: WireError },
    #[error("{url}: expected at most {limit} bytes, found {found}")]
    TooLarge { url: String, limit: u64, found: u64 },
    #[error("{url}: the server answers, and sends nothing of what is missing")]
    Nothing { url: String },
    #[error("{url}: it breaks off: {source}")]
    Body { url: String, source: io::Error },
    #[error("cannot store what came: {0}")]
    Sink(#[source] io::Error),
}

impl FallbackError {
    /// Whether it may pass by itself.
    fn is_passing(&self) -> bool {
        match self {
            FallbackError::Body { .. } | FallbackError::Nothing { .. } => true,
            FallbackError::Request { source, .. } => matches!(
                **source,
                ureq::Error::Io(_)
                    | ureq::Error::Timeout(_)
                    | ureq::Error::ConnectionFailed
                    | ureq::Error::Protocol(_)
            ),
            FallbackError::Status { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    Complete,
    /// By the user.
    Stopped,
}

/// What does not change while it goes on.
struct Source<'a> {
    agent: Agent,
    url: &'a str,
    max_bytes: u64,
    /// Which version of the file it is: its entity tag, or its date (RFC 9110, section 8.8).
    version: Option<String>,
}

/// Fetches what is missing.
pub(crate) fn fetch(
    url: &str,
    session: &mut Session,
    clock: Clock,
    timeout: Duration,
    max_bytes: u64,
) -> Result<Fetched, FallbackError> {
    let config = Agent::config_builder()
        // The server is on this network; a proxy for the world outside would be in the way.
        .proxy(None)
        .http_status_as_error(false)
        .user_agent(concat!("slam-client/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(timeout))
        .timeout_recv_response(Some(timeout))
        .timeout_per_read(Some(timeout))
        .build();
    let mut source = Source {
        agent: config.into(),
        url,
        max_bytes,
        version: None,
    };
    let mut failures = 0;
    loop {
        let held = |session: &Session| session.taken().map_or(0, |(_, held)| held.len());
        let before = held(session);
        let failure = match source.attempt(session, clock) {
            Ok(Some(fetched)) => return Ok(fetched),
            // Something came, or all of it was dropped to start anew.
            Ok(None) if held(session) != before => {
                failures = 0;
                continue;
            }
            Ok(None) => FallbackError::Nothing {
                url: url.to_owned(),
            },
            Err(failure) => failure,
        };
        failures = if held(session) > before {
            1
        } else {
            failures + 1
        };
        if !failure.is_passing() || failures >= TRIES {
            return Err(failure);
        }
        let until = clock.now() + FIRST_WAIT * (1 << (failures - 1));
        while clock.now() < until {
            if session.tick(clock.now()).is_break() {
                return Ok(Fetched::Stopped);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

impl Source<'_> {
    /// One request: the whole file, or from the first missing block on. `None`: more is missing.
    fn attempt(
        &mut self,
        session: &mut Session,
        clock: Clock,
    ) -> Result<Option<Fetched>, FallbackError> {
        let wanted = match session.taken() {
            Some((header, held)) if held.len() == header.block_count() => {
                return Ok(Some(Fetched::Complete));
            }
            Some((header, held)) => Some(first_missing(header, held.gaps(header.block_count()))),
            None => None,
        };
        let mut request = self.agent.get(self.url);
        if let Some(range) = &wanted {
            let range = format!("bytes={}-{}", range.start, range.end - 1);
            request = request.header(header::RANGE, range);
            if let Some(version) = &self.version {
                request = request.header(header::IF_RANGE, version);
            }
        }
        let mut response = request.call().map_err(|source| FallbackError::Request {
            url: self.url.to_owned(),
            source: Box::new(source),
        })?;
        let (start, total) = self.extent(response.status(), response.headers(), response.body())?;
        let end = match (&wanted, response.status()) {
            (Some(range), StatusCode::PARTIAL_CONTENT) if start == range.start => range.end,
            (Some(range), StatusCode::PARTIAL_CONTENT) => {
                let expected = format!("a range from {}", range.start);
                return Err(self.wrong_range(expected, response.headers()));
            }
            _ => total,
        };
        self.agree(session, clock, total, response.headers())?;
        let mut body = response.body_mut().with_config().limit(u64::MAX).reader();
        // After a change of the file this is the middle of the new one: nothing of it fits.
        let header = session.taken().map(|(header, _)| *header);
        let size = header.map_or(1, |header| u64::from(header.block_size().get()));
        if !start.is_multiple_of(size) {
            return Ok(None);
        }
        self.take(session, clock, &mut body, start..end.min(total))
    }

    /// From where on the body is, and how long the file.
    fn extent(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: &Body,
    ) -> Result<(u64, u64), FallbackError> {
        let url = || self.url.to_owned();
        let (start, total) = match status {
            StatusCode::OK => {
                let length = text(headers, &header::CONTENT_LENGTH)
                    .and_then(|it| it.parse().ok())
                    .or(body.content_length());
                (
                    0,
                    length.ok_or_else(|| FallbackError::NoLength { url: url() })?,
                )
            }
            // The file is shorter than what is missing: another one, which will be fetched whole.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
                let range = text(headers, &header::CONTENT_RANGE).and_then(content_range);
                range.ok_or_else(|| {
                    self.wrong_range("bytes FIRST-LAST/LENGTH".to_owned(), headers)
                })?
            }
            status => return Err(FallbackError::Status { url: url(), status }),
        };
        if total > self.max_bytes {
            return Err(FallbackError::TooLarge {
                url: url(),
                limit: self.max_bytes,
                found: total,
            });
        }
        Ok((start, total))
    }

    /// Starts the transfer, or starts it anew where this is another file than what is held.
    fn agree(
        &mut self,
        session: &mut Session,
        clock: Clock,
        total: u64,
        headers: &HeaderMap,
    ) -> Result<(), FallbackError> {
        let version = [header::ETAG, header::LAST_MODIFIED]
            .iter()
            .filter_map(|name| text(headers, name))
            // A weak tag does not promise the same bytes (RFC 9110, section 13.1.5).
            .find(|version| !version.starts_with("W/"))
            .map(str::to_owned);
        let known = session.taken().map(|(header, _)| *header);
        let found =
            header_of(total, version.as_deref()).map_err(|source| FallbackError::Empty {
                url: self.url.to_owned(),
                source,
            })?;
        let same = known.is_some_and(|known| {
            let changed = self.version.is_some() && self.version != version;
            let by_http = u64::from(known.block_size().get()) == HTTP_BLOCK;
            // What an earlier run fetched may be another version, if nothing tells versions apart.
            let told_apart = version.is_some() || session.has_begun();
            !changed && known.total_bytes() == total && (!by_http || known == found && told_apart)
        });
        self.version = version;
        let begun = match known {
            Some(_) if same && session.has_begun() => Ok(()),
            Some(known) if same => session.begin(clock.now(), &known, false),
            Some(_) => session.begin(clock.now(), &found, true),
            None => session.begin(clock.now(), &found, false),
        };
        begun.map_err(FallbackError::Sink)
    }

    /// Takes from a body the blocks that are missing.
    fn take(
        &self,
        session: &mut Session,
        clock: Clock,
        body: &mut impl Read,
        range: Range<u64>,
    ) -> Result<Option<Fetched>, FallbackError> {
        let Some(header) = session.taken().map(|(header, _)| *header) else {
            return Ok(None);
        };
        let size = usize::from(header.block_size().get());
        let mut buffer = vec![0; (READ / size).max(1) * size];
        let mut at = range.start;
        while at < range.end {
            if session.tick(clock.now()).is_break() {
                return Ok(Some(Fetched::Stopped));
            }
            let want = (buffer.len() as u64).min(range.end - at) as usize;
            let (len, failure) = fill(body, &mut buffer[..want]);
            // Of a body that broke off, the blocks that are whole.
            let whole = if len == want { len } else { len / size * size };
            let first = at / size as u64;
            let blocks = first..first + whole.div_ceil(size) as u64;
            for run in missing(session, blocks) {
                let from = (run.start - first) as usize * size;
                let to = ((run.end - first) as usize * size).min(whole);
                session
                    .write_from_http(run.start * size as u64, &buffer[from..to])
                    .map_err(FallbackError::Sink)?;
            }
            if let Some(source) = failure {
                let url = self.url.to_owned();
                return Err(FallbackError::Body { url, source });
            }
            at += len as u64;
        }
        Ok(None)
    }

    fn wrong_range(&self, expected: String, headers: &HeaderMap) -> FallbackError {
        FallbackError::Range {
            url: self.url.to_owned(),
            header: "Content-Range",
            expected,
            found: text(headers, &header::CONTENT_RANGE)
                .unwrap_or("nothing")
                .to_owned(),
        }
    }
}

/// Bytes of the first gap, and of those that follow it closely.
fn first_missing(header: &TransferHeader, gaps: impl Iterator<Item = Range<u64>>) -> Range<u64> {
    let size = u64::from(header.block_size().get());
    let mut bytes = gaps.map(|gap| gap.start * size..(gap.end * size).min(header.total_bytes()));
    let mut range = bytes.next().unwrap_or(0..header.total_bytes());
    for gap in bytes {
        if gap.start - range.end > BRIDGE {
            break;
        }
        range.end = gap.end;
    }
    range
}

/// The runs of `blocks` that are missing.
fn missing(session: &Session, blocks: Range<u64>) -> Vec<Range<u64>> {
    let Some((_, held)) = session.taken() else {
        return Vec::new();
    };
    let (mut at, mut runs) = (blocks.start, Vec::new());
    while at < blocks.end {
        let held = held.run_from(BlockIndex(at));
        let held = held.map_or(blocks.end..blocks.end, |run| {
            run.start.min(blocks.end)..run.end.min(blocks.end)
        });
        if at < held.start {
            runs.push(at..held.start);
        }
        at = held.end;
    }
    runs
}

/// The header that an image has which only HTTP tells of.
fn header_of(total: u64, version: Option<&str>) -> Result<TransferHeader, WireError> {
    // Below 2^32, where no transaction made from a digest is meant.
    let transaction = u64::from(crc32fast::hash(version.unwrap_or_default().as_bytes()));
    let transaction = VarInt::new(transaction).unwrap_or_else(|| unreachable!("32 bits"));
    TransferHeader::new(
        TransactionId(transaction),
        total,
        BlockSize::new(HTTP_BLOCK)?,
    )
}

fn text<'h>(headers: &'h HeaderMap, name: &header::HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// First byte and length of the whole (RFC 9110, section 14.4).
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let total = total.parse().ok()?;
    if range == "*" {
        return Some((total, total));
    }
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < total).then_some((first, total))
}

/// Reads until the buffer is full or something fails; how much it read.
fn fill(body: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut len = 0;
    while len < buffer.len() {
        match body.read(&mut buffer[len..]) {
            Ok(0) => return (len, Some(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (len, Some(error)),
        }
    }
    (len, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 10)));
        assert_eq!(content_range("bytes */10"), Some((10, 10)));
        for wrong in [
            "",
            "bytes",
            "bytes 5-9",
            "bytes 5-9/*",
            "bytes 9-5/10",
            "bytes 5-10/10",
            "lines 5-9/10",
            "bytes -/10",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn close_gaps_are_fetched_as_one() {
        let transaction = TransactionId(VarInt::new(1).unwrap());
        let size = BlockSize::new(1024).unwrap();
        let header = TransferHeader::new(transaction, 1_000_000, size).unwrap();
        let gaps = [1..2, 200..201, 900..977].into_iter();
        assert_eq!(first_missing(&header, gaps), 1024..201 * 1024);
        let gaps = [900..977].into_iter();
        assert_eq!(first_missing(&header, gaps), 900 * 1024..1_000_000);
    }
}
