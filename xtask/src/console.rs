// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program says, line by line, each with the host's time: the serial line of a machine, the
//! output of a server. Waiting for a line has a deadline, and its error carries the last lines.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::cmd::interrupted;

/// How often a wait looks whether we were interrupted.
const POLL: Duration = Duration::from_millis(50);
/// Lines that an error shows.
const TAIL: usize = 12;
/// A line longer than this is cut in two: a guest that never ends a line must not fill our memory.
const LONGEST_LINE: usize = 16 * 1024;

/// A moment to wait for at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    end: Instant,
    granted: Duration,
}

impl Deadline {
    /// `granted` from now.
    pub fn after(granted: Duration) -> Deadline {
        Deadline {
            end: now() + granted,
            granted,
        }
    }

    /// Time left; `None` once it has passed.
    pub fn left(&self) -> Option<Duration> {
        self.end
            .checked_duration_since(now())
            .filter(|left| !left.is_zero())
    }
}

/// The one clock of the lab.
#[expect(
    clippy::disallowed_methods,
    reason = "real machines are waited for in real time: this is the edge"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The clock that the network's stamps are of.
#[expect(
    clippy::disallowed_methods,
    reason = "the kernel stamps datagrams with the time of day"
)]
fn time_of_day() -> SystemTime {
    SystemTime::now()
}

/// One line, without its end, terminal sequences removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Since the console was opened.
    pub at: Duration,
    /// Which of the console's pipes it came from.
    pub source: &'static str,
    /// What it says.
    pub text: String,
}

/// Why waiting for a line ended without it.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {awaited} did not come {why}{tail}")]
pub struct WaitError {
    /// Whose console.
    pub name: String,
    /// What became of the wait.
    pub why: WaitEnd,
    /// The line that did not come.
    pub awaited: String,
    /// The last lines that did.
    pub tail: String,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitEnd {
    /// The deadline passed.
    #[error("within {:?}", .0)]
    TimedOut(Duration),
    /// Everything that could write has ended.
    #[error("before it ended")]
    Closed,
    /// SIGINT or SIGTERM came.
    #[error("before we were interrupted")]
    Interrupted,
}

/// A program's output, collected while it runs and copied to a log file.
#[derive(Clone)]
pub struct Console {
    name: Arc<str>,
    shared: Arc<Shared>,
}

struct Shared {
    start: Instant,
    /// The same moment by the clock that others stamp with.
    opened: SystemTime,
    state: Mutex<State>,
    news: Condvar,
}

struct State {
    lines: Vec<Line>,
    /// Text after the last line end, by source: what a program that hangs said last.
    partial: Vec<(&'static str, Vec<u8>)>,
    open: usize,
    log: File,
}

impl Console {
    /// A console for `name`, copied to the file `log`.
    pub fn open(name: &str, log: &Path) -> io::Result<Console> {
        if let Some(dir) = log.parent() {
            std::fs::create_dir_all(dir)?;
        }
        Ok(Console {
            name: name.into(),
            shared: Arc::new(Shared {
                start: now(),
                opened: time_of_day(),
                state: Mutex::new(State {
                    lines: Vec::new(),
                    partial: Vec::new(),
                    open: 0,
                    log: File::create(log)?,
                }),
                news: Condvar::new(),
            }),
        })
    }

