// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user sees: progress while it runs, the result when it is done.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use slam_client::Timestamp;

const LINE_EVERY: Duration = Duration::from_secs(2);
const EVENT_EVERY: Duration = Duration::from_secs(1);

/// What the user sees: on standard error a bar on a terminal, a line now and then elsewhere; or
/// events for programs.
pub(crate) enum Progress {
    Quiet,
    Bar(ProgressBar),
    Lines { next: Timestamp },
    Events { out: Stream, next: Timestamp },
}

/// Where results and events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Output,
    /// Standard output is the image's.
    Error,
}

/// What happens, one JSON object a line, told apart by `event`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// The group is joined.
    Listening {
        server: String,
        group: String,
        interfaces: Vec<String>,
    },
    /// Something that is no error, and that one should know.
    Warning { message: &'a str },
    /// The device that is written to.
    Device { path: &'a str, size: u64 },
    /// An earlier run has left blocks.
    Found { bytes: u64, total: u64 },
    /// The server is heard. `anew`: it sends something else than before.
    Started {
        bytes: u64,
        blocks: u64,
        block_size: u16,
        transaction: u64,
        anew: bool,
    },
    /// Once a second.
    Progress {
        done: u64,
        total: u64,
        gaps: usize,
        mbit_per_s: f64,
    },
    /// Multicast has failed; the rest comes by HTTP.
    Fallback { url: &'a str, reason: &'a str },
    /// The image is whole and in its place. The last event of a run that succeeds.
    Complete(&'a Outcome),
    /// The last event of a run that fails.
    Failed {
        message: String,
        exit_code: u8,
        /// Bytes that the next run need not fetch.
        kept: u64,
    },
}

impl Stream {
    /// One line; an error is nobody's.
    pub(crate) fn line(self, text: &str) {
        let _ = match self {
            Stream::Output => writeln!(io::stdout(), "{text}"),
            Stream::Error => writeln!(io::stderr(), "{text}"),
        };
    }
}

/// A look at the transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Bytes stored.
    pub(crate) done: u64,
    /// Bytes in the file.
    pub(crate) total: u64,
    /// Stretches missing.
    pub(crate) gaps: usize,
    /// Received by this run, and in what time.
    pub(crate) received: u64,
    pub(crate) elapsed: Duration,
}

impl Look {
    fn mbit_per_s(&self) -> f64 {
        match self.elapsed.as_secs_f64() {
            0.0 => 0.0,
            seconds => self.received as f64 * 8.0 / 1e6 / seconds,
        }
    }
}

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            Progress::Quiet
        } else if io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.set_message("asking the server");
            Progress::Bar(bar)
        } else {
            Progress::Lines {
                next: Timestamp::ZERO + LINE_EVERY,
            }
        }
    }

    pub(crate) fn events(out: Stream) -> Self {
        let next = Timestamp::ZERO;
        Progress::Events { out, next }
    }

    /// Something that happens once: `text` for people, `event` for programs.
    pub(crate) fn say(&self, text: &str, event: &Event<'_>) {
        match self {
            Progress::Quiet => {}
            Progress::Bar(bar) => bar.println(text),
            Progress::Lines { .. } => Stream::Error.line(text),
            Progress::Events { out, .. } => out.line(&json(event)),
        }
    }

    /// Something that one should know, quiet or not.
    pub(crate) fn warn(&self, message: &str) {
        match self {
            Progress::Quiet => Stream::Error.line(&format!("warning: {message}")),
            _ => self.say(&format!("warning: {message}"), &Event::Warning { message }),
        }
    }

    pub(crate) fn show(&mut self, now: Timestamp, look: Option<Look>) {
        match (self, look) {
            (Progress::Bar(bar), None) => bar.tick(),
            (Progress::Bar(bar), Some(look)) => {
                if bar.length() != Some(look.total) {
                    let style = "{bar:40} {binary_bytes}/{binary_total_bytes}  {msg}";
                    bar.set_style(
                        ProgressStyle::with_template(style)
                            .unwrap_or_else(|_| ProgressStyle::default_bar()),
                    );
                    bar.set_length(look.total);
                }
                bar.set_position(look.done);
                bar.set_message(format!(
                    "{}  {}",
                    rate(look.received, look.elapsed),
                    gaps(look.gaps)
                ));
            }
            (Progress::Lines { next }, look) if now >= *next => {
                *next = now + LINE_EVERY;
                Stream::Error.line(&match look {
                    None => "still asking the server".to_owned(),
                    Some(look) => format!(
                        "{:5.1} %  {} of {}  {}  {}",
                        look.done as f64 * 100.0 / look.total as f64,
                        size(look.done),
                        size(look.total),
                        rate(look.received, look.elapsed),
                        gaps(look.gaps)
                    ),
                });
            }
            (Progress::Events { out, next }, Some(look)) if now >= *next => {
                *next = now + EVENT_EVERY;
                out.line(&json(&Event::Progress {
                    done: look.done,
                    total: look.total,
                    gaps: look.gaps,
                    mbit_per_s: look.mbit_per_s(),
                }));
            }
            (Progress::Quiet | Progress::Lines { .. } | Progress::Events { .. }, _) => {}
        }
    }

    pub(crate) fn end(&self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

pub(crate) fn json(event: &Event<'_>) -> String {
    serde_json::to_string(event)
        .unwrap_or_else(|error| format!("{{\"event\":\"unprintable: {error}\"}}"))
}

/// The result.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Where the image is.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// Of the image as it was sent; nothing where a device was not read back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha256: Option<String>,
    /// It was read back from the disk.
    pub(crate) verified: bool,
    /// What the digest agrees with: demanded, transaction, unknown or doubtful.
    pub(crate) agreement: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unpacked_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unpacked_sha256: Option<String>,
    /// Transaction of the transfer.
    pub(crate) transaction: u64,
    pub(crate) block_size: u16,
    /// Bytes that an earlier run had received.
    pub(crate) resumed_bytes: u64,
    /// Bytes that came by HTTP.
    pub(crate) http_bytes: u64,
    /// Most bytes that waited for their turn in a temporary file.
    pub(crate) spilled_bytes: u64,
    /// From the command's start until the server was heard.
    pub(crate) waited_seconds: f64,
    /// From then until the last block.
    pub(crate) seconds: f64,
    pub(crate) mib_per_s: f64,
    pub(crate) duplicates: u64,
    pub(crate) nacks: u64,
    pub(crate) solicits: u64,
    pub(crate) restarts: u32,
    pub(crate) ignored: u64,
}

