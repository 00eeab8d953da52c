// SPDX-License-Identifier: MIT OR Apache-2.0
//! External programs: printed before they run, their output shown when they fail, and ended with
//! everything that they started when we are interrupted or drop them. The only user of duct.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use duct::Handle;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::console::Deadline;

/// How often a running program is asked whether it has ended, and we whether we were interrupted.
const POLL: Duration = Duration::from_millis(50);
/// How long the last lines of a program that has ended are waited for, where somebody else could still write more.
const LATE: Duration = Duration::from_secs(2);
/// How long a program has to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// Why a program did not do what it was started for.
#[derive(Debug, thiserror::Error)]
pub enum CmdError {
    /// It is not there, or may not be executed.
    #[error("cannot start `{program}`: {source}; install it, or put it on PATH")]
    Start {
        /// What was looked for.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with something other than success.
    #[error("`{command}` failed: {status}{}", shown(.output))]
    Failed {
        /// The command as typed.
        command: String,
        /// `exit status: 2`, `signal: 9`.
        status: String,
        /// What it printed, where that was captured.
        output: String,
    },
    /// Ctrl-C, SIGTERM, or a time limit.
    #[error("`{command}` was ended: {reason}")]
    Ended {
        /// The command as typed.
        command: String,
        /// By what.
        reason: &'static str,
    },
    /// Talking to it failed.
    #[error("`{command}`: {source}")]
    Io {
        /// The command as typed.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What cargo tells the programs that it runs, of the package that they are of. A cargo that these start would
/// hand it on to build scripts that look at it (ring's do), and build again what depends on them, each
/// time for another package.
fn of_cargo() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    let others = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    names
        .filter(|name| {
            let name = name.to_string_lossy();
            prefixes.iter().any(|prefix| name.starts_with(prefix)) || others.contains(&&*name)
        })
        .collect()
}

fn shown(output: &str) -> String {
    match output.trim_end() {
        "" => String::new(),
        text => format!("\n{text}"),
    }
}

/// A command as a value: tests compare its [`Display`](fmt::Display), which a shell accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a command does nothing until it is run"]
pub struct Cmd {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    without: Vec<OsString>,
    dir: Option<PathBuf>,
    limit: Option<Duration>,
}

impl Cmd {
    /// `program`, looked up on PATH.
    pub fn new(program: impl AsRef<OsStr>) -> Cmd {
        Cmd {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            without: Vec::new(),
            dir: None,
            limit: None,
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Cmd {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Cmd {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// An environment variable for this program only.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Cmd {
        self.env
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// One variable of our environment that it does not get.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Cmd {
        self.without.push(name.as_ref().to_owned());
        self
    }

    /// This command as the arguments of another: `ip netns exec NAME` before it, say.
    pub fn through(self, wrapper: Cmd) -> Cmd {
        let whole = wrapper.arg(self.program).args(self.args);
        Cmd {
            env: [whole.env, self.env].concat(),
            without: [whole.without, self.without].concat(),
            dir: self.dir.or(whole.dir),
            limit: self.limit.or(whole.limit),
            ..whole
        }
    }

    /// Its working directory.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Cmd {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// End it after `limit`.
    pub fn limit(mut self, limit: Duration) -> Cmd {
        self.limit = Some(limit);
        self
    }

    /// Prints the command, runs it on our terminal, and waits.
    pub fn run(&self) -> Result<(), CmdError> {
        println!("$ {self}");
        self.start(&self.expression())?.wait(self.limit)
    }

    /// Runs it silently; its standard output, or on failure an error that carries both outputs.
    pub fn read(&self) -> Result<String, CmdError> {
        let bytes = self.read_bytes()?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// [`read`](Cmd::read) for output that is no text.
    pub fn read_bytes(&self) -> Result<Vec<u8>, CmdError> {
        let running = self.start(&self.expression().stdout_capture().stderr_capture())?;
        running.wait(self.limit)?;
        let output = running.handle.wait().map_err(|e| self.io(e))?;
        Ok(output.stdout.clone())
    }

    /// Runs it and hands every line of both outputs to `line` as it comes.
    pub fn lines(&self, mut line: impl FnMut(&str)) -> Result<(), CmdError> {
        let (read, write) = std::io::pipe().map_err(|e| self.io(e))?;
        let running = self.start(&{
            let write_too = write.try_clone().map_err(|e| self.io(e))?;
            self.expression().stdout_file(write).stderr_file(write_too)
        })?;
        let (send, receive) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut read = BufReader::new(read);
            let mut bytes = Vec::new();
            while matches!(read.read_until(b'\n', &mut bytes), Ok(n) if n > 0) {
                let text = String::from_utf8_lossy(&bytes);
                if send.send(text.trim_end().to_owned()).is_err() {
                    return;
                }
                bytes.clear();
            }
        });
        let mut left = self.limit;
        loop {
            match receive.recv_timeout(POLL) {
                Ok(text) => line(&text),
                // Whoever inherited the pipe may outlive the program: its end is what counts.
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(reason) = due(&mut left) {
                        running.end();
                        return Err(self.ended(reason));
                    }
                    if running.ended()? {
                        break;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // On a busy machine what it said last may still be on its way here.
        let late = Deadline::after(LATE);
        while let Some(left) = late.left()
            && let Ok(text) = receive.recv_timeout(left)
        {
            line(&text);
        }
        let result = running.wait(left);
        if reader.is_finished() {
            let _ = reader.join();
        }
        result
    }

    /// Starts it in the background, standard output and error together into the file `log`;
    /// dropping the result ends it.
    pub fn spawn(&self, log: &Path) -> Result<Running, CmdError> {
        let file = std::fs::File::create(log).map_err(|e| self.io(e))?;
        self.start(&self.expression().stderr_to_stdout().stdout_file(file))
    }

    /// [`spawn`](Cmd::spawn), its standard input coming from a pipe.
    pub fn spawn_fed(&self, input: PipeReader, log: &Path) -> Result<Running, CmdError> {
        let file = std::fs::File::create(log).map_err(|e| self.io(e))?;
        let expression = self.expression_on(|program| program.stdin_file(input));
        self.start(&expression.stderr_to_stdout().stdout_file(file))
    }

    /// Starts it in the background with its outputs going into two pipes; dropping the result ends
    /// it.
    pub fn spawn_into(&self, out: PipeWriter, err: PipeWriter) -> Result<Running, CmdError> {
        self.start(&self.expression().stdout_file(out).stderr_file(err))
    }

    fn expression(&self) -> duct::Expression {
        self.expression_on(duct::Expression::stdin_null)
    }

    fn expression_on(
        &self,
        stdin: impl FnOnce(&duct::Expression) -> duct::Expression,
    ) -> duct::Expression {
        let mut expression = stdin(&duct::cmd(&self.program, &self.args));
        if let Some(dir) = &self.dir {
            expression = expression.dir(dir);
        }
        let foreign = self.program == "cargo";
        for name in self
            .without
            .iter()
            .cloned()
            .chain(foreign.then(of_cargo).into_iter().flatten())
        {
            expression = expression.env_remove(name);
        }
        for (name, value) in &self.env {
            expression = expression.env(name, value);
        }
        // A process group of its own, so that ending it ends what it started, too.
        expression.unchecked().before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
    }

    fn start(&self, expression: &duct::Expression) -> Result<Running, CmdError> {
        interrupted(); // the handler stands before there is anything to end
        let handle = expression.start().map_err(|source| CmdError::Start {
            program: self.program.to_string_lossy().into_owned(),
            source,
        })?;
        Ok(Running {
            handle,
            command: self.clone(),
        })
    }

    fn io(&self, source: std::io::Error) -> CmdError {
        CmdError::Io {
            command: self.to_string(),
            source,
        }
    }

    fn ended(&self, reason: &'static str) -> CmdError {
        CmdError::Ended {
            command: self.to_string(),
            reason,
        }
    }
}

impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(dir) = &self.dir {
            write!(f, "cd {} && ", quoted(dir.as_os_str()))?;
        }
        for (name, value) in &self.env {
            write!(f, "{}={} ", name.to_string_lossy(), quoted(value))?;
        }
        f.write_str(&quoted(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quoted(arg))?;
        }
        Ok(())
    }
}

/// As a shell wants it.
fn quoted(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A started program; dropping it ends its whole process group.
pub struct Running {
    handle: Handle,
    command: Cmd,
}

impl Running {
    /// Its process id, which is its process group's, too.
    pub fn pid(&self) -> Option<u32> {
        self.handle.pids().first().copied()
    }

    /// Whether it has ended.
    pub fn ended(&self) -> Result<bool, CmdError> {
        let output = self.handle.try_wait().map_err(|e| self.command.io(e))?;
        Ok(output.is_some())
    }

    /// Waits for its end, at most `limit`, and only until we are interrupted.
    pub fn wait(&self, limit: Option<Duration>) -> Result<(), CmdError> {
        let mut left = limit;
        loop {
            match self.handle.wait_timeout(POLL) {
                Ok(Some(output)) if output.status.success() => return Ok(()),
                Ok(Some(output)) => {
                    let printed = [&output.stdout[..], &output.stderr[..]].concat();
                    return Err(CmdError::Failed {
                        command: self.command.to_string(),
                        status: output.status.to_string(),
                        output: String::from_utf8_lossy(&printed).into_owned(),
                    });
                }
                Ok(None) => {}
                Err(source) => return Err(self.command.io(source)),
            }
            if let Some(reason) = due(&mut left) {
                self.end();
                return Err(self.command.ended(reason));
            }
        }
    }

    /// SIGTERM to the whole group, SIGKILL for what is left of it after a grace period.
    pub fn end(&self) {
        if matches!(self.handle.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::TERM);
        if !matches!(self.handle.wait_timeout(GRACE), Ok(Some(_))) {
            self.signal(Signal::KILL);
            let _ = self.handle.wait();
        }
    }

    /// Sends `signal` to the whole group.
    pub fn signal(&self, signal: Signal) {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes one [`POLL`] from what is left; why the program must end now, if it must.
fn due(left: &mut Option<Duration>) -> Option<&'static str> {
    if interrupted() {
        return Some("interrupted");
    }
    let left = left.as_mut()?;
    *left = left.saturating_sub(POLL);
    left.is_zero().then_some("it took longer than allowed")
}

/// Whether SIGINT or SIGTERM has come; a second one ends us at once.
pub fn interrupted() -> bool {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    let flag = FLAG.get_or_init(|| {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Failure means that the default stays: the signal ends us.
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, flag.clone());
            let _ = signal_hook::flag::register(signal, flag.clone());
        }
        flag
    });
    flag.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Deadline;

    #[test]
    fn prints_what_a_shell_accepts() {
        let cmd =
            Cmd::new("make")
                .dir("/tmp/a b")
                .env("V", "1")
                .args(["-j2", "bin/ipxe.lkrn", "it's"]);
        assert_eq!(
            cmd.to_string(),
            r"cd '/tmp/a b' && V=1 make -j2 bin/ipxe.lkrn 'it'\''s'"
        );
    }

    #[test]
    fn a_command_goes_through_another() {
        let inner = Cmd::new("curl").arg("-s").env("A", "1").dir("/tmp");
        let outer = Cmd::new("ip").args(["netns", "exec", "x"]);
        assert_eq!(
            inner.through(outer).to_string(),
            "cd /tmp && A=1 ip netns exec x curl -s"
        );
    }

    #[test]
    fn failure_shows_what_was_printed() {
        let error = Cmd::new("sh")
            .args(["-c", "echo out; echo err >&2; exit 3"])
            .read()
            .unwrap_err()
            .to_string();
        for part in ["exit code 3", "out", "err"] {
            let part = part.replace("exit code", "exit status:");
            assert!(error.contains(&part), "{error}");
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Cmd::new("slamboot-no-such").read().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("cannot start `slamboot-no-such`"),
            "{error}"
        );
    }

    #[test]
    fn lines_come_from_both_outputs() {
        let mut lines = Vec::new();
        Cmd::new("sh")
            .args(["-c", "echo one; echo two >&2; printf three"])
            .lines(|line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
    }

    /// What a program said last is read, though it has ended before it comes.
    #[test]
    fn late_lines_are_not_lost() {
        let mut lines = Vec::new();
        Cmd::new("sh")
            .args(["-c", "(sleep 0.4; echo late) & echo early"])
            .lines(|line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(lines, ["early", "late"]);
    }

    #[test]
    fn a_limit_ends_the_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let pid_file = dir.path().join("pid");
        let error = Cmd::new("sh")
            .args(["-c", r#"sleep 1000 & echo $! > "$0"; wait"#])
            .arg(&pid_file)
            .limit(Duration::from_millis(500))
            .read()
            .unwrap_err();
        assert!(matches!(error, CmdError::Ended { .. }), "{error}");
        let pid = std::fs::read_to_string(pid_file).unwrap();
        // The orphan dies of the signal and is reaped by init, each in its own time.
        let deadline = Deadline::after(Duration::from_secs(10));
        let stat = format!("/proc/{}/stat", pid.trim());
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            assert!(deadline.left().is_some(), "{pid} still runs");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn what_is_held_goes_when_its_input_ends() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let (read, gate) = std::io::pipe().unwrap();
        let held = Cmd::new("sh").args(["-c", "read -r go; echo gone"]);
        let running = held.spawn_fed(read, &log).unwrap();
        assert!(!running.ended().unwrap());
        drop(gate);
        running.wait(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(std::fs::read_to_string(log).unwrap(), "gone\n");
    }

    #[test]
    fn dropping_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let running = Cmd::new("sleep")
            .arg("1000")
            .spawn(&dir.path().join("log"))
            .unwrap();
        let pid = running.pid().unwrap();
        drop(running);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
