// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other people's programs: found, run to their end, their complaints kept.

use std::ffi::OsStr;
use std::io::{self, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use super::write::{Progress, Step, Watch};

/// How often somebody who wants to break off is asked while a program says nothing.
const PATIENCE: Duration = Duration::from_millis(200);
/// The end of what a program said, which is enough for its complaint.
const SAID: usize = 64 << 10;

/// A program that is not there, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// None of its names can be started.
    #[error(
        "{what} takes the program {name}, which is not installed: apt-get install {package} (Debian, Ubuntu)"
    )]
    Missing {
        /// What it is for.
        what: &'static str,
        /// Its first name.
        name: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// It could not be started or waited for.
    #[error("cannot run {command}")]
    Run {
        /// As typed.
        command: String,
        /// Why.
        source: io::Error,
    },
    /// It says that it failed.
    #[error("{command} failed ({status}): {said}")]
    Failed {
        /// As typed.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it said.
        said: String,
    },
    /// The watcher said so.
    #[error("interrupted; nothing is left behind")]
    Interrupted,
}

/// A program that may have several names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    pub names: &'static [&'static str],
    pub package: &'static str,
}

/// Debian's wimtools.
pub(super) const WIMLIB: Tool = Tool {
    names: &["wimlib-imagex"],
    package: "wimtools",
};
/// Debian's 7zip, or the older p7zip-full.
pub(super) const SEVEN_ZIP: Tool = Tool {
    names: &["7zz", "7z"],
    package: "7zip",
};
/// Debian's qemu-utils.
pub(super) const QEMU_IMG: Tool = Tool {
    names: &["qemu-img"],
    package: "qemu-utils",
};
/// Debian's xorriso.
pub(super) const XORRISO: Tool = Tool {
    names: &["xorriso"],
    package: "xorriso",
};

impl Tool {
    /// The name under which it is on the PATH.
    pub fn find(self) -> Option<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let names = self.names.iter().copied();
        names.into_iter().find(|name| {
            std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
        })
    }

    /// Runs it with these arguments and input; what it prints.
    pub fn run<I, S>(
        self,
        what: &'static str,
        arguments: I,
        input: &[u8],
    ) -> Result<Vec<u8>, ToolError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let (mut command, typed) = self.command(what, arguments)?;
        let run = |source| ToolError::Run {
            command: typed.clone(),
            source,
        };
        let mut child = command.spawn().map_err(run)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A few lines, which a pipe holds; who does not read them says why itself.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(run)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(ToolError::Failed {
            command: typed,
            status: output.status.to_string(),
            said: tail(&output.stderr, &output.stdout),
        })
    }

    /// Runs it as `work` of `total` bytes: it says on standard output how far it is, in percent.
    /// It ends where the watcher breaks off.
    pub fn run_watched<I, S>(
        self,
        work: Work,
        arguments: I,
        input: &[u8],
        watch: &mut Watch,
    ) -> Result<(), ToolError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let (mut command, typed) = self.command(work.what, arguments)?;
        let run = |source| ToolError::Run {
            command: typed.clone(),
            source,
        };
        let mut child = command.spawn().map_err(run)?;
        if let Some(mut stdin) = child.stdin.take() {
            let _ = stdin.write_all(input);
        }
        let (tell, told) = mpsc::channel();
        let mut said: [Vec<u8>; 2] = Default::default();
        std::thread::scope(|scope| {
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let for_errors = tell.clone();
            scope.spawn(move || stdout.map(|pipe| listen(pipe, 0, &tell)));
            scope.spawn(move || stderr.map(|pipe| listen(pipe, 1, &for_errors)));
            let mut done = 0;
            loop {
                match told.recv_timeout(PATIENCE) {
                    Ok((which, bytes)) => {
                        let text = &mut said[which];
                        text.extend(bytes);
                        let excess = text.len().saturating_sub(SAID);
                        text.drain(..excess);
                        if let Some(percent) = (which == 0).then(|| percent(text)).flatten() {
                            done = (work.total as f64 * percent / 100.0) as u64;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return Ok(()),
                }
                let progress = Progress {
                    step: work.step,
                    done: done.min(work.total),
                    total: work.total,
                };
                if watch(progress).is_break() {
                    // What it wrote is in a place of ours, and goes with that.
                    let _ = child.kill();
                    return Err(ToolError::Interrupted);
                }
            }
        })
        .inspect_err(|_| drop(child.wait()))?;
        let status = child.wait().map_err(run)?;
        if status.success() {
            return Ok(());
        }
        Err(ToolError::Failed {
            command: typed,
            status: status.to_string(),
            said: tail(&said[1], &said[0]),
        })
    }

    /// The command, and as one would type it.
    fn command<I, S>(self, what: &'static str, arguments: I) -> Result<(Command, String), ToolError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let name = self.find().ok_or(ToolError::Missing {
            what,
            name: self.names[0],
            package: self.package,
        })?;
        let mut command = Command::new(name);
        command
            .args(arguments)
            // Paths in WIMs have no case; messages in English.
            .env("WIMLIB_IMAGEX_IGNORE_CASE", "1")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let typed = typed(&command);
        Ok((command, typed))
    }
}