impl Outcome {
    /// The result for people.
    pub(crate) fn text(&self) -> String {
        let received = self.bytes - self.resumed_bytes;
        let seconds = Duration::from_secs_f64(self.seconds);
        let resumed = match self.resumed_bytes {
            0 => String::new(),
            bytes => format!(" ({} were there already)", size(bytes)),
        };
        let mut lines = vec![format!(
            "{}: {} bytes{resumed} in {:.2} s, {}, after waiting {:.2} s for the server\n\
             {} duplicate block(s), {} NACK(s) sent, {} of them solicited, {} datagram(s) ignored",
            self.path,
            self.bytes,
            self.seconds,
            rate(received, seconds),
            self.waited_seconds,
            self.duplicates,
            self.nacks,
            self.solicits,
            self.ignored,
        )];
        if self.http_bytes > 0 {
            lines.push(format!("{} of it by HTTP", size(self.http_bytes)));
        }
        if let Some(bytes) = self.unpacked_bytes {
            lines.push(format!("{bytes} bytes after unpacking"));
        }
        if self.verified {
            lines.push("read back from the disk: it is what was received".to_owned());
        }
        match &self.sha256 {
            Some(sha256) => {
                let agrees = match self.agreement {
                    "demanded" => ", as demanded",
                    "transaction" => ", which the transaction confirms",
                    _ => "",
                };
                lines.push(format!("sha256 {sha256}{agrees}"));
            }
            None => lines.push("not read back; --verify does that".to_owned()),
        }
        lines.join("\n")
    }
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

fn rate(bytes: u64, elapsed: Duration) -> String {
    match elapsed.as_secs_f64() {
        0.0 => "- Mbit/s".to_owned(),
        seconds => format!("{:.0} Mbit/s", bytes as f64 * 8.0 / 1e6 / seconds),
    }
}

fn gaps(gaps: usize) -> String {
    match gaps {
        1 => "1 gap".to_owned(),
        gaps => format!("{gaps} gaps"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(200 << 20), "200.0 MiB");
        assert_eq!(size(3 << 30), "3.00 GiB");
        assert_eq!(rate(125_000_000, Duration::from_secs(1)), "1000 Mbit/s");
        assert_eq!(rate(1, Duration::ZERO), "- Mbit/s");
    }
}
