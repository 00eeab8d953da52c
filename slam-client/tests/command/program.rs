// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command as a process.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use slam_client::Clock;

/// The command.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_slam-client");
const DEADLINE: Duration = Duration::from_secs(30);

/// A directory that goes with the test.
pub struct Room {
    /// Where it is.
    pub directory: tempfile::TempDir,
}

impl Room {
    /// An empty one.
    pub fn new() -> Self {
        Room {
            directory: tempfile::tempdir().expect("a directory"),
        }
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The names of all that is in it.
    pub fn files(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.directory.path())
            .expect("read")
            .map(|entry| {
                entry
                    .expect("entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        names.sort();
        names
    }
}

/// Starts the command, with a file as its target.
pub fn start(uri: &str, output: &Path, more: &[&str]) -> Child {
    Command::new(PROGRAM)
        .arg(uri)
        .arg("-o")
        .arg(output)
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// Runs it: exit status, standard output, standard error.
pub fn run(uri: &str, output: &Path, more: &[&str]) -> (i32, String, String) {
    outcome(start(uri, output, more))
}

/// What became of it.
pub fn outcome(child: Child) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// As Ctrl-C does.
pub fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
}

/// Waits until it is done, but not for ever.
pub fn poll(what: &str, mut done: impl FnMut() -> bool) {
    let clock = Clock::start();
    while !done() {
        assert!(
            clock.now().since_start() < DEADLINE,
            "waited in vain: {what}"
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Starts the command with these arguments.
pub fn spawn<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Child {
    Command::new(PROGRAM)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts")
}

/// The command, watched until its end: its outcome and the most memory it held, in bytes.
pub fn watch(child: Child) -> ((i32, String, String), u64) {
    let status = format!("/proc/{}/status", child.id());
    let waiting = std::thread::spawn(move || outcome(child));
    let mut peak = 0;
    while !waiting.is_finished() {
        // VmHWM is the peak of what is resident (proc(5)); a zombie has none.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        std::thread::sleep(Duration::from_millis(5));
    }
    (waiting.join().expect("no panic"), peak)
}
