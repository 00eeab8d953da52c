// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other people's programs: found, run to their end, their complaints kept.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

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