/// What a program is doing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// For whoever lacks the program.
    pub what: &'static str,
    pub step: Step,
    /// Bytes that it works on.
    pub total: u64,
}

/// Passes on what is said, until nothing more is.
fn listen(mut pipe: impl Read, which: usize, tell: &Sender<(usize, Vec<u8>)>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut buffer) {
        // Who no longer listens has killed it.
        let _ = tell.send((which, buffer[..length].to_vec()));
    }
}

/// The last percentage in a text: `(27%) done` of wimlib, `(27.41/100%)` of qemu-img.
fn percent(text: &[u8]) -> Option<f64> {
    let end = text.iter().rposition(|byte| *byte == b'%')?;
    let start = text[..end].iter().rposition(|byte| *byte == b'(')? + 1;
    let number = str::from_utf8(&text[start..end]).ok()?;
    let number: f64 = number.split('/').next()?.trim().parse().ok()?;
    (0.0..=100.0).contains(&number).then_some(number)
}

fn typed(command: &Command) -> String {
    let program = command.get_program();
    std::iter::once(program)
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The last lines that say something, of the first text that has any.
fn tail(stderr: &[u8], stdout: &[u8]) -> String {
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let lines: Vec<&str> = text
            .split(['\n', '\r'])
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines[lines.len().saturating_sub(4)..].join("; ")
    };
    let said = last(stderr);
    if said.is_empty() { last(stdout) } else { said }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    const FALSE: Tool = Tool {
        names: &["slamboot-has-no-such-program", "sh"],
        package: "dash",
    };

    #[test]
    fn what_failed_is_told() {
        let error = FALSE
            .run("a test", ["-c", "echo one; echo two >&2; exit 3"], b"")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "sh -c echo one; echo two >&2; exit 3 failed (exit status: 3): two"
        );
        let said = FALSE.run("a test", ["-c", "cat"], b"abc").unwrap();
        assert_eq!(said, b"abc");
    }

    #[test]
    fn how_far_it_is_and_who_breaks_it_off() {
        assert_eq!(
            percent(b"2 MiB of 57 MiB (4%) done\rx: 3 MiB of 57 MiB (5%"),
            Some(5.0)
        );
        assert_eq!(percent(b"    (73.39/100%)\r    (76.50/100%)\r"), Some(76.5));
        assert_eq!(percent(b"Using LZX compression (fast)"), None);
        assert_eq!(percent(b"100%"), None);
        let work = Work {
            what: "a test",
            step: Step::Change,
            total: 1000,
        };
        let mut seen = Vec::new();
        let text = "printf '(10%%)\r'; sleep 0.05; printf '(55.5/100%%)\r'";
        FALSE
            .run_watched(work, ["-c", text], b"", &mut |progress| {
                seen.push(progress.done);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(seen.contains(&100), "{seen:?}");
        assert_eq!(seen.last(), Some(&555));
        let error = FALSE
            .run_watched(work, ["-c", "exec sleep 100"], b"", &mut |_| {
                ControlFlow::Break(())
            })
            .unwrap_err();
        assert!(matches!(error, ToolError::Interrupted));
        let error = FALSE
            .run_watched(work, ["-c", "echo why >&2; exit 3"], b"", &mut |_| {
                ControlFlow::Continue(())
            })
            .unwrap_err();
        assert!(error.to_string().ends_with("failed (exit status: 3): why"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let none = Tool {
            names: &["slamboot-has-no-such-program"],
            package: "wimtools",
        };
        let error = none.run("changing a WIM", ["x"], b"").unwrap_err();
        assert_eq!(
            error.to_string(),
            "changing a WIM takes the program slamboot-has-no-such-program, which is not \
             installed: apt-get install wimtools (Debian, Ubuntu)"
        );
    }
}
