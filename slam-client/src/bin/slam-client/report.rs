// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the user sees: progress while it runs, the result when it is done.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use slam_client::Timestamp;

const LINE_EVERY: Duration = Duration::from_secs(2);

/// Progress on standard error: a bar on a terminal, a line now and then elsewhere.
pub(crate) enum Progress {
    Quiet,
    Bar(ProgressBar),
    Lines { next: Timestamp },
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

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        if quiet {
            Progress::Quiet
        } else if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.set_message("asking the server");
            Progress::Bar(bar)
        } else {
            Progress::Lines {
                next: Timestamp::ZERO + LINE_EVERY,
            }
        }
    }

    /// Something that is said once.
    pub(crate) fn say(&self, text: &str) {
        match self {
            Progress::Quiet => {}
            Progress::Bar(bar) => bar.println(text),
            Progress::Lines { .. } => eprintln!("{text}"),
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
                match look {
                    None => eprintln!("still asking the server"),
                    Some(look) => eprintln!(
                        "{:5.1} %  {} of {}  {}  {}",
                        look.done as f64 * 100.0 / look.total as f64,
                        size(look.done),
                        size(look.total),
                        rate(look.received, look.elapsed),
                        gaps(look.gaps)
                    ),
                }
            }
            (Progress::Quiet | Progress::Lines { .. }, _) => {}
        }
    }

    pub(crate) fn end(&self) {
        if let Progress::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// The result, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Where the file is.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Transaction of the transfer.
    pub(crate) transaction: u64,
    pub(crate) block_size: u16,
    /// Bytes that an earlier run had received.
    pub(crate) resumed_bytes: u64,
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
        format!(
            "{}: {} bytes{resumed} in {:.2} s, {}, after waiting {:.2} s for the server\n\
             {} duplicate block(s), {} NACK(s) sent, {} of them solicited, {} datagram(s) ignored\n\
             sha256 {}",
            self.path,
            self.bytes,
            self.seconds,
            rate(received, seconds),
            self.waited_seconds,
            self.duplicates,
            self.nacks,
            self.solicits,
            self.ignored,
            self.sha256,
        )
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