    /// Where `source` writes to: hand it to the child and keep no copy, for the console ends when
    /// the last writer does.
    pub fn pipe(&self, source: &'static str) -> io::Result<PipeWriter> {
        let (read, write) = io::pipe()?;
        self.shared.lock().open += 1;
        let shared = self.shared.clone();
        std::thread::spawn(move || collect(&shared, source, read));
        Ok(write)
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The time of day of a moment on this console.
    pub fn time_of_day(&self, at: Duration) -> SystemTime {
        self.shared.opened + at
    }

    /// Waits for the first line from `cursor` on for which `pick` has an answer, and moves the
    /// cursor past it. `awaited` says what is waited for, in words that fit an error.
    pub fn wait<T>(
        &self,
        cursor: &mut usize,
        deadline: Deadline,
        awaited: &str,
        mut pick: impl FnMut(&Line) -> Option<T>,
    ) -> Result<T, WaitError> {
        let mut state = self.shared.lock();
        let why = loop {
            while let Some(line) = state.lines.get(*cursor) {
                *cursor += 1;
                if let Some(found) = pick(line) {
                    return Ok(found);
                }
            }
            if state.open == 0 {
                break WaitEnd::Closed;
            }
            if interrupted() {
                break WaitEnd::Interrupted;
            }
            let Some(left) = deadline.left() else {
                break WaitEnd::TimedOut(deadline.granted);
            };
            state = self
                .shared
                .news
                .wait_timeout(state, left.min(POLL))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        };
        drop(state);
        Err(WaitError {
            name: self.name.to_string(),
            why,
            awaited: awaited.to_owned(),
            tail: self.tail(),
        })
    }

    /// Waits for a line that contains `text`.
    pub fn wait_for(&self, text: &str, granted: Duration) -> Result<Line, WaitError> {
        let deadline = Deadline::after(granted);
        self.wait(&mut 0, deadline, &format!("`{text}`"), |line| {
            line.text.contains(text).then(|| line.clone())
        })
    }

    /// Every line so far.
    pub fn lines(&self) -> Vec<Line> {
        self.shared.lock().lines.clone()
    }

    /// The last lines, and what came after the last line end, indented to stand under an error.
    pub fn tail(&self) -> String {
        let state = self.shared.lock();
        let unfinished = state.partial.iter().map(|(source, bytes)| Line {
            at: self.shared.start.elapsed(),
            source,
            text: plain(bytes),
        });
        let lines: Vec<Line> = state.lines.iter().cloned().chain(unfinished).collect();
        let lines: Vec<&Line> = lines.iter().filter(|line| !line.text.is_empty()).collect();
        if lines.is_empty() {
            return "; it said nothing".to_owned();
        }
        let mut tail = "; its last lines:".to_owned();
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            let _ = write!(tail, "\n  [{:7.2} s] {}", line.at.as_secs_f64(), line.text);
        }
        tail
    }
}

impl Shared {
    /// A thread that panicked while it held the lock left whole lines behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collect(shared: &Shared, source: &'static str, mut read: PipeReader) {
    let mut partial = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = match read.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let mut state = shared.lock();
        for &byte in &chunk[..length] {
            if byte != b'\n' {
                partial.push(byte);
            }
            if byte == b'\n' || partial.len() >= LONGEST_LINE {
                state.add(shared.start.elapsed(), source, &partial);
                partial.clear();
            }
        }
        state.partial.retain(|(other, _)| *other != source);
        if !partial.is_empty() {
            state.partial.push((source, partial.clone()));
        }
        shared.news.notify_all();
    }
    let mut state = shared.lock();
    state.partial.retain(|(other, _)| *other != source);
    if !partial.is_empty() {
        state.add(shared.start.elapsed(), source, &partial);
    }
    state.open -= 1;
    shared.news.notify_all();
}

impl State {
    fn add(&mut self, at: Duration, source: &'static str, bytes: &[u8]) {
        let text = plain(bytes);
        // A full disk must not lose us the machine that we are watching: the lines stay in memory.
        let _ = writeln!(self.log, "[{:9.3}] {source}: {text}", at.as_secs_f64());
        self.lines.push(Line { at, source, text });
    }
}

/// Text as a person would see it: without terminal sequences (ECMA-48 CSI and the two-byte
/// escapes that SeaBIOS sends) and control characters.
fn plain(bytes: &[u8]) -> String {
    let mut text = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            0x1b => {
                if bytes.next() == Some(b'[') {
                    // Parameters, then one final byte.
                    let _ = bytes.find(|byte| (0x40..=0x7e).contains(byte));
                }
            }
            b'\t' => text.push(b' '),
            0..0x20 | 0x7f => {}
            byte => text.push(byte),
        }
    }
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> (Console, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let console = Console::open("client1", &dir.path().join("run/client1.log")).unwrap();
        (console, dir)
    }

    #[test]
    fn lines_arrive_whole_and_the_log_has_them() {
        let (console, dir) = console();
        let mut pipe = console.pipe("serial").unwrap();
        pipe.write_all(b"slamboot: rom").unwrap();
        pipe.write_all(b" up\r\n\x1bc\x1b[?7l\x1b[0;1miPXE\x1b[0m -- ok\r\nlast")
            .unwrap();
        drop(pipe);
        let line = console
            .wait_for("slamboot: rom up", Duration::from_secs(10))
            .unwrap();
        assert_eq!((line.source, &*line.text), ("serial", "slamboot: rom up"));
        console.wait_for("last", Duration::from_secs(10)).unwrap();
        let texts: Vec<_> = console.lines().into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["slamboot: rom up", "iPXE -- ok", "last"]);
        let log = std::fs::read_to_string(dir.path().join("run/client1.log")).unwrap();
        assert!(log.contains("serial: slamboot: rom up"), "{log}");
    }

    #[test]
    fn a_cursor_sees_every_line_once() {
        let (console, _dir) = console();
        let mut pipe = console.pipe("serial").unwrap();
        pipe.write_all(b"one\ntwo\none\n").unwrap();
        drop(pipe);
        let mut cursor = 0;
        let mut next = || {
            let deadline = Deadline::after(Duration::from_secs(10));
            console.wait(&mut cursor, deadline, "`one`", |line| {
                (line.text == "one").then_some(())
            })
        };
        next().unwrap();
        next().unwrap();
        assert_eq!(next().unwrap_err().why, WaitEnd::Closed);
    }

    #[test]
    fn an_error_carries_the_last_words_even_unfinished_ones() {
        let (console, _dir) = console();
        let mut pipe = console.pipe("serial").unwrap();
        for number in 0..40 {
            writeln!(pipe, "line {number}").unwrap();
        }
        pipe.write_all(b"Configuring (net0)......").unwrap();
        console
            .wait_for("line 39", Duration::from_secs(10))
            .unwrap();
        let error = console
            .wait_for("slamboot: rom up", Duration::from_millis(200))
            .unwrap_err();
        assert_eq!(
            error.why,
            WaitEnd::TimedOut(Duration::from_millis(200)),
            "the pipe is still open"
        );
        let error = error.to_string();
        assert!(
            error.starts_with(
                "client1: `slamboot: rom up` did not come within 200ms; its last lines:"
            ),
            "{error}"
        );
        assert!(
            error.contains("line 39") && !error.contains("line 5\n"),
            "{error}"
        );
        assert!(error.ends_with("Configuring (net0)......"), "{error}");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let (console, _dir) = console();
        let mut pipe = console.pipe("serial").unwrap();
        let writer = std::thread::spawn(move || {
            pipe.write_all(&vec![b'x'; 3 * LONGEST_LINE]).unwrap();
        });
        writer.join().unwrap();
        let mut cursor = 0;
        let deadline = Deadline::after(Duration::from_secs(10));
        for _ in 0..3 {
            let length = console
                .wait(&mut cursor, deadline, "a piece", |line| {
                    Some(line.text.len())
                })
                .unwrap();
            assert_eq!(length, LONGEST_LINE);
        }
    }
}
