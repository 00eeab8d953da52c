// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is printed while a server starts and runs.

use std::io::Write as _;
use std::time::SystemTime;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::observe::model::rfc3339_millis;
use crate::observe::status::Level;
use crate::observe::{BootEvent, Event};

/// Standard output, for people or for programs. Nobody reading it is no reason to stop serving,
/// so errors of writing are not errors of the server.
#[derive(Clone, Copy)]
pub(super) enum Output {
    /// A page, then a line for each event.
    People,
    /// One JSON object per line.
    Programs,
}

impl Output {
    pub(super) fn line<T: Serialize + std::fmt::Display>(self, what: &T) {
        match self {
            Output::People => write_line(&what.to_string()),
            Output::Programs => write_json(Level::Info, what),
        }
    }

    /// Of the boot services: those of the transfers have a time, since they are measured.
    pub(super) fn boot(self, event: &BootEvent) {
        match self {
            Output::People => write_line(&format!("     boot  {event}")),
            Output::Programs => write_json(event.level(), event),
        }
    }

    /// What stands in the way, and keeps nobody from serving.
    pub(super) fn warning(self, what: &str) {
        match self {
            Output::People => eprintln!("warning: {what}"),
            Output::Programs => {
                let event = "warning";
                write_json(Level::Warning, &Told { event, what });
            }
        }
    }

    /// What ended the server, where that is not for people to read.
    pub(super) fn failure(self, what: &str) -> bool {
        match self {
            Output::People => false,
            Output::Programs => {
                let event = "failed";
                write_json(Level::Error, &Told { event, what });
                true
            }
        }
    }

    pub(super) fn event(self, event: &Event) {
        match self {
            Output::People => write_line(&format!(
                "{:>9.3} s  {event}",
                event.at.since_start().as_secs_f64()
            )),
            Output::Programs => write_json(event.kind.level(), event),
        }
    }
}

/// Something in words.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    what: &'a str,
}

/// A line of JSON: when, how bad, and what.
#[derive(Serialize)]
struct Stamped<'a, T> {
    time: String,
    level: Level,
    #[serde(flatten)]
    what: &'a T,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the edge: logs are told by the day's time"
)]
fn write_json<T: Serialize>(level: Level, what: &T) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let time = rfc3339_millis(now.unwrap_or_default());
    match serde_json::to_string(&Stamped { time, level, what }) {
        Ok(json) => write_line(&json),
        Err(error) => eprintln!("error: this has no JSON form: {error}"),
    }
}

fn write_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// A bar on the terminal while files are digested; nothing where there is no terminal.
#[derive(Default)]
pub(super) struct DigestProgress {
    bar: Option<(String, ProgressBar)>,
}

impl DigestProgress {
    pub(super) fn show(&mut self, name: &str, done: u64, total: u64) {
        if self.bar.as_ref().is_none_or(|(shown, _)| shown != name) {
            self.finish();
            let bar = ProgressBar::new(total).with_message(format!("digesting {name}"));
            let style = "{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            self.bar = Some((name.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
    }

    pub(super) fn finish(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
